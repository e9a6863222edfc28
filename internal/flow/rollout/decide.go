package rollout

import (
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

const (
	whole = traffic.Whole

	tick = time.Second // between looks at a canary that serves users
)

// The rules a decision can follow.
const (
	ruleStart    = "start"
	ruleReady    = "readiness"
	ruleStep     = "exposure"
	ruleEvidence = "evidence"
	ruleDeadline = "deadline"
	ruleRequest  = "request"
	ruleFailure  = "failure"
	ruleLease    = "lease"
)

// Decide is the pure decision about one rollout.
func Decide(v control.View[Rollout], now time.Time) control.Plan {
	r := v.State
	switch {
	case r.Phase == "" || r.Phase == PhaseFinished:
		return control.Plan{}
	case r.Phase == PhaseGoingBack:
		return finishBack(v, now)
	case r.Abort != nil && r.Ended == nil:
		return goBack(v, now, cause{outcome: "aborted", rule: ruleRequest, culprit: "request", reason: fmt.Sprintf("%s asked for it: %s", r.Abort.By, r.Abort.Reason)})
	}
	if p := failed(r); p != nil {
		return goBack(v, now, cause{outcome: "failed", rule: ruleFailure, culprit: p.Type, reason: p.Type + " failed: " + p.Error})
	}
	switch r.Phase {
	case PhaseStarting:
		return start(v, now)
	case PhasePromoting:
		return promote(v, now)
	}
	return judgeNow(v, now)
}

func failed(r Rollout) *Pending {
	for i := range r.Pending {
		if r.Pending[i].Phase == action.Failed && r.Pending[i].Type != ActionRemove {
			return &r.Pending[i]
		}
	}
	return nil
}

// start waits for the instances and then takes the first step, or everything
// at once when there is nothing to compare with. Whether a revision is late is
// the runtime's to say, which alone knows since when it could be ready: a time
// in which the runtime could not be asked is no fault of the revision.
func start(v control.View[Rollout], now time.Time) control.Plan {
	r := v.State
	status, known := observed(v, r.Revision)
	if !known {
		return control.Plan{Wake: now.Add(tick)}
	}
	if len(r.Pending) == 0 && r.ReadyAt.IsZero() && status == nil {
		return control.Plan{
			Verdict: "start", Rule: ruleStart, Reason: fmt.Sprintf("start %d × %s", r.Workload.Instances, r.Revision), Cause: r.Event,
			Actions: []action.Proposal{r.propose(ActionEnsure, r.workload(r.Revision), "start revision "+r.Revision, EnsureParams{Started: r.Started})},
			Wake:    now.Add(tick),
		}
	}
	switch {
	case status != nil && status.State == workload.Ready:
		return firstStep(v, now)
	case status != nil && status.State == workload.Failed:
		reason := fmt.Sprintf("not ready %s after it was started", now.Sub(r.runningSince()).Round(time.Second))
		if status.Reason != "" {
			reason += ": " + status.Reason
		}
		return goBack(v, now, cause{outcome: "rolled_back", rule: ruleReady, culprit: "startup", reason: reason})
	}
	return control.Plan{Wake: now.Add(tick)}
}

// runningSince is when the runtime took over the instances.
func (r Rollout) runningSince() time.Time {
	if r.EnsuredAt.IsZero() {
		return r.StartedAt
	}
	return r.EnsuredAt
}

// observed is how a revision is, nil when the runtime does not have it; known
// is false when the runtime could not be asked.
func observed(v control.View[Rollout], revision string) (status *workload.Status, known bool) {
	var all []workload.Status
	r, ok := v.Reading("workload", &all)
	for i := range all {
		if all[i].Revision == revision {
			return &all[i], true
		}
	}
	return nil, ok && r.Complete
}

func firstStep(v control.View[Rollout], now time.Time) control.Plan {
	r := v.State
	var ready []event.Draft
	if r.ReadyAt.IsZero() {
		ready = []event.Draft{{Type: EventReady, Data: Ref{Rollout: r.Rollout}}}
	}
	step := func(rule string, weight int, reason string) control.Plan {
		plan := shift(r, 1, weight, reason)
		plan.Rule, plan.Facts, plan.Wake = rule, append(ready, plan.Facts...), now.Add(tick)
		return plan
	}
	if r.Strategy == StrategyRolling {
		plan := shift(r, len(r.Plan.Steps)+1, whole, r.wholeAtOnce())
		plan.Rule, plan.Facts = ruleReady, append(ready, plan.Facts...)
		return plan
	}
	in := r.input(v, now)
	d, weight := judge.Decide(in), r.firstWeight(in)
	switch {
	case r.Paused != nil:
		return r.wait(ready, d, "Held: paused by "+r.Paused.By+": "+r.Paused.Reason, now)
	case r.Wanted != nil:
		return step(ruleRequest, r.ceiling(1), fmt.Sprintf("%s asked for it: %s", r.Wanted.By, r.Wanted.Reason))
	case weight == 0 && d.Verdict == judge.Back:
		return goBack(v, now, cause{outcome: "failed", rule: ruleDeadline, culprit: "deadline", reason: "the first step did not become affordable until the deadline"})
	case weight == 0 && d.WithoutEvidence:
		return step(ruleDeadline, r.ceiling(1), d.Reason)
	case weight == 0:
		return r.unaffordable(ready, d, now)
	}
	reason := d.Reason
	if d.Verdict != judge.On || d.WithoutEvidence {
		reason = fmt.Sprintf("Going on to %s: more is not affordable before anything is known", percent(weight))
	}
	plan := step(ruleStep, weight, reason)
	plan.Evidence = d
	return plan
}

func (r Rollout) wholeAtOnce() string {
	if r.From != "" {
		return "a " + r.Kind + " needs no evidence: everybody gets it"
	}
	return "no revision serves yet: everybody gets the first one"
}

// shift is the plan that changes the canary's share.
func shift(r Rollout, step, weight int, reason string) control.Plan {
	return control.Plan{
		Verdict: "on", Rule: ruleStep, Reason: reason, Cause: r.Event,
		Facts: []event.Draft{{Type: EventStepped, Data: Stepped{
			Rollout: r.Rollout, Service: r.Service, Environment: r.Environment, Revision: r.Revision, Step: step, Weight: weight,
		}}},
		Actions: []action.Proposal{r.propose(ActionShift, r.traffic(), fmt.Sprintf("%s gets %s of the traffic", r.Revision, percent(weight)), r.split(weight))},
	}
}

// propose proposes an action of this rollout in a slot: of several wishes for
// the same thing, the newest counts.
func (r Rollout) propose(typ, slot, reason string, params any) action.Proposal {
	return action.Proposal{Type: typ, Subject: "rollout/" + r.Rollout, Slot: slot, Reason: reason, Params: action.Params(params)}
}

// traffic is the slot of wishes for the place's split.
func (r Rollout) traffic() string { return "traffic/" + release.PlaceKey(r.Service, r.Environment) }

// workload is the slot of wishes for a revision in the place.
func (r Rollout) workload(revision string) string {
	return "workload/" + release.PlaceKey(r.Service, r.Environment) + "/" + revision
}

func percent(basisPoints int) string {
	return fmt.Sprintf("%g %%", float64(basisPoints)/100)
}

// judgeNow looks at the evidence while a canary serves.
func judgeNow(v control.View[Rollout], now time.Time) control.Plan {
	r := v.State
	if r.Phase == PhaseShifting || r.waiting(ActionShift) != nil {
		return control.Plan{Wake: now.Add(tick)}
	}
	if lapsed(v) {
		return control.Plan{
			Verdict: "hold", Rule: ruleLease, Cause: r.Event, Wake: now.Add(tick),
			Reason:  "the canary's lease lapsed while nobody refreshed it, and everybody got the stable revision; it gets its share again",
			Actions: []action.Proposal{r.propose(ActionShift, r.traffic(), "renew the lapsed share", r.split(r.Weight))},
		}
	}
	l := newLook(v, now)
	number := l.after.nextStep()
	switch d := l.verdict; {
	case d.Verdict == judge.Back:
		return l.back(v)
	case r.Paused != nil:
		return l.hold("Held: paused by " + r.Paused.By + ": " + r.Paused.Reason)
	case r.Wanted != nil:
		return l.step(ruleRequest, number, r.ceiling(number), fmt.Sprintf("%s asked for it: %s", r.Wanted.By, r.Wanted.Reason))
	case d.Verdict == judge.On && d.WithoutEvidence:
		return l.step(ruleDeadline, number, basisPoints(d.Weight), d.Reason)
	case d.Verdict == judge.On && l.fresh():
		return l.step(ruleStep, number, basisPoints(d.Weight), d.Reason)
	case d.Verdict == judge.On:
		return l.hold("Held: the newest counts are too old to take a step on")
	case d.Overdue:
		return l.ask()
	default:
		return l.hold(d.Reason)
	}
}

func basisPoints(ratio float64) int { return int(ratio*whole + 1e-6) }

func lapsed(v control.View[Rollout]) bool {
	var o traffic.Observation
	_, ok := v.Reading("traffic", &o)
	return ok && o.Lapsed
}

// promote waits for everybody to have the revision, then ends the rollout.
func promote(v control.View[Rollout], now time.Time) control.Plan {
	r := v.State
	if r.waiting(ActionShift) != nil {
		return control.Plan{Wake: now.Add(tick)}
	}
	end := ended(r, "promoted", r.Reason, "", now)
	plan := control.Plan{
		Verdict: "promoted", Rule: ruleStep, Reason: fmt.Sprintf("everybody has %s", r.Revision), Cause: r.Event,
		Facts: []event.Draft{{Type: EventPromoted, Data: end}, {Type: EventFinished, Data: end}},
	}
	if r.From != "" && r.From != r.Revision {
		plan.Actions = append(plan.Actions, r.propose(ActionRemove, r.workload(r.From), "nobody is sent to "+r.From+" any more", RefParams{Service: r.Service, Environment: r.Environment, Revision: r.From}))
	}
	return plan
}

// ended describes the end of a rollout.
func ended(r Rollout, outcome, reason, culprit string, now time.Time) Ended {
	e := Ended{
		Rollout: r.Rollout, Release: r.Release, Change: r.Change, Service: r.Service, Team: r.Team, Environment: r.Environment,
		Revision: r.Revision, Commit: r.Commit, Digest: r.Digest, Previous: r.From, Kind: r.Kind,
		Outcome: outcome, Reason: reason, Culprit: culprit, Weight: r.Weight, Seconds: now.Sub(r.StartedAt).Seconds(),
	}
	cfg := r.Judging()
	for _, m := range r.Metrics {
		ev := cfg.Evidence(m.State)
		e.CanaryRequests = max(e.CanaryRequests, ev.Canary.Requests)
		if m.Name == culprit || culprit == "" && ev.Canary.Bad > e.CanaryBad {
			e.CanaryBad, e.EValue = ev.Canary.Bad, ev.EValue
		}
	}
	return e
}
