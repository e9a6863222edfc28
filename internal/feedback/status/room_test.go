package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/site"
)

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// shelf is a place that pages are written to, for tests that look at what was.
type shelf struct{ published []site.Files }

func (s *shelf) Publish(_ context.Context, _ site.Target, f site.Files) (site.Receipt, error) {
	s.published = append(s.published, f)
	return site.Receipt{Files: len(f), Written: len(f)}, nil
}

// render makes one file of all that is public.
func render(v status.View) (site.Files, error) {
	all, err := json.Marshal(v)
	return site.Files{site.Entrance: all}, err
}

// counts stands in for the engine of objectives: what it says is set by tests.
type counts struct {
	places map[string][]slo.Snapshot
	past   map[string]*slo.Series
	asked  int // for the past
}

func (c *counts) Snapshots(service, environment string) []slo.Snapshot {
	return c.places[service+"."+environment]
}

func (c *counts) Past(_ context.Context, key string, _, _ time.Time) (*slo.Series, error) {
	c.asked++
	if s := c.past[key]; s != nil {
		return s, nil
	}
	return slo.NewSeries(time.Minute, 0), nil
}

// set says how an objective has been over the last five minutes.
func (c *counts) set(service, name string, kind slo.IndicatorKind, bad, total int64, firing string) {
	target, err := slo.ParsePercent("99.9%")
	if err != nil {
		panic(err)
	}
	s := slo.Snapshot{Objective: &slo.Objective{Service: service, Environment: "prod", Name: name, Target: target, Indicator: slo.Indicator{Kind: kind}},
		Burns: []slo.Burn{{Window: 5 * time.Minute, Bad: bad, Total: total, Known: total > 0}}}
	if firing != "" {
		s.Alerts = []slo.RuleStatus{{Severity: firing, Firing: &slo.Firing{Severity: firing}}}
	}
	place := service + ".prod"
	c.places[place] = slices.DeleteFunc(c.places[place], func(x slo.Snapshot) bool { return x.Objective.Name == name })
	c.places[place] = append(c.places[place], s)
}

// letters takes messages as a mail server or a webhook does.
type letters struct {
	got  []notify.Message
	down bool
}

func (l *letters) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	if l.down {
		return notify.Receipt{}, problem.New(problem.Unavailable, "test", "550 %s%s is not known here", m.To.Address, m.To.URL)
	}
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	l.got = append(l.got, m)
	return notify.Receipt{Status: 250, Answer: "accepted for " + m.To.Address + m.To.URL}, nil
}

// room is the real room over a store in memory and a virtual clock.
type room struct {
	*status.Pages
	t       *testing.T
	clock   *clock.Virtual
	store   *memory.Store
	states  *projection.Runner
	control *control.Runner
	counts  *counts
	shelf   *shelf
	letters *letters
}

func projections() []*projection.Projection {
	return append(append(status.Projections(), catalog.Projection(), action.Projection(), maintenance.Projection()), channel.Projections()...)
}

func newRoom(t *testing.T) *room {
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	r := &room{t: t, clock: c, store: store, states: projection.NewRunner(store.Log(), store.States(), projections()...), shelf: &shelf{}, letters: &letters{},
		counts: &counts{places: map[string][]slo.Snapshot{}, past: map[string]*slo.Series{}}}
	r.Pages = &status.Pages{Log: store.Log(), Reader: store.States(), Clock: c, Sync: r.states.CatchUp, Objectives: r.counts, Render: render,
		Key: []byte("0123456789abcdef0123456789abcdef")}
	r.Mail = &channel.Post{Reader: store.States(), Notifier: r.letters, Clock: c}
	env := &control.Env{Log: store.Log(), Reader: store.States(), Sources: map[string]control.Source{status.SourceName: r.Source},
		Lease: func() event.Lease { return event.Lease{} }, Now: c.Now, Sync: r.states.CatchUp}
	r.control = control.NewRunner(env, c, slog.New(slog.NewTextHandler(io.Discard, nil)),
		control.Bind(status.Controller()), control.NewExecutor(store.States(), status.PublishType(r.Files, r.shelf), r.TellType()))
	if err := r.control.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.replay)
	t.Cleanup(r.rebuild)
	return r
}

// replay recomputes every recorded decision from its stored inputs.
func (r *room) replay() {
	events, err := r.Log.Read(context.Background(), event.Query{Types: []string{control.EventDecided}, Limit: 10000})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		d, err := event.Decode[control.Decision](e)
		if err != nil {
			r.t.Fatal(err)
		}
		if plan, same, err := status.Controller().Replay(d); err != nil || !same {
			r.t.Errorf("replayed at %d: %v, %+v, was %s", e.Position, err, plan, d.Plan)
		}
	}
}

// rebuild folds the log from scratch and compares with what was folded event
// by event.
func (r *room) rebuild() {
	ctx := context.Background()
	again := memory.New(memory.Options{Clock: r.clock})
	defer again.Close()
	if err := projection.Rebuild(ctx, r.Log, again.States(), event.Query{}, projections()...); err != nil {
		r.t.Fatal(err)
	}
	for _, p := range status.Projections() {
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

const page = `
apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {}
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
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: search}
spec: {team: payments, run: x}
---
apiVersion: flyball.dev/v1
kind: StatusPage
metadata: {name: public}
spec:
  title: Acme
  team: payments
  url: https://status.acme.example/
  timeZone: Europe/Berlin
  publish: [{directory: /srv/status}]
  components:
  - {name: pay, title: Payments, service: checkout, description: Cards and invoices, group: Shop}
  - {name: find, title: Search, service: search, group: Shop}
  - {name: people, title: Telephone support}
`

// declare applies a file of resources.
func (r *room) declare(file string) {
	r.t.Helper()
	kinds := slices.Concat(catalog.Kinds(), status.Kinds(), maintenance.Kinds(nil), channel.Kinds())
	set, findings := resource.Load(resource.NewRegistry(kinds...), map[string][]byte{"resources.yaml": []byte(file)})
	if set == nil {
		r.t.Fatal(findings)
	}
	for _, o := range set.All() {
		b, err := json.Marshal(o.Spec)
		if err != nil {
			r.t.Fatal(err)
		}
		a := resource.Applied{APIVersion: resource.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: b}
		r.record("resources", event.Draft{Type: resource.EventApplied, Subject: o.Key(), Actor: "user:ana", Data: a})
	}
	r.settle()
}

func (r *room) record(stream string, d event.Draft) {
	r.t.Helper()
	d.Time = r.clock.Now()
	if _, err := r.Log.Append(r.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		r.t.Fatal(err)
	}
}

// says records what an incident tells customers, as its own room does.
func (r *room) says(name, text string, public bool) {
	r.t.Helper()
	r.record("incident/checkout.prod", event.Draft{Type: incident.EventUpdated, Subject: "incident/" + name, Actor: "user:ana",
		Data: incident.Updated{Place: incident.Place{Incident: name, Service: "checkout", Team: "payments", Environment: "prod"}, Text: text, Public: public}})
	r.settle()
}

// pass lets time pass, and stops wherever a controller wants to wake.
func (r *room) pass(d time.Duration) {
	r.t.Helper()
	to := r.clock.Now().Add(d)
	for {
		_, until := r.control.Step(r.t.Context())
		next := r.clock.Now().Add(until)
		if next.After(to) {
			break
		}
		r.clock.AdvanceTo(next)
		r.settle()
	}
	r.clock.AdvanceTo(to)
}

// settle lets the controllers do everything that is due.
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

var (
	developer = operation.Caller{Name: "user:ben", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "payments"}}}
	stranger  = operation.Caller{Name: "user:mal", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "search"}}}
)

// try calls an operation.
func (r *room) try(who operation.Caller, name string, input any) (any, error) {
	r.t.Helper()
	raw, err := json.Marshal(input)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range r.Operations() {
		if o.Name() != name {
			continue
		}
		in := o.NewInput()
		if err := json.Unmarshal(raw, in); err != nil {
			r.t.Fatal(err)
		}
		out, err := o.Call(r.t.Context(), who, in)
		r.settle()
		return out, err
	}
	r.t.Fatalf("no operation %s", name)
	return nil, nil
}

func (r *room) say(in status.PostInput) status.Notice {
	r.t.Helper()
	in.Page = "public"
	out, err := r.try(developer, "statuspage.post", in)
	if err != nil {
		r.t.Fatal(err)
	}
	return out.(status.Notice)
}

func (r *room) show() status.Sheet {
	r.t.Helper()
	out, err := r.try(developer, "statuspage.show", status.PageInput{Page: "public"})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.(status.Sheet)
}

// draft is the only draft.
func (r *room) draft() status.Draft {
	r.t.Helper()
	s := r.show()
	if len(s.Drafts) != 1 {
		r.t.Fatalf("%d drafts:\n%s", len(s.Drafts), s.Tell())
	}
	return s.Drafts[0]
}

// view is the page as everybody sees it.
func (r *room) view() status.View {
	r.t.Helper()
	v, err := r.View(r.t.Context(), "public")
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// index is the first page as it was written last.
func (r *room) index() string {
	r.t.Helper()
	if len(r.shelf.published) == 0 {
		r.t.Fatal("nothing was published")
	}
	return string(r.shelf.published[len(r.shelf.published)-1]["index.html"])
}

// says reports whether all parts are in a text.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in\n%s", p, text)
		}
	}
}
