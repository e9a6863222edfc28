package judge

import (
	"math"
	"slices"
)

// ratios are the relative increases of the bad ratio that are bet on: some
// wealth goes on "one and a half times as many failures", some on "twenty
// times". One of them is near enough to whatever the truth is.
var ratios = [...]float64{1.5, 2, 3, 5, 8, 13, 20}

// share is the part of all wealth that is dealt out anew, equally to all
// ratios, after each window that was bet on. Without it a long healthy time
// uses up the wealth, and a fault that begins late is found late: at 600
// canary requests a minute, threefold errors after a healthy hour take 13
// minutes instead of 5. It costs next to nothing while the fault is there from
// the start. Herbster & Warmuth, Tracking the best expert, 1998.
const share = 0.005

// FewestWindows is the least number of windows in which a canary with that share
// of the requests (between 0 and 1) can be sent back by what it does in them
// alone: only its requests are bad, in each of them. A window's bet at most
// doubles the wealth at a share of a half and multiplies it by about 17 at 1 %,
// so a step that has fewer windows cannot convict a fault that it brought to
// light. The warm-up is not counted.
func (c Config) FewestWindows(share float64) int {
	c = c.withDefaults()
	const most = 10_000
	all := 1e9
	w := Bin{Baseline: Count{Requests: int64(all * (1 - share))}, Canary: Count{Requests: int64(all * share), Bad: 1}}
	var s State
	for n := 1; n < most; n++ {
		if c.bet(&s, w); c.logE(s) >= -math.Log(c.Alpha) {
			return n
		}
	}
	return most
}

// guardStakes are the bets on a canary that fails outright in its warm-up, as
// fractions of the largest stake that cannot go broke in one bin.
var guardStakes = [...]float64{0.5, 0.9}

// guardShare is the part of the initial wealth set aside for guardStakes when
// there is a warm-up: the other bets then need 1/(1 − guardShare) as much.
const guardShare = 0.02

// bet stakes each wealth on the window's share of bad requests.
//
// With Z the canary's part of the bad requests and q its part of all requests,
// the wealth on ratio k is multiplied by 1 + λ(Z − q), λ = (q' − q)/(q(1 − q)),
// q' = qk/(qk + 1 − q), which is (1 + (k−1)Z)/(1 + (k−1)q). When the arms are
// alike E[Z | past] = q, however failures cluster within a window, so the
// expected factor is 1: nobody gets rich betting against an equal canary.
// A tolerated increase τ replaces q by q(1+τ)/(q(1+τ) + 1 − q).
//
// After Waudby-Smith & Ramdas, Estimating means of bounded random variables by
// betting, arXiv:2010.09686.
func (c Config) bet(s *State, w Bin) {
	bad := w.Canary.Bad + w.Baseline.Bad
	if bad == 0 || w.Canary.Requests == 0 || w.Baseline.Requests == 0 {
		return
	}
	z := float64(w.Canary.Bad) / float64(bad)
	odds := float64(w.Canary.Requests) / float64(w.Baseline.Requests) * (1 + c.Tolerated)
	q := odds / (1 + odds)
	if s.Wealth == nil {
		s.Wealth = make([]float64, len(ratios))
	}
	for i, k := range ratios {
		s.Wealth[i] += math.Log((1 + (k-1)*z) / (1 + (k-1)*q))
	}
	dealOut(s.Wealth)
}

// dealOut replaces each wealth w by (1−share)·w + share·mean, in logarithms.
func dealOut(wealth []float64) {
	top := slices.Max(wealth)
	var scaled [len(ratios)]float64
	mean := 0.0
	for i, w := range wealth {
		scaled[i] = math.Exp(w - top)
		mean += scaled[i] / float64(len(wealth))
	}
	for i := range wealth {
		wealth[i] = top + math.Log((1-share)*scaled[i]+share*mean)
	}
}

// guardCalm is the baseline's bad ratio above which the guard makes no bet: what
// fails both arms is not the canary's doing.
const guardCalm = 0.1

// guard stakes wealth on more than WarmUpRatio of the canary's requests being
// bad while few of the baseline's are. It takes the bins as they come, not
// merged: a canary that fails every request is found in about a dozen
// one-second bins.
func (c Config) guard(s *State, b Bin) {
	if b.Canary.Requests == 0 || c.WarmUpRatio >= 1 || b.Baseline.Ratio() > guardCalm {
		return
	}
	if s.Guard == nil {
		s.Guard = make([]float64, len(guardStakes))
	}
	x := b.Canary.Ratio()
	for i, stake := range guardStakes {
		s.Guard[i] += math.Log1p(stake / c.WarmUpRatio * (x - c.WarmUpRatio))
	}
}

// logE is the natural logarithm of the evidence against equal arms: the mean
// wealth over all bets.
func (c Config) logE(s State) float64 {
	e := logMean(s.Wealth)
	if c.WarmUp <= 0 || c.WarmUpRatio >= 1 {
		return e
	}
	return logAdd(math.Log1p(-guardShare)+e, math.Log(guardShare)+logMean(s.Guard))
}

// logMean is log(mean(exp(x))) without overflow, 0 for no values.
func logMean(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	top, sum := slices.Max(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum/float64(len(x)))
}

// logAdd is log(exp(a) + exp(b)) without overflow.
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
