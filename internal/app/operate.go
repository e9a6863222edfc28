package app

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// operate holds the operations that look across all wings, or at what runs.
type operate struct{ app *App }

// StatusInput bounds the status.
type StatusInput struct {
	Service string `json:"service" doc:"of this service only"`
}

// Status is how everything is: one line per service and environment.
type Status struct {
	Places    []PlaceStatus       `json:"places"`
	Incidents []incident.Incident `json:"incidents"`
	Waiting   []action.Action     `json:"waiting"` // actions that wait for people, or for policy
}

// PlaceStatus is one service in one environment.
type PlaceStatus struct {
	Service     string  `json:"service"`
	Environment string  `json:"environment"`
	Team        string  `json:"team"`
	Running     string  `json:"running,omitempty"` // stable revision
	Moving      string  `json:"moving,omitempty"`  // revision on its way
	Rollout     string  `json:"rollout,omitempty"`
	Weight      int     `json:"weight,omitempty"` // canary's share, basis points
	Budget      float64 `json:"budget"`           // least share left of its objectives; 1 without any
	Objective   string  `json:"objective,omitempty"`
	Burn1h      float64 `json:"burn_1h"`       // greatest burn rate of its objectives over 1 h
	Run         string  `json:"run,omitempty"` // newest run of its pipeline, while it runs or if it failed
	State       string  `json:"state"`
}

// Tell is the status as people read it.
func (s Status) Tell() string {
	rows := [][]string{{"SERVICE", "ENV", "RUNNING", "BUDGET", "BURN 1h", "STATE"}}
	for _, p := range s.Places {
		running := p.Running
		if p.Moving != "" {
			running = strings.TrimPrefix(p.Running+" → "+p.Moving, " → ")
		}
		if running == "" {
			running = "–"
		}
		rows = append(rows, []string{p.Service, p.Environment, running, fmt.Sprintf("%.0f %%", 100*p.Budget), fmt.Sprintf("%.1f×", p.Burn1h), oneLine(p.State)})
	}
	text := aligned(rows)
	for _, i := range s.Incidents {
		text += "\nIncident  " + strings.ReplaceAll(strings.Join(i.Rows()[0], "  "), "\n", " ")
	}
	for _, a := range s.Waiting {
		reason := string(a.Phase)
		if a.Gate != nil {
			reason += ": " + a.Gate.Reason
		}
		text += fmt.Sprintf("\nWaiting   %s: %s", a.Subject, reason)
	}
	if len(s.Places) == 0 {
		text += "\nno service is declared; flyball init writes a service file"
	}
	return text
}

// aligned lays rows out in columns, the last one ragged.
func aligned(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for n, r := range rows {
		if n > 0 {
			b.WriteByte('\n')
		}
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(c))+2))
			}
		}
	}
	return b.String()
}

// RunsInput names what runs.
type RunsInput struct {
	Service     string `json:"service" arg:"1" doc:"service"`
	Environment string `json:"environment" doc:"environment (default: the last one on the way)"`
	Revision    string `json:"revision" doc:"revision (default: the stable one; for logs, the one on its way if there is one)"`
	Instance    string `json:"instance" doc:"instance (default: the first)"`
}

// RestartInput names what to restart and says why.
type RestartInput struct {
	Service     string `json:"service" arg:"1" doc:"service"`
	Environment string `json:"environment" required:"true" doc:"environment"`
	Reason      string `json:"reason" required:"true" doc:"why, for the record"`
}

// Output is what an instance printed.
type Output struct {
	Service  string `json:"service"`
	Revision string `json:"revision"`
	Instance string `json:"instance"`
	Text     string `json:"text" doc:"the end of its output, at most 1 MiB"`
}

// Tell is the output itself.
func (o Output) Tell() string { return strings.TrimRight(o.Text, "\n") }

// TopInput bounds the list of what runs.
type TopInput struct {
	Service string `json:"service" doc:"of this service only"`
}

// Instance is one running copy.
type Instance struct {
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Revision    string    `json:"revision"`
	Instance    string    `json:"instance"`
	State       string    `json:"state"`
	Port        int       `json:"port"`
	Pid         int       `json:"pid"`
	Restarts    int       `json:"restarts"`
	Reason      string    `json:"reason,omitempty"`
	Since       time.Time `json:"since"`
}

const restartType = "workload.restart"

// Operations are what users can ask of what runs.
func (o *operate) Operations() []operation.Operation {
	scope := func(ctx context.Context, service, environment string) (operation.Scope, error) {
		s, err := catalog.GetService(ctx, o.app.env.Reader, service)
		return operation.Scope{Team: s.Team, Environment: environment}, err
	}
	return []operation.Operation{
		operation.Define(operation.Spec[StatusInput, Status]{
			Noun: "status", Verb: "show", Summary: "Show how everything is: revisions, budgets, rollouts, incidents", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in StatusInput) (Status, error) {
				return o.app.Status(ctx, in.Service)
			},
		}),
		operation.Define(operation.Spec[TopInput, operation.Page[Instance]]{
			Noun: "top", Verb: "list", Summary: "List what runs: instances with their ports, restarts and states", Role: operation.Viewer, Handle: o.top,
		}),
		operation.Define(operation.Spec[RunsInput, Output]{
			Noun: "logs", Verb: "show", Summary: "Show what an instance of a service printed", Role: operation.Viewer,
			Help: "  flyball logs checkout\n  flyball logs checkout --revision 8be01d4-5c1d0a", Handle: o.logs,
		}),
		operation.Define(operation.Spec[RestartInput, Restart]{
			Noun: "service", Verb: "restart", Summary: "Replace a service's instances one after another, without losing a request", Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in RestartInput) (operation.Scope, error) {
				return scope(ctx, in.Service, in.Environment)
			},
			Handle: o.restart,
		}),
		operation.Define(operation.Spec[ServicesInput, operation.Page[catalog.Service]]{
			Noun: "service", Verb: "list", Summary: "List the services declared", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ServicesInput) (operation.Page[catalog.Service], error) {
				all, err := catalog.Services(ctx, operation.Reader(ctx, o.app.env.Reader))
				page, next := pageOf(all, func(s catalog.Service) string { return s.Name }, in.After, in.Limit)
				return operation.Page[catalog.Service]{Items: page, Next: next}, err
			},
		}),
	}
}

// ServicesInput bounds a list of services.
type ServicesInput struct {
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// pageOf cuts a page out of a list that is ordered by name.
func pageOf[T any](all []T, name func(T) string, after string, limit int) (page []T, next string) {
	from := sort.Search(len(all), func(i int) bool { return after == "" || name(all[i]) > after })
	to := min(len(all), from+operation.Limit(limit, 100, 500))
	if to < len(all) {
		next = name(all[to-1])
	}
	return all[from:to], next
}

// Status gathers the status.
func (a *App) Status(ctx context.Context, service string) (Status, error) {
	r := operation.Reader(ctx, a.env.Reader)
	out := Status{Places: []PlaceStatus{}}
	services, err := catalog.Services(ctx, r)
	if err != nil {
		return out, err
	}
	environments, err := catalog.Environments(ctx, r)
	if err != nil {
		return out, err
	}
	for _, s := range services {
		for _, e := range environments {
			if !s.In(e.Name) || service != "" && s.Name != service {
				continue
			}
			p, err := a.placeStatus(ctx, r, s, e.Name)
			if err != nil {
				return out, err
			}
			out.Places = append(out.Places, p)
		}
	}
	if out.Incidents, err = openIncidents(ctx, r, service); err != nil {
		return out, err
	}
	out.Waiting, err = waiting(ctx, r)
	return out, err
}

// openIncidents lists the incidents that are not resolved, newest first.
func openIncidents(ctx context.Context, r projection.Reader, service string) ([]incident.Incident, error) {
	list, _, err := projection.List[incident.Incident](ctx, r, incident.ProjectionName, projection.Filter{Index: "state", Value: "open", Limit: 100, Newest: true})
	out := []incident.Incident{}
	for _, i := range list {
		if service == "" || i.Service == service {
			out = append(out, i)
		}
	}
	return out, err
}

// waiting lists the actions that wait for people or for policy.
func waiting(ctx context.Context, r projection.Reader) ([]action.Action, error) {
	out := []action.Action{}
	for _, phase := range []action.Phase{action.Blocked, action.Awaiting} {
		list, _, err := projection.List[action.Action](ctx, r, action.ProjectionName, projection.Filter{Index: "phase", Value: string(phase), Limit: 50, Newest: true})
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if a.Gate != nil {
				a.Gate.Inputs = nil
			}
			out = append(out, a)
		}
	}
	return out, nil
}

func (a *App) placeStatus(ctx context.Context, r projection.Reader, s catalog.Service, environment string) (PlaceStatus, error) {
	p := PlaceStatus{Service: s.Name, Environment: environment, Team: s.Team, Budget: 1, State: "not released yet"}
	place, err := release.GetPlace(ctx, r, s.Name, environment)
	if err != nil {
		return p, err
	}
	if place.Stable != nil {
		p.Running, p.State = place.Stable.Revision, "healthy"
	}
	for i, o := range a.watcher.Snapshots(s.Name, environment) {
		if i == 0 || o.Budget.RemainingRatio < p.Budget {
			p.Budget, p.Objective = o.Budget.RemainingRatio, o.Objective.Key()
		}
		p.Burn1h = max(p.Burn1h, o.BurnOver(time.Hour))
		if f := o.Firing("page"); f != nil {
			p.State = "burning: " + f.Reason
		}
	}
	if p.State == "healthy" {
		reading, err := policy.Source(r, a.budgets())(ctx, control.Request{Name: "budget", Args: map[string]string{"service": s.Name, "environment": environment}}, a.cfg.Clock.Now())
		var budget policy.Assessment
		if err == nil && json.Unmarshal(reading.Data, &budget) == nil && budget.Policy.Frozen {
			p.State = "frozen: " + budget.Policy.Reason
			if by := budget.Policy.SpentBy; by != "" {
				p.State = "frozen: budget spent by " + by
			}
		}
	}
	if place.Stable == nil && place.Moving == "" {
		if err := p.failed(ctx, r); err != nil {
			return p, err
		}
	}
	if err := p.move(ctx, r, place.Moving); err != nil {
		return p, err
	}
	return p, p.build(ctx, r)
}

// failed says of a place where nothing serves yet what came of the newest try,
// if there was one.
func (p *PlaceStatus) failed(ctx context.Context, r projection.Reader) error {
	tries, _, err := projection.List[rollout.Rollout](ctx, r, rollout.ProjectionName,
		projection.Filter{Index: "place", Value: p.Service + "." + p.Environment, Limit: 1, Newest: true})
	if err != nil || len(tries) == 0 {
		return err
	}
	t := tries[0]
	p.Rollout = t.Rollout
	p.State = fmt.Sprintf("nothing serves: the first revision %s %s", t.Revision, strings.ReplaceAll(t.Outcome, "_", " "))
	if t.Ended != nil && t.Ended.Reason != "" {
		p.State += ": " + t.Ended.Reason
	}
	return nil
}

// move adds the rollout that is under way, if there is one.
func (p *PlaceStatus) move(ctx context.Context, r projection.Reader, name string) error {
	if name == "" {
		return nil
	}
	m, ok, err := rollout.Get(ctx, r, name)
	if err != nil || !ok {
		return err
	}
	p.Moving, p.Rollout, p.Weight = m.Revision, m.Rollout, m.Weight
	p.State = fmt.Sprintf("%s %s, canary %g %%", m.Strategy, m.Phase, float64(m.Weight)/100)
	if m.Reason != "" {
		p.State += ": " + m.Reason
	}
	return nil
}

// build adds the newest run of the service's pipeline, unless it succeeded.
func (p *PlaceStatus) build(ctx context.Context, r projection.Reader) error {
	runs, _, err := projection.List[pipeline.Run](ctx, r, pipeline.ProjectionName, projection.Filter{Index: "service", Value: p.Service, Limit: 1, Newest: true})
	if err != nil || len(runs) == 0 || runs[0].Result == pipeline.Success {
		return err
	}
	run := runs[0]
	p.Run = run.ID
	p.State += fmt.Sprintf("; run %s: %s", run.ID, or(string(run.Result), string(run.Phase)))
	if run.Reason != "" {
		p.State += ", " + run.Reason
	}
	return nil
}

func (o *operate) top(ctx context.Context, _ operation.Caller, in TopInput) (operation.Page[Instance], error) {
	list, err := o.app.ports.Runtime.Observe(ctx, in.Service, "")
	out := operation.Page[Instance]{Items: []Instance{}}
	for _, s := range list {
		for _, i := range s.Instances {
			out.Items = append(out.Items, Instance{
				Service: s.Service, Environment: s.Environment, Revision: s.Revision, Instance: i.ID, State: string(i.State),
				Port: i.Port, Pid: i.Pid, Restarts: i.Restarts, Reason: i.Reason, Since: i.Since,
			})
		}
	}
	return out, err
}

func (o *operate) logs(ctx context.Context, _ operation.Caller, in RunsInput) (Output, error) {
	if in.Environment == "" {
		s, err := catalog.GetService(ctx, o.app.env.Reader, in.Service)
		if err != nil {
			return Output{}, err
		}
		all, err := catalog.Environments(ctx, o.app.env.Reader)
		if err != nil {
			return Output{}, err
		}
		for _, e := range all {
			if s.In(e.Name) {
				in.Environment = e.Name
			}
		}
	}
	list, err := o.app.ports.Runtime.Observe(ctx, in.Service, in.Environment)
	if err != nil {
		return Output{}, err
	}
	ref, instance := workload.Ref{}, ""
	if status, id := pick(list, in); status != nil {
		ref, instance = status.Ref, id
	} else if ref, instance, err = o.ended(ctx, in); err != nil {
		return Output{}, err
	}
	chunk, err := o.app.ports.Runtime.Output(ctx, ref, instance, -workload.MaxOutput, workload.MaxOutput)
	if problem.KindOf(err) == problem.NotFound {
		err = problem.New(problem.NotFound, "logs.show", "nothing is left of what instance %s of %s printed", instance, ref).WithNext("flyball top lists what runs")
	}
	return Output{Service: in.Service, Revision: ref.Revision, Instance: instance, Text: strings.ToValidUTF8(string(chunk.Data), "\uFFFD")}, err
}

// ended names an instance that no longer runs, such as that of a canary that
// was taken back: its output is kept for a while.
func (o *operate) ended(ctx context.Context, in RunsInput) (workload.Ref, string, error) {
	ref := workload.Ref{Service: in.Service, Environment: in.Environment}
	recent, _, err := projection.List[rollout.Rollout](ctx, o.app.env.Reader, rollout.ProjectionName,
		projection.Filter{Index: "place", Value: in.Service + "." + in.Environment, Limit: 100, Newest: true})
	if err != nil {
		return ref, "", err
	}
	for _, r := range recent {
		if strings.HasPrefix(r.Revision, in.Revision) {
			ref.Revision = r.Revision
			return ref, or(in.Instance, firstInstance), nil
		}
	}
	what := in.Service
	if in.Revision != "" {
		what += " " + in.Revision
	}
	return ref, "", problem.New(problem.NotFound, "logs.show", "%s has not run in %s yet", what, in.Environment).
		WithNext("flyball top lists what runs; flyball pipeline logs RUN shows a build's output")
}

// firstInstance is the name a runtime gives the first instance of a revision.
const firstInstance = "0-1"

// pick chooses an instance: of the revision named, else of the newest started.
func pick(list []workload.Status, in RunsInput) (*workload.Status, string) {
	var best *workload.Status
	var instance string
	var since time.Time
	for i := range list {
		s := &list[i]
		if in.Revision != "" && s.Revision != in.Revision && !strings.HasPrefix(s.Revision, in.Revision) {
			continue
		}
		for _, n := range s.Instances {
			if in.Instance != "" && n.ID != in.Instance {
				continue
			}
			if best == nil || n.Since.After(since) {
				best, instance, since = s, n.ID, n.Since
			}
		}
	}
	return best, instance
}

// RestartParams says what to restart.
type RestartParams struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
}

// Restart is a restart that was asked for.
type Restart struct {
	action.Proposal
	RestartParams
}

// Tell says what happens now.
func (r Restart) Tell() string {
	return fmt.Sprintf("Restarting %s in %s: the instances of %s are replaced one after another, each once its replacement is ready.\nNext: flyball top --service %s",
		r.Service, r.Environment, r.Revision, r.Service)
}

// restart proposes the action; the executor runs it.
func (o *operate) restart(ctx context.Context, c operation.Caller, in RestartInput) (Restart, error) {
	place, err := release.GetPlace(ctx, o.app.env.Reader, in.Service, in.Environment)
	if err != nil {
		return Restart{}, err
	}
	if place.Stable == nil {
		return Restart{}, problem.New(problem.NotFound, "service.restart", "nothing of %s runs in %s", in.Service, in.Environment)
	}
	stream := "place/" + release.PlaceKey(in.Service, in.Environment)
	version, err := o.app.log.Version(ctx, stream)
	if err != nil {
		return Restart{}, err
	}
	what := RestartParams{in.Service, in.Environment, place.Stable.Revision}
	p := action.Proposal{
		ID: fmt.Sprintf("%s@%d!restart", stream, version+1), Type: restartType, Subject: stream, Reason: in.Reason,
		Params: action.Params(what),
	}
	_, err = o.app.log.Append(ctx, event.Batch{Stream: stream, Expect: version, Drafts: []event.Draft{{
		ID: p.ID, Type: action.EventProposed, Subject: stream, Actor: c.Name, Cause: operation.CallID(ctx), Data: p,
	}}})
	return Restart{p, what}, err
}

// restartAction has the effect; the action's identifier is the token, so that
// running it again restarts nothing again.
func (a *App) restartAction() control.Type {
	return control.Type{Name: restartType, Attempts: 5, Run: func(ctx context.Context, act action.Action) (any, error) {
		var p RestartParams
		if err := json.Unmarshal(act.Params, &p); err != nil {
			return nil, problem.New(problem.Invalid, restartType, "parameters of %s: %w", act.ID, err)
		}
		return nil, a.ports.Runtime.Restart(ctx, workload.Ref{Service: p.Service, Environment: p.Environment, Revision: p.Revision}, act.ID)
	}}
}
