package main

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
)

// scenario is one seeded kind of traffic: a service whose canary receives
// Weight of the requests, in one-second bins.
type scenario struct {
	Name      string
	PerMinute float64       // canary requests a minute
	Weight    float64       // the canary's share of the requests
	Base      float64       // chance that a baseline request is bad
	Times     float64       // the canary's chance is Times as large
	From      time.Duration // since when it is; equal before
	Burst     float64       // mean size of a burst of bad requests on one arm; 1 is none
	Cold      float64       // the canary's bad ratio is so many times larger for the first minute
	Shock     float64       // both arms are so many times worse in every fifth minute
	Length    time.Duration
}

func (s scenario) chance(sec int, canary bool) float64 {
	p := s.Base
	if s.Shock > 0 && sec/60%5 == 4 {
		p *= s.Shock
	}
	if !canary {
		return p
	}
	if s.Cold > 0 && sec < 60 {
		p *= s.Cold
	}
	if time.Duration(sec)*time.Second >= s.From {
		p *= s.Times
	}
	return min(p, 1)
}

// epoch is when every stream starts; any moment would do.
var epoch = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// stream draws the one-second bins of a scenario. Its tables may be handed on
// to the next stream of the same goroutine.
type stream struct {
	scenario
	rng    *rand.Rand
	tables tables
	latest [2]arm // baseline, canary
}

func newStream(s scenario, seed, i uint64, t tables) *stream {
	return &stream{scenario: s, rng: rand.New(rand.NewPCG(seed, i)), tables: t}
}

func (s *stream) bin(sec int) judge.Bin {
	canary := s.PerMinute / 60
	baseline := canary * (1 - s.Weight) / s.Weight
	return judge.Bin{
		Time: epoch.Add(time.Duration(sec) * time.Second), Width: time.Second,
		Baseline: s.count(0, baseline, s.chance(sec, false)),
		Canary:   s.count(1, canary, s.chance(sec, true)),
	}
}

// arm is how one side of a stream is drawn at a rate and a chance.
type arm struct {
	rate, p      float64
	good, bursts *poisson
}

// count draws good requests and bursts of bad ones, each a Poisson process;
// the sizes of bursts are geometric with mean Burst.
func (s *stream) count(side int, rate, p float64) judge.Count {
	a := &s.latest[side]
	if a.good == nil || a.rate != rate || a.p != p {
		*a = arm{rate, p, s.tables.of(rate * (1 - p)), s.tables.of(rate * p / max(s.Burst, 1))}
	}
	var bad int64
	for range a.bursts.draw(s.rng.Float64()) {
		bad++
		if s.Burst > 1 {
			bad += int64(math.Log(1-s.rng.Float64()) / math.Log(1-1/s.Burst))
		}
	}
	return judge.Count{Requests: a.good.draw(s.rng.Float64()) + bad, Bad: bad}
}

// tables are Poisson distributions by mean.
type tables map[float64]*poisson

func (t tables) of(mean float64) *poisson {
	p, ok := t[mean]
	if !ok {
		p = newPoisson(mean)
		t[mean] = p
	}
	return p
}

// poisson draws from a Poisson distribution by inverting its table.
type poisson struct {
	first int64     // smallest value with a noticeable chance
	cum   []float64 // cumulated chances from first on
}

func newPoisson(mean float64) *poisson {
	spread := 9*math.Sqrt(mean) + 12
	p := &poisson{first: int64(max(0, mean-spread))}
	sum := 0.0
	for k := p.first; float64(k) <= mean+spread; k++ {
		lg, _ := math.Lgamma(float64(k) + 1)
		if mean > 0 {
			sum += math.Exp(float64(k)*math.Log(mean) - mean - lg)
		} else if k == 0 {
			sum = 1
		}
		p.cum = append(p.cum, sum)
	}
	return p
}

func (p *poisson) draw(u float64) int64 {
	if len(p.cum) > 0 && u < p.cum[0] {
		return p.first
	}
	return p.first + int64(min(sort.SearchFloat64s(p.cum, u), len(p.cum)-1))
}
