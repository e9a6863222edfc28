package runbook

import (
	"context"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// State is what the controller decides from.
type State struct {
	Desk
	Runs     []Open     `json:"runs,omitempty"`     // that are not over, oldest first
	Runbooks []Declared `json:"runbooks,omitempty"` // that may begin by themselves, while something has happened
}

// Open is a run that is not over.
type Open struct {
	Run
	Act    *Act    `json:"act,omitempty"`     // what was proposed for the current step
	ByHand float64 `json:"by_hand,omitempty"` // median of the seconds that a run by hand takes
}

// Act is how an action of a run is.
type Act struct {
	ID    string       `json:"id"`
	Phase action.Phase `json:"phase"`
	Error string       `json:"error,omitempty"`
}

// Declared is a runbook as declared.
type Declared struct {
	Name   string `json:"name"`
	Commit string `json:"commit,omitempty"`
	Spec
}

// The readings that decisions see.
const (
	readCommands = "runbook.commands" // data is map[run]workload.StepStatus
	readBudget   = "budget"           // data is policy.Assessment
)

// Controller begins runs and takes them to their end. It is keyed
// SERVICE.ENVIRONMENT.
func Controller() control.Controller[State] {
	return control.Controller[State]{
		Name: "runbook", Wakes: wakes, Active: active, Load: load, Needs: needs, Decide: Decide,
	}
}

func wakes(e event.Event) []string {
	if place, _, ok := ofSubject(e.Subject); ok {
		switch e.Type {
		case action.EventSucceeded, action.EventFailed, action.EventRejected:
			return []string{place}
		}
	}
	if !event.Matches(watched, e.Type) {
		return nil
	}
	return keyOf(e, placeKey)
}

// subject is what the actions of a run are about. It leads back to the place.
func subject(p Place) string { return "runbook/" + placeKey(p) + "/" + p.Run }

func ofSubject(s string) (place, run string, ok bool) {
	rest, ok := strings.CutPrefix(s, "runbook/")
	if !ok {
		return "", "", false
	}
	return cutLast(rest)
}

func cutLast(s string) (place, run string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

func active(ctx context.Context, r projection.Reader) (keys []string, err error) {
	f := projection.Filter{Index: "busy", Value: "yes", Limit: projection.MaxPage}
	for {
		page, err := r.List(ctx, deskName, f)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			keys = append(keys, row.Key)
		}
		if page.Next == "" {
			return keys, nil
		}
		f.After = page.Next
	}
}

func load(ctx context.Context, r projection.Reader, key string) (State, error) {
	desk, ok, err := projection.Get[Desk](ctx, r, deskName, key)
	s := State{Desk: desk}
	if err != nil || !ok {
		return s, err
	}
	for _, name := range desk.Open {
		open, err := loadRun(ctx, r, name)
		if err != nil {
			return s, err
		}
		s.Runs = append(s.Runs, open)
	}
	if len(desk.Happened) == 0 {
		return s, nil
	}
	all, err := declared(ctx, r)
	for _, d := range all {
		if d.Automatic != nil && d.covers(desk.Service, desk.Team) {
			s.Runbooks = append(s.Runbooks, d)
		}
	}
	return s, err
}

func loadRun(ctx context.Context, r projection.Reader, name string) (Open, error) {
	run, _, err := Get(ctx, r, name)
	open := Open{Run: run}
	if err != nil {
		return open, err
	}
	if n := run.current(); n > 0 && run.Steps[n-1].acts() {
		a, ok, err := projection.Get[action.Action](ctx, r, action.ProjectionName, actID(run.Place, n))
		if err != nil {
			return open, err
		}
		if ok {
			open.Act = &Act{ID: a.ID, Phase: a.Phase, Error: a.Error}
		}
	}
	if run.Automatic != nil && run.Automatic.Saves == 0 {
		t, _, err := projection.Get[Tally](ctx, r, tallyName, run.Runbook)
		if err != nil {
			return open, err
		}
		open.ByHand = t.byHand()
	}
	return open, nil
}

func declared(ctx context.Context, r projection.Reader) ([]Declared, error) {
	specs, entries, err := catalog.List[Spec](ctx, r, Kind)
	out := make([]Declared, len(specs))
	for i := range specs {
		out[i] = Declared{Name: entries[i].Metadata.Name, Commit: entries[i].Commit, Spec: specs[i]}
	}
	return out, err
}

// CommandsArgs asks source "runbook.commands" for those that run.
type CommandsArgs struct {
	Steps map[string]string `json:"steps"` // by run: what the command runs as
}

func needs(_ string, s State, _ time.Time) []control.Request {
	args := CommandsArgs{Steps: map[string]string{}}
	burn := false
	for _, o := range s.Runs {
		if n := o.current(); n > 0 && o.Steps[n-1].Command != "" && o.Act != nil && o.Act.Phase == action.Succeeded {
			args.Steps[o.Run.Run] = commandID(o.Run.Run, n)
		}
		burn = burn || o.Automatic != nil && o.Automatic.StopAtBurn > 0
	}
	var out []control.Request
	if len(args.Steps) > 0 {
		out = append(out, control.Request{Name: readCommands, Source: readCommands, Args: args})
	}
	if burn {
		out = append(out, control.Request{Name: readBudget, Source: readBudget, Args: policy.Args{Service: s.Service, Environment: s.Environment}})
	}
	return out
}

// statuses is the data of the reading "runbook.commands".
type statuses map[string]workload.StepStatus
