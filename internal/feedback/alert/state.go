package alert

import (
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Alert is one alert as folded: of an integration or of an objective.
type Alert struct {
	Fired
	Objective      string      `json:"objective,omitempty"`
	State          string      `json:"state" doc:"firing, acknowledged or resolved"`
	FiredAt        time.Time   `json:"fired_at" doc:"when it last began to fire"`
	AcknowledgedAt time.Time   `json:"acknowledged_at,omitzero"`
	ResolvedAt     time.Time   `json:"resolved_at,omitzero"`
	Changes        []time.Time `json:"changes,omitempty" doc:"when it last began or ended, newest last"`
	Missing        []string    `json:"missing,omitempty" doc:"what an alert should have and this one has not: runbook, owner"`
}

// The states of an alert.
const (
	StateFiring       = "firing"
	StateAcknowledged = "acknowledged"
	StateResolved     = "resolved"
)

// An alert flaps when it began or ended at least so many times in so long.
const (
	flapChanges = 6
	flapWithin  = time.Hour
)

// Flapping reports whether the alert comes and goes.
func (a Alert) Flapping(now time.Time) bool {
	n := 0
	for _, at := range a.Changes {
		if now.Sub(at) < flapWithin {
			n++
		}
	}
	return n >= flapChanges
}

// ProjectionName is where alerts are folded, keyed by ID and indexed by
// "state" (open or resolved), "service", "all", and "finding" for those that fire
// and lack something, in order of their beginning.
const ProjectionName = "alert"

// Projections folds alerts, integrations and silences.
func Projections() []*projection.Projection {
	alerts := projection.Define(projection.Fold[Alert]{
		Name: ProjectionName, Version: 2, Types: []string{"alert."},
		Keys: func(e event.Event) []string {
			if id, ok := strings.CutPrefix(e.Subject, "alert/"); ok {
				return []string{id}
			}
			f, err := event.Decode[struct {
				Alert string `json:"alert"`
			}](e)
			if err != nil || f.Alert == "" {
				return nil
			}
			return []string{f.Alert}
		},
		Apply: func(_ string, a Alert, e event.Event) (Alert, error) { return a.apply(e) },
		Indexes: func(_ string, a Alert) []projection.Index {
			at := a.FiredAt.UTC().Format("20060102T150405.000000")
			state := "open"
			if a.State == StateResolved {
				state = StateResolved
			}
			out := []projection.Index{{Name: "state", Value: state, Sort: at}, {Name: "service", Value: a.Service, Sort: at}, {Name: "all", Value: "yes", Sort: at}}
			if len(a.Missing) > 0 && a.State != StateResolved {
				out = append(out, projection.Index{Name: "finding", Value: "yes", Sort: at})
			}
			return out
		},
	})
	return []*projection.Projection{alerts, integrations(), silences()}
}

func (a Alert) apply(e event.Event) (Alert, error) {
	next, err := event.Decode[struct {
		Fired
		Objective string `json:"objective"`
	}](e)
	if err != nil {
		return a, err
	}
	was := a.State
	a.Fired, a.Objective = next.Fired, next.Objective
	switch e.Type {
	case EventFired:
		if was != StateFiring && was != StateAcknowledged {
			a.FiredAt, a.AcknowledgedAt, a.ResolvedAt = e.Time, time.Time{}, time.Time{}
			a.State = StateFiring
			a.changed(e.Time)
		}
	case EventSnoozed:
		a.Severity, a.Suppressed = None, []string{snoozed}
	case EventAcknowledged:
		a.State, a.AcknowledgedAt = StateAcknowledged, e.Time
	case EventResolved:
		a.State, a.ResolvedAt = StateResolved, e.Time
		a.changed(e.Time)
	}
	a.Missing = nil
	if a.Runbook == "" && a.Integration != "" {
		a.Missing = append(a.Missing, "runbook")
	}
	if a.Team == "" {
		a.Missing = append(a.Missing, "owner")
	}
	return a, nil
}

func (a *Alert) changed(at time.Time) {
	a.Changes = append(slices.Clone(a.Changes), at)
	a.Changes = a.Changes[max(0, len(a.Changes)-flapChanges):]
}

// Name is what people call the alert: its alertname, else its first line.
func (a Alert) Name() string {
	return first(a.Labels["alertname"], a.Objective, strings.SplitN(a.Explanation, "\n", 2)[0], a.Alert)
}
