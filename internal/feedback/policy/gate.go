package policy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// GateInput asks whether a change may be released now.
type GateInput struct {
	Service     string `json:"service" arg:"1" in:"query" doc:"service that would be released"`
	Environment string `json:"environment" doc:"environment it would be released to (default: every one, and the gravest answer counts)"`
	Change      string `json:"change" doc:"change that would be released, such as checkout-3f2a91c; its marks count"`
	Kind        string `json:"kind" enum:"deploy,rollback,redeploy" doc:"what is to happen (default deploy); a rollback passes"`
}

// GateAnswer is the gate's answer to whoever asks: the outcome of the error
// budget policy and of the freezes declared, with the numbers.
type GateAnswer struct {
	Service     string `json:"service"`
	Environment string `json:"environment"` // the one the answer is about
	Outcome
	Allowed    bool      `json:"allowed"` // effect is allow or slow
	Policy     string    `json:"policy"`
	Objectives []Budget  `json:"objectives"`
	At         time.Time `json:"at"`
}

// Blocked reports whether the gate is closed.
func (g GateAnswer) Blocked() bool { return g.Effect == Freeze }

// Rules of an answer that no level of a policy gave.
const (
	ruleDeclared = "environment/freeze"
	ruleUnknown  = "budget/unknown"
)

func (p *Policies) gateOperation() operation.Operation {
	return operation.Define(operation.Spec[GateInput, GateAnswer]{
		Noun: "gate", Verb: "show", Summary: "Say whether a change may be released now: allow, slow or freeze, and why",
		Help: "The decision of the release gate on error budget and freezes, for whoever releases\notherwise. Exits with 3 when the answer is freeze.\n\n  flyball gate show checkout --environment prod && kubectl apply -f checkout.yaml",
		Role: operation.Viewer,
		Scope: func(ctx context.Context, in GateInput) (operation.Scope, error) {
			s, err := catalog.GetService(ctx, p.Reader, in.Service)
			if problem.KindOf(err) == problem.NotFound {
				err = nil
			}
			return operation.Scope{Team: s.Team, Environment: in.Environment}, err
		},
		Handle: p.gate,
	})
}

// gate asks every environment meant and gives the gravest answer; of equal
// ones, that with least budget left.
func (p *Policies) gate(ctx context.Context, _ operation.Caller, in GateInput) (GateAnswer, error) {
	if _, past := operation.At(ctx); past {
		return GateAnswer{}, problem.New(problem.Invalid, "gate.show", "the gate answers for now").
			WithNext("flyball why NAME shows what the gate of a release said then")
	}
	if in.Environment != "" {
		return p.gateOf(ctx, in)
	}
	names, err := p.environments(ctx, in.Service)
	if err != nil {
		return GateAnswer{}, err
	}
	var worst *GateAnswer
	for _, name := range names {
		in.Environment = name
		answer, errHere := p.gateOf(ctx, in)
		if problem.KindOf(errHere) == problem.NotFound {
			err = errHere // not here, but perhaps elsewhere
			continue
		}
		if errHere != nil {
			return GateAnswer{}, errHere
		}
		if worst == nil || severity[answer.Effect] > severity[worst.Effect] ||
			answer.Effect == worst.Effect && answer.Remaining < worst.Remaining {
			worst = &answer
		}
	}
	if worst == nil {
		return GateAnswer{}, err
	}
	return *worst, nil
}

// environments are those a service is delivered to; of one that is only
// measured, those it is measured in.
func (p *Policies) environments(ctx context.Context, service string) ([]string, error) {
	s, err := catalog.GetService(ctx, p.Reader, service)
	switch {
	case err == nil && len(s.Environments) > 0:
		return s.Environments, nil
	case problem.KindOf(err) == problem.NotFound && p.Measured != nil:
		if names := p.Measured(service); len(names) > 0 {
			return names, nil
		}
	}
	all, err := catalog.Environments(ctx, p.Reader)
	if err == nil && len(all) == 0 {
		err = problem.New(problem.NotFound, "gate.show", "nothing is known of a service named %q: it is neither declared nor measured", service).
			WithNext("flyball slo list shows what is measured")
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return names, err
}

// gateOf is the answer of one environment.
func (p *Policies) gateOf(ctx context.Context, in GateInput) (GateAnswer, error) {
	now := p.Clock.Now()
	if in.Kind == "" {
		in.Kind = "deploy"
	}
	args := Args{Service: in.Service, Environment: in.Environment, Change: Change{Change: in.Change, Kind: in.Kind}}
	measured, err := p.Budgets(ctx, args.measure(control.Request{Name: "budget", Source: "budget"}), now)
	if err != nil {
		return GateAnswer{}, err
	}
	a, err := assess(ctx, p.Reader, args, measured, now)
	if err != nil {
		return GateAnswer{}, err
	}
	environment, err := catalog.GetEnvironment(ctx, p.Reader, in.Environment)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return GateAnswer{}, err
	}
	return answerOf(a, environment, now), nil
}

// answerOf joins what the release gate joins: budgets that are not known make
// it wait, a declared freeze closes it, and so does the policy's; an override, a
// rollback and what an operator marked pass both.
func answerOf(a Assessment, environment catalog.Environment, now time.Time) GateAnswer {
	in, o := a.Inputs, a.Policy
	exempt := exemption(in.Change)
	switch z, frozen := environment.FrozenAt(now); {
	case frozen && exempt == "" && o.Lifted == "":
		o.Effect, o.Rule, o.Frozen, o.Override, o.UnblockAt = Freeze, ruleDeclared, true, "", z.To
		o.Reason = fmt.Sprintf("%s is frozen until %s: %s", in.Environment, stamp(z.To), z.Reason)
		o.Unblock = "it unblocks then; a fix passes when an operator marks it: flyball change mark CHANGE --as fix --reason …; " +
			fmt.Sprintf("or by an operator's override: flyball override grant %s --environment %s --reason …", in.Service, in.Environment)
	case !in.Complete:
		o.Effect, o.Rule = Freeze, ruleUnknown
		o.Reason, o.Unblock = "the budget is not known", "it unblocks when the objectives have been computed"
	case o.Effect == Freeze && exempt != "":
		o.Effect, o.Unblock, o.UnblockAt = Slow, "", time.Time{}
		o.Reason += "; this one passes: " + exempt
	}
	return GateAnswer{
		Service: in.Service, Environment: in.Environment, Outcome: o, Allowed: o.Effect != Freeze,
		Policy: in.Policy, Objectives: in.Objectives, At: now,
	}
}

// exemption says why a change passes any freeze, or nothing.
func exemption(c Change) string {
	switch {
	case c.Kind == "rollback":
		return "a rollback is always allowed"
	case c.Marked != "":
		return "it is marked as " + c.Marked
	}
	return ""
}

// Tell says what the gate does, why, and what would change it.
func (g GateAnswer) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s: %s", g.Service, g.Environment, g.Outcome.Tell())
	for _, o := range g.Objectives {
		fmt.Fprintf(&b, "\n%s: %s left, burning %s× over 1 h", o.Key, percent(o.Remaining), number(o.Burn1h))
	}
	return b.String()
}
