package projection

import (
	"context"
	"maps"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// Rebuild folds the log from scratch, up to what q allows, into an empty
// store: the state as of any moment.
func Rebuild(ctx context.Context, log event.Log, into Store, q event.Query, all ...*Projection) error {
	r := NewRunner(log, into, all...)
	if _, err := r.lowest(ctx); err != nil {
		return err
	}
	if err := r.follow(ctx, q); err != nil {
		return err
	}
	return r.settle(ctx)
}

// settle stores the cursors that moved without touching a state.
func (r *Runner) settle(ctx context.Context) error {
	r.mu.Lock()
	cursors, saved := maps.Clone(r.cursors), maps.Clone(r.saved)
	r.mu.Unlock()
	for _, p := range r.all {
		if from, to := saved[p.Name], cursors[p.Name]; from != to {
			if err := r.store.Save(ctx, p.Name, Move{Version: p.Version, From: from, To: to}, nil); err != nil {
				return err
			}
			r.setCursor(p.Name, to, true)
		}
	}
	return nil
}

// stale reports whether states of p may hold the payload whose erasure e
// records: it was folded before this runner began, or was still there when the
// runner read it. A record that was erased itself may have named any event.
func (r *Runner) stale(p *Projection, e event.Event) bool {
	erased, err := event.Decode[event.Erasure](e)
	known := err == nil && !e.Erased
	if known && !event.Matches(p.Types, erased.Type) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Position > r.head {
		return true
	}
	started := r.started[p.Name]
	return started > 0 && (!known || erased.Position <= started)
}

// refold folds a projection from scratch, beside the states that are being
// read, and puts the outcome in their place: of an erased payload nothing stays.
func (r *Runner) refold(ctx context.Context, p *Projection, last int64) error {
	beside := *p
	beside.Name = p.Name + "~"
	if _, err := r.store.Cursor(ctx, beside.Name, -1); err != nil {
		return err
	}
	if err := Rebuild(ctx, r.log, r.store, event.Query{Until: last}, &beside); err != nil {
		return err
	}
	if err := r.store.Replace(ctx, p.Name, beside.Name); err != nil {
		return err
	}
	r.setCursor(p.Name, last, true)
	return nil
}
