package notifytest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Service says how a service that people read answers over HTTP.
type Service struct {
	// Read reads one request as the service's reference has it.
	Read   func(r *http.Request) Delivery
	Accept string // body of an answer that accepts
	Status int    // of that answer; 0 is 200
}

// Serve starts a server for the test and gives its address.
func Serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// HTTP is a fixture for a channel that is an HTTP API: a server that behaves as
// told, and the target to reach it by.
func HTTP(t *testing.T, open func(url string) (notify.Notifier, notify.Target), w Service) Fixture {
	t.Helper()
	r := &service{words: w}
	n, target := open(Serve(t, r.ServeHTTP))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	nobody, unreachable := open("http://" + l.Addr().String())
	return Fixture{
		Notifier: both{n, nobody, unreachable}, Target: target, Nobody: unreachable, Words: true,
		Received: func() []Delivery {
			r.mu.Lock()
			defer r.mu.Unlock()
			return append([]Delivery(nil), r.got...)
		},
		Behave: func(b Behaviour) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.behaviour = b
		},
	}
}

type service struct {
	words     Service
	mu        sync.Mutex
	behaviour Behaviour
	got       []Delivery
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := s.words.Read(r)
	s.mu.Lock()
	s.got = append(s.got, d)
	b := s.behaviour
	s.mu.Unlock()
	status := s.words.Status
	if status == 0 {
		status = http.StatusOK
	}
	switch b {
	case Busy:
		w.Header().Set("Retry-After", "7")
		status = http.StatusTooManyRequests
	case Broken:
		status = http.StatusInternalServerError
	case Gone:
		status = http.StatusGone
	case Elsewhere:
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		return
	case Silent:
		<-r.Context().Done()
		return
	case Flood:
		w.WriteHeader(status)
		line := []byte(strings.Repeat("ä", 4096))
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s.words.Accept))
}

// both sends to nobody by a notifier that knows the way to nobody.
type both struct {
	notify.Notifier
	nobody notify.Notifier
	target notify.Target
}

// Send sends by the one or the other.
func (b both) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if m.To == b.target {
		return b.nobody.Send(ctx, m)
	}
	return b.Notifier.Send(ctx, m)
}
