package policy

import "github.com/flyball-dev/flyball/internal/catalog/condition"

// language is what conditions may ask about; see Facts.
var language = condition.New("remaining > 0.5", map[string]condition.Type{
	"remaining": condition.Number, "burn_1h": condition.Number, "allowed": condition.Number, "bad_left": condition.Number,
	"level": condition.Text, "objective": condition.Text, "service": condition.Text, "team": condition.Text,
	"environment": condition.Text, "change": condition.Text, "marked": condition.Text, "kind": condition.Text,
})

// holds evaluates a condition over facts.
func holds(when string, f Facts) (bool, error) {
	return language.Holds(when, map[string]any{
		"remaining": f.Remaining, "burn_1h": f.Burn1h, "allowed": f.Allowed, "bad_left": f.BadLeft,
		"level": f.Level, "objective": f.Key,
		"service": f.Service, "team": f.Team, "environment": f.Environment,
		"change": f.Change.Change, "marked": f.Change.Marked, "kind": f.Change.Kind,
	})
}
