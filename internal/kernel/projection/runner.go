package projection

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

const (
	firstBatch = 1000     // events read first
	maxBatch   = 20_000   // events folded between two saves, at most
	batchBytes = 16 << 20 // of payload in a batch, about
	lag        = 2000     // a cursor that moved without touching a state is saved this late
)

// Runner keeps a set of projections up to date with a log.
type Runner struct {
	log   event.Log
	store Store
	all   []*Projection

	catching sync.Mutex // one CatchUp at a time

	mu      sync.Mutex
	moved   chan struct{}    // closed and replaced whenever progress is made
	cursors map[string]int64 // folded up to
	saved   map[string]int64 // stored cursor; behind by less than lag
	started map[string]int64 // cursor when this runner began
	head    int64            // end of the log when this runner began, -1 before
	failed  error
}

// NewRunner makes a runner; names must be unique.
func NewRunner(log event.Log, store Store, all ...*Projection) *Runner {
	return &Runner{
		log: log, store: store, all: all,
		moved: make(chan struct{}), head: -1,
		cursors: map[string]int64{}, saved: map[string]int64{}, started: map[string]int64{},
	}
}

// Run follows the log until ctx is done or a fold fails; the failure is
// returned, and by every Sync from then on, until Run is called again (after a
// problem.Unavailable, say, such as a full disk).
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	r.failed = nil
	r.mu.Unlock()
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
	r.failed = err
	r.mu.Unlock()
	r.progressed()
	return err
}

// CatchUp folds everything recorded so far.
func (r *Runner) CatchUp(ctx context.Context) error { return r.CatchUpTo(ctx, 0) }

// CatchUpTo folds what is recorded up to a position; 0 is no bound.
func (r *Runner) CatchUpTo(ctx context.Context, position int64) error {
	r.catching.Lock()
	defer r.catching.Unlock()
	for {
		low, err := r.lowest(ctx)
		if err != nil {
			return err
		}
		if err := r.follow(ctx, event.Query{After: low, Until: position}); !errors.Is(err, errOutrun) {
			return err
		}
		r.progressed()
	}
}

// follow folds what q selects, reading the next batch while one is folded.
func (r *Runner) follow(ctx context.Context, q event.Query) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	q.Limit = firstBatch
	events, err := r.log.Read(ctx, q)
	for err == nil && len(events) > 0 {
		q.After = events[len(events)-1].Position
		var next chan batch
		if len(events) == q.Limit {
			head, err := r.log.Head(ctx)
			if err != nil {
				return err
			}
			q.Limit = batchSize(events, head.Position-q.After)
			next = make(chan batch, 1)
			go func() {
				events, err := r.log.Read(ctx, q)
				next <- batch{events, err}
			}()
		}
		if err := r.foldAll(ctx, events, q.After); err != nil {
			return err
		}
		r.progressed()
		if next == nil {
			return nil
		}
		b := <-next
		events, err = b.events, b.err
	}
	return err
}

// batchSize is how many events to read next. Large batches save a state that
// many of their events touch once; large payloads keep batches small, and so
// does being nearly there: somebody waits for what is new.
func batchSize(events []event.Event, left int64) int {
	bytes := 1
	for _, e := range events {
		bytes += len(e.Data)
	}
	return min(max(batchBytes*len(events)/bytes, 100), max(int(left/10), firstBatch), maxBatch)
}

type batch struct {
	events []event.Event
	err    error
}

// foldAll folds a batch into every projection. Those that have something to
// save do it at the same time, so that their saves can share a commit.
func (r *Runner) foldAll(ctx context.Context, events []event.Event, last int64) error {
	var saving []*Projection
	for _, p := range r.all {
		if p.concerned(events) {
			saving = append(saving, p)
		} else if err := r.fold(ctx, p, events, last); err != nil {
			return err
		}
	}
	if len(saving) == 1 {
		return r.fold(ctx, saving[0], events, last)
	}
	errs := make([]error, len(saving))
	var wg sync.WaitGroup
	for i, p := range saving {
		wg.Go(func() { errs[i] = r.fold(ctx, p, events, last) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// concerned reports whether a batch has an event of the projection's types.
func (p *Projection) concerned(events []event.Event) bool {
	return slices.ContainsFunc(events, func(e event.Event) bool { return event.Matches(p.Types, e.Type) })
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
	head, err := r.log.Head(ctx)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.cursors[p.Name]; ok {
		return c, nil
	}
	if r.head < 0 {
		r.head = head.Position
	}
	r.started[p.Name], r.saved[p.Name], r.cursors[p.Name] = c, c, c
	return c, nil
}

func (r *Runner) setCursor(name string, c int64, saved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cursors[name] = c
	if saved {
		r.saved[name] = c
	}
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
