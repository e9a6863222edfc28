package support

import (
	"maps"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Standing is how a service in an environment stands to its agreement.
type Standing struct {
	Service     string           `json:"service"`
	Environment string           `json:"environment"`
	Team        string           `json:"team"` // that owns the service
	Budgets     map[string]Level `json:"budgets,omitempty"`
	Pages       []time.Time      `json:"pages,omitempty"` // of the last week and the one before it, oldest first
	HandedBack  bool             `json:"handed_back"`
	Since       time.Time        `json:"since,omitzero"` // on-call moved last
	Reason      string           `json:"reason,omitempty"`
}

// Level is that of an objective's budget.
type Level struct {
	Exhausted bool      `json:"exhausted"`
	Since     time.Time `json:"since"`
}

// ProjectionName is where standings are folded, keyed SERVICE.ENVIRONMENT and
// indexed by "back" while on-call is with the developers.
const ProjectionName = "support"

// The facts of other rooms that standings are made of.
const (
	budgetChanged = "budget.changed"
	incidentPaged = "incident.paged"
)

// maxKept bounds the pages that are remembered.
const maxKept = 2 * maxPages

type foreign struct {
	Service     string   `json:"service"`
	Team        string   `json:"team"`
	Environment string   `json:"environment"`
	Objective   string   `json:"objective"`
	Level       string   `json:"level"`
	Webhooks    int      `json:"webhooks"`
	People      []string `json:"people"`
}

// Key names a service in an environment.
func Key(service, environment string) string { return service + "." + environment }

func keysOf(e event.Event) []string {
	f, err := event.Decode[foreign](e)
	if err != nil || f.Service == "" || f.Environment == "" {
		return nil
	}
	return []string{Key(f.Service, f.Environment)}
}

// Projection folds standings.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Standing]{
		Name: ProjectionName, Version: 1, Types: []string{budgetChanged, incidentPaged, "support."}, Keys: keysOf,
		Apply: func(_ string, s Standing, e event.Event) (Standing, error) { return s.apply(e) },
		Indexes: func(key string, s Standing) []projection.Index {
			if !s.HandedBack {
				return nil
			}
			return []projection.Index{{Name: "back", Value: "yes", Sort: key}}
		},
	})
}

func (s Standing) apply(e event.Event) (Standing, error) {
	f, err := event.Decode[foreign](e)
	if err != nil {
		return s, err
	}
	s.Service, s.Environment = f.Service, f.Environment
	if f.Team != "" {
		s.Team = f.Team
	}
	switch e.Type {
	case budgetChanged:
		budgets := maps.Clone(s.Budgets)
		if budgets == nil {
			budgets = map[string]Level{}
		}
		if l := (Level{Exhausted: f.Level == "exhausted", Since: e.Time}); l.Exhausted != budgets[f.Objective].Exhausted || budgets[f.Objective].Since.IsZero() {
			budgets[f.Objective] = l
		}
		s.Budgets = budgets
	case incidentPaged:
		if f.Webhooks == 0 && len(f.People) == 0 {
			break
		}
		kept := slices.DeleteFunc(slices.Clone(s.Pages), func(t time.Time) bool { return e.Time.Sub(t) > 2*week })
		kept = append(kept, e.Time)
		slices.SortFunc(kept, time.Time.Compare)
		s.Pages = kept[max(0, len(kept)-maxKept):]
	case EventHandedBack, EventReturned:
		m, err := event.Decode[Moved](e)
		s.HandedBack, s.Since, s.Reason = e.Type == EventHandedBack, e.Time, m.Reason
		return s, err
	}
	return s, nil
}
