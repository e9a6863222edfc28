package app

import (
	"context"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// Costs is what an incident spent of each objective's budget; budget.Books has
// it.
type Costs func(ctx context.Context, service, environment, incident string) ([]budget.Cost, error)

// Story tells an incident to whoever writes it up: its timeline, and what it
// spent of the error budgets.
func Story(log event.Log, reader projection.Reader, costs Costs) postmortem.Teller {
	return func(ctx context.Context, name string) (out postmortem.Story, err error) {
		i, ok, err := incident.Get(ctx, operation.Reader(ctx, reader), name)
		if err == nil && !ok {
			err = problem.New(problem.NotFound, "postmortem.story", "there is no incident named %q", name)
		}
		if err != nil {
			return out, err
		}
		at, _ := operation.At(ctx)
		entries, err := incident.Timeline(ctx, log, i, at)
		if err != nil {
			return out, err
		}
		for _, e := range entries {
			if e.Type == incident.EventLinked {
				continue // what was linked stands there itself
			}
			out.Entries = append(out.Entries, postmortem.Entry{At: e.At, Type: e.Type, Actor: e.Actor, Text: e.Text})
		}
		spent, err := costs(ctx, i.Service, i.Environment, i.Place.Incident)
		for _, c := range spent {
			out.Costs = append(out.Costs, postmortem.Cost{Objective: c.Objective, Bad: float64(c.Bad) / float64(max(1, c.Scale)), Budget: c.Budget, From: c.From, To: c.To})
		}
		return out, err
	}
}

// story tells incidents with the costs in this server's books.
func (a *App) story(ctx context.Context, name string) (postmortem.Story, error) {
	return Story(a.log, a.env.Reader, a.parts.books.Incident)(ctx, name)
}
