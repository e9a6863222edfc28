package slo

import (
	"fmt"
	"math/bits"
	"time"
)

// Method says what an objective budgets (OpenSLO v1, budgetingMethod).
type Method string

// The budgeting methods.
const (
	// Occurrences budgets events: good events over all events.
	Occurrences Method = "Occurrences"
	// Timeslices budgets slices of time: good slices over all slices. A slice is
	// good when its own ratio is at least the slice target.
	Timeslices Method = "Timeslices"
	// RatioTimeslices budgets the mean of the slices' own ratios.
	RatioTimeslices Method = "RatioTimeslices"
)

// ratioScale is how finely RatioTimeslices counts a slice: in billionths.
const ratioScale = int64(One)

// BudgetSeries turns a history of events into the history of what the
// objective budgets. For Occurrences that is the events themselves; otherwise
// each slot of the result is one slice, with a total of 1 (times Scale) and a
// good of 0 or 1, or of the slice's ratio rounded to the billionth.
//
// A slice without events is a gap: no traffic is neither good nor bad. Slices
// are aligned to the Unix epoch. It fails when slices are not whole slots.
func (o *Objective) BudgetSeries(events *Series) (*Series, error) {
	if o.Method == Occurrences || o.Method == "" {
		return events, nil
	}
	width := int64(o.SliceWindow)
	if width < events.width || width%events.width != 0 || events.phase != 0 {
		return nil, fmt.Errorf("slices of %s cannot be judged from slots of %s: slices must be whole slots",
			FormatDuration(o.SliceWindow), FormatDuration(events.Width()))
	}
	out := NewSeries(o.SliceWindow, 0)
	out.scale = o.scale()
	var slice, good, total int64
	flush := func() {
		if total > 0 {
			out.push(slice, o.sliceGood(good, total), out.scale)
		}
	}
	for i, n := range events.index {
		if at := floorDiv(n*events.width, width); at != slice || i == 0 {
			flush()
			slice, good, total = at, 0, 0
		}
		good += events.good[i+1] - events.good[i]
		total += events.total[i+1] - events.total[i]
	}
	flush()
	return out, nil
}

// scale is the number of counts in one unit of the objective's budget.
func (o *Objective) scale() int64 {
	if o.Method == RatioTimeslices {
		return ratioScale
	}
	return 1
}

// sliceGood is what a slice with events counts as good, in counts of scale.
func (o *Objective) sliceGood(good, total int64) int64 {
	if o.Method == RatioTimeslices {
		hi, lo := bits.Mul64(uint64(good), uint64(ratioScale))
		lo, carry := bits.Add64(lo, uint64(total)/2, 0)
		q, _ := bits.Div64(hi+carry, lo, uint64(total))
		return int64(q)
	}
	// good/total ≥ target, exactly.
	lhi, llo := bits.Mul64(uint64(good), uint64(One))
	rhi, rlo := bits.Mul64(uint64(total), uint64(o.SliceTarget))
	if lhi > rhi || lhi == rhi && llo >= rlo {
		return 1
	}
	return 0
}

// slicesIn is how many slices fit into d, rounded down.
func (o *Objective) slicesIn(d time.Duration) int64 {
	if o.SliceWindow <= 0 {
		return 0
	}
	return int64(d / o.SliceWindow)
}
