package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Steps is workload.Steps: each step is a supervised process on this host.
type Steps struct{ dir string }

var _ workload.Steps = Steps{}

// NewSteps keeps what steps leave below dir, which must be absolute.
func NewSteps(dir string) Steps { return Steps{dir} }

const (
	defaultStepOutput = 64 << 20
	defaultStepGrace  = 10 * time.Second
	outputFiles       = 4
)

// path is a step's directory: its id, readable as far as a file name may be.
func (s Steps) path(op, id string) (string, error) {
	if id == "" || len(id) > 200 || strings.Contains(id, "\x00") {
		return "", problem.New(problem.Invalid, op, "step id %.40q: want 1 to 200 bytes without NUL", id)
	}
	name := "step-" + url.PathEscape(id)
	if len(name) > 200 {
		sum := sha256.Sum256([]byte(id))
		name = name[:120] + "-" + hex.EncodeToString(sum[:16])
	}
	return filepath.Join(s.dir, name), nil
}

// Start implements workload.Steps.
func (s Steps) Start(ctx context.Context, id string, spec workload.StepSpec) error {
	const op = "step.start"
	dir, err := s.path(op, id)
	if err != nil {
		return err
	}
	if spec.OutputLimit == 0 {
		spec.OutputLimit = defaultStepOutput
	}
	if spec.Grace == 0 {
		spec.Grace = defaultStepGrace
	}
	err = supervise.Start(ctx, dir, supervise.Spec{
		Command: spec.Command, Shell: spec.Shell, Dir: spec.Dir, Env: spec.Env,
		TimeLimit: spec.TimeLimit, Grace: spec.Grace,
		Output: supervise.Output{SegmentBytes: max(spec.OutputLimit/outputFiles, 1024), Segments: outputFiles, KeepFirst: true},
	})
	var known *problem.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, supervise.ErrOtherSpec):
		return problem.New(problem.Conflict, op, "step %s was started with another spec", id)
	}
	return problem.New(problem.Unavailable, op, "step %s: %w", id, err)
}

var stepStates = map[supervise.State]workload.StepState{
	supervise.Pending:  workload.StepStarting,
	supervise.Starting: workload.StepStarting,
	supervise.Running:  workload.StepRunning,
	supervise.Exited:   workload.StepExited,
	supervise.Lost:     workload.StepLost,
}

// Observe implements workload.Steps.
func (s Steps) Observe(_ context.Context, id string) (workload.StepStatus, error) {
	const op = "step.observe"
	dir, err := s.path(op, id)
	if err != nil {
		return workload.StepStatus{}, err
	}
	run, err := supervise.Observe(dir)
	if err != nil {
		return workload.StepStatus{}, stepProblem(op, id, err)
	}
	return workload.StepStatus{
		ID: id, State: stepStates[run.State], ExitCode: run.ExitCode, Signal: run.Signal, End: run.End, Detail: run.Detail,
		Pid: run.Pid, Started: run.Started, Finished: run.Finished,
		OutputBytes: run.OutputBytes, Dropped: run.OutputDropped,
	}, nil
}

// Cancel implements workload.Steps.
func (s Steps) Cancel(_ context.Context, id, reason string) error {
	const op = "step.cancel"
	dir, err := s.path(op, id)
	if err != nil {
		return err
	}
	return stepProblem(op, id, supervise.Cancel(dir, reason))
}

// Output implements workload.Steps.
func (s Steps) Output(_ context.Context, id string, offset int64, limit int) (workload.Chunk, error) {
	const op = "step.output"
	dir, err := s.path(op, id)
	if err != nil {
		return workload.Chunk{}, err
	}
	chunk, err := supervise.Read(dir, offset, limit)
	return chunk, stepProblem(op, id, err)
}

// Remove implements workload.Steps.
func (s Steps) Remove(_ context.Context, id string) error {
	const op = "step.remove"
	dir, err := s.path(op, id)
	if err != nil {
		return err
	}
	return stepProblem(op, id, supervise.Remove(dir))
}

func stepProblem(op, id string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return problem.New(problem.NotFound, op, "step %s was never started", id)
	case errors.Is(err, supervise.ErrLive):
		return problem.New(problem.Conflict, op, "step %s has not ended", id).WithNext("cancel it first")
	}
	return problem.New(problem.Unavailable, op, "step %s: %w", id, err)
}
