package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// ProjectionName is where runs are folded, keyed by name and indexed by
// "active", "change", "service" and "all".
const ProjectionName = "pipeline"

// Projection folds runs.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Run]{
		Name: ProjectionName, Version: 1, Types: []string{"pipeline."},
		Keys: func(e event.Event) []string {
			if run, ok := strings.CutPrefix(e.Subject, ProjectionName+"/"); ok {
				return []string{run}
			}
			return nil
		},
		Apply: func(_ string, r Run, e event.Event) (Run, error) { return r.Apply(e) },
		Indexes: func(_ string, r Run) []projection.Index {
			at := fmt.Sprintf("%020d", r.Started.UnixMicro())
			out := []projection.Index{{Name: "all", Value: "yes", Sort: at}, {Name: "change", Value: r.Change.Name, Sort: at}, {Name: "service", Value: r.Change.Service, Sort: at}}
			if r.Phase == Running {
				out = append(out, projection.Index{Name: "active", Value: "yes", Sort: at})
			}
			return out
		},
	})
}

// Desk is where people look at runs and cancel them.
type Desk struct {
	Log    event.Log
	Reader projection.Reader
	Sync   func(ctx context.Context) error
	Steps  workload.Steps
	Secret func(name string) (string, bool)
}

// ListInput bounds a list of runs.
type ListInput struct {
	Service string `json:"service" doc:"of this service only"`
	Change  string `json:"change" doc:"of this change only"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// RunInput names a run.
type RunInput struct {
	Run string `json:"run" arg:"1" doc:"name of the run, such as checkout-3f2a91c-r1"`
}

// CancelInput names a run and says why.
type CancelInput struct {
	Run    string `json:"run" arg:"1" doc:"name of the run"`
	Reason string `json:"reason" required:"true" doc:"why, for the record"`
}

// LogsInput names a step's output.
type LogsInput struct {
	Run  string `json:"run" arg:"1" doc:"name of the run"`
	Job  string `json:"job" doc:"job; default: the first that failed, else the last"`
	Step int    `json:"step" doc:"step of the job, from 1; default: the one that failed, else the last that started"`
}

// Logs is what a step printed.
type Logs struct {
	Run  string `json:"run"`
	Job  string `json:"job"`
	Step int    `json:"step"`
	Text string `json:"text" doc:"the end of its output, secrets masked, at most 1 MiB"`
}

// Tell is the output itself.
func (l Logs) Tell() string { return strings.TrimRight(l.Text, "\n") }

// Tell is a run in a few lines.
func (r Run) Tell() string {
	s := fmt.Sprintf("%s: %s %q by %s, %s", r.ID, r.Change.Service, r.Change.Subject, r.Change.Author, or(string(r.Result), string(r.Phase)))
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	for _, id := range r.Spec.Order() {
		j := r.Jobs[id]
		s += fmt.Sprintf("\n  %-16s %s %s", id, or(string(j.Result), string(j.Phase)), j.Reason)
		for n, step := range j.Steps {
			s += fmt.Sprintf("\n    %-14s %s %s", r.Spec.Jobs[id].Steps[n].Title(), or(string(step.Conclusion), string(step.Phase)), seconds(step.Seconds))
		}
	}
	return s
}

// Operations are what users can do with runs.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Run]]{
			Noun: "pipeline", Verb: "list", Summary: "List runs, newest first", Role: operation.Viewer, Handle: d.list,
		}),
		operation.Define(operation.Spec[RunInput, Run]{
			Noun: "pipeline", Verb: "show", Summary: "Show one run: jobs, steps and results", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in RunInput) (Run, error) {
				return d.get(ctx, operation.Reader(ctx, d.Reader), in.Run)
			},
		}),
		operation.Define(operation.Spec[LogsInput, Logs]{
			Noun: "pipeline", Verb: "logs", Summary: "Show what a step of a run printed", Role: operation.Viewer, Handle: d.logs,
		}),
		operation.Define(operation.Spec[CancelInput, Run]{
			Noun: "pipeline", Verb: "cancel", Summary: "Cancel a run; deployments that have begun are left to finish", Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in CancelInput) (operation.Scope, error) {
				r, err := d.get(ctx, d.Reader, in.Run)
				if err != nil {
					return operation.Scope{}, err
				}
				s, err := catalog.GetService(ctx, d.Reader, r.Change.Service)
				return operation.Scope{Team: s.Team}, err
			},
			Handle: d.cancel,
		}),
	}
}

func (d *Desk) get(ctx context.Context, r projection.Reader, name string) (Run, error) {
	run, ok, err := projection.Get[Run](ctx, r, ProjectionName, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "pipeline.show", "there is no run named %q", name).WithNext("flyball pipeline list shows the runs")
	}
	return run, err
}

func (d *Desk) list(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Run], error) {
	f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 50, 500), Newest: true}
	switch {
	case in.Change != "":
		f.Index, f.Value = "change", in.Change
	case in.Service != "":
		f.Index, f.Value = "service", in.Service
	}
	items, next, err := projection.List[Run](ctx, operation.Reader(ctx, d.Reader), ProjectionName, f)
	return operation.Page[Run]{Items: items, Next: next}, err
}

func (d *Desk) cancel(ctx context.Context, c operation.Caller, in CancelInput) (Run, error) {
	r, err := d.get(ctx, d.Reader, in.Run)
	if err != nil {
		return r, err
	}
	if r.Phase == Done {
		return r, problem.New(problem.Conflict, "pipeline.cancel", "run %s has ended: %s", r.ID, r.Result)
	}
	_, err = d.Log.Append(ctx, event.Batch{Stream: ProjectionName + "/" + r.ID, Expect: event.AnyVersion,
		Drafts: []event.Draft{{Type: EventCancelled, Actor: c.Name, Data: Cancelled{Reason: in.Reason}}}})
	if err == nil {
		err = d.Sync(ctx)
	}
	if err != nil {
		return r, err
	}
	return d.get(ctx, d.Reader, in.Run)
}

// interesting is the step people ask about when they do not name one: the one
// that failed, else the last that started.
func (r Run) interesting(job string) StepRef {
	ref := StepRef{Job: job}
	for _, id := range r.Spec.Order() {
		if job != "" && id != job {
			continue
		}
		for n, s := range r.Jobs[id].Steps {
			if s.Phase == Waiting {
				continue
			}
			ref = StepRef{id, n}
			if s.Outcome == Failure {
				return ref
			}
		}
	}
	return ref
}

func (d *Desk) logs(ctx context.Context, _ operation.Caller, in LogsInput) (Logs, error) {
	r, err := d.get(ctx, d.Reader, in.Run)
	if err != nil {
		return Logs{}, err
	}
	ref := r.interesting(in.Job)
	if in.Step > 0 {
		ref.Step = in.Step - 1
	}
	chunk, err := d.Steps.Output(ctx, StepID(r.ID, ref), -workload.MaxOutput, workload.MaxOutput)
	if err != nil {
		return Logs{}, err
	}
	return Logs{Run: r.ID, Job: ref.Job, Step: ref.Step + 1, Text: d.mask(r, ref).Text(strings.ToValidUTF8(string(chunk.Data), "\uFFFD"))}, nil
}

// mask hides the secrets the step was given.
func (d *Desk) mask(r Run, ref StepRef) *workload.Mask {
	var values []string
	_, env, err := r.command(ref.Job, ref.Step)
	if err == nil && d.Secret != nil {
		for _, name := range env.Secrets {
			if v, ok := d.Secret(name); ok {
				values = append(values, v)
			}
		}
	}
	return workload.NewMask(values)
}
