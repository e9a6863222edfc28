package app

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/probe"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
	"github.com/flyball-dev/flyball/internal/port/measure"
)

// sources answers what controllers and gates ask for.
func (a *App) sources() map[string]control.Source {
	return map[string]control.Source{
		"arms":                a.arms,
		"workload":            a.workloads,
		"traffic":             a.split,
		"objective":           a.watcher.Source,
		"budget":              policy.Source(a.env.Reader, a.budgets()),
		oncall.SourceName:     oncall.Source(a.env.Reader),
		postmortem.SourceName: postmortem.Source(a.env.Reader, a.story),
	}
}

// arms gives the counts of both revisions of a rollout since a moment.
func (a *App) arms(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args, ok := r.Args.(rollout.ArmsArgs)
	if !ok {
		return control.Reading{}, problem.New(problem.Internal, "app.arms", "arguments are a %T", r.Args)
	}
	out := rollout.Arms{From: args.From, Until: args.From, WidthSeconds: 1, ThresholdsNS: args.Thresholds}
	until, known := a.collector.Watermark(args.Service, args.Environment)
	if known && until.After(args.From) {
		if limit := args.From.Add(rollout.MaxBins * time.Second); until.After(limit) {
			until, out.More = limit, true
		}
		baseline, err := a.collector.Bins(ctx, args.Service, args.Environment, args.Baseline, args.From, until)
		if err != nil {
			return control.Reading{}, err
		}
		canary, err := a.collector.Bins(ctx, args.Service, args.Environment, args.Canary, args.From, until)
		if err != nil {
			return control.Reading{}, err
		}
		out.Until, out.Bins = until, pair(baseline, canary, args.Thresholds)
	}
	data, err := json.Marshal(out)
	return control.Reading{From: out.From, To: out.Until, Complete: known, Data: data}, err
}

// pair lays the bins of two revisions side by side, second by second.
func pair(baseline, canary []measure.Bin, thresholds []int64) []rollout.ArmsBin {
	at := map[int64]*rollout.ArmsBin{}
	var order []int64
	add := func(bins []measure.Bin, arm func(*rollout.ArmsBin) *rollout.Counts) {
		for _, b := range bins {
			k := b.Time.Unix()
			if at[k] == nil {
				at[k] = &rollout.ArmsBin{Time: b.Time.UTC().Truncate(time.Second)}
				order = append(order, k)
			}
			c := arm(at[k])
			c.Requests += b.Requests - b.Aborted
			c.Errors += b.Errors
			if c.Slow == nil && len(thresholds) > 0 {
				c.Slow = make([]int64, len(thresholds))
			}
			for i, t := range thresholds {
				for _, s := range b.Slow {
					if int64(s.Threshold) == t {
						c.Slow[i] += min(s.Count, b.Requests-b.Aborted)
					}
				}
			}
		}
	}
	add(baseline, func(b *rollout.ArmsBin) *rollout.Counts { return &b.Baseline })
	add(canary, func(b *rollout.ArmsBin) *rollout.Counts { return &b.Canary })
	slices.Sort(order)
	out := make([]rollout.ArmsBin, len(order))
	for i, k := range order {
		out[i] = *at[k]
	}
	return out
}

// goals is what canaries of a place are judged by: its objectives that the
// proxy counts, errors first, then latencies in order of threshold.
func (a *App) goals(service, environment string) []rollout.Goal {
	var errors, slow []rollout.Goal
	for _, s := range a.watcher.Snapshots(service, environment) {
		o := s.Objective
		g := rollout.Goal{Objective: o.Name, Target: o.Target.Float64()}
		switch o.Indicator.Kind {
		case slo.Availability:
			g.Name = "errors"
			errors = append(errors, g)
		case slo.Latency:
			if o.IndicatorID() != "" {
				continue // counted elsewhere, not per revision
			}
			g.ThresholdNS = int64(o.Indicator.Threshold.Float64() * float64(time.Second))
			g.Name = "slower than " + time.Duration(g.ThresholdNS).String()
			slow = append(slow, g)
		}
	}
	// Errors are one metric, however many objectives there are: the strictest.
	slices.SortStableFunc(errors, func(x, y rollout.Goal) int { return cmp.Compare(y.Target, x.Target) })
	slices.SortStableFunc(slow, func(x, y rollout.Goal) int {
		return cmp.Or(cmp.Compare(x.ThresholdNS, y.ThresholdNS), cmp.Compare(y.Target, x.Target))
	})
	slow = slices.CompactFunc(slow, func(x, y rollout.Goal) bool { return x.ThresholdNS == y.ThresholdNS })
	return append(errors[:min(1, len(errors))], slow...)
}

type place struct{ service, environment string }

func placeOf(r control.Request) place {
	args, _ := r.Args.(map[string]string)
	return place{args["service"], args["environment"]}
}

// workloads tells how the revisions of a place are. A runtime that cannot be
// reached is not known, which is not a failure of what runs on it.
func (a *App) workloads(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
	p := placeOf(r)
	list, err := a.ports.Runtime.Observe(ctx, p.service, p.environment)
	if problem.KindOf(err) == problem.Unavailable {
		return control.Reading{From: now, To: now, Data: json.RawMessage("[]")}, nil
	}
	if err != nil {
		return control.Reading{}, err
	}
	data, err := json.Marshal(list)
	return control.Reading{From: now, To: now, Complete: true, Data: data}, err
}

// split tells how a place's traffic is shared.
func (a *App) split(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
	p := placeOf(r)
	list, err := a.ports.Router.Observe(ctx, p.service, p.environment)
	if problem.KindOf(err) == problem.Unavailable || err == nil && len(list) == 0 {
		return control.Reading{From: now, To: now, Data: json.RawMessage("null")}, nil
	}
	if err != nil {
		return control.Reading{}, err
	}
	data, err := json.Marshal(list[0])
	return control.Reading{From: now, To: now, Complete: true, Data: data}, err
}

// observe passes stored counts on to the objectives.
func (a *App) observe(bins []measure.Bin) {
	for _, b := range bins {
		m := signal.Of(b)
		if err := a.watcher.Count(b.Service, b.Environment, m.Time, m.Requests, m.Bad, m.Slow); err != nil {
			a.cfg.Logger.Warn("a count was not taken", "service", b.Service, "error", err)
		}
	}
}

// minutes gives the objectives' history.
func (a *App) minutes(ctx context.Context, service, environment string, from, until time.Time, add func(at time.Time, requests, bad int64, slow map[int64]int64)) error {
	list, err := a.collector.Minutes(ctx, service, environment, from, until)
	for _, m := range list {
		add(m.Time, m.Requests, m.Bad, m.Slow)
	}
	return err
}

// collect moves the objectives' time and takes new counts.
func (a *App) collect(ctx context.Context) error {
	// Time first: after a jump of the clock, new counts are not ahead of it.
	a.watcher.Tick(a.cfg.Clock.Now())
	return a.watcher.Feed(ctx, func() error {
		_, err := a.collector.Pull(ctx)
		return err
	})
}

// followDeclarations keeps objectives as declared.
func (a *App) followDeclarations(ctx context.Context) error {
	head, err := a.log.Head(ctx)
	if err != nil {
		return err
	}
	position := head.Position
	for {
		if err := a.log.Wait(ctx, position); err != nil {
			return err
		}
		if position, err = a.redeclare(ctx, position); err != nil {
			return err
		}
	}
}

// redeclare follows what was declared after a position, up to the one returned.
func (a *App) redeclare(ctx context.Context, position int64) (int64, error) {
	declared := false
	for {
		events, err := a.log.Read(ctx, event.Query{After: position, Limit: 1000})
		if err != nil {
			return position, err
		}
		for _, e := range events {
			declared = declared || event.Matches(slo.Declaring, e.Type)
			position = e.Position
		}
		if len(events) == 0 {
			break
		}
	}
	if !declared {
		return position, nil
	}
	if err := a.sync(ctx); err != nil {
		return position, err
	}
	return position, a.watcher.Declare(ctx, a.cfg.Clock.Now())
}

// refresh renews the lease of every canary that is moving: while this server
// is alive, canaries keep their share.
func (a *App) refresh(ctx context.Context) error {
	moving, _, err := projection.List[rollout.Rollout](ctx, a.env.Reader, rollout.ProjectionName, projection.Filter{Index: "moving", Value: "yes", Limit: 1000})
	if err != nil {
		return err
	}
	for _, r := range moving {
		if r.Phase != rollout.PhaseJudging && r.Phase != rollout.PhaseShifting {
			continue
		}
		// A lease that has lapsed is a conflict; the rollout sees it in its readings.
		if err := a.ports.Router.Refresh(ctx, r.Service, r.Environment); err != nil && problem.KindOf(err) != problem.Conflict && problem.KindOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}

// Retention of signals.
const (
	keepBins    = 3 * 24 * time.Hour
	keepMinutes = 100 * 24 * time.Hour
)

func (a *App) prune(ctx context.Context) error {
	now := a.cfg.Clock.Now()
	if err := a.watcher.Slots.Prune(ctx, now.Add(-keepMinutes)); err != nil {
		return err
	}
	if _, err := a.ports.Store.Blobs().Prune(ctx, probe.Prefix, now.Add(-keepMinutes)); err != nil {
		return err
	}
	return a.collector.Prune(ctx, now.Add(-keepBins), now.Add(-keepMinutes))
}
