package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Phase is how far a rollout has come.
type Phase string

// The phases.
const (
	PhaseStarting  Phase = "starting"   // instances are being started
	PhaseShifting  Phase = "shifting"   // the split is about to change
	PhaseJudging   Phase = "judging"    // a canary serves its share and is compared
	PhasePromoting Phase = "promoting"  // everybody is about to get it
	PhaseGoingBack Phase = "going back" // nobody is about to get it
	PhaseFinished  Phase = "finished"
)

// Rollout is the folded state of one rollout.
type Rollout struct {
	Started
	Phase       Phase     `json:"phase"`
	StartedAt   time.Time `json:"started_at"`
	Event       string    `json:"event"`               // ID of rollout.started
	EnsuredAt   time.Time `json:"ensured_at,omitzero"` // the runtime has taken over its instances
	ReadyAt     time.Time `json:"ready_at,omitzero"`
	Step        int       `json:"step"`   // from 1
	Weight      int       `json:"weight"` // basis points the canary has or is about to have
	SteppedAt   time.Time `json:"stepped_at,omitzero"`
	Metrics     []Metric  `json:"metrics,omitempty"`
	JudgedUntil time.Time `json:"judged_until,omitzero"`
	JudgedAt    time.Time `json:"judged_at,omitzero"`
	Unseen      float64   `json:"unseen_seconds,omitempty"` // while it was judged, in which nothing could be counted
	Verdict     string    `json:"verdict,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Expected    float64   `json:"expected_seconds,omitempty"`
	Paused      *Note     `json:"paused,omitempty"`
	Asked       bool      `json:"asked,omitempty"`
	Wanted      *Note     `json:"wanted,omitempty"` // promotion asked for by a person, not yet acted on
	Abort       *Note     `json:"abort,omitempty"`  // return asked for by a person
	Pending     []Pending `json:"pending,omitempty"`
	Ended       *Ended    `json:"ended,omitempty"` // how the part that faced users ended
	Outcome     string    `json:"outcome,omitempty"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
	Trace       []Point   `json:"trace,omitempty"` // for the picture; at most maxTrace
}

// Metric is what is known of one goal.
type Metric struct {
	Goal
	State judge.State `json:"state"`
}

// Note is who wanted something, and why.
type Note struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Pending is an action of this rollout that is not done, or failed.
type Pending struct {
	ID    string       `json:"id"`
	Type  string       `json:"type"`
	Phase action.Phase `json:"phase"`
	Error string       `json:"error,omitempty"`
}

// Point is one moment of the picture.
type Point struct {
	Time     time.Time `json:"time"`
	Weight   int       `json:"weight"`          // basis points
	LogE     float64   `json:"log_e"`           // natural logarithm of the largest E-value of all metrics
	Upper    float64   `json:"upper"`           // largest upper bound of the excess
	Lower    float64   `json:"lower"`           // its lower bound
	Excess   float64   `json:"excess"`          // its estimate
	Requests int64     `json:"canary_requests"` // so far
	Bad      int64     `json:"canary_bad"`      // so far, of the worst metric
}

const maxTrace = 240

// ProjectionName is where rollouts are folded, keyed by name and indexed by
// "moving", "place", "change" and "all".
const ProjectionName = "rollout"

// Projection folds rollouts.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Rollout]{
		Name: ProjectionName, Version: 3, Types: []string{"rollout.", "action."},
		Keys: func(e event.Event) []string {
			if name, ok := strings.CutPrefix(e.Subject, "rollout/"); ok {
				return []string{name}
			}
			return nil
		},
		Apply: func(_ string, r Rollout, e event.Event) (Rollout, error) { return r.apply(e) },
		Indexes: func(name string, r Rollout) []projection.Index {
			at := fmt.Sprintf("%020d", r.StartedAt.UnixMicro())
			out := []projection.Index{
				{Name: "all", Value: "yes", Sort: at}, {Name: "change", Value: r.Change, Sort: at},
				{Name: "place", Value: r.Service + "." + r.Environment, Sort: at}, {Name: "service", Value: r.Service, Sort: at},
			}
			if r.Phase != PhaseFinished && r.Phase != "" {
				out = append(out, projection.Index{Name: "moving", Value: "yes", Sort: at})
			}
			return out
		},
	})
}

// Get reads one rollout.
func Get(ctx context.Context, r projection.Reader, name string) (Rollout, bool, error) {
	return projection.Get[Rollout](ctx, r, ProjectionName, name)
}

func (r Rollout) apply(e event.Event) (Rollout, error) {
	if strings.HasPrefix(e.Type, "action.") {
		return r.applyAction(e)
	}
	var err error
	switch e.Type {
	case EventStarted:
		r.Started, err = event.Decode[Started](e)
		r.Phase, r.StartedAt, r.Event = PhaseStarting, e.Time, e.ID
		for _, g := range r.Plan.Objectives {
			r.Metrics = append(r.Metrics, Metric{Goal: g})
		}
	case EventReady:
		r.ReadyAt = e.Time
	case EventStepped:
		return r.applyStepped(e)
	case EventJudged:
		return r.applyJudged(e)
	case EventPaused:
		r.Paused = note(e)
	case EventResumed:
		r.Paused = nil
	case EventPromoteRequested:
		r.Wanted, r.Asked = note(e), false
	case EventAbortRequested:
		r.Abort = note(e)
	case EventAsked:
		r.Asked = true
	case EventPromoted, EventRolledBack, EventAborted:
		d, err := event.Decode[Ended](e)
		r.Ended, r.Reason, r.Paused = &d, d.Reason, nil
		r.Verdict = map[string]string{EventPromoted: "on"}[e.Type]
		if e.Type != EventPromoted {
			r.Verdict, r.Phase = "back", PhaseGoingBack
		}
		return r, err
	case EventFinished:
		d, err := event.Decode[Ended](e)
		r.Phase, r.Outcome, r.FinishedAt = PhaseFinished, d.Outcome, e.Time
		r.Weight, r.Asked = 0, false
		if d.Outcome == "promoted" {
			r.Weight = whole
		}
		r = r.trace(e.Time)
		return r, err
	}
	return r, err
}

func note(e event.Event) *Note {
	var d Ref
	// A payload that was erased leaves the note without its reason.
	_ = json.Unmarshal(e.Data, &d)
	return &Note{By: e.Actor, Reason: d.Reason, At: e.Time}
}

func (r Rollout) applyStepped(e event.Event) (Rollout, error) {
	d, err := event.Decode[Stepped](e)
	r.Phase, r.Step, r.Weight, r.Wanted, r.Asked = PhaseShifting, d.Step, d.Weight, nil, false
	if d.Weight == whole {
		r.Phase = PhasePromoting
	}
	r.Metrics = r.flushed()
	return r.trace(e.Time), err
}

func (r Rollout) applyJudged(e event.Event) (Rollout, error) {
	d, err := event.Decode[Judged](e)
	if err != nil || e.Erased {
		return r, err
	}
	if !d.Arms.Until.IsZero() {
		r = r.seen(d.Arms)
		r.JudgedUntil = d.Arms.Until
	}
	r.JudgedAt = e.Time
	r.Verdict, r.Reason, r.Expected = d.Verdict, d.Reason, d.ExpectedSeconds
	return r.trace(e.Time), nil
}

// applyAction follows the rollout's own actions.
func (r Rollout) applyAction(e event.Event) (Rollout, error) {
	if e.Type == action.EventProposed {
		p, err := event.Decode[action.Proposal](e)
		r.Pending = append(r.Pending[:len(r.Pending):len(r.Pending)], Pending{ID: p.ID, Type: p.Type, Phase: action.Proposed})
		return r, err
	}
	d, err := event.Decode[action.Attempt](e)
	if err != nil {
		return r, err
	}
	pending := make([]Pending, 0, len(r.Pending))
	for _, p := range r.Pending {
		if p.ID != d.ID {
			pending = append(pending, p)
			continue
		}
		switch e.Type {
		case action.EventSucceeded, action.EventSuperseded:
			if p.Type == ActionEnsure && r.EnsuredAt.IsZero() {
				r.EnsuredAt = e.Time
			}
			if p.Type == ActionShift && r.Phase == PhaseShifting {
				r.Phase, r.SteppedAt = PhaseJudging, e.Time
			}
			continue
		case action.EventFailed, action.EventRejected:
			p.Phase, p.Error = action.Failed, d.Error
		case action.EventAttempted:
			p.Error = d.Error
		case action.EventStarted:
			p.Phase = action.Running
		}
		pending = append(pending, p)
	}
	r.Pending = pending
	return r, nil
}

// waiting is the pending action of a type, if any.
func (r Rollout) waiting(typ string) *Pending {
	for i := range r.Pending {
		if r.Pending[i].Type == typ {
			return &r.Pending[i]
		}
	}
	return nil
}

// Judging is how each metric is judged: all of them together hold the rollout's
// false-rollback rate.
func (r Rollout) Judging() judge.Config { return r.Plan.judging(max(1, len(r.Metrics))) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// seen is the rollout with a reading folded in.
func (r Rollout) seen(a Arms) Rollout {
	r.Unseen += a.unseen(len(r.Metrics) > 0 && !r.Metrics[0].State.Started.IsZero())
	r.Metrics = r.advanced(a)
	return r
}

// advanced is the metrics with a reading folded in.
func (r Rollout) advanced(a Arms) []Metric {
	out := make([]Metric, len(r.Metrics))
	cfg := r.Judging()
	for i, m := range r.Metrics {
		threshold := a.index(m.ThresholdNS)
		bins := make([]judge.Bin, len(a.Bins))
		for j, b := range a.Bins {
			bins[j] = judge.Bin{
				Time: b.Time, Width: seconds(a.WidthSeconds),
				Baseline: judge.Count{Requests: b.Baseline.Requests, Bad: b.Baseline.bad(threshold)},
				Canary:   judge.Count{Requests: b.Canary.Requests, Bad: b.Canary.bad(threshold)},
			}
		}
		m.State = cfg.Advance(m.State, bins...)
		out[i] = m
	}
	return out
}

// index is the place of a threshold in the reading, -1 for errors. A threshold
// that was not counted gives a place past the end, where nothing is bad.
func (a Arms) index(threshold int64) int {
	if threshold == 0 {
		return -1
	}
	for i, t := range a.ThresholdsNS {
		if t == threshold {
			return i
		}
	}
	return len(a.ThresholdsNS)
}

// flushed is the metrics with their open windows judged.
func (r Rollout) flushed() []Metric {
	out := make([]Metric, len(r.Metrics))
	cfg := r.Judging()
	for i, m := range r.Metrics {
		m.State = cfg.Flush(m.State)
		out[i] = m
	}
	return out
}

// trace adds a point to the picture. When it is full, every other point goes,
// except where the share changes.
func (r Rollout) trace(at time.Time) Rollout {
	p := Point{Time: at, Weight: r.Weight}
	cfg := r.Judging()
	for i, m := range r.Metrics {
		e := cfg.Evidence(m.State)
		if i == 0 || e.LogE > p.LogE {
			p.LogE, p.Bad = e.LogE, e.Canary.Bad
		}
		if i == 0 || e.ExcessUpper > p.Upper {
			p.Upper, p.Lower, p.Excess = e.ExcessUpper, e.ExcessLower, e.Excess
		}
		p.Requests = e.Canary.Requests
	}
	r.Trace = append(r.Trace[:len(r.Trace):len(r.Trace)], p)
	if len(r.Trace) > maxTrace {
		half := make([]Point, 0, maxTrace)
		for i, q := range r.Trace {
			if i%2 == 0 || i == len(r.Trace)-1 || q.Weight != r.Trace[i-1].Weight {
				half = append(half, q)
			}
		}
		r.Trace = half
	}
	return r
}
