package slo

import (
	"slices"
	"time"
)

// layout is the shape of meters: which windows they sum, over slots of which
// width. All objectives of the same shape share one, and with it the work of
// finding out which slots a step of time moves out of which window.
type layout struct {
	tiers   []tier
	windows []windowSpec // ascending
	slots   int          // of all tiers
	step    step         // the last one asked for
}

// tier is the slots of one width, at an offset in a meter's cells.
type tier struct {
	width  int64 // nanoseconds
	slots  int64
	offset int64
}

// windowSpec is one window, made of slots of a tier.
type windowSpec struct {
	length int64 // nanoseconds
	tier   int
}

// step is what changes in any meter when time moves.
type step struct {
	from, to int64
	leaving  []leaving
	clear    []int // cells that new slots take
}

// leaving is one cell that drops out of one window.
type leaving struct{ window, cell int }

// newLayout lays out windows (ascending) over slots of a base width.
func newLayout(base time.Duration, windows []time.Duration) *layout {
	l := &layout{}
	for _, length := range windows {
		width := int64(slotWidth(base, length))
		last := len(l.tiers) - 1
		if last < 0 || l.tiers[last].width != width {
			l.tiers = append(l.tiers, tier{width: width, slots: 2})
			last++
		}
		t := &l.tiers[last]
		t.slots = max(t.slots, (int64(length)+width-1)/width+1)
		l.windows = append(l.windows, windowSpec{int64(length), last})
	}
	for i := range l.tiers {
		l.tiers[i].offset = int64(l.slots)
		l.slots += int(l.tiers[i].slots)
	}
	return l
}

// slotWidth is the width of the slots that a window of some length is made of:
// the base for 360 of them, five minutes up to three days, and beyond that the
// least round width of which the window holds at most 360.
func slotWidth(base, length time.Duration) time.Duration {
	switch {
	case length <= 360*base:
		return base
	case length <= 6*time.Hour && time.Minute%base == 0:
		return time.Minute
	case length <= 72*time.Hour && (5*time.Minute)%base == 0:
		return 5 * time.Minute
	}
	for _, minutes := range []time.Duration{10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440} {
		width := minutes * time.Minute
		if width >= base && width%base == 0 && length <= 360*width {
			return width
		}
	}
	steps := (length + 360*base - 1) / (360 * base)
	return steps * base
}

func (t *tier) head(asOf int64) int64 { return floorDiv(asOf, t.width) }

func (t *tier) cell(slot int64) int { return int(t.offset + floorMod(slot, t.slots)) }

// tail is the first slot inside a window that looks back from asOf.
func (l *layout) tail(w *windowSpec, asOf int64) int64 {
	return floorDiv(asOf-w.length, l.tiers[w.tier].width)
}

// move is the step between two times. Meters mostly move in step, so that the
// last answer is mostly the next.
func (l *layout) move(from, to int64) *step {
	s := &l.step
	if s.from == from && s.to == to {
		return s
	}
	*s = step{from: from, to: to, leaving: s.leaving[:0], clear: s.clear[:0]}
	for i := range l.windows {
		w := &l.windows[i]
		t := &l.tiers[w.tier]
		// Slots after the old head are empty: a long pause costs one turn at most.
		for j := l.tail(w, from); j < min(l.tail(w, to), t.head(from)+1); j++ {
			s.leaving = append(s.leaving, leaving{i, t.cell(j)})
		}
	}
	for i := range l.tiers {
		t := &l.tiers[i]
		for j := max(t.head(from)+1, t.head(to)-t.slots+1); j <= t.head(to); j++ {
			s.clear = append(s.clear, t.cell(j))
		}
	}
	return s
}

// meter keeps running sums of an objective's budget units over several
// windows, in constant memory and a few subtractions per tick. Short windows
// read fine slots, long windows coarse ones.
//
// A window whose start is not on a boundary of its slots counts the whole slot
// it begins in: it is exact for a span that is up to one slot longer. span
// states it.
type meter struct {
	layout *layout
	asOf   int64 // nanoseconds since the Unix epoch
	cells  cells
	sums   []cell     // by window
	period *periodSum // of a calendar window
}

// periodSum is the exact sum of the calendar period that contains asOf.
type periodSum struct {
	calendar *Calendar
	from, to int64
	sum      cell
}

// newMeter is an empty meter at now.
func newMeter(l *layout, calendar *Calendar, now time.Time) meter {
	m := meter{layout: l, asOf: now.UnixNano(), cells: newCells(l.slots), sums: make([]cell, len(l.windows))}
	if calendar != nil {
		from, to := calendar.period(now.Add(-1))
		m.period = &periodSum{calendar: calendar, from: from.UnixNano(), to: to.UnixNano()}
	}
	return m
}

// advance moves now forward; it never moves back. It reports whether that moved
// the edge of a slot.
func (m *meter) advance(now int64) (moved bool) {
	if now <= m.asOf {
		return false
	}
	s := m.layout.move(m.asOf, now)
	for _, l := range s.leaving {
		m.sums[l.window] = m.sums[l.window].minus(m.cells.get(l.cell))
	}
	for _, p := range s.clear {
		m.cells.clear(p)
	}
	m.asOf = now
	if p := m.period; p != nil && now > p.to {
		from, to := p.calendar.period(time.Unix(0, now-1))
		p.from, p.to = from.UnixNano(), to.UnixNano()
		p.sum = m.sum(p.from, now)
		return true
	}
	return len(s.leaving)+len(s.clear) > 0
}

// add counts into the slot at t, advancing to t when it lies ahead. It reports
// whether every window that contains t took it; older data is too late for the
// meter and needs a rebuild from the stored slots.
func (m *meter) add(t int64, d cell) bool {
	m.advance(t)
	for i := range m.layout.tiers {
		if r := &m.layout.tiers[i]; m.holds(r, t) {
			p := r.cell(floorDiv(t, r.width))
			m.cells.set(p, m.cells.get(p).plus(d))
		}
	}
	inside := false
	for i := range m.layout.windows {
		w := &m.layout.windows[i]
		if floorDiv(t, m.layout.tiers[w.tier].width) >= m.layout.tail(w, m.asOf) {
			m.sums[i], inside = m.sums[i].plus(d), true
		}
	}
	if p := m.period; p != nil && t >= p.from && t < p.to {
		p.sum, inside = p.sum.plus(d), true
	}
	return inside
}

// holds reports whether the meter still has the slot of t in a tier.
func (m *meter) holds(r *tier, t int64) bool { return floorDiv(t, r.width) > r.head(m.asOf)-r.slots }

// reported is whether the base slot of t has reported, as far as the meter
// remembers.
func (m *meter) reported(t int64) (reported, remembered bool) {
	r := &m.layout.tiers[0]
	if !m.holds(r, t) {
		return false, false
	}
	return floorDiv(t, r.width) <= r.head(m.asOf) && m.cells.get(r.cell(floorDiv(t, r.width))).known > 0, true
}

// fill counts a history of events in slots of the base width, the last of which
// begins at asOf at the latest, into an empty meter: what add would do slot by
// slot while time moves.
func (m *meter) fill(events *Series) {
	for i := range m.layout.tiers {
		r := &m.layout.tiers[i]
		oldest := r.head(m.asOf) - r.slots + 1
		for j := events.search(oldest * (r.width / events.width)); j < len(events.index); j++ {
			p := r.cell(floorDiv(events.index[j]*events.width, r.width))
			m.cells.set(p, m.cells.get(p).plus(events.cell(j)))
		}
	}
	if p := m.period; p != nil {
		for j := range events.index {
			if t := events.index[j] * events.width; t >= p.from && t < p.to {
				p.sum = p.sum.plus(events.cell(j))
			}
		}
	}
	m.recount()
}

// cell is the counts of a slot.
func (s *Series) cell(i int) cell {
	total := s.total[i+1] - s.total[i]
	return cell{bad: total - s.good[i+1] + s.good[i], total: total, known: 1}
}

// window is the index of the window of a length.
func (l *layout) window(length time.Duration) (int, bool) {
	i := slices.IndexFunc(l.windows, func(w windowSpec) bool { return w.length == int64(length) })
	return i, i >= 0
}

// counts is a running sum in the form of the history's Sum.
func (m *meter) counts(i int) Counts {
	w, s := &m.layout.windows[i], &m.sums[i]
	base := m.layout.tiers[0].width
	slots := (m.asOf - m.layout.tail(w, m.asOf)*m.layout.tiers[w.tier].width + base - 1) / base
	return Counts{Good: s.total - s.bad, Total: s.total, Known: int(s.known), Span: int(slots)}
}

// span is the time a running sum covers.
func (m *meter) span(i int) Span {
	w := &m.layout.windows[i]
	return Span{time.Unix(0, m.layout.tail(w, m.asOf)*m.layout.tiers[w.tier].width).UTC(), time.Unix(0, m.asOf).UTC()}
}

// reaching is the finest tier that reaches back to a time, or else the coarsest.
func (m *meter) reaching(from int64) *tier {
	tiers := m.layout.tiers
	for i := range tiers {
		if m.holds(&tiers[i], from) {
			return &tiers[i]
		}
	}
	return &tiers[len(tiers)-1]
}

// each visits the slots that [from, to) touches.
func (m *meter) each(from, to int64, visit func(start int64, c cell)) {
	r := m.reaching(from)
	head := r.head(m.asOf)
	for i := max(floorDiv(from, r.width), head-r.slots+1); i <= min(head, floorDiv(to-1, r.width)); i++ {
		visit(i*r.width, m.cells.get(r.cell(i)))
	}
}

// sum adds up the slots that [from, to) touches.
func (m *meter) sum(from, to int64) cell {
	var s cell
	m.each(from, to, func(_ int64, c cell) { s = s.plus(c) })
	return s
}

// Steps is the bad units in each of n equal steps of [from, to), as finely as
// the meter remembers.
func (m *meter) Steps(from, to time.Time, n int) []int64 {
	out := make([]int64, n)
	m.each(from.UnixNano(), to.UnixNano(), func(start int64, c cell) {
		if c.bad != 0 {
			out[stepOf(start, from, to, n)] += c.bad
		}
	})
	return out
}

// recount sums the windows from the cells.
func (m *meter) recount() {
	for i := range m.layout.windows {
		w := &m.layout.windows[i]
		t := &m.layout.tiers[w.tier]
		m.sums[i] = cell{}
		for j := m.layout.tail(w, m.asOf); j <= t.head(m.asOf); j++ {
			m.sums[i] = m.sums[i].plus(m.cells.get(t.cell(j)))
		}
	}
}

// Sum makes the meter a History, as fine as what it remembers.
func (m *meter) Sum(from, to time.Time) Counts {
	if !to.After(from) {
		return Counts{}
	}
	if i, ok := m.layout.window(to.Sub(from)); ok && to.UnixNano() == m.asOf {
		return m.counts(i)
	}
	s := m.sum(from.UnixNano(), to.UnixNano())
	return Counts{Good: s.total - s.bad, Total: s.total, Known: int(s.known), Span: int(to.Sub(from) / time.Duration(m.layout.tiers[0].width))}
}
