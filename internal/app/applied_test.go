package app

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// A start leaves out what the last one applied, unless a file is another, or
// somebody has applied something since.
func TestApplied(t *testing.T) {
	ctx := context.Background()
	clk := clock.NewVirtual(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	a, err := New(Config{Clock: clk, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: memory.New(memory.Options{Clock: clk})})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true
	state := t.TempDir()
	files := map[string][]byte{"flyball/all.yaml": []byte(good)}
	still := func(want bool, why string, p applied) {
		t.Helper()
		if got, err := p.still(ctx, a); err != nil || got != want {
			t.Errorf("%s: %t, %v", why, got, err)
		}
	}
	mark := appliedFrom(state, "flyball", "c1", files)
	still(false, "before the first start", mark)
	if _, err := a.Apply(ctx, "system:up", "flyball", "c1", files); err != nil {
		t.Fatal(err)
	}
	if err := mark.note(ctx, a); err != nil {
		t.Fatal(err)
	}
	still(true, "after it", appliedFrom(state, "flyball", "c1", files))
	still(false, "another commit", appliedFrom(state, "flyball", "c2", files))
	still(false, "another file", appliedFrom(state, "flyball", "c1", map[string][]byte{"flyball/all.yaml": []byte(good + "\n")}))
	still(false, "a file more", appliedFrom(state, "flyball", "c1", map[string][]byte{"flyball/all.yaml": []byte(good), "flyball/b.yaml": nil}))
	if _, err := a.Apply(ctx, "user:ana", "elsewhere", "c1", map[string][]byte{"elsewhere/b.yaml": []byte("{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: another}, spec: {}}")}); err != nil {
		t.Fatal(err)
	}
	still(false, "something was applied since", mark)
}
