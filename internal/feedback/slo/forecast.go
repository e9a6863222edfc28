package slo

import (
	"math"
	"time"
)

// History sums counts, in budget units, over any span. Series is one; so is
// the live engine's memory of an objective.
type History interface {
	Sum(from, to time.Time) Counts
	// Steps is the bad units in each of n equal steps of [from, to); a slot counts
	// whole, in the step it begins in, or in the first.
	Steps(from, to time.Time, n int) []int64
}

// Forecast says when the budget runs out if things go on as they do now.
type Forecast struct {
	Exhausted bool      // the budget is spent already; At says since when
	At        time.Time // zero: not within the window ahead
	// Early and Late enclose At with 90 % for the observed number of bad units
	// (Poisson, Garwood 1936 by Wilson–Hilferty): the honest width when few were
	// seen. Bad luck that comes in bursts is wider still. Zero: not within the
	// window ahead.
	Early, Late time.Time
	Burn        float64       // the burn rate it goes on with
	Over        time.Duration // the lookback that burn rate was seen over
}

// lookbacks are the spans a forecast looks at, the shortest with enough
// evidence first.
var lookbacks = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour}

// forecastEvidence is the number of bad units that makes a lookback worth
// extrapolating: its 90 % interval is then within a factor of two.
const forecastEvidence = 10

// Forecast extrapolates the rate of bad units over the shortest of 1 h, 6 h,
// 1 d, 3 d and the window that saw at least ten of them. In a rolling window
// what was spent long ago is given back as it leaves the window, and the
// forecast counts on that; a calendar window gives nothing back before it ends.
func (o *Objective) Forecast(h History, b Budget, scale int64, now time.Time) Forecast {
	from, to := o.Window.Lookback(now)
	allowed := b.Allowed.Float64() * float64(max(scale, 1))
	if b.Remaining.Cmp(Amount{}) <= 0 && !b.Spent.IsZero() {
		return Forecast{Exhausted: true, At: exhaustedSince(h, allowed, from, now)}
	}
	bad, over := recentBad(h, from, now)
	if bad == 0 || allowed <= 0 {
		return Forecast{}
	}
	low, high := poissonInterval(float64(bad))
	crossing := func(n float64) time.Time {
		return linearCrossing(allowed-float64(h.Sum(from, now).Bad()), n/over.Seconds(), now, to)
	}
	if window := to.Sub(from); o.Window.Calendar == nil {
		steps := h.Steps(from, now, forecastSteps)
		crossing = func(n float64) time.Time {
			return rollingCrossing(steps, allowed, n/over.Seconds(), now, window)
		}
	}
	return Forecast{
		At: crossing(float64(bad)), Early: crossing(high), Late: crossing(low), Over: over,
		Burn: float64(bad) / over.Seconds() * to.Sub(from).Seconds() / allowed,
	}
}

// recentBad is the bad units of the lookback that has enough of them.
func recentBad(h History, from, now time.Time) (int64, time.Duration) {
	for _, over := range lookbacks {
		if now.Add(-over).Before(from) {
			break
		}
		if bad := h.Sum(now.Add(-over), now).Bad(); bad >= forecastEvidence {
			return bad, over
		}
	}
	return h.Sum(from, now).Bad(), now.Sub(from)
}

func linearCrossing(remaining, rate float64, now, limit time.Time) time.Time {
	if rate <= 0 {
		return time.Time{}
	}
	if seconds := remaining / rate; seconds < limit.Sub(now).Seconds() {
		return now.Add(time.Duration(seconds * float64(time.Second)))
	}
	return time.Time{}
}

// forecastSteps is how finely a rolling forecast sees the past leave the
// window: two hours of thirty days.
const forecastSteps = 360

// rollingCrossing is the first moment within one window ahead at which what is
// still in the window plus what a constant rate adds exceeds the allowance.
// Within a step what leaves does so evenly.
func rollingCrossing(steps []int64, allowed, rate float64, now time.Time, window time.Duration) time.Time {
	left := allowed
	for _, bad := range steps {
		left -= float64(bad)
	}
	step := window / time.Duration(len(steps))
	for i, bad := range steps {
		change := float64(bad) - rate*step.Seconds()
		if left+change <= 0 {
			share := max(0, min(1, -left/change))
			return now.Add(time.Duration((float64(i) + share) * float64(step)))
		}
		left += change
	}
	return time.Time{}
}

// exhaustedSince is when the bad units since from came to the allowance, to
// the second: the end of the slot that they came to it in, which is when it
// could be known.
func exhaustedSince(h History, allowed float64, from, now time.Time) time.Time {
	low, high := from, now
	for high.Sub(low) > time.Second {
		middle := low.Add(high.Sub(low) / 2)
		if float64(h.Sum(from, middle).Bad()) >= allowed {
			high = middle
		} else {
			low = middle
		}
	}
	if slots, ok := h.(interface {
		Covered(from, to time.Time) (time.Time, time.Time)
	}); ok {
		if _, end := slots.Covered(from, high); !end.After(now) {
			return end
		}
	}
	return high.Truncate(time.Second)
}

// poissonInterval is the 90 % confidence interval of a Poisson mean of which n
// were seen.
func poissonInterval(n float64) (low, high float64) {
	const z = 1.6448536269514722
	cube := func(x, sign float64) float64 {
		r := 1 - 1/(9*x) + sign*z/(3*math.Sqrt(x))
		return x * r * r * r
	}
	if n > 0 {
		low = max(0, cube(n, -1))
	}
	return low, cube(n+1, 1)
}
