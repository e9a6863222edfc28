package alert

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// maxNotes bounds what is said of rules that cannot be evaluated.
const maxNotes = 5

// Routed is what rules made of an alert.
type Routed struct {
	Rules  []string          `json:"rules,omitempty"`  // ROUTE/RULE, in the order in which they matched
	Team   string            `json:"team,omitempty"`   // who is paged, instead of the service's owner
	Policy string            `json:"policy,omitempty"` // by which EscalationPolicy, instead of the team's
	Group  map[string]string `json:"group,omitempty"`
	Notes  []string          `json:"notes,omitempty"` // rules that could not be evaluated, which do not match
}

// Route is a route as declared.
type Route struct {
	Name string `json:"name"`
	RouteSpec
}

// Routes reads the routes in the order in which they are asked.
func Routes(ctx context.Context, r projection.Reader) ([]Route, error) {
	specs, entries, err := catalog.List[RouteSpec](ctx, r, KindRoute)
	out := make([]Route, len(specs))
	for i, s := range specs {
		out[i] = Route{Name: entries[i].Metadata.Name, RouteSpec: s}
	}
	slices.SortStableFunc(out, func(a, b Route) int { return cmp.Compare(a.Order, b.Order) })
	return out, err
}

// Asked is one rule that was asked about an alert.
type Asked struct {
	Rule    string `json:"rule"` // ROUTE/RULE
	Match   string `json:"match"`
	Matched bool   `json:"matched"`
	Note    string `json:"note,omitempty"` // why it could not be evaluated
}

// situation is what rules are asked about.
type situation struct {
	labels, annotations map[string]string
	service             catalog.Service // the alert's home before routing; the name only when the catalog does not know it
	environment         string
	severity            string
	integration         string
	summary             string
	now                 time.Time
}

func (s situation) values() map[string]any {
	words := func(m map[string]string) map[string]string {
		if m == nil {
			return map[string]string{}
		}
		return m
	}
	return map[string]any{
		"labels": words(s.labels), "annotations": words(s.annotations), "summary": s.summary,
		"service":     map[string]string{"name": s.service.Name, "team": s.service.Team, "description": s.service.Description, "runbook": s.service.Runbook},
		"environment": s.environment, "severity": s.severity, "integration": s.integration, "now": s.now,
	}
}

// route asks the rules. tell is called with each that was asked; may be nil.
func route(routes []Route, s situation, tell func(Asked)) (merged RouteRule, out Routed) {
	values := s.values()
	for _, r := range routes {
		for _, rule := range r.Rules {
			a := Asked{Rule: r.Name + "/" + rule.Name, Match: rule.Match}
			ok, err := routing.Holds(rule.Match, values)
			if a.Matched = ok; err != nil {
				a.Note = err.Error()
				if len(out.Notes) < maxNotes && !strings.Contains(a.Note, "no such key") {
					out.Notes = append(out.Notes, clip(a.Rule+": "+a.Note, maxText))
				}
			}
			if tell != nil {
				tell(a)
			}
			if !ok {
				continue
			}
			out.Rules = append(out.Rules, a.Rule)
			merged = rule.over(merged)
			if !rule.Continue {
				return merged, out
			}
		}
	}
	return merged, out
}

// over is the rule with what it leaves open taken from an earlier one.
func (r RouteRule) over(before RouteRule) RouteRule {
	r.Service, r.Team = cmp.Or(r.Service, before.Service), cmp.Or(r.Team, before.Team)
	r.Environment, r.Severity = cmp.Or(r.Environment, before.Environment), cmp.Or(r.Severity, before.Severity)
	r.Policy = cmp.Or(r.Policy, before.Policy)
	if len(r.GroupBy) == 0 {
		r.GroupBy = before.GroupBy
	}
	return r
}

// routed is an alert after the rules: its home, its severity, its group, and
// who is paged. Without rules it stays as it is. tell may be nil.
func (c known) routed(f Fired, now time.Time, tell func(Asked)) Fired {
	if len(c.routes) == 0 {
		return f
	}
	home, ok := c.services[f.Service]
	if !ok {
		home = catalog.Service{Name: f.Service, ServiceSpec: catalog.ServiceSpec{Team: f.Team}}
	}
	set, out := route(c.routes, situation{labels: f.Labels, annotations: f.Annotations, service: home, environment: f.Environment,
		severity: f.Severity, integration: f.Integration, summary: f.Explanation, now: now}, tell)
	if len(out.Rules)+len(out.Notes) == 0 {
		return f
	}
	// A service that was deleted since is left out.
	if to, ok := c.services[set.Service]; ok && set.Service != f.Service {
		f.Service, f.Team = to.Name, cmp.Or(to.Team, f.Team)
		if f.Runbook == home.Runbook {
			f.Runbook = to.Runbook
		}
	}
	f.Environment = cmp.Or(set.Environment, f.Environment)
	if set.Severity != "" {
		f.Severity, f.Urgency = set.Severity, set.Severity
	}
	if set.Team != "" {
		f.Team, out.Team = set.Team, set.Team
	}
	out.Policy, out.Group = set.Policy, f.group(set.GroupBy)
	f.Route = &out
	return f
}

// group is the values of labels; service, environment, team, severity and
// integration are the alert's own when no label says otherwise.
func (f Fired) group(by []string) map[string]string {
	if len(by) == 0 {
		return nil
	}
	own := map[string]string{"service": f.Service, "environment": f.Environment, "team": f.Team, "severity": f.Urgency, "integration": f.Integration}
	out := make(map[string]string, len(by))
	for _, name := range by {
		out[name] = cmp.Or(f.Labels[name], own[name])
	}
	return out
}

// GroupKey is the alert's group as text, empty when no rule groups it.
func (f Fired) GroupKey() string {
	if f.Route == nil {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f.Route.Group)) {
		parts = append(parts, name+"="+f.Route.Group[name])
	}
	return strings.Join(parts, ",")
}
