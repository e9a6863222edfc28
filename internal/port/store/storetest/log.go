package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func testAppend(t *testing.T, b *bench) {
	if h := b.head(); h.Position != 0 || len(h.Hash) != 0 {
		t.Fatalf("head of an empty log: %+v", h)
	}
	happened := time.Date(2026, 10, 30, 1, 2, 3, 456789, time.FixedZone("x", 3600))
	d := event.Draft{ID: "7", Source: "github.com/acme/shop", Type: "change.pushed", Subject: "service/shop", Time: happened,
		Actor: "user:ana", Cause: "before", Data: note{Text: "grüße\x00 \" \\", N: 1}}
	got := b.append("change/1", 0, d, draft("change.built", 2))
	first, second := got[0], got[1]
	if first.Position != 1 || first.Version != 1 || second.Position != 2 || second.Version != 2 {
		t.Fatalf("positions and versions: %+v", got)
	}
	if !first.Time.Equal(happened.Truncate(time.Microsecond)) || !first.Recorded.Equal(b.clock.Now()) {
		t.Fatalf("times: happened %v, recorded %v", first.Time, first.Recorded)
	}
	if second.ID == "" || second.Source != "flyball" || second.Subject != "change/1" || !second.Time.Equal(second.Recorded) {
		t.Fatalf("defaults: %+v", second)
	}
	stored := b.read(event.Query{})
	if len(stored) != 2 || !same(stored[0], first) || !same(stored[1], second) {
		t.Fatalf("read back %+v,\nappended %+v", stored, got)
	}
	if n, err := event.Decode[note](stored[0]); err != nil || n.Text != "grüße\x00 \" \\" {
		t.Fatalf("payload %+v, %v", n, err)
	}
	if h := b.head(); h.Position != 2 || string(h.Hash) != string(second.Hash) {
		t.Fatalf("head %+v", h)
	}
}

func testConcurrent(t *testing.T, b *bench) {
	const writers, each = 64, 15
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		// Whoever has seen position n has seen all before it.
		last := int64(0)
		for {
			events, err := b.log.Read(b.ctx, event.Query{After: last})
			if err != nil {
				t.Errorf("read: %v", err)
				return
			}
			for _, e := range events {
				if e.Position != last+1 {
					t.Errorf("position %d follows %d", e.Position, last)
					return
				}
				last = e.Position
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for w := range writers {
		wg.Go(func() {
			stream := fmt.Sprintf("writer/%d", w%8)
			for i := range each {
				events, err := b.log.Append(b.ctx, event.Batch{Stream: stream, Expect: event.AnyVersion,
					Drafts: []event.Draft{draft("note.taken", i), draft("note.read", i)}})
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				if events[1].Position != events[0].Position+1 || events[1].Version != events[0].Version+1 {
					t.Errorf("a batch is torn: %d, %d", events[0].Position, events[1].Position)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	reader.Wait()
	if r := b.verify(); r.Events != writers*each*2 {
		t.Fatalf("verified %d events, want %d", r.Events, writers*each*2)
	}
	for w := range 8 {
		stream := fmt.Sprintf("writer/%d", w)
		for i, e := range b.read(event.Query{Stream: stream}) {
			if e.Version != int64(i)+1 {
				t.Fatalf("stream %s: version %d in place %d", stream, e.Version, i+1)
			}
		}
	}
}

func testVersions(t *testing.T, b *bench) {
	b.append("a", 0, draft("note.taken", 1), draft("note.taken", 2))
	err := b.refused(problem.Conflict, event.Batch{Stream: "a", Expect: 0, Drafts: []event.Draft{draft("note.taken", 3)}})
	if !strings.Contains(err.Error(), "stream a is at version 2, not 0") {
		t.Fatalf("message %q", err)
	}
	b.refused(problem.Conflict, event.Batch{Stream: "a", Expect: 3, Drafts: []event.Draft{draft("note.taken", 3)}})
	b.refused(problem.Conflict, event.Batch{Stream: "b", Expect: 1, Drafts: []event.Draft{draft("note.taken", 3)}})
	b.append("a", 2, draft("note.taken", 3))
	b.append("a", event.AnyVersion, draft("note.taken", 4))
	for stream, want := range map[string]int64{"a": 4, "b": 0} {
		if v, err := b.log.Version(b.ctx, stream); err != nil || v != want {
			t.Fatalf("version of %s: %d, %v; want %d", stream, v, err, want)
		}
	}
}

func testOneWinner(t *testing.T, b *bench) {
	const writers = 32
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range writers {
		wg.Go(func() {
			_, err := b.log.Append(b.ctx, event.Batch{Stream: "a", Expect: 0, Drafts: []event.Draft{draft("note.taken", i)}})
			if err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			} else if problem.KindOf(err) != problem.Conflict {
				t.Errorf("append: %v", err)
			}
		})
	}
	wg.Wait()
	if won != 1 || b.head().Position != 1 {
		t.Fatalf("%d appends won, the head is at %d", won, b.head().Position)
	}
}

func testDeduplication(t *testing.T, b *bench) {
	id := func(source, id string, n int) event.Draft {
		d := draft("note.taken", n)
		d.Source, d.ID = source, id
		return d
	}
	first := b.append("a", 0, id("x", "1", 1), id("x", "2", 2))
	// All known: whatever the stream, the version and the lease.
	again := b.append("a", 0, id("x", "1", 9), id("x", "2", 9))
	if !same(again[0], first[0]) || !same(again[1], first[1]) {
		t.Fatalf("a retried append gave %+v, want %+v", again, first)
	}
	b.append("elsewhere", 5, id("x", "2", 9))
	known, err := b.log.Append(b.ctx, event.Batch{Stream: "a", Expect: 0, Lease: event.Lease{Name: "l", Epoch: 3}, Drafts: []event.Draft{id("x", "1", 9)}})
	if err != nil || !same(known[0], first[0]) {
		t.Fatalf("a retried append under a lost lease: %+v, %v", known, err)
	}
	if h := b.head(); h.Position != 2 {
		t.Fatalf("head at %d, want 2", h.Position)
	}
	// Partly known: the rest is appended, and the version is checked.
	b.refused(problem.Conflict, event.Batch{Stream: "a", Expect: 0, Drafts: []event.Draft{id("x", "1", 9), id("x", "3", 3)}})
	part := b.append("a", 2, id("x", "3", 3), id("x", "1", 9), id("y", "1", 4), id("x", "3", 5))
	if positions(part) != "3 1 4 3" {
		t.Fatalf("positions %q, want %q", positions(part), "3 1 4 3")
	}
	if n, _ := event.Decode[note](part[3]); n.N != 3 {
		t.Fatalf("of two equal identifiers in a batch the later one was kept: %+v", n)
	}
	b.verify()
	// At the same time.
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := b.log.Append(b.ctx, event.Batch{Stream: "race", Expect: 0, Drafts: []event.Draft{id("x", "race", 0)}}); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	wg.Wait()
	if v, _ := b.log.Version(b.ctx, "race"); v != 1 {
		t.Fatalf("one event, appended 32 times, was recorded %d times", v)
	}
}

func testAtomic(t *testing.T, b *bench) {
	bad := draft("note.taken", 2)
	bad.Actor = ""
	b.refused(problem.Invalid, event.Batch{Stream: "a", Drafts: []event.Draft{draft("note.taken", 1), bad}})
	unmarshallable := draft("note.taken", 2)
	unmarshallable.Data = func() {}
	b.refused(problem.Invalid, event.Batch{Stream: "a", Drafts: []event.Draft{draft("note.taken", 1), unmarshallable}})
	// Beside batches that fail, others go through whole.
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			batch := event.Batch{Stream: fmt.Sprintf("ok/%d", i), Drafts: []event.Draft{draft("note.taken", 1), draft("note.taken", 2), draft("note.taken", 3)}}
			if i%2 == 1 {
				batch.Stream, batch.Expect = "bad", 7
			}
			_, err := b.log.Append(b.ctx, batch)
			if want := map[bool]problem.Kind{true: problem.Conflict, false: ""}[i%2 == 1]; problem.KindOf(err) != want {
				t.Errorf("append %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if r := b.verify(); r.Events != 60 {
		t.Fatalf("%d events, want 60", r.Events)
	}
}

func testBounds(t *testing.T, b *bench) {
	with := func(change func(*event.Draft)) []event.Draft {
		d := draft("note.taken", 1)
		change(&d)
		return []event.Draft{d}
	}
	long := strings.Repeat("x", event.MaxField+1)
	for name, batch := range map[string]event.Batch{
		"no events":       {Stream: "a"},
		"too many events": {Stream: "a", Drafts: make([]event.Draft, event.MaxDrafts+1)},
		"no stream":       {Drafts: with(func(*event.Draft) {})},
		"bad version":     {Stream: "a", Expect: -2, Drafts: with(func(*event.Draft) {})},
		"no type":         {Stream: "a", Drafts: with(func(d *event.Draft) { d.Type = "" })},
		"long id":         {Stream: "a", Drafts: with(func(d *event.Draft) { d.ID = long })},
		"long cause":      {Stream: "a", Drafts: with(func(d *event.Draft) { d.Cause = long })},
		"not UTF-8":       {Stream: "a", Drafts: with(func(d *event.Draft) { d.Subject = "a\xff" })},
		"NUL":             {Stream: "a\x00", Drafts: with(func(*event.Draft) {})},
		"year 12026":      {Stream: "a", Drafts: with(func(d *event.Draft) { d.Time = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) })},
		"large payload":   {Stream: "a", Drafts: with(func(d *event.Draft) { d.Data = strings.Repeat("x", event.MaxData) })},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.log.Append(b.ctx, batch)
			wantKind(t, err, problem.Invalid)
		})
	}
	d := draft("note.taken", 1)
	d.Data = strings.Repeat("x", event.MaxData-2)
	b.append("a", 0, d)
	if e := b.read(event.Query{})[0]; len(e.Data) != event.MaxData {
		t.Fatalf("the largest payload came back with %d bytes", len(e.Data))
	}
	many := make([]event.Draft, event.MaxDrafts)
	for i := range many {
		many[i] = draft("note.taken", i)
	}
	b.append("many", 0, many...)
	b.verify()
}

func testEpochs(t *testing.T, b *bench) {
	batch := func(name string, epoch int64) event.Batch {
		return event.Batch{Stream: "a", Expect: event.AnyVersion, Lease: event.Lease{Name: name, Epoch: epoch}, Drafts: []event.Draft{draft("note.taken", 1)}}
	}
	b.refused(problem.Conflict, batch("controller", 1))
	old, err := b.store.Leases().Acquire(b.ctx, "controller", "one", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.log.Append(b.ctx, batch("controller", old)); err != nil {
		t.Fatalf("append under the lease: %v", err)
	}
	b.clock.Move(2 * time.Minute)
	if _, err := b.log.Append(b.ctx, batch("controller", old)); err != nil {
		t.Fatalf("append under a lease that has lapsed, and that nobody took: %v", err)
	}
	fresh, err := b.store.Leases().Acquire(b.ctx, "controller", "two", time.Minute)
	if err != nil || fresh <= old {
		t.Fatalf("epoch %d after %d, %v", fresh, old, err)
	}
	b.refused(problem.Conflict, batch("controller", old))
	b.refused(problem.Conflict, batch("controller", fresh+1))
	b.refused(problem.Conflict, batch("other", fresh))
	if _, err := b.log.Append(b.ctx, batch("controller", fresh)); err != nil {
		t.Fatalf("append under the new lease: %v", err)
	}
	// While leases change hands, nothing lands under an epoch that was passed.
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 10 {
				name := fmt.Sprintf("holder-%d", i)
				epoch, err := b.store.Leases().Acquire(b.ctx, "race", name, time.Minute)
				if err != nil {
					continue
				}
				r := batch("race", epoch)
				r.Stream, r.Drafts[0].Data = "race", note{N: int(epoch)}
				_, _ = b.log.Append(b.ctx, r)
				_ = b.store.Leases().Release(b.ctx, "race", name, epoch)
			}
		})
	}
	wg.Wait()
	last := 0
	for _, e := range b.read(event.Query{Stream: "race"}) {
		n, _ := event.Decode[note](e)
		if n.N < last {
			t.Fatalf("epoch %d was appended after %d", n.N, last)
		}
		last = n.N
	}
}

func testRecorded(t *testing.T, b *bench) {
	b.append("a", 0, draft("note.taken", 1))
	start := b.clock.Now()
	b.clock.Move(-time.Hour)
	b.append("a", 1, draft("note.taken", 2))
	if b.Reopen != nil {
		b.use(b.Reopen(t, b.store, b.clock))
	}
	b.append("a", 2, draft("note.taken", 3))
	b.clock.Move(2 * time.Hour)
	b.append("a", 3, draft("note.taken", 4))
	events := b.read(event.Query{})
	for i, want := range []time.Time{start, start, start, start.Add(time.Hour)} {
		if !events[i].Recorded.Equal(want) {
			t.Fatalf("event %d was recorded %v, want %v", i+1, events[i].Recorded, want)
		}
	}
	for _, q := range []struct {
		by   time.Time
		want string
	}{{start.Add(-1), ""}, {start, "1 2 3"}, {start.Add(time.Hour - 1), "1 2 3"}, {start.Add(time.Hour), "1 2 3 4"}} {
		if got := positions(b.read(event.Query{RecordedBy: q.by})); got != q.want {
			t.Fatalf("recorded by %v: %q, want %q", q.by, got, q.want)
		}
	}
	b.verify()
}

func testRead(t *testing.T, b *bench) {
	for i := range 20 {
		d := draft("note.taken", i)
		d.Subject, d.ID = fmt.Sprintf("service/%d", i%2), fmt.Sprintf("note-%d", i+1)
		b.append(fmt.Sprintf("stream/%d", i%3), event.AnyVersion, d)
		b.clock.Move(time.Second)
	}
	start := NewClock().Now()
	for _, test := range []struct {
		q    event.Query
		want string
	}{
		{event.Query{Limit: 3}, "1 2 3"},
		{event.Query{After: 17}, "18 19 20"},
		{event.Query{After: 20}, ""},
		{event.Query{After: 99}, ""},
		{event.Query{After: 4, Until: 6}, "5 6"},
		{event.Query{Until: 2}, "1 2"},
		{event.Query{After: 6, Until: 3}, ""},
		{event.Query{Stream: "stream/1", Limit: 4}, "2 5 8 11"},
		{event.Query{Stream: "stream/1", After: 11}, "14 17 20"},
		{event.Query{Stream: "stream/1", After: 5, Until: 14}, "8 11 14"},
		{event.Query{Stream: "none"}, ""},
		{event.Query{ID: "note-7"}, "7"},
		{event.Query{ID: "note-7", After: 7}, ""},
		{event.Query{ID: "note-7", Until: 6}, ""},
		{event.Query{ID: "note-7", Stream: "stream/1"}, ""},
		{event.Query{ID: "note-7", Subject: "service/0"}, "7"},
		{event.Query{ID: "note-77"}, ""},
		{event.Query{Subject: "service/1", After: 15}, "16 18 20"},
		{event.Query{Subject: "service/1", Stream: "stream/0"}, "4 10 16"},
		{event.Query{Subject: "service/1", RecordedBy: start.Add(5 * time.Second)}, "2 4 6"},
		{event.Query{RecordedBy: start.Add(2 * time.Second), After: 1}, "2 3"},
		{event.Query{RecordedBy: start.Add(2500 * time.Millisecond), Until: 2}, "1 2"},
		{event.Query{Stream: "stream/0", RecordedBy: start.Add(3 * time.Second)}, "1 4"},
	} {
		if got := positions(b.read(test.q)); got != test.want {
			t.Errorf("%+v: %q, want %q", test.q, got, test.want)
		}
	}
}

func testReadTypes(t *testing.T, b *bench) {
	types := []string{"rollout.started", "rollout.stepped", "rolloutx.started", "change.pushed", "rollout", "Rollout.started", "rollout.a_b"}
	for i := range 21 {
		d := draft(types[i%7], i)
		d.Subject, d.ID = fmt.Sprintf("service/%d", i%2), fmt.Sprintf("note-%d", i+1)
		b.append("s", event.AnyVersion, d)
	}
	for _, test := range []struct {
		q    event.Query
		want string
	}{
		{event.Query{Types: []string{"rollout."}}, "1 2 7 8 9 14 15 16 21"},
		{event.Query{Types: []string{"rollout."}, Limit: 4}, "1 2 7 8"},
		{event.Query{Types: []string{"rollout"}}, "5 12 19"},
		{event.Query{Types: []string{"rollout.stepped", "change."}}, "2 4 9 11 16 18"},
		{event.Query{Types: []string{"rollout.", "rollout.stepped"}, After: 7, Until: 15}, "8 9 14 15"},
		{event.Query{Types: []string{"rollout.stepped", "rollout.stepped"}}, "2 9 16"},
		{event.Query{Types: []string{"change.pushed"}, Subject: "service/1"}, "4 18"},
		{event.Query{Types: []string{"change."}, Stream: "s", After: 4}, "11 18"},
		{event.Query{Types: []string{"none."}}, ""},
		{event.Query{Types: []string{""}}, ""},
		{event.Query{Types: []string{"."}}, ""},
		{event.Query{Types: []string{"rollout%", "rollout_started"}}, ""},
	} {
		if got := positions(b.read(test.q)); got != test.want {
			t.Errorf("%+v: %q, want %q", test.q, got, test.want)
		}
	}
}

func testWait(t *testing.T, b *bench) {
	b.append("a", 0, draft("note.taken", 1))
	if err := b.log.Wait(b.ctx, 0); err != nil {
		t.Fatalf("waiting for what is there: %v", err)
	}
	woken := make(chan error, 64)
	for range 64 {
		go func() { woken <- b.log.Wait(b.ctx, 1) }()
	}
	b.append("a", 1, draft("note.taken", 2))
	for range 64 {
		if err := <-woken; err != nil {
			t.Fatalf("wait: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(b.ctx)
	go func() { woken <- b.log.Wait(ctx, 2) }()
	cancel()
	if err := <-woken; !errors.Is(err, context.Canceled) {
		t.Fatalf("wait after cancel: %v", err)
	}
}
