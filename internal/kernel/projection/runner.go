package projection

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

const batchSize = 2000

// Runner keeps a set of projections up to date with a log.
type Runner struct {
	log   event.Log
	store Store
	all   []*Projection

	mu      sync.Mutex
	moved   chan struct{} // closed and replaced whenever progress is made
	cursors map[string]int64
	failed  error
}

// NewRunner makes a runner; names must be unique.
func NewRunner(log event.Log, store Store, all ...*Projection) *Runner {
	return &Runner{log: log, store: store, all: all, moved: make(chan struct{}), cursors: map[string]int64{}}
}

// Run follows the log until ctx is done or a fold fails; the failure is
// returned, and by every Sync from then on.
func (r *Runner) Run(ctx context.Context) error {
	for {
		if err := r.CatchUp(ctx); err != nil {
			return r.fail(ctx, err)
		}
		low, err := r.lowest(ctx)
		if err == nil {
			err = r.log.Wait(ctx, low)
		}
		if err != nil {
			return r.fail(ctx, err)
		}
	}
}

func (r *Runner) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = err
	close(r.moved)
	r.moved = make(chan struct{})
	return err
}

// CatchUp folds everything recorded so far.
func (r *Runner) CatchUp(ctx context.Context) error {
	for {
		low, err := r.lowest(ctx)
		if err != nil {
			return err
		}
		events, err := r.log.Read(ctx, event.Query{After: low, Limit: batchSize})
		if err != nil || len(events) == 0 {
			return err
		}
		last := events[len(events)-1].Position
		for _, p := range r.all {
			if err := r.fold(ctx, p, events, last); err != nil {
				return err
			}
		}
		r.progressed()
	}
}

func (r *Runner) progressed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.moved)
	r.moved = make(chan struct{})
}

// lowest is the least cursor of all projections.
func (r *Runner) lowest(ctx context.Context) (int64, error) {
	low := int64(-1)
	for _, p := range r.all {
		c, err := r.cursor(ctx, p)
		if err != nil {
			return 0, err
		}
		if low < 0 || c < low {
			low = c
		}
	}
	return max(low, 0), nil
}

func (r *Runner) cursor(ctx context.Context, p *Projection) (int64, error) {
	r.mu.Lock()
	c, ok := r.cursors[p.Name]
	r.mu.Unlock()
	if ok {
		return c, nil
	}
	c, err := r.store.Cursor(ctx, p.Name, p.Version)
	if err != nil {
		return 0, err
	}
	r.setCursor(p.Name, c)
	return c, nil
}

func (r *Runner) setCursor(name string, c int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cursors[name] = c
}

// fold applies a batch to one projection and stores the outcome.
func (r *Runner) fold(ctx context.Context, p *Projection, events []event.Event, last int64) error {
	cursor, err := r.cursor(ctx, p)
	if err != nil || cursor >= last {
		return err
	}
	touched := map[string][]event.Event{}
	var order []string
	for _, e := range events {
		if e.Position <= cursor {
			continue
		}
		for _, k := range p.Keys(e) {
			if touched[k] == nil {
				order = append(order, k)
			}
			touched[k] = append(touched[k], e)
		}
	}
	stored, err := r.store.Load(ctx, p.Name, order)
	if err != nil {
		return err
	}
	rows := make([]Row, 0, len(order))
	for _, k := range order {
		row, err := p.foldKey(k, stored[k], touched[k])
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if err := r.store.Save(ctx, p.Name, p.Version, last, rows); err != nil {
		return err
	}
	r.setCursor(p.Name, last)
	return nil
}

func (p *Projection) foldKey(key string, stored []byte, events []event.Event) (Row, error) {
	state, err := p.decode(stored)
	if err != nil {
		return Row{}, problem.New(problem.Internal, "projection.fold", "projection %s, stored state of %s: %w", p.Name, key, err)
	}
	for _, e := range events {
		if state, err = p.apply(key, state, e); err != nil {
			return Row{}, problem.New(problem.Internal, "projection.fold", "projection %s stopped at position %d (%s), key %s: %w", p.Name, e.Position, e.Type, key, err)
		}
	}
	b, err := json.Marshal(state)
	if err != nil {
		return Row{}, fmt.Errorf("projection %s, key %s: %w", p.Name, key, err)
	}
	return Row{Key: key, State: b, Indexes: p.indexes(key, state)}, nil
}

// Sync waits until every projection has folded the position: read your writes.
func (r *Runner) Sync(ctx context.Context, position int64) error {
	for {
		r.mu.Lock()
		moved, failed := r.moved, r.failed
		r.mu.Unlock()
		if failed != nil {
			return failed
		}
		low, err := r.lowest(ctx)
		if err != nil {
			return err
		}
		if low >= position {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Position is the point up to which every projection has folded.
func (r *Runner) Position(ctx context.Context) (int64, error) { return r.lowest(ctx) }

// Rebuild folds the log from scratch, up to what q allows, into an empty
// store: the state as of any moment.
func Rebuild(ctx context.Context, log event.Log, into Store, q event.Query, all ...*Projection) error {
	r := NewRunner(log, into, all...)
	for {
		q.Limit = batchSize
		events, err := log.Read(ctx, q)
		if err != nil || len(events) == 0 {
			return err
		}
		q.After = events[len(events)-1].Position
		for _, p := range all {
			if err := r.fold(ctx, p, events, q.After); err != nil {
				return err
			}
		}
	}
}
