package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/image"
	"github.com/flyball-dev/flyball/internal/port/repository"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// The action types of a run.
const (
	ActionStep   = "step.run"       // parameters StepParams
	ActionCancel = "step.cancel"    // parameters StepParams
	ActionBuild  = "artifact.build" // parameters StepParams, output BuildOutput
)

// StepParams says which step to run, or what to pack.
type StepParams struct {
	Run    string `json:"run"`
	Change Change `json:"change"`
	Order  Order  `json:"order"`
}

// BuildOutput is the artifact that was made.
type BuildOutput struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// Workshop has the effects of runs: checkouts, steps and images.
type Workshop struct {
	Dir    string // absolute; checkouts and caches are kept below
	Steps  workload.Steps
	Images image.Store
	Reader projection.Reader
	Open   func(ctx context.Context, path string) (repository.Repository, error)
	// Environment is given to every step: PATH and what else the machine needs.
	Environment map[string]string
	// Secret gives a secret's value.
	Secret func(name string) (string, bool)
}

// Types declares the effects of runs.
func (w *Workshop) Types() []control.Type {
	return []control.Type{
		{Name: ActionStep, Attempts: 3, Run: w.with(w.start)},
		{Name: ActionCancel, Attempts: 5, Run: w.with(w.cancel)},
		{Name: ActionBuild, Attempts: 3, Run: w.with(w.build)},
	}
}

func (w *Workshop) with(run func(context.Context, StepParams) (any, error)) func(context.Context, action.Action) (any, error) {
	return func(ctx context.Context, a action.Action) (any, error) {
		var p StepParams
		if err := json.Unmarshal(a.Params, &p); err != nil {
			return nil, problem.New(problem.Invalid, a.Type, "parameters of %s: %w", a.ID, err)
		}
		return run(ctx, p)
	}
}

func (w *Workshop) checkoutDir(run, job string) string {
	return filepath.Join(w.Dir, "work", run, job)
}

func (w *Workshop) outputs(run string, s StepRef) string {
	return filepath.Join(w.Dir, "work", run, fmt.Sprintf("%s.%d.outputs", s.Job, s.Step))
}

// start runs a step in its job's checkout, which the first step makes.
func (w *Workshop) start(ctx context.Context, p StepParams) (any, error) {
	dir := w.checkoutDir(p.Run, p.Order.Job)
	if err := w.checkout(ctx, p, dir); err != nil {
		return nil, err
	}
	ref := StepRef{p.Order.Job, p.Order.Step}
	env, err := w.environment(p, ref)
	if err != nil {
		return nil, err
	}
	spec := workload.StepSpec{Command: p.Order.Command, Dir: filepath.Join(dir, filepath.FromSlash(p.Order.Dir)), Env: env, TimeLimit: p.Order.Limit}
	if spec.Command == nil {
		spec.Shell = p.Order.Script
	}
	return nil, w.Steps.Start(ctx, StepID(p.Run, ref), spec)
}

func (w *Workshop) checkout(ctx context.Context, p StepParams, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil // checkouts appear whole or not at all
	}
	repo, err := w.Open(ctx, p.Change.Repository)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return problem.New(problem.Unavailable, "pipeline.checkout", "the checkout has no place: %w", err)
	}
	return repo.Checkout(ctx, p.Change.Commit, dir)
}

// environment is what a step sees: what the machine needs, caches that the
// service's runs share, what the pipeline says, and its secrets.
func (w *Workshop) environment(p StepParams, ref StepRef) (map[string]string, error) {
	cache := filepath.Join(w.Dir, "cache", p.Change.Service)
	env := p.Change.Variables(w.outputs(p.Run, ref))
	env["FLYBALL_RUN"] = p.Run
	env["XDG_CACHE_HOME"], env["GOMODCACHE"], env["npm_config_cache"] = cache, filepath.Join(cache, "go-mod"), filepath.Join(cache, "npm")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, problem.New(problem.Unavailable, "pipeline.step", "the cache has no place: %w", err)
	}
	for _, from := range []map[string]string{w.Environment, p.Order.Env.Plain} {
		for k, v := range from {
			env[k] = v
		}
	}
	for name, secret := range p.Order.Env.Secrets {
		value, ok := w.Secret(secret)
		if !ok {
			return nil, problem.New(problem.Invalid, "pipeline.step", "there is no secret %s for the variable %s", secret, name).
				WithNext("set FLYBALL_SECRET_%s in the environment of the server", secret)
		}
		env[name] = value
	}
	return env, nil
}

func (w *Workshop) cancel(ctx context.Context, p StepParams) (any, error) {
	return nil, w.Steps.Cancel(ctx, StepID(p.Run, StepRef{p.Order.Job, p.Order.Step}), p.Order.Reason)
}

// build packs a job's files. Packing again gives the same image.
func (w *Workshop) build(ctx context.Context, p StepParams) (any, error) {
	service, err := catalog.GetService(ctx, w.Reader, p.Change.Service)
	if err != nil {
		return nil, err
	}
	dir := w.checkoutDir(p.Run, p.Order.Job)
	if err := w.checkout(ctx, p, dir); err != nil {
		return nil, err
	}
	img, err := w.Images.Put(ctx, image.Spec{
		Name: p.Change.Service, Dir: dir, Files: p.Order.Files, Command: []string{"/bin/sh", "-c", "exec " + service.Run},
		Env: service.Env, Commit: p.Change.Commit, Source: p.Change.Repository, Created: p.Change.Time,
	})
	return BuildOutput{Digest: img.Digest, Size: img.Size}, err
}

// Source answers the reading "steps".
func (w *Workshop) Source(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args, ok := r.Args.(StepsArgs)
	if !ok {
		return control.Reading{}, problem.New(problem.Internal, "pipeline.steps", "arguments are a %T", r.Args)
	}
	out := make([]Observed, 0, len(args.Steps))
	complete := true
	for _, s := range args.Steps {
		o := Observed{Job: s.Job, Step: s.Step}
		status, err := w.Steps.Observe(ctx, StepID(args.Run, s))
		switch problem.KindOf(err) {
		case "":
			o.Status, o.Known = status, true
		case problem.NotFound, problem.Unavailable:
			complete = false
		default:
			return control.Reading{}, err
		}
		if o.Known && status.Ended() {
			o.Seconds = status.Finished.Sub(status.Started).Seconds()
			o.Outputs, o.Error = w.readOutputs(args.Run, s)
		}
		out = append(out, o)
	}
	data, err := json.Marshal(out)
	return control.Reading{From: now, To: now, Complete: complete, Data: data}, err
}

func (w *Workshop) readOutputs(run string, s StepRef) (map[string]string, string) {
	f, err := os.Open(w.outputs(run, s))
	if os.IsNotExist(err) {
		return nil, ""
	}
	if err != nil {
		return nil, err.Error()
	}
	defer f.Close()
	data := make([]byte, MaxOutputsFile+1)
	n, _ := f.Read(data)
	outputs, err := ParseOutputs(data[:n])
	if err != nil {
		return nil, err.Error()
	}
	return outputs, ""
}
