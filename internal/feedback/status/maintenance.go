package status

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Maintenance is planned work as users see it: an occurrence of a window that
// is declared public.
type Maintenance struct {
	Name       string    `json:"name"` // the same as long as the window and its beginning are
	Title      string    `json:"title"`
	Text       string    `json:"text,omitempty"`
	Components []string  `json:"components"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
}

// How far planned work is, in the words of Statuspage's API.
const (
	Scheduled  = "scheduled"
	InProgress = "in_progress"
	Completed  = "completed"
)

// Phase is how far it is.
func (m Maintenance) Phase(now time.Time) string {
	switch {
	case now.Before(m.From):
		return Scheduled
	case now.Before(m.To):
		return InProgress
	}
	return Completed
}

// Under reports whether a component is worked on.
func (m Maintenance) Under(component string, now time.Time) bool {
	return m.Phase(now) == InProgress && slices.Contains(m.Components, component)
}

// Bounds of what is read of planned work.
const (
	ahead          = 60 * 24 * time.Hour
	maxMaintenance = 100
)

// planned reads the public maintenance of a page's components, by beginning.
func planned(ctx context.Context, r projection.Reader, spec PageSpec, from, to, now time.Time) ([]Maintenance, error) {
	all, err := maintenance.List(ctx, r, from, to, now)
	if err != nil {
		return nil, err
	}
	var out []Maintenance
	for _, o := range all {
		if !o.Public || len(out) == maxMaintenance {
			continue
		}
		m := Maintenance{Name: "m" + draftID(o.ID)[1:], Title: cmp.Or(o.Title, o.Window), Text: o.Text, From: o.Start, To: o.End}
		covers := maintenance.WindowSpec{Services: o.Services, Teams: o.Teams, Environments: o.Environments}
		for _, c := range spec.Components {
			team, err := teamOf(ctx, r, c.Service)
			if err != nil {
				return nil, err
			}
			if c.Service != "" && covers.Covers(c.Service, team, c.Environment) {
				m.Components = append(m.Components, c.Name)
			}
		}
		if len(m.Components) > 0 {
			out = append(out, m)
		}
	}
	return out, nil
}

// teamOf is the owner of a service; empty for one that is not declared.
func teamOf(ctx context.Context, r projection.Reader, service string) (string, error) {
	s, err := catalog.GetService(ctx, r, service)
	if problem.KindOf(err) == problem.NotFound {
		err = nil
	}
	return s.Team, err
}
