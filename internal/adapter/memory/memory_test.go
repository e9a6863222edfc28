package memory

import (
	"context"
	"fmt"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
	"github.com/flyball-dev/flyball/internal/port/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Adapter{
		Open:    func(_ *testing.T, c clock.Clock) store.Store { return New(Options{Clock: c}) },
		Reopen:  func(_ *testing.T, s store.Store, _ clock.Clock) store.Store { return s.(*Store).Crash() },
		Another: func(_ *testing.T, s store.Store, _ clock.Clock) store.Store { return s.(*Store).Another() },
		Tamper: func(_ *testing.T, s store.Store, position int64) {
			s.(*Store).db.events[position-1].Data = []byte(`{"text":"forged"}`)
		},
	})
}

func batch(id string) event.Batch {
	return event.Batch{Stream: "a", Expect: event.AnyVersion, Drafts: []event.Draft{{ID: id, Type: "note.taken", Actor: "user:ana"}}}
}

func TestCrashAtEachPoint(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			strike := false
			s := New(Options{Crash: func(p Point) bool { return strike && p == Point{Op: "append", Durable: durable} }})
			ctx := context.Background()
			if _, err := s.Log().Append(ctx, batch("1")); err != nil {
				t.Fatal(err)
			}
			strike = true
			if _, err := s.Log().Append(ctx, batch("2")); problem.KindOf(err) != problem.Unavailable {
				t.Fatalf("append at the crash: %v", err)
			}
			strike = false
			if _, err := s.Log().Head(ctx); problem.KindOf(err) != problem.Unavailable {
				t.Fatalf("use after the crash: %v", err)
			}
			s = s.Crash()
			want := int64(1)
			if durable {
				want = 2
			}
			if h, err := s.Log().Head(ctx); err != nil || h.Position != want {
				t.Fatalf("head %d after the crash, %v; want %d", h.Position, err, want)
			}
			// Retried, it is there once.
			if _, err := s.Log().Append(ctx, batch("2")); err != nil {
				t.Fatal(err)
			}
			if h, _ := s.Log().Head(ctx); h.Position != 2 {
				t.Fatalf("head %d after the retry, want 2", h.Position)
			}
		})
	}
}

func TestLoseLast(t *testing.T) {
	s := New(Options{LoseLast: 2})
	ctx := context.Background()
	for i := range 5 {
		if _, err := s.Log().Append(ctx, batch(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	s = s.Crash()
	if r, err := s.Verify(ctx, nil); err != nil || r.Events != 3 {
		t.Fatalf("%d events, %v; want 3", r.Events, err)
	}
	if v, _ := s.Log().Version(ctx, "a"); v != 3 {
		t.Fatalf("version %d, want 3", v)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := New(Options{})
	for b.Loop() {
		if _, err := s.Log().Append(context.Background(), batch("")); err != nil {
			b.Fatal(err)
		}
	}
}
