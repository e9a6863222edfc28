package policy_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// house is a store with one service in one environment whose budget is what
// the test says.
type house struct {
	*policy.Policies
	t         *testing.T
	clock     *clock.Virtual
	remaining float64
}

func newHouse(t *testing.T) *house {
	c := clock.NewVirtual(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC))
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	runner := projection.NewRunner(store.Log(), store.States(), append(policy.Projections(), catalog.Projection())...)
	h := &house{t: t, clock: c}
	h.Policies = &policy.Policies{Log: store.Log(), Reader: store.States(), Clock: c, Sync: runner.CatchUp, Budgets: h.budgets}
	h.apply(catalog.KindService, "checkout", catalog.ServiceSpec{Team: "payments", Run: "x"})
	h.apply(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{Delivery: "automatic"})
	return h
}

func (h *house) budgets(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
	if args, ok := r.Args.(map[string]string); !ok || args["service"] != "checkout" || args["environment"] != "prod" {
		h.t.Errorf("budgets were asked for with %v", r.Args)
	}
	data, err := json.Marshal(map[string]any{"objectives": []map[string]any{
		{"key": "checkout.prod.availability", "name": "availability", "target": "99.9%", "remaining": h.remaining, "burn_1h": 1.5},
	}})
	return control.Reading{From: now.Add(-time.Hour), To: now, Complete: true, Data: data}, err
}

func (h *house) apply(kind, name string, spec any) {
	b, err := json.Marshal(spec)
	if err != nil {
		h.t.Fatal(err)
	}
	a := resource.Applied{APIVersion: resource.APIVersion, Kind: kind, Metadata: resource.Metadata{Name: name}, Spec: b, Commit: "c0ffee"}
	h.record("resources", event.Draft{Type: resource.EventApplied, Subject: resource.Key(kind, name), Actor: "user:ana", Data: a})
}

func (h *house) record(stream string, d event.Draft) {
	h.t.Helper()
	if _, err := h.Log.Append(h.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		h.t.Fatal(err)
	}
	if err := h.Sync(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) call(name string, who operation.Caller, input map[string]any) (any, error) {
	h.t.Helper()
	for _, o := range h.Operations() {
		if o.Name() != name {
			continue
		}
		in := o.NewInput()
		b, _ := json.Marshal(input)
		if err := json.Unmarshal(b, in); err != nil {
			h.t.Fatal(err)
		}
		return o.Call(h.t.Context(), who, in)
	}
	h.t.Fatalf("no operation %s", name)
	return nil, nil
}

func (h *house) assess(change string) policy.Assessment {
	h.t.Helper()
	args := map[string]string{"service": "checkout", "environment": "prod", "change": change}
	r, err := policy.Source(h.Reader, h.budgets)(h.t.Context(), control.Request{Name: "budget", Source: "budget", Args: args}, h.clock.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	var a policy.Assessment
	if err := json.Unmarshal(r.Data, &a); err != nil {
		h.t.Fatal(err)
	}
	if again := policy.Evaluate(a.Inputs, a.Now); again != a.Policy {
		h.t.Errorf("recomputed from the reading: %+v, recorded %+v", again, a.Policy)
	}
	return a
}

var (
	developer = operation.Caller{Name: "user:ben", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "payments"}}}
	operator  = operation.Caller{Name: "user:eve", Grants: []operation.Grant{{Role: operation.Operator, Team: "payments", Environment: "prod"}}}
)

func TestOverride(t *testing.T) {
	h := newHouse(t)
	h.remaining = -0.2
	if got := h.assess("checkout-3f2a91c").Policy; got.Effect != policy.Freeze {
		t.Fatalf("a spent budget: %+v", got)
	}
	grant := map[string]any{"service": "checkout", "environment": "prod", "reason": "the fix needs it", "for": time.Hour}
	if _, err := h.call("override.grant", developer, grant); problem.KindOf(err) != problem.Denied {
		t.Fatalf("the delivering team overrides its own freeze: %v", err)
	}
	if _, err := h.call("override.grant", operator, map[string]any{"service": "checkout", "environment": "prod", "reason": "x", "for": 8 * 24 * time.Hour}); problem.KindOf(err) != problem.Invalid {
		t.Fatalf("an override of eight days: %v", err)
	}
	if _, err := h.call("override.grant", operator, grant); err != nil {
		t.Fatal(err)
	}
	// Whoever may do it everywhere is told of a place that is not there, too.
	everywhere := operation.Caller{Name: "user:root", Grants: []operation.Grant{{Role: operation.Admin}}}
	for _, place := range [][2]string{{"chekout", "prod"}, {"checkout", "prd"}} {
		_, err := h.call("override.grant", everywhere, map[string]any{"service": place[0], "environment": place[1], "reason": "x"})
		if problem.KindOf(err) != problem.NotFound {
			t.Errorf("an override of %s in %s: %v", place[0], place[1], err)
		}
	}
	got := h.assess("checkout-3f2a91c").Policy
	if got.Effect != policy.Slow || got.Lifted != "by user:eve until 2026-11-02 13:00 UTC: the fix needs it" || !strings.Contains(got.Override, "by user:eve until 2026-11-02 13:00 UTC: the fix needs it") {
		t.Fatalf("overridden: %+v", got)
	}
	h.clock.Advance(time.Hour)
	if got := h.assess("checkout-3f2a91c").Policy; got.Effect != policy.Freeze {
		t.Fatalf("after it expired: %+v", got)
	}
	if _, err := h.call("override.revoke", operator, map[string]any{"service": "checkout", "environment": "prod", "reason": "done"}); problem.KindOf(err) != problem.NotFound {
		t.Fatalf("revoking nothing: %v", err)
	}
	if _, err := h.call("override.grant", operator, grant); err != nil {
		t.Fatal(err)
	}
	if _, err := h.call("override.revoke", operator, map[string]any{"service": "checkout", "environment": "prod", "reason": "done"}); err != nil {
		t.Fatal(err)
	}
	if got := h.assess("checkout-3f2a91c").Policy; got.Effect != policy.Freeze {
		t.Fatalf("after it was revoked: %+v", got)
	}
	out, err := h.call("override.list", developer, map[string]any{"all": true})
	if err != nil {
		t.Fatal(err)
	}
	if page := out.(operation.Page[policy.Override]); len(page.Items) != 2 || page.Items[0].RevokedBy != "user:eve" || page.Items[1].RevokedBy != "" {
		t.Fatalf("overrides: %+v", page)
	}
}

func TestReadingFollowsPolicyAndMarks(t *testing.T) {
	h := newHouse(t)
	h.remaining = -0.2
	h.record("change/checkout-3f2a91c", event.Draft{Type: "change.marked", Actor: "user:eve", Data: map[string]string{"change": "checkout-3f2a91c", "as": "security"}})
	if got := h.assess("checkout-3f2a91c").Policy; got.Rule != "default/fixes" {
		t.Fatalf("a marked change: %+v", got)
	}
	h.apply(policy.KindBudgetPolicy, "lenient", policy.Spec{Levels: []policy.Level{{Name: "all", When: "true", Effect: policy.Allow, BudgetShare: 1}}})
	h.apply(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{Delivery: "automatic", Policy: "lenient"})
	a := h.assess("checkout-0000000")
	if a.Policy.Rule != "lenient/all" || a.Policy.BudgetShare != 0.01 || a.Inputs.Commit != "c0ffee" {
		t.Fatalf("under its own policy: %+v", a)
	}
	if !strings.Contains(string(a.Objectives), `"target":"99.9%"`) {
		t.Errorf("the measured objectives are not verbatim: %s", a.Objectives)
	}
	out, err := h.call("policy.check", developer, map[string]any{"service": "checkout", "environment": "prod"})
	if err != nil || out.(policy.Outcome).Rule != "lenient/all" {
		t.Fatalf("policy check: %+v, %v", out, err)
	}
	if out, err := h.call("policy.show", developer, map[string]any{"policy": "default"}); err != nil || !out.(policy.Policy).BuiltIn {
		t.Fatalf("the built-in policy: %+v, %v", out, err)
	}
}

// Whoever releases with other tools asks about a service that is measured and
// not declared, and need not know in which environment.
func TestGateOfServiceThatIsOnlyMeasured(t *testing.T) {
	h := newHouse(t)
	h.Policies.Measured = func(service string) []string {
		if service == "elsewhere" {
			return []string{"live"}
		}
		return nil
	}
	h.Policies.Budgets = func(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
		data, err := json.Marshal(map[string]any{"objectives": []map[string]any{
			{"key": "elsewhere.live.availability", "name": "availability", "target": "99.9%", "remaining": 0.04, "burn_1h": 0.9},
		}})
		return control.Reading{From: now.Add(-time.Hour), To: now, Complete: true, Data: data}, err
	}
	everywhere := operation.Caller{Name: "user:argo", Grants: []operation.Grant{{Role: operation.Viewer}}}
	out, err := h.call("gate.show", everywhere, map[string]any{"service": "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	g := out.(policy.GateAnswer)
	if g.Environment != "live" || g.Effect != policy.Slow {
		t.Errorf("%s in %q, want slow in live", g.Effect, g.Environment)
	}
	if g.Unblock != "1 approval of an operator" {
		t.Errorf("unblock of a service without a team: %q", g.Unblock)
	}
}
