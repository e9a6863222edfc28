package channel_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// hall is the room over a store in memory.
type hall struct {
	*channel.Desk
	t      *testing.T
	store  *memory.Store
	states *projection.Runner
}

func newHall(t *testing.T, n notify.Notifier) *hall {
	c := clock.NewVirtual(start)
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	h := &hall{t: t, store: store, states: projection.NewRunner(store.Log(), store.States(), append(channel.Projections(), catalog.Projection(), action.Projection())...)}
	h.Desk = &channel.Desk{
		Log: store.Log(), Sync: h.states.CatchUp,
		Post: &channel.Post{Reader: store.States(), Notifier: n, Clock: c, Web: "https://f.example", Key: key, Log: store.Log()},
	}
	h.Post.Open()
	h.declare("browser", channel.Spec{Settings: notify.Settings{WebPush: &notify.WebPush{Contact: "mailto:o@example.org"}}})
	h.declare("push", channel.Spec{Settings: notify.Settings{Ntfy: &notify.Ntfy{Server: "https://ntfy.example"}}})
	h.catchUp()
	return h
}

func (h *hall) catchUp() {
	h.t.Helper()
	if err := h.states.CatchUp(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hall) declare(name string, spec channel.Spec) {
	h.t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		h.t.Fatal(err)
	}
	a := resource.Applied{APIVersion: resource.APIVersion, Kind: channel.Kind, Metadata: resource.Metadata{Name: name}, Spec: b}
	_, err = h.store.Log().Append(h.t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: resource.EventApplied, Subject: resource.Key(channel.Kind, name), Actor: "user:ana", Data: a,
	}}})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hall) call(name, caller, in string) (any, error) {
	h.t.Helper()
	h.catchUp()
	for _, o := range h.Operations() {
		if o.Name() == name {
			v := o.NewInput()
			if err := json.Unmarshal([]byte(in), v); err != nil {
				h.t.Fatal(err)
			}
			return o.Call(h.t.Context(), operation.Caller{Name: caller, Grants: []operation.Grant{{Role: operation.Operator}}}, v)
		}
	}
	h.t.Fatal("no operation " + name)
	return nil, nil
}

// A page goes to every browser of a person; one that is gone is forgotten; the
// address and the keys of a browser are in no event.
func TestBrowsers(t *testing.T) {
	var got []notify.Message
	gone := ""
	h := newHall(t, sender(func(_ context.Context, m notify.Message) (notify.Receipt, error) {
		got = append(got, m)
		if gone != "" && strings.Contains(m.To.Address, gone) {
			return notify.Receipt{}, problem.New(problem.Invalid, "test", "gone")
		}
		return notify.Receipt{Status: 201}, nil
	}))
	to := channel.Letter{ID: "page-1", To: []channel.Contact{{Channel: "browser", To: "ana"}}}
	if _, err := h.Post.Deliver(t.Context(), to); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "no browser of ana") {
		t.Errorf("before anybody has signed up: %v", err)
	}
	for _, b := range []string{"one", "two", "one"} {
		if _, err := h.call("channel.subscribe", "user:ana", `{"channel":"browser","endpoint":"https://push.example/`+b+`","p256dh":"PUBL1C","auth":"S3CRET"}`); err != nil {
			t.Fatal(err)
		}
	}
	for who, in := range map[string]string{
		"token:ci":  `{"channel":"browser","endpoint":"https://push.example/x","p256dh":"p","auth":"a"}`,
		"user:ana":  `{"channel":"push","endpoint":"https://push.example/x","p256dh":"p","auth":"a"}`,
		"user:ben":  `{"channel":"browser","endpoint":"http://push.example/x","p256dh":"p","auth":"a"}`,
		"user:cleo": `{"channel":"nowhere","endpoint":"https://push.example/x","p256dh":"p","auth":"a"}`,
	} {
		if _, err := h.call("channel.subscribe", who, in); err == nil {
			t.Errorf("%s signed up with %s", who, in)
		}
	}
	h.catchUp()
	d, err := h.Post.Deliver(t.Context(), to)
	if err != nil || len(got) != 2 || got[0].ID == got[1].ID || d.Channel != "browser" || d.To != "ana…" {
		t.Fatalf("%+v, %v, %d pushes", d, err, len(got))
	}
	if got[0].To.Class != notify.Public || !strings.Contains(got[1].To.Address, `"https://push.example/one"`) || !strings.Contains(got[0].To.Address, `"auth":"S3CRET"`) {
		t.Errorf("targets %+v", got)
	}
	gone, got = "two", nil
	if _, err := h.Post.Deliver(t.Context(), to); err != nil {
		t.Errorf("with one gone: %v", err)
	}
	h.catchUp()
	gone, got = "", nil
	if _, err := h.Post.Deliver(t.Context(), to); err != nil || len(got) != 1 {
		t.Errorf("after one has gone: %v, %d pushes", err, len(got))
	}
	events, err := h.store.Log().Read(t.Context(), event.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if strings.Contains(string(e.Data), "S3CRET") || strings.Contains(string(e.Data), "push.example/") {
			t.Errorf("%s tells %s", e.Type, e.Data)
		}
	}
}

// What was sent, refused and repeated is counted from the log, and a letter that
// may have arrived before is told.
func TestTraffic(t *testing.T) {
	var fails error
	n := sender(func(context.Context, notify.Message) (notify.Receipt, error) {
		return notify.Receipt{Status: 200}, fails
	})
	h := newHall(t, n)
	run := control.NewExecutor(h.store.States(), control.Type{Name: "notify.test", Run: func(ctx context.Context, a action.Action) (any, error) {
		l := channel.Of(a)
		l.To = []channel.Contact{{Channel: "push", To: "ana-pager"}}
		return h.Post.Deliver(ctx, l)
	}})
	c := h.Post.Clock.(*clock.Virtual)
	env := &control.Env{Log: h.store.Log(), Reader: h.store.States(), Lease: func() event.Lease { return event.Lease{} }, Now: c.Now, Sync: h.states.CatchUp}
	runner := control.NewRunner(env, c, slog.New(slog.DiscardHandler), run)
	if err := runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle := func() {
		t.Helper()
		for did := true; did; {
			if err := runner.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
			did, _ = runner.Step(t.Context())
		}
		h.catchUp()
	}
	propose := func(id string) {
		t.Helper()
		_, err := h.store.Log().Append(t.Context(), event.Batch{Stream: "test", Expect: event.AnyVersion, Drafts: []event.Draft{{
			Type: action.EventProposed, Actor: "controller:test", Data: action.Proposal{ID: id, Type: "notify.test", Subject: "test/1", Params: []byte("{}")},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		settle()
	}
	propose("a-1")
	fails = problem.New(problem.Unavailable, "test", "no")
	propose("a-2")
	fails = notify.Uncertain(problem.New(problem.Unavailable, "test", "the answer was lost"))
	propose("a-3")
	fails = nil
	c.Advance(10e9)
	settle()
	out, err := h.call("channel.show", "user:ana", `{"channel":"push"}`)
	if err != nil {
		t.Fatal(err)
	}
	got := out.(channel.Channel)
	if got.Sent != 3 || got.Failures != 2 || got.Repeated != 1 || got.LastError != "the answer was lost" || !got.Works() {
		t.Errorf("%+v", got)
	}
}
