package oncall_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

const applied = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {escalation: payments}
---
apiVersion: flyball.dev/v1
kind: Team
metadata: {name: plain}
spec: {page: [{url: "https://pager.example/x"}]}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: checkout}
spec: {team: payments, run: x}
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: weekly}
spec:
  team: payments
  timeZone: UTC
  layers: [{name: l, start: 2026-11-02T09:00, every: 1 week, members: [ana, ben, cem]}]
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: nights}
spec:
  timeZone: UTC
  layers: [{name: l, start: 2026-11-02, every: 1 day, members: [eva], restrictions: [{from: "22:00", to: "06:00"}]}]
---
apiVersion: flyball.dev/v1
kind: Person
metadata: {name: ana}
spec: {contacts: [{url: "https://pager.example/ana"}]}
---
apiVersion: flyball.dev/v1
kind: Person
metadata: {name: ben}
spec: {contacts: [{url: "https://pager.example/ben"}]}
---
apiVersion: flyball.dev/v1
kind: EscalationPolicy
metadata: {name: payments}
spec:
  steps: [{notify: [{schedule: nights}]}, {notify: [{schedule: weekly}]}]
  lastResort: [{person: ben}]
`

type room struct {
	*oncall.Desk
	t     *testing.T
	clock *clock.Virtual
}

func newRoom(t *testing.T) room {
	c := clock.NewVirtual(time.Date(2026, 11, 4, 12, 0, 0, 0, time.UTC))
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	states := projection.NewRunner(store.Log(), store.States(), oncall.Projection(), catalog.Projection())
	set, findings := resource.Load(resource.NewRegistry(append(catalog.Kinds(), oncall.Kinds()...)...), map[string][]byte{"a.yaml": []byte(applied)})
	if set == nil {
		t.Fatal(findings)
	}
	for _, o := range set.All() {
		spec, err := json.Marshal(o.Spec)
		if err != nil {
			t.Fatal(err)
		}
		d := event.Draft{Type: resource.EventApplied, Subject: o.Key(), Actor: "user:ana", Time: c.Now(),
			Data: resource.Applied{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: spec}}
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := states.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return room{&oncall.Desk{Log: store.Log(), Reader: store.States(), Clock: c, Sync: states.CatchUp}, t, c}
}

var (
	developer = operation.Caller{Name: "user:ben", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "payments"}}}
	stranger  = operation.Caller{Name: "user:mal", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Developer, Team: "search"}}}
)

func (r room) call(name string, who operation.Caller, input string) (any, error) {
	r.t.Helper()
	for _, o := range r.Operations() {
		if o.Name() == name {
			in := o.NewInput()
			if err := json.Unmarshal([]byte(input), in); err != nil {
				r.t.Fatal(err)
			}
			return o.Call(r.t.Context(), who, in)
		}
	}
	r.t.Fatalf("no operation %s", name)
	return nil, nil
}

func (r room) who(name string) string {
	r.t.Helper()
	out, err := r.call("oncall.who", stranger, fmt.Sprintf(`{"name":%q}`, name))
	if err != nil {
		return string(problem.KindOf(err))
	}
	return out.(oncall.Answer).Tell()
}

func TestWho(t *testing.T) {
	r := newRoom(t)
	for name, want := range map[string]string{
		"":         "nights: nobody until Wed 2026-11-04 22:00 UTC\nweekly: ana (l) until Mon 2026-11-09 09:00 UTC",
		"weekly":   "weekly: ana (l) until Mon 2026-11-09 09:00 UTC",
		"checkout": "service checkout: ana first (step 2 of payments: step 1 has nobody (nobody for schedule nights))\nnights: nobody until Wed 2026-11-04 22:00 UTC\nweekly: ana (l) until Mon 2026-11-09 09:00 UTC",
		"payments": "team payments: ana first (step 2 of payments: step 1 has nobody (nobody for schedule nights))\nnights: nobody until Wed 2026-11-04 22:00 UTC\nweekly: ana (l) until Mon 2026-11-09 09:00 UTC",
		"plain":    "team plain has no escalation policy: its 1 webhooks are called",
		"nowhere":  "notfound",
	} {
		if got := r.who(name); got != want {
			t.Errorf("who %q: %s, want %s", name, got, want)
		}
	}
}

// rota is who has the weekly schedule at noon of each day from 4 November.
func (r room) rota(days int) string {
	r.t.Helper()
	out, err := r.call("oncall.rota", stranger, `{"schedule":"weekly","to":"2026-12-24T00:00:00Z","limit":500}`)
	if err != nil {
		r.t.Fatal(err)
	}
	var who []string
	for d := range days {
		at := time.Date(2026, 11, 4+d, 12, 0, 0, 0, time.UTC)
		for _, s := range out.(operation.Page[oncall.Shift]).Items {
			if !s.Start.After(at) && s.End.After(at) {
				who = append(who, s.Person)
			}
		}
	}
	return strings.Join(slices.Compact(who), " ")
}

func TestOverrideSwapCancel(t *testing.T) {
	r := newRoom(t)
	if got := r.rota(22); got != "ana ben cem ana" {
		t.Fatalf("before: %s", got)
	}
	const override = `{"schedule":"weekly","person":"dana","from":"2026-11-10T00:00:00Z","to":"2026-11-12T00:00:00Z","reason":"dentist"}`
	if _, err := r.call("oncall.override", stranger, override); problem.KindOf(err) != problem.Denied {
		t.Errorf("another team overrides: %v", err)
	}
	out, err := r.call("oncall.override", developer, override)
	if err != nil {
		t.Fatal(err)
	}
	id := out.(oncall.Recorded).ID
	if got := r.rota(22); got != "ana ben dana ben cem ana" {
		t.Errorf("with an override: %s", got)
	}
	if _, err := r.call("oncall.swap", developer, `{"schedule":"weekly","one":"2026-11-04T12:00:00Z","other":"2026-11-18T12:00:00Z"}`); err != nil {
		t.Fatal(err)
	}
	if got := r.rota(22); got != "cem ben dana ben ana" {
		t.Errorf("after a swap: %s", got)
	}
	list, err := r.call("oncall.overrides", stranger, `{"schedule":"weekly","limit":2}`)
	if err != nil {
		t.Fatal(err)
	}
	page := list.(operation.Page[oncall.Recorded])
	if len(page.Items) != 2 || page.Next == "" || page.Items[0].Person != "ana" || !page.Items[0].Swap || page.Items[0].By != "user:ben" {
		t.Errorf("overrides: %+v", page)
	}
	if _, err := r.call("oncall.cancel", developer, fmt.Sprintf(`{"schedule":"weekly","override":%q}`, id)); err != nil {
		t.Fatal(err)
	}
	if got := r.rota(22); got != "cem ben ana" {
		t.Errorf("after cancelling: %s", got)
	}
	if got := r.who("weekly"); got != "weekly: cem (override) until Mon 2026-11-09 09:00 UTC" {
		t.Errorf("who: %s", got)
	}
	for input, want := range map[string]problem.Kind{
		`{"schedule":"weekly","person":"x","to":"2026-11-01T00:00:00Z"}`:      problem.Invalid,
		`{"schedule":"weekly","person":"x","to":"2029-11-01T00:00:00Z"}`:      problem.Invalid,
		`{"schedule":"weekly","person":"\u0007","to":"2026-11-05T00:00:00Z"}`: problem.Invalid,
	} {
		if _, err := r.call("oncall.override", developer, input); problem.KindOf(err) != want {
			t.Errorf("%s: %v", input, err)
		}
	}
	if _, err := r.call("oncall.cancel", developer, `{"schedule":"weekly","override":"o999"}`); problem.KindOf(err) != problem.NotFound {
		t.Errorf("an override that is not: %v", err)
	}
	if _, err := r.call("oncall.swap", developer, `{"schedule":"nights","one":"2026-11-04T12:00:00Z","other":"2026-11-18T12:00:00Z"}`); err == nil {
		t.Error("nobody's shifts were swapped")
	}
}
