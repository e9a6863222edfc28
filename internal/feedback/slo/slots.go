package slo

import (
	"fmt"
	"iter"
	"slices"
	"time"
)

// Counts is what a span of time saw. A slot that reported nothing is a gap: it
// adds to Span but not to Known, and is neither good nor bad.
type Counts struct {
	Good  int64
	Total int64
	Known int // slots that reported
	Span  int // slots in the span

	events *seen // of a composite, whose counts are weighted: the events behind them
}

// Bad is the events that were not good.
func (c Counts) Bad() int64 { return c.Total - c.Good }

// evidence is the events, or slices, that were bad and those there were.
func (c Counts) evidence(scale int64) (bad, total int64) {
	if c.events != nil {
		return c.events.bad, c.events.total
	}
	return (c.Bad() + scale/2) / scale, c.Total / scale
}

// Ratio is good/total; it is not known (false) without events.
func (c Counts) Ratio() (float64, bool) {
	if c.Total <= 0 {
		return 0, false
	}
	return float64(c.Good) / float64(c.Total), true
}

// Slot is one step of a history.
type Slot struct {
	Time  time.Time // start
	Good  int64
	Total int64
}

// Series is the history of one indicator as slots of equal width, sparse and
// sorted, with prefix sums: any window costs two searches, whatever its
// length. It knows nothing of targets, windows or policies, so changing those
// recomputes all of history from the same slots.
//
// Sums over windows that begin and end on slot boundaries are exact. For
// others, each slot that the window touches counts whole: the sum is exact for
// the span that Covered states, which exceeds the window by less than one slot
// at each end.
//
// Reading is safe for concurrent use; Add and Set are not.
type Series struct {
	width int64 // nanoseconds
	phase int64 // start of the slot 0, nanoseconds since the Unix epoch
	scale int64 // counts per budget unit: 1, or 1e9 for ratios of slices
	index []int64
	good  []int64 // prefix sums: good[i] is the sum of the slots before i
	total []int64
}

// NewSeries is an empty history of slots of a width, aligned to the Unix epoch
// plus phase.
func NewSeries(width, phase time.Duration) *Series {
	return &Series{width: int64(max(width, 1)), phase: floorMod(int64(phase), int64(max(width, 1))), scale: 1,
		good: []int64{0}, total: []int64{0}}
}

// Width is the width of each slot.
func (s *Series) Width() time.Duration { return time.Duration(s.width) }

// Scale is how many counts make one unit of budget: 1 event or slice, or 1e9
// where slices count by their ratio.
func (s *Series) Scale() int64 { return s.scale }

// Len is the number of slots that reported.
func (s *Series) Len() int { return len(s.index) }

// Bounds is the start of the first slot and the end of the last; both are zero
// without slots.
func (s *Series) Bounds() (from, to time.Time) {
	if len(s.index) == 0 {
		return time.Time{}, time.Time{}
	}
	return s.start(s.index[0]), s.start(s.index[len(s.index)-1] + 1)
}

// Add counts events into the slot that contains t. Late data (back-fill) is
// normal and costs a shift of what follows it. Counts must be 0 ≤ good ≤
// total; an Add of 0 of 0 says that the slot is known and saw nothing.
func (s *Series) Add(t time.Time, good, total int64) error {
	if good < 0 || total < good {
		return fmt.Errorf("counts of %d good of %d are not possible", good, total)
	}
	i, found := s.place(t)
	if !found {
		s.index = slices.Insert(s.index, i, floorDiv(t.UnixNano()-s.phase, s.width))
		s.good = slices.Insert(s.good, i+1, s.good[i])
		s.total = slices.Insert(s.total, i+1, s.total[i])
	}
	for j := i + 1; j < len(s.good); j++ {
		s.good[j] += good
		s.total[j] += total
	}
	return nil
}

// place is where the slot of t is, or belongs.
func (s *Series) place(t time.Time) (int, bool) {
	n := floorDiv(t.UnixNano()-s.phase, s.width)
	if last := len(s.index) - 1; last < 0 || s.index[last] < n {
		return last + 1, false
	}
	return slices.BinarySearch(s.index, n)
}

// Has reports whether the slot that contains t has reported.
func (s *Series) Has(t time.Time) bool {
	_, found := s.place(t)
	return found
}

// Sum is what the span [from, to) saw, each slot it touches counted whole.
func (s *Series) Sum(from, to time.Time) Counts {
	a, b := s.span(from, to)
	if b <= a {
		return Counts{}
	}
	i, j := s.search(a), s.search(b)
	return Counts{Good: s.good[j] - s.good[i], Total: s.total[j] - s.total[i], Known: j - i, Span: int(b - a)}
}

// Steps is the bad counts in each of n equal steps of [from, to).
func (s *Series) Steps(from, to time.Time, n int) []int64 {
	out := make([]int64, n)
	a, b := s.span(from, to)
	for i, j := s.search(a), s.search(b); i < j; i++ {
		bad := s.total[i+1] - s.total[i] - s.good[i+1] + s.good[i]
		out[stepOf(s.index[i]*s.width+s.phase, from, to, n)] += bad
	}
	return out
}

// stepOf is which of n equal steps of [from, to) contains t, or the nearest.
func stepOf(t int64, from, to time.Time, n int) int {
	width := max(int64(to.Sub(from))/int64(n), 1)
	return int(max(0, min(floorDiv(t-from.UnixNano(), width), int64(n)-1)))
}

// Covered is the span of whole slots that Sum adds up for [from, to).
func (s *Series) Covered(from, to time.Time) (time.Time, time.Time) {
	a, b := s.span(from, to)
	return s.start(a), s.start(b)
}

// Slots is every slot that reported, in order.
func (s *Series) Slots() iter.Seq[Slot] {
	return func(yield func(Slot) bool) {
		for i, n := range s.index {
			if !yield(Slot{s.start(n), s.good[i+1] - s.good[i], s.total[i+1] - s.total[i]}) {
				return
			}
		}
	}
}

// Excluding is the history without the slots that any of the spans touches:
// they become gaps. The receiver, the raw history, is unchanged.
func (s *Series) Excluding(spans ...Span) *Series {
	if len(spans) == 0 {
		return s
	}
	out := &Series{width: s.width, phase: s.phase, scale: s.scale, good: []int64{0}, total: []int64{0}}
	for i, n := range s.index {
		if !touches(spans, s.start(n), s.start(n+1)) {
			out.push(n, s.good[i+1]-s.good[i], s.total[i+1]-s.total[i])
		}
	}
	return out
}

// Span is the half-open time [From, To).
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

func touches(spans []Span, from, to time.Time) bool {
	for _, span := range spans {
		if span.From.Before(to) && from.Before(span.To) {
			return true
		}
	}
	return false
}

// push appends slot n, which must follow all others.
func (s *Series) push(n, good, total int64) {
	last := len(s.index)
	s.index = append(s.index, n)
	s.good = append(s.good, s.good[last]+good)
	s.total = append(s.total, s.total[last]+total)
}

// span is the slots that [from, to) touches, as indices [a, b).
func (s *Series) span(from, to time.Time) (a, b int64) {
	a = floorDiv(from.UnixNano()-s.phase, s.width)
	b = floorDiv(to.UnixNano()-s.phase+s.width-1, s.width)
	return a, b
}

// search is the position of the first slot at or after n. Histories are mostly
// without gaps, where the position follows from the distance to either end.
func (s *Series) search(n int64) int {
	size := len(s.index)
	if size == 0 || n <= s.index[0] {
		return 0
	}
	if n > s.index[size-1] {
		return size
	}
	if i := size - 1 - int(s.index[size-1]-n); i >= 0 && s.index[i] == n {
		return i
	}
	i, _ := slices.BinarySearch(s.index, n)
	return i
}

func (s *Series) start(n int64) time.Time { return time.Unix(0, n*s.width+s.phase).UTC() }

// floorDiv is a ÷ b, rounded towards minus infinity; b is positive.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// floorMod is what floorDiv leaves: 0 ≤ floorMod < b.
func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }
