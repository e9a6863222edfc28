package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/event"
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
