package incident_test

import (
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// rehearse plays what the room has recorded again, with other resources.
func (r *room) rehearse(file []byte) incident.Comparison {
	r.t.Helper()
	ctx := r.t.Context()
	facts, err := r.Log.Read(ctx, event.Query{Types: incident.Replayed, Limit: 100_000})
	if err != nil {
		r.t.Fatal(err)
	}
	var proposed []resource.Applied
	if file != nil {
		set, findings := resource.Load(resource.NewRegistry(append(catalog.Kinds(), oncall.Kinds()...)...), map[string][]byte{"proposed.yaml": file})
		if set == nil {
			r.t.Fatal(findings)
		}
		for _, o := range set.All() {
			a, err := catalog.Applied(o, "")
			if err != nil {
				r.t.Fatal(err)
			}
			proposed = append(proposed, a)
		}
	}
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), projections()...)
	until := r.clock.Now().Add(time.Second)
	rehearsed, err := incident.Rehearse(ctx, incident.Stage{Log: store.Log(), Reader: store.States(), Clock: c, CatchUp: states.CatchUp}, facts, proposed, until)
	if err != nil {
		r.t.Fatal(err)
	}
	recorded, err := incident.Pagings(ctx, r.Log)
	if err != nil {
		r.t.Fatal(err)
	}
	return incident.Compare(recorded, rehearsed, time.Time{}, until, func(string) *time.Location { return time.UTC })
}

// unchanged requires that a rehearsal with nothing changed pages exactly whom
// the room paged.
func (r *room) unchanged() {
	r.t.Helper()
	if c := r.rehearse(nil); len(c.Differences) > 0 || c.Same != c.Recorded {
		r.t.Errorf("a rehearsal that changes nothing changes:\n%s", c.Tell())
	}
}

// Another schedule moves pages to others; a longer wait moves them in time; a
// team that names no policy has none left.
func TestRehearseChanges(t *testing.T) {
	r := newRoom(t)
	r.declare([]byte(simulatedResources + people))
	for hour := range 4 {
		r.advance(start.Add(time.Duration(hour)*time.Hour+10*time.Minute), func() {})
		if _, err := r.call("incident.declare", developer, `{"service": "checkout", "environment": "prod", "title": "it hurts"}`); err != nil {
			t.Fatal(err)
		}
		r.settle()
		r.advance(r.clock.Now().Add(7*time.Minute), func() {})
		if _, err := r.call("incident.resolve", developer, `{"incident": "`+r.open()+`", "reason": "well"}`); err != nil {
			t.Fatal(err)
		}
		r.settle()
	}
	r.unchanged()
	c := r.rehearse([]byte(`apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: hours}
spec: {timeZone: UTC, layers: [{name: l, start: 2026-11-01, every: 12 months, members: [p4]}]}
---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: p4}, spec: {contacts: [{url: "https://pager.example/p4"}]}}
`))
	moved := 0
	for _, d := range c.Differences {
		if d.What != "moves" || d.Person != "p4" {
			t.Errorf("%+v", d)
		}
		moved++
	}
	if c.Recorded != c.Rehearsed || moved < 4 || c.Same != c.Recorded-moved {
		t.Errorf("%d of %d pages moved:\n%s", moved, c.Recorded, c.Tell())
	}
	c = r.rehearse([]byte("{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: payments}, spec: {}}\n"))
	if c.Rehearsed != 0 || len(c.Differences) != c.Recorded || c.Differences[0].What != "vanishes" {
		t.Errorf("without a policy:\n%s", c.Tell())
	}
}

const people = `---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: p0}, spec: {contacts: [{url: "https://pager.example/p0"}]}}
---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: p1}, spec: {contacts: [{url: "https://pager.example/p1"}]}}
---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: p2}, spec: {contacts: [{url: "https://pager.example/p2"}]}}
---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: p3}, spec: {contacts: [{url: "https://pager.example/p3"}]}}
---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: p4}, spec: {contacts: [{url: "https://pager.example/p4"}]}}
`

// open is the name of the incident that is open.
func (r *room) open() string {
	r.t.Helper()
	list, err := r.call("incident.list", developer, "{}")
	if err != nil {
		r.t.Fatal(err)
	}
	return list.(operation.Page[incident.Incident]).Items[0].Place.Incident
}
