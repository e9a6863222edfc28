package runbook_test

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

var update = flag.Bool("update", false, "write what came out into the scenarios")

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// room is the real room over a store in memory and a virtual clock. Commands
// are modelled: "30s exit 1" ends after 30 seconds with exit status 1.
type room struct {
	*runbook.Library
	t        *testing.T
	clock    *clock.Virtual
	store    *memory.Store
	states   *projection.Runner
	control  *control.Runner
	commands *commands
	burn     float64
	called   []string
	position int64
}

func projections() []*projection.Projection {
	return append(runbook.Projections(), catalog.Projection(), action.Projection())
}

func newRoom(t *testing.T, resources []byte) *room {
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	r := &room{t: t, clock: c, store: store, states: projection.NewRunner(store.Log(), store.States(), projections()...)}
	r.commands = &commands{clock: c, steps: map[string]*command{}}
	secret := func(name string) (string, bool) { return "hunter2", name == "token" }
	r.Library = &runbook.Library{Log: store.Log(), Reader: store.States(), Clock: c, Sync: r.states.CatchUp, Steps: r.commands, Secret: secret}
	bench := &runbook.Workbench{Dir: t.TempDir(), Steps: r.commands, Secret: secret, Call: r.operate}
	sources := map[string]control.Source{"runbook.commands": bench.Source, "budget": r.budget}
	env := &control.Env{Log: store.Log(), Reader: store.States(), Sources: sources, Lease: func() event.Lease { return event.Lease{} }, Now: c.Now, Sync: r.states.CatchUp}
	r.control = control.NewRunner(env, c, slog.New(slog.NewTextHandler(io.Discard, nil)),
		control.Bind(runbook.Controller()), control.NewExecutor(store.States(), bench.Types()...))
	if err := r.control.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, findings := resource.Load(resource.NewRegistry(append(catalog.Kinds(), runbook.Kinds()...)...), map[string][]byte{"resources.yaml": resources})
	if set == nil {
		t.Fatal(findings)
	}
	for _, o := range set.All() {
		b, err := json.Marshal(o.Spec)
		if err != nil {
			t.Fatal(err)
		}
		a := resource.Applied{APIVersion: resource.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: b}
		r.record("resources", event.Draft{Type: resource.EventApplied, Subject: o.Key(), Actor: "user:ana", Data: a})
	}
	r.settle()
	r.fresh()
	return r
}

// operate is the operations that a runbook may call here: incident.note, and
// release.rollback, which needs an operator.
func (r *room) operate(_ context.Context, caller operation.Caller, name string, input []byte) error {
	role := operation.Developer
	if name == "release.rollback" {
		role = operation.Operator
	}
	if !caller.May(role, operation.Scope{Team: "payments", Environment: "prod"}) {
		return problem.New(problem.Invalid, name, "%s may not", caller.Name)
	}
	r.called = append(r.called, fmt.Sprintf("%s calls %s %s", caller.Name, name, input))
	return nil
}

func (r *room) budget(_ context.Context, _ control.Request, now time.Time) (control.Reading, error) {
	data, err := json.Marshal(policy.Assessment{Inputs: policy.Inputs{Objectives: []policy.Budget{{Key: "checkout.prod.availability", Burn1h: r.burn}}}})
	return control.Reading{From: now, To: now, Complete: true, Data: data}, err
}

func (r *room) record(stream string, d event.Draft) {
	r.t.Helper()
	d.Time = r.clock.Now()
	if _, err := r.Log.Append(r.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		r.t.Fatal(err)
	}
}

// advance goes on to a moment, and stops wherever somebody wants to wake.
func (r *room) advance(to time.Time, each func()) {
	r.t.Helper()
	for {
		_, until := r.control.Step(r.t.Context())
		next := r.clock.Now().Add(until)
		if next.After(to) {
			break
		}
		r.clock.AdvanceTo(next)
		r.settle()
		each()
	}
	r.clock.AdvanceTo(to)
}

// settle lets everything happen that is due.
func (r *room) settle() {
	r.t.Helper()
	for {
		if err := r.control.Poll(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		if did, _ := r.control.Step(r.t.Context()); !did {
			break
		}
	}
	if err := r.Sync(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) fresh() []event.Event {
	r.t.Helper()
	events, err := r.Log.Read(r.t.Context(), event.Query{After: r.position, Limit: 10000})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(events) > 0 {
		r.position = events[len(events)-1].Position
	}
	return events
}

func (r *room) call(name string, who operation.Caller, input string) (any, error) {
	r.t.Helper()
	for _, o := range r.Operations() {
		if o.Name() == name {
			in := o.NewInput()
			if err := json.Unmarshal([]byte(input), in); err != nil {
				r.t.Fatal(err)
			}
			return o.Call(r.t.Context(), who, in)
		}
	}
	r.t.Fatalf("no operation %s", name)
	return nil, nil
}

var developer = operation.Caller{Name: "user:ben", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "payments"}}}

// TestScenarios runs testdata/*.txtar. Lines of "in" are
//
//	TIME TYPE {data}             an event of another room, TIME as 12:00:05
//	TIME call OPERATION {input}  by a developer of the team
//	TIME approve RUN STEP        by an operator; or reject
//	TIME burn RATE               of the service's objective from now on
//	TIME wait                    time passes
//
// and "want" is what the room records and proposes, what it calls, and at the
// end the runs and runbooks as a person sees them.
func TestScenarios(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) == 0 {
		t.Fatal("no scenarios")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := newRoom(t, archive.Files[0].Data)
			var got strings.Builder
			for line := range strings.Lines(string(archive.Files[1].Data)) {
				if line = strings.TrimSpace(line); line != "" {
					r.play(line, &got)
				}
			}
			r.end(&got)
			r.replay()
			r.rebuild()
			want := &archive.Files[2].Data
			if got.String() == string(*want) {
				return
			} else if !*update {
				t.Fatalf("got\n%s\nwant\n%s", got.String(), *want)
			}
			*want = []byte(got.String())
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func (r *room) play(line string, out *strings.Builder) {
	r.t.Helper()
	at, rest, _ := strings.Cut(line, " ")
	clockTime, err := time.Parse("15:04:05", at)
	if err != nil {
		r.t.Fatal(err)
	}
	tell := func() {
		for _, e := range r.fresh() {
			r.tell(e, out)
		}
	}
	r.advance(start.Truncate(24*time.Hour).Add(clockTime.Sub(clockTime.Truncate(24*time.Hour))), tell)
	what, data, _ := strings.Cut(rest, " ")
	switch what {
	case "wait":
	case "burn":
		_, err = fmt.Sscan(data, &r.burn)
	case "approve", "reject":
		id := "runbook-" + strings.Replace(data, " ", "-step", 1)
		typ := map[string]string{"approve": action.EventApproved, "reject": action.EventRejected}[what]
		r.record("action/"+id, event.Draft{Type: typ, Subject: "runbook/checkout.prod/" + strings.Fields(data)[0], Actor: "user:olga", Data: action.Answer{ID: id, Reason: "go"}})
	case "call":
		name, input, _ := strings.Cut(data, " ")
		if _, err := r.call(name, developer, input); err != nil {
			fmt.Fprintf(out, "%s %s refused: %s: %s\n", at, name, problem.KindOf(err), err)
		}
	default:
		r.record("incident/checkout.prod", event.Draft{Type: what, Actor: "controller:x", Data: json.RawMessage(data)})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.settle()
	tell()
}

func (r *room) tell(e event.Event, out *strings.Builder) {
	at := e.Time.Format("15:04:05")
	for _, c := range r.called {
		fmt.Fprintf(out, "%s %s\n", at, c)
	}
	r.called = nil
	var d struct {
		Run, Outcome, Reason, Text, Type, ID string
		SavedSeconds                         float64 `json:"saved_seconds"`
		Phase                                string
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		r.t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(e.Type, "runbook."):
		fmt.Fprintf(out, "%s %s %s %s | %s", at, e.Type, d.Run, d.Outcome, cmp.Or(d.Text, d.Reason))
		if d.SavedSeconds > 0 {
			fmt.Fprintf(out, " | saved %.0f s", d.SavedSeconds)
		}
		fmt.Fprintf(out, " (%s, %s)\n", e.Subject, e.Actor)
	case e.Type == action.EventProposed:
		fmt.Fprintf(out, "%s proposed %s %s\n", at, d.Type, d.ID)
	case e.Type == action.EventGated && d.Phase == string(action.Awaiting):
		fmt.Fprintf(out, "%s %s\n", at, d.Reason)
	case e.Type == action.EventSuperseded:
		fmt.Fprintf(out, "%s superseded %s\n", at, d.ID)
	}
}

func (r *room) end(out *strings.Builder) {
	runs, err := r.call("runbook.runs", developer, `{}`)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, run := range runs.(operation.Page[runbook.Run]).Items {
		p, err := r.call("runbook.progress", developer, `{"run": "`+run.Place.Run+`"}`)
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprint(out, p.(runbook.Progress).Tell())
	}
	list, err := r.call("runbook.list", developer, `{"service": "checkout"}`)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, b := range list.(operation.Page[runbook.Listed]).Items {
		fmt.Fprintln(out, strings.Join(b.Rows()[0], " "))
	}
}

// replay recomputes every recorded decision from its stored inputs.
func (r *room) replay() {
	r.t.Helper()
	events, err := r.Log.Read(r.t.Context(), event.Query{Types: []string{control.EventDecided}, Limit: 10000})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		d, err := event.Decode[control.Decision](e)
		if err != nil {
			r.t.Fatal(err)
		}
		plan, same, err := runbook.Controller().Replay(d)
		if err != nil || !same {
			r.t.Errorf("decision %s recomputed: %+v, %v", e.ID, plan, err)
		}
	}
}

// rebuild folds everything from scratch, which must give what was folded event
// by event.
func (r *room) rebuild() {
	r.t.Helper()
	ctx := r.t.Context()
	before := r.rows()
	fresh := memory.New(memory.Options{Clock: r.clock})
	defer fresh.Close()
	if err := projection.NewRunner(r.Log, fresh.States(), projections()...).CatchUp(ctx); err != nil {
		r.t.Fatal(err)
	}
	was := r.Reader
	r.Reader = fresh.States()
	defer func() { r.Reader = was }()
	if after := r.rows(); after != before {
		r.t.Errorf("folded from scratch:\n%s\nfolded event by event:\n%s", after, before)
	}
}

func (r *room) rows() string {
	var b strings.Builder
	for _, f := range []struct{ name, index, value string }{{"runbook", "all", "yes"}, {"runbook.desk", "busy", "yes"}} {
		page, err := r.Reader.List(r.t.Context(), f.name, projection.Filter{Index: f.index, Value: f.value, Limit: 1000})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, row := range page.Rows {
			fmt.Fprintf(&b, "%s %s\n", row.Key, row.State)
		}
	}
	return b.String()
}

// commands is the model of what runs commands.
type commands struct {
	clock *clock.Virtual
	mu    sync.Mutex
	steps map[string]*command
}

type command struct {
	spec   workload.StepSpec
	status workload.StepStatus
	until  time.Time
	exit   int
}

func (c *commands) Start(_ context.Context, id string, spec workload.StepSpec) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.steps[id] != nil {
		return nil
	}
	var lasts string
	s := &command{spec: spec}
	if _, err := fmt.Sscanf(spec.Shell, "%s exit %d", &lasts, &s.exit); err != nil {
		return err
	}
	d, err := time.ParseDuration(lasts)
	s.until = c.clock.Now().Add(d)
	s.status = workload.StepStatus{ID: id, State: workload.StepRunning, Started: c.clock.Now()}
	c.steps[id] = s
	return err
}

func (c *commands) Observe(_ context.Context, id string) (workload.StepStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.steps[id]
	if s == nil {
		return workload.StepStatus{}, problem.New(problem.NotFound, "observe", "no %s", id)
	}
	limit := s.status.Started.Add(s.spec.TimeLimit)
	end := func(how string, at time.Time) {
		s.status.State, s.status.End, s.status.ExitCode, s.status.Finished = workload.StepExited, how, s.exit, at
	}
	switch now := c.clock.Now(); {
	case s.status.Ended():
	case s.until.After(limit) && !now.Before(limit):
		end(workload.EndTimeLimit, limit)
	case !now.Before(s.until):
		end(workload.EndExited, s.until)
	}
	return s.status, nil
}

func (c *commands) Cancel(_ context.Context, id, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.steps[id]; s != nil && !s.status.Ended() {
		s.status.State, s.status.End, s.status.Finished = workload.StepExited, workload.EndCancelled, c.clock.Now()
	}
	return nil
}

func (c *commands) Output(_ context.Context, id string, _ int64, _ int) (workload.Chunk, error) {
	return workload.Chunk{Data: []byte("drained with token " + c.steps[id].spec.Env["TOKEN"] + "\n"), End: true}, nil
}

func (c *commands) Remove(context.Context, string) error { return nil }

func TestOutputIsMasked(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/by-hand.txtar")
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(t, archive.Files[0].Data)
	var out strings.Builder
	r.play(`12:00:00 call runbook.start {"runbook": "drain", "service": "checkout", "environment": "prod"}`, &out)
	r.play(`12:00:10 call runbook.done {"run": "drain-checkout-prod-20261102t120000"}`, &out)
	r.play(`12:00:20 approve drain-checkout-prod-20261102t120000 2`, &out)
	got, err := r.call("runbook.output", developer, `{"run": "drain-checkout-prod-20261102t120000"}`)
	if err != nil || got.(runbook.Output).Text != "drained with token ***\n" {
		t.Errorf("%+v, %v", got, err)
	}
}
