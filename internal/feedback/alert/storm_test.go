package alert_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// limited is a log that takes so many batches and no more.
type limited struct {
	event.Log
	left  atomic.Int64
	taken atomic.Int64
}

var errFull = errors.New("the disk is full")

func (l *limited) Append(ctx context.Context, b event.Batch) ([]event.Event, error) {
	if l.left.Add(-1) < 0 {
		return nil, errFull
	}
	l.taken.Add(1)
	return l.Log.Append(ctx, b)
}

func seesaw(n int) []alert.Report {
	reports := make([]alert.Report, n)
	for i := range reports {
		reports[i] = slow(time.Time{})
		if i%2 == 1 {
			reports[i].Act = alert.Resolve
		}
	}
	return reports
}

// An alert that comes and goes thousands of times in one request is recorded
// in order, and in few appends.
func TestAlternatingReports(t *testing.T) {
	h := newHouse(t)
	l := &limited{Log: h.Log}
	l.left.Store(1000)
	h.Log = l
	taken, err := h.Take(t.Context(), prometheus, seesaw(alert.MaxReports))
	h.ok(err)
	if taken.Fired != alert.MaxReports/2 || taken.Resolved != alert.MaxReports/2 {
		t.Errorf("taken are %+v", taken)
	}
	if n := l.taken.Load(); n > 50 {
		t.Errorf("%d reports took %d appends", alert.MaxReports, n)
	}
	for n, one := range strings.Split(h.since(0), "; ") {
		if want := []string{"fired", "resolved"}[n%2]; !strings.HasPrefix(one, want) {
			t.Fatalf("fact %d is %s, want %s", n, one, want)
		}
	}
	if n := len(h.Firing()); n != 0 {
		t.Errorf("%d alerts fire at the end", n)
	}
}

// When the log fails in the middle of a request, what is known is what was
// recorded, so that the sender's next try is taken rightly.
func TestAFailureInTheMiddle(t *testing.T) {
	for _, n := range []int{499, 500, 501, 999, 1000, 1001, 1500} {
		h := newHouse(t)
		l := &limited{Log: h.Log}
		l.left.Store(1)
		h.Log = l
		_, err := h.Take(t.Context(), prometheus, seesaw(n))
		if n <= 500 {
			h.ok(err)
		} else if !errors.Is(err, errFull) {
			t.Fatalf("%d reports: %v, want %v", n, err, errFull)
		}
		recorded := strings.Split(h.since(0), "; ")
		fires := strings.HasPrefix(recorded[len(recorded)-1], "fired")
		if got := len(h.Firing()) == 1; got != fires {
			t.Errorf("%d reports: recorded last is %s, and that it fires is %v", n, recorded[len(recorded)-1], got)
		}
		l.left.Store(10)
		want := map[bool]string{true: "resolved", false: "fired"}[fires]
		next := slow(time.Time{})
		if fires {
			next = resolved()
		}
		if got := h.take(next); !strings.HasPrefix(got, want) {
			t.Errorf("%d reports: then %q is recorded, want it %s", n, got, want)
		}
	}
}

// When more comes in than can be recorded, senders are told when to come back:
// nobody is told that what they sent is wrong.
func TestOverload(t *testing.T) {
	h := newHouse(t)
	stuck := &blocked{Log: h.Log, entered: make(chan struct{}, 100), free: make(chan struct{})}
	h.Log = stuck
	answers := make(chan error, 100)
	one := func(key string) {
		_, err := h.Take(t.Context(), prometheus, []alert.Report{{Key: key, Summary: key}})
		answers <- err
	}
	for n := range alert.MaxTurns {
		go one(fmt.Sprint(n))
	}
	for range alert.MaxTurns {
		<-stuck.entered
	}
	go one("late")
	for waits := false; !waits; _, waits = h.clock.Next() {
		runtime.Gosched()
	}
	h.clock.Advance(time.Minute)
	err := <-answers
	var p *problem.Error
	if problem.KindOf(err) != problem.Unavailable || !errors.As(err, &p) || p.RetryAfter <= 0 {
		t.Errorf("the last sender is told %v, want unavailable, and when to come back", err)
	}
	close(stuck.free)
	for range alert.MaxTurns {
		h.ok(<-answers)
	}
	if n := len(h.Firing()); n != alert.MaxTurns {
		t.Errorf("%d alerts fire, want %d", n, alert.MaxTurns)
	}
}

// blocked is a log that takes nothing until it is freed.
type blocked struct {
	event.Log
	entered chan struct{}
	free    chan struct{}
}

func (b *blocked) Append(ctx context.Context, batch event.Batch) ([]event.Event, error) {
	b.entered <- struct{}{}
	<-b.free
	return b.Log.Append(ctx, batch)
}
