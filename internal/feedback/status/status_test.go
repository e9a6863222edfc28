package status_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// What is measured becomes a draft, a person's words go out, and so does that
// it is over. Nothing is public in between.
func TestAPersonsWordsGoOut(t *testing.T) {
	r := newRoom(t)
	r.declare(page)
	r.counts.set("checkout", "availability", slo.Availability, 30, 100, "page")
	r.pass(90 * time.Second)
	if s := r.show(); len(s.Drafts) != 0 || s.Components[0].Seen != status.Partial {
		t.Fatalf("before it has settled:\n%s", s.Tell())
	}
	r.pass(time.Minute)
	d := r.draft()
	if d.Title != "Payments: partial outage" || d.Phase != status.Investigating || d.Components["pay"] != status.Partial || !strings.Contains(d.Because, "30 of 100 events of checkout.prod.availability") {
		t.Errorf("drafted %+v", d)
	}
	if v := r.view(); v.Overall != status.Operational || len(v.Open) != 0 {
		t.Error("a draft is public")
	}
	contains(t, r.index(), `"Overall":"operational"`)

	if _, err := r.try(stranger, "statuspage.post", status.PostInput{Page: "public", Draft: d.ID}); problem.KindOf(err) != problem.Denied {
		t.Errorf("somebody of another team: %v", err)
	}
	n := r.say(status.PostInput{Draft: d.ID, Text: "One of our card processors is down. Invoices work.", Components: []string{"pay=degraded_performance"}})
	if n.Name != "n1" || n.Components["pay"] != status.Degraded || n.Updates[0].By != "user:ben" {
		t.Errorf("posted %+v", n)
	}
	v := r.view()
	if v.Overall != status.Degraded || len(v.Open) != 1 || v.Open[0].Updates[0].By != "" {
		t.Errorf("everybody sees %+v", v)
	}
	contains(t, r.index(), "One of our card processors is down.", `"Overall":"degraded_performance"`)
	if text := r.index(); strings.Contains(text, "checkout") || strings.Contains(text, "ben") || strings.Contains(text, "30 of 100") {
		t.Errorf("what is not for everybody is on the page:\n%s", text)
	}
	// What they have said stands, though something else is measured.
	r.pass(time.Hour)
	if s := r.show(); len(s.Drafts) != 0 {
		t.Errorf("overruled by\n%s", s.Tell())
	}
	r.counts.set("checkout", "availability", slo.Availability, 0, 100, "")
	r.pass(5 * time.Minute)
	if s := r.show(); len(s.Drafts) != 0 {
		t.Errorf("too soon:\n%s", s.Tell())
	}
	r.pass(6 * time.Minute)
	d = r.draft()
	if d.Notice != "n1" || d.Phase != status.Resolved || d.Text != "Payments works as usual again." {
		t.Errorf("drafted %+v", d)
	}
	r.say(status.PostInput{Draft: d.ID})
	if v := r.view(); v.Overall != status.Operational || len(v.Open) != 0 || len(v.Past) != 1 || v.Past[0].ResolvedAt.IsZero() {
		t.Errorf("at the end: %+v", v)
	}
	contains(t, r.index(), `"Overall":"operational"`, "works as usual again")
	if _, err := r.try(developer, "statuspage.post", status.PostInput{Page: "public", Draft: d.ID}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a draft posted twice: %v", err)
	}
}

// A draft that is no more so is withdrawn; one that was discarded does not come
// back until something else is measured.
func TestDraftsGo(t *testing.T) {
	r := newRoom(t)
	r.declare(page)
	r.counts.set("search", "availability", slo.Availability, 60, 100, "")
	r.pass(3 * time.Minute)
	first := r.draft()
	if first.Title != "Search: major outage" {
		t.Errorf("drafted %+v", first)
	}
	r.counts.set("search", "availability", slo.Availability, 20, 100, "")
	r.pass(3 * time.Minute)
	second := r.draft()
	if second.ID == first.ID || second.Title != "Search: partial outage" {
		t.Errorf("then %+v", second)
	}
	if _, err := r.try(developer, "statuspage.post", status.PostInput{Page: "public", Draft: first.ID}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("posted what has changed: %v", err)
	}
	if _, err := r.try(developer, "statuspage.discard", status.DiscardInput{Page: "public", Draft: second.ID, Reason: "a load test"}); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Hour)
	if s := r.show(); len(s.Drafts) != 0 {
		t.Errorf("it came back:\n%s", s.Tell())
	}
	r.counts.set("search", "availability", slo.Availability, 0, 100, "")
	r.pass(time.Minute)
	r.counts.set("search", "availability", slo.Availability, 20, 100, "")
	r.pass(3 * time.Minute)
	if d := r.draft(); d.ID == second.ID {
		t.Error("another outage has the same draft")
	}
	// No data is neither good nor bad.
	r.counts.set("search", "availability", slo.Availability, 0, 0, "")
	r.pass(time.Hour)
	if s := r.show(); s.Components[1].Seen != status.Partial || len(s.Drafts) != 1 {
		t.Errorf("without data:\n%s", s.Tell())
	}
}

// A page that is automatic needs nobody.
func TestAutomatic(t *testing.T) {
	r := newRoom(t)
	r.declare(strings.Replace(page, "  title: Acme\n", "  title: Acme\n  automatic: true\n", 1))
	r.counts.set("checkout", "availability", slo.Availability, 90, 100, "page")
	r.counts.set("search", "latency", slo.Latency, 90, 100, "page")
	r.pass(3 * time.Minute)
	v := r.view()
	if v.Overall != status.Major || len(v.Open) != 1 || v.Open[0].Title != "Payments and Search: major outage" || v.Open[0].Components["find"] != status.Degraded {
		t.Fatalf("%+v", v.Open)
	}
	r.counts.set("checkout", "availability", slo.Availability, 0, 100, "")
	r.pass(11 * time.Minute)
	if v = r.view(); v.Overall != status.Degraded || len(v.Open) != 1 || len(v.Open[0].Updates) != 2 {
		t.Errorf("half of it is well: %+v", v.Open)
	}
	r.counts.set("search", "latency", slo.Latency, 0, 100, "")
	r.pass(11 * time.Minute)
	if v = r.view(); v.Overall != status.Operational || len(v.Past) != 1 || v.Past[0].Impact != status.Major {
		t.Errorf("all is well: %+v", v.Past)
	}
}

// What an incident says for everybody is a draft, and so is that it has ended.
func TestIncidentsSpeak(t *testing.T) {
	r := newRoom(t)
	r.declare(page)
	r.says("inc-checkout-1", "the primary of pg-7 is gone", false)
	if s := r.show(); len(s.Drafts) != 0 {
		t.Fatalf("what is not public was drafted:\n%s", s.Tell())
	}
	r.says("inc-checkout-1", "Some payments fail. We have found out why.", true)
	r.pass(10 * time.Second)
	d := r.draft()
	if d.Text != "Some payments fail. We have found out why." || d.Incident != "inc-checkout-1" || d.Components["pay"] != status.Degraded || d.Notice != "" {
		t.Errorf("drafted %+v", d)
	}
	n := r.say(status.PostInput{Draft: d.ID, Title: "Failing payments", Phase: "identified"})
	r.says("inc-checkout-1", "The fix is on its way.", true)
	r.pass(10 * time.Second)
	if d = r.draft(); d.Notice != n.Name || d.Title != "Failing payments" || d.Phase != status.Identified {
		t.Errorf("the second: %+v", d)
	}
	r.say(status.PostInput{Draft: d.ID})
	r.record("incident/checkout.prod", event.Draft{Type: incident.EventResolved, Subject: "incident/inc-checkout-1", Actor: "user:ana",
		Data: incident.Said{Place: incident.Place{Incident: "inc-checkout-1", Service: "checkout", Environment: "prod"}, Reason: "failed over"}})
	r.pass(10 * time.Second)
	if d = r.draft(); d.Phase != status.Resolved || d.Notice != n.Name {
		t.Errorf("at its end: %+v", d)
	}
	r.say(status.PostInput{Draft: d.ID})
	if v := r.view(); len(v.Past) != 1 || len(v.Past[0].Updates) != 3 || v.Past[0].Incident != "" {
		t.Errorf("%+v", v.Past)
	}
}

// Planned work is shown, and nothing is drafted about what is worked on.
func TestMaintenance(t *testing.T) {
	r := newRoom(t)
	r.declare(page + `---
apiVersion: flyball.dev/v1
kind: MaintenanceWindow
metadata: {name: move}
spec: {title: Moving the database, reason: pg-7 is old, services: [checkout], from: 2026-11-02T13:00:00Z, to: 2026-11-02T14:00:00Z, public: true, text: Payments may fail for a minute.}
---
apiVersion: flyball.dev/v1
kind: MaintenanceWindow
metadata: {name: secret}
spec: {reason: not for everybody, services: [search], from: 2026-11-02T13:00:00Z, to: 2026-11-02T14:00:00Z}
`)
	r.pass(time.Minute)
	if v := r.view(); len(v.Maintenance) != 1 || v.Maintenance[0].Phase != status.Scheduled || v.Overall != status.Operational {
		t.Fatalf("planned: %+v", v.Maintenance)
	}
	contains(t, r.index(), "Moving the database", "Payments may fail for a minute.", "scheduled")
	r.counts.set("checkout", "availability", slo.Availability, 90, 100, "page")
	r.clock.AdvanceTo(start.Add(time.Hour))
	r.settle()
	r.pass(10 * time.Minute)
	if v := r.view(); v.Overall != status.Maintained {
		t.Errorf("meanwhile: %s", v.Overall)
	}
	if s := r.show(); len(s.Drafts) != 0 {
		t.Errorf("drafted what is worked on:\n%s", s.Tell())
	}
	contains(t, r.index(), `"Overall":"under_maintenance"`)
	if text := r.index(); strings.Contains(text, "not for everybody") || strings.Contains(text, "pg-7") {
		t.Error("a reason is public")
	}
	r.pass(51 * time.Minute)
	if v := r.view(); len(v.Maintenance) != 0 || len(v.Done) != 1 {
		t.Errorf("afterwards: %+v, %+v", v.Maintenance, v.Done)
	}
	if d := r.draft(); d.Components["pay"] != status.Major {
		t.Errorf("it is not well after the work: %+v", d)
	}
}

func TestRefusals(t *testing.T) {
	r := newRoom(t)
	r.declare(page)
	for message, in := range map[string]status.PostInput{
		"has a title of one line":         {Text: "x"},
		"has a text":                      {Title: "x"},
		"is not a component of this page": {Title: "x", Text: "y", Components: []string{"mail=major_outage"}},
		"is not a component of this":      {Title: "x", Text: "y", Components: []string{"pay=under_maintenance"}},
		"leaves its components":           {Title: "x", Text: "y", Phase: "resolved", Components: []string{"pay=major_outage"}},
		"there is no open notice":         {Title: "x", Text: "y", Notice: "n7"},
		"there is no draft":               {Draft: "d0"},
		"there is no status page":         {Page: "private", Title: "x", Text: "y"},
		"must be one of":                  {Title: "x", Text: "y", Phase: "fixed"},
		"of one line and up to 200":       {Title: "a\nb", Text: "y"},
		"of up to 10000 bytes":            {Title: "x", Text: strings.Repeat("y", 10_001)},
	} {
		if in.Page == "" {
			in.Page = "public"
		}
		_, err := r.try(developer, "statuspage.post", in)
		if err == nil || !strings.Contains(problemText(err), message) {
			t.Errorf("%+v: %v, want %q", in, err, message)
		}
	}
	if v := r.view(); len(v.Open)+len(v.Past) != 0 {
		t.Error("something was posted")
	}
}

func problemText(err error) string {
	text := err.Error()
	var p *problem.Error
	if errors.As(err, &p) {
		for _, f := range p.Findings {
			text += "\n" + f.String()
		}
	}
	return text
}
