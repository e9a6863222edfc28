package sim

import (
	"context"
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// What must hold, in the order of the table in docs/simulation.md.
const (
	ruleKept       = "nothing acknowledged is lost"
	ruleChain      = "the chain verifies"
	ruleEpoch      = "nothing is written under an older epoch"
	ruleVersion    = "no decision rests on a stream that has moved"
	ruleOnce       = "no internal effect happens twice"
	ruleReplay     = "every verdict recomputes to itself"
	ruleFold       = "states folded live equal states folded anew"
	ruleEnds       = "what was begun ends, or a person is asked"
	ruleBad        = "a bad change is promoted only on request"
	ruleCeiling    = "a canary's share stays within what was decided"
	ruleLease      = "a lapsed lease means stable"
	ruleStable     = "what went back serves nobody, and what is over does not run"
	ruleQuarantine = "what is in quarantine does not run again"
	ruleTurn       = "one rollout moves in a place at a time"
	ruleCounts     = "a rollout is judged by the true counts"
	ruleBudget     = "objectives count what really happened"
	ruleIncident   = "one incident at a time, and each cause in one"
	rulePages      = "every page arrives, under one identifier"
	ruleServes     = "servers go on whatever happens around them"
)

// Invariants lists the names of everything that is checked.
func Invariants() []string {
	return []string{ruleKept, ruleChain, ruleEpoch, ruleVersion, ruleOnce, ruleReplay, ruleFold, ruleEnds, ruleBad, ruleCeiling,
		ruleLease, ruleStable, ruleQuarantine, ruleTurn, ruleCounts, ruleBudget, ruleIncident, rulePages, ruleServes}
}

// check looks at the plane every second.
func (p *plane) check() {
	if p.down() {
		return
	}
	for _, at := range p.places() {
		rt := p.routes[at]
		if rt.Lease > 0 && p.leaseOver(rt) && !rt.lapsed && p.w.second-rt.renewed > int(rt.Lease.Seconds())+1 {
			p.w.violated(ruleLease, "%s: renewed at second %d for %s, and the canary still has its share", at, rt.renewed, rt.Lease)
		}
	}
}

// recorded reads facts of some types.
func (k *keeper) recorded(types ...string) []event.Event {
	out, err := k.entry.Log().Read(context.Background(), event.Query{Types: types, Limit: 100_000})
	if err != nil {
		panic("sim: the log cannot be read: " + err.Error())
	}
	return out
}

// shifted checks a split against what was decided, in the moment in which it
// takes effect.
func (w *world) shifted(s traffic.Split) {
	plans, steps := map[string]rollout.Started{}, map[string]rollout.Stepped{}
	promoted := map[string]bool{}
	for _, e := range w.keeper.recorded(rollout.EventStarted, rollout.EventStepped, rollout.EventPromoted) {
		var d rollout.Started
		decode(e, &d)
		if d.Service != s.Service || d.Environment != s.Environment {
			continue
		}
		switch e.Type {
		case rollout.EventStarted:
			plans[d.Revision] = d
			delete(steps, d.Revision)
		case rollout.EventStepped:
			var step rollout.Stepped
			decode(e, &step)
			steps[d.Revision] = step
		default:
			promoted[d.Revision] = true
		}
	}
	for _, share := range s.Shares {
		step, plan := steps[share.Revision], plans[share.Revision].Plan
		ceiling := traffic.Whole
		if step.Step >= 1 && step.Step <= len(plan.Steps) {
			ceiling = plan.Steps[step.Step-1]
		}
		switch {
		case promoted[share.Revision]:
		case share.Weight > step.Weight:
			w.violated(ruleCeiling, "%s gets %d basis points, %d were decided", share.Revision, share.Weight, step.Weight)
		case share.Weight > ceiling:
			w.violated(ruleCeiling, "%s gets %d basis points at step %d, whose ceiling is %d", share.Revision, share.Weight, step.Step, ceiling)
		}
	}
}

// ensured checks a revision against the quarantine, in the moment in which it
// is started.
func (w *world) ensured(v workload.Revision) {
	bad := ""
	for _, e := range w.keeper.recorded(rollout.EventFinished, release.EventQuarantineLifted) {
		var d rollout.Ended
		decode(e, &d)
		if d.Service != v.Service || d.Environment != v.Environment || d.Revision != v.Revision {
			continue
		}
		if bad = ""; d.Outcome == "rolled_back" || d.Outcome == "failed" {
			bad = d.Reason
		}
	}
	if bad != "" {
		w.violated(ruleQuarantine, "%s is started again; it went back: %s", v.Ref, bad)
	}
}

func decode(e event.Event, out any) {
	if err := event.Unmarshal(e.Data, out); err != nil {
		panic(fmt.Sprintf("sim: event %s (%s) cannot be read: %v", e.ID, e.Type, err))
	}
}

// traceEvent tells what was recorded.
func (w *world) traceEvent(e event.Event) {
	if w.options.Trace == nil {
		return
	}
	var d struct {
		ID       string  `json:"id"`
		Type     string  `json:"type"`
		Verdict  string  `json:"verdict"`
		Phase    string  `json:"phase"`
		Reason   string  `json:"reason"`
		Error    string  `json:"error"`
		Revision string  `json:"revision"`
		Weight   float64 `json:"weight"`
	}
	_ = event.Unmarshal(e.Data, &d) // what does not have these fields says nothing here
	w.tracef("#%-4d  %-22s %s  %s", e.Position, e.Type, e.Subject, strings.Join(strings.Fields(fmt.Sprint(d.ID, " ", d.Type, " ", d.Verdict, d.Phase, " ", d.Revision, " ", d.Weight, " ", d.Reason, d.Error)), " "))
}
