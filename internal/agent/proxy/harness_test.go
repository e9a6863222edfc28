package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

const limitOfTests = 10 * time.Second

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// harness is a proxy that serves on the loopback.
type harness struct {
	t     *testing.T
	proxy *Proxy
	addr  string
	clock *clock.Virtual
}

func start(t *testing.T, cfg Config) *harness {
	t.Helper()
	h := &harness{t: t}
	if cfg.Clock == nil {
		h.clock = clock.NewVirtual(epoch)
		cfg.Clock = h.clock
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.proxy, h.addr = p, l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return h
}

// revision starts an instance that also speaks HTTP/2 without TLS.
func revision(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return strings.TrimPrefix(s.URL, "http://")
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// raw starts an instance that does with its connections what it is told.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// refusing is an address at which nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// reset reads a request and breaks the connection with a TCP reset.
func reset(c net.Conn) {
	if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		c.(*net.TCPConn).SetLinger(0)
	}
	c.Close()
}

func one(endpoints ...string) Table {
	return Table{Routes: []Route{{Service: "shop", Environment: "prod",
		Backends: []Backend{{Revision: "v1", Weight: FullWeight, Endpoints: endpoints, Stable: true}}}}}
}

func (h *harness) apply(t Table) {
	h.t.Helper()
	if err := h.proxy.Apply(t); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) url(path string) string { return "http://" + h.addr + path }

func (h *harness) get(path string) (int, string) {
	h.t.Helper()
	return h.do(http.MethodGet, path, nil)
}

func (h *harness) do(method, path string, body io.Reader) (int, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limitOfTests)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, h.url(path), body)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(text)
}

// bin advances the clock past the present second and sums all new bins up.
func (h *harness) bin(revision string) Bin {
	h.t.Helper()
	h.idle()
	h.advance(time.Second)
	return sum(h.proxy.Bins(0, 1_000_000), revision)
}

func sum(bins []Bin, revision string) Bin {
	var s Bin
	for _, b := range bins {
		if b.Revision != revision {
			continue
		}
		if s.Seq == 0 {
			s = b
		} else {
			s = merge(s, b)
		}
	}
	return s
}

// advance moves the clock and has the proxy notice it.
func (h *harness) advance(d time.Duration) {
	h.clock.Advance(d)
	h.proxy.sweep()
}

// idle waits until no request is on its way.
func (h *harness) idle() {
	h.t.Helper()
	wait(h.t, "requests to end", func() bool { return h.proxy.inflight.Load() == 0 })
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(limitOfTests)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limitOfTests):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}
