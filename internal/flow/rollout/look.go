package rollout

import (
	"fmt"
	"math"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// staleAfter is the age beyond which counts say nothing of the present: the
// longest limit of a request, and some time to travel. A step is not taken on
// evidence older than that.
const staleAfter = 45 * time.Second

// look is one look at the evidence: the rollout with the newest counts folded
// in, and what the judge makes of it.
type look struct {
	before  Rollout // as folded
	after   Rollout // newest counts included
	arms    Arms
	now     time.Time
	verdict judge.Decision
}

// newLook folds the newest counts and judges.
func newLook(v control.View[Rollout], now time.Time) *look {
	l := &look{before: v.State, after: v.State, now: now}
	if _, known := v.Reading("arms", &l.arms); known && l.arms.Until.After(l.before.JudgedUntil) {
		l.after = l.before.seen(l.arms)
	} else {
		l.arms = Arms{}
	}
	l.verdict = judge.Decide(l.after.input(v, now))
	if l.verdict.Verdict == judge.On {
		// The step ends the open windows: what they hold is judged first.
		flushed := l.after
		flushed.Metrics = l.after.flushed()
		if d := judge.Decide(flushed.input(v, now)); d.Verdict == judge.Back {
			l.after, l.verdict = flushed, d
		}
	}
	return l
}

func (l *look) fresh() bool {
	until := l.before.JudgedUntil
	if l.arms.Until.After(until) {
		until = l.arms.Until
	}
	return !l.arms.More && l.now.Sub(until) < staleAfter
}

// fact records this look, with the counts it rests on, if there is anything
// new in it.
func (l *look) fact(verdict judge.Verdict, reason string) []event.Draft {
	r := l.before
	if !l.arms.Until.After(r.JudgedUntil) {
		return nil
	}
	d := Judged{
		Rollout: r.Rollout, Service: r.Service, Environment: r.Environment, Weight: r.Weight, Arms: l.arms,
		Verdict: string(verdict), Reason: reason, ExpectedSeconds: math.Round(l.verdict.Wait.Seconds()),
	}
	for i, m := range l.verdict.Evidence {
		d.Metrics = append(d.Metrics, Finding{MetricEvidence: m, Threshold: r.Metrics[i].ThresholdNS})
	}
	return []event.Draft{{Type: EventJudged, Data: d}}
}

// hold goes on looking. The look is recorded when it is time to.
func (l *look) hold(reason string) control.Plan {
	r := l.before
	plan := control.Plan{Wake: l.now.Add(tick)}
	if l.arms.More {
		plan.Wake = l.now
	} else if l.now.Sub(r.JudgedAt) < recordInterval(r) {
		return plan
	}
	if facts := l.fact(judge.Hold, reason); facts != nil {
		plan.Facts, plan.Verdict, plan.Rule, plan.Reason = facts, "hold", ruleEvidence, reason
		plan.Evidence, plan.Cause = l.verdict, r.Event
	}
	return plan
}

// recordInterval is how often a hold is recorded: ten times per step, between
// once a second and once in ten seconds.
func recordInterval(r Rollout) time.Duration {
	return min(max(seconds(r.Plan.StepSeconds/10), time.Second), 10*time.Second)
}

// step changes the canary's share.
func (l *look) step(rule string, number, weight int, reason string) control.Plan {
	plan := shift(l.after, number, weight, reason)
	plan.Rule, plan.Evidence, plan.Wake = rule, l.verdict, l.now.Add(tick)
	plan.Facts = append(l.fact(judge.On, reason), plan.Facts...)
	return plan
}

// back takes the canary back, on evidence or by the service's choice at the
// deadline.
func (l *look) back(v control.View[Rollout]) control.Plan {
	v.State = l.after
	c := cause{outcome: "rolled_back", rule: ruleEvidence, culprit: l.verdict.Culprit, reason: l.verdict.Reason}
	crossed := false
	for _, e := range l.verdict.Evidence {
		if e.Metric == c.culprit && !e.CrossedAt.IsZero() {
			c.evalue, crossed = e.EValue, true
		}
	}
	if !crossed {
		c.rule, c.culprit = ruleDeadline, "deadline"
	}
	plan := goBack(v, l.now, c)
	plan.Evidence = l.verdict
	plan.Facts = append(l.fact(judge.Back, c.reason), plan.Facts...)
	return plan
}

// ask records that a person has to choose, once.
func (l *look) ask() control.Plan {
	r := l.before
	if r.Asked {
		return l.hold(l.verdict.Reason)
	}
	reason := fmt.Sprintf("%s: flyball rollout promote %s, or abort", l.verdict.Reason, r.Rollout)
	return control.Plan{
		Verdict: "hold", Rule: ruleDeadline, Reason: reason, Evidence: l.verdict, Cause: r.Event, Wake: l.now.Add(tick),
		Facts: append(l.fact(judge.Hold, reason), event.Draft{Type: EventAsked, Data: Ref{Rollout: r.Rollout, Reason: reason}}),
	}
}
