package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
)

func testLeases(t *testing.T, b *bench) {
	leases := b.store.Leases()
	acquire := func(name, holder string, want int64) {
		t.Helper()
		if epoch, err := leases.Acquire(b.ctx, name, holder, time.Minute); err != nil || epoch != want {
			t.Fatalf("%s acquires %s: epoch %d, %v; want %d", holder, name, epoch, err, want)
		}
	}
	acquire("l", "one", 1)
	acquire("l", "one", 1)
	acquire("other", "two", 1)
	_, err := leases.Acquire(b.ctx, "l", "two", time.Minute)
	wantKind(t, err, problem.Conflict)
	until := b.clock.Now().Add(time.Minute).Format(time.RFC3339)
	if !strings.Contains(err.Error(), "held by one until "+until) {
		t.Fatalf("message %q", err)
	}
	// Renewed in time, it stays.
	b.clock.Move(50 * time.Second)
	if err := leases.Renew(b.ctx, "l", "one", 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	b.clock.Move(50 * time.Second)
	_, err = leases.Acquire(b.ctx, "l", "two", time.Minute)
	wantKind(t, err, problem.Conflict)
	if b.Reopen != nil {
		b.use(b.Reopen(t, b.store, b.clock))
		leases = b.store.Leases()
		_, err = leases.Acquire(b.ctx, "l", "two", time.Minute)
		wantKind(t, err, problem.Conflict)
	}
	// Expired, it goes to whoever asks first; the old holder finds out.
	b.clock.Move(10 * time.Second)
	acquire("l", "two", 2)
	wantKind(t, leases.Renew(b.ctx, "l", "one", 1, time.Minute), problem.Conflict)
	_, err = leases.Acquire(b.ctx, "l", "one", time.Minute)
	wantKind(t, err, problem.Conflict)
	if err := leases.Release(b.ctx, "l", "one", 1); err != nil {
		t.Fatalf("releasing what one does not hold: %v", err)
	}
	_, err = leases.Acquire(b.ctx, "l", "one", time.Minute)
	wantKind(t, err, problem.Conflict)
	if err := leases.Release(b.ctx, "l", "two", 2); err != nil {
		t.Fatal(err)
	}
	wantKind(t, leases.Renew(b.ctx, "l", "two", 2, time.Minute), problem.Conflict)
	wantKind(t, leases.Renew(b.ctx, "unknown", "two", 0, time.Minute), problem.Conflict)
	acquire("l", "two", 3)
	// Expired and not taken, it can still be renewed.
	b.clock.Move(time.Hour)
	if err := leases.Renew(b.ctx, "l", "two", 3, time.Minute); err != nil {
		t.Fatal(err)
	}
	_, err = leases.Acquire(b.ctx, "l", "one", time.Minute)
	wantKind(t, err, problem.Conflict)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 16 {
		wg.Go(func() {
			if _, err := leases.Acquire(b.ctx, "race", fmt.Sprint(i), time.Minute); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Fatalf("%d holders of one lease", won)
	}
}

func (b *bench) put(cursors map[string]int64, writes ...store.BlobWrite) {
	b.t.Helper()
	if err := b.store.Blobs().Put(b.ctx, writes, cursors); err != nil {
		b.t.Fatalf("put: %v", err)
	}
}

func (b *bench) chunks(series string, from, to time.Time) string {
	b.t.Helper()
	got, err := b.store.Blobs().Range(b.ctx, series, from, to)
	if err != nil {
		b.t.Fatalf("range: %v", err)
	}
	var out []string
	for _, c := range got {
		out = append(out, fmt.Sprintf("%s=%s", c.Start.Format("15:04:05.000000"), c.Data))
	}
	return strings.Join(out, " ")
}

func testBlobs(t *testing.T, b *bench) {
	start := b.clock.Now()
	at := func(series string, seconds float64, data string) store.BlobWrite {
		return store.BlobWrite{Series: series, Start: start.Add(time.Duration(seconds * float64(time.Second))).In(time.FixedZone("x", 7200)), Data: []byte(data)}
	}
	b.put(nil, at("bins/a", 2, "two"), at("bins/a", 0, "zero"), at("bins/a", 1.5, "one"), at("bins/b", 0, ""), at("slots/a", -3600, "\x00\xff"))
	b.put(nil, at("bins/a", 2, "TWO"))
	end := start.Add(time.Hour)
	for _, test := range []struct {
		series   string
		from, to time.Time
		want     string
	}{
		{"bins/a", start, end, "09:00:00.000000=zero 09:00:01.500000=one 09:00:02.000000=TWO"},
		{"bins/a", start.Add(1), start.Add(2 * time.Second), "09:00:01.500000=one"},
		{"bins/a", start, start, ""},
		{"bins/a", end, start, ""},
		{"bins/b", start, end, "09:00:00.000000="},
		{"slots/a", time.Time{}, end, "08:00:00.000000=\x00\xff"},
		{"none", start, end, ""},
	} {
		if got := b.chunks(test.series, test.from, test.to); got != test.want {
			t.Errorf("%s from %v to %v: %q, want %q", test.series, test.from, test.to, got, test.want)
		}
	}
	series := func(prefix, after string, limit int, want ...string) {
		t.Helper()
		if got, err := b.store.Blobs().Series(b.ctx, prefix, after, limit); err != nil || !slices.Equal(got, want) {
			t.Errorf("series %q after %q: %v, %v; want %v", prefix, after, got, err, want)
		}
	}
	series("", "", 0, "bins/a", "bins/b", "slots/a")
	series("bins/", "", 0, "bins/a", "bins/b")
	series("bins/", "bins/a", 0, "bins/b")
	series("", "", 2, "bins/a", "bins/b")
	series("bins%", "", 0)
	series("bins_a", "", 0)
	prune := func(prefix string, before time.Time, want int) {
		t.Helper()
		if n, err := b.store.Blobs().Prune(b.ctx, prefix, before); err != nil || n != want {
			t.Errorf("prune %q before %v: %d, %v; want %d", prefix, before, n, err, want)
		}
	}
	prune("bins/", start.Add(2*time.Second), 3)
	prune("bins/", start.Add(2*time.Second), 0)
	series("", "", 0, "bins/a", "slots/a")
	if got := b.chunks("bins/a", start, end); got != "09:00:02.000000=TWO" {
		t.Errorf("after pruning: %q", got)
	}
	gone := func(w store.BlobWrite) store.BlobWrite { w.Remove = true; return w }
	b.put(nil, at("bins/b", 0, "b"), gone(at("bins/b", 0, "")), gone(at("bins/b", 5, "")), at("bins/a", 3, "three"), gone(at("bins/a", 4, "")))
	b.put(nil, gone(at("bins/a", 3, "")))
	series("", "", 0, "bins/a", "slots/a")
	if got := b.chunks("bins/a", start, end); got != "09:00:02.000000=TWO" {
		t.Errorf("after removing: %q", got)
	}
	for name, writes := range map[string][]store.BlobWrite{
		"no series": {at("", 0, "x")}, "large": {at("s", 0, strings.Repeat("x", store.MaxBlob+1))}, "many": make([]store.BlobWrite, store.MaxWrites+1),
	} {
		if err := b.store.Blobs().Put(b.ctx, writes, nil); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.Reopen != nil {
		b.use(b.Reopen(t, b.store, b.clock))
		series("", "", 0, "bins/a", "slots/a")
	}
}

func testBlobCursors(t *testing.T, b *bench) {
	cursor := func(name string) int64 {
		t.Helper()
		c, err := b.store.Blobs().Cursor(b.ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := cursor("agent"); c != 0 {
		t.Fatalf("cursor of nothing: %d", c)
	}
	write := func(i int) store.BlobWrite {
		return store.BlobWrite{Series: "bins", Start: b.clock.Now().Add(time.Duration(i) * time.Second), Data: []byte("x")}
	}
	b.put(map[string]int64{"agent": 1, "other": 7}, write(1))
	b.put(map[string]int64{"agent": 2}, write(2))
	if err := b.store.Blobs().Put(b.ctx, []store.BlobWrite{write(3), {}}, map[string]int64{"agent": 3}); err == nil {
		t.Fatal("a bad chunk was taken")
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if err := b.store.Blobs().Put(ctx, []store.BlobWrite{write(3)}, map[string]int64{"agent": 3}); err == nil {
		t.Fatal("a cancelled write was taken")
	}
	if b.Reopen != nil {
		b.use(b.Reopen(t, b.store, b.clock))
	}
	if cursor("agent") != 2 || cursor("other") != 7 || strings.Count(b.chunks("bins", b.clock.Now(), b.clock.Now().Add(time.Hour)), "=") != 2 {
		t.Fatalf("cursors %d and %d, chunks %q", cursor("agent"), cursor("other"), b.chunks("bins", b.clock.Now(), b.clock.Now().Add(time.Hour)))
	}
}
