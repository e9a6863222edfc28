package proxy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Config is what a proxy is given. The zero value of every field but Clock is
// a good default.
type Config struct {
	Clock  clock.Clock
	Logger *slog.Logger // nil discards

	Spool   string // file for unacknowledged bins; "" keeps them in memory only
	MaxBins int    // unacknowledged bins held before the oldest are merged; 0 is 28,800 (8 revisions for an hour)

	MaxInFlight    int           // requests at once, more get 503; 0 is 10,000
	MaxHeaderBytes int           // of a request or response; 0 is 64 KiB
	MaxBodyBytes   int64         // of a request; 0 is 1 GiB, negative is unbounded
	Retries        int           // attempts beyond the first, when safe; 0 is 1, negative is none
	DialTimeout    time.Duration // 0 is 2 s
	HeaderTimeout  time.Duration // for a client to send its request header; 0 is 10 s
	ClientIdle     time.Duration // kept-alive client connections; 0 is 2 min
	BackendIdle    time.Duration // kept-alive instance connections; 0 is 4 s, less than what common servers keep
	Ejection       Ejection

	// TrustForwarded keeps the X-Forwarded-* of clients and appends to them:
	// for a proxy behind another one. Otherwise they are replaced.
	TrustForwarded bool
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.MaxBins = cmp.Or(c.MaxBins, 8*3600)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 10_000)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 64<<10)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 1<<30)
	c.Retries = cmp.Or(c.Retries, 1)
	c.DialTimeout = cmp.Or(c.DialTimeout, 2*time.Second)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 10*time.Second)
	c.ClientIdle = cmp.Or(c.ClientIdle, 2*time.Minute)
	c.BackendIdle = cmp.Or(c.BackendIdle, 4*time.Second)
	c.Ejection.Failures = cmp.Or(c.Ejection.Failures, 5)
	c.Ejection.Base = cmp.Or(c.Ejection.Base, 5*time.Second)
	c.Ejection.Max = cmp.Or(c.Ejection.Max, 5*time.Minute)
	return c
}

// Proxy routes requests to revisions and counts what became of them. All its
// methods are safe for concurrent use.
type Proxy struct {
	cfg      Config
	log      *slog.Logger
	ticker   *ticker
	shards   int
	ledger   *ledger
	watch    watch
	ejector  ejector
	table    atomic.Pointer[table]
	inflight atomic.Int64
	closing  atomic.Bool
	empty    chan struct{} // gets a token when closing and nothing is on its way

	mu        sync.Mutex // Apply, and what only it and its readers need
	wanted    Table
	meters    map[total]*meter // Revision is ""
	endpoints map[endpointKey]*endpoint
	draining  []*endpoint

	server *http.Server
	stop   context.CancelFunc
	done   chan struct{}
}

const sweepEvery = 50 * time.Millisecond

// New makes a proxy without routes, which answers 404, and takes up the bins
// its spool has kept. Close it when done.
func New(cfg Config) (*Proxy, error) {
	if cfg.Clock == nil {
		return nil, problem.New(problem.Internal, "proxy.new", "a clock is needed")
	}
	cfg = cfg.withDefaults()
	p := &Proxy{
		cfg: cfg, log: cfg.Logger, ticker: newTicker(cfg.Clock),
		shards: 1 << bits.Len(uint(min(runtime.GOMAXPROCS(0), 16)-1)),
		meters: map[total]*meter{}, endpoints: map[endpointKey]*endpoint{},
		done: make(chan struct{}), empty: make(chan struct{}, 1),
	}
	p.watch.lanes = make([]lane, p.shards)
	p.ejector.Ejection = cfg.Ejection
	if err := p.openLedger(); err != nil {
		return nil, err
	}
	p.server = p.newServer()
	if err := p.Apply(Table{}); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go p.run(ctx)
	return p, nil
}

// openLedger numbers bins from the millisecond of the start on, or above what
// the spool holds if that is more: numbers rise even when a spool is lost.
func (p *Proxy) openLedger() error {
	var s *spool
	var held spooled
	if p.cfg.Spool != "" {
		var err error
		if s, held, err = openSpool(p.cfg.Spool); err != nil {
			return err
		}
		if held.damaged > 0 {
			p.log.Warn("damaged lines in the spool of bins were skipped", "file", p.cfg.Spool, "lines", held.damaged)
		}
	}
	last := max(held.last, p.ticker.start.UnixMilli())
	p.ledger = newLedger(p.cfg.MaxBins, s, held.bins, last, held.acked, p.log)
	return nil
}

func (p *Proxy) newServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: p, Protocols: protocols,
		ReadHeaderTimeout: p.cfg.HeaderTimeout, IdleTimeout: p.cfg.ClientIdle,
		MaxHeaderBytes: p.cfg.MaxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}
}

// Serve answers HTTP/1.1, and HTTP/2 without TLS to clients that know it
// beforehand, until Shutdown or Close; it then returns nil.
func (p *Proxy) Serve(l net.Listener) error {
	if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops accepting, waits for requests to finish, or for ctx to end,
// and closes. Streams and upgraded connections are then cut.
func (p *Proxy) Shutdown(ctx context.Context) error {
	err := p.server.Shutdown(ctx)
	return errors.Join(err, p.Close())
}

// Close cuts every request, publishes what it counted, overdue or not, and
// closes the spool. Unacknowledged bins stay in it for the next New.
func (p *Proxy) Close() error {
	if p.closing.Swap(true) {
		return nil
	}
	p.stop()
	<-p.done
	err := p.server.Close()
	p.watch.close(p.cfg.Clock.Now())
	if p.inflight.Load() > 0 {
		<-p.empty
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.meters {
		m.publish(farFuture, p.ledger)
	}
	for _, e := range p.endpoints {
		e.closeIdle()
	}
	return errors.Join(err, p.ledger.close())
}

// run sweeps until ctx ends.
func (p *Proxy) run(ctx context.Context) {
	defer close(p.done)
	for clock.Sleep(ctx, p.cfg.Clock, sweepEvery) == nil {
		p.sweep()
	}
}

// sweep ends what is out of time and publishes what is final.
func (p *Proxy) sweep() {
	p.ticker.follow()
	p.watch.expire(p.ticker.steady(), p.cfg.Clock.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	steady := p.ticker.steady()
	for _, m := range p.meters {
		m.publish(steady, p.ledger)
	}
	p.draining = drained(p.draining)
}

// Apply replaces the routing, whole or, on an invalid problem, not at all.
// Requests on their way finish as they began; connections to endpoints that
// are gone close when idle.
func (p *Proxy) Apply(t Table) error {
	if err := t.Validate(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := builder{p: p, arms: map[*arm]bool{}, endpoints: map[endpointKey]*endpoint{}}
	p.table.Store(b.table(t))
	p.wanted = t
	for key, e := range p.endpoints {
		if b.endpoints[key] == nil {
			e.removed.Store(true) // after the new table is there
			p.draining = append(p.draining, e)
		}
	}
	p.endpoints = b.endpoints
	p.draining = drained(p.draining)
	used := map[total]bool{}
	for a := range b.arms {
		used[total{a.meter.service, a.meter.environment, a.revision}] = true
	}
	for _, m := range p.meters {
		m.keep(b.arms)
	}
	p.ledger.forget(used, p.cfg.Clock.Now())
	return nil
}

// Table is the routing applied last.
func (p *Proxy) Table() Table {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted
}

// Bins returns up to limit final bins numbered above after, in order of their
// numbers; limit 0 is 1,000. They are offered again until acknowledged.
func (p *Proxy) Bins(after int64, limit int) []Bin {
	p.sweep()
	if limit <= 0 {
		limit = 1000
	}
	return p.ledger.read(after, limit)
}

// Ack forgets all bins up to seq: whoever read them has stored them.
func (p *Proxy) Ack(seq int64) { p.ledger.ack(seq) }

// Watermark is the instant before which all arrivals at a service, at any
// revision, are in published bins: where there is none, nothing arrived. It is
// zero for a service that was never routed.
func (p *Proxy) Watermark(service, environment string) time.Time {
	p.sweep()
	p.mu.Lock()
	m := p.meters[total{service: service, environment: environment}]
	p.mu.Unlock()
	if m == nil {
		return time.Time{}
	}
	return m.watermark(p.ticker.steady())
}

// Loads tells what every instance carries, removed ones included until they
// are drained, in order of their names.
func (p *Proxy) Loads() []Load {
	p.mu.Lock()
	defer p.mu.Unlock()
	steady := p.ticker.steady()
	var out []Load
	add := func(e *endpoint) {
		out = append(out, Load{e.key.service, e.key.environment, e.key.revision, e.key.address,
			e.busy.Load(), e.ejected.Load() > steady, e.removed.Load()})
	}
	for _, e := range p.endpoints {
		add(e)
	}
	for _, e := range p.draining {
		add(e)
	}
	slices.SortFunc(out, func(a, b Load) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Environment, b.Environment),
			cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return out
}

// InFlight is the number of requests on their way to a revision. After an
// Apply without one of its endpoints, nothing new reaches that endpoint.
func (p *Proxy) InFlight(service, environment, revision string) int64 {
	var n int64
	for _, l := range p.Loads() {
		if l.Service == service && l.Environment == environment && l.Revision == revision {
			n += l.InFlight
		}
	}
	return n
}

// Drained says that a revision has no endpoint in the table and no request on
// its way: its instances may be stopped.
func (p *Proxy) Drained(service, environment, revision string) bool {
	for _, l := range p.Loads() {
		if l.Service == service && l.Environment == environment && l.Revision == revision && (!l.Removed || l.InFlight > 0) {
			return false
		}
	}
	return true
}

// EndpointDrained says the same of one instance.
func (p *Proxy) EndpointDrained(endpoint string) bool {
	for _, l := range p.Loads() {
		if l.Endpoint == endpoint && (!l.Removed || l.InFlight > 0) {
			return false
		}
	}
	return true
}

// ServeHTTP routes one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	random := rand.Uint64()
	t := p.table.Load()
	rt := t.match(r.Host, r.URL.Path)
	if rt == nil {
		p.refuse(w, t.unrouted, random, http.StatusNotFound, true, "no route for this host and path")
		return
	}
	defer p.leave()
	if p.inflight.Add(1) > int64(p.cfg.MaxInFlight) {
		w.Header().Set("Retry-After", "1")
		p.refuse(w, rt.self, random, http.StatusServiceUnavailable, true, "too many requests at once")
		return
	}
	if p.closing.Load() {
		w.Header().Set("Retry-After", "1")
		p.refuse(w, rt.self, random, http.StatusServiceUnavailable, true, errClosing.Error())
		return
	}
	if r.Method == http.MethodConnect {
		p.refuse(w, rt.self, random, http.StatusMethodNotAllowed, false, "this is no forward proxy")
		return
	}
	if p.cfg.MaxBodyBytes >= 0 && r.ContentLength > p.cfg.MaxBodyBytes {
		p.refuse(w, rt.self, random, http.StatusRequestEntityTooLarge, false, "the request body is too large")
		return
	}
	for {
		b := rt.choose(random)
		if b == nil {
			w.Header().Set("Retry-After", "1")
			p.refuse(w, rt.self, random, http.StatusServiceUnavailable, true, "no instance is ready")
			return
		}
		steady := p.ticker.steady()
		if e := b.acquire(steady, rand.Uint64(), nil); e != nil {
			p.forward(w, r, rt, b, e, steady, random)
			return
		}
		// The table was replaced since it was read.
		if rt = p.table.Load().match(r.Host, r.URL.Path); rt == nil {
			p.refuse(w, t.unrouted, random, http.StatusNotFound, true, "no route for this host and path")
			return
		}
	}
}

func (p *Proxy) leave() {
	if p.inflight.Add(-1) == 0 && p.closing.Load() {
		select {
		case p.empty <- struct{}{}:
		default:
		}
	}
}

// refuse answers for the proxy itself, and counts that apart from revisions.
func (p *Proxy) refuse(w http.ResponseWriter, a *arm, random uint64, status int, fault bool, why string) {
	steady := p.ticker.steady()
	c, s := a.arrive(steady, random)
	answer(w, status, why)
	c.finish(s, p.ticker.steady()-steady, outcome{status: status, fault: fault})
}

func answer(w http.ResponseWriter, status int, why string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The client may be gone; there is nobody else to tell.
	_, _ = io.WriteString(w, "flyball: "+why+"\n")
}
