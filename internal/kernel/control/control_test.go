package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// counter is a state with just enough to decide on.
type counter struct {
	Count int    `json:"count"`
	Last  string `json:"last"`
}

var counters = projection.Define(projection.Fold[counter]{
	Name: "counter", Version: 1, Types: []string{"counter."},
	Keys: func(e event.Event) []string { return []string{strings.TrimPrefix(e.Subject, "counter/")} },
	Apply: func(_ string, c counter, e event.Event) (counter, error) {
		if e.Type == "counter.counted" {
			c.Count++
			c.Last = e.ID
		}
		return c, nil
	},
})

// world is a store, a clock and a runner driven step by step.
type world struct {
	t       *testing.T
	clock   *clock.Virtual
	store   *memory.Store
	runner  *control.Runner
	env     *control.Env
	fold    *projection.Runner
	epoch   int64
	process []control.Processor
}

func newWorld(t *testing.T, processors func(w *world) []control.Processor) *world {
	w := &world{t: t, clock: clock.NewVirtual(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))}
	w.store = memory.New(memory.Options{Clock: w.clock})
	w.fold = projection.NewRunner(w.store.Log(), w.store.States(), counters, action.Projection())
	w.env = &control.Env{
		Log: w.store.Log(), Reader: w.store.States(), Now: w.clock.Now,
		Lease:   func() event.Lease { return event.Lease{Name: "server", Epoch: w.epoch} },
		Sync:    func(ctx context.Context) error { return w.fold.CatchUp(ctx) },
		Sources: map[string]control.Source{},
	}
	w.epoch = w.acquire("a")
	w.process = processors(w)
	w.restart()
	return w
}

func (w *world) acquire(holder string) int64 {
	w.t.Helper()
	epoch, err := w.store.Leases().Acquire(w.t.Context(), "server", holder, time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	return epoch
}

// restart is a new process over the same store: queue and retries are gone.
func (w *world) restart() {
	w.t.Helper()
	w.runner = control.NewRunner(w.env, w.clock, slog.New(slog.DiscardHandler), w.process...)
	if err := w.runner.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// settle processes what is due now.
func (w *world) settle() {
	w.t.Helper()
	for range 1000 {
		if err := w.runner.Poll(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if did, _ := w.runner.Step(w.t.Context()); !did {
			return
		}
	}
	w.t.Fatal("the runner does not settle")
}

func (w *world) append(stream string, drafts ...event.Draft) {
	w.t.Helper()
	for i := range drafts {
		drafts[i].Actor = "user:ana"
	}
	if _, err := w.store.Log().Append(w.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: drafts}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) types(prefix string) (out []string) {
	w.t.Helper()
	events, err := w.store.Log().Read(w.t.Context(), event.Query{Types: []string{prefix}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		out = append(out, e.Type)
	}
	return out
}

func (w *world) action(id string) action.Action {
	w.t.Helper()
	if err := w.fold.CatchUp(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	a, _, err := projection.Get[action.Action](w.t.Context(), w.store.States(), action.ProjectionName, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) propose(p action.Proposal) {
	w.append("test/"+p.ID, event.Draft{ID: p.ID, Type: action.EventProposed, Subject: "test/" + p.ID, Data: p})
}

// limits decides once three things were counted.
func limits(sources *[]string) control.Controller[counter] {
	return control.Controller[counter]{
		Name: "counter",
		Wakes: func(e event.Event) []string {
			if e.Type == "counter.counted" {
				return counters.Keys(e)
			}
			return nil
		},
		Load: func(ctx context.Context, r projection.Reader, key string) (counter, error) {
			c, _, err := projection.Get[counter](ctx, r, "counter", key)
			return c, err
		},
		Needs: func(key string, _ counter, _ time.Time) []control.Request {
			return []control.Request{{Name: "limit", Source: "limit", Args: key}}
		},
		Decide: func(v control.View[counter], now time.Time) control.Plan {
			var limit int
			if _, ok := v.Reading("limit", &limit); !ok || v.State.Count < limit {
				return control.Plan{Wake: now.Add(time.Minute)}
			}
			return control.Plan{
				Verdict: "full", Rule: "limit", Reason: fmt.Sprintf("%d of %d", v.State.Count, limit), Cause: v.State.Last,
				Facts:   []event.Draft{{Type: "counter.filled", Data: map[string]int{"count": v.State.Count}}},
				Actions: []action.Proposal{{Type: "bell.ring", Reason: "full", Params: action.Params(v.Key)}},
			}
		},
	}
}

func TestDecisionIsRecordedWithItsInputsAndReplays(t *testing.T) {
	c := limits(nil)
	rung := map[string]int{}
	w := newWorld(t, func(w *world) []control.Processor {
		w.env.Sources["limit"] = func(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
			return control.Reading{From: now, To: now, Complete: true, Data: json.RawMessage("3")}, nil
		}
		return []control.Processor{control.Bind(c), control.NewExecutor(w.store.States(), control.Type{Name: "bell.ring", Run: func(_ context.Context, a action.Action) (any, error) {
			rung[a.ID]++
			return "ding", nil
		}})}
	})
	for i := range 3 {
		if n := len(w.types(control.EventDecided)); n != 0 {
			t.Fatalf("decided after %d", i)
		}
		w.append("counter/eggs", event.Draft{ID: fmt.Sprint("egg-", i), Type: "counter.counted"})
		w.settle()
	}
	events, err := w.store.Log().Read(t.Context(), event.Query{Stream: "counter/eggs"})
	if err != nil {
		t.Fatal(err)
	}
	decided := events[3]
	if decided.Type != control.EventDecided || decided.Cause != "egg-2" || decided.Actor != "controller:counter" {
		t.Fatalf("recorded %s by %s because of %s", decided.Type, decided.Actor, decided.Cause)
	}
	for i, want := range []string{"counter.filled", action.EventProposed} {
		if e := events[4+i]; e.Type != want || e.Cause != decided.ID {
			t.Errorf("event %d is %s caused by %s", 4+i, e.Type, e.Cause)
		}
	}
	d, err := event.Decode[control.Decision](decided)
	if err != nil {
		t.Fatal(err)
	}
	if _, same, err := c.Replay(d); !same || err != nil {
		t.Errorf("replay: same %v, %v", same, err)
	}
	d.View = json.RawMessage(strings.Replace(string(d.View), `"count":3`, `"count":4`, 1))
	if _, same, _ := c.Replay(d); same {
		t.Error("a decision with other inputs replays as the same")
	}
	if a := w.action(decided.ID + "!0"); a.Phase != action.Succeeded || rung[a.ID] != 1 || string(a.Output) != `"ding"` {
		t.Errorf("action %+v, rung %v", a, rung)
	}
}

func TestDecisionIsFencedByEpochAndVersion(t *testing.T) {
	interfere := func() {}
	w := newWorld(t, func(w *world) []control.Processor {
		w.env.Sources["limit"] = func(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
			interfere()
			return control.Reading{Complete: true, Data: json.RawMessage("1")}, nil
		}
		return []control.Processor{control.Bind(limits(nil))}
	})
	// Somebody else writes between reading the version and appending: decided again.
	once := true
	interfere = func() {
		if once {
			once = false
			w.append("counter/eggs", event.Draft{Type: "counter.counted"})
		}
	}
	w.append("counter/eggs", event.Draft{Type: "counter.counted"})
	w.settle()
	events, _ := w.store.Log().Read(t.Context(), event.Query{Types: []string{"counter.filled"}})
	if len(events) == 0 || string(events[0].Data) != `{"count":2}` {
		t.Fatalf("filled: %+v", events)
	}
	// Another server has taken over: nothing more is recorded by this one.
	before := len(w.types("counter.filled"))
	w.clock.Advance(2 * time.Hour)
	w.acquire("b")
	w.append("counter/ham", event.Draft{Type: "counter.counted"})
	for range 50 {
		if err := w.runner.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.runner.Step(t.Context())
	}
	if after := len(w.types("counter.filled")); after != before {
		t.Error("a server with a stale epoch decided")
	}
}

func TestFailuresAreRetriedPerKeyWithBackoff(t *testing.T) {
	tries := map[string][]time.Duration{}
	var start time.Time
	w := newWorld(t, func(w *world) []control.Processor {
		start = w.clock.Now()
		w.env.Sources["limit"] = func(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
			key := r.Args.(string)
			tries[key] = append(tries[key], now.Sub(start))
			if key == "eggs" && len(tries[key]) < 5 {
				return control.Reading{}, problem.New(problem.Unavailable, "test", "no")
			}
			return control.Reading{Complete: true, Data: json.RawMessage("1")}, nil
		}
		return []control.Processor{control.Bind(limits(nil))}
	})
	w.append("counter/eggs", event.Draft{Type: "counter.counted"})
	w.append("counter/ham", event.Draft{Type: "counter.counted"})
	for range 30 {
		w.settle()
		w.clock.Advance(time.Second)
	}
	want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second}
	if !slices.Equal(tries["eggs"], want) {
		t.Errorf("tried after %v, want %v", tries["eggs"], want)
	}
	if n := len(tries["ham"]); n != 1 {
		t.Errorf("the other key was tried %d times", n)
	}
	if got := w.types("counter.filled"); len(got) != 2 {
		t.Errorf("filled: %v", got)
	}
}

// gatedBell rings when its gate is open.
func gatedBell(open *string, ring func(a action.Action) error) control.Type {
	return control.Type{
		Name: "bell.ring", Attempts: 4,
		Load: func(context.Context, projection.Reader, action.Action) (any, error) { return *open, nil },
		Gate: func(in control.GateInput, now time.Time) (action.Gated, time.Time) {
			g := action.Gated{Phase: action.Blocked, Reason: string(in.Facts)}
			switch {
			case string(in.Facts) == `"open"`, len(in.Action.Approvals) > 0:
				g.Phase = action.Allowed
			case string(in.Facts) == `"ask"`:
				g.Phase = action.Awaiting
			}
			return g, now.Add(10 * time.Second)
		},
		Run: func(_ context.Context, a action.Action) (any, error) { return nil, ring(a) },
	}
}

func TestGateApprovalAndRejection(t *testing.T) {
	state, rung := "shut", map[string]int{}
	w := newWorld(t, func(w *world) []control.Processor {
		return []control.Processor{control.NewExecutor(w.store.States(), gatedBell(&state, func(a action.Action) error { rung[a.ID]++; return nil }))}
	})
	w.propose(action.Proposal{ID: "a", Type: "bell.ring"})
	w.settle()
	if a := w.action("a"); a.Phase != action.Blocked || a.Gate == nil || a.Gate.Reason != `"shut"` {
		t.Fatalf("%+v", a)
	}
	recorded := len(w.types("action.gated"))
	w.clock.Advance(time.Minute)
	w.settle()
	if n := len(w.types("action.gated")); n != recorded {
		t.Errorf("the same outcome was recorded %d times more", n-recorded)
	}
	state = "ask"
	w.clock.Advance(time.Minute)
	w.settle()
	if a := w.action("a"); a.Phase != action.Awaiting {
		t.Fatalf("phase %s", a.Phase)
	}
	w.append("action/a", event.Draft{Type: action.EventApproved, Data: action.Answer{ID: "a", Reason: "go"}})
	w.settle()
	if a := w.action("a"); a.Phase != action.Succeeded || len(a.Approvals) != 1 || a.Approvals[0].By != "user:ana" {
		t.Fatalf("%+v", a)
	}
	w.propose(action.Proposal{ID: "b", Type: "bell.ring"})
	w.settle()
	w.append("action/b", event.Draft{Type: action.EventRejected, Data: action.Answer{ID: "b"}})
	state = "open"
	w.clock.Advance(time.Minute)
	w.settle()
	if a := w.action("b"); a.Phase != action.Rejected || rung["b"] != 0 || rung["a"] != 1 {
		t.Errorf("rejected action is %s, rung %v", a.Phase, rung)
	}
}

func TestNewestInSlotSupersedes(t *testing.T) {
	state, rung := "shut", map[string]int{}
	w := newWorld(t, func(w *world) []control.Processor {
		return []control.Processor{control.NewExecutor(w.store.States(), gatedBell(&state, func(a action.Action) error { rung[a.ID]++; return nil }))}
	})
	for _, id := range []string{"a", "b", "c"} {
		w.propose(action.Proposal{ID: id, Type: "bell.ring", Slot: "tower"})
	}
	w.propose(action.Proposal{ID: "d", Type: "bell.ring", Slot: "gate"})
	w.settle()
	state = "open"
	w.clock.Advance(time.Minute)
	w.settle()
	for id, want := range map[string]action.Phase{"a": action.Superseded, "b": action.Superseded, "c": action.Succeeded, "d": action.Succeeded} {
		if a := w.action(id); a.Phase != want {
			t.Errorf("%s is %s, want %s", id, a.Phase, want)
		}
	}
	if rung["a"]+rung["b"] != 0 || rung["c"] != 1 || rung["d"] != 1 {
		t.Errorf("rung %v", rung)
	}
}

// An old wish that could not be told while the world was deaf does not come
// true after the newer one; an action that is no wish is tried until it is done.
func TestNewerWishEndsTheOlder(t *testing.T) {
	deaf, rung := true, []string{}
	ring := func(wish bool) control.Type {
		return control.Type{Name: fmt.Sprint("bell.", wish), Wish: wish, Run: func(_ context.Context, a action.Action) (any, error) {
			if deaf {
				return nil, errors.New("nobody hears")
			}
			rung = append(rung, a.ID)
			return nil, nil
		}}
	}
	w := newWorld(t, func(w *world) []control.Processor {
		return []control.Processor{control.NewExecutor(w.store.States(), ring(true), ring(false))}
	})
	propose := func(id string) {
		w.propose(action.Proposal{ID: "wish-" + id, Type: "bell.true", Slot: "tower"})
		w.propose(action.Proposal{ID: "deed-" + id, Type: "bell.false", Slot: "gate"})
		w.settle()
	}
	propose("a")
	propose("b")
	deaf = false
	for range 10 {
		w.clock.Advance(time.Second)
		w.settle()
	}
	for id, want := range map[string]action.Phase{"wish-a": action.Superseded, "wish-b": action.Succeeded, "deed-a": action.Succeeded, "deed-b": action.Succeeded} {
		if a := w.action(id); a.Phase != want {
			t.Errorf("%s is %s, want %s", id, a.Phase, want)
		}
	}
	if slices.Contains(rung, "wish-a") {
		t.Errorf("rung %v", rung)
	}
}

func TestActionsAreRetriedUntilRecordedAndGivenUp(t *testing.T) {
	state, at := "open", map[string][]time.Time{}
	fails := map[string]error{"never": errors.New("no bell"), "wrong": problem.New(problem.Invalid, "bell", "no such tower")}
	w := newWorld(t, func(w *world) []control.Processor {
		return []control.Processor{control.NewExecutor(w.store.States(), gatedBell(&state, func(a action.Action) error {
			at[a.ID] = append(at[a.ID], w.clock.Now())
			if a.ID == "late" && len(at[a.ID]) < 3 {
				return errors.New("not yet")
			}
			return fails[a.ID]
		}))}
	})
	for _, id := range []string{"late", "never", "wrong"} {
		w.propose(action.Proposal{ID: id, Type: "bell.ring"})
	}
	w.propose(action.Proposal{ID: "unknown", Type: "no.such"})
	for range 30 {
		w.settle()
		w.clock.Advance(time.Second)
	}
	for id, want := range map[string]struct {
		phase action.Phase
		tries int
	}{"late": {action.Succeeded, 3}, "never": {action.Failed, 4}, "wrong": {action.Failed, 1}, "unknown": {action.Failed, 0}} {
		if a := w.action(id); a.Phase != want.phase || len(at[id]) != want.tries {
			t.Errorf("%s is %s after %d tries, want %s after %d", id, a.Phase, len(at[id]), want.phase, want.tries)
		}
	}
	if gap := at["never"][2].Sub(at["never"][1]); gap < 2*time.Second {
		t.Errorf("the third try came %s after the second: back-off does not hold", gap)
	}
}

// The process dies after the effect and before its result is recorded: the
// effect is asked for again, under the same identifier.
func TestCrashBetweenEffectAndResult(t *testing.T) {
	state, ids := "open", []string{}
	crash := true
	w := newWorld(t, func(w *world) []control.Processor {
		return []control.Processor{control.NewExecutor(w.store.States(), gatedBell(&state, func(a action.Action) error {
			ids = append(ids, a.ID)
			if crash {
				panic("power cut")
			}
			return nil
		}))}
	})
	w.propose(action.Proposal{ID: "a", Type: "bell.ring"})
	func() {
		defer func() { _ = recover() }()
		w.settle()
	}()
	if a := w.action("a"); a.Phase != action.Running {
		t.Fatalf("after the crash it is %s", a.Phase)
	}
	crash = false
	w.restart()
	w.settle()
	if a := w.action("a"); a.Phase != action.Succeeded || !slices.Equal(ids, []string{"a", "a"}) {
		t.Errorf("it is %s, effects %v", a.Phase, ids)
	}
}

// Beside projections that fold in their own time, keys are woken by what is
// folded, decide on their whole stream, and wait for nothing else.
func TestProjectionsThatLagBehind(t *testing.T) {
	rung := 0
	w := newWorld(t, func(w *world) []control.Processor {
		w.env.Sources["limit"] = func(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
			return control.Reading{From: now, To: now, Complete: true, Data: json.RawMessage("1")}, nil
		}
		return []control.Processor{control.Bind(limits(nil)), control.NewExecutor(w.store.States(), control.Type{Name: "bell.ring",
			Run: func(context.Context, action.Action) (any, error) { rung++; return "ding", nil }})}
	})
	w.env.Until, w.env.Shown = w.fold.CatchUpTo, w.fold.Position
	w.restart()
	head := func() int64 {
		t.Helper()
		h, err := w.store.Log().Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h.Position
	}
	foldTo := func(position int64) {
		t.Helper()
		if err := w.fold.CatchUpTo(t.Context(), position); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Second)
		w.settle()
	}
	start := head()
	for n := range 3 {
		w.append("senders", event.Draft{ID: fmt.Sprint(n), Type: "counter.counted", Subject: "counter/a"})
	}
	w.settle()
	if got := head(); got != start+3 {
		t.Fatalf("%d events were recorded before anything was folded", got-start-3)
	}
	foldTo(start + 1)
	decided := head()
	if decided == start+3 {
		t.Fatal("nothing was decided although what woke the key is folded")
	}
	foldTo(start + 3)
	if got := head(); got != decided {
		t.Errorf("%d events were recorded before the key's own decision was folded", got-decided)
	}
	for last := int64(0); last != head(); {
		last = head()
		foldTo(last)
	}
	events, err := w.store.Log().Read(t.Context(), event.Query{Types: []string{"counter.filled"}})
	if err != nil {
		t.Fatal(err)
	}
	var counts []string
	for _, e := range events {
		counts = append(counts, string(e.Data))
	}
	if got := strings.Join(counts, " "); got != `{"count":1} {"count":3}` || rung != 2 {
		t.Errorf("decided at %s, and %d bells rang; want at 1 and 3, and 2", got, rung)
	}
}
