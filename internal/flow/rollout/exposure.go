package rollout

import (
	"time"

	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/control"
)

// unwatched is how long the last step's exposure counts. After it there is no
// arm left to compare with, so what the new revision may still do lasts until
// the objective's own alert has noticed. The fast-burn alert of the SRE Workbook
// fires when 2 % of the budget burns at 14.4 times the even rate, and looks at
// the time that takes: period/720, one hour of thirty days. Whatever it can see
// at all, it sees within that time.
func (p Plan) unwatched() time.Duration { return seconds(p.PeriodSeconds / 720) }

// ceiling is the weight of a step; the one after the last is everybody.
func (r Rollout) ceiling(step int) int {
	if step > len(r.Plan.Steps) {
		return whole
	}
	return r.Plan.Steps[step-1]
}

// nextStep is the step to be taken next: the present one while its ceiling has
// not been reached, because the budget did not afford it, else the one after.
func (r Rollout) nextStep() int {
	if r.Step > 0 && r.Weight < r.ceiling(r.Step) {
		return r.Step
	}
	return r.Step + 1
}

// input is what the judge decides from.
func (r Rollout) input(v control.View[Rollout], now time.Time) judge.Input {
	ceiling := r.ceiling(r.nextStep())
	in := judge.Input{
		Now: now, OnDeadline: judge.Choice(r.Plan.OnDeadline),
		Next: judge.Step{Weight: ratio(ceiling), Current: ratio(r.Weight), Rate: r.rate(), Time: seconds(r.Plan.StepSeconds)},
	}
	if ceiling == whole {
		in.Next.Time = max(in.Next.Time, r.Plan.unwatched())
	}
	switch {
	case r.Step > 0:
		in.Earliest = r.judgedFrom().Add(seconds(r.Plan.StepSeconds))
		in.Deadline = r.SteppedAt.Add(seconds(r.Plan.DeadlineSeconds))
	case !r.ReadyAt.IsZero():
		in.Deadline = r.ReadyAt.Add(seconds(r.Plan.DeadlineSeconds))
	}
	cfg, budget := r.Judging(), budgetOf(v)
	for _, m := range r.Metrics {
		in.Metrics = append(in.Metrics, judge.Metric{Name: m.Name, Config: cfg, State: m.State, Budget: r.badLeft(m.Goal, budget), Share: r.Plan.BudgetShare})
	}
	return in
}

// judgedFrom is when the present step began to be judged: what happens while
// the canary warms up is no evidence, and its time does not count.
func (r Rollout) judgedFrom() time.Time {
	from := r.SteppedAt
	for _, m := range r.Metrics {
		if m.State.Started.IsZero() {
			continue
		}
		if warm := m.State.Started.Add(seconds(r.Plan.WarmupSeconds)); warm.After(from) {
			from = warm
		}
	}
	return from
}

// leastFirst is the smallest share a first step is worth taking with, in basis
// points.
const leastFirst = 10

// firstWeight is the share of the first step: its ceiling, or what is
// affordable of it before anything is known; 0 when even leastFirst is not.
func (r Rollout) firstWeight(in judge.Input) int {
	weight := in.Next.Weight
	for _, m := range in.Metrics {
		u := m.Config.Evidence(m.State).ExcessUpper
		weight = min(weight, judge.LargestAffordable(u, weight, in.Next.Rate, in.Next.Time, m.Share, m.Budget))
	}
	if bp := basisPoints(weight); bp >= leastFirst {
		return bp
	}
	return 0
}

func ratio(basisPoints int) float64 { return float64(basisPoints) / whole }

// rate is the service's requests per second: as seen during this rollout, or
// as declared while little was seen.
func (r Rollout) rate() float64 {
	if len(r.Metrics) > 0 {
		s := r.Metrics[0].State
		seen := s.Until.Sub(s.Started).Seconds() - r.Unseen
		if n := float64(s.Baseline.Requests + s.Canary.Requests); !s.Started.IsZero() && seen >= 10 {
			return max(n/seen, 0.001)
		}
	}
	if r.Plan.DeclaredRate > 0 {
		return r.Plan.DeclaredRate
	}
	return 1
}

// gap is the longest time without a request that is taken for little traffic,
// in a reading that is longer: looks come every few seconds, so that a longer
// one means that nobody looked, because the server, the agent or the machine
// was down.
const gap = time.Minute

// unseen is how many seconds of a reading nothing was counted in, because
// nothing could be. Taken for time without traffic, they would make the service
// look smaller than it is, and a step cheaper.
func (a Arms) unseen(began bool) (total float64) {
	if a.Until.Sub(a.From) <= gap {
		return 0
	}
	last := a.From
	for _, b := range a.Bins {
		if d := b.Time.Sub(last); began && d > gap {
			total += d.Seconds()
		}
		began, last = true, b.Time.Add(seconds(a.WidthSeconds))
	}
	if d := a.Until.Sub(last); began && d > gap {
		total += d.Seconds()
	}
	return total
}

// budgetOf is the budget reading; nil without one.
func budgetOf(v control.View[Rollout]) *release.Budget {
	var b release.Budget
	if reading, ok := v.Reading("budget", &b); ok && reading.Complete {
		return &b
	}
	return nil
}

// badLeft is how many bad events the goal's budget has left. Without an
// objective, or before it is known, it is that of a full window at the present
// traffic. So it is for a change that passes a freeze: nothing is left to go
// by, and what limits it is the small share that the policy gives such changes.
func (r Rollout) badLeft(g Goal, b *release.Budget) float64 {
	full := (1 - g.Target) * r.rate() * r.Plan.PeriodSeconds
	if b == nil || g.Objective == "" {
		return full
	}
	for _, o := range b.Objectives {
		if o.Name != g.Objective {
			continue
		}
		if r.Plan.FixPasses {
			return max(o.BadLeft, o.Allowed)
		}
		return max(o.BadLeft, 0)
	}
	return full
}
