package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Guard stands before every handler of the server: it refuses foreign host
// names (a page elsewhere that rebinds its name to this address), more
// requests than the limits allow, and bodies that trickle.
func (a *API) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.ours(r.Host) {
			a.Problem(w, r, WithStatus(http.StatusMisdirectedRequest,
				problem.New(problem.Denied, "api.host", "this server does not answer to the name %q", clip(r.Host)).
					WithNext("use its address or localhost, or start the server with this host name allowed")))
			return
		}
		leave, err := a.gate.enter(client(r))
		if err != nil {
			a.Problem(w, r, err)
			return
		}
		defer leave()
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &timedBody{ReadCloser: r.Body, c: http.NewResponseController(w), limit: a.o.Limits.BodyTime}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), leaveKey{}, leave)))
	})
}

func (a *API) ours(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if net.ParseIP(name) != nil || name == "localhost" {
		return true
	}
	for _, known := range a.o.Hosts {
		if strings.EqualFold(name, known) {
			return true
		}
	}
	return false
}

func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

func client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// gate counts requests and streams under way.
type gate struct {
	limits Limits

	mu       sync.Mutex
	inFlight int
	streams  int
	clients  map[string]int
}

type leaveKey struct{}

// enter takes a place for a request; leave gives it back and may be called
// more than once.
func (g *gate) enter(client string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inFlight >= g.limits.InFlight {
		return nil, overloaded("the server is answering %d requests, which is its limit", g.inFlight)
	}
	if g.clients[client] >= g.limits.PerClient {
		return nil, WithStatus(http.StatusTooManyRequests, overloaded("%d requests from %s are under way, which is the limit", g.clients[client], client))
	}
	g.inFlight++
	g.clients[client]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.inFlight--
		if g.clients[client]--; g.clients[client] == 0 {
			delete(g.clients, client)
		}
	}), nil
}

// stream exchanges a request's place for one among the streams.
func (g *gate) stream(ctx context.Context) (leave func(), err error) {
	g.mu.Lock()
	if g.streams >= g.limits.Streams {
		g.mu.Unlock()
		return nil, overloaded("the server is feeding %d streams, which is its limit", g.limits.Streams)
	}
	g.streams++
	g.mu.Unlock()
	if leaveRequest, ok := ctx.Value(leaveKey{}).(func()); ok {
		leaveRequest()
	}
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.streams--
	}), nil
}

func overloaded(format string, args ...any) error {
	err := problem.New(problem.Unavailable, "api", format, args...).WithNext("try again in a moment")
	err.RetryAfter = time.Second
	return err
}

// timedBody gives a body a limited time from its first read to its end.
type timedBody struct {
	io.ReadCloser
	c       *http.ResponseController
	limit   time.Duration
	started bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	if !b.started {
		b.started = true
		b.c.SetReadDeadline(clock.Wall().Now().Add(b.limit))
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.c.SetReadDeadline(time.Time{})
	}
	return n, err
}
