package oncall

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Recorded is an override of a schedule as recorded.
type Recorded struct {
	ID string `json:"id" doc:"what oncall cancel takes"`
	Overridden
	By string `json:"by"`
}

// Book is the overrides of one schedule in the order in which they were
// recorded, without those that were over for a month when another was.
type Book struct {
	Overrides []Recorded `json:"overrides"`
}

const (
	keepOver   = 31 * 24 * time.Hour
	maxInABook = 2000
)

// ProjectionName is where overrides are folded, keyed by schedule.
const ProjectionName = "oncall"

// Projection folds overrides.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Book]{
		Name: ProjectionName, Version: 1, Types: []string{EventOverridden, EventCancelled},
		Keys: func(e event.Event) []string {
			d, err := event.Decode[Cancelled](e)
			if err != nil || d.Schedule == "" {
				return nil
			}
			return []string{d.Schedule}
		},
		Apply: func(_ string, b Book, e event.Event) (Book, error) { return b.apply(e) },
	})
}

func (b Book) apply(e event.Event) (Book, error) {
	if e.Type == EventCancelled {
		c, err := event.Decode[Cancelled](e)
		b.Overrides = slices.DeleteFunc(slices.Clone(b.Overrides), func(r Recorded) bool { return r.ID == c.Override })
		return b, err
	}
	o, err := event.Decode[Overridden](e)
	if err != nil {
		return b, err
	}
	kept := slices.DeleteFunc(slices.Clone(b.Overrides), func(r Recorded) bool { return e.Time.Sub(r.End) > keepOver })
	kept = append(kept, Recorded{ID: overrideID(e.Position), Overridden: o, By: e.Actor})
	b.Overrides = kept[max(0, len(kept)-maxInABook):]
	return b, nil
}

// overrideID names an override by the position of its fact.
func overrideID(position int64) string { return "o" + strconv.FormatInt(position, 10) }

// Stints is the overrides for arithmetic.
func (b Book) Stints() []Stint {
	var out []Stint
	for _, r := range b.Overrides {
		out = append(out, Stint{ID: r.ID, Start: r.Start, End: r.End, Person: r.Person, Replaces: r.Replaces, Reason: r.Reason})
	}
	return out
}

// Overrides reads those of a schedule.
func Overrides(ctx context.Context, r projection.Reader, schedule string) ([]Recorded, error) {
	b, _, err := projection.Get[Book](ctx, r, ProjectionName, schedule)
	return b.Overrides, err
}
