package webtest_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/face/statuspage"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// publicPage is what the company's customers read.
const publicPage = `---
apiVersion: flyball.dev/v1
kind: StatusPage
metadata: {name: public}
spec:
  title: Acme
  description: How the shop, its search and its mails are.
  url: https://status.acme.example
  timeZone: Europe/Vienna
  support: mailto:help@acme.example
  publish: [{directory: /srv/www/status}, {git: "git@example.org:acme/status.git"}]
  components:
  - {name: shop, title: Shop, description: Carts and payments, service: checkout, environment: prod, group: Customers}
  - {name: find, title: Search, service: search, environment: prod, group: Customers}
  - {name: accounts, title: Accounts, service: accounts, environment: prod, group: Customers}
  - {name: phone, title: Telephone, description: Weekdays from nine to five}
---
apiVersion: flyball.dev/v1
kind: MaintenanceWindow
metadata: {name: move}
spec: {title: Moving the accounts, reason: the old rack goes, services: [accounts], from: 2026-11-24T22:00:00Z, to: 2026-11-24T23:30:00Z, public: true, text: You may have to sign in again.}
`

func (h *house) statusPages() *status.Pages {
	return &status.Pages{Log: h.store.Log(), Reader: h.store.States(), Clock: h.clock, Sync: h.sync, Objectives: h.watcher, Render: statuspage.Render}
}

// statusPage is told of the outage: what was posted once, what is posted now,
// and a draft that waits.
func (s *story) statusPage(i incident.Incident) {
	now := s.clock.Now()
	record := func(typ string, at time.Time, data any) {
		s.append("status/public", event.Draft{Type: typ, Subject: "status/public", Time: at, Actor: "user:dana", Data: data})
	}
	shop := func(state status.State) map[string]status.State { return map[string]status.State{"shop": state} }
	began := now.AddDate(0, 0, -4)
	record(status.EventPosted, began, status.Post{Page: "public", Opens: true, Said: status.Said{Notice: "n1", Title: "Payments fail for some", Phase: status.Investigating, Text: "One in a hundred payments is refused. Trying again helps.", Components: shop(status.Degraded)}})
	record(status.EventPosted, began.Add(time.Hour), status.Post{Page: "public", Said: status.Said{Notice: "n1", Title: "Payments fail for some", Phase: status.Resolved, Text: "Payments work as usual again. Nobody was charged twice.", Components: shop(status.Operational)}})
	find := map[string]status.State{"find": status.Partial}
	record(status.EventObserved, now, status.Observed{Page: "public", Component: "find", State: status.Partial, Since: now, Objective: "search.prod.availability", Reason: "970 of 3600 events of search.prod.availability were bad over 5m (27 %)"})
	record(status.EventPosted, now, status.Post{Page: "public", Opens: true, Said: status.Said{Notice: "n2", Title: "Search finds little", Phase: status.Investigating, Text: "Searches fail or come back empty. We are looking into it.", Components: find, Incident: i.Place.Incident, NextDue: now.Add(30 * time.Minute)}})
	record(status.EventProposed, now, status.Draft{ID: "d3f2a91c", Page: "public", Because: i.Place.Incident + " has an update for everybody",
		Said: status.Said{Notice: "n2", Title: "Search finds little", Phase: status.Identified, Text: "We have found out why, and are moving to another machine.", Components: find, Incident: i.Place.Incident}})
}

// What everybody reads is readable for everybody: no fault of axe, no script, no
// request elsewhere, not too wide for a small screen.
func TestPublicPagesInTheBrowser(t *testing.T) {
	h := storied(t)
	b := h.tab(t, browser(t), false)
	for _, p := range []shown{{"public", "/status/public/"}, {"public-notice", "/status/public/notices/n2.html"}, {"public-component", "/status/public/components/shop.html"},
		{"public-history", "/status/public/history/index.html"}, {"public-month", "/status/public/history/2026-11.html"}} {
		b.view("light", 1280, 900)
		b.open(p.path)
		for _, scheme := range schemes {
			for _, width := range widths {
				b.view(scheme, width, 900)
				b.look(p, scheme, width)
			}
		}
		for _, f := range b.faults() {
			t.Errorf("%s: %s", p.path, f)
		}
	}
}

// A person edits a draft in the browser's form, and everybody reads their words.
func TestADraftIsPosted(t *testing.T) {
	h := changed(t)
	c := h.client(true)
	draft := "d" + rand.Text()
	_, err := h.store.Log().Append(t.Context(), event.Batch{Stream: "status/public", Expect: event.AnyVersion, Drafts: []event.Draft{{Type: status.EventProposed, Subject: "status/public", Time: h.clock.Now(), Actor: "controller:status",
		Data: status.Draft{ID: draft, Page: "public", Because: "970 of 3600 events were bad", Said: status.Said{Notice: "n2", Title: "Search finds little", Phase: status.Identified, Text: "It is another machine.", Components: map[string]status.State{"find": status.Partial}}}}}})
	h.do(err)
	h.do(h.sync(t.Context()))
	_, body := h.get(c, "/statuspages/public")
	for _, want := range []string{`name="draft" value="` + draft + `"`, "It is another machine.", "970 of 3600 events"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	form := url.Values{"page": {"public"}, "draft": {draft}, "title": {"Search finds little"}, "text": {"Found <it>. Searches work again in an hour."}, "phase": {"identified"},
		"component": {"find=degraded_performance", ""}, "_back": {"/statuspages/public"}, "_key": {draft}}
	for range 2 { // sent twice, as an impatient person does
		if code, at, text := h.post(c, "/operations/statuspage.post", "same-origin", form); code != http.StatusSeeOther && code != http.StatusOK {
			t.Fatalf("%d %s %s", code, at, text)
		}
	}
	if _, body = h.get(c, "/statuspages/public"); strings.Contains(body, draft) {
		t.Error("the draft still waits")
	}
	h.clock.Advance(11 * time.Second) // a page that is served is not made anew at once
	_, body = h.get(h.client(false), "/status/public/")
	for _, want := range []string{"Found &lt;it&gt;. Searches work again in an hour.", "degraded performance", "Some of it is slower"} {
		if !strings.Contains(body, want) {
			t.Errorf("everybody's page lacks %s", want)
		}
	}
	if strings.Contains(body, "inc-search") || strings.Contains(body, "dana") || strings.Contains(body, "search.prod") {
		t.Error("everybody's page says what is internal")
	}
}
