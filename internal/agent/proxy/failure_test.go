package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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
	h.advance(2 * time.Second)
	if got := h.proxy.Bins(0, 0); got != nil {
		t.Fatalf("final too early: %+v", got)
	}
	if w := h.proxy.Watermark("shop", "prod"); !w.Equal(epoch) {
		t.Fatalf("watermark %v", w)
	}
	h.advance(time.Second)
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
	h.advance(7 * time.Second)
	if s := receive(t, "the answer", status); s != http.StatusGatewayTimeout {
		t.Errorf("status %d", s)
	}
	h.idle()
	h.advance(time.Minute)
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
	h.advance(4 * time.Second)
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
	h.advance(6 * time.Second)
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
		h.advance(after)
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
	h.advance(10 * time.Second)
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
	h.advance(time.Second)
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
		h.advance(length - time.Millisecond)
		if !ejected() {
			t.Fatalf("round %d: back before %v", round, length)
		}
		h.advance(time.Millisecond)
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
	h.advance(10 * time.Second)
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
	h.advance(time.Second)
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
