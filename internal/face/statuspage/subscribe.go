package statuspage

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// maxForm bounds what who subscribes may send, in bytes.
const maxForm = 8 << 10

// subscription answers who subscribes, confirms or ends it. What has an effect
// is a POST: programs that look at mails follow links (RFC 8058).
func (s *Server) subscription(w http.ResponseWriter, r *http.Request, page, do string) {
	a, err := s.subscribe(w, r, page, do)
	if err != nil {
		s.o.API.Problem(w, r, err)
		return
	}
	if a.View, err = s.o.Pages.Outline(r.Context(), page); err != nil {
		s.o.API.Problem(w, r, err)
		return
	}
	a.Feed = "feed"
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, "answer.html", a); err != nil {
		s.o.API.Problem(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(b.Bytes())
}

func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, page, do string) (sheet, error) {
	if r.Method != http.MethodPost && (r.Method != http.MethodGet || do == "subscribe") {
		w.Header().Set("Allow", "POST")
		return sheet{}, api.WithStatus(http.StatusMethodNotAllowed, problem.New(problem.Invalid, "status.subscribe", "this is sent by POST"))
	}
	if do != "subscribe" {
		return s.follow(r, page, do)
	}
	if !s.wants.take(s.o.Clock.Now(), client(r)) {
		e := problem.New(problem.Unavailable, "status.subscribe", "too many subscriptions are asked for").WithNext("try again later")
		e.RetryAfter = window
		return sheet{}, api.WithStatus(http.StatusTooManyRequests, e)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return sheet{}, problem.New(problem.Invalid, "status.subscribe", "the form cannot be read")
	}
	way, address := status.Email, r.PostForm.Get("email")
	if address == "" {
		way, address = status.Webhook, r.PostForm.Get("webhook")
	}
	if err := s.o.Pages.Ask(r.Context(), page, way, address, r.PostForm.Get("component")); err != nil {
		return sheet{}, err
	}
	return sheet{Heading: "Nearly done", Text: "If that address has not subscribed yet, it gets a message with a link to confirm. The link works for two days."}, nil
}

// follow asks before it does what a link says.
func (s *Server) follow(r *http.Request, page, do string) (sheet, error) {
	asks := map[string]sheet{
		status.DoConfirm:     {Heading: "Confirm", Text: "Updates are sent to this address once you confirm.", Button: "Confirm"},
		status.DoUnsubscribe: {Heading: "Unsubscribe", Text: "No more updates are sent to this address, and it is erased here.", Button: "Unsubscribe"},
	}
	done := map[string]sheet{
		status.DoConfirm:     {Heading: "Subscribed", Text: "Updates are sent from now on. Each has a link to end it."},
		status.DoUnsubscribe: {Heading: "Unsubscribed", Text: "No more updates are sent, and the address is erased here."},
	}
	if r.Method == http.MethodGet {
		return asks[do], s.o.Pages.Check(do, page, r.URL.Query())
	}
	return done[do], s.o.Pages.Follow(r.Context(), do, page, r.URL.Query())
}

func client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Bounds on how many subscriptions are asked for in a time.
const (
	window    = 10 * time.Minute
	perClient = 10
	together  = 200
)

// limiter counts what is asked in the present window. Its zero value is empty.
type limiter struct {
	mu    sync.Mutex
	from  time.Time
	all   int
	asked map[string]int
}

// take reports whether one more may be asked.
func (l *limiter) take(now time.Time, client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.from) >= window || now.Before(l.from) {
		l.from, l.all, l.asked = now, 0, map[string]int{}
	}
	if l.all >= together || l.asked[client] >= perClient {
		return false
	}
	l.all++
	l.asked[client]++
	return true
}
