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
	return []event.Draft{{Type: EventJudged, Data: Judged{
		Rollout: r.Rollout, Service: r.Service, Environment: r.Environment, Weight: r.Weight, Arms: l.arms, Metrics: r.findings(l.verdict),
		Verdict: string(verdict), Reason: reason, ExpectedSeconds: math.Round(l.verdict.Wait.Seconds()),
	}}}
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

// unaffordable holds a revision that is ready while not even the smallest first
// step is affordable. At the deadline a person is asked, once.
func (r Rollout) unaffordable(ready []event.Draft, d judge.Decision, now time.Time) control.Plan {
	reason := "Held: the first step is not affordable"
	for _, e := range d.Evidence {
		if e.Metric == d.Culprit {
			reason = fmt.Sprintf("Held: the first step is not affordable: %.0f bad requests on %s may still be spent on this change", e.Allowed, e.Metric)
		}
	}
	deadline := r.ReadyAt
	if deadline.IsZero() {
		deadline = now
	}
	deadline = deadline.Add(seconds(r.Plan.DeadlineSeconds))
	reason += fmt.Sprintf("; until %s it waits for the budget to recover", deadline.UTC().Format("2006-01-02 15:04 MST"))
	if !d.Overdue || r.Asked {
		return r.wait(ready, d, reason, now)
	}
	reason = fmt.Sprintf("Held: the first step is not affordable and the deadline has passed, a person decides: flyball rollout promote %s, or abort", r.Rollout)
	return control.Plan{
		Verdict: "hold", Rule: ruleDeadline, Reason: reason, Evidence: d, Cause: r.Event, Wake: now.Add(tick),
		Facts: append(r.judged(ready, d, reason), event.Draft{Type: EventAsked, Data: Ref{Rollout: r.Rollout, Reason: reason}}),
	}
}

// wait holds a revision that no user has met. It says so when it begins to and
// when the reason is another.
func (r Rollout) wait(ready []event.Draft, d judge.Decision, reason string, now time.Time) control.Plan {
	plan := control.Plan{Wake: now.Add(tick)}
	if r.Asked || len(ready) == 0 && (reason == r.Reason || now.Sub(r.JudgedAt) < recordInterval(r)) {
		return plan
	}
	plan.Facts, plan.Verdict, plan.Rule, plan.Reason = r.judged(ready, d, reason), "hold", ruleStep, reason
	plan.Evidence, plan.Cause = d, r.Event
	return plan
}

// judged appends the fact that a revision was held before its first step.
func (r Rollout) judged(facts []event.Draft, d judge.Decision, reason string) []event.Draft {
	return append(facts, event.Draft{Type: EventJudged, Data: Judged{
		Rollout: r.Rollout, Service: r.Service, Environment: r.Environment, Verdict: string(judge.Hold), Reason: reason,
		Metrics: r.findings(d), ExpectedSeconds: math.Round(d.Wait.Seconds()),
	}})
}

// findings is the evidence on each metric.
func (r Rollout) findings(d judge.Decision) (out []Finding) {
	for i, m := range d.Evidence {
		out = append(out, Finding{MetricEvidence: m, Threshold: r.Metrics[i].ThresholdNS})
	}
	return out
}
