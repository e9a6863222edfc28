package change

import (
	"context"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Change is the folded state of one change.
type Change struct {
	Pushed
	Author   string    `json:"author"`  // of the newest commit
	Subject  string    `json:"subject"` // of the newest commit
	PushedAt time.Time `json:"pushed_at"`
	Event    string    `json:"event"` // ID of change.pushed
	Mark     *Mark     `json:"mark,omitempty"`
}

// Mark is what somebody said a change is for.
type Mark struct {
	As     string    `json:"as"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Branch is what was last pushed for a service.
type Branch struct {
	Commit string `json:"commit"`
	Change string `json:"change"`
}

// The projections, keyed by change and by service.
const (
	ProjectionName = "change"
	branchName     = "branch"
)

// Projections folds changes, indexed by "service" and "all" in order of push.
func Projections() []*projection.Projection {
	changes := projection.Define(projection.Fold[Change]{
		Name: ProjectionName, Version: 1, Types: []string{"change."},
		Keys: func(e event.Event) []string {
			d, err := event.Decode[Marked](e)
			if err != nil || d.Change == "" {
				return nil
			}
			return []string{d.Change}
		},
		Apply: apply,
		Indexes: func(_ string, c Change) []projection.Index {
			at := fmt.Sprintf("%020d", c.PushedAt.UnixMicro())
			return []projection.Index{{Name: "service", Value: c.Service, Sort: at}, {Name: "all", Value: "yes", Sort: at}}
		},
	})
	branches := projection.Define(projection.Fold[Branch]{
		Name: branchName, Version: 1, Types: []string{EventPushed},
		Keys: func(e event.Event) []string {
			d, err := event.Decode[Pushed](e)
			if err != nil || d.Service == "" {
				return nil
			}
			return []string{d.Service}
		},
		Apply: func(_ string, _ Branch, e event.Event) (Branch, error) {
			d, err := event.Decode[Pushed](e)
			return Branch{Commit: d.Commit, Change: d.Change}, err
		},
	})
	return []*projection.Projection{changes, branches}
}

func apply(_ string, c Change, e event.Event) (Change, error) {
	switch e.Type {
	case EventPushed:
		d, err := event.Decode[Pushed](e)
		if err != nil {
			return c, err
		}
		c.Pushed, c.PushedAt, c.Event = d, e.Time, e.ID
		if len(d.Commits) > 0 {
			c.Author, c.Subject = d.Commits[0].Author, d.Commits[0].Subject
		}
	case EventMarked:
		d, err := event.Decode[Marked](e)
		if err != nil {
			return c, err
		}
		c.Mark = &Mark{As: d.As, Reason: d.Reason, By: e.Actor, At: e.Time}
	}
	return c, nil
}

// Get reads one change.
func Get(ctx context.Context, r projection.Reader, name string) (Change, bool, error) {
	return projection.Get[Change](ctx, r, ProjectionName, name)
}
