package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func testErase(t *testing.T, b *bench) {
	secret := draft("note.taken", 1)
	secret.Subject = "service/shop"
	before := b.append("a", 0, draft("note.taken", 0), secret, draft("note.taken", 2))
	wantKind(t, b.log.Erase(b.ctx, 4, "user:ana", "leaked"), problem.NotFound)
	wantKind(t, b.log.Erase(b.ctx, 0, "user:ana", "leaked"), problem.NotFound)
	wantKind(t, b.log.Erase(b.ctx, 2, "", "leaked"), problem.Invalid)
	if err := b.log.Erase(b.ctx, 2, "user:ana", "leaked"); err != nil {
		t.Fatal(err)
	}
	events := b.read(event.Query{})
	if len(events) != 4 {
		t.Fatalf("%d events, want 4", len(events))
	}
	gone, record := events[1], events[3]
	if !gone.Erased || len(gone.Data) > 0 || len(gone.Salt) > 0 || !bytes.Equal(gone.Hash, before[1].Hash) || !bytes.Equal(gone.Digest, before[1].Digest) {
		t.Fatalf("erased event: %+v", gone)
	}
	if n, err := event.Decode[note](gone); err != nil || n != (note{}) {
		t.Fatalf("payload of the erased event: %+v, %v", n, err)
	}
	erasure, err := event.Decode[event.Erasure](record)
	if err != nil || record.Type != event.TypeErased || record.Actor != "user:ana" || record.Subject != "service/shop" || record.Cause != gone.ID ||
		erasure != (event.Erasure{Position: 2, Type: "note.taken", Reason: "leaked"}) {
		t.Fatalf("record of the erasure: %+v %+v, %v", record, erasure, err)
	}
	if r := b.verify(); r.Erased != 1 || r.Events != 4 {
		t.Fatalf("report %+v", r)
	}
	// Again: nothing happens. The record of an erasure can be erased too.
	if err := b.log.Erase(b.ctx, 2, "user:ana", "leaked"); err != nil || b.head().Position != 4 {
		t.Fatalf("erasing again: %v, head %d", err, b.head().Position)
	}
	if err := b.log.Erase(b.ctx, 4, "user:ana", "named it"); err != nil {
		t.Fatal(err)
	}
	if r := b.verify(); r.Erased != 2 || r.Events != 5 {
		t.Fatalf("report %+v", r)
	}
	// A retried append of an erased event is still known.
	d := draft("note.taken", 1)
	d.Source, d.ID = gone.Source, gone.ID
	if again := b.append("a", 0, d); again[0].Position != 2 || !again[0].Erased {
		t.Fatalf("appending the erased event again: %+v", again)
	}
}

func testEraseRaw(t *testing.T, b *bench) {
	if b.Raw == nil {
		t.Skip("nothing at rest")
	}
	// Payloads within a page, over several, and between others.
	for _, size := range []int{10, 3000, 20_000} {
		var at []int64
		sentinel := fmt.Sprintf("SENTINEL-%d-", size)
		for i := range 40 {
			d := draft("note.taken", i)
			d.Data = note{Text: strings.Repeat("filler ", size/7)}
			if i%10 == 3 {
				d.Data = note{Text: strings.Repeat(sentinel, size/len(sentinel)+1)}
			}
			e := b.append(fmt.Sprintf("s/%d", i%3), event.AnyVersion, d)[0]
			if i%10 == 3 {
				at = append(at, e.Position)
			}
		}
		if !bytes.Contains(b.Raw(t, b.store), []byte(sentinel)) {
			t.Fatalf("the sentinel is not at rest before the erasure: the test would prove nothing")
		}
		for _, p := range at {
			if err := b.log.Erase(b.ctx, p, "user:ana", "leaked"); err != nil {
				t.Fatal(err)
			}
		}
		if raw := b.Raw(t, b.store); bytes.Contains(raw, []byte(sentinel)) {
			t.Fatalf("payloads of %d bytes: the sentinel is still at rest after the erasure", size)
		}
	}
	b.verify()
}

func testVerify(t *testing.T, b *bench) {
	if r := b.verify(); r.Events != 0 {
		t.Fatalf("report of an empty log: %+v", r)
	}
	drafts := make([]event.Draft, 1500)
	for i := range drafts {
		drafts[i] = draft("note.taken", i)
	}
	b.append("a", 0, drafts...)
	var seen []int64
	r, err := b.store.Verify(b.ctx, func(done, total int64) {
		if total != 1500 {
			t.Errorf("total %d", total)
		}
		seen = append(seen, done)
	})
	if err != nil || r.Events != 1500 || r.Head.Position != 1500 || !bytes.Equal(r.Head.Hash, b.head().Hash) {
		t.Fatalf("report %+v, %v", r, err)
	}
	if len(seen) < 2 || seen[len(seen)-1] != 1500 {
		t.Fatalf("progress %v", seen)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.store.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("verify after cancel: %v", err)
	}
}

func testTamper(t *testing.T, b *bench) {
	if b.Tamper == nil {
		t.Skip("nobody can")
	}
	for i := range 10 {
		b.append("a", int64(i), draft("note.taken", i))
	}
	b.Tamper(t, b.store, 4)
	_, err := b.store.Verify(b.ctx, nil)
	wantKind(t, err, problem.Internal)
	if !strings.Contains(err.Error(), "corrupted at position 4") || problem.NextOf(err) == "" {
		t.Fatalf("message %q, advice %q", err, problem.NextOf(err))
	}
}

func testDurable(t *testing.T, b *bench) {
	if b.Reopen == nil {
		t.Skip("not durable")
	}
	var acknowledged []event.Event
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				events, err := b.log.Append(b.ctx, event.Batch{Stream: fmt.Sprintf("w/%d", w), Expect: int64(i), Drafts: []event.Draft{draft("note.taken", i)}})
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, events...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	b.use(b.Reopen(t, b.store, b.clock))
	stored := b.read(event.Query{})
	for _, e := range acknowledged {
		if !same(stored[e.Position-1], e) {
			t.Fatalf("position %d: stored %+v, acknowledged %+v", e.Position, stored[e.Position-1], e)
		}
	}
	b.append("w/0", 10, draft("note.taken", 10))
	if r := b.verify(); r.Events != 81 {
		t.Fatalf("%d events, want 81", r.Events)
	}
}

func testTwoServers(t *testing.T, b *bench) {
	if b.Another == nil {
		t.Skip("one server only")
	}
	other := b.Another(t, b.store, b.clock)
	t.Cleanup(func() { _ = other.Close() })
	waiting := make(chan error, 1)
	go func() { waiting <- other.Log().Wait(b.ctx, 0) }()
	b.append("a", 0, draft("note.taken", 1))
	if err := <-waiting; err != nil {
		t.Fatalf("the other server waits: %v", err)
	}
	_, err := other.Log().Append(b.ctx, event.Batch{Stream: "a", Expect: 0, Drafts: []event.Draft{draft("note.taken", 2)}})
	wantKind(t, err, problem.Conflict)
	var wg sync.WaitGroup
	for w := range 32 {
		log := b.log
		if w%2 == 1 {
			log = other.Log()
		}
		wg.Go(func() {
			for i := range 10 {
				if _, err := log.Append(b.ctx, event.Batch{Stream: fmt.Sprintf("w/%d", w), Expect: int64(i), Drafts: []event.Draft{draft("note.taken", i)}}); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if r := b.verify(); r.Events != 321 {
		t.Fatalf("%d events, want 321", r.Events)
	}
	epoch, err := b.store.Leases().Acquire(b.ctx, "l", "one", 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Leases().Acquire(b.ctx, "l", "two", 1<<40)
	wantKind(t, err, problem.Conflict)
	if err := b.store.Leases().Release(b.ctx, "l", "one", epoch); err != nil {
		t.Fatal(err)
	}
	if got, err := other.Leases().Acquire(b.ctx, "l", "two", 1<<40); err != nil || got <= epoch {
		t.Fatalf("epoch %d after %d, %v", got, epoch, err)
	}
	_, err = b.log.Append(b.ctx, event.Batch{Stream: "x", Lease: event.Lease{Name: "l", Epoch: epoch}, Drafts: []event.Draft{draft("note.taken", 1)}})
	wantKind(t, err, problem.Conflict)
}
