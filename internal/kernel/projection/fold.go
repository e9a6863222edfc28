package projection

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// work is what a batch means to one projection.
type work struct {
	keys    []string // touched, in order of first touch
	touched map[string][]*event.Event
	refold  bool // a payload folded earlier was erased
}

// gather sorts a batch by the keys it touches.
func (r *Runner) gather(p *Projection, cursor int64, events []event.Event) work {
	w := work{touched: map[string][]*event.Event{}}
	for i := range events {
		e := &events[i]
		if e.Position <= cursor {
			continue
		}
		w.refold = w.refold || e.Type == event.TypeErased && r.stale(p, *e)
		for _, k := range p.Keys(*e) {
			if w.touched[k] == nil {
				w.keys = append(w.keys, k)
			}
			w.touched[k] = append(w.touched[k], e)
		}
	}
	return w
}

// fold applies a batch to one projection and stores the outcome.
func (r *Runner) fold(ctx context.Context, p *Projection, events []event.Event, last int64) error {
	cursor, err := r.cursor(ctx, p)
	if err != nil || cursor >= last {
		return err
	}
	w := r.gather(p, cursor, events)
	if w.refold {
		return r.refold(ctx, p, last)
	}
	r.mu.Lock()
	from := r.saved[p.Name]
	r.mu.Unlock()
	if len(w.keys) == 0 && last-from < lag {
		r.setCursor(p.Name, last, false)
		return nil
	}
	stored := map[string][]byte{}
	if len(w.keys) > 0 {
		if stored, err = r.store.Load(ctx, p.Name, w.keys); err != nil {
			return err
		}
	}
	rows := make([]Row, 0, len(w.keys))
	for _, k := range w.keys {
		row, err := p.foldKey(k, stored[k], w.touched[k])
		if err != nil {
			return r.outrun(ctx, p, from, err)
		}
		rows = append(rows, row)
	}
	if err := r.store.Save(ctx, p.Name, Move{Version: p.Version, From: from, To: last}, rows); err != nil {
		return r.outrun(ctx, p, from, err)
	}
	r.setCursor(p.Name, last, true)
	return nil
}

var errOutrun = errors.New("another server has folded meanwhile")

// outrun looks whether another server has folded the batch meanwhile, which
// makes our failure no failure: CatchUp then goes on from the stored cursor.
func (r *Runner) outrun(ctx context.Context, p *Projection, from int64, failure error) error {
	c, err := r.store.Cursor(ctx, p.Name, p.Version)
	if err != nil || c == from {
		return failure
	}
	r.setCursor(p.Name, c, true)
	return errOutrun
}

func (p *Projection) foldKey(key string, stored []byte, events []*event.Event) (Row, error) {
	state, err := p.decode(stored)
	if err != nil {
		return Row{}, problem.New(problem.Internal, "projection.fold", "projection %s, stored state of %s: %w", p.Name, key, err)
	}
	for _, e := range events {
		if state, err = p.apply(key, state, *e); err != nil {
			return Row{}, problem.New(problem.Internal, "projection.fold", "projection %s stopped at position %d (%s), key %s: %w", p.Name, e.Position, e.Type, key, err)
		}
	}
	b, err := json.Marshal(state)
	if err != nil {
		return Row{}, problem.New(problem.Internal, "projection.fold", "projection %s, key %s: %w", p.Name, key, err)
	}
	return Row{Key: key, State: b, Indexes: p.indexes(key, state)}, nil
}
