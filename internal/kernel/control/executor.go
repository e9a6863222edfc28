package control

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Type declares one type of action: how it is gated and how it is run.
type Type struct {
	Name string
	// Load gathers the facts its gate looks at, as one JSON value; nil means
	// the gate needs none.
	Load func(ctx context.Context, r projection.Reader, a action.Action) (any, error)
	// Needs lists the readings its gate looks at; may be nil. Pure.
	Needs func(a action.Action, facts json.RawMessage, now time.Time) []Request
	// Gate decides whether the action may run now; nil means it always may.
	// Pure. recheck says when to look again at one that may not.
	Gate func(in GateInput, now time.Time) (g action.Gated, recheck time.Time)
	// Run has the effect. It is called again with the same action after a
	// crash or an error, and must then not have the effect twice.
	Run func(ctx context.Context, a action.Action) (output any, err error)
	// Attempts bounds the tries; 0 is no bound.
	Attempts int
	// Wish says that Run only tells the world what is wanted: once a newer action
	// in the same slot is proposed, an older one is not tried again, lest an old
	// wish come true after the newer one.
	Wish bool
	// Wakes names the actions whose gate an event may change; may be nil.
	Wakes func(ctx context.Context, e event.Event, r projection.Reader) []string
}

// GateInput is what a gate decides from; it is recorded with its outcome.
type GateInput struct {
	Action   action.Action   `json:"action"`
	Facts    json.RawMessage `json:"facts,omitempty"`
	Readings []Reading       `json:"readings,omitempty"`
}

// Executor is the Processor that gates and runs actions.
type Executor struct {
	types  map[string]Type
	reader projection.Reader

	mu    sync.Mutex
	slots map[string]bool // slots in which an action is being processed
}

// slotWait is how long an action waits for another in its slot, and a key for
// its own stream to be shown.
const slotWait = 200 * time.Millisecond

// NewExecutor makes an executor for the action types given.
func NewExecutor(r projection.Reader, types ...Type) *Executor {
	x := &Executor{types: map[string]Type{}, reader: r, slots: map[string]bool{}}
	for _, t := range types {
		if _, twice := x.types[t.Name]; twice {
			panic("control: action type " + t.Name + " declared twice")
		}
		x.types[t.Name] = t
	}
	return x
}

// Types lists the names of the action types, in order.
func (x *Executor) Types() []string { return slices.Sorted(maps.Keys(x.types)) }

// Gated lists the names of those that have a gate, in order.
func (x *Executor) Gated() []string {
	return slices.DeleteFunc(x.Types(), func(name string) bool { return x.types[name].Gate == nil })
}

// Name is the executor's name among processors.
func (x *Executor) Name() string { return "action" }

// Wakes names the actions an event concerns.
func (x *Executor) Wakes(e event.Event) []string {
	var keys []string
	// What the executor records itself wakes nothing: a failed attempt waits for
	// its back-off, a gate that said no for its recheck.
	switch e.Type {
	case action.EventProposed, action.EventApproved, action.EventRejected:
		if ref, err := event.Decode[action.Ref](e); err == nil && ref.ID != "" {
			keys = append(keys, ref.ID)
		}
	}
	for _, t := range x.types {
		if t.Wakes != nil {
			keys = append(keys, t.Wakes(context.Background(), e, x.reader)...)
		}
	}
	return keys
}

// Active lists the actions that are not done.
func (x *Executor) Active(ctx context.Context, r projection.Reader) ([]string, error) {
	var keys []string
	f := projection.Filter{Index: "open", Value: "yes", Limit: 1000}
	for {
		page, err := r.List(ctx, action.ProjectionName, f)
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

// Process takes one action as far as it can go now.
func (x *Executor) Process(ctx context.Context, env *Env, key string, by Waking) (time.Time, error) {
	version, ok, err := env.ready(ctx, "action/"+key, by)
	if err != nil || !ok {
		return env.Now().Add(slotWait), err
	}
	a, ok, err := projection.Get[action.Action](ctx, env.Reader, action.ProjectionName, key)
	if err != nil || !ok || a.Phase.Done() {
		return time.Time{}, err
	}
	t, known := x.types[a.Type]
	if !known {
		return time.Time{}, x.record(ctx, env, a, version, event.Draft{Type: action.EventFailed, Data: action.Attempt{ID: a.ID, Error: "no action type named " + a.Type}})
	}
	if !x.enter(a.Slot) {
		return env.Now().Add(slotWait), nil
	}
	defer x.leave(a.Slot)
	if t.Gate != nil || a.Slot != "" {
		// Whether it may run depends on more than itself.
		if err := env.Sync(ctx); err != nil {
			return time.Time{}, err
		}
	}
	if a.Phase.Pending() || t.Wish {
		newer, err := x.newerInSlot(ctx, env, a, t.Wish)
		if err != nil {
			return time.Time{}, err
		}
		if newer != "" {
			return time.Time{}, x.record(ctx, env, a, version, event.Draft{Type: action.EventSuperseded, Data: action.Ref{ID: a.ID, Reason: "a newer action in the same slot was proposed: " + newer}})
		}
	}
	if a.Phase.Pending() {
		done, wake, err := x.gate(ctx, env, t, a, version)
		if err != nil || done {
			return wake, err
		}
		version += 2
	} else if a.Phase == action.Allowed {
		if err := x.record(ctx, env, a, version, event.Draft{Type: action.EventStarted, Data: action.Ref{ID: a.ID}}); err != nil {
			return time.Time{}, err
		}
		version++
	}
	return x.run(ctx, env, t, a, version)
}

// enter takes a slot, in which one action is processed at a time.
func (x *Executor) enter(slot string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if slot != "" && x.slots[slot] {
		return false
	}
	x.slots[slot] = true
	return true
}

func (x *Executor) leave(slot string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.slots, slot)
}

// newerInSlot is an action in the same slot proposed later, if any is not done;
// older ones found on the way are superseded if they have not started, or are
// wishes.
func (x *Executor) newerInSlot(ctx context.Context, env *Env, a action.Action, wish bool) (string, error) {
	if a.Slot == "" {
		return "", nil
	}
	list, _, err := projection.List[action.Action](ctx, env.Reader, action.ProjectionName, projection.Filter{Index: "slot", Value: a.Slot, Limit: 1000})
	if err != nil {
		return "", err
	}
	for _, other := range list {
		if other.Position > a.Position {
			return other.ID, nil
		}
		if other.Position < a.Position && (wish || other.Phase.Pending()) {
			v, err := env.Log.Version(ctx, "action/"+other.ID)
			if err != nil {
				return "", err
			}
			d := event.Draft{Type: action.EventSuperseded, Data: action.Ref{ID: other.ID, Reason: "a newer action in the same slot was proposed: " + a.ID}}
			if err := x.record(ctx, env, other, v, d); err != nil {
				return "", err
			}
		}
	}
	return "", nil
}

// gate looks at the gate once. done means the action may not run now.
func (x *Executor) gate(ctx context.Context, env *Env, t Type, a action.Action, version int64) (done bool, wake time.Time, err error) {
	now := env.Now().UTC().Truncate(time.Microsecond)
	started := event.Draft{Type: action.EventStarted, Data: action.Ref{ID: a.ID}}
	if t.Gate == nil {
		allowed := action.Gated{ID: a.ID, Phase: action.Allowed, Reason: "nothing gates " + a.Type, Now: now}
		return false, time.Time{}, x.record(ctx, env, a, version, event.Draft{Type: action.EventGated, Data: allowed}, started)
	}
	in, err := t.inputs(ctx, env, a, now)
	if err != nil {
		return true, time.Time{}, err
	}
	g, recheck := t.Gate(in, now)
	g.ID, g.Now = a.ID, now
	if g.Inputs, err = json.Marshal(in); err != nil {
		return true, time.Time{}, err
	}
	if g.Phase == action.Allowed {
		return false, time.Time{}, x.record(ctx, env, a, version, event.Draft{Type: action.EventGated, Data: g}, started)
	}
	if a.Gate != nil && sameOutcome(*a.Gate, g) {
		return true, recheck, nil
	}
	return true, recheck, x.record(ctx, env, a, version, event.Draft{Type: action.EventGated, Data: g})
}

func (t Type) inputs(ctx context.Context, env *Env, a action.Action, now time.Time) (GateInput, error) {
	// The previous look at the gate is no input of the next.
	a.Gate = nil
	in := GateInput{Action: a}
	if t.Load != nil {
		facts, err := t.Load(ctx, env.Reader, a)
		if err != nil {
			return in, err
		}
		if in.Facts, err = json.Marshal(facts); err != nil {
			return in, err
		}
	}
	if t.Needs != nil {
		var err error
		if in.Readings, err = fetch(ctx, env, t.Needs(a, in.Facts, now), now); err != nil {
			return in, err
		}
	}
	return in, nil
}

// sameOutcome reports whether a gate says what it said before: the same phase
// and the same clauses failing; the numbers in their details may move.
func sameOutcome(a, b action.Gated) bool {
	if a.Phase != b.Phase || len(a.Clauses) != len(b.Clauses) {
		return false
	}
	for i := range a.Clauses {
		if a.Clauses[i].Name != b.Clauses[i].Name || a.Clauses[i].Verdict != b.Clauses[i].Verdict {
			return false
		}
	}
	return true
}

// run has the effect and records the result.
func (x *Executor) run(ctx context.Context, env *Env, t Type, a action.Action, version int64) (time.Time, error) {
	if a.Phase.Pending() && t.Gate != nil {
		// The gate's outcome is part of the action its run sees.
		if err := env.Sync(ctx); err != nil {
			return time.Time{}, err
		}
		fresh, _, err := projection.Get[action.Action](ctx, env.Reader, action.ProjectionName, a.ID)
		if err != nil {
			return time.Time{}, err
		}
		a = fresh
	}
	output, err := t.Run(ctx, a)
	if err == nil {
		var b json.RawMessage
		if b, err = json.Marshal(output); err == nil {
			return time.Time{}, x.record(ctx, env, a, version, event.Draft{Type: action.EventSucceeded, Data: action.Result{ID: a.ID, Output: b}})
		}
	}
	if ctx.Err() != nil {
		return time.Time{}, ctx.Err()
	}
	attempt := action.Attempt{ID: a.ID, Attempt: a.Attempts + 1, Error: err.Error()}
	final := t.Attempts > 0 && attempt.Attempt >= t.Attempts || problem.KindOf(err) == problem.Invalid
	if final {
		return time.Time{}, x.record(ctx, env, a, version, event.Draft{Type: action.EventFailed, Data: attempt})
	}
	wake := env.Now().Add(backoff(attempt.Attempt))
	return wake, x.record(ctx, env, a, version, event.Draft{Type: action.EventAttempted, Data: attempt})
}

// record appends to the action's stream. Events are identified by the stream's
// version, so that a retried append is the same append.
func (x *Executor) record(ctx context.Context, env *Env, a action.Action, version int64, drafts ...event.Draft) error {
	for i := range drafts {
		drafts[i].Subject, drafts[i].Actor, drafts[i].Cause = a.Subject, "controller:action", a.ID
	}
	return env.append(ctx, event.Batch{Stream: "action/" + a.ID, Expect: version, Lease: env.Lease(), Drafts: drafts})
}
