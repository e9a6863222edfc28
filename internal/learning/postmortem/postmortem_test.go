package postmortem_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

var update = flag.Bool("update", false, "write what came out into the scenarios")

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

const company = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {members: [ana <ana@example.org> <Ana Lovelace>, ben <Ben Hur>, dana]}
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: prod}
spec: {}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: checkout}
spec: {team: payments, run: x}
`

// room is the real room over a store in memory and a virtual clock.
type room struct {
	*postmortem.Desk
	t        testing.TB
	clock    *clock.Virtual
	store    *memory.Store
	states   *projection.Runner
	control  *control.Runner
	position int64
	story    postmortem.Story
}

func projections() []*projection.Projection {
	return append(postmortem.Projections(), catalog.Projection())
}

func kinds() *resource.Registry {
	return resource.NewRegistry(append(catalog.Kinds(), postmortem.Kinds()...)...)
}

func newRoom(t testing.TB) *room {
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	r := &room{t: t, clock: c, store: store, states: projection.NewRunner(store.Log(), store.States(), projections()...)}
	tell := func(context.Context, string) (postmortem.Story, error) {
		out := r.story
		out.Entries = append([]postmortem.Entry(nil), out.Entries...)
		return out, nil
	}
	r.Desk = &postmortem.Desk{Log: store.Log(), Reader: store.States(), Clock: c, Sync: r.states.CatchUp, Tell: tell}
	env := &control.Env{Log: store.Log(), Reader: store.States(), Lease: func() event.Lease { return event.Lease{} }, Now: c.Now, Sync: r.states.CatchUp,
		Sources: map[string]control.Source{postmortem.SourceName: postmortem.Source(store.States(), tell)}}
	r.control = control.NewRunner(env, c, slog.New(slog.NewTextHandler(io.Discard, nil)), control.Bind(postmortem.Controller()))
	if err := r.control.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.declare([]byte(company))
	return r
}

func (r *room) declare(file []byte) {
	r.t.Helper()
	set, findings := resource.Load(kinds(), map[string][]byte{"resources.yaml": file})
	if set == nil {
		r.t.Fatal(findings)
	}
	for _, o := range set.All() {
		b, err := json.Marshal(o.Spec)
		if err != nil {
			r.t.Fatal(err)
		}
		a := resource.Applied{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: b}
		r.record("resources", event.Draft{Type: resource.EventApplied, Subject: o.Key(), Actor: "user:ana", Data: a})
	}
	r.settle()
	r.fresh()
}

func (r *room) record(stream string, d event.Draft) event.Event {
	r.t.Helper()
	d.Time = r.clock.Now()
	if d.Subject == "" {
		d.Subject = stream
	}
	events, err := r.Log.Append(context.Background(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}})
	if err != nil {
		r.t.Fatal(err)
	}
	return events[0]
}

// advance goes on to a moment, and stops wherever the controller wants to wake.
func (r *room) advance(to time.Time, each func()) {
	r.t.Helper()
	for {
		_, until := r.control.Step(context.Background())
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

func (r *room) settle() {
	r.t.Helper()
	for {
		if err := r.control.Poll(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		if did, _ := r.control.Step(context.Background()); !did {
			break
		}
	}
	if err := r.Sync(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// fresh reads the events since it was last called.
func (r *room) fresh() []event.Event {
	r.t.Helper()
	events, err := r.Log.Read(context.Background(), event.Query{After: r.position, Limit: 10000})
	if err != nil {
		r.t.Fatal(err)
	}
	if len(events) > 0 {
		r.position = events[len(events)-1].Position
	}
	return events
}

func (r *room) call(ctx context.Context, name, who, input string) (any, error) {
	r.t.Helper()
	for _, o := range r.Operations() {
		if o.Name() != name {
			continue
		}
		in := o.NewInput()
		if err := json.Unmarshal([]byte(input), in); err != nil {
			r.t.Fatalf("%s: %v", input, err)
		}
		return o.Call(ctx, caller(who), in)
	}
	r.t.Fatalf("no operation %s", name)
	return nil, nil
}

// caller is a developer of payments; boss may do more, mal is of another team.
func caller(who string) operation.Caller {
	c := operation.Caller{Name: "user:" + who, Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "payments"}}}
	switch who {
	case "boss":
		c.Grants[1].Role = operation.Operator
	case "mal":
		c.Grants[1].Team = "search"
	}
	return c
}

// TestScenarios runs testdata/*.txtar. Lines of "in" are
//
//	TIME TYPE SUBJECT ACTOR {data}  a fact of another room
//	TIME call WHO OPERATION {input} by a developer of the team
//	TIME tell OPERATION {input}     what the operation shows
//	TIME wait                       time passes
//
// "story" is what the other rooms tell of the incident, "resources" may declare
// policies, and "want" is what the room records, refuses and shows.
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
			r := newRoom(t)
			var got strings.Builder
			want := &archive.Files[len(archive.Files)-1].Data
			for _, f := range archive.Files {
				switch f.Name {
				case "resources":
					r.declare(f.Data)
				case "story":
					if err := json.Unmarshal(f.Data, &r.story); err != nil {
						t.Fatal(err)
					}
				case "in":
					for line := range strings.Lines(string(f.Data)) {
						if line = strings.TrimSpace(line); line != "" {
							r.play(line, &got)
						}
					}
				}
			}
			r.replay()
			r.rebuild()
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
	to, err := time.Parse("2006-01-02T15:04:05", at)
	if err != nil {
		r.t.Fatal(err)
	}
	tell := func() {
		for _, e := range r.fresh() {
			r.tell(e, out)
		}
	}
	r.advance(to, tell)
	words := strings.SplitN(rest, " ", 4)
	switch words[0] {
	case "wait":
	case "call":
		if _, err := r.call(context.Background(), words[2], words[1], words[3]); err != nil {
			fmt.Fprintf(out, "%s %s by %s refused: %s: %s (%s)\n", at, words[2], words[1], problem.KindOf(err), strings.ReplaceAll(err.Error(), "\n", " | "), problem.NextOf(err))
		}
	case "tell":
		name, input, _ := strings.Cut(strings.TrimPrefix(rest, "tell "), " ")
		shown, err := r.call(context.Background(), name, "ben", input)
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(out, "%s %s %s\n%s\n", at, name, input, indent(said(shown)))
	default:
		_, data, _ := strings.Cut(rest, "{")
		r.record(words[1], event.Draft{Type: words[0], Actor: words[2], Data: json.RawMessage("{" + data)})
	}
	r.settle()
	tell()
}

func said(shown any) string {
	if t, ok := shown.(operation.Teller); ok {
		return t.Tell()
	}
	var lines []string
	switch page := shown.(type) {
	case operation.Page[postmortem.Row]:
		for _, row := range page.Items {
			lines = append(lines, strings.Join(row.Rows()[0], " | "))
		}
	case operation.Page[postmortem.ActionItem]:
		for _, row := range page.Items {
			lines = append(lines, strings.Join(row.Rows()[0], " | "))
		}
	case operation.Page[postmortem.Version]:
		for _, v := range page.Items {
			lines = append(lines, fmt.Sprintf("%s %s %s %s %d %q", v.At.Format("01-02 15:04"), v.By, v.What, v.Section, v.Version, v.Text))
		}
	}
	return strings.Join(lines, "\n")
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

func (r *room) tell(e event.Event, out *strings.Builder) {
	if !strings.HasPrefix(e.Type, "postmortem.") {
		return
	}
	var d struct {
		Rule, Reason, Section, Text, Item, Title string
		Due                                      time.Time
		Version, Edition                         int
		Factors                                  []string
		Evidence                                 *postmortem.Evidence
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintf(out, "%s %s", e.Time.Format("2006-01-02T15:04:05"), e.Type)
	if !strings.HasPrefix(e.Actor, "controller:") {
		fmt.Fprintf(out, " by %s", e.Actor)
	}
	for _, s := range []string{d.Item, d.Rule, d.Section, d.Title, d.Text, d.Reason} {
		if s != "" {
			fmt.Fprintf(out, " | %s", s)
		}
	}
	if d.Evidence != nil {
		fmt.Fprintf(out, " | %s: %s", d.Evidence.Kind, d.Evidence.Text)
	}
	if !d.Due.IsZero() {
		fmt.Fprintf(out, " | due %s", d.Due.Format("2006-01-02T15:04:05"))
	}
	if len(d.Factors) > 0 {
		fmt.Fprintf(out, " | %s", strings.Join(d.Factors, ", "))
	}
	if d.Edition > 0 {
		fmt.Fprintf(out, " | edition %d", d.Edition)
	}
	fmt.Fprintln(out)
}

// replay recomputes every recorded decision from its stored inputs.
func (r *room) replay() {
	r.t.Helper()
	events, err := r.Log.Read(context.Background(), event.Query{Types: []string{control.EventDecided}, Limit: 10000})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		d, err := event.Decode[control.Decision](e)
		if err != nil {
			r.t.Fatal(err)
		}
		if plan, same, err := postmortem.Controller().Replay(d); err != nil || !same {
			r.t.Errorf("replayed at %d: %v, %+v, was %s", e.Position, err, plan, d.Plan)
		}
		if e.Cause == "" && d.Verdict != "overdue" {
			r.t.Errorf("decision at %d has no cause", e.Position)
		}
	}
}

// rebuild folds the log from scratch and compares with what was folded event
// by event, index by index.
func (r *room) rebuild() {
	r.t.Helper()
	ctx := context.Background()
	again := memory.New(memory.Options{Clock: r.clock})
	defer again.Close()
	if err := projection.Rebuild(ctx, r.Log, again.States(), event.Query{}, projections()...); err != nil {
		r.t.Fatal(err)
	}
	for _, p := range postmortem.Projections() {
		a, err := r.store.States().List(ctx, p.Name, projection.Filter{Limit: 1000})
		b, err2 := again.States().List(ctx, p.Name, projection.Filter{Limit: 1000})
		if err := errors.Join(err, err2); err != nil {
			r.t.Fatal(err)
		}
		if x, y := fmt.Sprintf("%s", a.Rows), fmt.Sprintf("%s", b.Rows); x != y {
			r.t.Errorf("%s: folded one by one\n%s\nfrom scratch\n%s", p.Name, x, y)
		}
	}
}
