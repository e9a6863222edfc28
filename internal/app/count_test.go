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
)

// Pushed counts go where they happened, however late and however often; what
// cannot be is refused whole.
func TestPushedCounts(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	clk := clock.NewVirtual(now)
	a, err := New(Config{Clock: clk, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: memory.New(memory.Options{Clock: clk})})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true
	ctx := context.Background()
	files := strings.NewReplacer("type: probe, spec: {probe: home}", "type: push, spec: {name: nightly}", "name: home", "name: nightly", "displayName: home", "displayName: nightly", "SERVER", "http://localhost").Replace(probed)
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
	push := func(in count.PushInput, team string) error {
		ana := operation.Caller{Name: "ana", Grants: []operation.Grant{{Role: operation.Developer, Team: team}}}
		_, err := byName(a.Operations, "count.push").Call(ctx, ana, &in)
		return err
	}
	const key = "checkout.prod.nightly"
	late := []count.Slot{{Time: now.Add(-5 * 24 * time.Hour), Good: 90, Total: 100}, {Time: now.Add(-time.Hour), Good: 10, Total: 10}}
	for range 2 { // again changes nothing
		if err := push(count.PushInput{Objective: key, Slots: late}, "payments"); err != nil {
			t.Fatal(err)
		}
	}
	if err := push(count.PushInput{Objective: key, Slots: late[1:], Add: true}, "payments"); err != nil {
		t.Fatal(err)
	}
	if err := push(count.PushInput{Objective: key, Slots: late}, "others"); err == nil {
		t.Error("another team pushes")
	}
	one := func(at time.Time, good, total int64) []count.Slot {
		return []count.Slot{{Time: at, Good: good, Total: total}}
	}
	for name, in := range map[string]count.PushInput{
		"more good than total": {Objective: key, Slots: one(now, 2, 1)},
		"negative":             {Objective: key, Slots: one(now, -1, 1)},
		"without time":         {Objective: key, Slots: one(time.Time{}, 1, 1)},
		"ahead":                {Objective: key, Slots: one(now.Add(time.Hour), 1, 1)},
		"partly ahead":         {Objective: key, Slots: append(one(now, 5, 5), one(now.Add(time.Hour), 1, 1)...)},
		"too many":             {Objective: key, Slots: make([]count.Slot, count.MaxSlots+1)},
		"none":                 {Objective: key},
		"the proxy's":          {Objective: "checkout.prod.availability", Slots: one(now, 1, 1)},
		"unknown":              {Objective: "checkout.prod.gone", Slots: one(now, 1, 1)},
	} {
		if err := push(in, ""); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	s, err := a.watcher.Snapshot(key)
	if err != nil {
		t.Fatal(err)
	}
	if s.Total != 120 || s.Good != 110 {
		t.Errorf("the objective counts %v good of %v, want 110 of 120", s.Good, s.Total)
	}
}
