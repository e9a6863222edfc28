package slo

import "time"

// slicer turns events, as they come in, into changes of the slices that an
// objective budgets. It remembers the events of recent slices, so that late
// ones can still turn a good slice bad.
type slicer struct {
	objective *Objective
	events    ring
	width     int64
}

// slicerMemory is how long the events of a slice are remembered, at least.
const slicerMemory = 2 * time.Hour

func newSlicer(o *Objective, base time.Duration, now time.Time) *slicer {
	keep := max(slicerMemory, 2*o.SliceWindow)
	s := &slicer{objective: o, events: newRing(int64(base), int(keep/base)+1), width: int64(o.SliceWindow)}
	s.events.head = floorDiv(now.UnixNano(), int64(base))
	return s
}

// add counts events and returns how the slice they belong to changes. It
// reports false when that slice is too long ago to be judged again.
func (s *slicer) add(at, good, total int64) (cell, bool) {
	slot := floorDiv(at, s.events.width)
	s.events.advance(slot)
	first := floorDiv(at, s.width) * (s.width / s.events.width)
	if first <= s.events.head-int64(s.events.cells.len()) {
		return cell{}, false
	}
	before := s.slice(first)
	s.events.add(slot, cell{bad: total - good, total: total, known: 1})
	after := s.slice(first)
	return cell{after.bad - before.bad, after.total - before.total, after.known - before.known}, true
}

// slice is what the slice beginning at a slot counts, in budget units.
func (s *slicer) slice(first int64) cell {
	var n cell
	for i := first; i < first+s.width/s.events.width; i++ {
		c := s.events.at(i)
		n.bad, n.total = n.bad+c.bad, n.total+c.total
	}
	if n.total == 0 {
		return cell{}
	}
	scale := s.objective.scale()
	return cell{bad: scale - s.objective.sliceGood(n.total-n.bad, n.total), total: scale, known: 1}
}

// sliced reports whether the objective budgets slices of time.
func (o *Objective) sliced() bool { return o.Method == Timeslices || o.Method == RatioTimeslices }
