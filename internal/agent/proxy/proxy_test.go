package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
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
	h.clock.Advance(time.Hour)
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
			h.clock.Advance(time.Minute) // no timeout once the header is there
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

func TestHangingRevisionIsBadAndThen504(t *testing.T) {
	h := start(t, Config{})
	arrived := make(chan struct{}, 1)
	table := one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	table.Routes[0].Limit, table.Routes[0].Timeout, table.Routes[0].Thresholds = 2*time.Second, 10*time.Second, []time.Duration{time.Second}
	h.apply(table)
	status := make(chan int, 1)
	go func() {
		code, _ := h.get("/")
		status <- code
	}()
	receive(t, "the request", arrived)
	h.clock.Advance(2 * time.Second)
	if got := h.proxy.Bins(0, 0); got != nil {
		t.Fatalf("final too early: %+v", got)
	}
	if w := h.proxy.Watermark("shop", "prod"); !w.Equal(epoch) {
		t.Fatalf("watermark %v", w)
	}
	h.clock.Advance(time.Second)
	got := h.proxy.Bins(0, 0)
	if len(got) != 1 || got[0].Errors != 1 || got[0].Overdue != 1 || got[0].Slow[0] != 1 || got[0].Classes[0] != 1 {
		t.Fatalf("got %+v", got)
	}
	if w := h.proxy.Watermark("shop", "prod"); !w.Equal(epoch.Add(3 * time.Second)) {
		t.Fatalf("watermark %v", w)
	}
	select {
	case s := <-status:
		t.Fatalf("answered %d before its timeout", s)
	default:
	}
	h.clock.Advance(7 * time.Second)
	if s := receive(t, "the answer", status); s != http.StatusGatewayTimeout {
		t.Errorf("status %d", s)
	}
	h.idle()
	h.clock.Advance(time.Minute)
	if again := h.proxy.Bins(0, 0); len(again) != 1 {
		t.Errorf("counted twice: %+v", again)
	}
}

// A revision that sends its header and then hangs is no better.
func TestHangingBodyIsCutAtItsTimeout(t *testing.T) {
	h := start(t, Config{})
	table := one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	table.Routes[0].Timeout, table.Routes[0].Limit = 4*time.Second, 4*time.Second
	h.apply(table)
	resp, err := http.Get(h.url("/"))
	if err == nil {
		defer resp.Body.Close()
	}
	done := make(chan error, 1)
	if err == nil {
		go func() {
			_, err := io.ReadAll(resp.Body)
			done <- err
		}()
	} else {
		t.Fatal(err)
	}
	h.clock.Advance(4 * time.Second)
	if err := receive(t, "the end", done); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client was told %v", err)
	}
	if b := h.bin("v1"); b.Errors != 1 || b.Classes[0] != 1 {
		t.Errorf("counted %+v", b)
	}
}

// A client that does not send the body it announced holds nothing for longer
// than the timeout.
func TestSlowRequestBody(t *testing.T) {
	h := start(t, Config{})
	table := one(revision(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	table.Routes[0].Timeout = 6 * time.Second
	h.apply(table)
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limitOfTests))
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	wait(t, "the request", func() bool { return h.proxy.InFlight("shop", "prod", "v1") == 1 })
	h.clock.Advance(6 * time.Second)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusGatewayTimeout {
		t.Fatalf("%v, %v", resp, err)
	}
	h.idle()
}

func TestClientThatGoesAway(t *testing.T) {
	h := start(t, Config{})
	arrived := make(chan struct{}, 1)
	gone := make(chan struct{}, 1)
	table := one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	table.Routes[0].Thresholds = []time.Duration{100 * time.Millisecond, time.Second}
	h.apply(table)
	abort := func(after time.Duration) {
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", h.url("/"), nil)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
		receive(t, "the request", arrived)
		h.clock.Advance(after)
		cancel()
		receive(t, "the revision to learn of it", gone)
		<-ended
		h.idle()
	}
	abort(0)
	abort(200 * time.Millisecond)
	if b := h.bin("v1"); b.Requests != 2 || b.Aborted != 2 || b.Errors != 0 || b.Classes[0] != 2 || !slices.Equal(b.Slow, []int64{1, 0}) {
		t.Errorf("counted %+v", b)
	}
	abort(6 * time.Second) // longer than the limit: the revision had its chance
	h.clock.Advance(10 * time.Second)
	if b := sum(h.proxy.Bins(0, 0), "v1"); b.Requests != 3 || b.Aborted != 2 || b.Errors != 1 || b.Overdue != 1 {
		t.Errorf("counted %+v", b)
	}
}

func TestRetryRules(t *testing.T) {
	ok := func(t *testing.T) string { return revision(t, says("ok")) }
	bad := func(t *testing.T) string { return raw(t, reset) }
	closing := func(t *testing.T) string {
		return raw(t, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			c.Close()
		})
	}
	half := func(t *testing.T) string {
		return raw(t, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			c.Close()
		})
	}
	garbage := func(t *testing.T) string {
		return raw(t, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "what?\r\n\r\n")
			c.Close()
		})
	}
	fails := func(t *testing.T) string {
		return revision(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	}
	for _, c := range []struct {
		name, method, body string
		first              func(*testing.T) string
		retried            bool
		status             int // without a retry; -1 is a broken answer
	}{
		{"refused GET", "GET", "", refusing, true, 0},
		{"refused POST with a body", "POST", "body", refusing, true, 0},
		{"refused DELETE", "DELETE", "", refusing, true, 0},
		{"reset GET", "GET", "", bad, true, 0},
		{"reset HEAD", "HEAD", "", bad, true, 0},
		{"reset OPTIONS", "OPTIONS", "", bad, true, 0},
		{"closed GET", "GET", "", closing, true, 0},
		{"reset POST", "POST", "body", bad, false, 502},
		{"reset POST without a body", "POST", "", bad, false, 502},
		{"reset PUT", "PUT", "body", bad, false, 502},
		{"reset DELETE", "DELETE", "", bad, false, 502},
		{"reset GET with a body", "GET", "body", bad, false, 502},
		{"broken body", "GET", "", half, false, -1},
		{"nonsense", "GET", "", garbage, false, 502},
		{"503", "GET", "", fails, false, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, Config{Ejection: Ejection{Failures: -1}})
			first, second := c.first(t), ok(t)
			h.apply(one(first, second))
			const n = 40 // one in 2^40 runs never draws the bad instance
			bad := int64(0)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // else it would retry itself
			for range n {
				req, _ := http.NewRequest(c.method, h.url("/"), strings.NewReader(c.body))
				resp, err := client.Do(req)
				status := -1
				if err == nil {
					if _, err = io.ReadAll(resp.Body); err == nil {
						status = resp.StatusCode
					}
					resp.Body.Close()
				}
				if status != 200 {
					bad++
					if status != c.status {
						t.Fatalf("status %d", status)
					}
				}
			}
			b := h.bin("v1")
			if c.retried && (bad > 0 || b.Retries == 0 || b.Errors != 0 || b.Classes[2] != n) {
				t.Errorf("%d failed, counted %+v", bad, b)
			}
			if !c.retried && (bad == 0 || b.Retries != 0 || b.Errors != bad) {
				t.Errorf("%d failed, counted %+v", bad, b)
			}
		})
	}
}

func TestRetryKeepsToTheRevision(t *testing.T) {
	h := start(t, Config{Ejection: Ejection{Failures: -1}})
	h.apply(Table{Routes: []Route{{Service: "shop", Environment: "prod", Backends: []Backend{
		{Revision: "v1", Weight: 5000, Endpoints: []string{revision(t, says("v1"))}, Stable: true},
		{Revision: "v2", Weight: 5000, Endpoints: []string{refusing(t), refusing(t), refusing(t)}},
	}}}})
	good, bad := int64(0), int64(0)
	for range 100 {
		if status, _ := h.get("/"); status == 200 {
			good++
		} else {
			bad++
		}
	}
	h.idle()
	h.clock.Advance(time.Second)
	bins := h.proxy.Bins(0, 0)
	v1, v2 := sum(bins, "v1"), sum(bins, "v2")
	if v1.Requests != good || v1.Errors != 0 || v2.Requests != bad || v2.Errors != bad || v2.Retries != bad {
		t.Errorf("%d good, %d bad; v1 %+v, v2 %+v", good, bad, v1, v2)
	}
}

func TestEjection(t *testing.T) {
	h := start(t, Config{Retries: -1, Ejection: Ejection{Failures: 3, Base: 10 * time.Second, Max: 30 * time.Second}})
	var sick atomic.Bool
	sick.Store(true)
	bad := revision(t, func(w http.ResponseWriter, r *http.Request) {
		if sick.Load() {
			w.WriteHeader(500)
		}
	})
	good := revision(t, says("ok"))
	h.apply(one(bad, good))
	ejected := func() bool {
		return slices.ContainsFunc(h.proxy.Loads(), func(l Load) bool { return l.Ejected && l.Endpoint == bad })
	}
	failuresUntilEjected := func() int {
		n := 0
		for range 1000 {
			if status, _ := h.get("/"); status == 500 {
				n++
			}
			h.idle()
			if ejected() {
				return n
			}
		}
		t.Fatal("never ejected")
		return 0
	}
	for round, length := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 30 * time.Second} {
		if n := failuresUntilEjected(); n != 3 {
			t.Fatalf("round %d: ejected after %d failures", round, n)
		}
		for range 30 {
			if status, _ := h.get("/"); status != 200 {
				t.Fatal("an ejected instance got a request")
			}
		}
		h.clock.Advance(length - time.Millisecond)
		if !ejected() {
			t.Fatalf("round %d: back before %v", round, length)
		}
		h.clock.Advance(time.Millisecond)
		if ejected() {
			t.Fatalf("round %d: not back after %v", round, length)
		}
	}
	sick.Store(false)
	for range 100 {
		h.get("/")
	}
	h.idle()
	sick.Store(true)
	failuresUntilEjected()
	h.clock.Advance(10 * time.Second)
	if ejected() {
		t.Error("successes did not make up for old strikes")
	}
}

func TestNeverMoreThanHalfIsEjected(t *testing.T) {
	for n, most := range map[int]int{1: 0, 2: 1, 3: 1, 5: 2} {
		h := start(t, Config{Ejection: Ejection{Failures: 1}})
		var all []string
		for range n {
			all = append(all, revision(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }))
		}
		h.apply(one(all...))
		for range 50 {
			if status, _ := h.get("/"); status != 500 {
				t.Fatalf("status %d", status)
			}
		}
		h.idle()
		out := 0
		for _, l := range h.proxy.Loads() {
			if l.Ejected {
				out++
			}
		}
		if out != most {
			t.Errorf("%d of %d ejected, want %d", out, n, most)
		}
	}
}

func TestTheLessBusyInstanceIsPreferred(t *testing.T) {
	h := start(t, Config{})
	arrived, leave := make(chan struct{}, 100), make(chan struct{})
	var quick atomic.Int64
	slow := revision(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			arrived <- struct{}{}
			<-leave
		}
	})
	other := revision(t, func(w http.ResponseWriter, r *http.Request) { quick.Add(1) })
	h.apply(one(slow))
	var wg sync.WaitGroup
	for range 5 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			h.get("/hold")
		}()
		receive(t, "the request", arrived)
	}
	h.apply(one(slow, other))
	for range 50 {
		h.get("/")
		wait(t, "the end", func() bool { return h.proxy.inflight.Load() == 5 })
	}
	if quick.Load() != 50 {
		t.Errorf("the idle instance got %d of 50", quick.Load())
	}
	close(leave)
	wg.Wait()
}

func TestWhatTheProxyRefuses(t *testing.T) {
	h := start(t, Config{MaxInFlight: 1, MaxBodyBytes: 10, MaxHeaderBytes: 4096})
	arrived, leave := make(chan struct{}, 10), make(chan struct{})
	table := one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			arrived <- struct{}{}
			<-leave
		}
		io.Copy(io.Discard, r.Body)
	}))
	table.Routes[0].PathPrefix = "/"
	table.Routes[0].Host = "127.0.0.1"
	empty := Route{Service: "empty", Environment: "prod", Host: "empty.test", Backends: []Backend{{Revision: "v1", Weight: FullWeight}}}
	table.Routes = append(table.Routes, empty)
	h.apply(table)
	held := int64(0)
	check := func(what string, want int, change func(*http.Request)) {
		t.Helper()
		req, _ := http.NewRequest("GET", h.url("/"), nil)
		change(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || want == 503 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: status %d, want %d; %v", what, resp.StatusCode, want, resp.Header)
		}
		wait(t, "the end", func() bool { return h.proxy.inflight.Load() == held })
	}
	body := func(b string, known bool) func(*http.Request) {
		return func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader(b)), -1
			if known {
				r.ContentLength = int64(len(b))
			}
		}
	}
	check("ordinary", 200, func(*http.Request) {})
	check("unknown host", 404, func(r *http.Request) { r.Host = "other.test" })
	check("no instance", 503, func(r *http.Request) { r.Host = "empty.test" })
	check("body that fits", 200, body("0123456789", true))
	check("chunked body that fits", 200, body("0123456789", false))
	check("long body", 413, body("0123456789a", true))
	check("long chunked body", 413, body("0123456789a", false))
	check("long header", 431, func(r *http.Request) { r.Header.Set("X-Long", strings.Repeat("x", 10_000)) })
	go h.get("/hold")
	receive(t, "the request", arrived)
	held = 1
	check("overload", 503, func(*http.Request) {})
	close(leave)
	h.idle()
	h.clock.Advance(time.Second)
	bins := h.proxy.Bins(0, 0)
	count := func(service string) (b Bin) {
		for _, x := range bins {
			if x.Service == service && x.Revision == "" {
				return x
			}
		}
		return b
	}
	if b := count(""); b.Requests != 1 || b.Faults != 1 || b.Classes[4] != 1 {
		t.Errorf("unrouted: %+v", b)
	}
	if b := count("empty"); b.Requests != 1 || b.Faults != 1 || b.Classes[5] != 1 {
		t.Errorf("empty: %+v", b)
	}
	if b := count("shop"); b.Requests != 2 || b.Faults != 1 || b.Classes[4] != 1 || b.Classes[5] != 1 || b.Errors != 0 {
		t.Errorf("shop itself: %+v", b)
	}
	if b := sum(bins, "v1"); b.Requests != 5 || b.Errors != 0 || b.Aborted != 1 {
		t.Errorf("v1: %+v", b)
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

func TestRemovedInstances(t *testing.T) {
	h := start(t, Config{})
	arrived, leave := make(chan struct{}, 1), make(chan struct{})
	closed := make(chan struct{}, 10)
	old := revision(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			arrived <- struct{}{}
			<-leave
		}
		io.WriteString(w, "old")
	})
	through := raw(t, func(c net.Conn) { // notes when the proxy closes a connection
		b, err := net.Dial("tcp", old)
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, b)
			c.Close()
		}()
		io.Copy(b, c)
		b.Close()
		closed <- struct{}{}
	})
	h.apply(one(through))
	got := make(chan string, 1)
	go func() {
		_, text := h.get("/hold")
		got <- text
	}()
	receive(t, "the request", arrived)
	h.apply(one(revision(t, says("new"))))
	if _, text := h.get("/"); text != "new" {
		t.Errorf("got %q from a removed instance", text)
	}
	if n := h.proxy.InFlight("shop", "prod", "v1"); n != 1 || h.proxy.EndpointDrained(through) {
		t.Errorf("%d on their way", n)
	}
	close(leave)
	if text := receive(t, "the old answer", got); text != "old" {
		t.Errorf("got %q", text)
	}
	receive(t, "the idle connection to close", closed)
	wait(t, "draining", func() bool { return h.proxy.EndpointDrained(through) })
}

// Weights, instances and revisions change every few milliseconds under load:
// no request fails, and the bins count every one, whoever acknowledges when.
func TestChangesUnderLoad(t *testing.T) {
	h := start(t, Config{Clock: clock.Wall(), Spool: filepath.Join(t.TempDir(), "spool")})
	var served [3]atomic.Int64
	var addrs [4]string
	for i := range addrs {
		addrs[i] = revision(t, func(w http.ResponseWriter, r *http.Request) {
			served[min(i, 2)].Add(1)
			io.Copy(w, r.Body)
		})
	}
	tables := func(i int) Table {
		w := i * 617 % (FullWeight + 1)
		t := Table{Routes: []Route{{Service: "shop", Environment: "prod", Backends: []Backend{
			{Revision: "v0", Weight: FullWeight - w, Endpoints: addrs[:1], Stable: true},
			{Revision: "v1", Weight: w, Endpoints: addrs[1:2]},
		}}}}
		if i%3 == 0 {
			t.Routes[0].Backends[1] = Backend{Revision: "v2", Weight: w, Endpoints: addrs[2 : 3+i%2]}
		}
		if i%5 == 0 {
			t.Routes[0].Thresholds = []time.Duration{time.Millisecond}
		}
		return t
	}
	h.apply(tables(0))
	stop := make(chan struct{})
	var helpers, workers sync.WaitGroup
	helpers.Add(2)
	go func() {
		defer helpers.Done()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				h.apply(tables(i))
			}
		}
	}()
	var mu sync.Mutex
	counted := map[string]int64{}
	var last int64
	take := func() {
		mu.Lock()
		defer mu.Unlock()
		for _, b := range h.proxy.Bins(last, 7) {
			counted[b.Revision] += b.Requests
			if b.Errors+b.Faults+b.Aborted > 0 || b.Seq <= last {
				t.Errorf("bin %+v", b)
			}
			last = b.Seq
		}
		h.proxy.Ack(last)
	}
	go func() {
		defer helpers.Done()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				take()
			}
		}
	}()
	const clients, each = 8, 400
	for c := range clients {
		workers.Add(1)
		go func() {
			defer workers.Done()
			client := &http.Client{Transport: &http.Transport{}, Timeout: limitOfTests}
			if c%4 == 3 {
				client = h2c()
			}
			for i := range each {
				var resp *http.Response
				var err error
				if i%2 == 0 {
					resp, err = client.Get(h.url("/"))
				} else {
					resp, err = client.Post(h.url("/"), "text/plain", strings.NewReader("hello"))
				}
				if err != nil {
					t.Errorf("request failed: %v", err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
			client.CloseIdleConnections()
		}()
	}
	workers.Wait()
	h.idle()
	wait(t, "the last bins", func() bool {
		take()
		mu.Lock()
		defer mu.Unlock()
		return counted["v0"]+counted["v1"]+counted["v2"] >= clients*each
	})
	close(stop)
	helpers.Wait()
	for i, rev := range []string{"v0", "v1", "v2"} {
		if counted[rev] != served[i].Load() {
			t.Errorf("%s served %d, counted %d", rev, served[i].Load(), counted[rev])
		}
	}
}

func TestRestartLosesNoCount(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	c := virtual()
	addr := revision(t, says("ok"))
	var want, last, seen int64
	for round := range 3 {
		p, err := New(Config{Clock: c, Spool: spool})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Apply(one(addr)); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go p.Serve(l)
		for range 10 + round {
			resp, err := http.Get("http://" + l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want++
			c.Advance(300 * time.Millisecond)
		}
		bins := p.Bins(last, 3)
		for _, b := range bins {
			if b.Seq <= last {
				t.Fatalf("number %d after %d", b.Seq, last)
			}
			last = b.Seq
			seen += b.Requests
		}
		p.Ack(last)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p, err := New(Config{Clock: c, Spool: spool})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, b := range p.Bins(last, 0) {
		seen += b.Requests
	}
	if seen != want {
		t.Errorf("sent %d, counted %d", want, seen)
	}
}

func TestCloseCutsAndBlamesNobody(t *testing.T) {
	c := virtual()
	spool := filepath.Join(t.TempDir(), "spool")
	p, err := New(Config{Clock: c, Spool: spool})
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{}, 1)
	if err := p.Apply(one(revision(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // a server notices a cut only after that
		arrived <- struct{}{}
		<-r.Context().Done()
	}))); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go p.Serve(l)
	ended := make(chan error, 1)
	go func() {
		_, err := http.Post("http://"+l.Addr().String(), "", strings.NewReader("x"))
		ended <- err
	}()
	receive(t, "the request", arrived)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if receive(t, "the cut", ended) == nil {
		t.Error("not cut")
	}
	_, held, err := openSpool(spool)
	if err != nil || len(held.bins) != 1 || held.bins[0].Requests != 1 || held.bins[0].Aborted != 1 || held.bins[0].Errors != 0 {
		t.Errorf("held %+v, %v", held, err)
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

func TestMetrics(t *testing.T) {
	h := start(t, Config{})
	table := one(revision(t, says("ok")))
	table.Routes[0].Service = "sh\"o\\p"
	h.apply(table)
	for range 3 {
		h.get("/")
	}
	h.idle()
	h.clock.Advance(time.Second)
	rec := &recorder{header: http.Header{}}
	h.proxy.Metrics().ServeHTTP(rec, nil)
	text := rec.body.String()
	for _, want := range []string{
		`flyball_proxy_requests_total{service="sh\"o\\p",environment="prod",revision="v1",code="2xx"} 3` + "\n",
		"# TYPE flyball_proxy_requests counter\n", "# UNIT flyball_proxy_latency_seconds seconds\n",
		`flyball_proxy_latency_seconds_bucket{service="sh\"o\\p",environment="prod",revision="v1",le="+Inf"} 3` + "\n",
		`revision="v1",le="1.0"} 3`, `draining="false"} 0`, "flyball_proxy_unacknowledged_bins 1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if !strings.HasSuffix(text, "\n# EOF\n") || rec.header.Get("Content-Type") != openMetrics {
		t.Errorf("not OpenMetrics: %v", rec.header)
	}
}

type recorder struct {
	header http.Header
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *recorder) WriteHeader(int)             {}
