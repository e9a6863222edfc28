package control

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Back-off of a key whose processing fails: doubled from the first to the last.
const (
	backoffFirst = time.Second
	backoffLast  = time.Minute
	workers      = 8
	// ahead is what actions have over decisions that wait: in a storm, what was
	// decided is done before more is decided.
	ahead = time.Minute
)

// Runner wakes keys and has them processed, each key by one worker at a time.
// After a start it looks at every active key: it folds, observes, then acts.
type Runner struct {
	env        *Env
	clock      clock.Clock
	logger     *slog.Logger
	processors []Processor

	mu      sync.Mutex
	queue   wakeHeap
	pending map[slot]*wake
	busy    map[slot]bool
	retries map[slot]int
	cursor  int64
	changed chan struct{} // holds a token when the queue changed
}

type slot struct {
	processor int
	key       string
}

// NewRunner makes a runner for the processors given.
func NewRunner(env *Env, c clock.Clock, logger *slog.Logger, processors ...Processor) *Runner {
	return &Runner{
		env: env, clock: c, logger: logger, processors: processors,
		pending: map[slot]*wake{}, busy: map[slot]bool{}, retries: map[slot]int{},
		changed: make(chan struct{}, 1),
	}
}

// Names lists the processors' names.
func (r *Runner) Names() []string {
	var out []string
	for _, p := range r.processors {
		out = append(out, p.Name())
	}
	return out
}

// Start notes the end of the log and wakes every active key.
func (r *Runner) Start(ctx context.Context) error {
	head, err := r.env.Log.Head(ctx)
	if err != nil {
		return err
	}
	r.cursor = head.Position
	if err := r.env.Sync(ctx); err != nil {
		return err
	}
	now := r.clock.Now()
	for i, p := range r.processors {
		keys, err := p.Active(ctx, r.env.Reader)
		if err != nil {
			return err
		}
		for _, k := range keys {
			r.wake(slot{i, k}, now, Waking{})
		}
	}
	return nil
}

// Run starts and then processes until ctx is done.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.Start(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() {
		r.follow(ctx)
		stop()
	})
	free := make(chan struct{}, workers)
	for {
		w, until := r.next()
		if w != nil {
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			wg.Go(func() {
				r.process(ctx, w)
				<-free
			})
			continue
		}
		t := r.clock.NewTimer(until)
		select {
		case <-t.C():
		case <-r.changed:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

func (r *Runner) follow(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		err := r.Poll(ctx)
		if err == nil {
			err = r.env.Log.Wait(ctx, r.cursor)
		}
		if err == nil && r.env.Shown != nil {
			err = r.env.Until(ctx, r.cursor+1)
		}
		if err == nil {
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		r.logger.Error("reading the log failed, trying again", "error", err)
		_ = clock.Sleep(ctx, r.clock, backoff(failures))
	}
}

// Poll reads new events and wakes the keys they concern.
func (r *Runner) Poll(ctx context.Context) error {
	for {
		q := event.Query{After: r.cursor, Limit: 1000}
		if r.env.Shown != nil {
			shown, err := r.env.Shown(ctx)
			if err != nil || shown <= r.cursor {
				return err
			}
			q.Until = shown
		}
		events, err := r.env.Log.Read(ctx, q)
		if err != nil || len(events) == 0 {
			return err
		}
		now := r.clock.Now()
		r.env.saw(events)
		for _, e := range events {
			for i, p := range r.processors {
				at := now
				if _, acts := p.(*Executor); acts {
					at = now.Add(-ahead)
				}
				for _, k := range p.Wakes(e) {
					r.wake(slot{i, k}, at, Waking{e.ID, e.Position})
				}
			}
		}
		r.cursor = events[len(events)-1].Position
	}
}

// Step processes at most one due key and reports whether it did; with nothing
// due it says when the next key is. The simulator drives a runner with Poll
// and Step alone.
func (r *Runner) Step(ctx context.Context) (did bool, until time.Duration) {
	w, until := r.next()
	if w == nil {
		return false, until
	}
	r.process(ctx, w)
	return true, 0
}

// Wake has a key looked at now: something outside the log has changed.
func (r *Runner) Wake(processor, key string) {
	for i, p := range r.processors {
		if p.Name() == processor {
			r.wake(slot{i, key}, r.clock.Now(), Waking{})
		}
	}
}

func (r *Runner) process(ctx context.Context, w *wake) {
	p := r.processors[w.slot.processor]
	at, err := p.Process(ctx, r.env, w.slot.key, w.by)
	r.mu.Lock()
	delete(r.busy, w.slot)
	failures := 0
	switch problem.KindOf(err) {
	case "":
		delete(r.retries, w.slot)
	case problem.Conflict:
		// Somebody appended meanwhile: decide again on what is there now.
		r.retries[w.slot]++
		failures = r.retries[w.slot]
		at = r.clock.Now()
		if failures > 20 {
			at = at.Add(backoff(failures - 20))
		}
	default:
		r.retries[w.slot]++
		failures = r.retries[w.slot]
		at = r.clock.Now().Add(backoff(failures))
	}
	r.mu.Unlock()
	if err != nil && ctx.Err() == nil && (problem.KindOf(err) != problem.Conflict || failures > 20) {
		r.logger.Warn("deciding failed, trying again", "controller", p.Name(), "key", w.slot.key, "failures", failures, "error", err)
	}
	if !at.IsZero() {
		r.wake(w.slot, at, w.by)
	}
	r.notify()
}

func backoff(failures int) time.Duration {
	d := backoffFirst << min(failures-1, 10)
	return min(d, backoffLast)
}

// next takes the earliest due key nobody is busy with, or says how long until
// the next one is due.
func (r *Runner) next() (*wake, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	var held []*wake
	defer func() {
		for _, w := range held {
			heap.Push(&r.queue, w)
		}
	}()
	for len(r.queue) > 0 {
		w := r.queue[0]
		if w.at.After(now) {
			return nil, w.at.Sub(now)
		}
		heap.Pop(&r.queue)
		if r.busy[w.slot] {
			held = append(held, w)
			continue
		}
		delete(r.pending, w.slot)
		r.busy[w.slot] = true
		return w, 0
	}
	return nil, time.Hour
}

// wake schedules a key; of two wake-ups the earlier stays.
func (r *Runner) wake(s slot, at time.Time, by Waking) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.pending[s]; w != nil {
		if by.Position > w.by.Position {
			w.by = by
		}
		if at.Before(w.at) {
			w.at = at
			heap.Fix(&r.queue, w.index)
		}
	} else {
		w := &wake{slot: s, at: at, by: by}
		r.pending[s] = w
		heap.Push(&r.queue, w)
	}
	r.notify()
}

func (r *Runner) notify() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

type wake struct {
	slot  slot
	at    time.Time
	by    Waking
	index int
}

type wakeHeap []*wake

func (h wakeHeap) Len() int { return len(h) }

func (h wakeHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	if a.slot.processor != b.slot.processor {
		return a.slot.processor < b.slot.processor
	}
	return a.slot.key < b.slot.key
}

func (h wakeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *wakeHeap) Push(x any) {
	w := x.(*wake)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *wakeHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	*h = old[:len(old)-1]
	return w
}
