package policy

import (
	"context"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Policies is what the operations on policies and overrides work with.
type Policies struct {
	Log    event.Log
	Reader projection.Reader
	Clock  clock.Clock
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error
	// Budgets measures budgets, as in Source.
	Budgets control.Source
	// Measured names the environments in which a service has objectives, for one
	// that the catalog does not know; nil if there are none of these.
	Measured func(service string) []string
}

// Bounds on how long an override may last.
const (
	defaultOverride = 4 * time.Hour
	maxOverride     = 7 * 24 * time.Hour
)

// GrantInput asks for an override.
type GrantInput struct {
	Service     string        `json:"service" arg:"1" doc:"service whose freeze is lifted"`
	Environment string        `json:"environment" required:"true" doc:"environment in which it is lifted"`
	Reason      string        `json:"reason" required:"true" doc:"why, for the record"`
	For         time.Duration `json:"for" doc:"how long it lasts, up to 168h (default 4h)"`
}

// RevokeInput ends overrides.
type RevokeInput struct {
	Service     string `json:"service" arg:"1" doc:"service whose freeze holds again"`
	Environment string `json:"environment" required:"true" doc:"environment in which it holds again"`
	Reason      string `json:"reason" required:"true" doc:"why, for the record"`
}

// OverridesInput bounds a list of overrides.
type OverridesInput struct {
	Service string `json:"service" doc:"of this service only"`
	All     bool   `json:"all" doc:"also those that have expired or were revoked"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"services and environments per page, 1 to 500 (default 50)"`
}

// CheckInput asks what the policy says now.
type CheckInput struct {
	Service     string `json:"service" arg:"1" doc:"service that would be released"`
	Environment string `json:"environment" required:"true" doc:"environment it would be released to"`
	Marked      string `json:"marked" enum:"fix,security" doc:"as if the change were marked so"`
}

// Policy is one policy.
type Policy struct {
	Name    string `json:"name"`
	BuiltIn bool   `json:"built_in,omitempty"`
	Commit  string `json:"commit,omitempty"`
	Spec    Spec   `json:"spec"`
}

// ShowInput names a policy.
type ShowInput struct {
	Policy string `json:"policy" arg:"1" doc:"name of the policy; default is the built-in one"`
}

// Operations are what users can do with policies and overrides.
func (p *Policies) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[GrantInput, Override]{
			Noun: "override", Verb: "grant", Summary: "Lift a freeze for a service in an environment, for a while",
			Help: "The delivering team does not hold this permission by default: it needs the role operator.\nReason, author and expiry are recorded, and shown wherever the freeze is.\n\n  flyball override grant checkout --environment prod --reason 'INC-14: the fix needs the new schema' --for 2h",
			Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in GrantInput) (operation.Scope, error) {
				return p.scope(ctx, in.Service, in.Environment)
			},
			Handle: p.grant,
		}),
		operation.Define(operation.Spec[RevokeInput, operation.Page[Override]]{
			Noun: "override", Verb: "revoke", Summary: "End the overrides of a service in an environment",
			Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in RevokeInput) (operation.Scope, error) {
				return p.scope(ctx, in.Service, in.Environment)
			},
			Handle: p.revoke,
		}),
		operation.Define(operation.Spec[OverridesInput, operation.Page[Override]]{
			Noun: "override", Verb: "list", Summary: "List overrides: what is lifted, by whom, why and until when",
			Role: operation.Viewer, Handle: p.overrides,
		}),
		operation.Define(operation.Spec[struct{}, operation.Page[Policy]]{
			Noun: "policy", Verb: "list", Summary: "List the error budget policies", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, _ struct{}) (operation.Page[Policy], error) {
				return p.list(ctx)
			},
		}),
		operation.Define(operation.Spec[ShowInput, Policy]{
			Noun: "policy", Verb: "show", Summary: "Show one error budget policy", Role: operation.Viewer,
			Handle: p.show,
		}),
		operation.Define(operation.Spec[CheckInput, Outcome]{
			Noun: "policy", Verb: "check", Summary: "Say what the error budget policy would do to a release now, and why",
			Help: "  flyball policy check checkout --environment prod",
			Role: operation.Viewer,
			Scope: func(ctx context.Context, in CheckInput) (operation.Scope, error) {
				return p.scope(ctx, in.Service, in.Environment)
			},
			Handle: p.check,
		}),
		p.gateOperation(),
	}
}

// Operations are what users can ask of backtests.
func (b *Backtests) Operations() []operation.Operation {
	return []operation.Operation{operation.Define(operation.Spec[BacktestInput, Backtested]{
		Noun: "slo", Verb: "backtest", Summary: "Score alert and budget policies over recorded history", Ask: true,
		Help: "Runs alert policies and budget policies over an objective's recorded slots, by the\nfunctions that run live, and scores them against the recorded incidents and deployments.",
		Role: operation.Viewer,
		Handle: func(ctx context.Context, _ operation.Caller, in BacktestInput) (Backtested, error) {
			return b.run(ctx, in)
		},
	})}
}

func (p *Policies) scope(ctx context.Context, service, environment string) (operation.Scope, error) {
	s, err := catalog.GetService(ctx, p.Reader, service)
	if err != nil {
		return operation.Scope{}, err
	}
	_, err = catalog.GetEnvironment(ctx, p.Reader, environment)
	return operation.Scope{Team: s.Team, Environment: environment}, err
}

func (p *Policies) grant(ctx context.Context, caller operation.Caller, in GrantInput) (Override, error) {
	if in.For == 0 {
		in.For = defaultOverride
	}
	if in.For < 0 || in.For > maxOverride {
		return Override{}, problem.New(problem.Invalid, "override.grant", "an override lasts up to %s, not %s", maxOverride, in.For).
			WithNext("change the policy in git if the freeze is wrong for longer")
	}
	// The scope is looked up for callers whose permission depends on it alone.
	if _, err := p.scope(ctx, in.Service, in.Environment); err != nil {
		return Override{}, err
	}
	now := p.Clock.Now()
	d := Overridden{Service: in.Service, Environment: in.Environment, Rule: RuleFreeze, Reason: in.Reason, Expires: now.Add(in.For)}
	recorded, err := p.append(ctx, d.Service, d.Environment, event.Draft{ID: operation.FactID(ctx, "granted"), Cause: operation.CallID(ctx), Type: EventOverridden, Time: now, Actor: caller.Name, Data: d})
	if err != nil {
		return Override{}, err
	}
	return Override{ID: recorded.ID, Overridden: d, By: caller.Name, At: recorded.Time}, nil
}

func (p *Policies) revoke(ctx context.Context, caller operation.Caller, in RevokeInput) (operation.Page[Override], error) {
	now := p.Clock.Now()
	if err := p.Sync(ctx); err != nil {
		return operation.Page[Override]{}, err
	}
	active, err := ActiveOverrides(ctx, p.Reader, in.Service, in.Environment, now)
	if err != nil {
		return operation.Page[Override]{}, err
	}
	if len(active) == 0 {
		return operation.Page[Override]{}, problem.New(problem.NotFound, "override.revoke", "no override holds for %s in %s", in.Service, in.Environment).
			WithNext("flyball override list --all shows those that are over")
	}
	d := Revoked{Service: in.Service, Environment: in.Environment, Rule: RuleFreeze, Reason: in.Reason}
	if _, err := p.append(ctx, d.Service, d.Environment, event.Draft{ID: operation.FactID(ctx, "revoked"), Cause: operation.CallID(ctx), Type: EventRevoked, Time: now, Actor: caller.Name, Data: d}); err != nil {
		return operation.Page[Override]{}, err
	}
	for i := range active {
		active[i].RevokedAt, active[i].RevokedBy, active[i].Why = now, caller.Name, in.Reason
	}
	return operation.Page[Override]{Items: active}, nil
}

func (p *Policies) append(ctx context.Context, service, environment string, d event.Draft) (event.Event, error) {
	recorded, err := p.Log.Append(ctx, event.Batch{Stream: "override/" + Key(service, environment), Expect: event.AnyVersion, Drafts: []event.Draft{d}})
	if err != nil {
		return event.Event{}, err
	}
	return recorded[0], p.Sync(ctx)
}

func (p *Policies) overrides(ctx context.Context, _ operation.Caller, in OverridesInput) (operation.Page[Override], error) {
	f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: 50, Newest: true}
	if in.Limit > 0 {
		f.Limit = min(in.Limit, 500)
	}
	if in.Service != "" {
		f.Index, f.Value = "service", in.Service
	}
	page, next, err := projection.List[Overrides](ctx, operation.Reader(ctx, p.Reader), ProjectionName, f)
	out := operation.Page[Override]{Items: []Override{}, Next: next}
	now := p.Clock.Now()
	for _, s := range page {
		for i := len(s.Items) - 1; i >= 0; i-- {
			if in.All || s.Items[i].Active(now) {
				out.Items = append(out.Items, s.Items[i])
			}
		}
	}
	return out, err
}

func (p *Policies) list(ctx context.Context) (operation.Page[Policy], error) {
	specs, entries, err := catalog.List[Spec](ctx, operation.Reader(ctx, p.Reader), KindBudgetPolicy)
	out := operation.Page[Policy]{Items: []Policy{{Name: DefaultName, BuiltIn: true, Spec: Default()}}}
	for i := range specs {
		out.Items = append(out.Items, Policy{Name: entries[i].Metadata.Name, Commit: entries[i].Commit, Spec: specs[i]})
	}
	return out, err
}

func (p *Policies) show(ctx context.Context, _ operation.Caller, in ShowInput) (Policy, error) {
	spec, entry, err := catalog.Get[Spec](ctx, operation.Reader(ctx, p.Reader), KindBudgetPolicy, in.Policy)
	if problem.KindOf(err) == problem.NotFound && in.Policy == DefaultName {
		return Policy{Name: DefaultName, BuiltIn: true, Spec: Default()}, nil
	}
	return Policy{Name: in.Policy, Commit: entry.Commit, Spec: spec}, err
}

func (p *Policies) check(ctx context.Context, _ operation.Caller, in CheckInput) (Outcome, error) {
	now := p.Clock.Now()
	args := Args{Service: in.Service, Environment: in.Environment, Change: Change{Marked: in.Marked, Kind: "deploy"}}
	reader := operation.Reader(ctx, p.Reader)
	measured, err := p.Budgets(ctx, args.measure(control.Request{Name: "budget", Source: "budget"}), now)
	if err != nil {
		return Outcome{}, err
	}
	a, err := assess(ctx, reader, args, measured, now)
	return a.Policy, err
}

// Header names the columns of a list of overrides.
func (o Override) Header() []string {
	return []string{"SERVICE", "ENV", "RULE", "UNTIL", "BY", "REASON"}
}

// Rows is the override as a line of a list.
func (o Override) Rows() [][]string {
	until := stamp(o.Expires)
	if !o.RevokedAt.IsZero() {
		until = "revoked " + stamp(o.RevokedAt)
	}
	return [][]string{{o.Service, o.Environment, o.Rule, until, o.By, o.Reason}}
}

// Header names the columns of a list of policies.
func (p Policy) Header() []string {
	return []string{"POLICY", "LEVEL", "WHEN", "EFFECT", "SHARE", "APPROVALS"}
}

// Rows is the policy, a line for each level and exemption.
func (p Policy) Rows() [][]string {
	var out [][]string
	for _, l := range p.Spec.Levels {
		out = append(out, []string{p.Name, l.Name, l.When, string(l.Effect), l.BudgetShare.String(), strconv.Itoa(l.Approvals)})
	}
	for _, e := range p.Spec.Exemptions {
		out = append(out, []string{p.Name, e.Name, e.When, "exempt", e.BudgetShare.String(), strconv.Itoa(e.Approvals)})
	}
	return out
}

// Tell says what the policy does, why, and what would change it.
func (o Outcome) Tell() string {
	s := string(o.Effect) + ": " + o.Reason
	if o.Unblock != "" {
		s += "\n" + o.Unblock
	}
	return s
}
