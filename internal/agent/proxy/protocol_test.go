package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

func h2c() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: limitOfTests}
}

func TestHTTP1AndHTTP2(t *testing.T) {
	h := start(t, Config{})
	h.apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("X-Length", fmt.Sprint(len(body), err))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host)
	})))
	for name, client := range map[string]*http.Client{"http/1.1": {Timeout: limitOfTests}, "h2c": h2c()} {
		for _, body := range []string{"", strings.Repeat("x", 100_000)} {
			req, err := http.NewRequest("PUT", h.url("/a%2Fb//c?x=%20&y"), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "shop.test"
			resp, err := client.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 201 || string(text) != "PUT /a%2Fb//c?x=%20&y shop.test" || resp.Header.Get("X-Length") != fmt.Sprint(len(body), " <nil>") {
				t.Errorf("%s: %d %q %v %v", name, resp.StatusCode, text, resp.Header, err)
			}
			if want := map[string]int{"http/1.1": 1, "h2c": 2}[name]; resp.ProtoMajor != want {
				t.Errorf("%s: protocol %s", name, resp.Proto)
			}
		}
		client.CloseIdleConnections()
	}
	if b := h.bin("v1"); b.Requests != 4 || b.Classes[2] != 4 || b.Errors != 0 || b.Histogram.Count() != 4 {
		t.Errorf("counted %+v", b)
	}
}

func TestWebSocketEcho(t *testing.T) {
	h := start(t, Config{})
	echo := websocket.Handler(func(c *websocket.Conn) { io.Copy(c, c) })
	h.apply(one(revision(t, echo.ServeHTTP)))
	c, err := websocket.Dial("ws://"+h.addr+"/ws", "", "http://shop.test")
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(limitOfTests))
	for i := range 100 {
		want := strings.Repeat("hello ", i+1)
		if err := websocket.Message.Send(c, want); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := websocket.Message.Receive(c, &got); err != nil || got != want {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if h.proxy.InFlight("shop", "prod", "v1") != 1 {
		t.Error("an open connection is not on its way")
	}
	// Its timeout passes, and it goes on; a new table does not cut it either.
	h.advance(time.Hour)
	h.apply(Table{})
	websocket.Message.Send(c, "still here")
	var got string
	if err := websocket.Message.Receive(c, &got); err != nil || got != "still here" {
		t.Fatalf("got %q, %v", got, err)
	}
	if h.proxy.Drained("shop", "prod", "v1") {
		t.Error("drained with a connection open")
	}
	c.Close()
	wait(t, "draining", func() bool { return h.proxy.Drained("shop", "prod", "v1") })
	if b := h.bin("v1"); b.Requests != 1 || b.Classes[1] != 1 || b.Errors != 0 {
		t.Errorf("counted %+v", b)
	}
}

func TestServerSentEventsAreFlushed(t *testing.T) {
	h := start(t, Config{})
	next := make(chan string)
	h.apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case s := <-next:
				fmt.Fprintf(w, "data: %s\n\n", s)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})))
	for _, client := range []*http.Client{http.DefaultClient, h2c()} {
		ctx, cancel := context.WithTimeout(context.Background(), limitOfTests)
		req, _ := http.NewRequestWithContext(ctx, "GET", h.url("/events"), nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(resp.Body)
		for i := range 5 {
			h.advance(time.Minute) // no timeout once the header is there
			next <- fmt.Sprint(i)
			line, err := in.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("got %q, %v", line, err)
			}
			in.ReadString('\n')
		}
		cancel()
		resp.Body.Close()
		h.idle()
	}
	if b := h.bin("v1"); b.Requests != 2 || b.Classes[2] != 2 || b.Errors != 0 || b.Aborted != 0 {
		t.Errorf("counted %+v", b)
	}
}

func TestTrailersBothWays(t *testing.T) {
	h := start(t, Config{})
	h.apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		io.Copy(w, r.Body)
		w.Header().Set("X-Announced", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Surprise", "yes")
	})))
	for _, client := range []*http.Client{http.DefaultClient, h2c()} {
		req, _ := http.NewRequest("POST", h.url("/"), io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"X-Sum": {"42"}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(text) != "body" || resp.Trailer.Get("X-Announced") != "42" || resp.Trailer.Get("X-Surprise") != "yes" {
			t.Errorf("%s: %q, trailers %v", resp.Proto, text, resp.Trailer)
		}
	}
}

// A gRPC exchange in its frames: both sides stream at once over HTTP/2 to the
// instance, the status comes in the trailer.
func TestGRPCPassesThrough(t *testing.T) {
	h := start(t, Config{})
	h.apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			w.Header().Set("Grpc-Status", "13")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		w.(http.Flusher).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				break
			}
		}
		w.Header().Set("Grpc-Status", "0")
	})))
	out, in := io.Pipe()
	req, _ := http.NewRequest("POST", h.url("/pkg.Service/Chat"), out)
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	client := h2c()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 5)
	for range 3 {
		io.WriteString(in, "hello")
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "hello" {
			t.Fatalf("got %q, %v", buf, err)
		}
	}
	in.Close()
	if _, err := io.ReadAll(resp.Body); err != nil || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("trailer %v, %v", resp.Trailer, err)
	}
	// A failure without a message has its status in the header, and is bad.
	req, _ = http.NewRequest("POST", h.url("/pkg.Service/Chat"), strings.NewReader("x"))
	req.Header.Set("Content-Type", "application/grpc")
	if resp, err := client.Do(req); err != nil || resp.Header.Get("Grpc-Status") != "13" {
		t.Fatalf("%v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if b := h.bin("v1"); b.Requests != 2 || b.Errors != 1 {
		t.Errorf("counted %+v", b)
	}
}

func TestForwardedHeader(t *testing.T) {
	for _, trust := range []bool{false, true} {
		h := start(t, Config{TrustForwarded: trust})
		seen := make(chan http.Header, 1)
		h.apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
			seen <- r.Header
			w.Header().Set("Connection", "X-Secret")
			w.Header().Set("X-Secret", "hop")
			w.Header().Set("X-Kept", "end")
		})))
		req, _ := http.NewRequest("GET", h.url("/"), nil)
		req.Host = "shop.test"
		for k, v := range map[string]string{"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "Forwarded": "for=1.2.3.4",
			"Connection": "close, X-Hop", "X-Hop": "1", "Keep-Alive": "1", "Proxy-Authorization": "secret", "Te": "gzip", "Via": "1.1 cdn"} {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		got := receive(t, "the request", seen)
		for _, k := range []string{"X-Hop", "Keep-Alive", "Proxy-Authorization", "Te", "Connection"} {
			if got[k] != nil {
				t.Errorf("%s passed on: %q", k, got[k])
			}
		}
		want := map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.test", "Via": "1.1 cdn, 1.1 flyball", "Forwarded": ""}
		if trust {
			want["X-Forwarded-For"], want["X-Forwarded-Proto"], want["Forwarded"] = "1.2.3.4, 127.0.0.1", "https", "for=1.2.3.4"
		}
		for k, v := range want {
			if got.Get(k) != v {
				t.Errorf("trust %v: %s is %q, want %q", trust, k, got.Get(k), v)
			}
		}
		if resp.Header.Get("X-Secret") != "" || resp.Header.Get("X-Kept") != "end" {
			t.Errorf("response header %v", resp.Header)
		}
	}
}

// Requests that two parsers could read differently never reach a revision.
func TestSmuggling(t *testing.T) {
	h := start(t, Config{})
	var reached atomic.Int64
	h.apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		io.Copy(io.Discard, r.Body)
	})))
	for name, req := range map[string]string{
		"two lengths":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
		"odd transfer coding":  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"space before colon":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
		"no host":              "GET / HTTP/1.1\r\n\r\n",
		"line folding":         "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c: d\r\n: e\r\n\r\n",
		"signed length":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"control in the value": "GET / HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
	} {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(limitOfTests))
		io.WriteString(c, req)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode < 400 || resp.StatusCode == 404 {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
		c.Close()
	}
	// Both framings: Go drops the length and keeps the chunks, as RFC 9112,
	// section 6.3 allows; what is sent on has one framing only.
	c, _ := net.Dial("tcp", h.addr)
	defer c.Close()
	c.SetDeadline(time.Now().Add(limitOfTests))
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Error(err)
	}
	h.idle()
	if n := reached.Load(); n > 2 {
		t.Errorf("%d requests reached the revision", n)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	h := start(t, Config{})
	var conns sync.Map
	h.apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr, true)
		io.WriteString(w, "ok")
	})))
	for i := range 50 {
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
		req, _ := http.NewRequestWithContext(ctx, "GET", h.url("/"), nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if i > 0 && !reused {
			t.Fatal("the client's connection was not kept")
		}
		h.idle()
	}
	n := 0
	conns.Range(func(_, _ any) bool { n++; return true })
	if n > 2 {
		t.Errorf("%d connections to the instance for 50 requests in turn", n)
	}
}
