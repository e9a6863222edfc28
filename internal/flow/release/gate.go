package release

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// recheck is how often a gate that says no is looked at again when no event
// wakes it: budgets recover with time alone.
const recheck = 15 * time.Second

// GateFacts is what the gate of rollout.start looks at.
type GateFacts struct {
	Service     *catalog.Service    `json:"service,omitempty"` // nil: no longer declared
	Environment catalog.Environment `json:"environment"`
	Mark        *change.Mark        `json:"mark,omitempty"`
	Authors     []Author            `json:"authors,omitempty"` // of the change's commits
	Aliases     map[string][]string `json:"aliases,omitempty"` // of those who agreed: how their commits call them
	Place       Place               `json:"place"`
	Promoted    map[string]bool     `json:"promoted,omitempty"` // environments the change is promoted in
	Attempt     int                 `json:"attempt"`            // of this release, from 1
}

// Budget is the reading of source "budget": what is left of the objectives of
// a service in an environment, and what the error-budget policy makes of it.
type Budget struct {
	Objectives []BudgetLeft  `json:"objectives"`
	Policy     BudgetVerdict `json:"policy"`
}

// BudgetLeft is one objective's budget.
type BudgetLeft struct {
	Key       string  `json:"key"`       // SERVICE.ENVIRONMENT.NAME
	Name      string  `json:"name"`      // such as availability
	Target    string  `json:"target"`    // such as 99.9%
	Remaining float64 `json:"remaining"` // share of the budget left; negative when overspent
	Allowed   float64 `json:"allowed"`   // bad events in a full window at the present traffic
	BadLeft   float64 `json:"bad_left"`  // of those, not yet spent
	Level     string  `json:"level"`     // plentiful, low or exhausted
	Burn1h    float64 `json:"burn_1h"`   // burn rate over the last hour
}

// BudgetVerdict is what the error-budget policy says.
type BudgetVerdict struct {
	Effect      string  `json:"effect"` // allow, slow or freeze
	Rule        string  `json:"rule"`
	Objective   string  `json:"objective,omitempty"` // key of the one that decided
	Reason      string  `json:"reason"`
	Unblock     string  `json:"unblock,omitempty"`
	Override    string  `json:"override,omitempty"`     // who overrode a freeze, until when and why
	BudgetShare float64 `json:"budget_share,omitempty"` // share of the budget left that one change may spend; 0 is the rollout's own
	Approvals   int     `json:"approvals,omitempty"`    // people who must agree besides
	Lifted      string  `json:"lifted,omitempty"`       // the override of freezes in force: who, until when and why
	Frozen      bool    `json:"frozen,omitempty"`       // the budget freezes changes, whether or not this one passes
}

// Passed is what a gate hands to the rollout it allows.
type Passed struct {
	Attempt     int     `json:"attempt"`
	BudgetShare float64 `json:"budget_share,omitempty"`
	Policy      string  `json:"policy,omitempty"`
}

// StartType declares the gated action rollout.start; run starts the rollout.
func StartType(run func(ctx context.Context, a action.Action) (any, error)) control.Type {
	return control.Type{
		Name: ActionStart, Run: run, Attempts: 5,
		Load: loadGate,
		Needs: func(a action.Action, _ json.RawMessage, _ time.Time) []control.Request {
			p := proposedOf(a)
			return []control.Request{{Name: "budget", Source: "budget", Args: map[string]string{"service": p.Service, "environment": p.Environment, "change": p.Change, "kind": p.Kind}}}
		},
		Gate:  Gate,
		Wakes: wakes,
	}
}

// opening are the facts that may turn a gate's no into a yes.
var opening = []string{"gate.", change.EventMarked, EventQuarantineLifted, "rollout.finished", "rollout.promoted", "budget.changed"}

// wakes names the releases that wait at the gate, when an event may let one of
// them through. An error leaves them to their next recheck.
func wakes(ctx context.Context, e event.Event, r projection.Reader) []string {
	if !event.Matches(opening, e.Type) {
		return nil
	}
	open, _, err := projection.List[action.Action](ctx, r, action.ProjectionName, projection.Filter{Index: "open", Value: "yes", Limit: 1000})
	if err != nil {
		return nil
	}
	var ids []string
	for _, a := range open {
		if a.Type == ActionStart && a.Phase.Pending() {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

func proposedOf(a action.Action) (p Proposed) {
	// The parameters were marshalled from a Proposed; what does not decode is
	// left empty and refused by the gate's first clause.
	_ = event.Unmarshal(a.Params, &p)
	return p
}

func loadGate(ctx context.Context, r projection.Reader, a action.Action) (any, error) {
	p := proposedOf(a)
	var f GateFacts
	service, err := catalog.GetService(ctx, r, p.Service)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	if err == nil {
		f.Service = &service
	}
	if f.Environment, err = catalog.GetEnvironment(ctx, r, p.Environment); err != nil && problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	c, _, err := change.Get(ctx, r, p.Change)
	if err != nil {
		return nil, err
	}
	f.Mark, f.Authors = c.Mark, authorsOf(c)
	if f.Aliases, err = aliasesOf(ctx, r, a); err != nil {
		return nil, err
	}
	if f.Place, err = GetPlace(ctx, r, p.Service, p.Environment); err != nil {
		return nil, err
	}
	d, _, err := projection.Get[Delivery](ctx, r, deliveryName, p.Change)
	if err != nil {
		return nil, err
	}
	f.Promoted = d.Promoted
	rel, _, err := projection.Get[Release](ctx, r, ProjectionName, p.Release)
	f.Attempt = len(rel.Rollouts) + 1
	return f, err
}

// Gate decides whether a release may act now. It is pure.
func Gate(in control.GateInput, now time.Time) (action.Gated, time.Time) {
	p := proposedOf(in.Action)
	var f GateFacts
	if err := event.Unmarshal(in.Facts, &f); err != nil {
		return action.Gated{Phase: action.Blocked, Reason: "the facts cannot be read: " + err.Error()}, now.Add(recheck)
	}
	var budget Budget
	known := false
	for _, r := range in.Readings {
		if r.Name == "budget" {
			known = event.Unmarshal(r.Data, &budget) == nil && r.Complete
		}
	}
	exempt := exemption(p, f.Mark)
	clauses := []action.Clause{
		ownership(f), tests(p), order(p, f), quarantine(p, f), turn(p, f), freeze(p, f, budget.Policy, exempt, now),
		errorBudget(budget, known, exempt), approvals(in.Action, p, f, budget),
	}
	g := action.Gated{Clauses: clauses, Phase: phase(clauses)}
	g.Reason = summary(g.Phase, clauses)
	g.Extra = action.Params(Passed{Attempt: f.Attempt, BudgetShare: budget.Policy.BudgetShare, Policy: budget.Policy.Rule})
	return g, now.Add(recheck)
}

// phase is blocked with any clause that fails or waits on something other than
// people, else awaiting approval with one that waits on people.
func phase(clauses []action.Clause) action.Phase {
	out := action.Allowed
	for _, c := range clauses {
		switch {
		case c.Verdict == "fail", c.Verdict == "wait" && c.Name != "approval":
			return action.Blocked
		case c.Verdict == "wait":
			out = action.Awaiting
		}
	}
	return out
}

func summary(ph action.Phase, clauses []action.Clause) string {
	if ph == action.Allowed {
		return "every clause of the gate passes"
	}
	var parts []string
	for _, c := range clauses {
		if c.Verdict == "fail" || c.Verdict == "wait" {
			s := c.Detail
			if c.Unblock != "" {
				s += "; " + c.Unblock
			}
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ". ")
}

func pass(name, format string, args ...any) action.Clause {
	return action.Clause{Name: name, Verdict: "pass", Detail: fmt.Sprintf(format, args...)}
}

// exemption says why a release passes a freeze, or nothing.
func exemption(p Proposed, m *change.Mark) string {
	if p.Kind == KindRollback {
		return "a rollback is always allowed"
	}
	if m != nil {
		return fmt.Sprintf("%s marked it as %s: %s", m.By, m.As, m.Reason)
	}
	return ""
}

func ownership(f GateFacts) action.Clause {
	if f.Service == nil || f.Environment.Delivery == "" {
		return action.Clause{Name: "ownership", Verdict: "fail", Detail: "the service or the environment is no longer declared", Unblock: "declare it again, or reject this release"}
	}
	return pass("ownership", "owned by team %s", f.Service.Team)
}

func tests(p Proposed) action.Clause {
	if p.Run == "" {
		return action.Clause{Name: "tests", Verdict: "info", Detail: "built outside a pipeline run"}
	}
	return pass("tests", "%s passed in run %s; this is the same digest %s", change.Short(p.Commit), p.Run, shortDigest(p.Digest))
}

func shortDigest(d string) string { return d[:min(len(d), 19)] }

func order(p Proposed, f GateFacts) action.Clause {
	after := f.Environment.After
	switch {
	case after == "":
		return pass("order", "%s is the first environment", p.Environment)
	case f.Promoted[after]:
		return pass("order", "promoted in %s", after)
	}
	return action.Clause{Name: "order", Verdict: "wait", Detail: "not promoted in " + after + " yet", Unblock: "it unblocks when the rollout there is promoted"}
}

func quarantine(p Proposed, f GateFacts) action.Clause {
	why, bad := f.Place.Quarantine[p.Revision]
	if !bad {
		return pass("quarantine", "revision %s has not gone back here", p.Revision)
	}
	return action.Clause{Name: "quarantine", Verdict: "fail", Detail: fmt.Sprintf("revision %s went back: %s", p.Revision, why),
		Unblock: "push a new commit, or: flyball release unquarantine " + p.Service + " --environment " + p.Environment + " --revision " + p.Revision + " --reason …"}
}

func turn(p Proposed, f GateFacts) action.Clause {
	if f.Place.Moving == "" {
		return pass("turn", "no other rollout is moving in %s", p.Environment)
	}
	return action.Clause{Name: "turn", Verdict: "wait", Detail: "rollout " + f.Place.Moving + " is still moving", Unblock: "it unblocks when that one has finished"}
}

func freeze(p Proposed, f GateFacts, b BudgetVerdict, exempt string, now time.Time) action.Clause {
	if z, frozen := f.Environment.FrozenAt(now); frozen {
		if exempt != "" {
			return pass("freeze", "frozen until %s (%s), but %s", z.To.Format(time.RFC3339), z.Reason, exempt)
		}
		if b.Lifted != "" {
			return pass("freeze", "frozen until %s (%s), but overridden %s", z.To.Format(time.RFC3339), z.Reason, b.Lifted)
		}
		return action.Clause{Name: "freeze", Verdict: "fail", Detail: fmt.Sprintf("%s is frozen until %s: %s", f.Environment.Name, z.To.Format(time.RFC3339), z.Reason),
			Unblock: fmt.Sprintf("it unblocks then; a fix passes when an operator marks it: flyball change mark %s --as fix --reason …; "+
				"or by an operator's override: flyball override grant %s --environment %s --reason …", p.Change, p.Service, p.Environment)}
	}
	return pass("freeze", "no freeze is declared for now")
}

func errorBudget(b Budget, known bool, exempt string) action.Clause {
	name := "error budget"
	if !known {
		return action.Clause{Name: name, Verdict: "wait", Detail: "the budget is not known", Unblock: "it unblocks when the objectives have been computed"}
	}
	if len(b.Objectives) == 0 {
		return action.Clause{Name: name, Verdict: "info", Detail: "the service has no objectives"}
	}
	// The reason has the numbers of the objective that decided.
	detail := fmt.Sprintf("%s (rule %s)", b.Policy.Reason, b.Policy.Rule)
	for _, o := range b.Objectives {
		if o.Key != b.Policy.Objective {
			detail += fmt.Sprintf("; %s: %.0f %% left, burning %.1f× over 1 h", o.Name, 100*o.Remaining, o.Burn1h)
		}
	}
	switch {
	case b.Policy.Effect != "freeze":
		return pass(name, "%s", detail)
	case b.Policy.Override != "":
		return pass(name, "%s, but overridden: %s", detail, b.Policy.Override)
	case exempt != "":
		return pass(name, "%s, but %s", detail, exempt)
	}
	return action.Clause{Name: name, Verdict: "fail", Detail: detail, Unblock: b.Policy.Unblock}
}

func approvals(a action.Action, p Proposed, f GateFacts, b Budget) action.Clause {
	needed := max(f.Environment.Approvals, b.Policy.Approvals)
	if needed == 0 || p.Kind == KindRollback {
		return pass("approval", "none is needed")
	}
	by := map[string]bool{}
	var names []string
	for _, ap := range a.Approvals {
		if !by[ap.By] && !wrote(ap.By, f.Aliases[ap.By], append(f.Authors, Author{Name: p.Author})) {
			by[ap.By] = true
			names = append(names, ap.By)
		}
	}
	if len(names) >= needed {
		return pass("approval", "%d of %d: %s", len(names), needed, strings.Join(names, ", "))
	}
	return action.Clause{Name: "approval", Verdict: "wait", Detail: fmt.Sprintf("%d of %d approvals", len(names), needed),
		Unblock: "an operator who is not its author agrees: flyball action approve '" + a.ID + "' --reason …"}
}
