package judge

import (
	"math"
	"slices"
)

// stakes are the values of κ over which the excess interval mixes, with their
// weights: 1 is sharpest while the canary is clean, the small ones when both
// arms have many bad requests (the best κ is about √(2 ln(1/alpha)/bad)).
var stakes = [...]struct{ kappa, weight float64 }{
	{1, 0.40}, {0.7, 0.13}, {0.45, 0.12}, {0.28, 0.09}, {0.18, 0.07}, {0.11, 0.05},
	{0.07, 0.04}, {0.045, 0.03}, {0.028, 0.02}, {0.018, 0.02}, {0.011, 0.015}, {0.004, 0.015},
}

// cleanLoss is ln(1 − κ) per stake: −Inf for κ = 1, which one bad request on the
// canary ends.
var cleanLoss = func() (loss [len(stakes)]float64) {
	for i, st := range stakes {
		loss[i] = math.Log1p(-st.kappa)
	}
	return loss
}()

// lowerStake scales κ for the lower end, where the baseline's factor
// 1 − κm/n must stay positive.
const lowerStake = 0.95

// excess gathers what an always-valid interval for the canary's excess bad
// ratio needs.
//
// Let window i have n requests of which x are bad on the canary, N and X on
// the baseline, r = n/N, and let p, P be the chances of being bad given the
// past. With A = Σ n(p − P), the bad requests the canary's users have met on
// expectation beyond what the baseline would have given them, and for any
// κ in (0, 1],
//
//	M = exp( Σ x ln(1−κ) + Σ X ln(1+κr) + κA )
//
// is a supermartingale, because E[(1−κ)^x] ≤ exp(−κnp) and
// E[(1+κr)^X] ≤ exp(κrNP) = exp(κnP). So is a mixture over κ; it stays below
// 1/alpha for ever with probability 1 − alpha (Ville), and the A at which it
// reaches 1/alpha is an upper bound at all times together. Chances may drift
// and weights change from window to window, since each window is compared
// within itself. This is the Poisson-type, line-crossing construction of
// Howard, Ramdas, McAuliffe & Sekhon, arXiv:1808.03204 and 1810.08240.
//
// Bursts: when bad requests come in groups of up to g, the same holds with the
// exponent divided by g (by convexity). g is estimated by burst.
type excess struct {
	Requests    int64     `json:"requests"`               // canary requests in closed windows
	Bad         int64     `json:"bad"`                    // of which bad
	Expected    float64   `json:"expected"`               // Σ rX: bad requests the baseline's ratio would have given
	Upper       []float64 `json:"upper,omitempty"`        // Σ X ln(1+κr) per stake
	Lower       []float64 `json:"lower,omitempty"`        // Σ x ln(1+κm/n) + X ln(1−κm/N), m = min(n, N), per stake
	Matched     int64     `json:"matched"`                // Σ m
	WarmLower   []float64 `json:"warm_lower,omitempty"`   // the part of Lower from the warm-up, per stake
	WarmMatched int64     `json:"warm_matched,omitempty"` // the part of Matched from the warm-up
	Baseline    spread    `json:"spread_baseline"`        // dispersion of the baseline's bad counts
	Canary      spread    `json:"spread_canary"`          // dispersion of the canary's bad counts
}

func (e excess) clone() excess {
	e.Upper, e.Lower, e.WarmLower = slices.Clone(e.Upper), slices.Clone(e.Lower), slices.Clone(e.WarmLower)
	return e
}

// add adds a closed window; warm says that it is of the warm-up.
func (e *excess) add(w Bin, warm bool) {
	e.Baseline.add(w.Baseline)
	e.Canary.add(w.Canary)
	n, x := float64(w.Canary.Requests), float64(w.Canary.Bad)
	N, X := float64(w.Baseline.Requests), float64(w.Baseline.Bad)
	e.Requests += w.Canary.Requests
	e.Bad += w.Canary.Bad
	if n == 0 || N == 0 {
		return // without a comparison the canary's own bad requests count in full
	}
	m := min(n, N)
	e.Matched += int64(m)
	if warm {
		e.WarmMatched += int64(m)
	}
	if x == 0 && X == 0 {
		return
	}
	if e.Upper == nil {
		e.Upper, e.Lower = make([]float64, len(stakes)), make([]float64, len(stakes))
	}
	e.Expected += n / N * X
	if warm && e.WarmLower == nil {
		e.WarmLower = make([]float64, len(stakes))
	}
	for i, st := range stakes {
		k := lowerStake * st.kappa
		e.Upper[i] += X * math.Log1p(st.kappa*n/N)
		lower := x*math.Log1p(k*m/n) + X*math.Log1p(-k*m/N)
		e.Lower[i] += lower
		if warm {
			e.WarmLower[i] += lower
		}
	}
}

// estimate is the excess ratio seen.
func (e excess) estimate() float64 {
	if e.Requests == 0 {
		return 0
	}
	return clamp((float64(e.Bad) - e.Expected) / float64(e.Requests))
}

// burst is the estimated number of bad requests that come as one event, at
// least 1; the larger of the two arms', because a burst that only the canary
// has is no less a burst.
func (e excess) burst() float64 {
	return max(1, e.Baseline.ratio(), e.Canary.ratio())
}

// upper is the ratio that the excess exceeds, at any time, with probability at
// most alpha; 1 before the first request.
func (e excess) upper(alpha float64) float64 {
	if e.Requests == 0 {
		return 1
	}
	n := float64(e.Requests)
	return clamp(newton(n, -n, e.burst(), -math.Log(alpha), e.logUpper) / n)
}

// atMost says whether upper(alpha) is at most u, at a fraction of the cost.
func (e excess) atMost(u, alpha float64) bool {
	if u >= 1 || e.Requests == 0 {
		return u >= 1
	}
	value, _ := e.logUpper(u*float64(e.Requests), e.burst())
	return value >= -math.Log(alpha)
}

// logUpper is the logarithm of the mixture at an excess of a bad requests, and
// its slope there. It is convex and rises with a.
func (e excess) logUpper(a, g float64) (value, slope float64) {
	var exponents [len(stakes)]float64
	for i, st := range stakes {
		exponents[i] = st.kappa * a
		if e.Upper != nil {
			exponents[i] += e.Upper[i]
		}
		if e.Bad > 0 {
			exponents[i] += float64(e.Bad) * cleanLoss[i]
		}
	}
	return mix(exponents, 1, g)
}

// lower is the ratio that the excess is below, at any time, with probability
// at most alpha; −1 before the first comparison. Windows weigh by the smaller
// arm here.
func (e excess) lower(alpha float64) float64 {
	if e.Matched == 0 {
		return -1
	}
	n := float64(e.Matched)
	return clamp(newton(-n, n, e.burst(), -math.Log(alpha), e.logLower) / n)
}

// settledLower is lower without what the warm-up added.
func (e excess) settledLower(alpha float64) float64 {
	if e.WarmMatched > 0 {
		e.Matched -= e.WarmMatched
		e.Lower = slices.Clone(e.Lower)
		for i, warm := range e.WarmLower {
			e.Lower[i] -= warm
		}
	}
	return e.lower(alpha)
}

// logLower is like logUpper, but falls with a.
func (e excess) logLower(a, g float64) (value, slope float64) {
	var exponents [len(stakes)]float64
	for i, st := range stakes {
		exponents[i] = -lowerStake * st.kappa * a
		if e.Lower != nil {
			exponents[i] += e.Lower[i]
		}
	}
	return mix(exponents, -lowerStake, g)
}

// mix is the logarithm of the weighted mean of exp(exponent/g), and its slope
// when each exponent has slope scale·κ.
func mix(exponents [len(stakes)]float64, scale, g float64) (value, slope float64) {
	top := slices.Max(exponents[:])
	var sum, rise float64
	for i, st := range stakes {
		e := (exponents[i] - top) / g
		if e < -40 {
			continue
		}
		w := st.weight * math.Exp(e)
		sum += w
		rise += w * scale * st.kappa
	}
	return math.Log(sum) + top/g, rise / sum / g
}

// newton finds where a convex f, given bursts of g, reaches target, coming from the side where it
// is above, so that no step overshoots. It is from when f is below target
// there, and stops at to.
func newton(from, to, g, target float64, f func(a, g float64) (float64, float64)) float64 {
	a := from
	for range 100 {
		value, slope := f(a, g)
		step := (value - target) / slope
		if value <= target || math.Abs(step) < 1e-9*(1+math.Abs(a)) {
			break
		}
		if a -= step; (a-to)*(from-to) <= 0 {
			return to
		}
	}
	return a
}

func clamp(x float64) float64 { return max(-1, min(1, x)) }

// spreadMargin is the standard normal quantile of the confidence, 90 %, with
// which a burst is not larger than taken for.
const spreadMargin = 1.2816

// spread estimates how much more the bad counts of one arm vary from window to
// window than independent ones would: 1 when they are independent, E[G²]/E[G]
// when they come in bursts of size G. Neighbouring windows are compared, so a
// slow drift of the ratio does not count.
type spread struct {
	Last   Count   `json:"last"`
	Square float64 `json:"square"` // Σ d² over pairs of neighbours with a bad request
	Var    float64 `json:"var"`    // Σ of what d² would be on average if independent
	Pairs  int64   `json:"pairs"`
	Bad    int64   `json:"bad"`  // bad requests in those pairs
	Peak   int64   `json:"peak"` // most bad requests in one window
}

func (s *spread) add(c Count) {
	if c.Requests == 0 {
		return
	}
	s.Peak = max(s.Peak, c.Bad)
	if bad := c.Bad + s.Last.Bad; s.Last.Requests > 0 && bad > 0 {
		n, x := float64(c.Requests), float64(c.Bad)
		m, y := float64(s.Last.Requests), float64(s.Last.Bad)
		d := (m*x - n*y) / (n + m)
		s.Square += d * d
		s.Var += (m*m*x + n*n*y) / ((n + m) * (n + m))
		s.Pairs++
		s.Bad += bad
	}
	s.Last = c
}

func (s spread) ratio() float64 {
	if s.Peak <= 1 || s.Var == 0 {
		return float64(s.Peak)
	}
	df := float64(s.Pairs) * 2 / 3
	root := 1 - 2/(9*df) - spreadMargin*math.Sqrt(2/(9*df))
	if root <= 0 {
		return float64(s.Peak)
	}
	noise := 1/(root*root*root) - 1
	noise *= 1 - float64(s.Pairs)/float64(s.Bad)
	return min(float64(s.Peak), s.Square/s.Var*(1+noise))
}
