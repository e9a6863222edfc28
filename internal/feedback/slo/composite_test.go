package slo

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCompose(t *testing.T) {
	find := Part{Weight: One, Target: dec("0.99"), Bad: 10, Total: 1000}       // 1 % of 1 %: burn 1
	pay := Part{Weight: 3 * One, Target: dec("0.999"), Bad: 5, Total: 1000000} // a thousand times the traffic
	c, ok := Compose([]Part{find, pay, {Weight: One, Target: dec("0.5")}})
	// errors: 0.01 + 3 × 0.000005; allowed: 0.01 + 3 × 0.001; weights: 4
	if !ok || math.Abs(c.Burn-0.010015/0.013) > 1e-12 || math.Abs(c.SLI-(1-0.010015/4)) > 1e-12 || math.Abs(c.Target-(1-0.013/4)) > 1e-12 {
		t.Errorf("composite = %+v, %v", c, ok)
	}
	if _, ok := Compose([]Part{{Weight: One, Target: dec("0.9")}}); ok {
		t.Error("a composite of nothing is known")
	}
}

func TestCompositeSnapshots(t *testing.T) {
	defs := Decode(read(t, "testdata/good/composite.yaml"))
	e := newEngine(t, time.Minute, march, defs.Objectives...)
	for _, o := range defs.Objectives {
		if _, err := e.Add(o.ID(), march, 990, 1000); err != nil {
			t.Fatal(err)
		}
	}
	e.Tick(march.Add(time.Minute))
	var all []Snapshot
	for s := range e.Snapshots() {
		all = append(all, s)
	}
	got := Composites(all)
	if len(got) != 1 || got[0].Name != "buy" || len(got[0].Members) != 2 || len(got[0].Burns) != 8 {
		t.Fatalf("composites = %+v", got)
	}
	if b := got[0].Burns[0]; !b.Known || math.Abs(b.Burn-0.04/0.013) > 1e-9 || math.Abs(b.SLI-0.99) > 1e-12 {
		t.Errorf("burn = %+v", b)
	}
}

// The budget of a calendar window equals a recount by the local calendar, in
// the replay and live, for random zones across changes of the clocks.
func TestCalendarBudgetEqualsRecount(t *testing.T) {
	zones := []string{"UTC", "America/New_York", "Europe/Zurich", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Auckland"}
	rapid.Check(t, func(t *rapid.T) {
		z, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		unit := rapid.SampledFrom([]Unit{Day, Month, Year}).Draw(t, "unit")
		same := map[Unit]func(a, b time.Time) bool{
			Day:   func(a, b time.Time) bool { return a.Format(time.DateOnly) == b.Format(time.DateOnly) },
			Month: func(a, b time.Time) bool { return a.Format("2006-01") == b.Format("2006-01") },
			Year:  func(a, b time.Time) bool { return a.Year() == b.Year() },
		}[unit]
		o := availability("0.9")
		o.Window = calendar(unit, 1, time.Date(2020, 1, 1, 0, 0, 0, 0, z))
		begin := time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), rapid.IntRange(1, 28).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
		e, err := NewEngine(time.Minute, begin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Put(o); err != nil {
			t.Fatal(err)
		}
		s := NewSeries(time.Minute, 0)
		var events []report
		now := begin
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "pause")) * time.Minute)
			total := rapid.Int64Range(0, 50).Draw(t, "total")
			ev := report{now, rapid.Int64Range(0, total).Draw(t, "good"), total}
			events = append(events, ev)
			e.Tick(now)
			if _, err := e.Add(o.ID(), ev.at, ev.good, ev.total); err != nil {
				t.Fatal(err)
			}
			if err := s.Add(ev.at, ev.good, ev.total); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "after")) * time.Minute)
		e.Tick(now)
		var good, total int64
		for _, ev := range events {
			if same(ev.at.In(z), now.Add(-1).In(z)) {
				good, total = good+ev.good, total+ev.total
			}
		}
		budget, seen := o.Budget(s, now)
		if seen.Good != good || seen.Total != total {
			t.Fatalf("%s at %v: %d of %d, recount %d of %d", o.Window, now.In(z), seen.Good, seen.Total, good, total)
		}
		live, err := e.Snapshot(o.ID())
		if err != nil {
			t.Fatal(err)
		}
		if live.Good != float64(good) || live.Total != float64(total) || live.Budget.Spent != budget.Spent {
			t.Fatalf("%s at %v: live %v of %v, recount %d of %d", o.Window, now.In(z), live.Good, live.Total, good, total)
		}
	})
}
