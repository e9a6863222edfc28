package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

func TestEveryWriteIsRecordedWithoutSecrets(t *testing.T) {
	f := start(t)
	f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1,"key":"hunter2","expires":"2h"}`, bearer("op-team"), "Idempotency-Key: k1")
	f.do("POST", "/api/v1/widgets/other-1/make", `{"size":1}`, bearer("op-team"))
	f.do("POST", "/api/v1/widgets/fail-blocked/make", `{"size":1}`, bearer("op"))
	f.do("POST", "/api/v1/widgets/mint", ``, bearer("admin"), "Idempotency-Key: k2")
	f.do("GET", "/api/v1/widgets/a", "", bearer("op"))
	f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1}`)
	var got []string
	for _, c := range f.calls() {
		got = append(got, strings.TrimSpace(strings.Join([]string{c.Caller, c.Operation, c.Outcome, c.Key, string(c.Input), c.Error, string(c.Result)}, " | ")))
	}
	want := []string{
		`user:tim | widget.make | ok | k1 | {"expires":"2h0m0s","key":"(secret)","size":1,"widget":"pay-1"} |  | {"name":"pay-1","size":1,"tags":[],"made":"0001-01-01T00:00:00Z"}`,
		`user:tim | widget.make | denied |  | {"size":1,"widget":"other-1"} | widget.make needs the role operator in other; the caller is user:tim |`,
		`user:olga | widget.make | blocked |  | {"size":1,"widget":"fail-blocked"} | it is blocked: unexpected EOF |`,
		`user:ada | widget.mint | ok | k2 | {} |  |`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	events, err := f.store.Log().Read(t.Context(), event.Query{Subject: "widget/pay-1"})
	if err != nil || len(events) != 1 {
		t.Errorf("events about the widget: %d, %v", len(events), err)
	}
	whole, _ := f.store.Log().Read(t.Context(), event.Query{})
	raw, _ := json.Marshal(whole)
	for _, secret := range []string{"hunter2", "s3cret"} {
		if strings.Contains(string(raw), secret) || strings.Contains(f.logs.String(), secret) {
			t.Errorf("the secret %q is in the log", secret)
		}
	}
}

func TestIdempotency(t *testing.T) {
	f := start(t)
	make := func(body, token, key string) reply {
		return f.do("POST", "/api/v1/widgets/pay-1/make", body, bearer(token), "Idempotency-Key: "+key)
	}
	first := make(`{"size":1}`, "op", "k")
	again := make(`{"size": 1}`, "op", "k")
	if again.status != 200 || again.body != first.body || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("first %s, again %d %s", first.body, again.status, again.body)
	}
	if r := make(`{"size":2}`, "op", "k"); r.status != 422 || !strings.Contains(r.problem.Detail, "different input") {
		t.Errorf("other input under the key: %d %+v", r.status, r.problem)
	}
	if r := make(`{"size":1}`, "admin", "k"); r.status != 200 || r.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("another caller's key: %d %s", r.status, r.body)
	}
	if f.made != 2 {
		t.Errorf("%d widgets made, want 2", f.made)
	}
	for range 2 { // what failed is tried again
		if r := make(`{"size":13}`, "op", "cold"); r.status != 503 {
			t.Errorf("cold press: %d", r.status)
		}
	}
	if f.made != 4 {
		t.Errorf("%d attempts, want 4", f.made)
	}
	mint := func() reply {
		return f.do("POST", "/api/v1/widgets/mint", `{}`, bearer("admin"), "Idempotency-Key: m")
	}
	if a, b := mint(), mint(); a.status != 200 || b.status != 409 || strings.Contains(b.body, "s3cret") {
		t.Errorf("secret result: %d, then %d %s", a.status, b.status, b.body)
	}
	for _, bad := range []string{strings.Repeat("k", 256), "naïve"} {
		if r := make(`{"size":1}`, "op", bad); r.status != 422 {
			t.Errorf("key %.20q: %d", bad, r.status)
		}
	}

	// The log is the store: another server, after a crash, remembers.
	f.store = f.store.Crash()
	o := api.Options{Operations: f.operations(), Log: f.store.Log(), Authenticator: known}
	other, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	in := f.operations()[2].NewInput()
	json.Unmarshal([]byte(`{"widget":"pay-1","size":1}`), in)
	out, err := other.Invoke(t.Context(), api.Call{Operation: f.operations()[2], Caller: known["op"], Input: in, Key: "k"})
	if err != nil || !out.Replayed || string(out.Body) != first.body {
		t.Errorf("after the crash: %s, %v", out.Body, err)
	}
}

func TestTwoCallsAtOnceWithOneKey(t *testing.T) {
	f := start(t)
	f.hold = make(chan struct{})
	done := make(chan reply)
	go func() {
		done <- f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1}`, bearer("op"), "Idempotency-Key: k")
	}()
	f.until("the first is under way", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.made == 1 })
	if r := f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1}`, bearer("op"), "Idempotency-Key: k"); r.status != 409 {
		t.Errorf("second: %d", r.status)
	}
	close(f.hold)
	if r := <-done; r.status != 200 || f.made != 1 {
		t.Errorf("first: %d, made %d", r.status, f.made)
	}
}

// TestTwoServersAtOnceWithOneKey: two servers on one log do not see each other's
// calls under way. Both answer alike, and what they recorded is there once.
func TestTwoServersAtOnceWithOneKey(t *testing.T) {
	type input struct {
		Gadget string `json:"gadget" arg:"1"`
		Size   int    `json:"size"`
	}
	type made struct {
		Gadget string `json:"gadget"`
		By     string `json:"by"`
	}
	var first *fixture
	under := make(chan string, 2)
	release := map[string]chan struct{}{"one": make(chan struct{}), "two": make(chan struct{})}
	server := func(name string) *fixture {
		return start(t, func(o *api.Options) {
			if first != nil {
				o.Log = first.store.Log()
			}
			log := o.Log
			o.Operations = append(o.Operations, operation.Define(operation.Spec[input, made]{Noun: "gadget", Verb: "make", Summary: "Make a gadget", Role: operation.Operator, Write: true,
				Handle: func(ctx context.Context, c operation.Caller, in input) (made, error) {
					under <- name
					<-release[name]
					_, err := log.Append(ctx, event.Batch{Stream: "gadget/" + in.Gadget, Expect: event.AnyVersion, Drafts: []event.Draft{{
						ID: operation.CallID(ctx) + "#made", Type: "gadget.made", Actor: c.Name, Data: in}}})
					return made{in.Gadget, name}, err
				}}))
		})
	}
	first = server("one")
	second := server("two")
	answers := map[string]chan reply{"one": make(chan reply, 1), "two": make(chan reply, 1)}
	for name, f := range map[string]*fixture{"one": first, "two": second} {
		go func() {
			answers[name] <- f.do("POST", "/api/v1/gadgets/g/make", `{"size":1}`, bearer("op"), "Idempotency-Key: k")
		}()
	}
	<-under
	<-under
	close(release["two"])
	two := <-answers["two"]
	close(release["one"])
	one := <-answers["one"]
	if two.status != 200 || one.status != 200 || one.body != two.body || !strings.Contains(one.body, `"two"`) || one.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the one that was done first: %d %s\nthe other: %d %s %v", two.status, two.body, one.status, one.body, one.header)
	}
	for _, typ := range []string{"gadget.made", api.EventCalled} {
		if events, err := first.store.Log().Read(t.Context(), event.Query{Types: []string{typ}}); err != nil || len(events) != 1 {
			t.Errorf("%d × %s, %v", len(events), typ, err)
		}
	}
	// Another input under that key is refused, wherever it is asked.
	if r := first.do("POST", "/api/v1/gadgets/g/make", `{"size":2}`, bearer("op"), "Idempotency-Key: k"); r.status != 422 {
		t.Errorf("another input: %d %s", r.status, r.body)
	}
}

func TestALostRecordIsNoSuccess(t *testing.T) {
	f := start(t)
	f.hold = make(chan struct{})
	done := make(chan reply)
	go func() {
		done <- f.do("POST", "/api/v1/widgets/pay-1/make", `{"size":1}`, bearer("op"))
	}()
	f.until("the call is under way", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.made == 1 })
	f.store.Close()
	close(f.hold)
	if r := <-done; r.status != 503 || !strings.Contains(r.problem.Detail, "took effect") {
		t.Errorf("got %d %+v", r.status, r.problem)
	}
}
