package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// MaxParallel is how many jobs run at once, all runs together.
const MaxParallel = 4

// stepTick is between looks at steps that run.
const stepTick = 500 * time.Millisecond

// State is what governing one run is decided from.
type State struct {
	Run    *Run            `json:"run,omitempty"`   // nil: not started yet
	Start  *Started        `json:"start,omitempty"` // how to start it
	Cause  string          `json:"cause,omitempty"` // event that it is to be started for
	Team   string          `json:"team,omitempty"`
	Others []Claim         `json:"others,omitempty"` // of the other runs that are not done
	Busy   int             `json:"busy"`             // jobs that run, all runs together
	Acts   map[string]Acts `json:"acts,omitempty"`   // actions of this run, by what they are for
}

// Acts is how an action of a run is.
type Acts struct {
	Phase  action.Phase    `json:"phase"`
	Error  string          `json:"error,omitempty"`
	Output json.RawMessage `json:"output,omitempty"`
}

// Controller governs runs, keyed by name.
func Controller() control.Controller[State] {
	return control.Controller[State]{
		Name: ProjectionName, Wakes: wakes, Active: active, Load: load, Needs: needs, Decide: Govern,
	}
}

// RunName is the name of a change's run; attempts count from 1.
func RunName(change string, attempt int) string { return fmt.Sprintf("%s-r%d", change, attempt) }

func wakes(e event.Event) []string {
	if e.Type == change.EventPushed {
		d, err := event.Decode[change.Pushed](e)
		if err != nil || d.Change == "" {
			return nil
		}
		return []string{RunName(d.Change, 1)}
	}
	if run, ok := strings.CutPrefix(e.Subject, ProjectionName+"/"); ok && e.Type != control.EventDecided {
		return []string{run}
	}
	return nil
}

func active(ctx context.Context, r projection.Reader) ([]string, error) {
	page, err := r.List(ctx, ProjectionName, projection.Filter{Index: "active", Value: "yes", Limit: 1000})
	keys := make([]string, 0, len(page.Rows))
	for _, row := range page.Rows {
		keys = append(keys, row.Key)
	}
	if err != nil {
		return nil, err
	}
	// A crash may have come between a push and the start of its run.
	changes, err := r.List(ctx, change.ProjectionName, projection.Filter{Index: "all", Value: "yes", Limit: 50, Newest: true})
	for _, row := range changes.Rows {
		keys = append(keys, RunName(row.Key, 1))
	}
	return keys, err
}

func load(ctx context.Context, r projection.Reader, key string) (State, error) {
	s := State{Acts: map[string]Acts{}}
	run, ok, err := projection.Get[Run](ctx, r, ProjectionName, key)
	if err != nil {
		return s, err
	}
	if !ok {
		return toStart(ctx, r, key)
	}
	s.Run = &run
	if run.Phase != Running {
		return s, nil
	}
	if service, err := catalog.GetService(ctx, r, run.Change.Service); err == nil {
		s.Team = service.Team
	}
	others, _, err := projection.List[Run](ctx, r, ProjectionName, projection.Filter{Index: "active", Value: "yes", Limit: 200})
	if err != nil {
		return s, err
	}
	for _, o := range others {
		if o.ID != run.ID {
			s.Others = append(s.Others, o.Claims()...)
		}
		for _, j := range o.Jobs {
			if j.Phase == Running || j.Phase == Packing {
				s.Busy++
			}
		}
	}
	acts, _, err := projection.List[action.Action](ctx, r, action.ProjectionName, projection.Filter{Index: "subject", Value: ProjectionName + "/" + key, Limit: 1000})
	for _, a := range acts {
		s.Acts[a.Slot] = Acts{Phase: a.Phase, Error: a.Error, Output: a.Output}
	}
	return s, err
}

// toStart is the state of a run that has not started: the newest pipeline of
// its service, as declared at its commit.
func toStart(ctx context.Context, r projection.Reader, key string) (State, error) {
	name, _, _ := strings.Cut(key, "-r1")
	c, ok, err := change.Get(ctx, r, name)
	if err != nil || !ok || c.Commit == "" || RunName(name, 1) != key {
		return State{}, err
	}
	service, err := catalog.GetService(ctx, r, c.Service)
	if problem.KindOf(err) == problem.NotFound {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	spec := FromCommands(service.Build, service.Test, service.Files)
	if service.Pipeline != "" {
		if spec, _, err = catalog.Get[Spec](ctx, r, KindPipeline, service.Pipeline); err != nil {
			return State{}, err
		}
	}
	if !spec.Starts(c.Branch, service.Branch) {
		return State{}, nil
	}
	at := c.PushedAt
	email := ""
	if len(c.Commits) > 0 {
		at, email = c.Commits[0].Committed, c.Commits[0].Email
	}
	return State{Cause: c.Event, Team: c.Team, Start: &Started{Run: key, Pipeline: service.Pipeline, Spec: spec, Change: Change{
		Name: c.Change, Service: c.Service, Repository: c.Repository, Branch: c.Branch, Commit: c.Commit,
		Subject: c.Subject, Author: c.Author, Email: email, Time: at,
	}}}, nil
}

// Observed is one step as the reading "steps" shows it.
type Observed struct {
	Job     string              `json:"job"`
	Step    int                 `json:"step"`
	Status  workload.StepStatus `json:"status"`
	Known   bool                `json:"known"`
	Seconds float64             `json:"seconds"`
	Outputs map[string]string   `json:"outputs,omitempty"`
	Error   string              `json:"error,omitempty"` // its outputs cannot be read
}

// StepsArgs asks source "steps" for steps that run.
type StepsArgs struct {
	Run   string    `json:"run"`
	Steps []StepRef `json:"steps"`
}

// StepRef names a step of a run.
type StepRef struct {
	Job  string `json:"job"`
	Step int    `json:"step"`
}

// StepID is the name under which a step runs.
func StepID(run string, s StepRef) string { return fmt.Sprintf("%s/%s/%d", run, s.Job, s.Step) }

func needs(key string, s State, _ time.Time) []control.Request {
	if s.Run == nil || s.Run.Phase != Running {
		return nil
	}
	args := StepsArgs{Run: key}
	for _, id := range s.Run.Spec.Order() {
		for n, step := range s.Run.Jobs[id].Steps {
			if step.Phase == Running && s.Acts[slotOf(key, "step", id, n)].Phase == action.Succeeded {
				args.Steps = append(args.Steps, StepRef{id, n})
			}
		}
	}
	if len(args.Steps) == 0 {
		return nil
	}
	return []control.Request{{Name: "steps", Source: "steps", Args: args}}
}

// slotOf names what an action of a run is for.
func slotOf(run, what, job string, step int) string {
	return fmt.Sprintf("%s:%s/%s/%d", run, what, job, step)
}
