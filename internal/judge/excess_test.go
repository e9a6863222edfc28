package judge

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The naive twin of the interval: both ends found by trying every value, with
// the products written out.
func TestExcessEndsAreWhereTheMixtureReachesOneOverAlpha(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var windows []Bin
		var e excess
		for range 1 + rng.IntN(40) {
			n, m := rng.Int64N(60), rng.Int64N(300)
			w := Bin{Canary: Count{n, min(n, rng.Int64N(4)/3)}, Baseline: Count{m, min(m, rng.Int64N(5)/2)}}
			windows = append(windows, w)
			e.add(w, false)
		}
		const alpha, steps = 0.005, 4000
		upper, lower := 1.0, -1.0
		for i := -steps; i <= steps; i++ {
			u := float64(i) / steps
			if naive(windows, u, 1, e.burst()) >= 1/alpha {
				upper = min(upper, u)
			}
			if naive(windows, u, -lowerStake, e.burst()) >= 1/alpha {
				lower = max(lower, u)
			}
		}
		if e.Requests == 0 || e.Matched == 0 {
			continue
		}
		if got := e.upper(alpha); math.Abs(got-upper) > 1.01/steps {
			t.Errorf("seed %d: upper %v, want %v", seed, got, upper)
		}
		if got := e.lower(alpha); math.Abs(got-lower) > 1.01/steps {
			t.Errorf("seed %d: lower %v, want %v", seed, got, lower)
		}
		for _, u := range []float64{upper - 0.01, upper + 0.01} {
			if u < 1 && e.atMost(u, alpha) != (e.upper(alpha) <= u) {
				t.Errorf("seed %d: atMost(%v) disagrees with upper %v", seed, u, upper)
			}
		}
	}
}

// naive is the mixture at an excess ratio of u; side is 1 for the upper end
// and negative for the lower.
func naive(windows []Bin, u, side, g float64) float64 {
	sum := 0.0
	for _, st := range stakes {
		k, log := math.Abs(side)*st.kappa, 0.0
		for _, w := range windows {
			n, x := float64(w.Canary.Requests), float64(w.Canary.Bad)
			m, y := float64(w.Baseline.Requests), float64(w.Baseline.Bad)
			switch {
			case side > 0:
				log += k * u * n
				if x > 0 {
					log += x * math.Log(1-k)
				}
				if n > 0 && m > 0 {
					log += y * math.Log(1+k*n/m)
				}
			case n > 0 && m > 0:
				least := min(n, m)
				log += x*math.Log(1+k*least/n) + y*math.Log(1-k*least/m) - k*u*least
			}
		}
		sum += st.weight * math.Exp(log/g)
	}
	return sum
}

func TestBurst(t *testing.T) {
	of := func(counts ...int64) float64 {
		var e excess
		for _, bad := range counts {
			e.add(Bin{Baseline: Count{100, bad}, Canary: Count{10, 0}}, false)
		}
		return e.burst()
	}
	alternating := make([]int64, 300) // bursts of three, each in its window
	for i := range alternating {
		alternating[i] = int64(i % 10 / 9 * 3)
	}
	for _, tt := range []struct {
		name        string
		got         float64
		least, most float64
	}{
		{"nothing bad", of(0, 0, 0), 1, 1},
		{"one by one", of(0, 1, 0, 0, 1, 0, 1), 1, 1},
		{"all in the first window", of(40), 40, 40},
		{"one burst", of(0, 3, 0), 3, 3},
		{"many bursts of three", of(alternating...), 3, 3},
		{"a steady trickle", of(9, 8, 9, 10, 9, 9, 8, 9, 9, 10, 9, 9), 1, 1},
	} {
		if tt.got < tt.least || tt.got > tt.most {
			t.Errorf("%s: %v, want %v to %v", tt.name, tt.got, tt.least, tt.most)
		}
	}
}
