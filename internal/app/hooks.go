package app

import (
	"context"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// hooks are the questions that other deliverers ask as webhooks (docs/gate.md).
// Flagger goes back when a hook of type rollback answers 2xx, hence the two
// paths that turn the answer round.
func hooks(ops []operation.Operation) []api.Hook {
	gate, judging := byName(ops, "gate.show"), byName(ops, "judge.show")
	return []api.Hook{
		{Path: "/api/v1/gate", Operation: gate, Name: "service", Goes: func(out any) (bool, string) {
			g := out.(policy.GateAnswer)
			return g.Allowed, g.Tell()
		}},
		{Path: "/api/v1/gate/rollback", Operation: gate, Name: "service", Goes: func(out any) (bool, string) {
			g := out.(policy.GateAnswer)
			return !g.Allowed, "no reason to go back: " + g.Tell()
		}},
		{Path: "/api/v1/judge", Operation: judging, Goes: judged(judge.On)},
		{Path: "/api/v1/judge/rollback", Operation: judging, Goes: judged(judge.Back)},
	}
}

// judged goes with one verdict.
func judged(verdict judge.Verdict) func(any) (bool, string) {
	return func(out any) (bool, string) {
		j := out.(rollout.Ruling)
		return j.Verdict == verdict, j.Tell()
	}
}

// court judges the canaries of others, on the metrics sources that are known.
func (a *App) court() *rollout.Court {
	return &rollout.Court{Clock: a.cfg.Clock, Counter: func(ctx context.Context, source string) (metric.Counter, error) { return a.feeder.Counter(ctx, source) }}
}
