package pagerduty

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

const routingKey = "0123456789abcdef0123456789abcdef"

// service answers as PagerDuty's Events API v2 does.
type service struct {
	mu        sync.Mutex
	got       []notifytest.Delivery
	events    []event
	behaviour notifytest.Behaviour
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil || r.URL.Path != "/v2/enqueue" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.got = append(s.got, notifytest.Delivery{ID: e.DedupKey, Body: body, Authentic: e.RoutingKey == routingKey})
	s.events = append(s.events, e)
	b := s.behaviour
	s.mu.Unlock()
	switch b {
	case notifytest.Busy:
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	case notifytest.Broken:
		w.WriteHeader(http.StatusInternalServerError)
	case notifytest.Gone:
		w.WriteHeader(http.StatusGone)
	case notifytest.Elsewhere:
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	case notifytest.Silent:
		<-r.Context().Done()
	case notifytest.Flood:
		line := []byte(strings.Repeat("ä", 4096))
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	default:
		if e.RoutingKey != routingKey {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"success","message":"Event processed","dedup_key":"`+e.DedupKey+`"}`)
	}
}

func secrets(name string) (string, bool) {
	return map[string]string{"PD_KEY": routingKey, "PD_OTHER": strings.Repeat("f", 32)}[name], strings.HasPrefix(name, "PD_")
}

func target(url, key string) notify.Target {
	return notify.Target{Settings: notify.Settings{PagerDuty: &notify.PagerDuty{RoutingKeyEnv: key, URL: url}}, Channel: "pagerduty", Class: notify.Declared}
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
		s := &service{}
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nobody := l.Addr().String()
		l.Close()
		return notifytest.Fixture{
			Notifier: New(clock.Wall(), secrets), Target: target(server.URL, "PD_KEY"), Nobody: target("http://"+nobody, "PD_KEY"), Words: true,
			Received: func() []notifytest.Delivery {
				s.mu.Lock()
				defer s.mu.Unlock()
				return append([]notifytest.Delivery(nil), s.got...)
			},
			Behave: func(b notifytest.Behaviour) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.behaviour = b
			},
		}
	})
}

// An incident is one incident there, whatever is said about it.
func TestEvents(t *testing.T) {
	s := &service{}
	server := httptest.NewServer(s)
	defer server.Close()
	sender := New(clock.Wall(), secrets)
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	for i, typ := range []string{"incident.opened", "incident.unanswered", acknowledged, resolved} {
		body, err := json.Marshal(map[string]any{"type": typ, "timestamp": at, "data": map[string]any{"incident": "inc-checkout-20261102t120000", "service": "checkout",
			"team": "payments", "environment": "prod", "severity": 2, "url": "https://flyball.example/incidents/inc-checkout-20261102t120000"}})
		if err != nil {
			t.Fatal(err)
		}
		m := notify.Message{ID: "page-" + typ[len("incident."):], To: target(server.URL, "PD_KEY"), Body: body, Text: notify.Text{
			Title: "SEV2 " + strings.Repeat("ü", 700), Lines: []string{"checkout in prod"}, Urgency: notify.High,
			Links: []notify.Link{{Label: "Acknowledge", URL: "https://flyball.example/act/secret", Act: "acknowledge"}, {Label: "Open", URL: "https://flyball.example/x"}},
		}}
		if r, err := sender.Send(t.Context(), m); err != nil || r.Status != http.StatusAccepted {
			t.Fatal(r, err)
		}
		e := s.events[i]
		want := []string{"trigger", "trigger", "acknowledge", "resolve"}[i]
		if e.EventAction != want || e.DedupKey != "inc-checkout-20261102t120000" || (e.Payload == nil) != (i > 1) {
			t.Errorf("%s is sent as %+v", typ, e)
		}
	}
	e := s.events[0]
	if p := e.Payload; len(p.Summary) > maxSummary || p.Severity != "critical" || p.Source != "checkout" || p.Timestamp != "2026-11-02T12:00:00Z" || p.CustomDetails["team"] != "payments" {
		t.Errorf("payload %+v", p)
	}
	if len(e.Links) != 1 || e.Links[0].Href != "https://flyball.example/x" || e.ClientURL == "" {
		t.Errorf("links %+v: those that act are for one person", e.Links)
	}
	_, err := sender.Send(t.Context(), notify.Message{ID: "m", To: target(server.URL, "PD_OTHER"), Body: []byte(`{}`), Text: notify.Text{Title: "x"}})
	if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "Invalid routing key") {
		t.Errorf("a wrong routing key: %v", err)
	}
	if s.events[len(s.events)-1].DedupKey != "m" {
		t.Errorf("what is no incident is known by its identifier: %+v", s.events[len(s.events)-1])
	}
}
