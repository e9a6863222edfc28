package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Authenticator tells whose a token is. An unknown, expired or revoked token
// is problem.Denied.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (operation.Caller, error)
}

// Options are what an API is made from.
type Options struct {
	Operations    []operation.Operation // those marked Local are left out
	Hooks         []Hook                // operations as webhooks ask them
	Log           event.Log             // calls are audited here; /events follows it
	Authenticator Authenticator
	Version       string       // of the program, for the OpenAPI document
	Hosts         []string     // names this server may be addressed by, besides IP addresses and localhost
	Clock         clock.Clock  // nil: the wall's
	Logger        *slog.Logger // nil: slog.Default
	Limits        Limits       // zero fields: the defaults

	// Past reads the states as recorded by a moment, for ?at=; nil refuses it.
	Past func(ctx context.Context, at time.Time) (projection.Reader, error)
	// Sync waits until what is shown includes a log position, so that who wrote
	// reads their own write; may be nil.
	Sync func(ctx context.Context, position int64) error
}

// Limits bound what callers can take.
type Limits struct {
	Body      int64         // bytes of a request body; 1 MiB
	BodyTime  time.Duration // for the whole of a body to arrive; 10 s
	InFlight  int           // requests at once; 256
	PerClient int           // of them from one address; 64
	Streams   int           // streams at once, of events or logs; 256
	Heartbeat time.Duration // between signs of life on a silent stream; 15 s
	Write     time.Duration // for a slow reader of a stream to take one write; 20 s
}

func (l Limits) filled() Limits {
	l.Body = or(l.Body, 1<<20)
	l.BodyTime = or(l.BodyTime, 10*time.Second)
	l.InFlight = or(l.InFlight, 256)
	l.PerClient = or(l.PerClient, 64)
	l.Streams = or(l.Streams, 256)
	l.Heartbeat = or(l.Heartbeat, 15*time.Second)
	l.Write = or(l.Write, 20*time.Second)
	return l
}

func or[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}

// API is the HTTP face. It is an http.Handler for /api/v1/ and /events.
type API struct {
	o       Options
	mux     *http.ServeMux
	openapi []byte
	hooks   map[string]Hook // by path
	gate    gate

	closed    context.Context // done when streams must end
	close     context.CancelFunc
	mu        sync.Mutex
	executing map[string]bool // calls with an idempotency key under way
}

// New makes an API. It fails without a log, in which calls are recorded, and
// when two operations share a route.
func New(o Options) (*API, error) {
	if o.Log == nil {
		return nil, problem.New(problem.Internal, "api.new", "there is no log to record calls in")
	}
	o.Limits = o.Limits.filled()
	if o.Clock == nil {
		o.Clock = clock.Wall()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	a := &API{o: o, mux: http.NewServeMux(), executing: map[string]bool{}, hooks: map[string]Hook{}}
	a.gate = gate{clients: map[string]int{}, limits: o.Limits}
	a.closed, a.close = context.WithCancel(context.Background())
	if err := a.mount(); err != nil {
		return nil, err
	}
	var err error
	if a.openapi, err = Document(o.Operations, o.Version); err != nil {
		return nil, err
	}
	a.mux.HandleFunc("GET /api/v1/openapi.json", a.serveDocument)
	a.mux.HandleFunc("GET /events", a.follow)
	a.mux.HandleFunc("/", a.unknown)
	return a, nil
}

// mount gives every operation and hook its route. A hook may share the route of
// its operation when that is a question: who asks is told by what is posted.
func (a *API) mount() error {
	for _, h := range a.o.Hooks {
		a.hooks[h.Path] = h
	}
	taken := map[string]string{}
	for _, op := range a.o.Operations {
		if op.Local {
			continue
		}
		method, path := op.Route()
		route := method + " " + path
		if other := taken[route]; other != "" {
			return problem.New(problem.Internal, "api.new", "operations %s and %s share the route %s", other, op.Name(), route)
		}
		taken[route] = op.Name()
		a.mux.Handle(route, a.serve(op))
	}
	for path, h := range a.hooks {
		if other := taken["POST "+path]; other == "" {
			a.mux.Handle("POST "+path, a.hook(h))
		} else if !h.Operation.Ask || other != h.Operation.Name() {
			return problem.New(problem.Internal, "api.new", "a hook and %s share the route POST %s", other, path)
		}
	}
	return nil
}

// ServeHTTP answers requests to /api/v1/ and /events.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	defer a.recover(w, r)
	a.mux.ServeHTTP(w, r)
}

// Close ends all streams; other requests may finish.
func (a *API) Close() { a.close() }

func (a *API) recover(w http.ResponseWriter, r *http.Request) {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		panic(v)
	default:
		a.Problem(w, r, fmt.Errorf("panic: %v", v))
	}
}

func (a *API) serveDocument(w http.ResponseWriter, r *http.Request) {
	if _, err := a.Caller(r); err != nil {
		a.Problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(a.openapi)
}

// unknown answers a path without operation, or with one under another method.
func (a *API) unknown(w http.ResponseWriter, r *http.Request) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "/" && method != r.Method {
			w.Header().Set("Allow", method)
			err := problem.New(problem.Invalid, "api", "%s is not a method of %s", r.Method, r.URL.Path).WithNext("use %s", method)
			a.Problem(w, r, WithStatus(http.StatusMethodNotAllowed, err))
			return
		}
	}
	a.Problem(w, r, problem.New(problem.NotFound, "api", "there is nothing at %s", r.URL.Path).
		WithNext("GET /api/v1/openapi.json lists what there is"))
}

// Server is an http.Server with safe limits on what a slow or hostile client
// can hold. Shutting it down ends the API's streams.
func (a *API) Server(addr string, h http.Handler) *http.Server {
	s := &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      2 * time.Minute, // streams set their own, per write
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.o.Logger.Handler(), slog.LevelDebug),
	}
	s.RegisterOnShutdown(a.Close)
	return s
}
