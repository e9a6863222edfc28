package main

import (
	"math"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
)

// rule watches one canary, second by second, and says when to go back. The
// models below keep what matters of the rules they are named after: what is
// compared, how often, and how many failures are allowed.
type rule interface {
	back(sec int, b judge.Bin) bool
}

// ours is Flyball's judge. Outside the warm-up it is given bins of ten
// seconds, the sums that it would make of one-second bins itself.
type ours struct {
	config judge.Config
	state  judge.State
	window judge.Bin
}

func (o *ours) back(sec int, b judge.Bin) bool {
	if o.config.WarmUp > 0 && time.Duration(sec)*time.Second < o.config.WarmUp {
		o.state = o.config.Advance(o.state, b)
		return o.state.Crossed != nil
	}
	if sec%10 == 0 {
		o.window = judge.Bin{Time: b.Time, Width: 10 * time.Second}
	}
	o.window.Canary = sum(o.window.Canary, b.Canary)
	o.window.Baseline = sum(o.window.Baseline, b.Baseline)
	if sec%10 == 9 {
		o.state = o.config.Advance(o.state, o.window)
	}
	return o.state.Crossed != nil
}

func sum(a, b judge.Count) judge.Count {
	return judge.Count{Requests: a.Requests + b.Requests, Bad: a.Bad + b.Bad}
}

// threshold checks the canary's success ratio of the last minute against a
// line, as Flagger and Argo Rollouts do, and goes back at limit failed checks.
// Flagger counts a minute without data as failed.
type threshold struct {
	line       float64
	limit      int
	noDataFail bool
	minute     judge.Count
	failed     int
}

func (t *threshold) back(sec int, b judge.Bin) bool {
	t.minute.Requests += b.Canary.Requests
	t.minute.Bad += b.Canary.Bad
	if sec%60 != 59 {
		return false
	}
	if t.minute.Requests == 0 && t.noDataFail || t.minute.Requests > 0 && 1-t.minute.Ratio() < t.line {
		t.failed++
	}
	t.minute = judge.Count{}
	return t.failed >= t.limit
}

// peeked is the textbook z-test of two ratios, p < 0.05, repeated each minute
// on all counts so far: as many dashboards are read.
type peeked struct{ canary, baseline judge.Count }

func (p *peeked) back(sec int, b judge.Bin) bool {
	p.canary.Requests += b.Canary.Requests
	p.canary.Bad += b.Canary.Bad
	p.baseline.Requests += b.Baseline.Requests
	p.baseline.Bad += b.Baseline.Bad
	if sec%60 != 59 || p.canary.Requests == 0 || p.baseline.Requests == 0 {
		return false
	}
	n, m := float64(p.canary.Requests), float64(p.baseline.Requests)
	all := float64(p.canary.Bad+p.baseline.Bad) / (n + m)
	z := (p.canary.Ratio() - p.baseline.Ratio()) / math.Sqrt(all*(1-all)*(1/n+1/m))
	return z > 1.6449
}

// likelihood is the sequential likelihood-ratio mixture for independent counts:
// right to peek at, wrong under bursts.
type likelihood struct {
	alpha, share     float64
	canary, baseline int64
}

func (l *likelihood) back(sec int, b judge.Bin) bool {
	l.canary += b.Canary.Bad
	l.baseline += b.Baseline.Bad
	if sec%10 != 9 {
		return false
	}
	return judge.RatioLogE(l.canary, l.baseline, l.share) >= -math.Log(l.alpha)
}

const alpha = 0.01

// warmUp is what is recommended for a service with caches.
const warmUp = time.Minute

// rules are the columns of the comparison.
var rules = []struct {
	name string
	make func(s scenario) rule
}{
	{"flyball", func(scenario) rule { return &ours{config: judge.Config{Alpha: alpha}} }},
	{"flyball, warm-up 1 min", func(scenario) rule { return &ours{config: judge.Config{Alpha: alpha, WarmUp: warmUp}} }},
	{"Flagger-like, 5", func(scenario) rule { return &threshold{line: 0.99, limit: 5, noDataFail: true} }},
	{"Argo-like, 0", func(scenario) rule { return &threshold{line: 0.99, limit: 1} }},
	{"Argo-like, 3", func(scenario) rule { return &threshold{line: 0.99, limit: 4} }},
	{"z-test, peeked", func(scenario) rule { return &peeked{} }},
	{"Poisson LR mixture", func(s scenario) rule { return &likelihood{alpha: alpha, share: s.Weight} }},
}
