package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// EventCalled records every write that was asked for by a known caller,
// whatever came of it. Its data is Called; its stream is call/ID.
const EventCalled = "operation.called"

// Called is the record of a call.
type Called struct {
	Operation   string          `json:"operation"`
	Input       json.RawMessage `json:"input"` // without its secrets; only its digest when larger than 64 KiB
	Caller      string          `json:"caller"`
	Outcome     string          `json:"outcome"` // ok, or the kind of problem
	Error       string          `json:"error,omitempty"`
	Key         string          `json:"key,omitempty"`         // the caller's idempotency key
	Fingerprint string          `json:"fingerprint,omitempty"` // of the input, to tell another call under the same key
	Result      json.RawMessage `json:"result,omitempty"`      // of a successful call with a key; absent when secret or larger than 64 KiB
}

const keepAtMost = 64 << 10

// Call is one use of an operation.
type Call struct {
	Operation operation.Operation
	Caller    operation.Caller
	Input     any    // pointer from Operation.NewInput
	Key       string // idempotency key; empty without
}

// Outcome is what a call gave.
type Outcome struct {
	Output   any    // nil when Replayed
	Body     []byte // Output as JSON; nil for a stream
	Replayed bool   // the stored result of an earlier call with the same key
}

// Invoke makes a call: reads at once; writes once per key, recorded as
// operation.called. Permission is checked by the operation itself.
func (a *API) Invoke(ctx context.Context, c Call) (Outcome, error) {
	if !c.Operation.Write {
		return call(ctx, c)
	}
	id := "call-" + rand.Text()
	if c.Key != "" {
		id = keyed(c)
		leave, err := a.claim(id)
		if err != nil {
			return Outcome{}, err
		}
		defer leave()
		if earlier, found, err := a.earlier(ctx, c, id); found || err != nil {
			return earlier, err
		}
	}
	done, err := call(operation.WithCall(ctx, id), c)
	recorded, lost := a.record(context.WithoutCancel(ctx), c, id, done, err)
	if err != nil {
		return Outcome{}, err
	}
	if lost != nil {
		a.o.Logger.Error("a call took effect but could not be recorded", "operation", c.Operation.Name(), "caller", c.Caller.Name, "error", lost)
		return Outcome{}, problem.New(problem.Unavailable, c.Operation.Name(), "the call took effect, but the log did not take its record").
			WithNext("look at the state before trying again, and at the server's log and disk")
	}
	a.sync(ctx, recorded.Position)
	if other, was, err := elsewhere(c, recorded, done); was {
		return other, err
	}
	return done, nil
}

// elsewhere is the result of a call with the same key on another server at the
// same time: its record was there first, and is what every caller gets. The
// facts of both calls have the same identifiers, so that they are in the log
// once.
func elsewhere(c Call, recorded event.Event, done Outcome) (out Outcome, was bool, err error) {
	if c.Key == "" {
		return out, false, nil
	}
	record, err := event.Decode[Called](recorded)
	if err != nil {
		return out, false, nil // ours is as good
	}
	_, fingerprint := redacted(c)
	if record.Fingerprint == fingerprint && (record.Result == nil || bytes.Equal(record.Result, bytes.TrimSpace(done.Body))) {
		return out, false, nil
	}
	out, err = repeated(c, recorded, record)
	return out, true, err
}

func call(ctx context.Context, c Call) (Outcome, error) {
	out, err := c.Operation.Call(ctx, c.Caller, c.Input)
	if err != nil || c.Operation.Stream {
		return Outcome{Output: out}, err
	}
	body, err := Encode(out)
	return Outcome{Output: out, Body: body}, err
}

// sync lets the caller read their own write; that it takes long is no failure.
func (a *API) sync(ctx context.Context, position int64) {
	if a.o.Sync == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := a.o.Sync(ctx, position); err != nil {
		a.o.Logger.Warn("what is shown lags behind the log", "position", position, "error", err)
	}
}

// keyed identifies a call by caller, operation and key.
func keyed(c Call) string {
	h := sha256.New()
	for _, s := range []string{c.Caller.Name, c.Operation.Name(), c.Key} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return "call-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// claim keeps a second call with the same key out while the first runs.
func (a *API) claim(id string) (leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.executing[id] {
		return nil, problem.New(problem.Conflict, "api.idempotency", "a call with this Idempotency-Key is under way").
			WithNext("wait for it, then repeat to get its result")
	}
	a.executing[id] = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.executing, id)
	}, nil
}

// earlier is the stored result of a successful call with the same key. The log
// is the store: what was recorded is what is repeated, after a crash too.
func (a *API) earlier(ctx context.Context, c Call, id string) (out Outcome, found bool, err error) {
	events, err := a.o.Log.Read(ctx, event.Query{Stream: "call/" + id, Types: []string{EventCalled}})
	if err != nil {
		return out, false, err
	}
	for _, e := range events {
		record, err := event.Decode[Called](e)
		if err != nil || record.Outcome != "ok" {
			continue
		}
		out, err = repeated(c, e, record)
		return out, true, err
	}
	return out, false, nil
}

// repeated is the stored result of a call that succeeded.
func repeated(c Call, e event.Event, record Called) (Outcome, error) {
	if _, fingerprint := redacted(c); record.Fingerprint != fingerprint {
		return Outcome{}, problem.New(problem.Invalid, c.Operation.Name(), "this Idempotency-Key was used at %s for a different input", e.Recorded.Format(time.RFC3339)).
			WithNext("use a new key for a new call")
	}
	if record.Result == nil {
		return Outcome{}, problem.New(problem.Conflict, c.Operation.Name(), "this call took effect at %s; its result was not kept", e.Recorded.Format(time.RFC3339)).
			WithNext("look at the present state; a lost secret cannot be shown again, only replaced")
	}
	return Outcome{Body: append(record.Result, '\n'), Replayed: true}, nil
}

// record appends operation.called and gives it, or the one with the same
// identifier that was there first.
func (a *API) record(ctx context.Context, c Call, id string, done Outcome, failure error) (event.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	in, fingerprint := redacted(c)
	record := Called{Operation: c.Operation.Name(), Input: in, Caller: c.Caller.Name, Outcome: "ok", Key: c.Key, Fingerprint: fingerprint}
	draft := event.Draft{ID: id, Type: EventCalled, Subject: subject(c), Actor: c.Caller.Name}
	switch {
	case failure != nil:
		p := Describe(failure)
		record.Outcome, record.Error = string(p.Kind), clip(p.Detail)
		draft.ID = "" // a later try with the same key may succeed, and is the one to remember
	case c.Key != "" && len(done.Body) <= keepAtMost && !secretive(c.Operation.Output, nil):
		record.Result = done.Body
	}
	draft.Data = record
	events, err := a.o.Log.Append(ctx, event.Batch{Stream: "call/" + id, Expect: event.AnyVersion, Drafts: []event.Draft{draft}})
	if err != nil {
		return event.Event{}, err
	}
	return events[0], nil
}

// subject is what a call is about: noun and first argument.
func subject(c Call) string {
	args := c.Operation.Args()
	if len(args) == 0 {
		return c.Operation.Noun
	}
	s := c.Operation.Noun + "/" + text(c.Input, args[0])
	if len(s) > event.MaxField {
		return c.Operation.Noun
	}
	return s
}

func text(in any, f operation.Field) string {
	raw, err := json.Marshal(reflect.ValueOf(in).Elem().FieldByIndex(f.Index).Interface())
	if err != nil {
		return ""
	}
	return input.Text(raw)
}

// redacted is a call's input without secrets, and its fingerprint.
func redacted(c Call) (json.RawMessage, string) {
	members, err := input.Object(c.Operation, c.Input, nil)
	if err != nil {
		members = nil
	}
	for _, f := range operation.Fields(c.Operation.Input) {
		if _, filled := members[f.Name]; filled && (f.Secret || secretive(f.Type, nil)) {
			members[f.Name] = json.RawMessage(`"(secret)"`)
		}
	}
	raw, _ := json.Marshal(members)
	sum := sha256.Sum256(raw)
	fingerprint := hex.EncodeToString(sum[:])
	if len(raw) > keepAtMost {
		raw, _ = json.Marshal(map[string]any{"sha256": fingerprint, "bytes": len(raw)})
	}
	return raw, fingerprint
}

// secretive reports whether a type has a field tagged secret, at any depth.
func secretive(t reflect.Type, seen []reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, s := range seen {
		if s == t {
			return false
		}
	}
	seen = append(seen, t)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("secret") == "true" || secretive(f.Type, seen) {
			return true
		}
	}
	return false
}

// Encode is an output as the API sends it: one line of JSON. A list that is
// empty is [], also when it was never made.
func Encode(out any) ([]byte, error) {
	if v := reflect.ValueOf(out); v.Kind() == reflect.Struct {
		whole := reflect.New(v.Type()).Elem()
		whole.Set(v)
		for i := range whole.NumField() {
			if f := whole.Field(i); f.Kind() == reflect.Slice && f.IsNil() && f.CanSet() && f.Type() != rawType {
				f.Set(reflect.MakeSlice(f.Type(), 0, 0))
			}
		}
		out = whole.Interface()
	}
	body, err := json.Marshal(out)
	if err != nil {
		return nil, problem.New(problem.Internal, "api.encode", "output: %w", err)
	}
	return append(body, '\n'), nil
}

var rawType = reflect.TypeFor[json.RawMessage]()

// key reads the request's idempotency key.
func key(r *http.Request) (string, error) {
	k := r.Header.Get("Idempotency-Key")
	for i := range len(k) {
		if len(k) > 255 || k[i] < ' ' || k[i] > '~' {
			return "", problem.New(problem.Invalid, "api.idempotency", "the Idempotency-Key must be at most 255 printable ASCII characters").
				WithNext("use a random identifier, such as a UUID")
		}
	}
	return k, nil
}
