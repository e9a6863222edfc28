package policy

import (
	"context"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Override is one override as recorded.
type Override struct {
	ID string `json:"id"` // of the event
	Overridden
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	RevokedBy string    `json:"revoked_by,omitempty"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	Why       string    `json:"revoked_because,omitempty"`
}

// Active reports whether the override holds at an instant.
func (o Override) Active(now time.Time) bool {
	return !now.Before(o.At) && now.Before(o.Expires) && o.RevokedAt.IsZero()
}

// Covers reports whether the override lifts a rule at an instant.
func (o Override) Covers(rule string, now time.Time) bool { return o.Rule == rule && o.Active(now) }

// Overrides are those of one service in one environment, oldest first; of the
// ones that are over, the newest fifty are kept.
type Overrides struct {
	Service     string     `json:"service"`
	Environment string     `json:"environment"`
	Items       []Override `json:"items"`
}

const keepOverrides = 50

// ActiveAt lists the overrides that hold at an instant.
func (o Overrides) ActiveAt(now time.Time) []Override {
	var out []Override
	for _, v := range o.Items {
		if v.Active(now) {
			out = append(out, v)
		}
	}
	return out
}

// ProjectionName is where overrides are folded, keyed SERVICE.ENVIRONMENT and
// indexed by "service" and "all" in order of the newest.
const ProjectionName = "override"

// markName is where changes' marks are folded, keyed by change.
const markName = "policy.mark"

// Key is the key of a service in an environment.
func Key(service, environment string) string { return service + "." + environment }

// Projections folds overrides.
func Projections() []*projection.Projection {
	marks := projection.Define(projection.Fold[string]{
		Name: markName, Version: 1, Types: []string{"change.marked"},
		Keys: func(e event.Event) []string {
			d, err := event.Decode[marked](e)
			if err != nil || d.Change == "" {
				return nil
			}
			return []string{d.Change}
		},
		Apply: func(_, _ string, e event.Event) (string, error) {
			d, err := event.Decode[marked](e)
			return d.As, err
		},
	})
	overrides := projection.Define(projection.Fold[Overrides]{
		Name: ProjectionName, Version: 1, Types: []string{EventOverridden, EventRevoked},
		Keys: func(e event.Event) []string {
			d, err := event.Decode[Revoked](e)
			if err != nil || d.Service == "" {
				return nil
			}
			return []string{Key(d.Service, d.Environment)}
		},
		Apply: apply,
		Indexes: func(_ string, s Overrides) []projection.Index {
			var newest time.Time
			for _, v := range s.Items {
				newest = v.At
			}
			at := fmt.Sprintf("%020d", newest.UnixMicro())
			return []projection.Index{{Name: "service", Value: s.Service, Sort: at}, {Name: "all", Value: "yes", Sort: at}}
		},
	})
	return []*projection.Projection{overrides, marks}
}

// marked is the part of change.marked that a policy asks about.
type marked struct {
	Change string `json:"change"`
	As     string `json:"as"`
}

func apply(_ string, s Overrides, e event.Event) (Overrides, error) {
	items := append([]Override(nil), s.Items...)
	switch e.Type {
	case EventOverridden:
		d, err := event.Decode[Overridden](e)
		if err != nil {
			return s, err
		}
		s.Service, s.Environment = d.Service, d.Environment
		items = append(items, Override{ID: e.ID, Overridden: d, By: e.Actor, At: e.Time})
		if n := len(items) - keepOverrides; n > 0 {
			items = items[n:]
		}
	case EventRevoked:
		d, err := event.Decode[Revoked](e)
		if err != nil {
			return s, err
		}
		for i := range items {
			if items[i].Rule == d.Rule && items[i].Active(e.Time) {
				items[i].RevokedAt, items[i].RevokedBy, items[i].Why = e.Time, e.Actor, d.Reason
			}
		}
	}
	s.Items = items
	return s, nil
}

// ActiveOverrides reads the overrides that hold for a service in an environment.
func ActiveOverrides(ctx context.Context, r projection.Reader, service, environment string, now time.Time) ([]Override, error) {
	s, _, err := projection.Get[Overrides](ctx, r, ProjectionName, Key(service, environment))
	return s.ActiveAt(now), err
}
