package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Args asks for the reading "budget": of whom, and for which change.
type Args struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Change
}

// Assessment is the data of the reading "budget": the objectives as measured,
// what the policy makes of them, and what that was computed from.
// Evaluate(Inputs, Now) gives Policy again.
type Assessment struct {
	Objectives json.RawMessage `json:"objectives"` // verbatim, as the objectives' room gave them
	Policy     Outcome         `json:"policy"`
	Inputs     Inputs          `json:"inputs"`
	Now        time.Time       `json:"now"`
}

// measure is the request for the measured budgets.
func (a Args) measure(r control.Request) control.Request {
	r.Args = map[string]string{"service": a.Service, "environment": a.Environment}
	return r
}

// Source answers the reading "budget" with the policy's outcome in it. budgets
// is the source of the measured budgets: it is asked for "service" and
// "environment", in a map of strings, and answers {"objectives": [Budget, …]}.
func Source(reader projection.Reader, budgets control.Source) control.Source {
	return func(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
		var args Args
		if err := recode(r.Args, &args); err != nil {
			return control.Reading{}, problem.New(problem.Internal, "policy.read", "arguments of the reading %s: %w", r.Name, err)
		}
		reading, err := budgets(ctx, args.measure(r), now)
		if err != nil {
			return control.Reading{}, err
		}
		a, err := assess(ctx, reader, args, reading, now)
		if err != nil {
			return control.Reading{}, err
		}
		reading.Data, err = json.Marshal(a)
		return reading, err
	}
}

func assess(ctx context.Context, reader projection.Reader, args Args, measured control.Reading, now time.Time) (Assessment, error) {
	a := Assessment{Now: now}
	var raw struct {
		Objectives json.RawMessage `json:"objectives"`
	}
	if len(measured.Data) > 0 {
		if err := json.Unmarshal(measured.Data, &raw); err != nil {
			return a, fmt.Errorf("budgets of %s: %w", Key(args.Service, args.Environment), err)
		}
	}
	a.Objectives = raw.Objectives
	var objectives []Budget
	if len(raw.Objectives) > 0 {
		if err := json.Unmarshal(raw.Objectives, &objectives); err != nil {
			return a, fmt.Errorf("budgets of %s: %w", Key(args.Service, args.Environment), err)
		}
	}
	in, err := gather(ctx, reader, args, len(objectives) > 0, now)
	if err != nil {
		return a, err
	}
	in.Complete, in.Objectives = measured.Complete, objectives
	a.Inputs, a.Policy = in, Evaluate(in, now)
	return a, nil
}

// gather reads the policy that holds in the environment, and the overrides. A
// service or an environment that is measured need not be declared: what another
// tool delivers has objectives alone.
func gather(ctx context.Context, r projection.Reader, args Args, measured bool, now time.Time) (Inputs, error) {
	in := Inputs{Policy: DefaultName, Spec: Default(), Service: args.Service, Environment: args.Environment, Change: args.Change}
	missing := func(err error) bool { return err != nil && !(measured && problem.KindOf(err) == problem.NotFound) }
	service, err := catalog.GetService(ctx, r, args.Service)
	if missing(err) {
		return in, err
	}
	in.Team = service.Team
	environment, err := catalog.GetEnvironment(ctx, r, args.Environment)
	if missing(err) {
		return in, err
	}
	if environment.Policy != "" {
		spec, entry, err := catalog.Get[Spec](ctx, r, KindBudgetPolicy, environment.Policy)
		if err != nil {
			return in, err
		}
		in.Policy, in.Spec, in.Commit = environment.Policy, spec, entry.Commit
	}
	if in.Change.Marked == "" && in.Change.Change != "" {
		if in.Change.Marked, _, err = projection.Get[string](ctx, r, markName, in.Change.Change); err != nil {
			return in, err
		}
	}
	in.Overrides, err = ActiveOverrides(ctx, r, args.Service, args.Environment, now)
	return in, err
}

// recode passes a value through JSON into out: another wing's arguments are
// data, not types.
func recode(v, out any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}
