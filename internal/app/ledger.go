package app

import (
	"context"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
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
				if len(o.Parts) > 0 {
					continue // its parts have the ledgers
				}
				if (service == "" || o.Service == service) && (environment == "" || o.Environment == environment) {
					out = append(out, o)
				}
			}
			return out
		},
		Counts: a.counts,
	}
}

// measured names the environments in which a service has objectives, sorted.
func (a *App) measured(service string) []string {
	var names []string
	for _, o := range a.engine.Objectives() {
		if o.Service == service && !slices.Contains(names, o.Environment) {
			names = append(names, o.Environment)
		}
	}
	slices.Sort(names)
	return names
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
	var threshold int64
	switch o.Indicator.Kind {
	case slo.Availability:
	case slo.Latency:
		threshold = int64(o.Indicator.Threshold.Float64() * float64(time.Second))
	default:
		raw, err = a.watcher.History(ctx, o.Key(), from, until)
		return raw, nil, err
	}
	bad := func(m signal.Minute) int64 {
		if threshold > 0 {
			return min(m.Slow[threshold], m.Requests)
		}
		return m.Bad
	}
	minutes, revisions, err := a.collector.History(ctx, o.Service, o.Environment, from, until)
	if err != nil {
		return nil, nil, err
	}
	raw = slo.NewSeries(time.Minute, 0)
	for _, m := range minutes {
		// A minute that cannot be is left out: it stays a gap.
		_ = raw.Add(m.Time, m.Requests-bad(m), m.Requests)
	}
	arms = make([]budget.Minute, 0, len(minutes))
	for _, m := range revisions {
		if last := len(arms) - 1; last < 0 || !arms[last].Time.Equal(m.Time) {
			arms = append(arms, budget.Minute{Time: m.Time})
		}
		last := &arms[len(arms)-1]
		last.Arms = append(last.Arms, budget.Arm{Revision: m.Revision, Total: m.Requests, Bad: bad(m.Minute)})
	}
	return raw, arms, nil
}
