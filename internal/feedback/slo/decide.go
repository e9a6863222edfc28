package slo

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Measured is the reading "objective": what the engine says of one objective.
type Measured struct {
	Key         string         `json:"key"`
	Service     string         `json:"service"`
	Team        string         `json:"team"`
	Environment string         `json:"environment"`
	Name        string         `json:"name"`
	Target      string         `json:"target"`
	Remaining   float64        `json:"remaining"`
	Allowed     float64        `json:"allowed"`
	Spent       float64        `json:"spent"`
	Burn1h      float64        `json:"burn_1h"`
	Events      float64        `json:"events"` // in the window so far
	Firing      []AlertChanged `json:"firing,omitempty"`
}

// Controller records when a budget's level changes and when alerts begin and
// cease to fire. It is keyed by objective; the Watcher wakes it.
func Controller() control.Controller[Status] {
	return control.Controller[Status]{
		Name:  "objective",
		Wakes: func(event.Event) []string { return nil },
		Load: func(ctx context.Context, r projection.Reader, key string) (Status, error) {
			s, _, err := projection.Get[Status](ctx, r, ProjectionName, key)
			s.Past = nil
			return s, err
		},
		Needs: func(key string, _ Status, _ time.Time) []control.Request {
			return []control.Request{{Name: "objective", Source: "objective", Args: map[string]string{"key": key}}}
		},
		Decide: Decide,
	}
}

// Decide compares what was recorded of an objective with what is measured.
func Decide(v control.View[Status], now time.Time) control.Plan {
	var m Measured
	if r, ok := v.Reading("objective", &m); !ok || !r.Complete {
		return control.Plan{}
	}
	plan := control.Plan{Verdict: "changed", Rule: "burn rate", Evidence: m}
	// An objective nobody has used yet has nothing to report.
	if level := LevelOf(m.Remaining); level != v.State.Level && (m.Events > 0 || v.State.Level != "") {
		plan.Facts = append(plan.Facts, event.Draft{Type: EventBudgetChanged, Data: BudgetChanged{
			Objective: m.Key, Service: m.Service, Team: m.Team, Environment: m.Environment, Name: m.Name, Target: m.Target,
			Level: level, Before: v.State.Level, Remaining: m.Remaining, Allowed: m.Allowed, Spent: m.Spent, Burn1h: m.Burn1h,
		}})
		plan.Reason = fmt.Sprintf("budget of %s is %s: %.0f %% left", m.Key, level, 100*m.Remaining)
	}
	measured := map[string]bool{}
	for _, a := range m.Firing {
		measured[a.rule()] = true
		if _, known := v.State.Firing[a.rule()]; known {
			continue
		}
		plan.Facts = append(plan.Facts, event.Draft{Type: EventAlertFired, Data: a})
		plan.Actions = append(plan.Actions, a.tell("fired", a.Notify)...)
		plan.Reason = a.Explanation
	}
	for _, rule := range sortedRules(v.State.Firing) {
		if measured[rule] {
			continue
		}
		a := v.State.Firing[rule]
		a.Resolved = now
		plan.Facts = append(plan.Facts, event.Draft{Type: EventAlertResolved, Data: a})
		plan.Actions = append(plan.Actions, a.tell("resolved", a.NotifyEnd)...)
		plan.Reason = "resolved: " + a.Condition + " no longer holds"
	}
	if len(plan.Facts) == 0 {
		return control.Plan{}
	}
	return plan
}

// ActionTell is the type of the action that tells a notification target of an
// alert; its parameters are Telling.
const ActionTell = "notify.alert"

// Telling is one message about an alert to one target.
type Telling struct {
	AlertChanged
	What string `json:"what"` // fired or resolved
	To   string `json:"to"`   // CHANNEL, or CHANNEL:ADDRESS
}

// tell proposes a message to each target. A message has one identifier, however
// often it is tried.
func (a AlertChanged) tell(what string, targets []string) (out []action.Proposal) {
	for i, to := range targets {
		id := strings.NewReplacer(".", "_", "/", "-", " ", "_").Replace(fmt.Sprintf("alert-%s-%s-%d", a.Alert, what, i+1))
		out = append(out, action.Proposal{
			ID: id, Type: ActionTell, Subject: "objective/" + a.Objective, Reason: fmt.Sprintf("tell %s that %s %s", to, a.Condition, what),
			Params: action.Params(Telling{a, what, to}),
		})
	}
	return out
}

func sortedRules(m map[string]AlertChanged) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
