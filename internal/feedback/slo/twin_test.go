package slo

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The watcher equals a recount of everything that was ever recorded: for random
// histories in random order, late and corrected, with groups, exclusions,
// checkpoints, restarts after any pause, and a change of target and window; and
// live equals what a fresh start without checkpoints computes.
func TestWatcherEqualsRecount(t *testing.T) {
	windows := map[string]string{"1d": "30d", "7d": "1d", "30d": "7d"}
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse(t, march.Add(40*day))
		window := rapid.SampledFrom([]string{"1d", "7d", "30d"}).Draw(rt, "window")
		annotations := ""
		if rapid.Bool().Draw(rt, "grouped") {
			annotations = ", flyball.dev/group-by: route, flyball.dev/max-groups: \"2\""
		}
		h.slo("answers", queried("answers", "checkout", "0.99", window, annotations, ""))
		key, f, raw := "checkout.prod.answers", h.fed(), map[int64]counted{}
		var out []Span
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"record", "record", "record", "pass", "checkpoint", "restart", "exclude", "change"}).Draw(rt, "step") {
			case "record":
				back := time.Duration(rapid.SampledFrom([]int{0, 1, 5, 59, 61, 300, 1500, 9000, 40000}).Draw(rt, "back")) * time.Minute
				from := h.clock.Now().Truncate(time.Minute).Add(-back)
				r, given := Recording{Indicator: f.ID}, map[int64]counted{}
				for i := range rapid.IntRange(1, 4).Draw(rt, "slots") {
					at := from.Add(-time.Duration(i*rapid.IntRange(1, 9).Draw(rt, "stride")) * time.Minute)
					total := rapid.Int64Range(0, 1000).Draw(rt, "total")
					slot := Slot{at, rapid.Int64Range(0, total).Draw(rt, "good"), total}
					r.Counts = append(r.Counts, Counted{Labels: map[string]string{"route": fmt.Sprint(i)}, Slots: []Slot{slot}})
					was := given[at.Unix()]
					given[at.Unix()] = counted{was.good + slot.Good, was.total + slot.Total}
				}
				h.ok(h.Record(t.Context(), r))
				for at, n := range given {
					raw[at] = n
				}
			case "pass":
				h.pass(time.Duration(rapid.SampledFrom([]int{1, 60, 299, 7200, 80000}).Draw(rt, "seconds")) * time.Second)
			case "checkpoint":
				h.ok(h.Checkpoint(t.Context(), 0))
			case "restart":
				h.clock.Advance(time.Duration(rapid.IntRange(0, 400).Draw(rt, "pause")) * time.Minute)
				h.restart()
			case "exclude":
				from := h.clock.Now().Add(-time.Duration(rapid.IntRange(0, 3000).Draw(rt, "from")) * time.Minute)
				span := Span{from, from.Add(time.Duration(rapid.IntRange(1, 2000).Draw(rt, "length")) * time.Minute)}
				_, err := h.call("slo.exclude", map[string]any{"objective": key, "from": span.From, "to": span.To, "reason": "x"})
				h.ok(err)
				out = append(out, span)
			case "change":
				window = windows[window]
				h.slo("answers", queried("answers", "checkout", "0.95", window, annotations, ""))
			}
			h.pass(time.Second)
			live := h.shown(key)
			bad, total := recountSpan(raw, live.Window, nil)
			if live.Raw != nil && (live.Raw.Total != total || live.Raw.Total-live.Raw.Good != bad) {
				rt.Fatalf("raw: %v bad of %v, recount %v of %v", live.Raw.Total-live.Raw.Good, live.Raw.Total, bad, total)
			}
			bad, total = recountSpan(raw, live.Window, out)
			if live.Total != total || live.Total-live.Good != bad {
				rt.Fatalf("%v bad of %v, recount %v of %v in %v", live.Total-live.Good, live.Total, bad, total, live.Window)
			}
			sum := 0.0
			for _, s := range h.groups.Standings(func(*Objective) bool { return true }, false) {
				sum += s.Total
			}
			if annotations != "" && sum != total {
				rt.Fatalf("groups add up to %v, the whole is %v", sum, total)
			}
			d, err := h.find(key)
			h.ok(err)
			fresh := newEngine(t, time.Minute, h.clock.Now(), d.objective)
			history, err := h.Adjusted(t.Context(), key, d.objective.reach(h.clock.Now()), h.clock.Now().Add(MaxSkew))
			h.ok(err)
			h.ok(fresh.Load(d.objective.ID(), history))
			again, err := fresh.Snapshot(d.objective.ID())
			h.ok(err)
			if a, b := fmt.Sprint(live.Burns), fmt.Sprint(again.Burns); a != b {
				rt.Fatalf("live\n%s\nloaded\n%s", a, b)
			}
		}
	})
}

// recountSpan counts minute by minute what a span saw that nothing excludes.
func recountSpan(raw map[int64]counted, in Span, out []Span) (bad, total float64) {
	for at, n := range raw {
		from := time.Unix(at, 0)
		if !from.Before(in.From) && from.Before(in.To) && !touches(out, from, from.Add(time.Minute)) {
			bad, total = bad+float64(n.total-n.good), total+float64(n.total)
		}
	}
	return bad, total
}
