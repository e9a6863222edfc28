package memory

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/store"
)

type log struct{ s *Store }

// Append records a batch. Identifiers left empty become "@" and the position,
// so that a simulation gives the same history each time.
func (l log) Append(ctx context.Context, b event.Batch) ([]event.Event, error) {
	sealed, err := event.Seal(b)
	if err != nil {
		return nil, err
	}
	var out []event.Event
	err = l.s.write(ctx, "append", func(db *database) error {
		out, err = db.append(b, sealed, l.s.options.Clock.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (db *database) append(b event.Batch, sealed []event.Event, now time.Time) ([]event.Event, error) {
	out := slices.Clone(sealed)
	fresh := db.known(out)
	if fresh == 0 {
		return out, nil
	}
	if b.Lease.Name != "" && db.leases[b.Lease.Name].epoch != b.Lease.Epoch {
		return nil, store.StaleLease(b.Lease, db.leases[b.Lease.Name].epoch)
	}
	version := int64(len(db.streams[b.Stream]))
	if b.Expect != event.AnyVersion && b.Expect != version {
		return nil, store.StaleVersion(b.Stream, version, b.Expect)
	}
	var prev event.Event
	if n := len(db.events); n > 0 {
		prev = db.events[n-1]
	}
	if now.Before(prev.Recorded) {
		now = prev.Recorded
	}
	batch := map[identity]event.Event{}
	for i, e := range out {
		if e.Position > 0 {
			continue
		}
		if first, ok := batch[identity{e.Source, e.ID}]; ok && e.ID != "" {
			out[i] = first
			continue
		}
		if e.ID == "" {
			e.ID = "@" + strconv.FormatInt(prev.Position+1, 10)
		}
		version++
		e = e.Place(prev.Position+1, version, now, prev.Hash)
		db.add(e)
		batch[identity{e.Source, e.ID}] = e
		out[i], prev = e, e
	}
	db.batches = append(db.batches, len(batch))
	close(db.moved)
	db.moved = make(chan struct{})
	return out, nil
}

// known puts recorded events in the place of those whose identity they have,
// and counts the rest.
func (db *database) known(batch []event.Event) (fresh int) {
	for i, e := range batch {
		if p := db.ids[identity{e.Source, e.ID}]; p > 0 && e.ID != "" {
			batch[i] = db.events[p-1]
		} else {
			fresh++
		}
	}
	return fresh
}

func (db *database) add(e event.Event) {
	db.events = append(db.events, e)
	db.ids[identity{e.Source, e.ID}] = e.Position
	db.streams[e.Stream] = append(db.streams[e.Stream], e.Position)
	db.subjects[e.Subject] = append(db.subjects[e.Subject], e.Position)
}

// lose takes back the newest appends, and states that had folded them.
func (db *database) lose(appends int) {
	n := len(db.events)
	for range min(appends, len(db.batches)) {
		last := len(db.batches) - 1
		n -= db.batches[last]
		db.batches = db.batches[:last]
	}
	kept := db.events[:n]
	clear(db.ids)
	clear(db.streams)
	clear(db.subjects)
	db.events = nil
	for _, e := range kept {
		db.add(e)
	}
	for name, f := range db.states {
		if f.cursor > int64(n) {
			delete(db.states, name)
		}
	}
}

func (l log) Read(ctx context.Context, q event.Query) ([]event.Event, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 1000
	}
	var out []event.Event
	err := l.s.read(ctx, func(db *database) error {
		end := int64(len(db.events))
		if q.Until > 0 {
			end = min(end, q.Until)
		}
		if !q.RecordedBy.IsZero() {
			end = int64(sort.Search(int(end), func(i int) bool { return db.events[i].Recorded.After(q.RecordedBy) }))
		}
		out = db.selected(q, end, limit)
		return nil
	})
	return out, err
}

func (db *database) selected(q event.Query, end int64, limit int) []event.Event {
	after := max(q.After, 0)
	if q.ID != "" {
		p := db.ids[identity{"flyball", q.ID}]
		if p == 0 || p <= after || p > end || q.Stream != "" && db.events[p-1].Stream != q.Stream {
			return nil
		}
		return filter(q, limit, func(yield func(event.Event) bool) { yield(db.events[p-1]) })
	}
	positions, narrowed := db.streams[q.Stream], q.Stream != ""
	if !narrowed {
		positions, narrowed = db.subjects[q.Subject], q.Subject != ""
	}
	if !narrowed {
		if after >= end {
			return nil
		}
		if len(q.Types) == 0 {
			return slices.Clone(db.events[after:min(end, after+int64(limit))])
		}
		return filter(q, limit, func(yield func(event.Event) bool) {
			for _, e := range db.events[after:end] {
				if !yield(e) {
					return
				}
			}
		})
	}
	first := sort.Search(len(positions), func(i int) bool { return positions[i] > after })
	return filter(q, limit, func(yield func(event.Event) bool) {
		for _, p := range positions[first:] {
			if p > end || !yield(db.events[p-1]) {
				return
			}
		}
	})
}

func filter(q event.Query, limit int, all func(yield func(event.Event) bool)) []event.Event {
	var out []event.Event
	for e := range all {
		if q.Subject != "" && e.Subject != q.Subject || !event.Matches(q.Types, e.Type) {
			continue
		}
		if out = append(out, e); len(out) == limit {
			break
		}
	}
	return out
}

func (l log) Head(ctx context.Context) (h event.Head, err error) {
	err = l.s.read(ctx, func(db *database) error {
		if n := len(db.events); n > 0 {
			h = event.Head{Position: int64(n), Hash: db.events[n-1].Hash}
		}
		return nil
	})
	return h, err
}

func (l log) Version(ctx context.Context, stream string) (v int64, err error) {
	err = l.s.read(ctx, func(db *database) error {
		v = int64(len(db.streams[stream]))
		return nil
	})
	return v, err
}

func (l log) Wait(ctx context.Context, after int64) error {
	for {
		var arrived bool
		var moved chan struct{}
		err := l.s.read(ctx, func(db *database) error {
			arrived, moved = int64(len(db.events)) > after, db.moved
			return nil
		})
		if err != nil || arrived {
			return err
		}
		select {
		case <-moved:
		case <-l.s.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l log) Erase(ctx context.Context, position int64, actor, reason string) error {
	return l.s.write(ctx, "erase", func(db *database) error {
		if position < 1 || position > int64(len(db.events)) {
			return store.NoEvent(position)
		}
		e := db.events[position-1]
		if e.Erased {
			return nil
		}
		b := store.ErasureBatch(e, actor, reason)
		sealed, err := event.Seal(b)
		if err != nil {
			return err
		}
		if _, err := db.append(b, sealed, l.s.options.Clock.Now()); err != nil {
			return err
		}
		e.Data, e.Salt, e.Erased = nil, nil, true
		db.events[position-1] = e
		return nil
	})
}
