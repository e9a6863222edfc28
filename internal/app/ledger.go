package app

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// books keeps the ledgers of error budgets.
func (a *App) books() *budget.Books {
	return &budget.Books{
		Log: a.log, Reader: a.env.Reader, Clock: a.cfg.Clock, Sync: a.sync,
		Objectives: func(service, environment string) []*slo.Objective {
			var out []*slo.Objective
			for _, s := range a.watcher.Snapshots(service, environment) {
				out = append(out, s.Objective)
			}
			return out
		},
		Counts: a.counts,
	}
}

// counts gives an objective's minutes and, of what the proxy counts, those of
// each revision.
func (a *App) counts(ctx context.Context, o *slo.Objective, from, until time.Time) (raw, adjusted *slo.Series, arms []budget.Minute, err error) {
	var threshold int64
	switch o.Indicator.Kind {
	case slo.Availability:
	case slo.Latency:
		threshold = int64(o.Indicator.Threshold.Float64() * float64(time.Second))
	default:
		return nil, nil, nil, problem.New(problem.NotFound, "budget.show", "the counts of %s are not kept here", o.Key())
	}
	bad := func(m signal.Minute) int64 {
		if threshold > 0 {
			return min(m.Slow[threshold], m.Requests)
		}
		return m.Bad
	}
	minutes, err := a.collector.Minutes(ctx, o.Service, o.Environment, from, until)
	if err != nil {
		return nil, nil, nil, err
	}
	raw = slo.NewSeries(time.Minute, 0)
	for _, m := range minutes {
		// A minute that cannot be is left out: it stays a gap.
		_ = raw.Add(m.Time, m.Requests-bad(m), m.Requests)
	}
	revisions, err := a.collector.Revisions(ctx, o.Service, o.Environment, from, until)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, m := range revisions {
		last := len(arms) - 1
		if last < 0 || !arms[last].Time.Equal(m.Time) {
			arms = append(arms, budget.Minute{Time: m.Time})
			last++
		}
		arms[last].Arms = append(arms[last].Arms, budget.Arm{Revision: m.Revision, Total: m.Requests, Bad: bad(m.Minute)})
	}
	return raw, raw, arms, nil
}
