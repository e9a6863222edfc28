package alert

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// RouteInput describes an alert that might come.
type RouteInput struct {
	Labels      []string `json:"labels" required:"true" doc:"labels of the alert, such as alertname=DiskFull,job=postgres"`
	Annotations []string `json:"annotations" doc:"its annotations, such as summary=full"`
	Summary     string   `json:"summary" doc:"its first line"`
	Severity    string   `json:"severity" doc:"page or ticket (default: what its labels say)"`
	Integration string   `json:"integration" doc:"sender it comes from (default: local)"`
}

// RouteAnswer says where an alert would go, and why.
type RouteAnswer struct {
	Service     string            `json:"service"`
	Team        string            `json:"team" doc:"who is responsible; empty: nobody"`
	Environment string            `json:"environment"`
	Severity    string            `json:"severity" doc:"page, ticket or none"`
	Policy      string            `json:"policy,omitempty" doc:"EscalationPolicy that pages"`
	People      []string          `json:"people" doc:"who would be paged first, now"`
	Reason      string            `json:"reason" doc:"why they, or why nobody"`
	Group       map[string]string `json:"group,omitempty"`
	Rules       []string          `json:"rules" doc:"rules that matched, as ROUTE/RULE"`
	Asked       []Asked           `json:"asked" doc:"rules in the order in which they were asked"`
	Suppressed  []string          `json:"suppressed,omitempty" doc:"silences and maintenance windows that would hold it back"`
}

// Tell is the answer for people.
func (a RouteAnswer) Tell() string {
	var b strings.Builder
	for _, r := range a.Asked {
		sign := "no "
		if r.Matched {
			sign = "yes"
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", sign, r.Rule, r.Match)
		if r.Note != "" {
			fmt.Fprintf(&b, "       %s\n", r.Note)
		}
	}
	if len(a.Asked) == 0 {
		b.WriteString("no rules are declared: the service's owner gets it\n")
	}
	fmt.Fprintf(&b, "%s in %s, %s, team %s", a.Service, a.Environment, a.Severity, cmp.Or(a.Team, "(none)"))
	if a.Policy != "" {
		fmt.Fprintf(&b, ", policy %s", a.Policy)
	}
	fmt.Fprintf(&b, "\n%s", a.Reason)
	if len(a.Suppressed) > 0 {
		fmt.Fprintf(&b, "\nheld back by %s", strings.Join(a.Suppressed, ", "))
	}
	return b.String()
}

func (i *Intake) routeOperations() []operation.Operation {
	return []operation.Operation{operation.Define(operation.Spec[RouteInput, RouteAnswer]{
		Noun: "alert", Verb: "route", Summary: "Explain where an alert would go: which rule matches, and who would be paged", Role: operation.Viewer,
		Help: "  flyball alert route --labels alertname=DiskFull,job=postgres\n  flyball alert route flyball/ --labels job=postgres     # by files, without a server",
		Handle: func(ctx context.Context, _ operation.Caller, in RouteInput) (RouteAnswer, error) {
			return i.AskRoute(ctx, operation.Reader(ctx, i.Reader), in)
		},
	})}
}

func pairs(field string, texts []string) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range texts {
		name, value, ok := strings.Cut(t, "=")
		if !ok || name == "" {
			return nil, problem.New(problem.Invalid, "alert.route", "%s: %q is not NAME=VALUE", field, clip(t, 100))
		}
		out[name] = value
	}
	return out, nil
}

// AskRoute says where an alert would go by what a reader shows.
func (i *Intake) AskRoute(ctx context.Context, r projection.Reader, in RouteInput) (out RouteAnswer, err error) {
	ask := &Intake{Reader: r, Clock: i.Clock, silenced: map[string]Silence{}}
	if r == i.Reader {
		i.mu.Lock()
		for id, s := range i.silenced {
			ask.silenced[id] = s
		}
		i.mu.Unlock()
	}
	now := i.now(ctx)
	report := Report{Summary: in.Summary, Severity: in.Severity}
	if report.Labels, err = pairs("labels", in.Labels); err != nil {
		return out, err
	}
	if report.Annotations, err = pairs("annotations", in.Annotations); err != nil {
		return out, err
	}
	if err := report.check(now); err != nil {
		return out, err
	}
	from := Integration{Name: cmp.Or(in.Integration, Local)}
	if in.Integration != "" {
		if known, ok, err := projection.Get[Integration](ctx, r, integrationName, in.Integration); err != nil {
			return out, err
		} else if ok {
			from = known
		}
	}
	if err := ask.follow(ctx, now); err != nil {
		return out, err
	}
	report.complete(now)
	c, err := ask.look(ctx, from, []Report{report})
	if err != nil {
		return out, err
	}
	plain := c
	plain.routes = nil
	f := c.routed(ask.step(from, report, plain, now).fired, now, func(a Asked) { out.Asked = append(out.Asked, a) })
	out.Service, out.Team, out.Environment, out.Severity, out.Suppressed = f.Service, f.Team, f.Environment, f.Severity, ask.suppressing(f, now)
	out.Rules, out.People = []string{}, []string{}
	if f.Route != nil {
		out.Rules, out.Policy, out.Group = append(out.Rules, f.Route.Rules...), f.Route.Policy, f.Route.Group
	}
	return out, out.page(ctx, ask)
}

// page says who would be paged.
func (a *RouteAnswer) page(ctx context.Context, i *Intake) error {
	switch {
	case a.Severity != Page:
		a.Reason = "nobody is paged: its severity is " + a.Severity
		return nil
	case a.Team == "" && a.Policy == "":
		a.Reason = "nobody is paged: it has no owner"
		return nil
	}
	team, err := catalog.GetTeam(ctx, i.Reader, a.Team)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return err
	}
	if a.Policy = cmp.Or(a.Policy, team.Escalation); a.Policy == "" {
		a.Reason = fmt.Sprintf("team %s has no escalation policy: its %d webhooks are called", a.Team, len(team.Page))
		return nil
	}
	standing, err := oncall.Stand(ctx, i.Reader, a.Policy, i.Clock.Now())
	if err != nil {
		return err
	}
	calls, _, _ := oncall.Next(oncall.Escalation{Policy: a.Policy, Due: i.Clock.Now()}, standing, false, i.Clock.Now())
	for _, p := range calls.Recipients {
		a.People = append(a.People, p.Name)
	}
	a.Reason = strings.Join(a.People, ", ") + " first: " + calls.Reason
	if len(a.People) == 0 {
		a.Reason = "nobody is paged: " + calls.Reason
	}
	return nil
}
