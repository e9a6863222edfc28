package judge

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 2, 9, 0, 3, 0, time.UTC)

// randomBins are bins of many widths, with gaps, weights that change, bursts,
// empty arms and a canary that is now better, now worse.
func randomBins(rng *rand.Rand, n int) []Bin {
	bins := make([]Bin, 0, n)
	at, weight, worse := start, 0.1, 1.0
	for range n {
		if rng.IntN(20) == 0 {
			weight, worse = rng.Float64(), 0.5+1.5*rng.Float64()
		}
		width := []time.Duration{time.Second, time.Second, time.Second, 5 * time.Second, 30 * time.Second}[rng.IntN(5)]
		total := rng.Int64N(200)
		canary := int64(weight * float64(total))
		b := Bin{Time: at, Width: width}
		b.Canary = Count{canary, min(canary, int64(rng.ExpFloat64()*0.02*worse*float64(canary)))}
		b.Baseline = Count{total - canary, int64(rng.ExpFloat64() * 0.02 * float64(total-canary) / 4)}
		bins = append(bins, b)
		at = at.Add(width * time.Duration(1+rng.IntN(8)/7*4))
	}
	return bins
}

// However bins are cut into calls, and whatever is written to JSON and read
// back between them, the state is the same.
func TestChunkingDoesNotMatter(t *testing.T) {
	crossed := 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		bins := randomBins(rng, 150)
		c := Config{Alpha: 0.05, WarmUp: time.Duration(rng.IntN(3)) * time.Minute, Tolerated: float64(rng.IntN(2)) / 5}
		whole := c.Advance(State{}, bins...)
		var pieces State
		for rest := bins; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			pieces = roundTrip(t, c.Advance(pieces, rest[:n]...))
			rest = rest[n:]
		}
		if !reflect.DeepEqual(roundTrip(t, whole), pieces) {
			t.Fatalf("seed %d:\nwhole  %+v\npieces %+v", seed, whole, pieces)
		}
		if !reflect.DeepEqual(c.Evidence(whole), c.Evidence(pieces)) {
			t.Fatalf("seed %d: evidence differs", seed)
		}
		if whole.Crossed != nil {
			crossed++
		}
	}
	if crossed < 20 || crossed > 180 {
		t.Errorf("%d of 200 streams crossed: the property is hardly tested", crossed)
	}
}

func roundTrip(t *testing.T, s State) State {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 3000 {
		t.Fatalf("state takes %d bytes", len(raw))
	}
	var back State
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestAdvanceLeavesItsArgumentAlone(t *testing.T) {
	c := Config{WarmUp: 20 * time.Second}
	bins := randomBins(rand.New(rand.NewPCG(1, 1)), 60)
	before := c.Advance(State{}, bins[:30]...)
	raw, _ := json.Marshal(before)
	c.Advance(before, bins[30:]...)
	c.Flush(before)
	if after, _ := json.Marshal(before); string(after) != string(raw) {
		t.Errorf("changed from\n%s\nto\n%s", raw, after)
	}
}

// The naive twin of betting: the formula of the reference, window by window.
func TestWealthIsTheFormula(t *testing.T) {
	c := Config{Tolerated: 0.2, Alpha: 1e-9}
	rng := rand.New(rand.NewPCG(3, 3))
	var s State
	wealth := make([]float64, len(ratios))
	for i := range wealth {
		wealth[i] = 1
	}
	for i := range 40 {
		w := Bin{Time: start.Truncate(10 * time.Second).Add(time.Duration(i) * 10 * time.Second), Width: 10 * time.Second,
			Baseline: Count{90 + rng.Int64N(50), rng.Int64N(4)}, Canary: Count{5 + rng.Int64N(50), rng.Int64N(3)}}
		s = c.Advance(s, w)
		bad := w.Canary.Bad + w.Baseline.Bad
		if bad == 0 {
			continue
		}
		q := float64(w.Canary.Requests) / float64(w.Canary.Requests+w.Baseline.Requests)
		q = q * 1.2 / (q*1.2 + 1 - q)
		z, mean := float64(w.Canary.Bad)/float64(bad), 0.0
		for j, k := range ratios {
			alternative := q * k / (q*k + 1 - q)
			lambda := (alternative - q) / (q * (1 - q))
			wealth[j] *= 1 + lambda*(z-q)
			mean += wealth[j] / float64(len(ratios))
		}
		for j := range wealth {
			wealth[j] = (1-share)*wealth[j] + share*mean
		}
	}
	mean := 0.0
	for _, w := range wealth {
		mean += w / float64(len(wealth))
	}
	if got := c.Evidence(s).LogE; math.Abs(got-math.Log(mean)) > 1e-9 {
		t.Errorf("log E = %v, want %v", got, math.Log(mean))
	}
}

func TestFirstCrossingIsFinal(t *testing.T) {
	c := Config{}
	var s State
	for i := range 20 {
		s = c.Advance(s, Bin{Time: start.Add(time.Duration(i) * 10 * time.Second), Width: 10 * time.Second,
			Baseline: Count{900, 1}, Canary: Count{100, 50}})
	}
	if s.Crossed == nil {
		t.Fatal("half of the canary's requests are bad, and it stays")
	}
	e := c.Evidence(s)
	if took := e.CrossedAt.Sub(start); took > 40*time.Second {
		t.Errorf("took %v", took)
	}
	if e.EValue < 100 || e.Canary.Requests != int64(e.CrossedAt.Sub(start).Seconds())*10 {
		t.Errorf("evidence is not as of the crossing: %+v", e)
	}
	again := c.Advance(s, Bin{Time: s.Until, Width: time.Hour, Baseline: Count{1e6, 1e5}, Canary: Count{1e6, 0}})
	if !reflect.DeepEqual(again, s) {
		t.Error("a later bin changed a final state")
	}
}

func TestWarmUp(t *testing.T) {
	run := func(c Config, bad func(sec int) int64) State {
		var s State
		for sec := range 180 {
			s = c.Advance(s, Bin{Time: start.Add(time.Duration(sec) * time.Second), Width: time.Second,
				Baseline: Count{90, int64(sec % 2)}, Canary: Count{10, bad(sec)}})
		}
		return s
	}
	cold := func(sec int) int64 {
		if sec < 60 {
			return 3
		}
		if sec%20 == 0 {
			return 1
		}
		return 0
	}
	dead := func(int) int64 { return 10 }
	both := (Config{WarmUp: time.Minute}).Advance(State{}, func() (bins []Bin) {
		for sec := range 120 {
			bins = append(bins, Bin{Time: start.Add(time.Duration(sec) * time.Second), Width: time.Second,
				Baseline: Count{90, 90}, Canary: Count{10, 10}})
		}
		return bins
	}()...)
	if both.Crossed != nil {
		t.Error("what fails both arms was held against the canary")
	}
	if s := run(Config{}, cold); s.Crossed == nil {
		t.Error("a cold cache without a warm-up must be seen as the regression it is")
	}
	if s := run(Config{WarmUp: time.Minute}, cold); s.Crossed != nil {
		t.Errorf("a cold cache was sent back at %v", s.Crossed.At)
	}
	if s := run(Config{WarmUp: time.Minute}, dead); s.Crossed == nil || s.Crossed.At.Sub(start) > 20*time.Second {
		t.Errorf("a dead canary must go back within 20 s even in the warm-up: %+v", s.Crossed)
	}
	if s := run(Config{WarmUp: time.Minute, WarmUpRatio: 1}, dead); s.Crossed == nil || s.Crossed.At.Sub(start) < time.Minute {
		t.Errorf("without a guard nothing goes back in the warm-up: %+v", s.Crossed)
	}
	if e := (Config{WarmUp: time.Minute}).Evidence(run(Config{WarmUp: time.Minute}, cold)); e.Excess < 0.05 {
		t.Errorf("users met the cold cache; excess = %v", e.Excess)
	}
}

func TestEveryNumberIsFinite(t *testing.T) {
	c := Config{}
	for _, s := range []State{
		{},
		c.Advance(State{}, Bin{Time: start, Width: time.Second, Canary: Count{5, 5}}),
		c.Advance(State{}, Bin{Time: start, Width: time.Second, Baseline: Count{5, 5}}),
		c.Flush(c.Advance(State{}, Bin{Time: start, Width: time.Second, Baseline: Count{1, 1}, Canary: Count{1 << 40, 1 << 40}})),
		c.Advance(State{}, Bin{Time: start, Width: time.Second, Baseline: Count{-1, 3}, Canary: Count{2, 7}}),
	} {
		raw, err := json.Marshal(c.Evidence(s))
		if err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		var e Evidence
		if err := json.Unmarshal(raw, &e); err != nil || e.ExcessLower > e.ExcessUpper {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func ExampleConfig_Advance() {
	c := Config{Alpha: 0.01}
	var s State
	for i := range 60 {
		s = c.Advance(s, Bin{
			Time: start.Add(time.Duration(i) * 10 * time.Second), Width: 10 * time.Second,
			Baseline: Count{Requests: 180}, Canary: Count{Requests: 20},
		})
	}
	e := c.Evidence(s)
	fmt.Printf("after %d clean requests: E = %.0f, excess at most %.2f %%\n", e.Canary.Requests, e.EValue, 100*e.ExcessUpper)
	// Output: after 1200 clean requests: E = 1, excess at most 0.51 %
}
