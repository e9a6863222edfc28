package support_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/support"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// room is the real room over a store in memory and a virtual clock.
type room struct {
	support.Desk
	t       *testing.T
	clock   *clock.Virtual
	store   *memory.Store
	states  *projection.Runner
	control *control.Runner
}

func newRoom(t *testing.T, agreement string) *room {
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	r := &room{t: t, clock: c, store: store, states: projection.NewRunner(store.Log(), store.States(), support.Projection(), catalog.Projection())}
	r.Desk = support.Desk{Reader: store.States(), Clock: c}
	env := &control.Env{Log: store.Log(), Reader: store.States(), Lease: func() event.Lease { return event.Lease{} }, Now: c.Now, Sync: r.states.CatchUp}
	r.control = control.NewRunner(env, c, slog.New(slog.NewTextHandler(io.Discard, nil)), control.Bind(support.Controller()))
	if err := r.control.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, findings := resource.Load(resource.NewRegistry(append(catalog.Kinds(), support.Kinds()...)...), map[string][]byte{"a.yaml": []byte(`
{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: sre}, spec: {}}
---
{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: payments}, spec: {}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: staging}, spec: {}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: prod}, spec: {after: staging}}
---
{apiVersion: flyball.dev/v1, kind: Service, metadata: {name: checkout}, spec: {team: payments, run: x}}
---
{apiVersion: flyball.dev/v1, kind: SupportAgreement, metadata: {name: sre}, spec: ` + agreement + `}
`)})
	if set == nil {
		t.Fatal(findings)
	}
	for _, o := range set.All() {
		b, err := json.Marshal(o.Spec)
		if err != nil {
			t.Fatal(err)
		}
		r.record("resources", event.Draft{Type: resource.EventApplied, Subject: o.Key(), Actor: "user:ana",
			Data: resource.Applied{APIVersion: resource.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: b}})
	}
	return r
}

func (r *room) record(stream string, d event.Draft) {
	r.t.Helper()
	d.Time, d.Actor = r.clock.Now(), "controller:x"
	if _, err := r.store.Log().Append(r.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		r.t.Fatal(err)
	}
	r.settle()
}

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
	if err := r.states.CatchUp(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// after lets time pass, and stops wherever the controller wants to wake.
func (r *room) after(d time.Duration) {
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

func (r *room) page() {
	r.record("incident/checkout.prod", event.Draft{Type: "incident.paged", Data: map[string]any{"service": "checkout", "team": "payments", "environment": "prod", "people": []string{"ana"}}})
}

func (r *room) budget(level string) {
	r.record("objective/checkout.prod.availability", event.Draft{Type: "budget.changed", Data: map[string]any{"objective": "checkout.prod.availability", "service": "checkout", "team": "payments", "environment": "prod", "level": level}})
}

// holder is the team that is on call.
func (r *room) holder(environment string) string {
	r.t.Helper()
	h, err := support.Holder(r.t.Context(), r.store.States(), "checkout", environment)
	if err != nil {
		r.t.Fatal(err)
	}
	if h == "" {
		return "payments"
	}
	return h
}

// moves are the facts, as "days hours: reason".
func (r *room) moves() []string {
	r.t.Helper()
	events, err := r.store.Log().Read(r.t.Context(), event.Query{Types: []string{"support."}})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		m, err := event.Decode[support.Moved](e)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s: %s", e.Time.Sub(start), m.Reason))
	}
	return out
}

func (r *room) want(moves ...string) {
	r.t.Helper()
	if got := r.moves(); !slices.Equal(got, moves) {
		r.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(moves, "\n"))
	}
	events, err := r.store.Log().Read(r.t.Context(), event.Query{Types: []string{control.EventDecided}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		d, err := event.Decode[control.Decision](e)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, same, err := support.Controller().Replay(d); err != nil || !same {
			r.t.Errorf("%s recomputed: %t, %v", e.ID, same, err)
		}
	}
}

// A spent budget hands on-call back; it returns after a week in which the
// budget was not spent again.
func TestBudget(t *testing.T) {
	r := newRoom(t, "{team: sre, services: [checkout], budget: true}")
	if r.holder("prod") != "sre" || r.holder("staging") != "payments" {
		t.Errorf("on call are %s in prod and %s in staging", r.holder("prod"), r.holder("staging"))
	}
	r.budget("low")
	r.after(time.Hour)
	r.budget("exhausted")
	if r.holder("prod") != "payments" {
		t.Errorf("%s is on call while the budget is spent", r.holder("prod"))
	}
	r.after(24 * time.Hour)
	r.budget("low")
	r.after(6 * 24 * time.Hour)
	r.budget("exhausted")
	r.after(time.Hour)
	r.budget("low")
	r.after(8 * 24 * time.Hour)
	if r.holder("prod") != "sre" {
		t.Errorf("%s is on call after a stable week", r.holder("prod"))
	}
	r.want(
		"1h0m0s: on-call for checkout in prod goes from sre to payments: the budget of checkout.prod.availability is spent",
		"338h0m0s: on-call for checkout in prod goes from payments to sre: the agreement has been kept since 2026-11-09 14:00 UTC",
	)
}

// Too many pages hand it back, too; the agreement is broken until fewer than
// that are within any seven days.
func TestPages(t *testing.T) {
	r := newRoom(t, "{team: sre, services: [checkout], pagesPerWeek: 2, stable: 48h, environments: [prod]}")
	for range 3 {
		r.page()
		r.after(time.Hour)
	}
	out, err := r.Operations()[0].Call(t.Context(), operation.Caller{Grants: []operation.Grant{{Role: operation.Viewer}}}, &support.ListInput{})
	if err != nil {
		t.Fatal(err)
	}
	if rows := out.(operation.Page[support.Row]).Items; len(rows) != 1 || rows[0].Team != "payments" || rows[0].Pages != 3 || rows[0].Broken != "3 pages in seven days, more than 2" {
		t.Errorf("%+v", rows)
	}
	r.after(20 * 24 * time.Hour)
	r.want(
		"2h0m0s: on-call for checkout in prod goes from sre to payments: 3 pages in seven days, more than 2",
		"216h0m0s: on-call for checkout in prod goes from payments to sre: the agreement has been kept since 2026-11-09 12:00 UTC",
	)
}

// On-call is with the developers exactly while a naive recount, hour by hour,
// finds the agreement broken at some hour since it was last kept for long enough.
func TestAgainstANaiveTwin(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := newRoom(t, "{team: sre, services: [checkout], pagesPerWeek: 3, budget: true, stable: 72h}")
		var pages []time.Time
		spent, back := false, false
		var kept time.Time
		for hour := range 24 * 40 {
			now := r.clock.Now()
			if rng.IntN(60) == 0 {
				pages = append(pages, now)
				r.page()
			}
			if rng.IntN(200) == 0 {
				spent = !spent
				r.budget(map[bool]string{true: "exhausted", false: "low"}[spent])
			}
			n := 0
			for _, p := range pages {
				if now.Sub(p) < 7*24*time.Hour {
					n++
				}
			}
			if spent || n > 3 {
				back, kept = true, time.Time{}
			} else if kept.IsZero() {
				kept = now
			}
			if back && !kept.IsZero() && now.Sub(kept) >= 72*time.Hour {
				back = false
			}
			if got := r.holder("prod") == "payments"; got != back {
				t.Fatalf("seed %d, hour %d: handed back %t, the twin says %t", seed, hour, got, back)
			}
			r.after(time.Hour)
		}
	}
}
