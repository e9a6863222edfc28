package proxy

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

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

func TestMetrics(t *testing.T) {
	h := start(t, Config{})
	table := one(revision(t, says("ok")))
	table.Routes[0].Service = "sh\"o\\p"
	h.apply(table)
	for range 3 {
		h.get("/")
	}
	h.idle()
	h.advance(time.Second)
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

// A request that read the table just before it was replaced must not reach an
// instance that may be thought drained by now.
func TestNothingIsTakenAfterRemoval(t *testing.T) {
	h := start(t, Config{})
	h.apply(one(revision(t, says("old"))))
	old := h.proxy.table.Load().match("x", "/").choose(0)
	h.apply(Table{})
	if !h.proxy.Drained("shop", "prod", "v1") {
		t.Fatal("not drained")
	}
	if e := old.acquire(0, 0, nil); e != nil {
		t.Error("an instance was taken after its removal")
	}
	if !h.proxy.Drained("shop", "prod", "v1") {
		t.Error("not drained any more")
	}
}
