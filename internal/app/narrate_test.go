package app

import (
	"bufio"
	"context"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

func TestNarrate(t *testing.T) {
	store := memory.New(memory.Options{})
	t.Cleanup(func() { store.Close() })
	record := func(typ, subject string, data any) {
		t.Helper()
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: subject, Expect: event.AnyVersion, Drafts: []event.Draft{{Type: typ, Subject: subject, Actor: "system", Data: data}}}); err != nil {
			t.Fatal(err)
		}
	}
	record("change.pushed", "change/cart-1", map[string]any{"commits": []map[string]string{{"subject": "before it came up", "author": "Ana"}}})
	head, err := store.Log().Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		narrate(ctx, store.Log(), head.Position, out)
	}()
	lines := bufio.NewScanner(in)
	for _, tt := range []struct {
		typ, subject string
		data         any
		want         string // empty: it is not told
	}{
		{"change.pushed", "change/cart-2", map[string]any{"commits": []map[string]string{{"subject": "Cache totals\x1b[2J", "author": "Ana"}}}, `change.pushed          change/cart-2  "Cache totals\x1b[2J" by Ana`},
		{"rollout.judged", "rollout/cart-2", map[string]any{"reason": "Held"}, ""},
		{"decision.made", "rollout/cart-2", map[string]any{"reason": "Held"}, ""},
		{"rollout.stepped", "rollout/cart-2", map[string]any{"revision": "2-9be", "weight": 2500}, "rollout.stepped        rollout/cart-2  2-9be gets 25 %"},
		{"rollout.rolled_back", "rollout/cart-2", map[string]any{"outcome": "rolled_back", "reason": "E = 214 ≥ 100\nmore\x1b[2J"}, "rollout.rolled_back    rollout/cart-2  rolled_back  E = 214 ≥ 100 more [2J"},
		{"future.fact", "thing/1", map[string]any{"name": 7}, "future.fact            thing/1"},
	} {
		record(tt.typ, tt.subject, tt.data)
		if tt.want == "" {
			continue
		}
		if !lines.Scan() {
			t.Fatal("no more is told")
		}
		if _, got, _ := strings.Cut(lines.Text(), "  "); strings.TrimRight(got, " ") != tt.want {
			t.Errorf("told %q, want %q", got, tt.want)
		}
	}
	stop()
	<-done
}

// What people list most must fit on a screen; -o json has the rest.
func TestListsAreNarrow(t *testing.T) {
	for _, o := range Declarations() {
		table, ok := reflect.New(o.Output).Elem().Interface().(operation.Table)
		if ok && len(table.Header()) > 9 {
			t.Errorf("%s has %d columns: %q", o.Name(), len(table.Header()), table.Header())
		}
		if (o.Name() == "change.list" || o.Name() == "release.list" || o.Name() == "rollout.list") && !ok {
			t.Errorf("%s chooses no columns", o.Name())
		}
	}
}
