package proxy

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// ticker turns the clock into what the hot path needs. Durations come from
// "steady" nanoseconds since the proxy started, which no one can set; seconds
// of arrival come from steady time plus an anchor that follows the wall clock
// when that is set.
type ticker struct {
	clock  clock.Clock
	start  time.Time
	anchor atomic.Int64 // wall clock, Unix nanoseconds, when steady was 0
}

func newTicker(c clock.Clock) *ticker {
	t := &ticker{clock: c, start: c.Now()}
	t.anchor.Store(t.start.UnixNano())
	return t
}

// steady is nanoseconds since the start. Wall instants carry Go's monotonic
// reading, so setting the machine's clock does not move it.
func (t *ticker) steady() int64 { return int64(t.clock.Now().Sub(t.start)) }

// second is the Unix second at a steady instant.
func (t *ticker) second(steady int64) int64 {
	return floorDiv(t.anchor.Load()+steady, int64(time.Second))
}

// end is the steady instant at which a Unix second is over.
func (t *ticker) end(second int64) int64 {
	return (second+1)*int64(time.Second) - t.anchor.Load()
}

// follow moves the anchor when the wall clock was set by more than half a
// second against steady time.
func (t *ticker) follow() {
	now := t.clock.Now()
	anchor := now.UnixNano() - int64(now.Sub(t.start))
	if d := anchor - t.anchor.Load(); d > int64(time.Second/2) || d < -int64(time.Second/2) {
		t.anchor.Store(anchor)
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// meter counts one service in one environment. Its cells are published in
// order of their seconds, over all revisions, so that its watermark is common
// to both sides of a comparison.
type meter struct {
	service, environment string
	ticker               *ticker
	shards               int // power of two

	mu    sync.Mutex
	open  []*cell // by rising second
	floor int64   // no new cell is of an earlier second
	arms  []*arm  // those of the present table
}

// arm is one revision in a meter, with the objectives it is counted against.
type arm struct {
	meter      *meter
	revision   string
	limit      int64 // nanoseconds
	thresholds []time.Duration
	current    atomic.Pointer[cell]
}

// cell counts what arrived at one arm in one second. It is divided into
// shards, of which a request keeps to one, so that processors do not meet.
type cell struct {
	arm    *arm
	second int64
	end    int64 // steady instant at which the second is over
	shards []shard

	sealed  bool  // by the publisher: no more arrivals
	arrived int64 // once sealed
}

// shard's two words make publication exact without locks. The lowest bit of
// each says closed; whoever adds to a word learns from the result whether he
// came too late, and is then not counted here.
type shard struct {
	arrived  atomic.Int64 // arrivals × 2 + closed
	finished atomic.Int64 // finished × 2^32 + finishing now × 2 + closed

	errors, overdue, aborted, retries, faults, sum atomic.Int64

	classes [6]atomic.Int64
	slow    []atomic.Int64
	buckets [bucketCount]atomic.Uint32

	_ [64]byte // keeps neighbours off this shard's last cache line
}

const (
	closed     = 1
	oneArrival = 1 << 1
	oneWriter  = 1 << 1
	oneFinish  = 1 << 32
)

// outcome is how a request ended.
type outcome struct {
	status  int  // sent to the client; 0 without a complete answer
	failed  bool // the revision's failure
	aborted bool // the client's doing
	fault   bool // the proxy's failure
	retries int
}

// arrive counts an arrival at a steady instant and returns where to count its
// end.
func (a *arm) arrive(steady int64, random uint64) (*cell, *shard) {
	second := a.meter.ticker.second(steady)
	for {
		c := a.current.Load()
		if c == nil || c.second < second {
			c = a.openCell(second)
		}
		s := &c.shards[random&uint64(len(c.shards)-1)]
		if s.arrived.Add(oneArrival)&closed == 0 {
			return c, s
		}
		// The instant was read before the second was published: by now it is
		// a later one.
		second = max(second, c.second+1)
	}
}

func (a *arm) openCell(second int64) *cell {
	m := a.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	second = max(second, m.floor)
	if c := a.current.Load(); c != nil && c.second >= second {
		return c
	}
	m.floor = second
	c := &cell{arm: a, second: second, end: m.ticker.end(second), shards: make([]shard, m.shards)}
	if n := len(a.thresholds); n > 0 {
		slow := make([]atomic.Int64, n*m.shards)
		for i := range c.shards {
			c.shards[i].slow = slow[i*n : (i+1)*n : (i+1)*n]
		}
	}
	m.open = append(m.open, c)
	a.current.Store(c)
	return c
}

// finish counts the end of a request that arrived in c, after a latency in
// nanoseconds. It returns false after publication, by which every request in
// it has ended or is overdue, and is published as such.
func (c *cell) finish(s *shard, latency int64, o outcome) bool {
	if s.finished.Add(oneWriter)&closed != 0 {
		s.finished.Add(-oneWriter) // the publisher may be waiting for writers to leave
		return false
	}
	if latency > c.arm.limit {
		s.overdue.Add(1)
	} else {
		s.count(latency, c.arm.thresholds, o)
	}
	if o.retries > 0 {
		s.retries.Add(int64(o.retries))
	}
	s.finished.Add(oneFinish - oneWriter)
	return true
}

// count books a request that ended within its limit.
func (s *shard) count(latency int64, thresholds []time.Duration, o outcome) {
	if o.failed {
		s.errors.Add(1)
	}
	if o.aborted {
		s.aborted.Add(1)
	}
	if o.fault {
		s.faults.Add(1)
	}
	class := o.status / 100
	if class < 0 || class > 5 {
		class = 0
	}
	s.classes[class].Add(1)
	for i, t := range thresholds {
		if latency > int64(t) {
			s.slow[i].Add(1)
		}
	}
	s.sum.Add(latency)
	s.buckets[bucketOf(time.Duration(latency))-firstBucket].Add(1)
}

// settle closes the cell if it is final at a steady instant: its second is
// over, and every request in it has finished or must have passed its limit.
func (c *cell) settle(steady int64) bool {
	if steady < c.end {
		return false
	}
	if !c.sealed {
		c.sealed = true
		for i := range c.shards {
			c.arrived += c.shards[i].arrived.Or(closed) / oneArrival
		}
	}
	if c.finished() < c.arrived && steady < c.end+c.arm.limit {
		return false
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.finished.Or(closed)
		for s.finished.Load()%oneFinish/oneWriter > 0 {
			runtime.Gosched() // a request is writing its last numbers
		}
	}
	return true
}

func (c *cell) finished() int64 {
	var n int64
	for i := range c.shards {
		n += c.shards[i].finished.Load() / oneFinish
	}
	return n
}

// bin sums a settled cell up.
func (c *cell) bin() Bin {
	b := Bin{
		Service: c.arm.meter.service, Environment: c.arm.meter.environment, Revision: c.arm.revision,
		Time: time.Unix(c.second, 0).UTC(), Width: time.Second,
		Requests: c.arrived, Overdue: c.arrived - c.finished(),
		Thresholds: c.arm.thresholds,
		Histogram:  Histogram{Schema: schema},
	}
	if n := len(b.Thresholds); n > 0 {
		b.Slow = make([]int64, n)
	}
	var buckets [bucketCount]int64
	for i := range c.shards {
		s := &c.shards[i]
		b.Errors += s.errors.Load()
		b.Overdue += s.overdue.Load()
		b.Aborted += s.aborted.Load()
		b.Retries += s.retries.Load()
		b.Faults += s.faults.Load()
		b.Histogram.Sum += time.Duration(s.sum.Load())
		for j := range s.classes {
			b.Classes[j] += s.classes[j].Load()
		}
		for j := range s.slow {
			b.Slow[j] += s.slow[j].Load()
		}
		for j := range s.buckets {
			buckets[j] += int64(s.buckets[j].Load())
		}
	}
	for i, n := range buckets {
		if n > 0 {
			b.Histogram.Buckets = append(b.Histogram.Buckets, Bucket{firstBucket + i, n})
		}
	}
	b.Errors += b.Overdue
	b.Classes[0] += b.Overdue
	for i := range b.Slow {
		b.Slow[i] += b.Overdue // a threshold is never longer than the limit
	}
	return b
}

// publish hands every final cell to the ledger, in order of their seconds.
func (m *meter) publish(steady int64, l *ledger) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resync(steady)
	var bins []Bin
	for len(m.open) > 0 && m.open[0].settle(steady) {
		if c := m.open[0]; c.arrived > 0 {
			bins = append(bins, c.bin())
		}
		m.open = slices.Delete(m.open, 0, 1)
	}
	if len(bins) > 0 {
		l.publish(bins)
	}
}

// resync starts afresh when the wall clock was set back, so that arrivals are
// not kept in seconds that will come only much later. Only then does a service
// have bins of a second it has published already.
func (m *meter) resync(steady int64) {
	if m.floor <= m.ticker.second(steady)+1 {
		return
	}
	m.floor = 0
	for _, a := range m.arms {
		a.current.Store(nil)
	}
}

// watermark is the instant before which every arrival is in a published bin.
// It also keeps the promise: no later arrival is counted before it.
func (m *meter) watermark(steady int64) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.open) > 0 {
		return time.Unix(m.open[0].second, 0).UTC()
	}
	m.floor = max(m.floor, m.ticker.second(steady))
	return time.Unix(m.floor, 0).UTC()
}

// arm returns the present arm of a revision with the same objectives, or a new
// one. It is for Apply, which hands the kept arms back to keep.
func (m *meter) arm(revision string, limit time.Duration, thresholds []time.Duration) *arm {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.arms {
		if a.revision == revision && a.limit == int64(limit) && slices.Equal(a.thresholds, thresholds) {
			return a
		}
	}
	a := &arm{meter: m, revision: revision, limit: int64(limit), thresholds: slices.Clone(thresholds)}
	m.arms = append(m.arms, a)
	return a
}

// keep forgets the arms that are not in the new table. Requests still on their
// way hold what they need.
func (m *meter) keep(used map[*arm]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arms = slices.DeleteFunc(m.arms, func(a *arm) bool { return !used[a] })
}
