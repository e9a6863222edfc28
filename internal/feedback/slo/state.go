package slo

import (
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"strings"
)

// Status is what the log says of an objective: the level last recorded and the
// alerts that fire. The numbers themselves are signals and live in the Engine.
type Status struct {
	Objective string                  `json:"objective"`
	Level     string                  `json:"level,omitempty"`
	Firing    map[string]AlertChanged `json:"firing,omitempty"` // by policy and condition
	Past      []AlertChanged          `json:"past,omitempty"`   // resolved, newest last, at most maxPast
}

const maxPast = 50

// ProjectionName is where objectives' facts are folded, keyed by key.
const ProjectionName = "objective"

// Projection folds what happened to objectives.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Status]{
		Name: ProjectionName, Version: 1, Types: []string{EventBudgetChanged, EventAlertFired, EventAlertResolved},
		Keys: func(e event.Event) []string {
			if key, ok := strings.CutPrefix(e.Subject, "objective/"); ok {
				return []string{key}
			}
			return nil
		},
		Apply: func(key string, s Status, e event.Event) (Status, error) {
			s.Objective = key
			if e.Type == EventBudgetChanged {
				d, err := event.Decode[BudgetChanged](e)
				s.Level = d.Level
				return s, err
			}
			d, err := event.Decode[AlertChanged](e)
			firing := make(map[string]AlertChanged, len(s.Firing)+1)
			for k, v := range s.Firing {
				firing[k] = v
			}
			if e.Type == EventAlertFired {
				firing[d.rule()] = d
			} else {
				delete(firing, d.rule())
				past := append(s.Past[:len(s.Past):len(s.Past)], d)
				s.Past = past[max(0, len(past)-maxPast):]
			}
			s.Firing = firing
			return s, err
		},
	})
}

// rule is what fires: a condition of a policy, or a group with a severity,
// whichever of its conditions it is by.
func (a AlertChanged) rule() string {
	if a.Group != "" {
		return a.Severity + "|{" + a.Group + "}"
	}
	return a.Policy + "|" + a.Condition
}
