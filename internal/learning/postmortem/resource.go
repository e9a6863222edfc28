package postmortem

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// KindPolicy is the kind that says which incidents are written up.
const KindPolicy = "PostmortemPolicy"

// DefaultName is the name of the built-in policy, which holds for every team
// that no policy speaks about. A policy of this name replaces it.
const DefaultName = "default"

// Policy says which incidents are written up, and by when. A rule that is left
// out asks for nothing.
type Policy struct {
	Description string          `json:"description,omitempty"`
	Teams       []string        `json:"teams,omitempty"`       // whose incidents; empty is everybody that no other policy names
	Severity    int             `json:"severity,omitempty"`    // this severity or worse (1 is worst)
	BudgetShare catalog.Percent `json:"budgetShare,omitempty"` // an incident that spent more than this of any objective's budget
	Duration    time.Duration   `json:"duration,omitempty"`    // an incident that hurt users for longer
	Due         time.Duration   `json:"due,omitempty"`         // from resolution until the text is in review; default 5d
	Reviewers   int             `json:"reviewers,omitempty"`   // people who must approve before it is published; default 1
}

// Bounds on a policy.
const (
	defaultDue   = 5 * 24 * time.Hour
	minDue       = time.Hour
	maxDue       = 90 * 24 * time.Hour
	maxReviewers = 10
	worst, least = 1, 4 // severities
)

// Default is the built-in policy: severity 1 and 2, or more than a fifth of a
// budget, within five days.
func Default() Policy {
	return Policy{
		Description: "severity 2 or worse, or more than 20 % of an error budget; in review within five days",
		Severity:    2, BudgetShare: 20, Due: defaultDue, Reviewers: 1,
	}
}

// Kinds declares the room's kind.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(KindPolicy, resource.Options[Policy]{
		Summary: "which incidents are written up, by when, and how many review the text",
		Defaults: func(_ resource.Metadata, p *Policy) {
			p.Due = cmp.Or(p.Due, defaultDue)
			p.Reviewers = cmp.Or(p.Reviewers, 1)
		},
		Validate: validate,
	})}
}

func validate(c *resource.Checker, p *Policy) {
	if p.Severity == 0 && p.BudgetShare == 0 && p.Duration == 0 {
		c.Errorf("", "required", "the policy asks for nothing; say severity: 2, budgetShare: 20%% or duration: 1h")
	}
	if p.Severity != 0 && (p.Severity < worst || p.Severity > least) {
		c.Errorf("severity", "range", "severity is %d; it must be between 1 (worst) and 4", p.Severity)
	}
	if p.BudgetShare < 0 || p.BudgetShare > 1000 {
		c.Errorf("budgetShare", "range", "budgetShare is %s; it must be between 0%% and 1000%%", p.BudgetShare)
	}
	if p.Duration < 0 {
		c.Errorf("duration", "range", "a duration cannot be negative")
	}
	if p.Due < minDue || p.Due > maxDue {
		c.Errorf("due", "range", "due is %s; it must be between 1h and 90d", p.Due)
	}
	if p.Reviewers < 0 || p.Reviewers > maxReviewers {
		c.Errorf("reviewers", "range", "reviewers is %d; it must be between 1 and %d", p.Reviewers, maxReviewers)
	}
	for i, team := range p.Teams {
		at := fmt.Sprintf("teams[%d]", i)
		c.Refers(at, catalog.KindTeam, team)
		if other := claimed(c.Set, c.Object.Metadata.Name, team); other != "" {
			c.Errorf(at, "duplicate", "%s is in the policy %q as well; a team has one", team, other)
		}
	}
	if len(p.Teams) == 0 && c.Object.Metadata.Name != DefaultName {
		c.Errorf("teams", "required", "name the teams it is for, or call it %q: then it is for all that no other policy names", DefaultName)
	}
}

// claimed names a policy, earlier by name, that a team is in already.
func claimed(set *resource.Set, name, team string) string {
	policies, meta := resource.Specs[Policy](set, KindPolicy)
	for i, p := range policies {
		if meta[i].Name < name && slices.Contains(p.Teams, team) {
			return meta[i].Name
		}
	}
	return ""
}

// policyOf is the policy for a team's incidents, with its name.
func policyOf(ctx context.Context, r projection.Reader, team string) (Policy, string, error) {
	policies, entries, err := catalog.List[Policy](ctx, r, KindPolicy)
	if err != nil {
		return Policy{}, "", err
	}
	out, name := Default(), DefaultName
	for i, p := range policies {
		switch {
		case slices.Contains(p.Teams, team):
			return p, entries[i].Metadata.Name, nil
		case len(p.Teams) == 0:
			out = p
		}
	}
	return out, name, nil
}

// requires says by which rule an incident is written up, and why; no rule means
// that it need not be.
func (p Policy) requires(t Trouble, costs []Cost) (rule, reason string) {
	if p.Severity > 0 && t.Severity <= p.Severity {
		return "severity", fmt.Sprintf("severity %d, and %d or worse is written up", t.Severity, p.Severity)
	}
	for _, c := range costs {
		if p.BudgetShare > 0 && c.Budget > p.BudgetShare.Ratio() {
			return "budget", fmt.Sprintf("it spent %s of the budget of %s, and more than %s is written up", percent(c.Budget), c.Objective, percent(p.BudgetShare.Ratio()))
		}
	}
	if d := t.hurt(); p.Duration > 0 && d > p.Duration {
		return "duration", fmt.Sprintf("it hurt for %s, and longer than %s is written up", span(d), span(p.Duration))
	}
	return "", ""
}

// spares says why an incident need not be written up.
func (p Policy) spares(t Trouble, costs []Cost) string {
	most := 0.0
	for _, c := range costs {
		most = max(most, c.Budget)
	}
	return fmt.Sprintf("severity %d, %s of a budget at most, %s: that is not asked for", t.Severity, percent(most), span(t.hurt()))
}
