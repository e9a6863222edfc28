// Package control runs what decides.
//
// A Controller is pure: Decide(view, now) gives a Plan. A View is folded facts
// plus Readings, bounded measurements fetched beforehand. This package is the
// plumbing around it: which keys an event wakes, fetching Readings, recording
// the decision with its inputs verbatim, and the facts and actions it leads to,
// in one append that is fenced by the server's lease and refused when the
// key's stream has moved. Live, simulation and replay all call the same Decide
// (Replay in this package recomputes a recorded decision).
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// EventDecided records a decision; its data is a Decision.
const EventDecided = "decision.made"

// Reading is one bounded measurement as a decision saw it. It never changes.
type Reading struct {
	Name     string          `json:"name"`     // what the controller calls it, such as "arms"
	Source   string          `json:"source"`   // where it came from, such as "proxy"
	From     time.Time       `json:"from"`     // interval measured, [From, To)
	To       time.Time       `json:"to"`       //
	Complete bool            `json:"complete"` // false when part of the interval is not known yet, or lost
	Data     json.RawMessage `json:"data"`
}

// Request asks for a Reading.
type Request struct {
	Name   string `json:"name"`   // echoed in the Reading
	Source string `json:"source"` // which source answers
	Args   any    `json:"args"`   // for that source
}

// Source answers requests for readings. Not knowing is not an error: the
// reading then says Complete false and carries what is known.
type Source func(ctx context.Context, r Request, now time.Time) (Reading, error)

// View is what a decision is made from.
type View[S any] struct {
	Key      string    `json:"key"`
	State    S         `json:"state"`
	Readings []Reading `json:"readings,omitempty"`
}

// Reading decodes the reading of a name into out; ok is false without one.
func (v View[S]) Reading(name string, out any) (r Reading, ok bool) {
	for _, r := range v.Readings {
		if r.Name == name {
			return r, event.Unmarshal(r.Data, out) == nil
		}
	}
	return Reading{}, false
}

// Plan is what a controller wants. The zero Plan wants nothing and leaves no
// trace; a Wake alone is not recorded either.
type Plan struct {
	Verdict  string            `json:"verdict,omitempty"`  // one word, such as "on", "back" or "hold"
	Rule     string            `json:"rule,omitempty"`     // which rule decided, such as "evidence"
	Reason   string            `json:"reason,omitempty"`   // one sentence for a person
	Evidence any               `json:"evidence,omitempty"` // the numbers behind the verdict
	Facts    []event.Draft     `json:"facts,omitempty"`    // to record on the key's stream
	Actions  []action.Proposal `json:"actions,omitempty"`  // to do to the world
	Cause    string            `json:"cause,omitempty"`    // event that led here, when the controller knows better than the runner
	Wake     time.Time         `json:"wake,omitzero"`      // decide again then, if nothing wakes the key earlier
}

func (p Plan) empty() bool { return len(p.Facts) == 0 && len(p.Actions) == 0 && p.Verdict == "" }

// Decision is a recorded plan with its inputs: enough to recompute it.
type Decision struct {
	Controller string          `json:"controller"`
	Key        string          `json:"key"`
	Now        time.Time       `json:"now"`
	View       json.RawMessage `json:"view"`
	Plan       json.RawMessage `json:"plan"` // as decided, drafts and proposals included
	Verdict    string          `json:"verdict"`
	Rule       string          `json:"rule,omitempty"`
	Reason     string          `json:"reason"`
	Evidence   json.RawMessage `json:"evidence,omitempty"`
}

// Controller declares how one noun is governed, over a folded state S.
type Controller[S any] struct {
	Name string // the noun; the key's stream is Name/Key
	// Wakes names the keys an event concerns.
	Wakes func(e event.Event) []string
	// Active lists the keys to look at after a start.
	Active func(ctx context.Context, r projection.Reader) ([]string, error)
	// Load folds the facts of a key. Anything Decide needs is in S.
	Load func(ctx context.Context, r projection.Reader, key string) (S, error)
	// Needs says which readings Decide wants; may be nil. Pure.
	Needs func(key string, s S, now time.Time) []Request
	// Decide is the pure decision.
	Decide func(v View[S], now time.Time) Plan
}

// Processor handles one key at a time; a Controller becomes one with Bind.
type Processor interface {
	Name() string
	Wakes(e event.Event) []string
	Active(ctx context.Context, r projection.Reader) ([]string, error)
	// Process brings a key up to date and says when to look again; a zero time
	// is when something happens. An error is retried with back-off.
	Process(ctx context.Context, env *Env, key string, by Waking) (wake time.Time, err error)
}

// Waking is the last event that woke a key; zero when none did.
type Waking struct {
	Event    string // ID
	Position int64
}

// Env is what processors work with.
type Env struct {
	Log     event.Log
	Reader  projection.Reader
	Sources map[string]Source
	Lease   func() event.Lease
	Now     func() time.Time
	// Sync waits until Reader shows the facts up to the end of the log.
	Sync func(ctx context.Context) error
	// Until waits until Reader shows the facts up to a position; nil: Sync.
	Until func(ctx context.Context, position int64) error
	// Shown is the position up to which Reader shows the facts. Keys are woken
	// once it shows what woke them; nil: at once, and Until is waited for.
	Shown func(ctx context.Context) (int64, error)

	mu    sync.Mutex
	lasts map[string]last // by stream, of those that moved not long ago
}

// last is where a stream ends.
type last struct{ version, position int64 }

const maxLasts = 1 << 16

// saw notes where streams end.
func (env *Env) saw(events []event.Event) {
	env.mu.Lock()
	defer env.mu.Unlock()
	if env.lasts == nil || len(env.lasts) > maxLasts {
		env.lasts = map[string]last{}
	}
	for _, e := range events {
		if e.Version > env.lasts[e.Stream].version {
			env.lasts[e.Stream] = last{e.Version, e.Position}
		}
	}
}

// ready reports whether Reader shows what woke a key and its whole stream, whose
// version it returns. What else is recorded meanwhile need not be shown, or
// nobody were paged in a storm of alerts before it is over.
func (env *Env) ready(ctx context.Context, stream string, by Waking) (version int64, ok bool, err error) {
	if version, err = env.Log.Version(ctx, stream); err != nil {
		return 0, false, err
	}
	env.mu.Lock()
	end := env.lasts[stream]
	env.mu.Unlock()
	switch {
	case env.Until == nil || env.Shown == nil && end.version != version:
		return version, true, env.Sync(ctx)
	case env.Shown == nil:
		return version, true, env.Until(ctx, max(by.Position, end.position))
	}
	shown, err := env.Shown(ctx)
	if err != nil {
		return version, false, err
	}
	if end.version != version {
		own, err := env.Log.Read(ctx, event.Query{Stream: stream, After: shown, Limit: 1})
		return version, len(own) == 0, err
	}
	return version, end.position <= shown, nil
}

func (env *Env) append(ctx context.Context, b event.Batch) error {
	events, err := env.Log.Append(ctx, b)
	env.saw(events)
	return err
}

// Bind makes a Processor of a Controller.
func Bind[S any](c Controller[S]) Processor { return bound[S]{c} }

type bound[S any] struct{ c Controller[S] }

func (b bound[S]) Name() string                 { return b.c.Name }
func (b bound[S]) Wakes(e event.Event) []string { return b.c.Wakes(e) }

func (b bound[S]) Active(ctx context.Context, r projection.Reader) ([]string, error) {
	if b.c.Active == nil {
		return nil, nil
	}
	return b.c.Active(ctx, r)
}

func (b bound[S]) Process(ctx context.Context, env *Env, key string, by Waking) (time.Time, error) {
	version, ok, err := env.ready(ctx, b.c.Name+"/"+key, by)
	if err != nil || !ok {
		return env.Now().Add(slotWait), err
	}
	state, err := b.c.Load(ctx, env.Reader, key)
	if err != nil {
		return time.Time{}, err
	}
	now := env.Now().UTC().Truncate(time.Microsecond)
	view := View[S]{Key: key, State: state}
	if b.c.Needs != nil {
		if view.Readings, err = fetch(ctx, env, b.c.Needs(key, state, now), now); err != nil {
			return time.Time{}, err
		}
	}
	plan := b.c.Decide(view, now)
	if plan.empty() {
		return plan.Wake, nil
	}
	batch, err := decisionBatch(b.c.Name, view, plan, now, version, by.Event)
	if err != nil {
		return time.Time{}, err
	}
	batch.Lease = env.Lease()
	return plan.Wake, env.append(ctx, batch)
}

func fetch(ctx context.Context, env *Env, requests []Request, now time.Time) ([]Reading, error) {
	var out []Reading
	for _, r := range requests {
		source := env.Sources[r.Source]
		if source == nil {
			return nil, problem.New(problem.Internal, "control.fetch", "no source named %q for reading %q", r.Source, r.Name)
		}
		reading, err := source(ctx, r, now)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.Name, err)
		}
		reading.Name, reading.Source = r.Name, r.Source
		out = append(out, reading)
	}
	return out, nil
}

// decisionBatch is the one append a plan becomes: the decision, then its facts,
// then its proposed actions, each caused by the decision.
func decisionBatch[S any](controller string, view View[S], plan Plan, now time.Time, version int64, wokenBy string) (event.Batch, error) {
	stream := controller + "/" + view.Key
	d := Decision{Controller: controller, Key: view.Key, Now: now, Verdict: plan.Verdict, Rule: plan.Rule, Reason: plan.Reason}
	var err error
	if d.View, err = json.Marshal(view); err != nil {
		return event.Batch{}, err
	}
	if d.Plan, err = json.Marshal(plan); err != nil {
		return event.Batch{}, err
	}
	if d.Evidence, err = json.Marshal(plan.Evidence); err != nil {
		return event.Batch{}, err
	}
	actor := "controller:" + controller
	cause := plan.Cause
	if cause == "" {
		cause = wokenBy
	}
	id := fmt.Sprintf("%s@%d", stream, version+1)
	batch := event.Batch{Stream: stream, Expect: version}
	batch.Drafts = append(batch.Drafts, event.Draft{ID: id, Type: EventDecided, Subject: stream, Time: now, Actor: actor, Cause: cause, Data: d})
	for i, f := range plan.Facts {
		if f.ID == "" {
			f.ID = fmt.Sprintf("%s#%d", id, i)
		}
		f.Actor, f.Cause = actor, id
		if f.Time.IsZero() {
			f.Time = now
		}
		batch.Drafts = append(batch.Drafts, f)
	}
	for i, p := range plan.Actions {
		if p.ID == "" {
			p.ID = fmt.Sprintf("%s!%d", id, i)
		}
		if p.Subject == "" {
			p.Subject = stream
		}
		batch.Drafts = append(batch.Drafts, event.Draft{ID: p.ID, Type: action.EventProposed, Subject: p.Subject, Time: now, Actor: actor, Cause: id, Data: p})
	}
	return batch, nil
}

// Replay recomputes a recorded decision from its stored inputs and reports
// whether the same plan comes out.
func (c Controller[S]) Replay(d Decision) (plan Plan, same bool, err error) {
	var view View[S]
	if err := event.Unmarshal(d.View, &view); err != nil {
		return plan, false, fmt.Errorf("stored view of %s/%s: %w", d.Controller, d.Key, err)
	}
	plan = c.Decide(view, d.Now)
	again, err := json.Marshal(plan)
	return plan, bytes.Equal(again, d.Plan), err
}

// Replayer recomputes decisions of one controller, whatever its state's type.
type Replayer interface {
	Replay(d Decision) (plan Plan, same bool, err error)
}
