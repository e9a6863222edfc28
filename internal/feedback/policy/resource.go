package policy

import (
	"fmt"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// KindBudgetPolicy is the kind of an error budget policy.
const KindBudgetPolicy = "BudgetPolicy"

// DefaultName is the name of the built-in policy, which holds wherever an
// environment names none.
const DefaultName = "default"

// Spec says what follows from what is left of an error budget.
type Spec struct {
	Description string      `json:"description,omitempty"`
	Levels      []Level     `json:"levels"`               // the first whose condition holds counts
	Exemptions  []Exemption `json:"exemptions,omitempty"` // changes that pass a freeze
}

// Level is one stage of a budget and what follows from it.
type Level struct {
	Name        string          `json:"name"`
	When        string          `json:"when"`                  // CEL condition; see Facts for its variables
	Effect      Effect          `json:"effect"`                // allow, slow or freeze
	BudgetShare catalog.Percent `json:"budgetShare,omitempty"` // of the budget left that one change may spend; 0 is the environment's own
	Approvals   int             `json:"approvals,omitempty"`   // people who must agree
}

// Exemption lets a change pass a freeze, slowly.
type Exemption struct {
	Name        string          `json:"name"`
	When        string          `json:"when"`                  // CEL condition
	BudgetShare catalog.Percent `json:"budgetShare,omitempty"` // as in Level
	Approvals   int             `json:"approvals,omitempty"`
}

// Effect is what a policy does to a release.
type Effect string

// The effects, from the mildest.
const (
	Allow  Effect = "allow"  // go on as the environment says
	Slow   Effect = "slow"   // go on with a smaller share of the budget, perhaps with approval
	Freeze Effect = "freeze" // wait
)

var severity = map[Effect]int{Allow: 0, Slow: 1, Freeze: 2}

// Default is the built-in policy.
func Default() Spec {
	return Spec{
		Description: "free above half the budget, slow below, frozen but for fixes once it is spent",
		Levels: []Level{
			{Name: "plentiful", When: "remaining > 0.5", Effect: Allow, BudgetShare: 2},
			{Name: "low", When: "remaining > 0", Effect: Slow, BudgetShare: 0.5, Approvals: 1},
			{Name: "exhausted", When: "true", Effect: Freeze},
		},
		Exemptions: []Exemption{
			{Name: "fixes", When: `marked in ["fix", "security"]`, BudgetShare: 0.5},
			{Name: "going back", When: `kind == "rollback"`, BudgetShare: 0.5},
		},
	}
}

// Kinds declares the room's kind.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(KindBudgetPolicy, resource.Options[Spec]{
		Summary:  "what follows from what is left of an error budget: go on, go slower, or freeze",
		Validate: validate,
	})}
}

// Bounds on one policy.
const (
	maxLevels = 20
)

func validate(c *resource.Checker, s *Spec) {
	if len(s.Levels) == 0 {
		c.Errorf("levels", "required", "a policy has levels, such as {name: exhausted, when: remaining <= 0, effect: freeze}")
		return
	}
	if len(s.Levels)+len(s.Exemptions) > maxLevels {
		c.Errorf("levels", "too-many", "%d levels and exemptions; at most %d", len(s.Levels)+len(s.Exemptions), maxLevels)
		return
	}
	names := map[string]bool{}
	for i, l := range s.Levels {
		at := fmt.Sprintf("levels[%d].", i)
		if _, ok := severity[l.Effect]; !ok {
			c.Errorf(at+"effect", "enum", "effect is %q; it must be allow, slow or freeze", l.Effect)
		}
		checkRule(c, at, l.Name, l.When, l.BudgetShare, l.Approvals, names)
	}
	for i, e := range s.Exemptions {
		checkRule(c, fmt.Sprintf("exemptions[%d].", i), e.Name, e.When, e.BudgetShare, e.Approvals, names)
	}
	if at, ok := uncovered(*s); ok {
		c.Warnf("levels", "uncovered", "no level holds at remaining = %g, so such a budget allows everything; end with a level whose condition is true", at)
	}
}

func checkRule(c *resource.Checker, at, name, when string, share catalog.Percent, approvals int, names map[string]bool) {
	if name == "" {
		c.Errorf(at+"name", "required", "a name is required: reasons refer to it")
	}
	if names[name] {
		c.Errorf(at+"name", "duplicate-name", "%q is used twice; reasons refer to it", name)
	}
	names[name] = true
	if err := language.Check(when); err != nil {
		c.Errorf(at+"when", "condition", "%s", err)
	}
	if share < 0 || share > 100 {
		c.Errorf(at+"budgetShare", "range", "budgetShare is %s; it must be between 0%% and 100%%", share)
	}
	if approvals < 0 || approvals > 10 {
		c.Errorf(at+"approvals", "range", "approvals is %d; it must be between 0 and 10", approvals)
	}
}

// uncovered looks for a budget that no level speaks about, among samples.
func uncovered(s Spec) (remaining float64, found bool) {
	for _, r := range []float64{1, 0.75, 0.5, 0.25, 0.1, 0.01, 0, -0.01, -1, -100} {
		f := Facts{Budget: Budget{Remaining: r, Level: levelOf(r)}}
		for _, l := range s.Levels {
			if ok, err := holds(l.When, f); ok || err != nil {
				f.Level = "covered"
			}
		}
		if f.Level != "covered" {
			return r, true
		}
	}
	return 0, false
}

func levelOf(remaining float64) string {
	switch {
	case remaining <= 0:
		return "exhausted"
	case remaining <= 0.5:
		return "low"
	}
	return "plentiful"
}
