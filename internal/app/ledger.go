package app

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/control"
)

// books keeps the ledgers of error budgets.
func (a *App) books() *budget.Books {
	return &budget.Books{
		Log: a.log, Reader: a.env.Reader, Clock: a.cfg.Clock, Sync: a.sync,
		Objectives: func(service, environment string) []*slo.Objective {
			var out []*slo.Objective
			for _, o := range a.engine.Objectives() {
				if (service == "" || o.Service == service) && (environment == "" || o.Environment == environment) {
					out = append(out, o)
				}
			}
			return out
		},
		Counts: a.counts,
	}
}

// budgets measures budgets, with who spent those that are spent.
func (a *App) budgets() control.Source {
	return func(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
		return a.parts.books.Source(a.watcher.Budgets)(ctx, r, now)
	}
}

// counts gives an objective's minutes and, of what the proxy counts, those of
// each revision.
func (a *App) counts(ctx context.Context, o *slo.Objective, from, until time.Time) (raw *slo.Series, arms []budget.Minute, err error) {
	if raw, err = a.watcher.History(ctx, o.Key(), from, until); err != nil {
		return nil, nil, err
	}
	var threshold int64
	switch o.Indicator.Kind {
	case slo.Availability:
	case slo.Latency:
		threshold = int64(o.Indicator.Threshold.Float64() * float64(time.Second))
	default:
		return raw, nil, nil
	}
	revisions, err := a.collector.Revisions(ctx, o.Service, o.Environment, from, until)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range revisions {
		arm := budget.Arm{Revision: m.Revision, Total: m.Requests, Bad: m.Bad}
		if threshold > 0 {
			arm.Bad = min(m.Slow[threshold], m.Requests)
		}
		if last := len(arms) - 1; last < 0 || !arms[last].Time.Equal(m.Time) {
			arms = append(arms, budget.Minute{Time: m.Time})
		}
		last := &arms[len(arms)-1]
		last.Arms = append(last.Arms, arm)
	}
	return raw, arms, nil
}
