package slo

import (
	"math"
	"time"
)

// cell is the counts of one slot of a meter.
type cell struct {
	bad, total int64
	known      int64 // base slots that reported
}

// narrowCell is a cell in eight bytes; its known count lies beside it.
type narrowCell struct{ bad, total uint32 }

// ring is the newest slots of one width. It keeps them narrow until a count
// outgrows 32 bits, then wide.
type ring struct {
	width  int64 // nanoseconds
	head   int64 // index of the newest slot
	narrow []narrowCell
	known  []uint8
	wide   []cell
}

func newRing(width int64, slots int) ring {
	return ring{width: width, narrow: make([]narrowCell, slots), known: make([]uint8, slots)}
}

func (r *ring) size() int64 { return int64(max(len(r.narrow), len(r.wide))) }

// at is slot i; slots outside of the ring are empty.
func (r *ring) at(i int64) cell {
	n := r.size()
	if i > r.head || i <= r.head-n {
		return cell{}
	}
	return r.get(floorMod(i, n))
}

func (r *ring) get(p int64) cell {
	if r.wide != nil {
		return r.wide[p]
	}
	c := r.narrow[p]
	return cell{int64(c.bad), int64(c.total), int64(r.known[p])}
}

// add adds to slot i and reports whether the ring holds it.
func (r *ring) add(i int64, d cell) bool {
	n := r.size()
	if i > r.head || i <= r.head-n {
		return false
	}
	p := floorMod(i, n)
	c := r.get(p)
	c.bad, c.total, c.known = c.bad+d.bad, c.total+d.total, c.known+d.known
	if r.wide == nil && (c.total > math.MaxUint32 || c.known > math.MaxUint8) {
		r.widen()
	}
	if r.wide != nil {
		r.wide[p] = c
		return true
	}
	r.narrow[p], r.known[p] = narrowCell{uint32(c.bad), uint32(c.total)}, uint8(c.known)
	return true
}

func (r *ring) widen() {
	wide := make([]cell, len(r.narrow))
	for p := range wide {
		wide[p] = r.get(int64(p))
	}
	r.wide, r.narrow, r.known = wide, nil, nil
}

// advance makes slot head the newest and empties the slots it enters.
func (r *ring) advance(head int64) {
	n := r.size()
	for i := max(r.head+1, head-n+1); i <= head; i++ {
		p := floorMod(i, n)
		if r.wide != nil {
			r.wide[p] = cell{}
		} else {
			r.narrow[p], r.known[p] = narrowCell{}, 0
		}
	}
	r.head = max(r.head, head)
}

// runningSum is the sum of one window that looks back from the meter's now.
type runningSum struct {
	length int64 // nanoseconds
	tier   int   // ring whose slots leave the window
	tail   int64 // first slot of that ring still inside
	sum    cell
}

// meter keeps running sums of an objective's budget units over several
// windows, in constant memory and constant time per tick. Short windows read
// fine slots, long windows coarse ones.
//
// A window whose start is not on a boundary of its slots counts the whole slot
// it begins in: it is exact for a span that is up to one slot longer. span
// states it.
type meter struct {
	asOf    int64 // nanoseconds since the Unix epoch
	rings   []ring
	windows []runningSum
	period  *periodSum // of a calendar window
}

// periodSum is the exact sum of the calendar period that contains asOf.
type periodSum struct {
	calendar *Calendar
	from, to int64
	sum      cell
}

// newMeter sums base slots over windows (ascending), starting empty at now.
func newMeter(base time.Duration, windows []time.Duration, calendar *Calendar, now time.Time) *meter {
	m := &meter{asOf: now.UnixNano()}
	for _, length := range windows {
		width := int64(slotWidth(base, length))
		tier := len(m.rings) - 1
		if tier < 0 || m.rings[tier].width != width {
			m.rings = append(m.rings, ring{width: width})
			tier++
		}
		m.windows = append(m.windows, runningSum{length: int64(length), tier: tier, tail: floorDiv(m.asOf-int64(length), width)})
	}
	for i := range m.rings {
		slots := int64(2)
		for _, w := range m.windows {
			if w.tier == i {
				slots = max(slots, (w.length+m.rings[i].width-1)/m.rings[i].width+1)
			}
		}
		m.rings[i] = newRing(m.rings[i].width, int(slots))
		m.rings[i].head = floorDiv(m.asOf, m.rings[i].width)
	}
	if calendar != nil {
		from, to := calendar.period(now.Add(-1))
		m.period = &periodSum{calendar: calendar, from: from.UnixNano(), to: to.UnixNano()}
	}
	return m
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

// advance moves now forward; it never moves back.
func (m *meter) advance(now int64) {
	if now <= m.asOf {
		return
	}
	for i := range m.windows {
		w := &m.windows[i]
		r := &m.rings[w.tier]
		tail := floorDiv(now-w.length, r.width)
		// Slots beyond the ring's head are empty: a long pause costs no more than
		// one turn of the ring.
		for j := w.tail; j < min(tail, r.head+1); j++ {
			c := r.at(j)
			w.sum.bad, w.sum.total, w.sum.known = w.sum.bad-c.bad, w.sum.total-c.total, w.sum.known-c.known
		}
		w.tail = tail
	}
	for i := range m.rings {
		r := &m.rings[i]
		r.advance(floorDiv(now, r.width))
	}
	m.asOf = now
	if p := m.period; p != nil && now > p.to {
		from, to := p.calendar.period(time.Unix(0, now-1))
		p.from, p.to = from.UnixNano(), to.UnixNano()
		p.sum = m.sum(p.from, now)
	}
}

// add counts into the slot at t, advancing to t when it lies ahead. It reports
// whether every window that contains t took it; older data is too late for the
// meter and needs a rebuild from the stored slots.
func (m *meter) add(t int64, d cell) bool {
	m.advance(t)
	inside := t >= m.windowStart()
	for i := range m.rings {
		r := &m.rings[i]
		if !r.add(floorDiv(t, r.width), d) {
			continue
		}
		for j := range m.windows {
			if w := &m.windows[j]; w.tier == i && floorDiv(t, r.width) >= w.tail {
				w.sum.bad, w.sum.total, w.sum.known = w.sum.bad+d.bad, w.sum.total+d.total, w.sum.known+d.known
			}
		}
	}
	if p := m.period; p != nil && t >= p.from && t < p.to {
		p.sum.bad, p.sum.total, p.sum.known = p.sum.bad+d.bad, p.sum.total+d.total, p.sum.known+d.known
	}
	return inside
}

// windowStart is the earliest moment that any window contains.
func (m *meter) windowStart() int64 {
	start := m.asOf
	for i := range m.windows {
		start = min(start, m.asOf-m.windows[i].length)
	}
	if m.period != nil {
		start = min(start, m.period.from)
	}
	return start
}

// reported is whether the base slot of t has reported; false when the meter
// no longer remembers.
func (m *meter) reported(t int64) bool {
	r := &m.rings[0]
	return r.at(floorDiv(t, r.width)).known > 0
}

// window is the running sum of the window of a length.
func (m *meter) window(length time.Duration) (*runningSum, bool) {
	for i := range m.windows {
		if m.windows[i].length == int64(length) {
			return &m.windows[i], true
		}
	}
	return nil, false
}

// counts is a running sum in the form of the history's Sum.
func (m *meter) counts(w *runningSum) Counts {
	slots := (m.asOf - w.tail*m.rings[w.tier].width + m.rings[0].width - 1) / m.rings[0].width
	return Counts{Good: w.sum.total - w.sum.bad, Total: w.sum.total, Known: int(w.sum.known), Span: int(slots)}
}

// span is the time a running sum covers.
func (m *meter) span(w *runningSum) Span {
	return Span{time.Unix(0, w.tail*m.rings[w.tier].width).UTC(), time.Unix(0, m.asOf).UTC()}
}

// sum adds up the slots that [from, to) touches, of the finest ring that
// reaches back to from, or else of the coarsest.
func (m *meter) sum(from, to int64) cell {
	r := &m.rings[len(m.rings)-1]
	for i := range m.rings {
		if c := &m.rings[i]; floorDiv(from, c.width) > c.head-c.size() {
			r = c
			break
		}
	}
	var s cell
	first := max(floorDiv(from, r.width), r.head-r.size()+1)
	for i := first; i <= min(r.head, floorDiv(to-1, r.width)); i++ {
		c := r.at(i)
		s.bad, s.total, s.known = s.bad+c.bad, s.total+c.total, s.known+c.known
	}
	return s
}

// Sum makes the meter a History, as fine as what it remembers.
func (m *meter) Sum(from, to time.Time) Counts {
	if !to.After(from) {
		return Counts{}
	}
	s := m.sum(from.UnixNano(), to.UnixNano())
	return Counts{Good: s.total - s.bad, Total: s.total, Known: int(s.known), Span: int(to.Sub(from) / time.Duration(m.rings[0].width))}
}
