package slo

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func availability(target string) *Objective {
	return &Objective{Service: "shop", Name: "availability", Target: dec(target), Method: Occurrences, Window: Days(30),
		Indicator: Indicator{Kind: Availability}, AlertPolicies: DefaultPolicies(Occurrences)}
}

func newEngine(t testing.TB, base time.Duration, now time.Time, objectives ...*Objective) *Engine {
	t.Helper()
	e, err := NewEngine(base, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objectives {
		if _, err := e.Put(o); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// The live engine equals a recount of every event, for random histories with
// late data and pauses, over the span that each sum states; and that span is
// the window, or up to one slot more.
func TestEngineEqualsRecount(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		o := availability("0.999")
		o.Window = rapid.SampledFrom([]Window{Days(1), Days(7), Days(30)}).Draw(t, "window")
		e, err := NewEngine(time.Minute, start)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Put(o); err != nil {
			t.Fatal(err)
		}
		var events []report
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{1, 30, 60, 60, 600, 3600, 86400, 7 * 86400}).Draw(t, "pause")) * time.Second)
			if rapid.Bool().Draw(t, "tick") {
				e.Tick(now)
			}
			late := time.Duration(rapid.SampledFrom([]int64{0, 0, 60, 300, 7200, 90000}).Draw(t, "late")) * time.Second
			ev := report{at: now.Add(-late), total: rapid.Int64Range(0, 1000).Draw(t, "total")}
			ev.good = rapid.Int64Range(0, ev.total).Draw(t, "good")
			if late == 0 {
				e.Tick(now)
			}
			if _, err := e.Add(o.ID(), ev.at, ev.good, ev.total); err == nil {
				events = append(events, ev)
			}
		}
		now = now.Add(time.Nanosecond)
		e.Tick(now)
		s, err := e.Snapshot(o.ID())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range s.Burns {
			want := recount(events, time.Minute, b.Covers.From, b.Covers.To)
			if b.Bad != want.Bad() || b.Total != want.Total {
				t.Fatalf("%s: %d bad of %d, recount of %v: %d of %d", b.Name, b.Bad, b.Total, b.Covers, want.Bad(), want.Total)
			}
			extra := b.Covers.To.Sub(b.Covers.From) - b.Window
			if extra < 0 || extra > slotWidth(time.Minute, b.Window) {
				t.Fatalf("%s covers %v, %v more than the window", b.Name, b.Covers, extra)
			}
		}
	})
}

// At slot boundaries, live and replayed numbers are the same numbers.
func TestEngineEqualsSeriesAtBoundaries(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, method := range []Method{Occurrences, Timeslices, RatioTimeslices} {
		t.Run(string(method), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				o := availability("0.99")
				o.Window, o.Method, o.SliceTarget, o.SliceWindow = Days(7), method, dec("0.9"), time.Minute
				o.AlertPolicies = DefaultPolicies(method)
				e, err := NewEngine(time.Minute, start)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := e.Put(o); err != nil {
					t.Fatal(err)
				}
				series := NewSeries(time.Minute, 0)
				end := start.Add(time.Duration(rapid.IntRange(1, 18).Draw(t, "half days")) * 12 * time.Hour)
				for at := start; at.Before(end); at = at.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "gap")) * time.Minute) {
					total := rapid.Int64Range(0, 100).Draw(t, "total")
					good := rapid.Int64Range(0, total).Draw(t, "good")
					e.Tick(at)
					if _, err := e.Add(o.ID(), at, good, total); err != nil {
						t.Fatal(err)
					}
					if err := series.Add(at, good, total); err != nil {
						t.Fatal(err)
					}
				}
				e.Tick(end)
				s, err := e.Snapshot(o.ID())
				if err != nil {
					t.Fatal(err)
				}
				units, err := o.BudgetSeries(series)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range s.Burns {
					n := units.Sum(end.Add(-b.Window), end)
					want, known := BurnRate(n.Bad(), n.Total, o.Target)
					if b.Rate != want || b.Known != known {
						t.Fatalf("%s: live burn %v, %v; replayed %v, %v", b.Name, b.Rate, b.Known, want, known)
					}
				}
				if want, _ := o.Budget(units, end); s.Budget != want {
					t.Fatalf("live budget %+v, replayed %+v", s.Budget, want)
				}
				loaded, err := NewEngine(time.Minute, end)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := loaded.Put(o); err != nil {
					t.Fatal(err)
				}
				if err := loaded.Load(o.ID(), series); err != nil {
					t.Fatal(err)
				}
				again, _ := loaded.Snapshot(o.ID())
				if fmt.Sprint(again.Burns, again.Budget, again.Known) != fmt.Sprint(s.Burns, s.Budget, s.Known) {
					t.Fatalf("after Load:\n%v %v %v\nlive:\n%v %v %v", again.Burns, again.Budget, again.Known, s.Burns, s.Budget, s.Known)
				}
			})
		})
	}
}

func TestOutageFiresAndResolves(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	o := availability("0.999")
	e := newEngine(t, 10*time.Second, start, o)
	var fired, resolved time.Time
	outage := start.Add(24 * time.Hour)
	for at := start; at.Before(start.Add(26 * time.Hour)); at = at.Add(10 * time.Second) {
		good := int64(100)
		if !at.Before(outage) && at.Before(outage.Add(10*time.Minute)) {
			good = 0
		}
		if _, err := e.Add(o.ID(), at, good, 100); err != nil {
			t.Fatal(err)
		}
		for _, tr := range e.Tick(at.Add(10 * time.Second)) {
			if tr.Firing.Condition != "(1h and 5m) > 14.4" {
				continue
			}
			if tr.Firing.Resolved.IsZero() {
				fired = tr.Firing.Fired
				if tr.Firing.Reason == "" || tr.Firing.Long.Bad != 600 {
					t.Errorf("firing = %+v", tr.Firing)
				}
			} else {
				resolved = tr.Firing.Resolved
			}
		}
	}
	// 51.84 s into a total outage, seen at the end of that slot of 10 s.
	if want := outage.Add(time.Minute); !fired.Equal(want) {
		t.Errorf("fired at %v, want %v", fired, want)
	}
	// The 5 m window resets 4 m 55.68 s after the end.
	if want := outage.Add(10*time.Minute + 5*time.Minute); !resolved.Equal(want) {
		t.Errorf("resolved at %v, want %v", resolved, want)
	}
}

func TestGapsNeitherFireNorResolve(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	o := availability("0.999")
	e := newEngine(t, time.Minute, start, o)
	at := start
	for range 30 {
		if _, err := e.Add(o.ID(), at, 0, 100); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Minute)
		e.Tick(at)
	}
	firing := func() bool {
		s, _ := e.Snapshot(o.ID())
		return s.Firing("page") != nil
	}
	if !firing() {
		t.Fatal("a total outage does not page")
	}
	for range 60 { // nothing reports
		at = at.Add(time.Minute)
		e.Tick(at)
	}
	if !firing() {
		t.Error("silence resolved the page")
	}
	for range 90 { // it reports, and there are no requests
		if _, err := e.Add(o.ID(), at, 0, 0); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Minute)
		e.Tick(at)
	}
	if firing() {
		t.Error("the page goes on although nobody is hurt any more")
	}
}

func TestEngineRefusals(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	o := availability("0.999")
	e := newEngine(t, time.Minute, now, o)
	for name, err := range map[string]error{
		"unknown":     second(e.Add("nobody/nothing", now, 1, 1)),
		"impossible":  second(e.Add(o.ID(), now, 2, 1)),
		"negative":    second(e.Add(o.ID(), now, -1, 1)),
		"future":      second(e.Add(o.ID(), now.Add(time.Hour), 1, 1)),
		"bad target":  second(e.Put(&Objective{Service: "s", Name: "n", Target: One, Window: Days(30)})),
		"zero window": second(e.Put(&Objective{Service: "s", Name: "n", Target: dec("0.9")})),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if got, _ := e.Add(o.ID(), now.AddDate(0, -6, 0), 1, 1); got != TooLate {
		t.Errorf("a count of half a year ago is %v, want TooLate", got)
	}
	if e.Tick(now.Add(-time.Hour)) != nil {
		t.Error("time ran backwards")
	}
	if s, _ := e.Snapshot(o.ID()); !s.At.Equal(now) {
		t.Errorf("at %v", s.At)
	}
}

func second[T any](_ T, err error) error { return err }

// A young service has the budget of a full window at the traffic it has, or
// that it declares: one bad hour on the first day is not the end.
func TestYoungServiceBudget(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	o := availability("0.999")
	e := newEngine(t, time.Minute, start, o)
	for i := range 1440 {
		if _, err := e.Add(o.ID(), start.Add(time.Duration(i)*time.Minute), 99, 100); err != nil {
			t.Fatal(err)
		}
		e.Tick(start.Add(time.Duration(i+1) * time.Minute))
	}
	s, _ := e.Snapshot(o.ID())
	if s.Budget.Allowed.String() != "4320" || s.Budget.Spent.String() != "1440" || !s.Budget.Projected {
		t.Errorf("budget = %+v, want 4320 allowed of 4,320,000 projected", s.Budget)
	}
	// Burn 10: two thirds of 30 d at 10 times the speed.
	if got := s.Forecast.At.Sub(s.At); math.Abs(got.Hours()-48) > 0.1 {
		t.Errorf("exhausted in %v, want 48h", got)
	}
	if !s.Forecast.Early.Before(s.Forecast.At) || !s.Forecast.Late.After(s.Forecast.At) {
		t.Errorf("forecast = %+v", s.Forecast)
	}
	o.Traffic = 1_440_000
	if empty, err := e.Put(o); err != nil || empty {
		t.Fatalf("Put again: empty %v, %v", empty, err)
	}
	s, _ = e.Snapshot(o.ID())
	if want := "41904"; s.Budget.Allowed.String() != want { // 144,000 seen + 29 × 1,440,000, of which 0.1 %
		t.Errorf("declared traffic allows %s, want %s", s.Budget.Allowed, want)
	}
}
