// Package storetest is what every implementation of the store port must pass.
// It runs on a clock that the tests set, and waits for nothing but events.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Adapter is an implementation under test.
type Adapter struct {
	// Open opens a new, empty store; the suite closes it.
	Open func(t *testing.T, c clock.Clock) store.Store
	// Reopen ends a store abruptly and opens what it left.
	Reopen func(t *testing.T, s store.Store, c clock.Clock) store.Store
	// Another opens a second store on the same database, as a second server
	// would; nil where the adapter allows one server only.
	Another func(t *testing.T, s store.Store, c clock.Clock) store.Store
	// Raw is everything the store has at rest, byte by byte, while it is open;
	// nil where nothing is at rest.
	Raw func(t *testing.T, s store.Store) []byte
	// Tamper changes the payload of a stored event behind the store's back;
	// nil where nobody can.
	Tamper func(t *testing.T, s store.Store, position int64)
}

// Run runs the suite.
func Run(t *testing.T, a Adapter) {
	tests := []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"append", testAppend},
		{"gap-free under concurrent writers", testConcurrent},
		{"versions", testVersions},
		{"one winner", testOneWinner},
		{"deduplication", testDeduplication},
		{"batches are atomic", testAtomic},
		{"bounds", testBounds},
		{"epochs fence appends", testEpochs},
		{"recorded never decreases", testRecorded},
		{"read", testRead},
		{"read types", testReadTypes},
		{"wait", testWait},
		{"erase", testErase},
		{"erase leaves no bytes", testEraseRaw},
		{"verify", testVerify},
		{"verify finds tampering", testTamper},
		{"durable", testDurable},
		{"two servers", testTwoServers},
		{"states", testStates},
		{"states list", testList},
		{"states move", testMove},
		{"states replace", testReplace},
		{"incremental equals from scratch", testIncremental},
		{"two runners", testTwoRunners},
		{"erasure reaches the states", testErasedStates},
		{"leases", testLeases},
		{"blobs", testBlobs},
		{"blobs and cursors are atomic", testBlobCursors},
		{"closed", testClosed},
		{"cancelled", testCancelled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newBench(t, a))
		})
	}
}

// Clock is a clock that tests set, backwards too. Its timers are those of the
// wall: only adapters that poll use them.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts a clock at a fixed instant.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)} }

// Now is the instant set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Move moves the clock by d, which may be negative.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// NewTimer is a timer of the wall's clock.
func (c *Clock) NewTimer(d time.Duration) clock.Timer { return clock.Wall().NewTimer(d) }

// bench is a store to be tested, with shorthands that fail the test.
type bench struct {
	Adapter
	t     *testing.T
	ctx   context.Context
	clock *Clock
	store store.Store
	log   event.Log
}

func newBench(t *testing.T, a Adapter) *bench {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	b := &bench{Adapter: a, t: t, ctx: ctx, clock: NewClock()}
	b.use(a.Open(t, b.clock))
	return b
}

func (b *bench) use(s store.Store) {
	b.store, b.log = s, s.Log()
	b.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.t.Errorf("closing: %v", err)
		}
	})
}

type note struct {
	Text string `json:"text"`
	N    int    `json:"n"`
}

// draft is an event of a type, named so that it can be told from others.
func draft(typ string, n int) event.Draft {
	return event.Draft{Type: typ, Actor: "user:ana", Data: note{Text: "note", N: n}}
}

func (b *bench) append(stream string, expect int64, drafts ...event.Draft) []event.Event {
	b.t.Helper()
	events, err := b.log.Append(b.ctx, event.Batch{Stream: stream, Expect: expect, Drafts: drafts})
	if err != nil {
		b.t.Fatalf("append to %s: %v", stream, err)
	}
	if len(events) != len(drafts) {
		b.t.Fatalf("append to %s: %d events for %d drafts", stream, len(events), len(drafts))
	}
	return events
}

func (b *bench) refused(kind problem.Kind, batch event.Batch) error {
	b.t.Helper()
	before := b.head()
	_, err := b.log.Append(b.ctx, batch)
	wantKind(b.t, err, kind)
	if after := b.head(); after.Position != before.Position {
		b.t.Fatalf("a refused append moved the head from %d to %d", before.Position, after.Position)
	}
	return err
}

func (b *bench) read(q event.Query) []event.Event {
	b.t.Helper()
	events, err := b.log.Read(b.ctx, q)
	if err != nil {
		b.t.Fatalf("read %+v: %v", q, err)
	}
	return events
}

func (b *bench) head() event.Head {
	b.t.Helper()
	h, err := b.log.Head(b.ctx)
	if err != nil {
		b.t.Fatalf("head: %v", err)
	}
	return h
}

func (b *bench) verify() store.Report {
	b.t.Helper()
	r, err := b.store.Verify(b.ctx, nil)
	if err != nil {
		b.t.Fatalf("verify: %v", err)
	}
	return r
}

func wantKind(t *testing.T, err error, kind problem.Kind) {
	t.Helper()
	if problem.KindOf(err) != kind {
		t.Fatalf("got error %v (kind %q), want kind %q", err, problem.KindOf(err), kind)
	}
}

// same reports whether two events are the same record.
func same(a, b event.Event) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func positions(events []event.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d ", e.Position)
	}
	return strings.TrimSpace(b.String())
}

func testClosed(t *testing.T, b *bench) {
	b.append("a", 0, draft("note.taken", 1))
	waiting := make(chan error, 1)
	go func() { waiting <- b.log.Wait(b.ctx, 1) }()
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	wantKind(t, <-waiting, problem.Unavailable)
	_, err := b.log.Append(b.ctx, event.Batch{Stream: "a", Expect: 1, Drafts: []event.Draft{draft("note.taken", 2)}})
	wantKind(t, err, problem.Unavailable)
	_, err = b.log.Read(b.ctx, event.Query{})
	wantKind(t, err, problem.Unavailable)
	if err := b.store.Close(); err != nil {
		t.Fatalf("closing again: %v", err)
	}
}

func testCancelled(t *testing.T, b *bench) {
	// Contexts that end at any moment leave the store whole.
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 20 {
				ctx, cancel := context.WithTimeout(b.ctx, time.Duration((w*i)%7)*100*time.Microsecond)
				_, err := b.log.Append(ctx, event.Batch{Stream: "a", Expect: event.AnyVersion, Drafts: []event.Draft{draft("note.taken", i)}})
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("append: %v", err)
				}
				_, err = b.log.Read(ctx, event.Query{})
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("read: %v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	b.append("a", event.AnyVersion, draft("note.taken", 0))
	if got := b.verify(); got.Events != b.head().Position {
		t.Fatalf("verified %d events, the head is at %d", got.Events, b.head().Position)
	}
}
