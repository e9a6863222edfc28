package runbook

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// The action types of a run; their parameters are Params.
const (
	ActionCommand   = "runbook.command"   // starts a command; how it ends is a reading
	ActionOperation = "runbook.operation" // calls an operation
	ActionCancel    = "runbook.cancel"    // ends a command
)

// Params says which step of which run.
type Params struct {
	Place
	Number int  `json:"number"` // from 1
	Step   Step `json:"step"`
}

// Workbench has the effects of runs.
type Workbench struct {
	Dir   string // absolute; each run's commands have a directory of their own below
	Steps workload.Steps
	// Environment is given to every command: PATH and what else the machine needs.
	Environment map[string]string
	// Secret gives a secret's value.
	Secret func(name string) (string, bool)
	// Call calls an operation as the caller, with a JSON object as input.
	Call func(ctx context.Context, caller operation.Caller, name string, input []byte) error
}

// Types declares the effects.
func (w *Workbench) Types() []control.Type {
	return []control.Type{
		{Name: ActionCommand, Attempts: 3, Gate: Gate, Run: w.with(w.command)},
		{Name: ActionOperation, Attempts: 3, Gate: Gate, Run: w.with(w.operation)},
		{Name: ActionCancel, Attempts: 5, Run: w.with(w.cancel)},
	}
}

func (w *Workbench) with(run func(context.Context, action.Action, Params) (any, error)) func(context.Context, action.Action) (any, error) {
	return func(ctx context.Context, a action.Action) (any, error) {
		var p Params
		if err := json.Unmarshal(a.Params, &p); err != nil {
			return nil, problem.New(problem.Invalid, a.Type, "parameters of %s: %w", a.ID, err)
		}
		return run(ctx, a, p)
	}
}

// Gate lets a step run that needs no approval, or has it.
func Gate(in control.GateInput, _ time.Time) (action.Gated, time.Time) {
	var p Params
	if err := json.Unmarshal(in.Action.Params, &p); err != nil {
		return action.Gated{Phase: action.Blocked, Reason: "its parameters cannot be read"}, time.Time{}
	}
	c := action.Clause{Name: "approval", Verdict: "pass", Detail: "the runbook says that this step needs none"}
	switch {
	case p.Step.Approval == ApprovalNone:
	case len(in.Action.Approvals) > 0:
		by := in.Action.Approvals[0]
		c.Detail = fmt.Sprintf("%s agreed: %s", by.By, by.Reason)
	default:
		c.Verdict, c.Detail = "wait", "an operator has to agree"
		c.Unblock = "flyball action approve " + in.Action.ID + " --reason …"
		return action.Gated{Phase: action.Awaiting, Clauses: []action.Clause{c}, Reason: "waits for an operator: " + c.Unblock}, time.Time{}
	}
	return action.Gated{Phase: action.Allowed, Clauses: []action.Clause{c}, Reason: c.Detail}, time.Time{}
}

// command starts a step's command in an empty directory of its run, with
// nothing in its environment but what is said here.
func (w *Workbench) command(ctx context.Context, _ action.Action, p Params) (any, error) {
	dir := filepath.Join(w.Dir, "runbooks", p.Run)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.New(problem.Unavailable, ActionCommand, "the run has no place: %w", err)
	}
	env := map[string]string{}
	for k, v := range w.Environment {
		env[k] = v
	}
	for k, v := range p.Step.Env {
		env[k] = v
	}
	for variable, name := range p.Step.Secrets {
		value, ok := w.Secret(name)
		if !ok {
			return nil, problem.New(problem.Invalid, ActionCommand, "there is no secret %s for the variable %s", name, variable).
				WithNext("set FLYBALL_SECRET_%s in the environment of the server", name)
		}
		env[variable] = value
	}
	for _, name := range words {
		env["FLYBALL_"+strings.ToUpper(name)], _ = p.word(name)
	}
	return nil, w.Steps.Start(ctx, commandID(p.Run, p.Number), workload.StepSpec{
		Shell: p.Step.Command, Dir: dir, Env: env, TimeLimit: p.Step.Limit, OutputLimit: maxOutput,
	})
}

// maxOutput is how much of a command's output is kept, in bytes.
const maxOutput = 1 << 20

// operation calls a step's operation. Without an operator's approval the
// runbook may do what a developer of the service's team may.
func (w *Workbench) operation(ctx context.Context, a action.Action, p Params) (any, error) {
	role := operation.Developer
	if len(a.Approvals) > 0 {
		role = operation.Operator
	}
	input := []byte("{}")
	if p.Step.Input != nil {
		var err error
		if input, err = json.Marshal(fill(p.Step.Input, p.Place)); err != nil {
			return nil, problem.New(problem.Invalid, ActionOperation, "the input of step %s: %w", p.Step.Name, err)
		}
	}
	caller := operation.Caller{Name: "runbook:" + p.Runbook, Grants: []operation.Grant{{Role: role, Team: p.Team, Environment: p.Environment}}}
	return nil, w.Call(operation.WithCall(ctx, a.ID), caller, p.Step.Operation, input)
}

func (w *Workbench) cancel(ctx context.Context, a action.Action, p Params) (any, error) {
	if p.Step.Command == "" {
		return nil, nil
	}
	err := w.Steps.Cancel(ctx, commandID(p.Run, p.Number), a.Reason)
	if problem.KindOf(err) == problem.NotFound {
		return nil, nil // it had not begun
	}
	return nil, err
}

// Source answers the reading "runbook.commands".
func (w *Workbench) Source(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args, ok := r.Args.(CommandsArgs)
	if !ok {
		return control.Reading{}, problem.New(problem.Internal, readCommands, "arguments are a %T", r.Args)
	}
	out, complete := statuses{}, true
	for run, id := range args.Steps {
		status, err := w.Steps.Observe(ctx, id)
		switch problem.KindOf(err) {
		case "":
			out[run] = status
		case problem.NotFound, problem.Unavailable:
			complete = false
		default:
			return control.Reading{}, err
		}
	}
	data, err := json.Marshal(out)
	return control.Reading{From: now, To: now, Complete: complete, Data: data}, err
}
