package budget

import (
	"math"
	"sort"
)

// flagStep is what a flag or an experiment adds to the ratio while it is on.
type flagStep struct {
	cause  int
	lo, hi int
	ratio  float64
}

// sumSteps is what flags add in each slot, other than those that are new there.
func (a *attributor) sumSteps() []float64 {
	out := make([]float64, len(a.slots))
	for _, f := range a.flags {
		for i := a.spans[f.cause].until; i < f.hi; i++ {
			out[i] += f.ratio
		}
	}
	return out
}

// step estimates what flags and experiments add, and takes it out of the blocks,
// so that changes are compared with each other as if there were none. A flag
// steps at a known moment, and back at another: the contrast of the hours around
// both is its own, whatever drifts meanwhile. Where that agrees with the
// contrast of whole days, the latter is taken, because it is of more events.
func (a *attributor) step() {
	var list []int
	for c := range a.causes {
		if s := a.spans[c]; a.causes[c].lasting() && a.causes[c].Kind != KindChange && s.alone < s.hi {
			list = append(list, c)
		}
	}
	sort.SliceStable(list, func(x, y int) bool { return a.spans[list[x]].alone < a.spans[list[y]].alone })
	for i := range a.blocks {
		a.blocks[i].b = a.blocks[i].seen
	}
	for _, c := range list {
		s := a.spans[c]
		ratio, noise, known := a.contrast(s, edge)
		if long, _, also := a.contrast(s, wide); also && (!known || math.Abs(long-ratio) <= 2*noise) {
			ratio = long
		}
		if ratio = math.Max(0, ratio); ratio == 0 {
			continue
		}
		a.flags = append(a.flags, flagStep{cause: c, lo: s.alone, hi: s.hi, ratio: ratio})
		for i := range a.blocks {
			if b := &a.blocks[i]; b.lo >= s.alone && b.hi <= s.hi {
				b.b = math.Max(0, b.b-ratio*b.n)
			}
		}
	}
}

// contrast is the mean step of the level at both ends of a flag, over at least so
// many minutes to either side, with its standard error.
func (a *attributor) contrast(s span, minutes int) (step, noise float64, known bool) {
	variance, edges := 0.0, 0.0
	for _, e := range []struct {
		at   int
		sign float64
	}{{s.alone, 1}, {s.hi, -1}} {
		x, y := a.beside(e.at, minutes)
		if e.at >= len(a.slots) || x.n == 0 || y.n == 0 {
			continue
		}
		step += e.sign * (y.ratio - x.ratio)
		variance += a.dispersion * (x.ratio/x.n + y.ratio/y.n)
		edges++
	}
	if edges == 0 {
		return 0, 0, false
	}
	return step / edges, math.Sqrt(variance) / edges, true
}

// beside is the levels of so many quiet minutes before a slot and from it on, in
// whole blocks.
func (a *attributor) beside(at, minutes int) (before, after level) {
	next := sort.Search(len(a.blocks), func(i int) bool { return a.blocks[i].lo >= at })
	from, until := next, next
	for n := 0; from > 0 && n < minutes; from-- {
		n += a.blocks[from-1].hi - a.blocks[from-1].lo
	}
	for n := 0; until < len(a.blocks) && n < minutes; until++ {
		n += a.blocks[until].hi - a.blocks[until].lo
	}
	return pooled(a.blocks[from:next], a.dispersion), pooled(a.blocks[next:until], a.dispersion)
}

// last charges lasting causes, beyond the time in which they were new, with
// what lasts: flags with their step, changes with the smoothed level above what
// was usual before them. Bursts are no part of that level, and stay in the
// background.
func (a *attributor) last() {
	for _, f := range a.flags {
		a.lasts(f.cause, func(int) float64 { return f.ratio })
	}
	owner := make([]int, len(a.slots))
	isFresh := make([]bool, len(a.slots))
	for c := range a.causes {
		s := a.spans[c]
		if !a.causes[c].lasting() || s.alone >= s.hi {
			continue
		}
		for i := s.alone; i < s.until; i++ {
			isFresh[i] = true
		}
		for i := s.alone; i < s.hi && a.causes[c].Kind == KindChange; i++ {
			if o := owner[i]; o == 0 || a.spans[o-1].alone <= s.alone {
				owner[i] = c + 1
			}
		}
	}
	for c := range a.causes {
		if s := a.spans[c]; a.causes[c].Kind == KindChange && s.alone < s.hi {
			a.lasts(c, func(i int) float64 {
				if isFresh[i] || owner[i] != c+1 {
					return 0
				}
				return math.Max(0, a.levels[i]-s.base.ratio)
			})
		}
	}
}

// lasts charges one lasting cause with what it adds in each slot, if that is
// more than noise and drift.
func (a *attributor) lasts(c int, adds func(i int) float64) {
	s := a.spans[c]
	excess, expected, seen, requests := 0.0, 0.0, 0.0, 0.0
	band := make([]float64, s.hi-s.until)
	for i := s.until; i < s.hi; i++ {
		x := adds(i)
		band[i-s.until] = x
		excess += x * a.n[i]
		expected += s.base.ratio * a.n[i]
		requests += a.n[i]
		seen += a.b[i]
	}
	noise := math.Sqrt(a.dispersion * expected * (1 + requests/s.base.n))
	if excess <= math.Max(doubt*noise+1, drift*expected) {
		return
	}
	ch := &a.charges[c]
	ch.bad, ch.total, ch.expected = ch.bad+seen, ch.total+requests, ch.expected+expected
	a.spread(c, s.until, band)
}

// spread charges a cause with what it adds, over stretches of an hour: within a
// stretch where the bad events were.
func (a *attributor) spread(c, lo int, band []float64) {
	for from := 0; from < len(band); from += 60 {
		to := min(from+60, len(band))
		due, left := 0.0, 0.0
		for k := from; k < to; k++ {
			if band[k] > 0 {
				due += band[k] * a.n[lo+k]
				left += a.b[lo+k] - a.x[lo+k]
			}
		}
		if left <= 0 {
			continue
		}
		share := math.Min(1, due/left)
		for k := from; k < to; k++ {
			if band[k] > 0 {
				a.charge(c, lo+k, share*(a.b[lo+k]-a.x[lo+k]))
			}
		}
	}
}
