package budget

import (
	"math"
	"sort"
)

// lasting is one lasting cause in its era.
type lasting struct {
	cause int
	with  []int // lasting causes at work when it began, by place in the order
	after []int // lasting causes that began while it was at work
	peak  float64
}

// last charges lasting causes, beyond the time in which they were new, with
// what lasts: the smoothed level above what was usual before them. Bursts are no
// part of that level, and stay in the background. With several at work, each
// has the band between its own baseline and that of the next.
func (a *attributor) last() {
	eras := a.eras()
	isFresh := make([]bool, len(a.slots))
	for _, e := range eras {
		for i := a.spans[e.cause].alone; i < a.spans[e.cause].until; i++ {
			isFresh[i] = true
		}
	}
	for k := range eras {
		a.lasts(eras, k, isFresh)
	}
}

// eras lists the lasting causes by the beginning of their eras, with how far
// each raised the level while it was the newest: it is not charged with more
// when others come on top.
func (a *attributor) eras() []lasting {
	var out []lasting
	for c := range a.causes {
		if s := a.spans[c]; a.causes[c].lasting() && s.alone < s.hi {
			out = append(out, lasting{cause: c})
		}
	}
	sort.SliceStable(out, func(x, y int) bool { return a.spans[out[x].cause].alone < a.spans[out[y].cause].alone })
	for k := range out {
		s := a.spans[out[k].cause]
		end := s.hi
		for j := range out {
			other := a.spans[out[j].cause]
			if j > k && other.alone < s.hi {
				out[k].after = append(out[k].after, j)
				end = min(end, other.alone)
			}
			if j < k && other.hi > s.alone {
				out[k].with = append(out[k].with, j)
			}
		}
		for i := s.alone; i < end; i++ {
			out[k].peak = math.Max(out[k].peak, a.levels[i]-s.base.ratio)
		}
	}
	return out
}

// lasts charges one lasting cause.
func (a *attributor) lasts(eras []lasting, k int, isFresh []bool) {
	c := eras[k].cause
	s := a.spans[c]
	excess, expected, seen, requests := 0.0, 0.0, 0.0, 0.0
	band := make([]float64, s.hi-s.alone)
	for i := s.alone; i < s.hi; i++ {
		if isFresh[i] {
			continue
		}
		band[i-s.alone] = a.band(eras, k, i)
		excess += band[i-s.alone] * a.n[i]
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
	a.spread(c, s.alone, band)
}

// band is the ratio that a lasting cause adds in a slot.
func (a *attributor) band(eras []lasting, k, i int) float64 {
	top := a.levels[i]
	for _, j := range eras[k].after {
		if s := a.spans[eras[j].cause]; s.alone <= i && i < s.hi {
			top = math.Min(top, a.floor(eras, j, i))
			break
		}
	}
	return math.Max(0, math.Min(top-a.floor(eras, k, i), eras[k].peak))
}

// floor is the baseline of a lasting cause in a slot: what was usual before it,
// less what causes did that were at work then and are over now.
func (a *attributor) floor(eras []lasting, k, i int) float64 {
	out := a.spans[eras[k].cause].base.ratio
	for _, j := range eras[k].with {
		if d := eras[j].cause; a.spans[d].hi <= i && len(a.charges[d].parts) > 0 {
			out -= eras[j].peak
		}
	}
	return math.Max(out, 0)
}

// spread charges a cause with bands, over stretches of an hour: within a
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
