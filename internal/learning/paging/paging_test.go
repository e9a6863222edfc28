package paging_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/paging"
)

var start = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// A month of facts, as recorded, makes this report.
func TestReport(t *testing.T) {
	ctx := t.Context()
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), paging.Projection())
	say := func(after time.Duration, actor, typ, data string) {
		t.Helper()
		c.AdvanceTo(start.Add(after))
		_, err := store.Log().Append(ctx, event.Batch{Stream: "incident/x", Expect: event.AnyVersion, Drafts: []event.Draft{{Type: typ, Actor: actor, Time: c.Now(), Data: json.RawMessage(data)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	const machine = "controller:incident"
	// One at noon, answered after two minutes, worked on, and caused by a rollout.
	say(12*time.Hour, machine, "incident.opened", `{"incident":"i1","service":"checkout","team":"payments","environment":"prod","severity":2,"title":"burns","kind":"alert","role":"trigger","alert":"a","objective":"checkout.prod.availability"}`)
	say(12*time.Hour, machine, "incident.paged", `{"incident":"i1","people":["ana"],"webhooks":1,"step":1}`)
	say(12*time.Hour+2*time.Minute, "user:ana", "incident.acknowledged", `{"incident":"i1"}`)
	say(12*time.Hour+3*time.Minute, "user:ana", "incident.linked", `{"incident":"i1","kind":"promotion","role":"culprit","rollout":"checkout-1"}`)
	say(13*time.Hour, "user:ana", "incident.resolved", `{"incident":"i1"}`)
	// Two at night (23:30 and 05:30 in Berlin): one night, nobody did anything.
	for i, at := range []time.Duration{22*time.Hour + 30*time.Minute, 28*time.Hour + 30*time.Minute} {
		name := string(rune('b' + i))
		say(at, machine, "incident.opened", `{"incident":"`+name+`","service":"checkout","team":"payments","environment":"prod","severity":2,"title":"disk","kind":"alert","role":"trigger","alert":"d"}`)
		say(at, machine, "incident.paged", `{"incident":"`+name+`","people":["ana"],"webhooks":1,"step":1}`)
		say(at+5*time.Minute, machine, "incident.paged", `{"incident":"`+name+`","people":["ben"],"webhooks":1,"step":2}`)
		say(at+6*time.Minute, "user:ben", "incident.acknowledged", `{"incident":"`+name+`"}`)
		say(at+20*time.Minute, "user:ben", "incident.resolved", `{"incident":"`+name+`"}`)
	}
	// One is open still, another paged nobody.
	say(40*time.Hour, machine, "incident.opened", `{"incident":"o","service":"search","team":"discovery","environment":"prod","severity":2,"title":"down"}`)
	say(40*time.Hour, machine, "incident.paged", `{"incident":"o","webhooks":2}`)
	say(41*time.Hour, machine, "incident.opened", `{"incident":"n","service":"search","team":"discovery","environment":"staging","severity":4,"title":"down"}`)
	say(41*time.Hour, machine, "incident.paged", `{"incident":"n","webhooks":0}`)
	if err := states.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c.AdvanceTo(start.Add(7 * 24 * time.Hour))
	desk := &paging.Desk{Reader: store.States(), Clock: c, Look: lookup(berlin)}
	got, err := desk.Show(ctx, paging.ShowInput{From: start})
	if err != nil {
		t.Fatal(err)
	}
	if want := `2026-11-02 to 2026-11-09: 6 pages in 4 incidents
answered after 6 min (median of 3; 90 % within 6 min)
resolved after 20 min (median of 3; 90 % within 60 min)
4 of 5 pages led to nothing (80 %)
1 of 1 pages caused by a change reached the team whose change it was (100 %)
  ana                    3 pages, 3.0 a week; 2 at night, in 1 nights; 2 led to nothing
  ben                    2 pages, 2.0 a week; 2 at night, in 1 nights; 2 led to nothing
  (webhooks)             1 pages, 1.0 a week; 0 at night, in 0 nights; 0 led to nothing
  noise: 4 of 4 pages of DiskFull, charged to storage`; got.Tell() != want {
		t.Errorf("got\n%s\nwant\n%s", got.Tell(), want)
	}
	if got, err = desk.Show(ctx, paging.ShowInput{From: start, Team: "discovery"}); err != nil || got.Pages != 1 || got.Over != 0 {
		t.Errorf("of one team: %+v, %v", got, err)
	}
	if _, err := desk.Show(ctx, paging.ShowInput{From: start.Add(-500 * 24 * time.Hour)}); err == nil {
		t.Error("a period of 500 days is accepted")
	}
}

// lookup knows the people and rules of the story.
func lookup(zone *time.Location) func(context.Context, projection.Reader) paging.Lookup {
	return func(context.Context, projection.Reader) paging.Lookup {
		return paging.Lookup{
			Zone: func(string) *time.Location { return zone },
			Rule: func(c paging.Case) (string, string) {
				if c.Alert == "d" {
					return "DiskFull", "storage"
				}
				return "", ""
			},
			Author: func(rollout string) string { return map[string]string{"checkout-1": "payments"}[rollout] },
			Member: func(person, team string) bool { return person == "ana" && team == "payments" },
		}
	}
}
