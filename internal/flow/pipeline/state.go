package pipeline

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Phase is how far a step, a job or a run has come.
type Phase string

// The phases. Packing is a job's alone.
const (
	Waiting Phase = "waiting"
	Running Phase = "running"
	Packing Phase = "packing"
	Done    Phase = "done"
)

// Run is the facts of one run, folded.
type Run struct {
	ID        string              `json:"id"`
	Pipeline  string              `json:"pipeline,omitempty"`
	Change    Change              `json:"change"`
	Spec      Spec                `json:"spec"`
	Phase     Phase               `json:"phase"`
	Cancelled string              `json:"cancelled,omitempty"` // why, once somebody asked
	Result    Result              `json:"result,omitempty"`
	Reason    string              `json:"reason,omitempty"`
	Digest    string              `json:"digest,omitempty"` // of the artifact
	Jobs      map[string]JobState `json:"jobs"`
	Started   time.Time           `json:"started"`
	Ended     time.Time           `json:"ended,omitzero"`
}

// JobState is one job of a run.
type JobState struct {
	Phase     Phase             `json:"phase"`
	Cancelled string            `json:"cancelled,omitempty"` // why, if the run was cancelled while the job ran
	Result    Result            `json:"result,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Steps     []StepState       `json:"steps,omitempty"`
	Outputs   map[string]string `json:"outputs,omitempty"`
	Digest    string            `json:"digest,omitempty"`     // of the artifact it made
	PackError string            `json:"pack_error,omitempty"` // why it could not be made
	Started   time.Time         `json:"started,omitzero"`
	Ended     time.Time         `json:"ended,omitzero"`
}

// StepState is one step of a job.
type StepState struct {
	Phase      Phase             `json:"phase"`
	Outcome    Result            `json:"outcome,omitempty"`    // before continue-on-error
	Conclusion Result            `json:"conclusion,omitempty"` // after it
	ExitCode   int               `json:"exit_code,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Outputs    map[string]string `json:"outputs,omitempty"`
	Limit      float64           `json:"limit_seconds,omitempty"`
	Seconds    float64           `json:"seconds,omitempty"` // it took
	Started    time.Time         `json:"started,omitzero"`
	Ended      time.Time         `json:"ended,omitzero"`
}

// Apply folds one fact. Facts about jobs and steps that the run does not have
// are ignored, as are repeated ends.
func (r Run) Apply(e event.Event) (Run, error) {
	switch e.Type {
	case EventStarted:
		d, err := event.Decode[Started](e)
		return start(d, e.Time), err
	case EventCancelled:
		d, err := event.Decode[Cancelled](e)
		if r.Cancelled != "" || r.Phase == Done {
			return r, err
		}
		return r.cancel(or(d.Reason, "cancelled")), err
	case EventEnded:
		d, err := event.Decode[Ended](e)
		r.Phase, r.Result, r.Reason, r.Digest, r.Ended = Done, d.Result, d.Reason, d.Digest, e.Time
		return r, err
	case EventJobStarted, EventJobPacking, EventJobPacked, EventJobEnded:
		return r.applyJob(e)
	case EventStepStarted, EventStepEnded, EventStepSkipped:
		return r.applyStep(e)
	}
	return r, nil
}

func start(d Started, at time.Time) Run {
	r := Run{ID: d.Run, Pipeline: d.Pipeline, Change: d.Change, Spec: d.Spec, Phase: Running, Started: at, Jobs: map[string]JobState{}}
	for id, j := range d.Spec.Jobs {
		s := JobState{Phase: Waiting, Steps: make([]StepState, len(j.Steps))}
		for i := range s.Steps {
			s.Steps[i].Phase = Waiting
		}
		r.Jobs[id] = s
	}
	return r
}

// cancel marks the run and the jobs that run, but for deployments: those end
// as if nothing had happened, since half a deployment helps nobody.
func (r Run) cancel(reason string) Run {
	r.Cancelled = reason
	for id, j := range r.Jobs {
		if j.Phase == Running && r.Spec.Jobs[id].Environment == "" {
			r = r.with(id, func(j *JobState) { j.Cancelled = reason })
		}
	}
	return r
}

// with is r with one job changed by f; r itself stays as it is.
func (r Run) with(job string, f func(*JobState)) Run {
	j, ok := r.Jobs[job]
	if !ok || j.Phase == Done {
		return r
	}
	j.Steps = slices.Clone(j.Steps)
	f(&j)
	r.Jobs = maps.Clone(r.Jobs)
	r.Jobs[job] = j
	return r
}

func (r Run) applyJob(e event.Event) (Run, error) {
	switch e.Type {
	case EventJobStarted:
		d, err := event.Decode[JobStarted](e)
		return r.with(d.Job, func(j *JobState) { j.Phase, j.Started = Running, e.Time }), err
	case EventJobPacking:
		d, err := event.Decode[JobPacking](e)
		return r.with(d.Job, func(j *JobState) { j.Phase = Packing }), err
	case EventJobPacked:
		d, err := event.Decode[JobPacked](e)
		return r.with(d.Job, func(j *JobState) {
			if d.Digest == "" {
				d.Error = or(d.Error, "no digest was given")
			}
			j.Digest, j.PackError = d.Digest, d.Error
		}), err
	default:
		d, err := event.Decode[JobEnded](e)
		return r.with(d.Job, func(j *JobState) {
			j.Phase, j.Result, j.Reason, j.Outputs, j.Ended = Done, d.Result, d.Reason, d.Outputs, e.Time
		}), err
	}
}

// withStep is r with one step that has not ended changed by f.
func (r Run) withStep(job string, step int, f func(*StepState)) Run {
	return r.with(job, func(j *JobState) {
		if step >= 0 && step < len(j.Steps) && j.Steps[step].Phase != Done {
			f(&j.Steps[step])
		}
	})
}

func (r Run) applyStep(e event.Event) (Run, error) {
	switch e.Type {
	case EventStepStarted:
		d, err := event.Decode[StepStarted](e)
		return r.withStep(d.Job, d.Step, func(s *StepState) { s.Phase, s.Limit, s.Started = Running, d.Seconds, e.Time }), err
	case EventStepSkipped:
		d, err := event.Decode[StepSkipped](e)
		return r.withStep(d.Job, d.Step, func(s *StepState) {
			s.Phase, s.Outcome, s.Conclusion, s.Reason, s.Ended = Done, d.Result, d.Result, d.Reason, e.Time
		}), err
	default:
		d, err := event.Decode[StepEnded](e)
		return r.withStep(d.Job, d.Step, func(s *StepState) {
			s.Phase, s.ExitCode, s.Outputs, s.Seconds, s.Ended = Done, d.ExitCode, d.Outputs, d.Seconds, e.Time
			s.Outcome, s.Reason = outcome(d, s.Limit)
			s.Conclusion = s.Outcome
			if s.Outcome == Failure && r.Spec.Jobs[d.Job].Steps[d.Step].ContinueOnError {
				s.Conclusion = Success
			}
		}), err
	}
}

// outcome puts the end of a process into a result and a reason for a person.
func outcome(d StepEnded, limit float64) (Result, string) {
	switch d.End {
	case workload.EndExited:
		if d.ExitCode == 0 {
			return Success, ""
		}
		return Failure, "exit code " + strconv.Itoa(d.ExitCode)
	case workload.EndCancelled:
		return CancelledResult, or(d.Detail, "cancelled")
	case workload.EndTimeLimit:
		return Failure, "timed out after " + seconds(limit)
	case workload.EndLost:
		return Failure, "lost: its machine or supervisor went down while it ran"
	case workload.EndSignalled:
		return Failure, strings.TrimSpace("killed by " + or(d.Detail, "a signal"))
	}
	return Failure, or(d.Detail, d.End)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// seconds is a duration for a person, such as 10m0s.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
