package app

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/count"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// neighbours are two teams: they share a name of pushed counts. (A key that is
// SERVICE.ENVIRONMENT of both is refused when it is applied.)
const neighbours = `{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: payments}, spec: {}}
---
{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: finding}, spec: {}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: eu}, spec: {rollout: {steps: [1%]}}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: us}, spec: {rollout: {steps: [1%]}, after: eu}}
---
SERVICE(shop, payments)
---
SERVICE(shop.front, finding)
---
PUSHED(shop)
---
PUSHED(shop.front)
`

func settle(t *testing.T, files string) *App {
	t.Helper()
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	clk := clock.NewVirtual(now)
	a, err := New(Config{Clock: clk, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: memory.New(memory.Options{Clock: clk})})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true
	ctx := context.Background()
	if err := a.lead(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(ctx, "user:ana", "flyball", "c1", map[string][]byte{"flyball/all.yaml": []byte(files)}); err != nil {
		t.Fatal(err)
	}
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.watcher.Declare(ctx, now); err != nil {
		t.Fatal(err)
	}
	return a
}

// expanded writes out the macros of neighbours.
func expanded(text string) string {
	out := text
	for service, team := range map[string]string{"shop": "payments", "shop.front": "finding"} {
		out = strings.ReplaceAll(out, "SERVICE("+service+", "+team+")", `{apiVersion: flyball.dev/v1, kind: Service, metadata: {name: `+service+`}, spec: {team: `+team+`, build: "true", files: [a], run: a, traffic: 600/min, objectives: {availability: 99.9%}}}`)
		out = strings.ReplaceAll(out, "PUSHED("+service+")", `apiVersion: openslo/v1
kind: SLO
metadata: {name: nightly-`+team+`}
spec:
  service: `+service+`
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    metadata: {name: nightly-`+team+`}
    spec:
      ratioMetric:
        good:  {metricSource: {type: push, spec: {name: nightly}}}
        total: {metricSource: {type: push, spec: {name: nightly}}}
  objectives: [{displayName: nightly, target: 0.99}]`)
	}
	return out
}

// A team's token must not act on its neighbours through what they share.
func TestTeamsDoNotActOnEachOther(t *testing.T) {
	a := settle(t, expanded(neighbours))
	ctx := context.Background()
	now := a.cfg.Clock.Now()
	call := func(name, team string, in any) error {
		who := operation.Caller{Name: "ana", Grants: []operation.Grant{{Role: operation.Operator, Team: team}}}
		_, err := byName(a.Operations, name).Call(ctx, who, in)
		return err
	}
	fed, err := a.watcher.Indicators(ctx)
	if err != nil || len(fed) != 1 || len(fed[0].Objectives) < 2 {
		t.Fatalf("the objectives do not share their counts: %v, %v", fed, err)
	}
	for _, o := range fed[0].Objectives {
		push := &count.PushInput{Objective: o.Key(), Slots: []count.Slot{{Time: now.Add(-time.Hour), Good: 0, Total: 1e6}}}
		for _, team := range []string{"payments", "finding"} {
			if err := call("count.push", team, push); problem.KindOf(err) != problem.Denied {
				t.Errorf("%s pushes counts that are its neighbour's too, to %s: %v", team, o.Key(), err)
			}
		}
		if err := call("count.push", "", push); err != nil {
			t.Errorf("who may push everywhere: %v", err)
		}
	}
}
