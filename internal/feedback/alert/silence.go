package alert

import (
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Silence holds alerts back from people for a time. It does not acknowledge
// them: what still fires when it ends, pages then.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  []Matcher `json:"matchers"`
	StartsAt  time.Time `json:"starts_at"`
	EndsAt    time.Time `json:"ends_at"`
	CreatedBy string    `json:"created_by"`
	Comment   string    `json:"comment"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// State is pending, active or expired, in Alertmanager's words.
func (s Silence) State(now time.Time) string {
	switch {
	case !now.Before(s.EndsAt):
		return "expired"
	case now.Before(s.StartsAt):
		return "pending"
	}
	return "active"
}

// silenceName is where silences are folded, keyed by ID and indexed by "all"
// in order of their end.
const silenceName = "silence"

func silences() *projection.Projection {
	return projection.Define(projection.Fold[Silence]{
		Name: silenceName, Version: 1, Types: []string{"silence."},
		Keys: func(e event.Event) []string {
			s, err := event.Decode[Silence](e)
			if err != nil || s.ID == "" {
				return nil
			}
			return []string{s.ID}
		},
		Apply: func(_ string, s Silence, e event.Event) (Silence, error) {
			next, err := event.Decode[Silence](e)
			if e.Type == EventSilenceExpired {
				s.EndsAt, s.UpdatedAt = next.EndsAt, e.Time
				return s, err
			}
			next.UpdatedAt = e.Time
			return next, err
		},
		Indexes: func(_ string, s Silence) []projection.Index {
			return []projection.Index{{Name: "all", Value: "yes", Sort: s.EndsAt.UTC().Format("20060102T150405.000000000")}}
		},
	})
}
