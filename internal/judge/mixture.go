package judge

import "math"

// This file has the other always-valid tests of the literature. The judge of a
// canary does not use them: they want independent counts or a single sample.

// NormalMixture is the two-sided normal mixture of Howard, Ramdas, McAuliffe &
// Sekhon, arXiv:1810.08240, section 3.2: for a sum S whose variance so far is
// v, exp(LogE(S, v)) is an E-value against mean zero.
type NormalMixture struct{ Rho float64 }

// NewNormalMixture makes the boundary tightest at variance vOpt for error
// alpha: ρ = v/(2 ln(1/α) + ln(1 + 2 ln(1/α))).
func NewNormalMixture(vOpt, alpha float64) NormalMixture {
	l := 2 * math.Log(1/alpha)
	return NormalMixture{vOpt / (l + math.Log1p(l))}
}

// LogE is the logarithm of the E-value of a sum s with variance v.
func (m NormalMixture) LogE(s, v float64) float64 {
	return 0.5*math.Log(m.Rho/(v+m.Rho)) + s*s/(2*(v+m.Rho))
}

// Bound is what |S| stays below at all times with probability 1 − alpha:
// √((v+ρ)(ln(1 + v/ρ) + 2 ln(1/α))).
func (m NormalMixture) Bound(v, alpha float64) float64 {
	return math.Sqrt((v + m.Rho) * (math.Log1p(v/m.Rho) + 2*math.Log(1/alpha)))
}

// BetaBinomialMixture is the two-sided beta-binomial mixture of the same
// paper, section 3.3, for sums of increments in [−G, H] with mean zero.
type BetaBinomialMixture struct{ r, g, h float64 }

// NewBetaBinomialMixture makes it tightest at variance vOpt for error alpha.
func NewBetaBinomialMixture(vOpt, alpha, g, h float64) BetaBinomialMixture {
	r := NewNormalMixture(vOpt, alpha).Rho - g*h
	return BetaBinomialMixture{max(r, 1e-3*g*h), g, h}
}

// LogE is the logarithm of the E-value of a sum s with variance v.
func (m BetaBinomialMixture) LogE(s, v float64) float64 {
	g, h, r := m.g, m.h, m.r
	return v/(g*h)*math.Log(g+h) -
		(v+h*s)/(h*(g+h))*math.Log(g) - (v-g*s)/(g*(g+h))*math.Log(h) +
		logBeta((r+v-g*s)/(g*(g+h)), (r+v+h*s)/(h*(g+h))) -
		logBeta(r/(g*(g+h)), r/(h*(g+h)))
}

// BetaBinomialLogE tests independent counts: of n = canary + baseline bad
// requests, canary fell on the arm that received the share q of the requests.
// The mixture over that share is Beta(a, b):
// E = B(a+C, b+B)/(B(a, b) q^C (1−q)^B). Lindon & Malek, arXiv:2011.03567. It
// is not valid when failures come in bursts.
func BetaBinomialLogE(canary, baseline int64, q, a, b float64) float64 {
	c, d := float64(canary), float64(baseline)
	return logBeta(a+c, b+d) - logBeta(a, b) - c*math.Log(q) - d*math.Log1p(-q)
}

// GammaPoissonLogE tests n events in the exposure t against a rate of rate per
// unit of exposure, mixed over Gamma(shape, beta):
// β^a/Γ(a) · Γ(a+n)/(β+t)^(a+n) · e^(λt)/λ^n.
func GammaPoissonLogE(n int64, t, rate, shape, beta float64) float64 {
	k := float64(n)
	return shape*math.Log(beta) - logGamma(shape) + logGamma(shape+k) -
		(shape+k)*math.Log(beta+t) + rate*t - k*math.Log(rate)
}

// RatioLogE is the likelihood-ratio mixture over the same ratios as the
// judge's bets, for independent (Poisson) counts with one constant share q. It
// is what the judge is compared with: a little sharper, and wrong under bursts.
func RatioLogE(canary, baseline int64, q float64) float64 {
	wealth := make([]float64, len(ratios))
	for i, k := range ratios {
		wealth[i] = float64(canary)*math.Log(k) - float64(canary+baseline)*math.Log1p((k-1)*q)
	}
	return logMean(wealth)
}

// QuantileRadius is how far an empirical distribution function of t samples is
// from the true one at most, everywhere and at all t ≥ from together, with
// error 5 %: 0.85 √((ln(1 + ln(t/m)) + 8.12)/t). Howard & Ramdas,
// arXiv:1906.09712. It is 1 before from.
func QuantileRadius(t, from float64) float64 {
	if t < from || t <= 0 {
		return 1
	}
	return min(1, 0.85*math.Sqrt((math.Log1p(math.Log(t/from))+8.12)/t))
}

func logBeta(a, b float64) float64 { return logGamma(a) + logGamma(b) - logGamma(a+b) }

func logGamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
