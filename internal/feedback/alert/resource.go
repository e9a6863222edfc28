package alert

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/catalog/condition"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// KindRoute is the kind of a route.
const KindRoute = "AlertRoute"

// RouteSpec says where senders' alerts belong, when that is not plain from what
// they say. Routes are asked in order, and their rules in order; the first that
// matches decides.
type RouteSpec struct {
	Description string      `json:"description,omitempty"` // one line
	Order       int         `json:"order,omitempty"`       // routes with less are asked first, those with the same in order of their names; default 100
	Rules       []RouteRule `json:"rules"`
}

// RouteRule is one rule. What it does not set stays as it is.
type RouteRule struct {
	Name        string   `json:"name"`
	Match       string   `json:"match"`                 // CEL condition over the variables of routing
	Service     string   `json:"service,omitempty"`     // what the alert is about; its owner is paged
	Team        string   `json:"team,omitempty"`        // who is paged, instead of the service's owner
	Environment string   `json:"environment,omitempty"` // where
	Severity    string   `json:"severity,omitempty"`    // page, ticket or none
	Policy      string   `json:"policy,omitempty"`      // an EscalationPolicy, instead of the team's
	GroupBy     []string `json:"groupBy,omitempty"`     // labels whose values make a group in lists
	Continue    bool     `json:"continue,omitempty"`    // go on: what later rules set wins
}

// KindMapping is the kind of a mapping.
const KindMapping = "AlertMapping"

// MappingSpec says how to read alerts out of a sender's own JSON: CEL over body,
// headers and item.
type MappingSpec struct {
	Description string            `json:"description,omitempty"` // one line
	When        string            `json:"when,omitempty"`        // condition; what it does not hold for is not about an alert
	Each        string            `json:"each,omitempty"`        // a list, each item of which is an alert; default: the body is one
	Key         string            `json:"key,omitempty"`         // the sender's name for the alert; default: its labels
	Summary     string            `json:"summary"`
	Severity    string            `json:"severity,omitempty"` // a word such as critical or P3
	Status      string            `json:"status,omitempty"`   // firing, acknowledged or resolved, or a sender's word for it; default firing
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	URL         string            `json:"url,omitempty"`
	Runbook     string            `json:"runbook,omitempty"`
}

// Bounds of routes.
const (
	maxRules   = 200 // of one route
	maxGroupBy = 10
	usualOrder = 100
)

// routing is the language of rules.
var routing = condition.New(`labels[?"job"].orValue("") == "postgres"`, map[string]condition.Type{
	"labels": condition.Words, "annotations": condition.Words, "service": condition.Words, "summary": condition.Text,
	"environment": condition.Text, "severity": condition.Text, "integration": condition.Text, "now": condition.Time,
})

// Kinds declares the room's kinds.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(KindRoute, resource.Options[RouteSpec]{
		Summary:  "where senders' alerts belong and who is paged for them, by rules over labels and catalog",
		Defaults: func(_ resource.Metadata, s *RouteSpec) { s.Order = cmp.Or(s.Order, usualOrder) },
		Validate: validateRoute,
	}), resource.Define(KindMapping, resource.Options[MappingSpec]{
		Summary: "how to read alerts out of a sender's own JSON", Validate: validateMapping,
	})}
}

func validateRoute(c *resource.Checker, s *RouteSpec) {
	if len(s.Rules) == 0 || len(s.Rules) > maxRules {
		c.Errorf("rules", "range", "a route has 1 to %d rules; this has %d", maxRules, len(s.Rules))
		return
	}
	names := map[string]bool{}
	for i, r := range s.Rules {
		at := fmt.Sprintf("rules[%d].", i)
		if r.Name == "" || names[r.Name] {
			c.Errorf(at+"name", "duplicate-name", "a rule has a name of its own: what was routed refers to it")
		}
		names[r.Name] = true
		if err := routing.Check(r.Match); err != nil {
			c.Errorf(at+"match", "condition", "%s", err)
		}
		switch r.Severity {
		case "", Page, Ticket, None:
		default:
			c.Errorf(at+"severity", "enum", "severity is %q; it must be page, ticket or none", r.Severity)
		}
		c.Refers(at+"service", catalog.KindService, r.Service)
		c.Refers(at+"team", catalog.KindTeam, r.Team)
		c.Refers(at+"environment", catalog.KindEnvironment, r.Environment)
		c.Refers(at+"policy", oncall.KindEscalation, r.Policy)
		if len(r.GroupBy) > maxGroupBy {
			c.Errorf(at+"groupBy", "range", "%d labels; at most %d", len(r.GroupBy), maxGroupBy)
		}
		if strings.TrimSpace(r.Match) == "true" && !r.Continue && i < len(s.Rules)-1 {
			c.Warnf(at+"match", "unreachable", "%s matches everything, so the rules after it are never asked", r.Name)
		}
	}
}
