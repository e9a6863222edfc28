package rollout

import (
	"context"
	"encoding/json"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// The action types of a rollout.
const (
	ActionEnsure  = "workload.ensure" // parameters EnsureParams
	ActionRemove  = "workload.remove" // parameters RefParams
	ActionShift   = "traffic.shift"   // parameters traffic.Split
	ActionUnroute = "traffic.remove"  // parameters RefParams
)

// CanaryLease is how long a canary keeps its share without being refreshed.
const CanaryLease = 15 * time.Second

// EnsureParams says what to run.
type EnsureParams struct {
	Started
}

// RefParams names a revision.
type RefParams struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
}

// Unpacker makes the files of an image available to a runtime.
type Unpacker func(ctx context.Context, digest string) (dir string, err error)

// Types declares the rollout's effects on workloads and traffic. Each says
// what is wanted, so that running it again changes nothing.
func Types(runtime workload.Runtime, router traffic.Router, unpack Unpacker) []control.Type {
	return []control.Type{
		{Name: ActionEnsure, Wish: true, Run: func(ctx context.Context, a action.Action) (any, error) {
			return nil, patient(a, ensure(ctx, a, runtime, unpack))
		}},
		{Name: ActionRemove, Wish: true, Run: func(ctx context.Context, a action.Action) (any, error) {
			var p RefParams
			if err := params(a, &p); err != nil {
				return nil, err
			}
			return nil, runtime.Remove(ctx, workload.Ref{Service: p.Service, Environment: p.Environment, Revision: p.Revision})
		}},
		{Name: ActionUnroute, Wish: true, Run: func(ctx context.Context, a action.Action) (any, error) {
			var p RefParams
			if err := params(a, &p); err != nil {
				return nil, err
			}
			return nil, router.Remove(ctx, p.Service, p.Environment)
		}},
		{Name: ActionShift, Wish: true, Run: func(ctx context.Context, a action.Action) (any, error) {
			var s traffic.Split
			if err := params(a, &s); err != nil {
				return nil, err
			}
			return nil, router.Shift(ctx, s)
		}},
	}
}

func ensure(ctx context.Context, a action.Action, runtime workload.Runtime, unpack Unpacker) error {
	var p EnsureParams
	if err := params(a, &p); err != nil {
		return err
	}
	dir, err := unpack(ctx, p.Digest)
	if err != nil {
		return err
	}
	return runtime.Ensure(ctx, workload.Revision{
		Ref:   workload.Ref{Service: p.Service, Environment: p.Environment, Revision: p.Revision},
		Image: p.Digest, Dir: dir, Command: p.Workload.Command, Env: p.Workload.Env, Instances: p.Workload.Instances,
		Readiness: workload.Readiness{Path: p.Workload.ReadyPath, Deadline: seconds(p.Plan.ReadySeconds)},
	})
}

// ensureTries is how often an effect may fail that was tried.
const ensureTries = 5

// patient gives up after a few tries, except while the runtime cannot be
// reached, the disk is full or another server leads: that says nothing about
// the revision, and passes.
func patient(a action.Action, err error) error {
	switch problem.KindOf(err) {
	case "", problem.Unavailable, problem.Conflict:
		return err
	}
	if a.Attempts+1 < ensureTries {
		return err
	}
	return problem.New(problem.Invalid, a.Type, "given up after %d tries: %w", a.Attempts+1, err)
}

func params(a action.Action, out any) error {
	if err := json.Unmarshal(a.Params, out); err != nil {
		return problem.New(problem.Invalid, a.Type, "parameters of %s: %w", a.ID, err)
	}
	return nil
}

// split is the traffic split in which the canary has a weight. While it has
// less than everybody, it is a lease.
func (r Rollout) split(weight int) traffic.Split {
	s := traffic.Split{
		Service: r.Service, Environment: r.Environment, Host: r.Route.Host, PathPrefix: r.Route.Path,
		Timeout: r.Route.TimeoutNS, Limit: r.Route.LimitNS, Stable: r.From,
		Shares: []traffic.Share{{Revision: r.From, Weight: whole - weight}, {Revision: r.Revision, Weight: weight}},
	}
	for _, g := range r.Plan.Objectives {
		if g.ThresholdNS > 0 {
			s.Thresholds = append(s.Thresholds, time.Duration(g.ThresholdNS))
		}
	}
	switch {
	case weight == whole, r.From == "", r.From == r.Revision:
		s.Stable, s.Shares = r.Revision, []traffic.Share{{Revision: r.Revision, Weight: whole}}
	case weight == 0:
		s.Shares = []traffic.Share{{Revision: r.From, Weight: whole}}
	default:
		s.Lease = CanaryLease
	}
	return s
}
