package main

import (
	"math/rand/v2"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
)

// The rollouts of the second table: steps of 10, 25, 50 and 100 % of 1,200
// requests a minute, two minutes each at least, decided every ten seconds. The
// last step is judged by the hour in which a page-level burn alert would
// notice.
var ceilings = []float64{0.10, 0.25, 0.50, 1}

const (
	serviceRate = 20.0 // requests a second
	stepTime    = 2 * time.Minute
	lastTime    = time.Hour
	longest     = 6 * time.Hour
	budgetShare = 0.02
)

// monthly is what an objective of 99 % allows to go wrong in 30 days.
const monthly = 0.01 * serviceRate * 30 * 24 * 3600

// travel is how one rollout went.
type travel struct {
	back, full bool
	took       time.Duration // to full traffic or to going back
	excess     int64         // bad requests on the canary
}

// rollout moves one canary by judge.Decide. times is how many times as many of
// the canary's requests are bad.
func rollout(times, budgetLeft float64, seed, i uint64, t tables) travel {
	s := &stream{scenario: scenario{Base: 0.005, Times: times}, rng: rand.New(rand.NewPCG(seed, i)), tables: t}
	m := judge.Metric{Name: "errors", Config: judge.Config{Alpha: alpha}, Budget: budgetLeft * monthly, Share: budgetShare}
	in := judge.Input{Earliest: epoch.Add(stepTime), Next: judge.Step{Weight: ceilings[1], Current: ceilings[0], Rate: serviceRate, Time: stepTime}}
	next := 1
	for at := time.Duration(0); at < longest; at += 10 * time.Second {
		b := judge.Bin{Time: epoch.Add(at), Width: 10 * time.Second}
		b.Canary = s.count(1, 10*serviceRate*in.Next.Current, s.Base*times)
		b.Baseline = s.count(0, 10*serviceRate*(1-in.Next.Current), s.Base)
		m.State = m.Config.Advance(m.State, b)
		in.Metrics, in.Now = []judge.Metric{m}, b.End()
		d := judge.Decide(in)
		switch {
		case d.Verdict == judge.Back:
			return travel{back: true, took: b.End().Sub(epoch), excess: m.State.Canary.Bad}
		case d.Verdict == judge.On && d.Weight == 1:
			return travel{full: true, took: b.End().Sub(epoch), excess: m.State.Canary.Bad}
		case d.Verdict == judge.On:
			in.Next.Current, in.Earliest = d.Weight, in.Now.Add(stepTime)
			if d.Weight == ceilings[next] {
				next++
			}
			in.Next.Weight = ceilings[next]
			if in.Next.Weight == 1 {
				in.Next.Time = lastTime
			}
		}
	}
	return travel{took: longest, excess: m.State.Canary.Bad}
}
