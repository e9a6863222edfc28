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
// the moments about which nothing can be said. Events of one stretch are added
// up before they are divided among slots.
//
// Series of one target, and of targets that are scraped at the same time, have
// the same stretches. So stretches are kept in tracks, one for each moment of
// the interval at which targets are scraped, by the number of the scrape; what
// does not fit into them is kept by itself.
type tally struct {
	interval int64
	first, n int64 // numbers of scrapes: the first, and how many
	room     int64 // samples that may come, for each of which a track may have a cell
	tracks   map[int64][]pace
	phase    int64 // of the track used last
	last     []pace
	others   map[stretch]int64
	broken   []stretch
}

// pace is the stretch that ends with one scrape.
type pace struct{ width, events int64 }

// newTally is of samples in a span that are mostly an interval apart.
func newTally(interval int64, samples stretch) *tally {
	first := samples.from / interval
	return &tally{interval: interval, first: first, n: samples.until/interval - first + 1, phase: -1, tracks: map[int64][]pace{}, others: map[stretch]int64{}}
}

// expect announces so many samples. Tracks take at most twice as much room.
func (t *tally) expect(samples int) { t.room += 2 * int64(samples) }

func (t *tally) add(d difference, negative bool) {
	if negative {
		d.events = -d.events
	}
	width, scrape := d.until-d.from, d.until/t.interval
	if track := t.track(d.until - scrape*t.interval); scrape >= t.first && scrape-t.first < int64(len(track)) {
		p := &track[scrape-t.first]
		if p.width == 0 {
			p.width = width
		}
		if p.width == width {
			p.events += d.events
			return
		}
	}
	t.others[stretch{d.from, d.until}] += d.events
}

// track is that of a moment of the interval; nil when there was no room for it
// when it was first needed.
func (t *tally) track(phase int64) []pace {
	if phase == t.phase {
		return t.last
	}
	track, ok := t.tracks[phase]
	if !ok {
		if t.room >= t.n {
			t.room -= t.n
			track = make([]pace, t.n)
		}
		t.tracks[phase] = track
	}
	t.phase, t.last = phase, track
	return track
}

// each visits the stretches: those of one track in order of their ends.
func (t *tally) each(visit func(s stretch, events int64)) {
	for phase, track := range t.tracks {
		for i, p := range track {
			if p.width > 0 {
				until := (t.first+int64(i))*t.interval + phase
				visit(stretch{until - p.width, until}, p.events)
			}
		}
	}
	for s, n := range t.others {
		visit(s, n)
	}
}

// slots are the events of each slot that begins in [from, until), which are
// whole slots.
func (t *tally) slots(from, until int64) []int64 {
	out := make([]int64, (until-from)/slotWidth)
	t.each(func(s stretch, n int64) {
		if s.until <= from || s.from >= until {
			return
		}
		split(s, n, func(slot, events int64) {
			if slot >= from && slot < until {
				out[(slot-from)/slotWidth] += events
			}
		})
	})
	return out
}

// split divides events among the slots that their stretch touches, in
// proportion to time and in whole events: up to each edge there are as many as
// time has passed, rounded down.
func split(s stretch, n int64, give func(slot, events int64)) {
	first := floor(s.from)
	if s.until <= first+slotWidth {
		give(first, n)
		return
	}
	given := int64(0)
	for slot := first; slot < s.until; slot += slotWidth {
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
	var all []stretch // joined with those that were visited just before
	t.each(func(s stretch, _ int64) {
		for n := len(all) - 1; n >= 0 && all[n].until <= s.until && s.from-all[n].until <= tolerance; n-- {
			s.from, all = min(s.from, all[n].from), all[:n]
		}
		all = append(all, s)
	})
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
