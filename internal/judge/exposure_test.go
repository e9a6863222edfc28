package judge

import (
	"math"
	"testing"
	"time"
)

func clean(n int64) State {
	return State{Excess: excess{Requests: n}, Canary: Count{Requests: n}}
}

// The numbers of the contract: with alpha/2 = 0.5 %, u ≤ 1 % needs at least
// 530 clean requests and 0.1 % needs 5,300. The mixture costs an eighth more.
func TestCleanRequestsNeeded(t *testing.T) {
	c := Config{Alpha: 0.01}
	for _, tt := range []struct {
		u           float64
		least, most int64
	}{{0.01, 530, 650}, {0.001, 5300, 6500}} {
		n := int64(1)
		for c.Evidence(clean(n)).ExcessUpper > tt.u {
			n++
		}
		if n < tt.least || n > tt.most {
			t.Errorf("u ≤ %v after %d clean requests, want %d to %d", tt.u, n, tt.least, tt.most)
		}
		wait, ok := c.ExpectedWait(State{}, tt.u, 2)
		if want := float64(n) / 2; !ok || math.Abs(wait.Seconds()-want) > want/50 {
			t.Errorf("expected wait %v, want %v s", wait, want)
		}
	}
	if u := c.Evidence(State{}).ExcessUpper; u != 1 {
		t.Errorf("u before the first request = %v", u)
	}
}

func TestAffordable(t *testing.T) {
	// 2 % of 1,000 bad requests = 20 may be spent; 25 % of 100/s for a minute
	// exposes 1,500 requests.
	for _, tt := range []struct {
		u, phi, budget float64
		want           bool
		weight         float64
	}{
		{0.0133, 0.02, 1000, true, 0.25},
		{0.0134, 0.02, 1000, false, 20 / (0.0134 * 6000)},
		{1, 0.02, 1000, false, 20.0 / 6000},
		{0.001, 0.02, 0, false, 0},
		{0.001, 0.02, -50, false, 0},
		{0, 0.02, 0, true, 0.25},
		{-0.01, 0.02, -50, true, 0.25},
	} {
		if got := Affordable(tt.u, 0.25, 100, time.Minute, tt.phi, tt.budget); got != tt.want {
			t.Errorf("Affordable(%v, budget %v) = %v", tt.u, tt.budget, got)
		}
		if got := LargestAffordable(tt.u, 0.25, 100, time.Minute, tt.phi, tt.budget); math.Abs(got-tt.weight) > 1e-9 {
			t.Errorf("LargestAffordable(%v, budget %v) = %v, want %v", tt.u, tt.budget, got, tt.weight)
		}
	}
}

// The forecast says when; traffic that goes on as before proves it right.
func TestExpectedWaitComesTrue(t *testing.T) {
	c := Config{}
	window := func(i int) Bin {
		b := Bin{Time: start.Add(time.Duration(i) * 10 * time.Second), Width: 10 * time.Second,
			Baseline: Count{Requests: 900}, Canary: Count{Requests: 100}}
		b.Baseline.Bad = int64(i % 2 * 9) // 0.5 %
		if i%4 == 1 {
			b.Canary.Bad = 2
		}
		return b
	}
	var s State
	i := 0
	for ; i < 40; i++ {
		s = c.Advance(s, window(i))
	}
	wait, ok := c.ExpectedWait(s, 0.004, 10)
	if !ok || wait <= 0 {
		t.Fatalf("wait = %v, %v", wait, ok)
	}
	from := s.Until
	for c.Evidence(s).ExcessUpper > 0.004 {
		s = c.Advance(s, window(i))
		i++
	}
	if took := s.Until.Sub(from); took < wait*7/10 || took > wait*13/10 {
		t.Errorf("expected %v, took %v", wait, took)
	}
	if _, ok := c.ExpectedWait(s, 0.001, 0); ok {
		t.Error("a wait without traffic")
	}
	if _, ok := c.ExpectedWait(s, 0, 10); ok {
		t.Error("a wait for certainty")
	}
}
