package maintenance

import (
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Record is what people did about a window of a name.
type Record struct {
	Window string     `json:"window"`
	Spec   WindowSpec `json:"spec,omitzero"`
	By     string     `json:"by,omitempty"` // who scheduled it; empty: it is declared in git
	Until  time.Time  `json:"until,omitzero"`
	Ends   []Ended    `json:"ends,omitempty"` // the newest fifty
}

const keepEnds = 50

// ProjectionName is where records are folded, keyed by name; those that were
// scheduled are indexed by "scheduled" in order of their end.
const ProjectionName = "maintenance"

// Projection folds what people did about windows.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Record]{
		Name: ProjectionName, Version: 1, Types: []string{"maintenance."},
		Keys: func(e event.Event) []string {
			p, err := event.Decode[struct {
				Window string `json:"window"`
			}](e)
			if err != nil || p.Window == "" {
				return nil
			}
			return []string{p.Window}
		},
		Apply: func(_ string, r Record, e event.Event) (Record, error) { return r.apply(e) },
		Indexes: func(_ string, r Record) []projection.Index {
			if r.By == "" {
				return nil
			}
			return []projection.Index{{Name: "scheduled", Value: "yes", Sort: r.Until.UTC().Format("20060102T150405")}}
		},
	})
}

func (r Record) apply(e event.Event) (Record, error) {
	switch e.Type {
	case EventScheduled:
		p, err := event.Decode[Planned](e)
		if err != nil {
			return r, err
		}
		r = Record{Window: p.Window, Spec: p.Spec, By: e.Actor, Ends: r.Ends}
		_, r.Until, err = p.Spec.bounds()
		return r, err
	case EventEnded:
		d, err := event.Decode[Ended](e)
		if err != nil {
			return r, err
		}
		d.By = e.Actor
		r.Window, r.Ends = d.Window, append(slices.Clone(r.Ends), d)
		r.Ends = r.Ends[max(0, len(r.Ends)-keepEnds):]
	}
	return r, nil
}
