package runbook

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Library is where people find runbooks and go through them.
type Library struct {
	Log    event.Log
	Reader projection.Reader
	Clock  clock.Clock
	// Sync waits until Reader shows the end of the log.
	Sync  func(ctx context.Context) error
	Steps workload.Steps
	// Secret gives a secret's value, which is masked in what is shown.
	Secret func(name string) (string, bool)
}

// Listed is a runbook with what became of its runs.
type Listed struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Team  string `json:"team"`
	Steps int    `json:"steps"`
	Tally
	MedianByHand float64 `json:"median_by_hand_seconds,omitempty" doc:"what runs by hand took until done"`
	ByItself     string  `json:"by_itself,omitempty" doc:"the condition on which it runs by itself"`
}

// Shown is a runbook with its newest runs.
type Shown struct {
	Declared
	Tally Tally `json:"tally"`
	Runs  []Run `json:"runs" doc:"newest first, at most 20"`
}

// ListInput bounds a list of runbooks.
type ListInput struct {
	Service string `json:"service" doc:"that are for this service only"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// ShowInput names a runbook.
type ShowInput struct {
	Runbook string `json:"runbook" arg:"1" doc:"name of the runbook"`
}

// StartInput begins a run.
type StartInput struct {
	Runbook     string `json:"runbook" arg:"1" doc:"name of the runbook"`
	Service     string `json:"service" required:"true" doc:"service it is gone through for"`
	Environment string `json:"environment" required:"true" doc:"environment of that service"`
	Reason      string `json:"reason" doc:"why, for the record"`
}

// RunsInput bounds a list of runs.
type RunsInput struct {
	State    string `json:"state" enum:"running,done,failed,stopped" doc:"in this state only"`
	Runbook  string `json:"runbook" doc:"of this runbook only, whatever their state"`
	Incident string `json:"incident" doc:"of this incident only, whatever their state"`
	After    string `json:"after" doc:"cursor from the page before"`
	Limit    int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// RunInput names a run.
type RunInput struct {
	Run string `json:"run" arg:"1" doc:"name of the run"`
}

// DoneInput says that the step a person has to do is over.
type DoneInput struct {
	Run    string `json:"run" arg:"1" doc:"name of the run"`
	Note   string `json:"note" doc:"what was found, for the timeline"`
	Skip   bool   `json:"skip" doc:"it was not done; say why in the note"`
	Failed bool   `json:"failed" doc:"it did not work; say how in the note"`
}

// StopInput ends a run.
type StopInput struct {
	Run    string `json:"run" arg:"1" doc:"name of the run"`
	Reason string `json:"reason" required:"true" doc:"why, for the record"`
}

// OutputInput names a command's output.
type OutputInput struct {
	Run  string `json:"run" arg:"1" doc:"name of the run"`
	Step int    `json:"step" doc:"step, from 1; default: the last command that was started"`
}

// Output is what a command printed.
type Output struct {
	Run  string `json:"run"`
	Step int    `json:"step"`
	Text string `json:"text" doc:"the end of it, secrets masked, at most 1 MiB"`
}

// Tell is the output itself.
func (o Output) Tell() string { return strings.TrimSuffix(o.Text, "\n") }

// Operations are what users can do with runbooks.
func (l *Library) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Listed]]{
			Noun: "runbook", Verb: "list", Summary: "List runbooks with what became of their runs, and what they saved", Role: operation.Viewer, Handle: l.list,
		}),
		operation.Define(operation.Spec[ShowInput, Shown]{
			Noun: "runbook", Verb: "show", Summary: "Show a runbook and its newest runs", Role: operation.Viewer, Handle: l.show,
			Scope: func(ctx context.Context, in ShowInput) (operation.Scope, error) {
				spec, _, err := catalog.Get[Spec](ctx, l.Reader, Kind, in.Runbook)
				return operation.Scope{Team: spec.Team}, err
			},
		}),
		operation.Define(operation.Spec[StartInput, Run]{
			Noun: "runbook", Verb: "start", Summary: "Begin to go through a runbook",
			Help: "It belongs to the open incident of the service there, if there is one. Steps that Flyball does wait for an operator\n" +
				"(flyball action approve), unless the runbook says that they need no approval.\n\n  flyball runbook start checkout-errors --service checkout --environment prod",
			Role: operation.Developer, Write: true, Handle: l.start,
			Scope: func(ctx context.Context, in StartInput) (operation.Scope, error) {
				s, err := catalog.GetService(ctx, l.Reader, in.Service)
				return operation.Scope{Team: s.Team, Environment: in.Environment}, err
			},
		}),
		operation.Define(operation.Spec[RunsInput, operation.Page[Run]]{
			Noun: "runbook", Verb: "runs", Summary: "List runs of runbooks, newest first", Role: operation.Viewer, Handle: l.runs,
		}),
		operation.Define(operation.Spec[RunInput, Progress]{
			Noun: "runbook", Verb: "progress", Summary: "Show how far a run has come, and who did what", Role: operation.Viewer, Handle: l.progress,
			Scope: func(ctx context.Context, in RunInput) (operation.Scope, error) { return l.scope(ctx, in.Run) },
		}),
		operation.Define(operation.Spec[DoneInput, Run]{
			Noun: "runbook", Verb: "done", Summary: "Say that the step a person has to do is done", Role: operation.Developer, Write: true, Handle: l.done,
			Scope: func(ctx context.Context, in DoneInput) (operation.Scope, error) { return l.scope(ctx, in.Run) },
		}),
		operation.Define(operation.Spec[StopInput, Run]{
			Noun: "runbook", Verb: "stop", Summary: "End a run; what it runs is cancelled", Role: operation.Developer, Write: true, Handle: l.stop,
			Scope: func(ctx context.Context, in StopInput) (operation.Scope, error) { return l.scope(ctx, in.Run) },
		}),
		operation.Define(operation.Spec[OutputInput, Output]{
			Noun: "runbook", Verb: "output", Summary: "Show what a command of a run printed", Role: operation.Developer, Handle: l.output,
			Scope: func(ctx context.Context, in OutputInput) (operation.Scope, error) { return l.scope(ctx, in.Run) },
		}),
	}
}

func (l *Library) scope(ctx context.Context, run string) (operation.Scope, error) {
	r, err := l.get(ctx, l.Reader, run)
	return operation.Scope{Team: r.Team, Environment: r.Environment}, err
}

func (l *Library) get(ctx context.Context, reader projection.Reader, name string) (Run, error) {
	r, ok, err := Get(ctx, reader, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "runbook", "there is no run named %q", name).WithNext("flyball runbook runs shows them")
	}
	return r, err
}

func (l *Library) list(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Listed], error) {
	reader := operation.Reader(ctx, l.Reader)
	out := operation.Page[Listed]{Items: []Listed{}}
	all, err := declared(ctx, reader)
	if err != nil {
		return out, err
	}
	team := ""
	if in.Service != "" {
		s, err := catalog.GetService(ctx, reader, in.Service)
		if err != nil {
			return out, err
		}
		team = s.Team
	}
	most := operation.Limit(in.Limit, 100, 500)
	for _, d := range all {
		if d.Name <= in.After || in.Service != "" && !d.covers(in.Service, team) {
			continue
		}
		if len(out.Items) == most {
			out.Next = out.Items[most-1].Name
			break
		}
		t, _, err := projection.Get[Tally](ctx, reader, tallyName, d.Name)
		if err != nil {
			return out, err
		}
		row := Listed{Name: d.Name, Title: d.Title, Team: d.Team, Steps: len(d.Steps), Tally: t, MedianByHand: t.byHand()}
		if d.Automatic != nil {
			row.ByItself = d.Automatic.When
		}
		row.Hand = nil
		out.Items = append(out.Items, row)
	}
	return out, nil
}

func (l *Library) show(ctx context.Context, _ operation.Caller, in ShowInput) (Shown, error) {
	reader := operation.Reader(ctx, l.Reader)
	spec, entry, err := catalog.Get[Spec](ctx, reader, Kind, in.Runbook)
	if err != nil {
		return Shown{}, err
	}
	out := Shown{Declared: Declared{Name: in.Runbook, Commit: entry.Commit, Spec: spec}}
	if out.Tally, _, err = projection.Get[Tally](ctx, reader, tallyName, in.Runbook); err != nil {
		return out, err
	}
	out.Runs, _, err = projection.List[Run](ctx, reader, ProjectionName, projection.Filter{Index: "runbook", Value: in.Runbook, Limit: 20, Newest: true})
	return out, err
}

func (l *Library) runs(ctx context.Context, _ operation.Caller, in RunsInput) (operation.Page[Run], error) {
	f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 50, 500), Newest: true}
	switch {
	case in.Incident != "":
		f.Index, f.Value = "incident", in.Incident
	case in.Runbook != "":
		f.Index, f.Value = "runbook", in.Runbook
	case in.State != "":
		f.Index, f.Value = "state", in.State
	}
	items, next, err := projection.List[Run](ctx, operation.Reader(ctx, l.Reader), ProjectionName, f)
	return operation.Page[Run]{Items: items, Next: next}, err
}

func (l *Library) start(ctx context.Context, caller operation.Caller, in StartInput) (Run, error) {
	spec, entry, err := catalog.Get[Spec](ctx, l.Reader, Kind, in.Runbook)
	if err != nil {
		return Run{}, err
	}
	service, err := catalog.GetService(ctx, l.Reader, in.Service)
	if err != nil {
		return Run{}, err
	}
	if _, err := catalog.GetEnvironment(ctx, l.Reader, in.Environment); err != nil {
		return Run{}, err
	}
	if !spec.covers(in.Service, service.Team) {
		return Run{}, problem.New(problem.Invalid, "runbook.start", "%s is not for %s", in.Runbook, in.Service).
			WithNext("flyball runbook list --service %s shows what is", in.Service)
	}
	key := Key(in.Service, in.Environment)
	version, desk, err := l.desk(ctx, key)
	if err != nil {
		return Run{}, err
	}
	for _, name := range desk.Open {
		open, err := l.get(ctx, l.Reader, name)
		if err != nil {
			return Run{}, err
		}
		if open.Runbook == in.Runbook && open.Event != operation.FactID(ctx, EventStarted) {
			return Run{}, problem.New(problem.Conflict, "runbook.start", "%s is gone through already: %s, since %s", in.Runbook, name, stamp(open.StartedAt)).
				WithNext("flyball runbook progress %s shows how far it is", name)
		}
	}
	p := Place{
		Run: RunName(in.Runbook, in.Service, in.Environment, l.Clock.Now()), Runbook: in.Runbook, Service: in.Service, Team: service.Team,
		Environment: in.Environment, Incident: desk.Incident, Rollout: desk.Rollout,
	}
	return l.record(ctx, caller, version, p, EventStarted, Started{
		Place: p, Title: spec.Title, Commit: entry.Commit, Steps: spec.Steps, Reason: cmp.Or(in.Reason, in.Runbook+" was begun by hand"),
	})
}

// desk reads a place with the version of its stream: what is appended at that
// version is decided on what was read.
func (l *Library) desk(ctx context.Context, key string) (version int64, d Desk, err error) {
	if version, err = l.Log.Version(ctx, "runbook/"+key); err != nil {
		return 0, d, err
	}
	if err = l.Sync(ctx); err != nil {
		return 0, d, err
	}
	d, _, err = projection.Get[Desk](ctx, l.Reader, deskName, key)
	return version, d, err
}

// open reads a run that is not over, with the version of its stream.
func (l *Library) open(ctx context.Context, name string) (int64, Run, error) {
	r, err := l.get(ctx, l.Reader, name)
	if err != nil {
		return 0, r, err
	}
	version, _, err := l.desk(ctx, placeKey(r.Place))
	if err == nil {
		r, err = l.get(ctx, l.Reader, name)
	}
	if err == nil && r.State != StateRunning {
		err = problem.New(problem.Conflict, "runbook", "%s is over: %s, %s", name, r.State, r.Ending)
	}
	return version, r, err
}

func (l *Library) done(ctx context.Context, caller operation.Caller, in DoneInput) (Run, error) {
	version, r, err := l.open(ctx, in.Run)
	if err != nil {
		return r, err
	}
	n := r.current()
	if n == 0 {
		return r, problem.New(problem.Conflict, "runbook.done", "every step of %s is over", in.Run)
	}
	step := r.Steps[n-1]
	if step.acts() {
		return r, problem.New(problem.Conflict, "runbook.done", "step %d, %s, is Flyball's to do", n, step.Name).
			WithNext("flyball runbook progress %s shows what it waits for", in.Run)
	}
	if (in.Skip || in.Failed) && in.Note == "" || in.Skip && in.Failed {
		return r, problem.New(problem.Invalid, "runbook.done", "say in --note why step %d, %s, was skipped or how it failed; one of the two", n, step.Name)
	}
	s := Stepped{Place: r.Place, Step: n, Name: step.Name, Outcome: OutcomeDone}
	switch {
	case in.Skip:
		s.Outcome = OutcomeSkipped
	case in.Failed:
		s.Outcome = OutcomeFailed
	}
	s.Reason, s.Text = in.Note, stepText(r.Place, n, step.Name, s.Outcome, in.Note)
	return l.record(ctx, caller, version, r.Place, EventStepped, s)
}

func (l *Library) stop(ctx context.Context, caller operation.Caller, in StopInput) (Run, error) {
	version, r, err := l.open(ctx, in.Run)
	if err != nil {
		return r, err
	}
	return l.record(ctx, caller, version, r.Place, EventStopping, Said{Place: r.Place, Reason: in.Reason})
}

func (l *Library) record(ctx context.Context, caller operation.Caller, version int64, p Place, typ string, data any) (Run, error) {
	_, err := l.Log.Append(ctx, event.Batch{Stream: "runbook/" + placeKey(p), Expect: version, Drafts: []event.Draft{{
		ID: operation.FactID(ctx, typ), Type: typ, Subject: about(p), Time: l.Clock.Now(), Actor: caller.Name, Cause: operation.CallID(ctx), Data: data,
	}}})
	if err == nil {
		err = l.Sync(ctx)
	}
	if err != nil {
		return Run{}, err
	}
	return l.get(ctx, l.Reader, p.Run)
}

func (l *Library) output(ctx context.Context, _ operation.Caller, in OutputInput) (Output, error) {
	r, err := l.get(ctx, l.Reader, in.Run)
	if err != nil {
		return Output{}, err
	}
	if in.Step == 0 {
		for n := min(len(r.Results)+1, len(r.Steps)); n > 0 && in.Step == 0; n-- {
			if r.Steps[n-1].Command != "" {
				in.Step = n
			}
		}
	}
	if in.Step < 1 || in.Step > len(r.Steps) || r.Steps[in.Step-1].Command == "" {
		return Output{}, problem.New(problem.NotFound, "runbook.output", "step %d of %s is no command", in.Step, in.Run).
			WithNext("flyball runbook progress %s shows the steps", in.Run)
	}
	chunk, err := l.Steps.Output(ctx, commandID(in.Run, in.Step), -workload.MaxOutput, workload.MaxOutput)
	if problem.KindOf(err) == problem.NotFound {
		return Output{}, problem.New(problem.NotFound, "runbook.output", "step %d of %s has not begun", in.Step, in.Run)
	}
	if err != nil {
		return Output{}, err
	}
	var values []string
	for _, name := range r.Steps[in.Step-1].Secrets {
		if value, ok := l.Secret(name); ok {
			values = append(values, value)
		}
	}
	return Output{Run: in.Run, Step: in.Step, Text: workload.NewMask(values).Text(strings.ToValidUTF8(string(chunk.Data), "�"))}, nil
}

// Header names the columns of a list of runbooks.
func (r Listed) Header() []string {
	return []string{"RUNBOOK", "TEAM", "STEPS", "BY HAND", "BY ITSELF", "DONE", "FAILED", "SAVED", "TITLE"}
}

// Rows is the runbook as a line of a list.
func (r Listed) Rows() [][]string {
	return [][]string{{
		r.Name, r.Team, strconv.Itoa(r.Steps), strconv.Itoa(r.ByHand), strconv.Itoa(r.Tally.Automatic), strconv.Itoa(r.Done), strconv.Itoa(r.Failed),
		brief(r.Saved), r.Title,
	}}
}

// Header names the columns of a list of runs.
func (r Run) Header() []string {
	return []string{"RUN", "STATE", "STEP", "SERVICE", "ENV", "BEGAN", "BY", "INCIDENT"}
}

// Rows is the run as a line of a list.
func (r Run) Rows() [][]string {
	return [][]string{{r.Place.Run, r.State, fmt.Sprintf("%d of %d", len(r.Results), len(r.Steps)), r.Service, r.Environment, stamp(r.StartedAt), r.By, r.Incident}}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// brief is a number of seconds as people say it.
func brief(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d == 0:
		return "–"
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
}
