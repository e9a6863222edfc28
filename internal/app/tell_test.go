package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/count"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// post keeps what would be sent.
type post struct {
	mu   sync.Mutex
	sent []notify.Message
}

func (p *post) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, m)
	return notify.Receipt{Status: 200}, nil
}

const targeted = good + `---
apiVersion: flyball.dev/v1
kind: Channel
metadata: {name: chat}
spec: {ntfy: {server: "https://ntfy.example"}}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: watchers}
spec: {target: "chat:objectives"}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: nightly}
spec:
  service: checkout
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    metadata: {name: nightly}
    spec:
      ratioMetric:
        good: {metricSource: {type: push, spec: {name: nightly}}}
        total: {metricSource: {type: push, spec: {name: nightly}}}
  objectives: [{displayName: nightly, target: 0.99}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: fast}
      spec:
        alertWhenBreaching: true
        alertWhenResolved: true
        conditions:
          - kind: AlertCondition
            metadata: {name: fast}
            spec:
              severity: ticket
              condition: {kind: burnrate, op: gte, threshold: 10, lookbackWindow: 1h, alertAfter: 0m}
        notificationTargets: [{targetRef: watchers}]
`

// What a notification target of OpenSLO names is told once when an alert of its
// policy begins, and once when it ends.
func TestNotificationTargetsAreTold(t *testing.T) {
	clk := clock.NewVirtual(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	sent := &post{}
	a, err := New(Config{Clock: clk, Logger: slog.New(slog.DiscardHandler), Web: "https://flyball.example"}, Ports{Store: memory.New(memory.Options{Clock: clk}), Notifier: sent})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	a.stepped = true
	if err := a.lead(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(ctx, "user:ana", "flyball", "c1", map[string][]byte{"flyball/all.yaml": []byte(targeted)}); err != nil {
		t.Fatal(err)
	}
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.watcher.Declare(ctx, clk.Now()); err != nil {
		t.Fatal(err)
	}
	if err := a.controls.Start(ctx); err != nil {
		t.Fatal(err)
	}
	push := func(good, total int64) {
		t.Helper()
		ana := operation.Caller{Name: "ana", Grants: []operation.Grant{{Role: operation.Developer}}}
		in := &count.PushInput{Objective: "checkout.prod.nightly", Slots: []count.Slot{{Time: clk.Now().Add(-time.Minute), Good: good, Total: total}}}
		if _, err := byName(a.Operations, "count.push").Call(ctx, ana, in); err != nil {
			t.Fatal(err)
		}
	}
	after := func(d time.Duration) {
		t.Helper()
		for end := clk.Now().Add(d); clk.Now().Before(end); {
			a.watcher.Tick(clk.Now())
			for did := true; did; {
				if err := a.controls.Poll(ctx); err != nil {
					t.Fatal(err)
				}
				did, _ = a.controls.Step(ctx)
			}
			clk.Advance(10 * time.Second)
		}
	}
	after(time.Minute)
	push(50, 100)
	after(3 * time.Minute)
	push(100, 100)
	after(2 * time.Hour)
	var got []string
	for _, m := range sent.sent {
		var body struct {
			Type string
			Data struct{ Objective, Severity string }
		}
		if err := json.Unmarshal(m.Body, &body); err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join([]string{body.Type, body.Data.Objective, body.Data.Severity, m.To.Channel, m.To.Address, string(m.Text.Urgency), m.Text.Links[0].URL}, " "))
	}
	want := []string{
		"alert.fired checkout.prod.nightly ticket chat objectives low https://flyball.example/objectives/checkout.prod.nightly",
		"alert.resolved checkout.prod.nightly ticket chat objectives low https://flyball.example/objectives/checkout.prod.nightly",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
