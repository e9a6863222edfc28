package query

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

const slotWidth = int64(metric.SlotWidth / 1e6)

// stretch is a stretch of time after one moment and up to another.
type stretch struct{ from, until int64 }

// tally is what one sum saw: events by the stretch in which they happened, and
// the moments about which nothing can be said.
type tally struct {
	events map[stretch]int64
	broken []stretch
}

func newTally() *tally { return &tally{events: map[stretch]int64{}} }

func (t *tally) add(d difference, negative bool) {
	if negative {
		d.events = -d.events
	}
	t.events[stretch{d.from, d.until}] += d.events
}

// slots are the events of each slot that begins in [from, until).
func (t *tally) slots(from, until int64) map[int64]int64 {
	out := make(map[int64]int64, (until-from)/slotWidth)
	for s, n := range t.events {
		if s.until <= from || s.from >= until {
			continue
		}
		split(s, n, func(slot, events int64) {
			if slot >= from && slot < until {
				out[slot] += events
			}
		})
	}
	return out
}

// split divides events among the slots that their stretch touches, in
// proportion to time and in whole events: up to each edge there are as many as
// time has passed, rounded down.
func split(s stretch, n int64, give func(slot, events int64)) {
	given := int64(0)
	for slot := floor(s.from); slot < s.until; slot += slotWidth {
		upTo := share(n, min(slot+slotWidth, s.until)-s.from, s.until-s.from)
		give(slot, upTo-given)
		given = upTo
	}
}

// share is n × part ÷ whole, towards zero, for 0 ≤ part ≤ whole.
func share(n, part, whole int64) int64 {
	if n < 0 {
		return -share(-n, part, whole)
	}
	hi, lo := bits.Mul64(uint64(n), uint64(part))
	q, _ := bits.Div64(hi, lo, uint64(whole))
	return int64(q)
}

// floor is the beginning of the slot that a moment is in.
func floor(at int64) int64 {
	rest := at % slotWidth
	if rest < 0 {
		rest += slotWidth
	}
	return at - rest
}

// covered joins the stretches that were observed, over holes of at most a
// tolerance, into those about which everything is known.
func (t *tally) covered(tolerance int64) []stretch {
	all := make([]stretch, 0, len(t.events))
	for s := range t.events {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.until, b.until)) })
	var out []stretch
	for _, s := range all {
		if last := len(out) - 1; last >= 0 && s.from-out[last].until <= tolerance {
			out[last].until = max(out[last].until, s.until)
			continue
		}
		out = append(out, s)
	}
	return out
}

// whole reports whether a slot lies in one of the stretches, which are sorted
// and apart.
func whole(known []stretch, slot int64) bool {
	i, _ := slices.BinarySearchFunc(known, slot+slotWidth, func(s stretch, end int64) int { return cmp.Compare(s.until, end) })
	return i < len(known) && known[i].from <= slot
}

// breaks reports whether a slot touches one of the moments about which nothing
// can be said.
func (t *tally) breaks(slot int64) bool {
	return slices.ContainsFunc(t.broken, func(s stretch) bool { return s.from < slot+slotWidth && s.until >= slot })
}
