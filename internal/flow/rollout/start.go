package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// readyWithin is the longest a revision may take until it is ready.
const readyWithin = time.Minute

// Controller governs rollouts, keyed by name.
func Controller() control.Controller[Rollout] {
	return control.Controller[Rollout]{
		Name: "rollout",
		Wakes: func(e event.Event) []string {
			if e.Type == control.EventDecided {
				return nil
			}
			return Projection().Keys(e)
		},
		Active: active,
		Load: func(ctx context.Context, r projection.Reader, key string) (Rollout, error) {
			s, _, err := Get(ctx, r, key)
			// What only the picture needs is no input of a decision.
			s.Trace = nil
			return s, err
		},
		Needs:  needs,
		Decide: Decide,
	}
}

func active(ctx context.Context, r projection.Reader) ([]string, error) {
	page, err := r.List(ctx, ProjectionName, projection.Filter{Index: "moving", Value: "yes", Limit: 1000})
	keys := make([]string, len(page.Rows))
	for i, row := range page.Rows {
		keys[i] = row.Key
	}
	return keys, err
}

// ArmsArgs asks source "arms" for counts.
type ArmsArgs struct {
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Baseline    string    `json:"baseline"`
	Canary      string    `json:"canary"`
	From        time.Time `json:"from"`
	Thresholds  []int64   `json:"thresholds_ns,omitempty"`
}

func needs(_ string, r Rollout, _ time.Time) []control.Request {
	place := map[string]string{"service": r.Service, "environment": r.Environment, "change": r.Change}
	switch r.Phase {
	case PhaseStarting:
		return []control.Request{{Name: "workload", Source: "workload", Args: place}, {Name: "budget", Source: "budget", Args: place}}
	case PhaseJudging:
		from := r.JudgedUntil
		if from.IsZero() {
			from = r.ReadyAt.Truncate(time.Second)
		}
		var thresholds []int64
		for _, g := range r.Plan.Objectives {
			if g.ThresholdNS > 0 {
				thresholds = append(thresholds, g.ThresholdNS)
			}
		}
		return []control.Request{
			{Name: "arms", Source: "arms", Args: ArmsArgs{Service: r.Service, Environment: r.Environment, Baseline: r.From, Canary: r.Revision, From: from, Thresholds: thresholds}},
			{Name: "traffic", Source: "traffic", Args: place},
			{Name: "budget", Source: "budget", Args: place},
		}
	}
	return nil
}

// Starter starts rollouts: it is what an allowed rollout.start action runs.
type Starter struct {
	Log    event.Log
	Reader projection.Reader
	// Goals lists what a service's canaries are judged by in an environment:
	// its objectives that the data plane counts, errors first. Without any,
	// errors are judged all the same.
	Goals func(service, environment string) []Goal
}

// Run records rollout.started for an allowed release. Run again, it finds the
// rollout started and changes nothing.
func (s *Starter) Run(ctx context.Context, a action.Action) (any, error) {
	var p release.Proposed
	if err := params(a, &p); err != nil {
		return nil, err
	}
	var passed release.Passed
	if a.Gate != nil {
		if err := json.Unmarshal(a.Gate.Extra, &passed); err != nil {
			return nil, problem.New(problem.Internal, "rollout.start", "what the gate passed cannot be read: %w", err)
		}
	}
	started, err := s.compose(ctx, p, passed, a)
	if err != nil {
		return nil, err
	}
	stream := "rollout/" + started.Rollout
	_, err = s.Log.Append(ctx, event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{{
		ID: "started:" + a.ID, Type: EventStarted, Actor: "controller:release", Cause: a.ID, Data: started,
	}}})
	return Ref{Rollout: started.Rollout}, err
}

func (s *Starter) compose(ctx context.Context, p release.Proposed, passed release.Passed, a action.Action) (Started, error) {
	service, err := catalog.GetService(ctx, s.Reader, p.Service)
	if err != nil {
		return Started{}, err
	}
	environment, err := catalog.GetEnvironment(ctx, s.Reader, p.Environment)
	if err != nil {
		return Started{}, err
	}
	place, err := release.GetPlace(ctx, s.Reader, p.Service, p.Environment)
	if err != nil {
		return Started{}, err
	}
	last, err := lastEnvironment(ctx, s.Reader, service)
	if err != nil {
		return Started{}, err
	}
	st := Started{
		Rollout: fmt.Sprintf("%s-%d", p.Release, max(1, passed.Attempt)), Release: p.Release, Change: p.Change,
		Service: p.Service, Team: p.Team, Environment: p.Environment, Commit: p.Commit, Digest: p.Digest, Revision: p.Revision,
		Kind: p.Kind, Strategy: StrategyRolling, Policy: passed.Policy,
		Workload: Workload{Command: []string{"/bin/sh", "-c", "exec " + service.Run}, Env: service.Env, Instances: service.Instances, ReadyPath: service.Ready},
		Route:    Route{Host: service.HostIn(p.Environment, p.Environment == last), Path: service.Path, TimeoutNS: service.Timeout, LimitNS: service.Limit},
		Plan:     planOf(service, environment, passed, s.Goals(p.Service, p.Environment)),
	}
	if place.Stable != nil {
		st.From, st.FromCommit = place.Stable.Revision, place.Stable.Commit
		if st.From != st.Revision && p.Kind != release.KindRollback {
			st.Strategy = StrategyCanary
		}
	}
	st.Plan.FixPasses = fixPasses(a)
	return st, nil
}

// lastEnvironment is the one that users reach by the service's own host name.
func lastEnvironment(ctx context.Context, r projection.Reader, s catalog.Service) (string, error) {
	all, err := catalog.Environments(ctx, r)
	last := ""
	for _, e := range all {
		if s.In(e.Name) {
			last = e.Name
		}
	}
	return last, err
}

// fixPasses reports whether the gate let the release through although its
// budget freezes changes.
func fixPasses(a action.Action) bool {
	if a.Gate == nil {
		return false
	}
	var in control.GateInput
	if json.Unmarshal(a.Gate.Inputs, &in) != nil {
		return false
	}
	for _, r := range in.Readings {
		var b release.Budget
		if r.Name == "budget" && json.Unmarshal(r.Data, &b) == nil {
			return b.Policy.Frozen
		}
	}
	return false
}

func planOf(s catalog.Service, e catalog.Environment, passed release.Passed, goals []Goal) Plan {
	r := s.Rollout.Over(e.Rollout.WithDefaults())
	p := Plan{
		StepSeconds: r.StepDuration.Seconds(), DeadlineSeconds: r.Deadline.Seconds(), OnDeadline: r.OnDeadline,
		Alpha: r.FalseRollback.Ratio(), BudgetShare: r.BudgetShare.Ratio(), WarmupSeconds: r.Warmup.Seconds(), Tolerated: r.Tolerated.Ratio(),
		DeclaredRate: s.Traffic.PerSecond(), PeriodSeconds: s.Objectives.Window.Seconds(), ReadySeconds: readyWithin.Seconds(),
	}
	if p.WarmupSeconds == 0 {
		// Caches are cold at first, which is no fault of the change.
		p.WarmupSeconds = min(p.StepSeconds, time.Minute.Seconds())
	}
	if passed.BudgetShare > 0 {
		p.BudgetShare = min(p.BudgetShare, passed.BudgetShare)
	}
	for _, step := range r.Steps {
		if bp := step.BasisPoints(); bp < whole {
			p.Steps = append(p.Steps, bp)
		}
	}
	if len(goals) == 0 || goals[0].ThresholdNS > 0 {
		p.Objectives = []Goal{{Name: "errors", Target: 0.999}}
	}
	p.Objectives = append(p.Objectives, goals[:min(len(goals), traffic.MaxThresholds)]...)
	p.BinSeconds = p.windows()
	return p
}
