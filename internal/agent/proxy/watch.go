package proxy

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errTimeout = errors.New("the revision did not answer within the route's timeout")
	errClosing = errors.New("the proxy is closing")
)

// lastWords is how long a request that timed out may take to tell its client.
const lastWords = 5 * time.Second

// flight is one request on its way.
type flight struct {
	arm     *arm
	cell    *cell
	shard   *shard
	arrived int64 // steady
	counted bool
	retries int

	writer  http.ResponseWriter
	body    bool // the client sends one
	context context.Context
	cancel  context.CancelCauseFunc

	// deadline is the steady instant of its timeout. Reaching it sets late,
	// cancels the attempt and unblocks reads from and writes to the client.
	deadline   int64
	late       atomic.Bool
	lane       *lane
	prev, next *flight
}

// count books the end of the request, once.
func (f *flight) count(steady int64, o outcome) {
	if f.counted {
		return
	}
	f.counted = true
	o.retries = f.retries
	f.cell.finish(f.shard, steady-f.arrived, o)
}

// watch ends requests at their timeouts. One goroutine looks through all of
// them every so often: that is cheaper than a timer each, and keeps to the
// proxy's clock.
type watch struct{ lanes []lane }

type lane struct {
	mu    sync.Mutex
	first *flight
	_     [48]byte
}

func (w *watch) add(f *flight, random uint64) {
	l := &w.lanes[random&uint64(len(w.lanes)-1)]
	f.lane = l
	l.mu.Lock()
	if f.next = l.first; f.next != nil {
		f.next.prev = f
	}
	l.first = f
	l.mu.Unlock()
}

func (f *flight) remove() {
	l := f.lane
	l.mu.Lock()
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		l.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	l.mu.Unlock()
}

// untimed lets a stream go on for as long as both sides like, unless it is too
// late already.
func (f *flight) untimed() bool {
	f.lane.mu.Lock()
	defer f.lane.mu.Unlock()
	f.deadline = math.MaxInt64
	return !f.late.Load()
}

// expire ends every request whose deadline is not after a steady instant.
func (w *watch) expire(steady int64, now time.Time) {
	for i := range w.lanes {
		l := &w.lanes[i]
		l.mu.Lock()
		for f := l.first; f != nil; f = f.next {
			switch {
			case f.deadline > steady:
			case f.late.Load():
				// It was given time to say 504, and its client does not listen.
				f.deadline = math.MaxInt64
				_ = http.NewResponseController(f.writer).SetWriteDeadline(now)
			default:
				f.deadline = steady + int64(lastWords)
				f.end(errTimeout, now)
			}
		}
		l.mu.Unlock()
	}
}

// close ends every request.
func (w *watch) close(now time.Time) {
	for i := range w.lanes {
		l := &w.lanes[i]
		l.mu.Lock()
		for f := l.first; f != nil; f = f.next {
			f.end(errClosing, now)
			_ = http.NewResponseController(f.writer).SetWriteDeadline(now)
		}
		l.mu.Unlock()
	}
}

// end is called with the lane locked, so the handler is still running and its
// writer may be used.
func (f *flight) end(cause error, now time.Time) {
	f.late.Store(true)
	f.cancel(cause)
	if f.body {
		// A client that sends its body too slowly holds no handler. A writer
		// that cannot do this needs no unblocking.
		_ = http.NewResponseController(f.writer).SetReadDeadline(now)
	}
}
