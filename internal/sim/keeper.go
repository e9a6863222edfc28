package sim

import (
	"bytes"
	"context"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// keeper holds the database, which outlives servers, and remembers what it
// acknowledged.
type keeper struct {
	w       *world
	handle  *memory.Store
	entry   *memory.Store // for the invariants: nothing strikes it
	acked   []event.Event
	epoch   int64 // of the last fenced append
	nesting bool
}

func newKeeper(w *world) *keeper {
	k := &keeper{w: w}
	k.handle = memory.New(memory.Options{Clock: w.clock, Crash: w.chaos.strike, LoseLast: w.bug.Loses})
	k.entry = k.handle.Another()
	return k
}

// open is a handle for a new server.
func (k *keeper) open() *memory.Store { return k.handle.Another() }

// crash loses what a server's handle had not made durable.
func (*keeper) crash(s *server) {
	s.handle.Crash()
}

// keptStore is the store as a server uses it.
type keptStore struct {
	store.Store
	keeper *keeper
}

func (s keptStore) Log() event.Log { return keptLog{s.Store.Log(), s.keeper} }

type keptLog struct {
	event.Log
	keeper *keeper
}

// Append notes what is acknowledged, and under which epoch.
func (l keptLog) Append(ctx context.Context, b event.Batch) ([]event.Event, error) {
	out, err := l.Log.Append(ctx, b)
	if err != nil {
		return out, err
	}
	k := l.keeper
	for _, e := range out {
		k.acked = append(k.acked, event.Event{Position: e.Position, ID: e.ID, Digest: e.Digest, Type: e.Type})
		k.w.traceEvent(e)
	}
	if b.Lease.Name != "" {
		if b.Lease.Epoch < k.epoch {
			k.w.violated(ruleEpoch, "the log took %s under epoch %d after epoch %d", out[0].ID, b.Lease.Epoch, k.epoch)
		}
		k.epoch = max(k.epoch, b.Lease.Epoch)
	}
	return out, nil
}

// Version is the moment in which a controller begins to decide. Now and then
// somebody else is quicker with what he does.
func (l keptLog) Version(ctx context.Context, stream string) (int64, error) {
	v, err := l.Log.Version(ctx, stream)
	if k := l.keeper; err == nil && !k.nesting && k.w.acting == k.w.server && k.w.chaos.meddles() {
		k.nesting = true
		k.w.people.meddle()
		k.nesting = false
	}
	return v, err
}

// events is the whole log.
func (k *keeper) events() []event.Event {
	var out []event.Event
	for {
		var after int64
		if n := len(out); n > 0 {
			after = out[n-1].Position
		}
		page, err := k.entry.Log().Read(context.Background(), event.Query{After: after, Limit: 10_000})
		if err != nil {
			panic("sim: the log cannot be read: " + err.Error())
		}
		if len(page) == 0 {
			return out
		}
		out = append(out, page...)
	}
}

// lost names what was acknowledged and is not in the log.
func (k *keeper) lost(events []event.Event) (missing []event.Event) {
	for _, a := range k.acked {
		if a.Position < 1 || a.Position > int64(len(events)) {
			missing = append(missing, a)
			continue
		}
		if e := events[a.Position-1]; e.ID != a.ID || !bytes.Equal(e.Digest, a.Digest) {
			missing = append(missing, a)
		}
	}
	return missing
}
