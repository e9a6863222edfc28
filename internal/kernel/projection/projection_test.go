package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type count struct {
	N    int   `json:"n"`
	Last int64 `json:"last"`
}

var errPoison = errors.New("poisoned")

// counts folds the events of some types by subject.
func counts(name string, version int, types ...string) *projection.Projection {
	return projection.Define(projection.Fold[count]{
		Name: name, Version: version, Types: types,
		Keys: func(e event.Event) []string { return []string{e.Subject} },
		Apply: func(_ string, s count, e event.Event) (count, error) {
			if e.Type == "note.poison" {
				return s, errPoison
			}
			return count{N: s.N + version, Last: e.Position}, nil
		},
	})
}

func appendTo(t *testing.T, s *memory.Store, subject string, types ...string) int64 {
	t.Helper()
	b := event.Batch{Stream: "s", Expect: event.AnyVersion}
	for _, typ := range types {
		b.Drafts = append(b.Drafts, event.Draft{Type: typ, Subject: subject, Actor: "user:ana"})
	}
	events, err := s.Log().Append(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return events[len(events)-1].Position
}

func get(t *testing.T, r projection.Reader, name, key string) count {
	t.Helper()
	c, _, err := projection.Get[count](t.Context(), r, name, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRunAndSync(t *testing.T) {
	s := memory.New(memory.Options{})
	notes, all := counts("notes", 1, "note."), counts("all", 1)
	r := projection.NewRunner(s.Log(), s.States(), notes, all)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for i := range 20 {
		appendTo(t, s, "a", "note.taken")
		last := appendTo(t, s, "a", "other.thing")
		if err := r.Sync(ctx, last); err != nil {
			t.Fatal(err)
		}
		if n, a := get(t, s.States(), "notes", "a"), get(t, s.States(), "all", "a"); n.N != i+1 || a.N != 2*(i+1) || a.Last != last {
			t.Fatalf("after %d rounds: %+v, %+v", i+1, n, a)
		}
	}
	short, stop := context.WithCancel(ctx)
	stop()
	if err := r.Sync(short, 1000); !errors.Is(err, context.Canceled) {
		t.Fatalf("sync beyond the end: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("run ended with %v", err)
	}
}

func TestStopsAtAFailure(t *testing.T) {
	s := memory.New(memory.Options{})
	appendTo(t, s, "a", "note.taken")
	bad := appendTo(t, s, "a", "note.poison")
	last := appendTo(t, s, "b", "note.taken")
	r := projection.NewRunner(s.Log(), s.States(), counts("notes", 1))
	for range 2 { // again: it does not creep past the event
		err := r.Run(t.Context())
		if !errors.Is(err, errPoison) || problem.KindOf(err) != problem.Internal || !strings.Contains(err.Error(), fmt.Sprintf("stopped at position %d (note.poison), key a", bad)) {
			t.Fatalf("run ended with %v", err)
		}
		if err := r.Sync(t.Context(), last); !errors.Is(err, errPoison) {
			t.Fatalf("sync: %v", err)
		}
		if p, err := r.Position(t.Context()); err != nil || p >= bad {
			t.Fatalf("position %d, %v", p, err)
		}
	}
}

// flaky is a store that is unavailable for a while.
type flaky struct {
	projection.Store
	full bool
}

func (f *flaky) Save(ctx context.Context, name string, m projection.Move, rows []projection.Row) error {
	if f.full {
		return problem.New(problem.Unavailable, "projection.save", "the disk is full")
	}
	return f.Store.Save(ctx, name, m, rows)
}

func TestFailureIsForgottenByANewRun(t *testing.T) {
	s := memory.New(memory.Options{})
	states := &flaky{Store: s.States(), full: true}
	last := appendTo(t, s, "a", "note.taken")
	r := projection.NewRunner(s.Log(), states, counts("notes", 1))
	if err := r.Run(t.Context()); problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("run ended with %v", err)
	}
	states.full = false
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for r.Sync(ctx, last) != nil { // until the new run has begun
	}
	cancel()
	<-ended
	if got := get(t, s.States(), "notes", "a"); got.N != 1 || got.Last != last {
		t.Fatalf("folded %+v", got)
	}
}

// outrun is a store in which another server saves something first, once.
type outrun struct {
	projection.Store
	other func()
}

func (o *outrun) Save(ctx context.Context, name string, m projection.Move, rows []projection.Row) error {
	if other := o.other; other != nil {
		o.other = nil
		other()
	}
	return o.Store.Save(ctx, name, m, rows)
}

// TestOutrun: another server has folded a part of what this one reads.
func TestOutrun(t *testing.T) {
	for _, part := range []int64{10, 1000, 1500, 2500} {
		s := memory.New(memory.Options{})
		for range 2500 {
			appendTo(t, s, "a", "note.taken")
		}
		states := &outrun{Store: s.States()}
		states.other = func() {
			if err := projection.Rebuild(t.Context(), s.Log(), s.States(), event.Query{Until: part}, counts("notes", 1)); err != nil {
				t.Error(err)
			}
		}
		if err := projection.NewRunner(s.Log(), states, counts("notes", 1)).CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s.States(), "notes", "a"); got.N != 2500 {
			t.Fatalf("outrun up to %d: folded %+v, want 2500", part, got)
		}
	}
}

// TestManyBatches folds more than a few batches, of which some touch nothing,
// and compares with counting.
func TestManyBatches(t *testing.T) {
	s := memory.New(memory.Options{})
	want := map[string]int{}
	for i := range 6000 {
		subject := fmt.Sprintf("k%d", i%97)
		typ := "note.taken"
		if i > 2500 && i < 5500 {
			typ = "other.thing"
		} else {
			want[subject]++
		}
		appendTo(t, s, subject, typ)
	}
	rare := counts("rare", 1, "never.")
	r := projection.NewRunner(s.Log(), s.States(), counts("notes", 1, "note."), rare)
	for range 2 { // and in a new process, which folds nothing twice
		if err := r.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		for k, n := range want {
			if got := get(t, s.States(), "notes", k); got.N != n {
				t.Fatalf("key %s: %d, want %d", k, got.N, n)
			}
		}
		r = projection.NewRunner(s.Log(), s.States(), counts("notes", 1, "note."), rare)
	}
	// What touches nothing is not read from the start again either.
	if c, err := s.States().Cursor(t.Context(), "rare", 1); err != nil || c < 2000 {
		t.Fatalf("cursor %d, %v", c, err)
	}
	// Another version starts from scratch.
	if err := projection.NewRunner(s.Log(), s.States(), counts("notes", 2, "note.")).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s.States(), "notes", "k0"); got.N != 2*want["k0"] {
		t.Fatalf("version 2 of k0: %d, want %d", got.N, 2*want["k0"])
	}
}

func TestRebuildAsOfAMoment(t *testing.T) {
	c := clock.NewVirtual(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	s := memory.New(memory.Options{Clock: c})
	var moments []time.Time
	for range 10 {
		appendTo(t, s, "a", "note.taken")
		moments = append(moments, c.Now())
		c.Advance(time.Minute)
	}
	for i, at := range moments {
		past := memory.New(memory.Options{})
		if err := projection.Rebuild(t.Context(), s.Log(), past.States(), event.Query{RecordedBy: at}, counts("notes", 1), counts("rare", 1, "never.")); err != nil {
			t.Fatal(err)
		}
		if got := get(t, past.States(), "notes", "a"); got.N != i+1 {
			t.Fatalf("as of %v: %+v", at, got)
		}
		if cursor, err := past.States().Cursor(t.Context(), "rare", 1); err != nil || cursor != int64(i)+1 {
			t.Fatalf("cursor %d, %v", cursor, err)
		}
	}
}

func TestGetAndList(t *testing.T) {
	s := memory.New(memory.Options{})
	if _, ok, err := projection.Get[count](t.Context(), s.States(), "notes", "a"); ok || err != nil {
		t.Fatalf("a state of nothing: %v, %v", ok, err)
	}
	appendTo(t, s, "a", "note.taken", "note.taken")
	appendTo(t, s, "b", "note.taken")
	if err := projection.NewRunner(s.Log(), s.States(), counts("notes", 1)).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, next, err := projection.List[count](t.Context(), s.States(), "notes", projection.Filter{Limit: 1})
	if err != nil || next == "" || len(list) != 1 || list[0].N != 2 {
		t.Fatalf("list %+v, %q, %v", list, next, err)
	}
	if _, _, err := projection.Get[[]string](t.Context(), s.States(), "notes", "a"); err == nil || !strings.Contains(err.Error(), "projection notes, key a") {
		t.Fatalf("a state of another shape: %v", err)
	}
	if _, _, err := projection.List[[]string](t.Context(), s.States(), "notes", projection.Filter{}); err == nil {
		t.Fatal("states of another shape were listed")
	}
}
