package workload

import (
	"context"
	"time"
)

// Steps runs the steps of pipelines: commands that end.
type Steps interface {
	// Start runs a step under an id (1 to 200 bytes, no NUL; slashes are
	// welcome). Repeated with the same spec it does nothing, whether the step
	// still runs or has ended; with another spec it is a conflict.
	Start(ctx context.Context, id string, spec StepSpec) error
	// Observe tells how a step is; notfound when it was never started.
	Observe(ctx context.Context, id string) (StepStatus, error)
	// Cancel asks a step to end: SIGTERM to its process group, SIGKILL after its
	// grace. A step that has ended is left as it is.
	Cancel(ctx context.Context, id, reason string) error
	// Output reads what a step printed, as Runtime.Output does.
	Output(ctx context.Context, id string, offset int64, limit int) (Chunk, error)
	// Remove forgets a step that has ended, with its output; one that has not is
	// a conflict.
	Remove(ctx context.Context, id string) error
}

// StepSpec is a command to run once. Exactly one of Command and Shell is set.
type StepSpec struct {
	Command     []string          `json:"command,omitempty"` // program and arguments
	Shell       string            `json:"shell,omitempty"`   // a script, run by bash -e, or sh -e where there is no bash
	Dir         string            `json:"dir"`               // absolute working directory
	Env         map[string]string `json:"env,omitempty"`     // added to PATH, HOME and TMPDIR; nothing else is inherited
	TimeLimit   time.Duration     `json:"time_limit_ns,omitempty"`
	OutputLimit int64             `json:"output_limit_bytes,omitempty"` // kept: the beginning and the end; 0 is 64 MiB
	Grace       time.Duration     `json:"grace_ns,omitempty"`           // between SIGTERM and SIGKILL; 0 is 10 s
}

// StepState is where a step is in its life.
type StepState string

// The states of a step.
const (
	StepStarting StepState = "starting" // its supervisor runs, its process not yet
	StepRunning  StepState = "running"
	StepExited   StepState = "exited" // ended; ExitCode and Reason say how
	StepLost     StepState = "lost"   // its supervisor died without recording an end; it is not running
)

// Why a step ended.
const (
	EndExited      = "exited"       // by itself, with ExitCode
	EndSignalled   = "signalled"    // killed by Signal, not by us
	EndCancelled   = "cancelled"    // by Cancel
	EndTimeLimit   = "time-limit"   // by its time limit
	EndStartFailed = "start-failed" // the program could not be started; Detail says why
	EndLost        = "lost"         // see StepLost
)

// StepStatus is how a step is.
type StepStatus struct {
	ID          string    `json:"id"`
	State       StepState `json:"state"`
	ExitCode    int       `json:"exit_code"`        // meaningful when End is exited
	Signal      string    `json:"signal,omitempty"` // name of the signal that ended it, such as SIGKILL
	End         string    `json:"end,omitempty"`    // one of the End constants once exited or lost
	Detail      string    `json:"detail,omitempty"` // for a person: the cancel reason, the start error
	Pid         int       `json:"pid,omitempty"`
	Started     time.Time `json:"started"`
	Finished    time.Time `json:"finished,omitzero"`
	OutputBytes int64     `json:"output_bytes"`             // printed
	Dropped     int64     `json:"output_dropped,omitempty"` // of those, no longer kept
}

// Ended reports whether the step will change no more.
func (s StepStatus) Ended() bool { return s.State == StepExited || s.State == StepLost }

// Succeeded reports whether the step ended by itself with exit code 0.
func (s StepStatus) Succeeded() bool {
	return s.State == StepExited && s.End == EndExited && s.ExitCode == 0
}
