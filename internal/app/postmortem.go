package app

import (
	"context"

	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// story tells an incident to whoever writes it up: its timeline, and what it
// spent of the error budgets.
func (a *App) story(ctx context.Context, name string) (postmortem.Story, error) {
	var out postmortem.Story
	i, ok, err := incident.Get(ctx, operation.Reader(ctx, a.env.Reader), name)
	if err != nil || !ok {
		if err == nil {
			err = problem.New(problem.NotFound, "postmortem.story", "there is no incident named %q", name)
		}
		return out, err
	}
	at, _ := operation.At(ctx)
	entries, err := incident.Timeline(ctx, a.log, i, at)
	if err != nil {
		return out, err
	}
	for _, e := range entries {
		if e.Type == incident.EventLinked {
			continue // what was linked stands there itself
		}
		out.Entries = append(out.Entries, postmortem.Entry{At: e.At, Type: e.Type, Actor: e.Actor, Text: e.Text})
	}
	costs, err := a.parts.books.Incident(ctx, i.Service, i.Environment, i.Place.Incident)
	for _, c := range costs {
		out.Costs = append(out.Costs, postmortem.Cost{Objective: c.Objective, Bad: float64(c.Bad) / float64(max(1, c.Scale)), Budget: c.Budget, From: c.From, To: c.To})
	}
	return out, err
}
