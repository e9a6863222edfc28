package judge

import (
	"math"
	"time"
)

// Affordable is the rule by which a step is taken: evidence in proportion to
// exposure. In a step to weight (0 to 1 of the traffic), at rate requests a
// second, for the time t until the next possible verdict, weight·rate·t
// requests meet the canary; at an excess of u (see [Evidence]) that is
// u·weight·rate·t bad ones at worst, to be paid from phi (0 to 1), the share
// of the budget that one change may spend, times budget, the bad requests left
// in it. Nothing is affordable once the budget is gone, except for a canary
// that is surely no worse (u ≤ 0).
func Affordable(u, weight, rate float64, t time.Duration, phi, budget float64) bool {
	return u*weight*rate*t.Seconds() <= max(0, phi*budget)
}

// LargestAffordable is the same inequality read the other way: the largest
// weight up to ceiling that is affordable, 0 if none is.
func LargestAffordable(u, ceiling, rate float64, t time.Duration, phi, budget float64) float64 {
	if Affordable(u, ceiling, rate, t, phi, budget) {
		return ceiling
	}
	return min(ceiling, max(0, phi*budget)/(u*rate*t.Seconds()))
}

// largestExcess is the u at which a step just is affordable.
func largestExcess(weight, rate float64, t time.Duration, phi, budget float64) float64 {
	exposed := weight * rate * t.Seconds()
	if exposed <= 0 {
		return math.Inf(1)
	}
	return max(0, phi*budget) / exposed
}

// ExpectedWait is about how long until the upper end of the excess interval is
// at most u, if the canary receives rate requests a second and is as good as
// the baseline has been. Not ok means no time can be given: there is no
// traffic, or u cannot be reached within a year.
func (c Config) ExpectedWait(s State, u, rate float64) (wait time.Duration, ok bool) {
	c = c.withDefaults()
	const year = 365 * 24 * time.Hour
	below := func(more float64) bool { return s.Excess.after(more).atMost(u, c.Alpha/2) }
	if below(0) {
		return 0, true
	}
	most := rate * year.Seconds()
	if !(most >= 1) || !below(most) {
		return 0, false
	}
	// The bound falls with more requests; find where, to a hundredth.
	lo, hi := 0.0, 1.0
	for !below(hi) {
		lo, hi = hi, hi*2
	}
	for hi-lo > 0.5 && hi-lo > hi/100 {
		if mid := (lo + hi) / 2; below(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return time.Duration(math.Min(hi/rate, year.Seconds()) * float64(time.Second)), true
}

// after is what e will be after more canary requests, if the arms stay at
// their present traffic and the canary is as good as the baseline.
func (e excess) after(more float64) excess {
	if e.Requests == 0 || e.Expected == 0 {
		e.Requests += int64(more)
		return e
	}
	e = e.clone()
	ratio := e.Expected / float64(e.Requests)
	for i := range e.Upper {
		e.Upper[i] *= 1 + more/float64(e.Requests)
	}
	e.Expected += ratio * more
	e.Bad += int64(math.Round(ratio * more))
	e.Requests += int64(more)
	return e
}
