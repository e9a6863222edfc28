package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// desk is the questions over HTTP, of a house whose budget is what a test says.
type desk struct {
	t        *testing.T
	policies *policy.Policies
	clock    *clock.Virtual
	url      string

	remaining, burn float64
	complete        bool
	none            bool // no objectives
}

func newDesk(t *testing.T) *desk {
	c := clock.NewVirtual(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC))
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	runner := projection.NewRunner(store.Log(), store.States(), append(policy.Projections(), catalog.Projection())...)
	d := &desk{t: t, clock: c, remaining: 1, complete: true}
	d.policies = &policy.Policies{Log: store.Log(), Reader: store.States(), Clock: c, Sync: runner.CatchUp, Budgets: d.budgets}
	d.apply(catalog.KindService, "checkout", catalog.ServiceSpec{Team: "payments", Run: "x"})
	d.apply(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{Delivery: "automatic"})
	ops := append(d.policies.Operations(), (&rollout.Court{}).Operations()...)
	a, err := api.New(api.Options{Operations: ops, Hooks: hooks(ops), Log: store.Log(), Authenticator: readers{}, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a.Guard(a))
	t.Cleanup(s.Close)
	t.Cleanup(a.Close)
	d.url = s.URL
	return d
}

type readers struct{}

func (readers) Authenticate(_ context.Context, bearer string) (operation.Caller, error) {
	if bearer != "reader" {
		return operation.Caller{}, problem.New(problem.Denied, "test", "the token is not known")
	}
	return operation.Caller{Name: "token:reader", Grants: []operation.Grant{{Role: operation.Viewer}}}, nil
}

func (d *desk) budgets(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args, _ := r.Args.(map[string]string)
	objectives := []map[string]any{}
	if !d.none && args["environment"] == "prod" && args["service"] != "ghost" {
		objectives = append(objectives, map[string]any{"key": args["service"] + ".prod.availability", "name": "availability", "remaining": d.remaining, "burn_1h": d.burn, "allowed": 100, "bad_left": 100 * d.remaining})
	}
	data, err := json.Marshal(map[string]any{"objectives": objectives})
	return control.Reading{Name: "budget", From: now, To: now, Complete: d.complete, Data: data}, err
}

func (d *desk) apply(kind, name string, spec any) {
	b, err := json.Marshal(spec)
	if err != nil {
		d.t.Fatal(err)
	}
	d.record("resources", event.Draft{Type: resource.EventApplied, Subject: resource.Key(kind, name), Actor: "user:ana",
		Data: resource.Applied{APIVersion: resource.APIVersion, Kind: kind, Metadata: resource.Metadata{Name: name}, Spec: b}})
}

func (d *desk) record(stream string, draft event.Draft) {
	d.t.Helper()
	if _, err := d.policies.Log.Append(d.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{draft}}); err != nil {
		d.t.Fatal(err)
	}
	if err := d.policies.Sync(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// send gives status and body of an answer; user is a password for Basic.
func (d *desk) send(method, path, body, password string) (int, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if password != "" {
		req.SetBasicAuth("flagger", password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

const flaggers = `{"name":"checkout","namespace":"shop","phase":"Progressing","checksum":"85d557f47b","metadata":{"environment":"prod"}}`

// Argo Rollouts' web metric takes any 2xx with JSON, and reads from that what
// its jsonPath names; Flagger looks at the status alone.
func TestGateAsOthersAsk(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		remaining       float64
		effect          policy.Effect
		confirm, goBack int
	}{{0.9, policy.Allow, 200, 423}, {0.3, policy.Slow, 200, 423}, {-0.1, policy.Freeze, 423, 200}} {
		d.remaining = c.remaining
		status, body := d.send("GET", "/api/v1/gate?service=checkout&environment=prod", "", "")
		var g struct {
			Effect     policy.Effect
			Allowed    bool
			Reason     string
			Rule       string
			Remaining  float64
			Objectives []policy.Budget
		}
		if err := json.Unmarshal([]byte(body), &g); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		if g.Effect != c.effect || g.Allowed != (c.effect != policy.Freeze) || g.Reason == "" || g.Rule == "" || g.Remaining != c.remaining || len(g.Objectives) != 1 {
			t.Errorf("remaining %v: %s", c.remaining, body)
		}
		if status, body := d.send("POST", "/api/v1/gate", flaggers, ""); status != c.confirm {
			t.Errorf("confirm at %v: %d %s", c.remaining, status, body)
		}
		if status, body := d.send("POST", "/api/v1/gate/rollback", flaggers, ""); status != c.goBack {
			t.Errorf("rollback at %v: %d %s", c.remaining, status, body)
		}
	}
	for _, c := range []struct {
		method, path, body, password string
		want                         int
		says                         string
	}{
		{"GET", "/api/v1/gate?service=checkout", "", "", 200, `"environment":"prod"`},
		{"GET", "/api/v1/gate", "", "", 422, "service"},
		{"GET", "/api/v1/gate?service=ghost&environment=prod", "", "", 404, "ghost"},
		{"GET", "/api/v1/gate?service=other&environment=prod", "", "", 200, `"effect":"freeze"`}, // measured, not declared
		{"GET", "/api/v1/gate?service=checkout&at=2026-11-01T00:00:00Z", "", "", 422, "cannot look back"},
		{"POST", "/api/v1/gate?service=checkout&environment=prod", "", "", 423, "is spent"},
		{"POST", "/api/v1/gate", flaggers, "reader", 423, "is spent"},
		{"POST", "/api/v1/gate", flaggers, "guess", 401, "not known"},
		{"POST", "/api/v1/gate", `{"name":"checkout","metadata":{"enviroment":"prod"}}`, "", 422, "environment"},
		{"POST", "/api/v1/gate", `[1]`, "", 422, "webhook"},
		{"POST", "/api/v1/gate", `{"name":"ghost","namespace":"n","phase":"p","metadata":{"environment":"prod"}}`, "", 404, "ghost"},
	} {
		if status, body := d.send(c.method, c.path, c.body, c.password); status != c.want || !strings.Contains(body, c.says) {
			t.Errorf("%s %s %s: %d %s; want %d with %q", c.method, c.path, c.body, status, body, c.want, c.says)
		}
	}
	events, err := d.policies.Log.Read(t.Context(), event.Query{Types: []string{api.EventCalled}})
	if err != nil || len(events) != 0 {
		t.Errorf("questions were recorded as writes: %v, %v", events, err)
	}
}

// The gate's exit code is 3 when it is closed.
func TestGateOnTheCommandLine(t *testing.T) {
	t.Setenv("FLYBALL_SERVER", "")
	t.Setenv("FLYBALL_TOKEN", "")
	d := newDesk(t)
	for remaining, want := range map[float64]int{0.9: cli.ExitOK, 0.3: cli.ExitOK, -0.1: cli.ExitBlocked} {
		d.remaining = remaining
		for _, format := range []string{"table", "json"} {
			var out, talk bytes.Buffer
			args := []string{"gate", "show", "checkout", "--environment", "prod", "--server", d.url, "-o", format}
			if code := cli.Main(t.Context(), cli.New(d.policies.Operations()), args, strings.NewReader(""), &out, &talk); code != want || talk.Len() > 0 {
				t.Errorf("remaining %v as %s: exit code %d, want %d\n%s%s", remaining, format, code, want, &out, &talk)
			}
		}
	}
}

func TestJudgeAsOthersAsk(t *testing.T) {
	d := newDesk(t)
	recording := func(bad int) string {
		var csv strings.Builder
		csv.WriteString("time,revision,requests,bad\n")
		for i := range 200 {
			fmt.Fprintf(&csv, "%d,baseline,900,4\n%d,canary,100,%d\n", 1_790_000_000+10*i, 1_790_000_000+10*i, bad)
		}
		return csv.String()
	}
	quoted := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	for bad, want := range map[int]struct {
		verdict         string
		confirm, goBack int
	}{0: {"on", 200, 423}, 5: {"back", 423, 200}} {
		status, body := d.send("POST", "/api/v1/judge", `{"csv":`+quoted(recording(bad))+`}`, "")
		if status != 200 || !strings.Contains(body, `"verdict":"`+want.verdict+`"`) {
			t.Errorf("%d bad: %d %s", bad, status, body)
		}
		hook := `{"name":"checkout","namespace":"shop","phase":"Progressing","checksum":"1","metadata":{"alpha":"0.01","csv":` + quoted(recording(bad)) + `}}`
		if status, body := d.send("POST", "/api/v1/judge", hook, ""); status != want.confirm {
			t.Errorf("confirm with %d bad: %d %s", bad, status, body)
		}
		if status, body := d.send("POST", "/api/v1/judge/rollback", hook, ""); status != want.goBack {
			t.Errorf("rollback with %d bad: %d %s", bad, status, body)
		}
	}
	if status, body := d.send("POST", "/api/v1/judge", `{"csv":"`+strings.Repeat("x", 2<<20)+`"}`, ""); status != 413 {
		t.Errorf("a large body: %d %s", status, body)
	}
}

// The gate as a question and the gate of releases are one decision: over random
// budgets, marks, kinds, freezes and overrides they agree.
func TestGateAgreesWithTheReleaseGate(t *testing.T) {
	d := newDesk(t)
	r := rand.New(rand.NewPCG(7, 7))
	effects := map[bool]int{}
	for i := range 300 {
		d.clock.Advance(time.Hour)
		now := d.clock.Now()
		d.remaining, d.burn = 2*r.Float64()-1, 10*r.Float64()
		d.complete, d.none = r.IntN(8) > 0, r.IntN(8) == 0
		environment := catalog.EnvironmentSpec{Delivery: "automatic"}
		if r.IntN(3) == 0 {
			environment.Freezes = []catalog.Freeze{{From: now.Add(-time.Minute), To: now.Add(time.Minute), Reason: "end of year"}}
		}
		d.apply(catalog.KindEnvironment, "prod", environment)
		if r.IntN(4) == 0 {
			d.record("override/checkout.prod", event.Draft{Type: policy.EventOverridden, Actor: "user:eve", Time: now.Add(-time.Minute),
				Data: policy.Overridden{Service: "checkout", Environment: "prod", Rule: policy.RuleFreeze, Reason: "x", Expires: now.Add(10 * time.Minute)}})
		}
		p := release.Proposed{Release: "r", Change: fmt.Sprintf("checkout-%07d", i), Service: "checkout", Environment: "prod", Kind: []string{"deploy", "rollback", "redeploy"}[r.IntN(3)]}
		facts := release.GateFacts{Service: &catalog.Service{Name: "checkout"}, Environment: catalog.Environment{Name: "prod", EnvironmentSpec: environment}, Attempt: 1}
		if r.IntN(4) == 0 {
			facts.Mark = &change.Mark{As: "fix", By: "user:eve", Reason: "x"}
			d.record("change/"+p.Change, event.Draft{Type: "change.marked", Actor: "user:eve", Data: map[string]string{"change": p.Change, "as": "fix"}})
		}
		asked := d.ask(p)
		opened := d.released(p, facts)
		if asked.Allowed != opened {
			t.Fatalf("asked: %+v\nthe release gate lets it through: %t", asked, opened)
		}
		effects[opened]++
	}
	if effects[true] < 50 || effects[false] < 50 {
		t.Errorf("one-sided: %v", effects)
	}
}

func (d *desk) ask(p release.Proposed) policy.GateAnswer {
	d.t.Helper()
	op := byName(d.policies.Operations(), "gate.show")
	out, err := op.Call(d.t.Context(), api.Anonymous, &policy.GateInput{Service: p.Service, Environment: p.Environment, Change: p.Change, Kind: p.Kind})
	if err != nil {
		d.t.Fatal(err)
	}
	return out.(policy.GateAnswer)
}

// released says whether the freeze and budget clauses of the release gate pass.
func (d *desk) released(p release.Proposed, f release.GateFacts) bool {
	d.t.Helper()
	args := map[string]string{"service": p.Service, "environment": p.Environment, "change": p.Change, "kind": p.Kind}
	reading, err := policy.Source(d.policies.Reader, d.budgets)(d.t.Context(), control.Request{Name: "budget", Source: "budget", Args: args}, d.clock.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	facts, _ := json.Marshal(f)
	params, _ := json.Marshal(p)
	g, _ := release.Gate(control.GateInput{Action: action.Action{Proposal: action.Proposal{ID: "a", Params: params}}, Facts: facts, Readings: []control.Reading{reading}}, d.clock.Now())
	passes := 0
	for _, c := range g.Clauses {
		if (c.Name == "freeze" || c.Name == "error budget") && (c.Verdict == "pass" || c.Verdict == "info") {
			passes++
		}
	}
	return passes == 2
}
