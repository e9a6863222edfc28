package slo

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// report is one slot as reported, the raw material of the naive twin.
type report struct {
	at          time.Time
	good, total int64
}

// drawEvents is a random history: in any order, with gaps and repeats.
func drawEvents(t *rapid.T, base time.Time, width time.Duration, span int) []report {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) report {
		total := rapid.Int64Range(0, 1000).Draw(t, "total")
		return report{
			at:    base.Add(time.Duration(rapid.IntRange(0, span).Draw(t, "slot"))*width + time.Duration(rapid.Int64Range(0, int64(width)-1).Draw(t, "within"))),
			good:  rapid.Int64Range(0, total).Draw(t, "good"),
			total: total,
		}
	}), 0, 60).Draw(t, "events")
}

// recount is the naive twin of Series.Sum: every event, one by one.
func recount(events []report, width time.Duration, from, to time.Time) Counts {
	var n Counts
	seen := map[int64]bool{}
	for _, e := range events {
		if !e.at.Before(from) && e.at.Before(to) {
			n.Good, n.Total = n.Good+e.good, n.Total+e.total
			seen[e.at.UnixNano()/int64(width)] = true
		}
	}
	n.Known, n.Span = len(seen), int(to.Sub(from)/width)
	return n
}

func TestSumEqualsRecount(t *testing.T) {
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 5 * time.Minute}).Draw(t, "width")
		events := drawEvents(t, base, width, 80)
		s := NewSeries(width, 0)
		for _, e := range events {
			if err := s.Add(e.at, e.good, e.total); err != nil {
				t.Fatal(err)
			}
		}
		a := rapid.IntRange(-5, 85).Draw(t, "from")
		b := rapid.IntRange(a, 90).Draw(t, "to")
		from, to := base.Add(time.Duration(a)*width), base.Add(time.Duration(b)*width)
		if got, want := s.Sum(from, to), recount(events, width, from, to); got != want {
			t.Fatalf("Sum = %+v, recount = %+v", got, want)
		}
		// Unaligned windows are exact for the span they state.
		shift := time.Duration(rapid.Int64Range(1, int64(width)-1).Draw(t, "shift"))
		cf, ct := s.Covered(from.Add(shift), to.Add(shift))
		if got, want := s.Sum(from.Add(shift), to.Add(shift)), recount(events, width, cf, ct); got != want {
			t.Fatalf("unaligned Sum = %+v, recount of [%v, %v) = %+v", got, cf, ct, want)
		}
		if from.Add(shift).Sub(cf) >= width || ct.Sub(to.Add(shift)) >= width {
			t.Fatalf("the span [%v, %v) exceeds the window by a slot or more", cf, ct)
		}
	})
}

func TestExcludingEqualsRecount(t *testing.T) {
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t, base, time.Minute, 80)
		s := NewSeries(time.Minute, 0)
		for _, e := range events {
			if err := s.Add(e.at, e.good, e.total); err != nil {
				t.Fatal(err)
			}
		}
		a := rapid.IntRange(0, 80).Draw(t, "a")
		b := rapid.IntRange(a, 80).Draw(t, "b")
		span := Span{base.Add(time.Duration(a) * time.Minute), base.Add(time.Duration(b) * time.Minute)}
		kept := slices.DeleteFunc(slices.Clone(events), func(e report) bool { return !e.at.Before(span.From) && e.at.Before(span.To) })
		from, to := base, base.Add(90*time.Minute)
		got, want := s.Excluding(span).Sum(from, to), recount(kept, time.Minute, from, to)
		if got != want {
			t.Fatalf("Sum without %v = %+v, recount = %+v", span, got, want)
		}
	})
}

func TestBudgetSeriesEqualsRecount(t *testing.T) {
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t, base, time.Minute, 80)
		s := NewSeries(time.Minute, 0)
		for _, e := range events {
			if err := s.Add(e.at, e.good, e.total); err != nil {
				t.Fatal(err)
			}
		}
		o := Objective{Method: rapid.SampledFrom([]Method{Timeslices, RatioTimeslices}).Draw(t, "method"),
			SliceTarget: dec("0.9"), SliceWindow: 5 * time.Minute, Target: dec("0.99"), Window: Days(1)}
		units, err := o.BudgetSeries(s)
		if err != nil {
			t.Fatal(err)
		}
		var want Counts
		for i := range 20 {
			from := base.Add(time.Duration(i) * 5 * time.Minute)
			n := recount(events, time.Minute, from, from.Add(5*time.Minute))
			if n.Total == 0 {
				continue
			}
			want.Known++
			want.Total += o.scale()
			switch {
			case o.Method == RatioTimeslices:
				want.Good += (n.Good*1e9*2 + n.Total) / (2 * n.Total)
			case n.Good*10 >= n.Total*9:
				want.Good++
			}
		}
		got := units.Sum(base, base.Add(100*time.Minute))
		if got.Good != want.Good || got.Total != want.Total || got.Known != want.Known {
			t.Fatalf("slices = %+v, recount = %+v", got, want)
		}
	})
}

func TestImpossibleCountsAreRefused(t *testing.T) {
	s := NewSeries(time.Minute, 0)
	for _, n := range [][2]int64{{2, 1}, {-1, 1}, {-2, -1}} {
		if s.Add(time.Unix(0, 0), n[0], n[1]) == nil {
			t.Errorf("Add(%d of %d) was accepted", n[0], n[1])
		}
	}
	if s.Len() != 0 {
		t.Error("a refused slot was kept")
	}
}
