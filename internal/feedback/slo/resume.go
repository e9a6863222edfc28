package slo

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"time"

	"github.com/flyball-dev/flyball/internal/port/store"
)

// A restart takes over where the engine was: each objective's running sums are
// kept as a checkpoint beside its slots, and what the slots say of the hour
// before it, and of the time since, is counted anew. A count that comes for an
// earlier time than that removes the checkpoint before it is recorded, so that
// a checkpoint never hides one.
const (
	checkpointPrefix = "checkpoint/"
	recheck          = time.Hour
	longestPause     = 4 * time.Hour // with recheck within what a meter remembers minute by minute
	checkpointHeader = 16            // what it counts, and as of when
)

// Checkpoint keeps the running sums of objectives for the next start: of those
// that were not kept within some time.
func (w *Watcher) Checkpoint(ctx context.Context, within time.Duration) error {
	w.feeding.Lock()
	defer w.feeding.Unlock()
	w.mu.Lock()
	var writes []store.BlobWrite
	saved := map[string]time.Time{}
	for id, d := range w.declared {
		if at, ok := w.saved[id]; d.objective.composite() || ok && w.now.Sub(at) < within {
			continue // a composite has nothing of its own to keep
		}
		c, err := w.engine.Checkpoint(id)
		if err != nil {
			continue // removed meanwhile
		}
		data := binary.BigEndian.AppendUint64(nil, d.meaning())
		data = binary.BigEndian.AppendUint64(data, uint64(w.now.UnixNano()))
		writes = append(writes, store.BlobWrite{Series: checkpointPrefix + id, Start: time.Unix(0, 0), Data: append(data, c.Data...)})
		saved[id] = w.now
	}
	w.mu.Unlock()
	for len(writes) > 0 {
		n := min(len(writes), 500)
		if err := w.Slots.blobs.Put(ctx, writes[:n], nil); err != nil {
			return err
		}
		writes = writes[n:]
	}
	w.mu.Lock()
	maps.Copy(w.saved, saved)
	w.mu.Unlock()
	return nil
}

// meaning identifies what an objective counts: its indicator, and what does not
// count. The engine itself checks the rest.
func (d *declared) meaning() uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, d.indicator, d.threshold)
	for _, a := range d.adjusted {
		fmt.Fprintln(h, a.ID)
	}
	return h.Sum64()
}

// resume brings an objective that was just declared back to its checkpoint. It
// reports whether that was possible; otherwise its history is to be loaded.
func (w *Watcher) resume(ctx context.Context, d *declared, now time.Time) bool {
	id := d.objective.ID()
	blobs, err := w.Slots.blobs.Range(ctx, checkpointPrefix+id, time.Unix(0, 0), time.Unix(1, 0))
	if err != nil || len(blobs) == 0 || len(blobs[0].Data) < checkpointHeader || len(d.adjusted) > 0 {
		return false
	}
	data := blobs[0].Data
	asOf := time.Unix(0, int64(binary.BigEndian.Uint64(data[8:])))
	if binary.BigEndian.Uint64(data) != d.meaning() || now.Sub(asOf) > longestPause || asOf.After(now) {
		return false
	}
	if w.engine.Restore(Checkpoint{ID: id, Data: data[checkpointHeader:]}) != nil {
		return false
	}
	from := asOf.Add(-recheck).Truncate(max(time.Minute, d.objective.SliceWindow))
	events, err := w.history(ctx, d, from, now.Add(MaxSkew))
	if err != nil || !w.engine.Reconcile(id, events, from) {
		return false
	}
	w.mu.Lock()
	w.saved[id] = asOf
	w.mu.Unlock()
	return true
}

// outdate removes the checkpoints of objectives that are about to count at a
// time which a restart would not look at again.
func (w *Watcher) outdate(ctx context.Context, at time.Time, ids []string) error {
	w.mu.Lock()
	var writes []store.BlobWrite
	for _, id := range ids {
		if saved, ok := w.saved[id]; ok && at.Before(saved.Add(-recheck)) {
			delete(w.saved, id)
			writes = append(writes, store.BlobWrite{Series: checkpointPrefix + id, Start: time.Unix(0, 0), Remove: true})
		}
	}
	w.mu.Unlock()
	if len(writes) == 0 {
		return nil
	}
	return w.Slots.blobs.Put(ctx, writes, nil)
}

// earliest is the first moment of a recording; now without any.
func (r Recording) earliest(now time.Time) time.Time {
	first := now
	for _, c := range r.Counts {
		for _, s := range c.Slots {
			if s.Time.Before(first) {
				first = s.Time
			}
		}
	}
	for _, gap := range r.Gaps {
		if gap.Before(first) {
			first = gap
		}
	}
	return first
}

// Reconcile makes an objective count, from a time on, exactly what events say.
// It reports false when it does not remember that far back slot by slot.
func (e *Engine) Reconcile(id string, events *Series, from time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[id]
	if !ok || events.Width() != e.base {
		return false
	}
	base := int64(e.base)
	for i := floorDiv(from.UnixNano(), base); i <= floorDiv(e.now.Add(MaxSkew).UnixNano(), base); i++ {
		at := time.Unix(0, i*base)
		n := events.Sum(at, at.Add(e.base))
		have, remembered := l.slot(i, base)
		if !remembered {
			return false
		}
		d := cell{bad: n.Bad() - have.bad, total: n.Total - have.total, known: int64(n.Known) - min(have.known, 1)}
		if d != (cell{}) && l.change(i*base, d.total-d.bad, d.total, d.known, base) != Taken {
			return false
		}
	}
	return true
}

// slot is what a base slot has counted, as far as that is remembered; slots
// ahead are empty.
func (l *live) slot(i, base int64) (cell, bool) {
	if l.slicer != nil {
		r := &l.slicer.events
		return r.at(i), i > r.head-int64(r.cells.len())
	}
	t := &l.meter.layout.tiers[0]
	if t.width != base || !l.meter.holds(t, i*base) {
		return cell{}, false
	}
	if i > t.head(l.meter.asOf) {
		return cell{}, true
	}
	return l.meter.cells.get(t.cell(i)), true
}
