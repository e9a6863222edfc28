package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
)

// start is when every simulated service begins.
var start = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

// world is one simulated service: what it served minute by minute, and whose
// every bad event was.
type world struct {
	random  *rand.Rand
	minutes int
	history int // minutes before the window
	perMin  float64
	base    float64 // share of requests that fail without a cause
	burst   float64 // bad events that come together, on average

	causes  []budget.Cause // as the ledger is told
	planted []effect       // as it really is
	stages  []stage        // who serves
	plans   []plan
	quiet   [][2]int // minutes in which no harmless change begins
	blind   bool     // counts per revision are not known

	truth []map[string]float64 // bad events by cause, per minute
	arms  []budget.Minute
}

// effect makes requests fail for a cause.
type effect struct {
	cause    string // KIND/NAME
	revision string // only those of this revision; empty: all
	from, to int    // minutes
	ratio    func(minute int) float64
}

// plan is a change that is rolled out: by canary steps of so many minutes each,
// or at once; back minutes later it goes back, if more than 0.
type plan struct{ n, from, step, back int }

// stage says which revisions serve from a minute on, until the next stage.
type stage struct {
	from           int
	stable, canary string
	weight         float64
}

func newWorld(seed uint64, days int) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 77)), history: int(budget.History / time.Minute), perMin: 600, base: 0.001, burst: 1}
	w.minutes = w.history + days*1440
	w.stages = []stage{{stable: revision(0)}}
	return w
}

func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

func revision(n int) string { return fmt.Sprintf("%07x-000000", 0xa000000+n) }

func steady(r float64) func(int) float64 { return func(int) float64 { return r } }

func (w *world) between(lo, hi float64) float64 { return lo + (hi-lo)*w.random.Float64() }

func (w *world) minutesIn(lo, hi int) int { return lo + w.random.IntN(hi-lo) }

// deploy rolls a change out, as the ledger is told of it.
func (w *world) deploy(p plan) {
	stable := w.stages[len(w.stages)-1].stable
	c := budget.Cause{Kind: budget.KindChange, Name: name(p.n), Revision: revision(p.n), From: at(p.from)}
	minute, end := p.from, p.from+p.back
	if p.step > 0 {
		for _, weight := range []float64{0.01, 0.05, 0.25, 0.5} {
			if p.back == 0 || minute < end {
				w.stages = append(w.stages, stage{from: minute, stable: stable, canary: revision(p.n), weight: weight})
			}
			minute += p.step
		}
	}
	if p.back > 0 {
		w.stages = append(w.stages, stage{from: end, stable: stable})
		c.To = at(end)
		w.causes = append(w.causes, c)
		return
	}
	w.stages = append(w.stages, stage{from: minute, stable: revision(p.n)})
	c.Full = at(minute)
	for k := range w.causes {
		if o := &w.causes[k]; o.Kind == budget.KindChange && o.To.IsZero() {
			o.To = c.Full
		}
	}
	w.causes = append(w.causes, c)
}

func name(n int) string { return fmt.Sprint("change-", n) }

func change(n int) string { return "change/" + name(n) }

// reserve finds a minute in the window, and keeps harmless changes and other
// reservations away from before minutes before it to after minutes after it.
func (w *world) reserve(before, after int) int {
	for range 1000 {
		m := w.history + w.minutesIn(1440, w.minutes-w.history-after)
		if w.free(m-before, m+after) {
			w.quiet = append(w.quiet, [2]int{m - before, m + after})
			return m
		}
	}
	panic("the window is too short for all that is planted")
}

func (w *world) free(from, to int) bool {
	for _, q := range w.quiet {
		if from < q[1] && q[0] < to {
			return false
		}
	}
	return true
}

// deployAll rolls out what is planned, and a harmless change about every day.
func (w *world) deployAll() {
	for n, m := 1, 300; m < w.minutes-300; n, m = n+1, m+w.minutesIn(1000, 2400) {
		if w.free(m, m+120) {
			w.plans = append(w.plans, plan{n: n, from: m, step: 20})
		}
	}
	slices.SortFunc(w.plans, func(a, b plan) int { return a.from - b.from })
	for _, p := range w.plans {
		w.deploy(p)
	}
	slices.SortStableFunc(w.causes, func(a, b budget.Cause) int { return a.From.Compare(b.From) })
}

// harm makes requests fail, of one revision or of all.
func (w *world) harm(cause, revision string, from, to int, ratio func(int) float64) {
	w.planted = append(w.planted, effect{cause, revision, from, min(to, w.minutes), ratio})
}

// link tells the ledger of an interval.
func (w *world) link(kind, name string, from, to int) string {
	w.causes = append(w.causes, budget.Cause{Kind: kind, Name: name, From: at(from), To: at(to)})
	return kind + "/" + name
}

// outage is a dependency that is down; its alert is late at both ends.
func (w *world) outage(name string, from, to int, ratio float64) {
	w.harm(w.link(budget.KindDependency, name, from+w.minutesIn(3, 10), to+w.minutesIn(5, 20)), "", from, to, steady(ratio))
}

// incident is one that people notice late.
func (w *world) incident(name string, from, to int) string {
	return w.link(budget.KindIncident, name, from+w.minutesIn(4, 9), to+w.minutesIn(3, 30))
}

// bursts are short troubles that nobody can explain.
func (w *world) bursts(perDay float64) {
	for m := 0; m < w.minutes; m++ {
		if w.random.Float64() < perDay/1440 {
			w.harm("background/", "", m, m+w.minutesIn(1, 5), steady(w.between(0.01, 0.05)))
		}
	}
}

// run serves all minutes.
func (w *world) run() {
	w.deployAll()
	w.truth = make([]map[string]float64, w.minutes)
	w.arms = make([]budget.Minute, w.minutes)
	k := 0
	active := make([][]*effect, w.minutes)
	for i := range w.planted {
		for m := w.planted[i].from; m < w.planted[i].to; m++ {
			active[m] = append(active[m], &w.planted[i])
		}
	}
	for m := range w.minutes {
		for k+1 < len(w.stages) && w.stages[k+1].from <= m {
			k++
		}
		traffic := w.perMin * (1 + 0.6*math.Sin(2*math.Pi*float64(m%1440)/1440))
		w.truth[m] = map[string]float64{}
		w.arms[m] = budget.Minute{Time: at(m)}
		s := w.stages[k]
		w.serve(m, s.stable, traffic*(1-s.weight), active[m])
		if s.canary != "" {
			w.serve(m, s.canary, traffic*s.weight, active[m])
		}
	}
}

// serve counts what one revision received in a minute.
func (w *world) serve(m int, revision string, expected float64, active []*effect) {
	n := w.poisson(expected)
	a := budget.Arm{Revision: revision, Total: n}
	fail := func(cause string, rate float64) {
		bad := int64(0)
		for range w.poisson(rate / w.burst) {
			together := int64(1)
			for w.burst > 1 && w.random.Float64() > 1/w.burst {
				together++
			}
			bad += together
		}
		bad = min(bad, n-a.Bad)
		a.Bad += bad
		if bad > 0 {
			w.truth[m][cause] += float64(bad)
		}
	}
	for _, e := range active {
		if e.revision == "" || e.revision == revision {
			fail(e.cause, e.ratio(m)*float64(n))
		}
	}
	fail("background/", w.base*float64(n))
	if n > 0 {
		w.arms[m].Arms = append(w.arms[m].Arms, a)
	}
}

// poisson draws a count.
func (w *world) poisson(mean float64) int64 {
	if mean <= 0 {
		return 0
	}
	if mean > 60 {
		return int64(math.Max(0, math.Round(mean+math.Sqrt(mean)*w.random.NormFloat64())))
	}
	limit, p, k := math.Exp(-mean), 1.0, int64(0)
	for {
		if p *= w.random.Float64(); p <= limit {
			return k
		}
		k++
	}
}
