package rollout

import (
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// cause is why a rollout goes back.
type cause struct {
	outcome string // rolled_back, aborted or failed
	rule    string
	culprit string
	reason  string
	evalue  float64
}

// goBack takes the canary's share away at once. The fact that it went back is
// recorded with the decision, so that an incident opens and the revision is
// quarantined without waiting for the shift to have happened.
func goBack(v control.View[Rollout], now time.Time, c cause) control.Plan {
	r := v.State
	end := ended(r, c.outcome, c.reason, c.culprit, now)
	if c.evalue > 0 {
		end.EValue = c.evalue
	}
	typ := EventRolledBack
	if c.outcome == "aborted" {
		typ = EventAborted
	}
	plan := control.Plan{
		Verdict: "back", Rule: c.rule, Reason: c.reason, Cause: r.Event, Wake: now.Add(tick),
		Facts: []event.Draft{{Type: typ, Data: end}},
	}
	switch {
	case r.Step > 0 && r.From != "":
		plan.Actions = append(plan.Actions, r.propose(ActionShift, r.traffic(), "everybody gets "+r.From+" again", r.split(0)))
	case r.Step > 0:
		plan.Actions = append(plan.Actions, r.propose(ActionUnroute, r.traffic(), "nobody gets "+r.Revision+" any more, and there is nothing to go back to",
			RefParams{Service: r.Service, Environment: r.Environment, Revision: r.Revision}))
	}
	return plan
}

// finishBack ends a rollout once nobody is sent to its revision any more.
func finishBack(v control.View[Rollout], now time.Time) control.Plan {
	r := v.State
	for _, typ := range []string{ActionShift, ActionUnroute} {
		if p := r.waiting(typ); p != nil && p.Phase != action.Failed {
			return control.Plan{Wake: now.Add(tick)}
		}
	}
	outcome, reason := "rolled_back", r.Reason
	if r.Ended != nil {
		outcome, reason = r.Ended.Outcome, r.Ended.Reason
	}
	end := ended(r, outcome, reason, "", now)
	if r.Ended != nil {
		end = *r.Ended
		end.Seconds = now.Sub(r.StartedAt).Seconds()
	}
	plan := control.Plan{
		Verdict: "finished", Rule: ruleStart, Reason: "nobody is sent to " + r.Revision + " any more", Cause: r.Event,
		Facts: []event.Draft{{Type: EventFinished, Data: end}},
	}
	if r.Revision != r.From {
		plan.Actions = append(plan.Actions, r.propose(ActionRemove, r.workload(r.Revision), "stop "+r.Revision, RefParams{Service: r.Service, Environment: r.Environment, Revision: r.Revision}))
	}
	return plan
}
