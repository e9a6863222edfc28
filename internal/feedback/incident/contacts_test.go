package incident_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/webhook"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
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
	page := incident.PageType(webhook.NewWith(clock.Wall(), func(string) (string, bool) { return "", false }), "")
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
			p.Contacts = append(p.Contacts, oncall.Contact{URL: server.URL + "/" + name})
		}
		_, err := page.Run(t.Context(), action.Action{Proposal: action.Proposal{ID: "page-x", Params: action.Params(p)}})
		if problem.KindOf(err) != c.want || len(asked) != c.asked {
			t.Errorf("%s: %v after %q", c.contacts, err, asked)
		}
	}
}
