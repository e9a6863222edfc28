package slo

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"pgregory.net/rapid"
)

// buy is the composite of testdata/good/composite.yaml, and its parts.
func buy(t testing.TB) (*Objective, []*Objective) {
	t.Helper()
	parts := Decode(read(t, "testdata/good/composite.yaml")).Objectives
	for _, p := range parts {
		p.AlertPolicies = DefaultPolicies(p.Method)
	}
	all := Composites(parts)
	if len(all) != 1 || all[0].ID() != "shop/buy" || all[0].Target != dec("0.99675") || len(all[0].Parts) != 2 || all[0].Parts[1].Weight != 3*One {
		t.Fatalf("composites = %+v", all)
	}
	return all[0], parts
}

func TestCompositeIsTheWeightedMean(t *testing.T) {
	c, parts := buy(t)
	e := newEngine(t, time.Minute, march, append([]*Objective{c}, parts...)...)
	shown := func() Snapshot {
		t.Helper()
		e.Tick(e.Now().Add(time.Minute))
		s, err := e.Snapshot(c.ID())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	add := func(part int, good, total int64) {
		t.Helper()
		if _, err := e.Add(parts[part].ID(), e.Now(), good, total); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 990, 1000) // 1 % of 1 %: burn 1
	if s := shown(); s.SLIKnown || s.Burns[0].Known || s.Parts[1].Known || s.Alerts[0].Holding != Unknown {
		t.Errorf("a part without data is no gap: %+v", s)
	}
	add(1, 0, 0) // reported, and had nothing to do
	if s := shown(); !s.SLIKnown || math.Abs(s.SLI-0.99) > 1e-12 || math.Abs(s.Burns[0].Rate-1) > 1e-12 {
		t.Errorf("a part without events weighs: SLI %v, burn %v", s.SLI, s.Burns[0].Rate)
	}
	add(1, 999_995, 1_000_000) // a thousand times the traffic
	s := shown()
	// errors: 0.01 + 3 × 0.000005; allowed: 0.01 + 3 × 0.001; weights: 4
	if math.Abs(s.Burns[0].Rate-0.010015/0.013) > 1e-12 || math.Abs(s.SLI-(1-0.010015/4)) > 1e-12 || s.Burns[0].Bad != 15 || s.Total != 1_001_000 {
		t.Errorf("SLI %v, burn %+v", s.SLI, s.Burns[0])
	}
	// A full window has as much as was seen, over 28 d: so has what it allows.
	spent := s.Parts[0].Spent + s.Parts[1].Spent
	if math.Abs(spent-(1-s.Budget.RemainingRatio)) > 1e-9 || s.Parts[0].Spent <= s.Parts[1].Spent || s.Budget.Total != Units(28*1440) {
		t.Errorf("parts %+v of budget %+v", s.Parts, s.Budget)
	}
	if _, err := e.Add(c.ID(), e.Now(), 1, 1); problem.KindOf(err) != problem.Invalid {
		t.Errorf("counted into a composite: %v", err)
	}
	if got := e.Standings(func(o *Objective) bool { return o.composite() }, true); len(got) != 1 || got[0].SLI != s.SLI || got[0].Remaining != s.Budget.RemainingRatio {
		t.Errorf("standing = %+v", got)
	}
}

// A composite fires when its parts together burn, though neither has to.
func TestCompositeFiresAndResolves(t *testing.T) {
	c, parts := buy(t)
	e := newEngine(t, time.Minute, march, append([]*Objective{c}, parts...)...)
	fired, resolved := map[string]bool{}, map[string]bool{}
	for i := range 4 * 60 {
		bad := int64(0)
		if i >= 60 && i < 120 {
			bad = 200
		}
		for _, p := range parts {
			if _, err := e.Add(p.ID(), e.Now(), 1000-bad, 1000); err != nil {
				t.Fatal(err)
			}
		}
		previous := ""
		for _, tr := range e.Tick(e.Now().Add(time.Minute)) {
			if tr.ID < previous {
				t.Errorf("%s after %s", tr.ID, previous)
			}
			previous = tr.ID
			if fired[tr.ID] = true; !tr.Firing.Resolved.IsZero() {
				resolved[tr.ID] = true
			} else if tr.ID == c.ID() && (tr.Firing.Long.Bad < 3 || tr.Firing.Long.Total%2000 != 0) {
				t.Errorf("explained by %+v", tr.Firing)
			}
		}
	}
	if !fired[c.ID()] || !resolved[c.ID()] {
		t.Errorf("fired %v, resolved %v", fired, resolved)
	}
}

// Declared as documents, a composite is listed, shown and survives a restart;
// what is excluded from a part is excluded from it.
func TestCompositeIsDeclared(t *testing.T) {
	h := newHouse(t, march)
	h.slo("buy", string(read(t, "testdata/good/composite.yaml").Data))
	fed, err := h.Indicators(t.Context())
	h.ok(err)
	if len(fed) != 1 { // both parts count the same
		t.Fatalf("%d indicators", len(fed))
	}
	for i := range 10 {
		h.pass(time.Minute)
		for _, f := range fed {
			h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: []Counted{{Slots: []Slot{{march.Add(time.Duration(i) * time.Minute), 990, 1000}}}}}))
		}
	}
	h.pass(time.Second)
	key := "shop.prod.buy"
	before := h.shown(key)
	if math.Abs(before.SLI-0.99) > 1e-12 || len(before.Parts) != 2 || before.Parts[0].Key != "shop.prod.buy-find" {
		t.Fatalf("shown %+v", before)
	}
	page, err := h.call("slo.list", map[string]any{"service": "shop"})
	h.ok(err)
	if rows := page.(Rows); len(rows.Items) != 3 || rows.Items[0].Objective != key || rows.Items[0].Target != "99.675%" {
		t.Errorf("listed: %+v", rows)
	}
	detail, err := h.call("slo.show", map[string]any{"objective": key})
	h.ok(err)
	if text := detail.(Detail).Tell(); strings.Count(text, "\n  part ") != 2 || !strings.Contains(text, "weight 3, target 99.9%: 99.0000 % good, 100 bad of 10000") {
		t.Errorf("told:\n%s", text)
	}
	h.ok(h.Checkpoint(t.Context(), 0))
	h.restart()
	if after := h.shown(key); after.SLI != before.SLI || after.Budget != before.Budget {
		t.Errorf("after a restart %+v, before %+v", after.Budget, before.Budget)
	}
	span := map[string]any{"objective": "shop.prod.buy-pay", "reason": "x", "from": march, "to": march.Add(5 * time.Minute)}
	_, err = h.call("slo.exclude", span)
	h.ok(err)
	if s := h.shown(key); s.Parts[1].Bad != 50 || s.Known != 5 {
		t.Errorf("after an exclusion: %+v", s.Parts)
	}
	span["objective"] = key
	if _, err := h.call("slo.exclude", span); problem.KindOf(err) != problem.Invalid {
		t.Errorf("excluded from a composite: %v", err)
	}
	for format, want := range map[string]problem.Kind{"openslo": "", "prometheus": problem.Invalid, "grafana": problem.Invalid} {
		out, err := h.call("slo.export", map[string]any{"objective": key, "format": format})
		if problem.KindOf(err) != want || err != nil && problem.NextOf(err) == "" {
			t.Errorf("%s: %v", format, err)
		}
		if want == "" && len(Decode(File{Name: "x.yaml", Data: []byte(out.(Exported).Text)}).Objectives) != 2 {
			t.Errorf("exported is %s", out.(Exported).Text)
		}
	}
	report, err := h.call("slo.report", map[string]any{"service": "shop"})
	if h.ok(err); !strings.Contains(report.(PeriodReport).Tell(), key) {
		t.Errorf("the report does not say where the composite is: %s", report.(PeriodReport).Tell())
	}
	if _, err := h.call("slo.preview", map[string]any{"objective": key, "target": "90%"}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("previewed a composite: %v", err)
	}
	for _, other := range []string{key, "shop.prod.buy-find"} {
		_, err := h.Past(t.Context(), other, march, h.clock.Now())
		h.ok(err)
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

// Live and replayed, a composite is the same: its burn rates, its budget, what
// each part takes of it, and every alert, for random parts with gaps.
func TestCompositeLiveEqualsReplay(t *testing.T) {
	const slot = 5 * time.Minute
	rapid.Check(t, func(t *rapid.T) {
		method := rapid.SampledFrom([]Method{Occurrences, Timeslices, RatioTimeslices}).Draw(t, "method")
		var parts []*Objective
		for i := range rapid.IntRange(2, 3).Draw(t, "parts") {
			o := availability(rapid.SampledFrom([]string{"0.9", "0.99", "0.999"}).Draw(t, "target"))
			o.Name, o.Composite, o.Weight = fmt.Sprintf("buy-%d", i), "buy", Decimal(rapid.Int64Range(1, 5e9).Draw(t, "weight"))
			o.Window, o.Method, o.SliceWindow, o.SliceTarget, o.AlertPolicies = Days(7), method, slot, dec("0.95"), DefaultPolicies(method)
			parts = append(parts, o)
		}
		c := Composites(parts)[0]
		e, err := NewEngine(slot, march)
		if err != nil {
			t.Fatal(err)
		}
		events := make([]*Series, len(parts))
		for i, o := range append(slices.Clone(parts), c) {
			if _, err := e.Put(o); err != nil {
				t.Fatal(err)
			}
			if i < len(parts) {
				events[i] = NewSeries(slot, 0)
			}
		}
		var live []ReplayedFiring
		open := map[string]int{}
		end := march.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "half days")) * 12 * time.Hour)
		period, bad := rapid.IntRange(2, 60).Draw(t, "period"), rapid.Int64Range(0, 100).Draw(t, "bad")
		for n, at := 0, march; at.Before(end); n, at = n+1, at.Add(slot) {
			for i, o := range parts {
				if n > 0 && n%(period*(i+2)) == 0 {
					continue // a gap
				}
				total := int64(100 * (n % (i + 3)))
				good := total
				if n/period%3 == i {
					good = total * (100 - bad) / 100
				}
				if _, err := e.Add(o.ID(), at, good, total); err != nil {
					t.Fatal(err)
				}
				if err := events[i].Add(at, good, total); err != nil {
					t.Fatal(err)
				}
			}
			for _, tr := range e.Tick(at.Add(slot)) {
				f := tr.Firing
				switch {
				case tr.ID != c.ID():
				case f.Resolved.IsZero():
					open[f.Condition] = len(live)
					live = append(live, ReplayedFiring{f.Policy, f.Severity, f.Fired, nil, f.Condition, f.Reason})
				default:
					live[open[f.Condition]].Resolved = &f.Resolved
				}
			}
		}
		s, err := e.Snapshot(c.ID())
		if err != nil {
			t.Fatal(err)
		}
		r, err := ReplayComposite(c, parts, events, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := inWordsOf(live), inWordsOf(r.Alerts); a != b {
			t.Fatalf("live alerts\n%s\nreplayed\n%s", a, b)
		}
		if s.Budget != r.Budget || fmt.Sprint(s.Parts) != fmt.Sprint(r.Parts) || s.SLIKnown != (r.SLI != nil) || s.SLIKnown && s.SLI != *r.SLI {
			t.Fatalf("live %+v %+v, replayed %+v %+v", s.Budget, s.Parts, r.Budget, r.Parts)
		}
		for _, live := range s.Burns {
			for _, replayed := range r.Burn {
				if live.Name == replayed.Name && (live.Rate != replayed.Rate || live.Known != replayed.OK) {
					t.Fatalf("%s: live burn %v, %v; replayed %v, %v", live.Name, live.Rate, live.Known, replayed.Rate, replayed.OK)
				}
			}
		}
	})
}

func inWordsOf(firings []ReplayedFiring) string {
	var b strings.Builder
	for _, f := range firings {
		resolved := "still"
		if f.Resolved != nil {
			resolved = f.Resolved.UTC().String()
		}
		fmt.Fprintln(&b, f.Policy, f.Condition, f.Fired.UTC(), resolved, f.Reason)
	}
	return b.String()
}
