package judge

import (
	"math"
	"testing"
)

// The first three rows are the check numbers of the authors' own code
// (github.com/gostevehoward/confseq) for v_opt = 100 and alpha = 0.05.
func TestMixturesGiveThePublishedNumbers(t *testing.T) {
	normal := NewNormalMixture(100, 0.05)
	tests := []struct {
		name      string
		got, want float64
	}{
		{"rho", normal.Rho, 12.60056},
		{"two-sided normal log mixture (10, 100)", normal.LogE(10, 100), -0.6510052},
		{"two-sided normal bound (100)", normal.Bound(100, 0.05), 30.35209},
		{"two-sided beta-binomial log mixture (10, 100)", NewBetaBinomialMixture(100, 0.05, 0.2, 0.8).LogE(10, 100), -0.6941012},
		{"beta mixture, uniform, 2 of 3 at q = 1/2: B(3,2)·8", BetaBinomialLogE(2, 1, 0.5, 1, 1), math.Log(8.0 / 12)},
		{"gamma-poisson without data", GammaPoissonLogE(0, 0, 3, 2, 5), 0},
		{"gamma-poisson, exponential mixture of 1 event: 1/(1+t)² e^t", GammaPoissonLogE(1, 2, 1, 1, 1), 2 - 2*math.Log(3)},
		{"quantile radius", QuantileRadius(1000, 1000), 0.85 * math.Sqrt(8.12/1000)},
	}
	for _, tt := range tests {
		if math.Abs(tt.got-tt.want) > 1e-5*max(1, math.Abs(tt.want)) {
			t.Errorf("%s = %.7f, want %.7f", tt.name, tt.got, tt.want)
		}
	}
}

// At the bound of the normal mixture the E-value is 1/alpha.
func TestNormalBoundIsWhereTheEvidenceReachesOneOverAlpha(t *testing.T) {
	m := NewNormalMixture(50, 0.01)
	for _, v := range []float64{1, 10, 1000} {
		if e := m.LogE(m.Bound(v, 0.01), v); math.Abs(e-math.Log(100)) > 1e-9 {
			t.Errorf("v = %v: log E at the bound = %v", v, e)
		}
	}
}

// A likelihood ratio sums to one over all outcomes under the null.
func TestRatioMixtureIsAnEValue(t *testing.T) {
	const q, n = 0.1, 40
	sum := 0.0
	for c := int64(0); c <= n; c++ {
		p := math.Exp(-logBeta(float64(c)+1, float64(n-c)+1)-math.Log(n+1)) *
			math.Pow(q, float64(c)) * math.Pow(1-q, float64(n-c))
		sum += p * math.Exp(RatioLogE(c, n-c, q))
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("expected E-value under the null = %v, want 1", sum)
	}
}
