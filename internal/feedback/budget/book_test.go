package budget_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

var begin = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func decimal(t testing.TB, s string) slo.Decimal {
	t.Helper()
	d, err := slo.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func objective(t testing.TB, window time.Duration) *slo.Objective {
	return &slo.Objective{Service: "shop", Environment: "prod", Name: "availability", Target: decimal(t, "0.99"), Method: slo.Occurrences,
		Window: slo.Window{Rolling: window}, Indicator: slo.Indicator{Kind: slo.Availability}, Weight: slo.One}
}

// randomCauses draws causes that begin and end anywhere, some with the name of
// another.
func randomCauses(t *rapid.T, minutes int) []budget.Cause {
	kinds := []string{budget.KindChange, budget.KindFlag, budget.KindExperiment, budget.KindDependency, budget.KindMaintenance, budget.KindIncident}
	var out []budget.Cause
	for i := range rapid.IntRange(0, 8).Draw(t, "causes") {
		at := func(name string) time.Time {
			return begin.Add(time.Duration(rapid.IntRange(-60, minutes+60).Draw(t, name)) * 37 * time.Second)
		}
		c := budget.Cause{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Name: fmt.Sprint("c", i%5), From: at("from")}
		if rapid.Bool().Draw(t, "ends") {
			c.To = at("to")
		}
		if c.Kind == budget.KindChange {
			c.Revision = rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(t, "revision")
			if rapid.Bool().Draw(t, "promoted") {
				c.Full = at("full")
			}
		}
		if c.Kind == budget.KindIncident {
			c.Culprit = rapid.SampledFrom([]string{"", "c1"}).Draw(t, "culprit")
		}
		out = append(out, c)
	}
	return out
}

// Whatever the causes, the counts, what is excluded and what comes late: the
// shares sum to what was spent, in both accounts and at every moment.
func TestSharesSumToWhatWasSpent(t *testing.T) {
	methods := []slo.Method{slo.Occurrences, slo.Timeslices, slo.RatioTimeslices}
	rapid.Check(t, func(rt *rapid.T) {
		minutes := rapid.IntRange(1, 300).Draw(rt, "minutes")
		o := objective(t, time.Duration(rapid.IntRange(1, 240).Draw(rt, "window"))*time.Minute)
		o.Method = rapid.SampledFrom(methods).Draw(rt, "method")
		if o.Method != slo.Occurrences {
			o.SliceWindow, o.SliceTarget = time.Duration(rapid.SampledFrom([]int{1, 5}).Draw(rt, "slice"))*time.Minute, decimal(t, "0.9")
		}
		raw, adjusted := slo.NewSeries(time.Minute, 0), slo.NewSeries(time.Minute, 0)
		var arms []budget.Minute
		order := rapid.Permutation(seq(minutes)).Draw(rt, "arrival")
		causes := randomCauses(rt, minutes)
		for k, i := range order {
			at := begin.Add(time.Duration(i) * time.Minute)
			var m budget.Minute
			m.Time = at
			total, bad := int64(0), int64(0)
			for _, revision := range []string{"a", "b", ""}[:rapid.IntRange(0, 3).Draw(rt, "arms")] {
				n := int64(rapid.IntRange(0, 200).Draw(rt, "requests"))
				b := min(n, int64(rapid.IntRange(0, 20).Draw(rt, "bad")))
				m.Arms = append(m.Arms, budget.Arm{Revision: revision, Total: n, Bad: b})
				total, bad = total+n, bad+b
			}
			if err := raw.Add(at, total-bad, total); err != nil {
				rt.Fatal(err)
			}
			switch rapid.IntRange(0, 9).Draw(rt, "exclusion") {
			case 0: // excluded
			case 1: // corrected
				_ = adjusted.Add(at, total, total+3)
			default:
				_ = adjusted.Add(at, total-bad, total)
			}
			if rapid.Bool().Draw(rt, "counted per revision") {
				arms = append(arms, m)
			}
			if k%50 == 49 || k == len(order)-1 {
				slices.SortFunc(arms, func(a, b budget.Minute) int { return a.Time.Compare(b.Time) })
				now := begin.Add(time.Duration(rapid.IntRange(0, minutes*60).Draw(rt, "now")) * time.Second)
				sumsExactly(rt, budget.Entry{Objective: o, Raw: raw, Adjusted: adjusted, Arms: arms, Causes: causes, Now: now})
			}
		}
	})
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func sumsExactly(t *rapid.T, e budget.Entry) {
	l, err := budget.Book(e)
	if err != nil {
		t.Fatal(err)
	}
	raw, bad := int64(0), int64(0)
	for _, s := range l.Shares {
		if s.Raw < 0 || s.Bad < 0 || s.Measured < 0 || s.Measured > s.Bad {
			t.Fatalf("share %+v", s)
		}
		if s.Kind != budget.KindBackground && (s.Method == "" || s.Evidence == "") {
			t.Fatalf("a share without method or evidence: %+v", s)
		}
		raw, bad = raw+s.Raw, bad+s.Bad
	}
	if raw != l.Raw.Bad || bad != l.Adjusted.Bad {
		t.Fatalf("shares sum to %d and %d, spent were %d and %d: %+v", raw, bad, l.Raw.Bad, l.Adjusted.Bad, l.Shares)
	}
	units, err := e.Objective.BudgetSeries(e.Raw)
	if err != nil {
		t.Fatal(err)
	}
	from, _ := e.Objective.Window.Lookback(e.Now)
	if want := units.Sum(from, e.Now).Bad(); want != raw {
		t.Fatalf("the ledger knows of %d, the objective spent %d", raw, want)
	}
	for _, i := range l.Impacts {
		parts := int64(0)
		for _, p := range i.Causes {
			parts += p.Bad
		}
		if parts != i.Bad {
			t.Fatalf("impact %+v", i)
		}
	}
	again, err := budget.Book(e)
	if err != nil || !reflect.DeepEqual(l, again) {
		t.Fatalf("the same facts gave another ledger: %v", err)
	}
}

func TestApportionIsExact(t *testing.T) {
	if got := budget.Apportion(10, []float64{1, 1, 1}); !slices.Equal(got, []int64{4, 3, 3}) {
		t.Errorf("thirds of ten are %v", got)
	}
	if got := budget.Apportion(7, []float64{0, -1}); !slices.Equal(got, []int64{0, 7}) {
		t.Errorf("without weights the last has all: %v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(0, 1<<50).Draw(t, "total")
		weights := rapid.SliceOfN(rapid.Float64(), 1, 40).Draw(t, "weights")
		sum := int64(0)
		for _, n := range budget.Apportion(total, weights) {
			if n < 0 {
				t.Fatalf("a negative part %d", n)
			}
			sum += n
		}
		if sum != total {
			t.Fatalf("parts sum to %d of %d", sum, total)
		}
	})
}
