package dora

import (
	"math"
	"slices"
)

// confidence is that of every interval here, two-sided.
const (
	confidence = 0.95
	tail       = (1 - confidence) / 2
	z          = 1.959963984540054 // its normal quantile
)

// quantile is that of a sorted sample, by linear interpolation between order
// statistics (type 7 of Hyndman and Fan 1996; the median is the usual one).
func quantile(sorted []float64, p float64) float64 {
	h := p * float64(len(sorted)-1)
	i := int(math.Floor(h))
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (h-float64(i))*(sorted[i+1]-sorted[i])
}

// quantileInterval is the distribution-free interval of a quantile by order
// statistics: ranks low and high such that each side is missed with a chance
// of at most 2.5 %. A side that the sample is too small for is missing.
func quantileInterval(sorted []float64, p float64) (low, high *float64) {
	n := len(sorted)
	// The quantile lies above the k-th smallest value unless at least... k of n
	// independent values fall below it: X ~ Bin(n, p).
	below := 0.0 // P(X <= k-1)
	for k := 1; k <= n; k++ {
		below += binomial(n, k-1, p)
		if below <= tail {
			low = &sorted[k-1]
		}
		if high == nil && below >= 1-tail {
			high = &sorted[k-1]
		}
	}
	return low, high
}

// binomial is the chance of k of n at p.
func binomial(n, k int, p float64) float64 {
	a, _ := math.Lgamma(float64(n) + 1)
	b, _ := math.Lgamma(float64(k) + 1)
	c, _ := math.Lgamma(float64(n-k) + 1)
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// proportionInterval is Wilson's score interval (1927) of k in n, n > 0.
func proportionInterval(k, n int) (low, high float64) {
	p, m := float64(k)/float64(n), float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, middle-half), min(1, middle+half)
}

// countInterval is the exact interval (Garwood 1936) of a Poisson mean of
// which n were seen.
func countInterval(n int) (low, high float64) {
	limit := float64(n) + 10*math.Sqrt(float64(n)+1) + 10
	if n > 0 {
		// Not more than n would be seen with a chance of 2.5 %.
		low = bisect(0, float64(n), func(mean float64) bool { return 1-poissonBelow(n-1, mean) < tail })
	}
	return low, bisect(float64(n), limit, func(mean float64) bool { return poissonBelow(n, mean) > tail })
}

// bisect is where a condition that holds at from ceases to, up to to.
func bisect(from, to float64, holds func(float64) bool) float64 {
	for range 60 {
		middle := (from + to) / 2
		if holds(middle) {
			from = middle
		} else {
			to = middle
		}
	}
	return (from + to) / 2
}

// poissonBelow is the chance of at most n at a mean.
func poissonBelow(n int, mean float64) float64 {
	if mean == 0 {
		return 1
	}
	var sum float64
	for k := 0; k <= n; k++ {
		g, _ := math.Lgamma(float64(k) + 1)
		sum += math.Exp(float64(k)*math.Log(mean) - mean - g)
	}
	return min(sum, 1)
}

func sorted(v []float64) []float64 {
	out := slices.Clone(v)
	slices.Sort(out)
	return out
}
