package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

const strictPolicy = `apiVersion: flyball.dev/v1
kind: BudgetPolicy
metadata: {name: never}
spec:
  levels: [{name: all, when: "true", effect: freeze}]
`

// What a server has recorded – slots, incidents, rollouts, releases that its
// gate never let start – is scored as the same records in files are.
func TestBacktestOfTheServersRecords(t *testing.T) {
	ctx := t.Context()
	begin := time.Date(2026, 11, 18, 12, 0, 0, 0, time.UTC)
	c, bins := clock.NewVirtual(begin), &plane{}
	a, err := New(Config{Clock: c, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: memory.New(memory.Options{Clock: c}), Measures: bins})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true
	if _, err := a.Apply(ctx, "user:ana", "flyball", "c0ffee", map[string][]byte{"flyball/a.yaml": []byte(good), "flyball/p.yaml": []byte(strictPolicy)}); err != nil {
		t.Fatal(err)
	}
	fact := func(stream, subject, typ string, data any) {
		t.Helper()
		if _, err := a.log.Append(ctx, event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{{Type: typ, Subject: subject, Time: c.Now(), Actor: "system", Data: data}}}); err != nil {
			t.Fatal(err)
		}
	}
	serve := func(minutes int, bad int64) {
		for range minutes {
			bins.count(c.Now(), "aaaaaaa-000000", 600, bad)
			c.Advance(time.Minute)
		}
	}
	deploy := func(name string, minutes int, bad int64, outcome string) (at time.Time) {
		at = c.Now()
		subject := "rollout/" + name
		fact(subject, subject, rollout.EventStarted, rollout.Started{Rollout: name, Change: "checkout-" + name, Service: "checkout", Team: "payments", Environment: "prod", Revision: name, Commit: name, Kind: "deploy"})
		serve(minutes, bad)
		end := rollout.Ended{Rollout: name, Change: "checkout-" + name, Service: "checkout", Team: "payments", Environment: "prod", Revision: name, Commit: name, Kind: "deploy", Outcome: outcome}
		typ := map[string]string{"promoted": rollout.EventPromoted, "rolled_back": rollout.EventRolledBack}[outcome]
		fact(subject, subject, typ, end)
		fact(subject, subject, rollout.EventFinished, end)
		return at
	}
	serve(600, 0)
	first := deploy("one", 10, 0, "promoted")
	serve(600, 0)
	// An outage that an alert of the objective noticed, and a change made in it.
	outage := incident.Place{Incident: "INC-1", Service: "checkout", Team: "payments", Environment: "prod"}
	began := c.Now()
	fact("incident/checkout.prod", "incident/INC-1", incident.EventOpened, incident.Opened{Place: outage, Severity: 1, Title: "down", Began: began,
		Link: incident.Link{Kind: incident.KindAlert, Role: incident.RoleTrigger, Objective: "checkout.prod.availability"}})
	second := deploy("two", 20, 600, "rolled_back")
	fact("incident/checkout.prod", "incident/INC-1", incident.EventResolved, incident.Said{Place: outage, Reason: "taken back"})
	ended := c.Now()
	// A change that the gate stopped, and that was given up.
	blocked := release.Proposed{Release: "checkout-three-prod", Change: "checkout-three", Service: "checkout", Team: "payments", Environment: "prod", Revision: "three", Kind: "deploy"}
	fact("release/checkout.prod", "release/checkout-three-prod", release.EventProposed, blocked)
	fact("release/checkout.prod", "release/checkout-three-prod", action.EventProposed, action.Proposal{ID: "a3", Type: release.ActionStart, Subject: "release/checkout-three-prod", Params: action.Params(blocked)})
	fact("action/a3", "release/checkout-three-prod", action.EventGated, action.Gated{ID: "a3", Phase: action.Blocked, Reason: "the budget is spent"})
	third := c.Now()
	serve(600, 0)
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.watcher.Declare(ctx, c.Now()); err != nil {
		t.Fatal(err)
	}
	if err := a.collect(ctx); err != nil {
		t.Fatal(err)
	}
	ana := operation.Caller{Name: "ana", Grants: []operation.Grant{{Role: operation.Viewer}}}
	ask := func(in policy.BacktestInput) policy.Backtested {
		t.Helper()
		in.Objective = "checkout.prod.availability"
		out, err := byName(a.Operations, "slo.backtest").Call(ctx, ana, &in)
		if err != nil {
			t.Fatal(err)
		}
		return out.(policy.Backtested)
	}
	variants := strings.NewReplacer("service: shop", "service: checkout").Replace(shopSLO)
	got := ask(policy.BacktestInput{Variants: map[string]string{"v.yaml": variants}, Policies: map[string]string{"more.yaml": strings.Replace(strictPolicy, "never", "ever", 1)}, Decisions: true})

	// The same as files.
	dir := t.TempDir()
	var csv strings.Builder
	csv.WriteString("time,good,total\n")
	for _, b := range bins.bins {
		fmt.Fprintf(&csv, "%d,%d,%d\n", b.Time.Unix(), b.Requests-b.Errors, b.Requests)
	}
	stamp := func(t time.Time) string { return t.Format(time.RFC3339) }
	text, talk, code := command(t, "slo", "backtest", "-o", "json", "--decisions",
		"--objective", file(t, dir, "v.yaml", variants), "--data", file(t, dir, "counts.csv", csv.String()),
		"--incidents", file(t, dir, "incidents.csv", "start,end,name\n"+stamp(began)+","+stamp(ended)+",INC-1\n"),
		"--deployments", file(t, dir, "deployments.csv", "time,change,outcome,kind\n"+stamp(first)+",checkout-one,ok,baseline\n"+stamp(second)+",checkout-two,failed,deploy\n"+stamp(third)+",checkout-three,blocked,deploy\n"),
		"--budget-policy", file(t, dir, "never.yaml", strictPolicy), "--budget-policy", file(t, dir, "ever.yaml", strings.Replace(strictPolicy, "never", "ever", 1)))
	if code != 0 {
		t.Fatal(talk)
	}
	var want policy.Backtested
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	byPolicy := func(list []policy.BudgetScore) map[string]policy.BudgetScore {
		out := map[string]policy.BudgetScore{}
		for _, s := range list {
			for i := range s.Decisions {
				s.Decisions[i].Time = s.Decisions[i].Time.UTC()
			}
			out[s.Policy] = s
		}
		return out
	}
	if !reflect.DeepEqual(got.Alerts, want.Alerts) || !reflect.DeepEqual(byPolicy(got.Policies), byPolicy(want.Policies)) {
		t.Errorf("the server says\n%+v\nand files\n%+v", got, want)
	}
	never := byPolicy(got.Policies)["never"]
	if never.Changes != 3 || never.Blocked != 3 || never.Failed != 1 || never.BlockedFailed != 1 || never.WithoutOutcome != 1 {
		t.Errorf("a policy that blocks everything: %+v", never)
	}
	if page := got.Alerts[0]; page.Severity != "page" || page.Pages != 1 || page.True != 1 || page.Found != 1 {
		t.Errorf("the page's score is %+v", page)
	}
	said := strings.Join(got.Notes, "\n")
	for _, part := range []string{"1 incident, 3 changes", "own alerts: 1 of 1.", "no outcome to score", "whatever their indicators"} {
		if !strings.Contains(said, part) {
			t.Errorf("the notes do not say %q:\n%s", part, said)
		}
	}
	if own := ask(policy.BacktestInput{}); len(own.Alerts) == 0 || own.Alerts[0].Objective != "checkout/prod/availability" {
		t.Errorf("without variants the objective's own policies are tried: %+v", own.Alerts)
	}
	for name, in := range map[string]policy.BacktestInput{
		"nothing recorded": {To: begin.Add(-time.Hour)},
		"no time":          {From: c.Now().Add(time.Hour)},
		"a bad variant":    {Variants: map[string]string{"v.yaml": "kind: SLO"}},
		"a bad policy":     {Policies: map[string]string{"p.yaml": "kind: BudgetPolicy"}},
	} {
		in.Objective = "checkout.prod.availability"
		if out, err := byName(a.Operations, "slo.backtest").Call(ctx, ana, &in); err == nil {
			t.Errorf("%s: %+v", name, out)
		}
	}
}
