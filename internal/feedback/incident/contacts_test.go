package incident_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/webhook"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// A person's contacts are tried in order until one accepts. While one of them
// may accept later, the page is tried again; it is over when none can.
func TestContacts(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked = append(asked, q.URL.Path)
		switch q.URL.Path {
		case "/busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/gone":
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer server.Close()
	post := &channel.Post{Notifier: webhook.NewWith(clock.Wall(), func(string) (string, bool) { return "", false }), Clock: clock.Wall()}
	page := incident.PageTypes(post)[0]
	for _, c := range []struct {
		contacts string
		want     problem.Kind
		asked    int
	}{
		{"good", "", 1}, {"busy good", "", 2}, {"gone good", "", 2}, {"good busy", "", 1},
		{"busy gone", problem.Unavailable, 2}, {"gone busy", problem.Unavailable, 2}, {"gone gone", problem.Invalid, 2},
	} {
		asked = nil
		p := incident.Page{Type: incident.PageOpened}
		for name := range strings.FieldsSeq(c.contacts) {
			p.Contacts = append(p.Contacts, channel.Contact{URL: server.URL + "/" + name})
		}
		_, err := page.Run(t.Context(), action.Action{Proposal: action.Proposal{ID: "page-x", Params: action.Params(p)}})
		if problem.KindOf(err) != c.want || len(asked) != c.asked {
			t.Errorf("%s: %v after %q", c.contacts, err, asked)
		}
	}
}

// A reminder waits until it is due.
func TestReminder(t *testing.T) {
	due := start.Add(2 * time.Minute)
	in := control.GateInput{Action: action.Action{Proposal: action.Proposal{Params: action.Params(incident.Page{Due: due})}}}
	if g, again := incident.RemindGate(in, start); g.Phase != action.Blocked || !again.Equal(due) {
		t.Errorf("before it is due: %+v, again at %s", g, again)
	}
	if g, _ := incident.RemindGate(in, due); g.Phase != action.Allowed {
		t.Errorf("when it is due: %+v", g)
	}
}

// What a person's rules put off is not sent once somebody has answered.
func TestAnsweredBeforeReminder(t *testing.T) {
	for _, answered := range []bool{false, true} {
		var got []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { got = append(got, q.URL.Path) }))
		defer server.Close()
		post := &channel.Post{Notifier: webhook.NewWith(clock.Wall(), func(string) (string, bool) { return "", false }), Clock: clock.Wall()}
		executor := control.NewExecutor(nil, incident.PageTypes(post)...)
		r := newRoom(t, executor)
		post.Reader = r.store.States()
		r.apply(catalog.KindTeam, "payments", catalog.TeamSpec{Escalation: "payments"})
		r.apply(oncall.KindEscalation, "payments", oncall.EscalationSpec{Steps: []oncall.Step{{Notify: []oncall.Target{{Person: "ana"}}, Wait: time.Hour}}})
		r.apply(oncall.KindPerson, "ana", oncall.PersonSpec{
			Contacts: []channel.Contact{{Name: "push", URL: server.URL + "/push"}, {Name: "phone", URL: server.URL + "/phone"}},
			Rules:    oncall.Rules{Low: []oncall.Rule{{Contact: "push"}, {Contact: "phone", After: 5 * time.Minute}}},
		})
		r.record("rollout/checkout-3f2a91c-prod-1", event.Draft{Type: "rollout.rolled_back", Actor: "controller:rollout", Data: json.RawMessage(rolledBack)})
		r.settle()
		if answered {
			if _, err := r.call("incident.ack", developer, `{"incident":"inc-checkout-20261102t120000"}`); err != nil {
				t.Fatal(err)
			}
		}
		r.clock.Advance(4 * time.Minute)
		r.settle()
		if !slices.Equal(got, []string{"/push"}) {
			t.Fatalf("before the reminder is due: %q", got)
		}
		r.clock.Advance(2 * time.Minute)
		r.settle()
		want := []string{"/push", "/phone"}
		if answered {
			want = want[:1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("answered %t: %q, want %q", answered, got, want)
		}
	}
}
