package channel

import (
	"context"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Bounds on one channel, or one host of webhooks, so that none that is slow or
// gone holds up the others: all share the few workers that run actions.
const (
	laneWidth    = 3                      // deliveries under way at once
	lanePatience = 500 * time.Millisecond // for a place among them
	sendTimeout  = 15 * time.Second       // of one delivery
	slow         = 2 * time.Second        // a failure that took longer closes the lane
	laneClosed   = 10 * time.Second       // for so long
)

// lanes bounds deliveries by where they go.
type lanes struct {
	mu   sync.Mutex
	busy map[string]*lane
}

type lane struct {
	places chan struct{}
	opens  time.Time // closed until then: it has just let somebody wait for nothing
	used   int       // deliveries under way or waiting
}

// enter takes a place; leave gives it back and says how it went.
func (l *lanes) enter(ctx context.Context, c clock.Clock, name string) (leave func(err error), err error) {
	l.mu.Lock()
	if l.busy == nil {
		l.busy = map[string]*lane{}
	}
	w := l.busy[name]
	if w == nil {
		w = &lane{places: make(chan struct{}, laneWidth)}
		l.busy[name] = w
	}
	now := c.Now()
	if wait := w.opens.Sub(now); wait > 0 {
		l.mu.Unlock()
		e := problem.New(problem.Unavailable, "channel.deliver", "%s has just not answered; it is left alone for %s", name, wait.Round(time.Second))
		e.RetryAfter = wait
		return nil, e
	}
	w.used++
	l.mu.Unlock()
	if err := w.take(ctx, c); err != nil {
		l.done(name, w, time.Time{}, c.Now())
		return nil, problem.New(problem.Unavailable, "channel.deliver", "%s is delivering %d messages already", name, laneWidth)
	}
	start := c.Now()
	return func(err error) {
		<-w.places
		now, opens := c.Now(), time.Time{}
		if err != nil && problem.KindOf(err) != problem.Invalid && now.Sub(start) >= slow {
			opens = now.Add(laneClosed)
		}
		l.done(name, w, opens, now)
	}, nil
}

func (w *lane) take(ctx context.Context, c clock.Clock) error {
	select {
	case w.places <- struct{}{}:
		return nil
	default:
	}
	t := c.NewTimer(lanePatience)
	defer t.Stop()
	select {
	case w.places <- struct{}{}:
		return nil
	case <-t.C():
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lanes) done(name string, w *lane, opens, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.used--
	if opens.After(w.opens) {
		w.opens = opens
	}
	if w.used == 0 && !w.opens.After(now) {
		delete(l.busy, name)
	}
}
