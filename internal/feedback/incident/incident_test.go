package incident_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/webhook"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var update = flag.Bool("update", false, "write what came out into the scenarios")

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// room is the real room over a store in memory and a virtual clock.
type room struct {
	*incident.Incidents
	t        *testing.T
	clock    *clock.Virtual
	store    *memory.Store
	states   *projection.Runner
	control  *control.Runner
	position int64
}

func projections() []*projection.Projection {
	return append(incident.Projections(), catalog.Projection(), action.Projection(), oncall.Projection(), maintenance.Projection())
}

func newRoom(t *testing.T, more ...control.Processor) *room {
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	r := &room{t: t, clock: c, store: store, states: projection.NewRunner(store.Log(), store.States(), projections()...)}
	r.Incidents = &incident.Incidents{Log: store.Log(), Reader: store.States(), Clock: c, Sync: r.states.CatchUp}
	sources := map[string]control.Source{oncall.SourceName: oncall.Source(store.States())}
	env := &control.Env{Log: store.Log(), Reader: store.States(), Sources: sources, Lease: func() event.Lease { return event.Lease{} }, Now: c.Now, Sync: r.states.CatchUp}
	processors := append([]control.Processor{control.Bind(incident.Controller()), control.Bind(incident.CallController())}, more...)
	r.control = control.NewRunner(env, c, slog.New(slog.NewTextHandler(io.Discard, nil)), processors...)
	if err := r.control.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.apply(catalog.KindService, "checkout", catalog.ServiceSpec{Team: "payments", Run: "x", Runbook: "https://runbooks.example/checkout"})
	r.apply(catalog.KindEnvironment, "staging", catalog.EnvironmentSpec{Delivery: "automatic"})
	r.apply(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{Delivery: "automatic", After: "staging"})
	r.page("https://pager.example/a")
	r.settle()
	r.fresh()
	return r
}

func (r *room) page(urls ...string) {
	var page []catalog.Webhook
	for _, u := range urls {
		page = append(page, catalog.Webhook{URL: u, SecretEnv: "PAGE_SECRET"})
	}
	r.apply(catalog.KindTeam, "payments", catalog.TeamSpec{Page: page})
}

func (r *room) apply(kind, name string, spec any) {
	b, err := json.Marshal(spec)
	if err != nil {
		r.t.Fatal(err)
	}
	a := resource.Applied{APIVersion: resource.APIVersion, Kind: kind, Metadata: resource.Metadata{Name: name}, Spec: b}
	r.record("resources", event.Draft{Type: resource.EventApplied, Subject: resource.Key(kind, name), Actor: "user:ana", Data: a})
}

func (r *room) record(stream string, d event.Draft) {
	r.t.Helper()
	d.Time = r.clock.Now()
	if _, err := r.Log.Append(r.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		r.t.Fatal(err)
	}
}

// declare applies a file of resources, team and all.
func (r *room) declare(file []byte) {
	r.t.Helper()
	r.declareQuietly(file)
	r.settle()
	r.fresh()
}

// declareQuietly leaves it to others to notice.
func (r *room) declareQuietly(file []byte) {
	r.t.Helper()
	kinds := slices.Concat(catalog.Kinds(), oncall.Kinds(), maintenance.Kinds(alert.CheckMatcher))
	set, findings := resource.Load(resource.NewRegistry(kinds...), map[string][]byte{"resources.yaml": file})
	if set == nil {
		r.t.Fatal(findings)
	}
	for _, o := range set.All() {
		r.apply(o.Kind, o.Metadata.Name, o.Spec)
	}
}

// advance goes on to a moment, and stops wherever a controller wants to wake.
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

// fresh reads the events since it was last called.
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
		if o.Name() != name {
			continue
		}
		in := o.NewInput()
		if err := json.Unmarshal([]byte(input), in); err != nil {
			r.t.Fatal(err)
		}
		return o.Call(r.t.Context(), who, in)
	}
	r.t.Fatalf("no operation %s", name)
	return nil, nil
}

var (
	developer = operation.Caller{Name: "user:ben", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "payments"}}}
	stranger  = operation.Caller{Name: "user:mal", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "search"}}}
)

// TestScenarios runs testdata/*.txtar. Lines of "in" are
//
//	TIME TYPE {data}            an event of another room, TIME as 12:00:05
//	TIME call OPERATION {input}  by a developer of the team
//	TIME wait                    time passes
//
// "resources" may declare the team's policy, schedules and people, and "want"
// is what the room records: facts with their telling fields,
// actions, refusals, and at the end the incidents.
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
			in, want := archive.Files[0].Data, &archive.Files[len(archive.Files)-1].Data
			if archive.Files[0].Name == "resources" {
				in = archive.Files[1].Data
				r.declare(archive.Files[0].Data)
			}
			for line := range strings.Lines(string(in)) {
				if line = strings.TrimSpace(line); line != "" {
					r.play(line, &got)
				}
			}
			r.incidents(&got)
			r.replay()
			r.rebuild()
			r.unchanged()
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
	typ, data, _ := strings.Cut(rest, " ")
	if typ == "wait" {
		tell()
		return
	}
	if typ == "call" {
		name, input, _ := strings.Cut(data, " ")
		if _, err := r.call(name, developer, input); err != nil {
			fmt.Fprintf(out, "%s %s refused: %s: %s\n", at, name, problem.KindOf(err), err)
		}
	} else {
		var subject struct {
			Rollout, Objective string
		}
		if err := json.Unmarshal([]byte(data), &subject); err != nil {
			r.t.Fatalf("%s: %v", line, err)
		}
		stream := "rollout/" + subject.Rollout
		if subject.Objective != "" {
			stream = "objective/" + subject.Objective
		}
		r.record(stream, event.Draft{Type: typ, Actor: "controller:x", Data: json.RawMessage(data)})
	}
	r.settle()
	tell()
}

func (r *room) tell(e event.Event, out *strings.Builder) {
	at := e.Time.Format("15:04:05")
	var d struct {
		Incident, Kind, Role, Title, Text, Reason, Rollout string
		Page, Message                                      string
		Severity                                           any
		People                                             []string
		Type                                               string
		ID                                                 string
	}
	switch {
	case strings.HasPrefix(e.Type, "incident."), strings.HasPrefix(e.Type, "page."):
		if err := json.Unmarshal(e.Data, &d); err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(out, "%s %s %s", at, e.Type, d.Incident+d.Page)
		if d.Severity != nil {
			fmt.Fprintf(out, " sev %v", d.Severity)
		}
		for _, s := range []string{d.Kind, d.Role, d.Rollout} {
			if s != "" {
				fmt.Fprintf(out, " %s", s)
			}
		}
		if len(d.People) > 0 {
			fmt.Fprintf(out, " %s", strings.Join(d.People, "+"))
		}
		for _, s := range []string{d.Title, d.Text, d.Reason, d.Message} {
			if s != "" {
				fmt.Fprintf(out, " | %s", s)
			}
		}
		fmt.Fprintln(out)
	case e.Type == action.EventProposed:
		if err := json.Unmarshal(e.Data, &d); err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(out, "%s proposed %s %s\n", at, d.Type, d.ID)
	}
}

func (r *room) incidents(out *strings.Builder) {
	list, err := r.call("incident.list", developer, `{"state": "all"}`)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, i := range list.(operation.Page[incident.Incident]).Items {
		fmt.Fprintf(out, "= %s sev %d %s, %d links, mitigated %t\n", i.Incident, i.Severity, i.State, len(i.Links), !i.MitigatedAt.IsZero())
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
		replay := incident.Controller().Replay
		if d.Controller == "page" {
			replay = incident.CallController().Replay
		}
		if plan, same, err := replay(d); err != nil || !same {
			r.t.Errorf("replayed at %d: %v, %+v, was %s", e.Position, err, plan, d.Plan)
		}
		if e.Cause == "" {
			r.t.Errorf("decision at %d has no cause", e.Position)
		}
	}
}

// rebuild folds the log from scratch and compares with what was folded event
// by event.
func (r *room) rebuild() {
	r.t.Helper()
	ctx := r.t.Context()
	again := memory.New(memory.Options{Clock: r.clock})
	defer again.Close()
	if err := projection.Rebuild(ctx, r.Log, again.States(), event.Query{}, projections()...); err != nil {
		r.t.Fatal(err)
	}
	for _, p := range incident.Projections() {
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

const rolledBack = `{"rollout":"checkout-3f2a91c-prod-1","service":"checkout","team":"payments","environment":"prod","revision":"3f2a91c-9be01d","change":"checkout-3f2a91c","reason":"errors: 19 of 1,204 bad"}`

// TestPage pages a real HTTP endpoint, which is down at first.
func TestPage(t *testing.T) {
	const secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDxAEzMDEyMzQ="
	var ids []string
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		if err := webhook.Verify(secret, q.Header, b, clock.Wall().Now()); err != nil {
			t.Error(err)
		}
		ids, body = append(ids, q.Header.Get(webhook.HeaderID)), b
		if len(ids) == 1 { // down at first
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	sender := webhook.NewWith(clock.Wall(), func(string) (string, bool) { return secret, true })
	executor := control.NewExecutor(nil, incident.PageTypes(&channel.Post{Notifier: sender, Clock: clock.Wall(), Web: "http://flyball.example/"})...)
	r := newRoom(t, executor)
	r.page(server.URL)
	r.record("rollout/checkout-3f2a91c-prod-1", event.Draft{Type: "rollout.rolled_back", Actor: "controller:rollout", Data: json.RawMessage(rolledBack)})
	r.settle()
	r.clock.Advance(time.Minute)
	r.settle()
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] != "page-inc-checkout-20261102t120000-sev3-1" {
		t.Fatalf("message identifiers: %q", ids)
	}
	var m struct {
		Type string
		Data struct{ Incident, URL, Runbook, Title string }
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	if m.Type != "incident.opened" || m.Data.URL != "http://flyball.example/incidents/inc-checkout-20261102t120000" || m.Data.Runbook != "https://runbooks.example/checkout" {
		t.Errorf("message: %+v", m)
	}
	r.clock.Advance(time.Hour)
	r.settle()
	if len(ids) != 2 {
		t.Errorf("paged again after it was delivered: %q", ids)
	}
	var types []string
	for _, e := range r.fresh() {
		if strings.HasPrefix(e.Type, "action.") {
			types = append(types, e.Type)
		}
		if strings.Contains(string(e.Data), secret) {
			t.Errorf("%s holds the secret", e.Type)
		}
	}
	if want := []string{"action.proposed", "action.gated", "action.started", "action.attempted", "action.succeeded"}; !slices.Equal(types, want) {
		t.Errorf("the action: %q", types)
	}
}

func TestTimelineAndPermissions(t *testing.T) {
	r := newRoom(t)
	r.record("change/checkout-3f2a91c", event.Draft{Type: "change.pushed", Actor: "user:ana", Data: json.RawMessage(`{"change":"checkout-3f2a91c","branch":"main","commits":[{"subject":"cache carts in redis"}]}`)})
	r.clock.Advance(time.Minute)
	r.record("rollout/checkout-3f2a91c-prod-1", event.Draft{Type: "rollout.stepped", Actor: "controller:rollout", Data: json.RawMessage(`{"revision":"3f2a91c-9be01d","weight":2500}`)})
	r.record("rollout/checkout-3f2a91c-prod-1", event.Draft{Type: "rollout.judged", Actor: "controller:rollout", Data: json.RawMessage(`{}`)})
	r.clock.Advance(time.Minute)
	r.record("rollout/checkout-3f2a91c-prod-1", event.Draft{Type: "rollout.rolled_back", Actor: "controller:rollout", Data: json.RawMessage(strings.Replace(rolledBack, "errors:", "Went back: errors:", 1))})
	// Going back is tried until the agent answers: that is worth one line.
	for _, typ := range []string{"action.attempted", "action.attempted", "action.attempted", "action.succeeded"} {
		r.record("action/a1", event.Draft{Type: typ, Subject: "rollout/checkout-3f2a91c-prod-1", Actor: "controller:action", Data: json.RawMessage(`{"id":"a1","error":"the agent does not answer"}`)})
	}
	r.settle()
	const name = "inc-checkout-20261102t120200"
	if _, err := r.call("incident.ack", stranger, `{"incident":"`+name+`"}`); problem.KindOf(err) != problem.Denied {
		t.Errorf("another team acknowledges: %v", err)
	}
	for _, step := range []string{"incident.ack", "incident.note", "incident.resolve"} {
		r.clock.Advance(time.Minute)
		if _, err := r.call(step, developer, `{"incident":"`+name+`","text":"looking at redis","reason":"carts are back"}`); err != nil {
			t.Fatal(err)
		}
	}
	r.clock.Advance(time.Minute)
	r.record("rollout/checkout-3f2a91c-prod-1", event.Draft{Type: "rollout.finished", Actor: "controller:rollout", Data: json.RawMessage(rolledBack)})
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := r.call("incident.show", developer, `{"incident":"`+name+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	show := out.(incident.ShowOutput)
	var got []string
	for _, e := range show.Timeline {
		got = append(got, e.At.Format("15:04")+" "+e.Type+": "+e.Text)
	}
	want := []string{
		"12:00 change.pushed: pushed to main: cache carts in redis",
		"12:01 rollout.stepped: 3f2a91c-9be01d gets 25 %",
		"12:02 rollout.rolled_back: Went back: errors: 19 of 1,204 bad",
		"12:02 action.attempted: the agent does not answer",
		"12:02 incident.opened: checkout: 3f2a91c-9be01d taken back: errors: 19 of 1,204 bad",
		"12:02 incident.paged: severity 3",
		"12:03 incident.acknowledged: carts are back",
		"12:04 incident.noted: incident.noted",
		"12:05 incident.resolved: carts are back",
	}
	want[7] = "12:04 incident.noted: looking at redis"
	if !slices.Equal(got, want) {
		t.Errorf("timeline:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	past, _, err := incident.Get(t.Context(), r.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	early, err := incident.Timeline(t.Context(), r.Log, past, start.Add(90*time.Second))
	if err != nil || len(early) != 2 {
		t.Errorf("as of 12:01:30: %+v, %v", early, err)
	}
	if _, err := r.call("incident.ack", developer, `{"incident":"`+name+`"}`); problem.KindOf(err) != problem.Conflict {
		t.Errorf("acknowledging what is resolved: %v", err)
	}
	if _, err := r.call("incident.show", developer, `{"incident":"inc-nothing"}`); problem.KindOf(err) != problem.NotFound {
		t.Errorf("an incident that is not: %v", err)
	}
}

// TestRepeatedCall: a call repeated under its key declares one incident.
func TestRepeatedCall(t *testing.T) {
	r := newRoom(t)
	ctx := operation.WithCall(t.Context(), "call-1")
	var declare operation.Operation
	for _, o := range r.Operations() {
		if o.Name() == "incident.declare" {
			declare = o
		}
	}
	for range 2 {
		in := declare.NewInput()
		if err := json.Unmarshal([]byte(`{"service":"checkout","environment":"prod","title":"double charges","severity":1}`), in); err != nil {
			t.Fatal(err)
		}
		out, err := declare.Call(ctx, developer, in)
		if err != nil {
			t.Fatal(err)
		}
		if i := out.(incident.Incident); i.Incident != "" && i.Severity != 1 {
			t.Errorf("declared %+v", i)
		}
		r.clock.Advance(time.Second)
	}
	n := 0
	for _, e := range r.fresh() {
		if e.Type == incident.EventOpened {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d incidents were opened", n)
	}
}
