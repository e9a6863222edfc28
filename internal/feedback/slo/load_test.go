package slo

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// A history that is loaded at once gives what it gives slot by slot.
func TestLoadEqualsLive(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		now := time.Date(2026, 3, 29, 3, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 3*86400).Draw(r, "seconds")) * time.Second)
		window := rapid.SampledFrom([]Window{Days(1), Days(7), Days(30), {Calendar: &Calendar{Unit: Week, Count: 1, Start: time.Date(2026, 1, 5, 0, 0, 0, 0, zone)}}}).Draw(r, "window")
		o := &Objective{Service: "s", Environment: "prod", Name: "o", Target: MustDecimal("0.99"), Method: Occurrences, Weight: One, Window: window,
			Indicator: Indicator{Kind: Availability}, AlertPolicies: DefaultPolicies(Occurrences)}
		e, err := NewEngine(time.Minute, now)
		if err != nil {
			r.Fatal(err)
		}
		events := NewSeries(time.Minute, 0)
		at := now.Add(-time.Duration(rapid.IntRange(0, 40*1440).Draw(r, "back")) * time.Minute).Truncate(time.Minute)
		for at.Before(now.Add(5 * time.Minute)) {
			if err := events.Add(at, rapid.Int64Range(0, 100).Draw(r, "good"), rapid.SampledFrom([]int64{100, 1000, 1 << 33}).Draw(r, "total")); err != nil {
				r.Fatal(err)
			}
			at = at.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 1, 2, 7, 61, 1440, 5000}).Draw(r, "step")) * time.Minute)
		}
		slow := e.newLiveAt(o, now.Add(-90*24*time.Hour))
		for slot := range events.Slots() {
			if slot.Time.Before(now.Add(MaxSkew)) {
				slow.add(slot.Time.UnixNano(), slot.Good, slot.Total, time.Minute, 1)
			}
		}
		slow.meter.advance(now.UnixNano())
		fast := e.loaded(o, events)
		if fast.first != slow.first || fast.meter.asOf != slow.meter.asOf || !reflect.DeepEqual(fast.meter.sums, slow.meter.sums) || !reflect.DeepEqual(fast.meter.period, slow.meter.period) {
			r.Fatalf("at once %+v %+v, slot by slot %+v %+v", fast.meter.sums, fast.meter.period, slow.meter.sums, slow.meter.period)
		}
		for i := range fast.meter.cells.len() {
			if fast.meter.cells.get(i) != slow.meter.cells.get(i) {
				r.Fatalf("cell %d: at once %+v, slot by slot %+v", i, fast.meter.cells.get(i), slow.meter.cells.get(i))
			}
		}
	})
}

// Many objectives come back at once, each with its own counts, from checkpoints
// and from history.
func TestManyComeBack(t *testing.T) {
	h := newHouse(t, march)
	for i := range 2 * few {
		name := fmt.Sprintf("answers-%03d", i)
		b, err := json.Marshal(resource.Document{Line: 1})
		h.ok(err)
		h.applied(resource.Applied{APIVersion: "openslo/v1", Kind: "SLO", Metadata: resource.Metadata{Name: name}, Spec: b, File: name + ".yaml",
			Text: queried(name, "checkout", "0.99", "30d", "", fmt.Sprintf("{n=\"%d\"}", i))})
	}
	h.declare()
	fed, err := h.Indicators(t.Context())
	h.ok(err)
	for i, f := range fed {
		h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Until: march, Counts: []Counted{{Slots: []Slot{
			{march.Add(-10 * 24 * time.Hour), int64(i), int64(1000 + i)}, {march.Add(-time.Minute), 1, 1}}}}}))
	}
	for _, kept := range []bool{false, true} {
		if kept {
			h.ok(h.Checkpoint(t.Context(), 0))
		}
		h.clock.Advance(time.Minute)
		h.restart()
		for i, f := range fed {
			if s := h.shown(f.Objectives[0].Key()); len(fed) != 2*few || s.Good != float64(1+i) || s.Total != float64(1001+i) {
				t.Fatalf("%s has %v of %v after a restart, want %d of %d (kept %v)", s.ID, s.Good, s.Total, 1+i, 1001+i, kept)
			}
		}
	}
}
