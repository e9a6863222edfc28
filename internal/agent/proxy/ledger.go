package proxy

import (
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"
)

// ledger keeps published bins until they are acknowledged.
type ledger struct {
	log   *slog.Logger
	max   int // bins held before the oldest are merged
	spool *spool

	mu     sync.Mutex
	bins   []Bin // unacknowledged, by rising Seq
	last   int64 // highest Seq given out
	acked  int64
	handed int64 // highest Seq any reader has seen; these are never merged
	merge  int   // bins held at which merging is next worth its while
	totals map[total]*Bin
}

// total names what /metrics sums up.
type total struct{ service, environment, revision string }

func newLedger(limit int, s *spool, restored []Bin, last, acked int64, log *slog.Logger) *ledger {
	// A reader may have seen any restored bin before the restart.
	return &ledger{log: log, max: limit, merge: limit, spool: s, bins: restored, last: last, acked: acked, handed: last, totals: map[total]*Bin{}}
}

// publish numbers bins and makes them available.
func (l *ledger) publish(bins []Bin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range bins {
		l.last++
		bins[i].Seq = l.last
		l.sum(bins[i])
	}
	l.bins = append(l.bins, bins...)
	if len(l.bins) > l.merge && l.coarsen() {
		l.rewrite()
		return
	}
	if l.spool == nil {
		return
	}
	if err := l.spool.append(bins); err != nil {
		l.log.Warn("bins not spooled; they are kept in memory", "err", err)
	}
}

// read returns up to limit bins numbered above after. At most max bins are
// handed out before one is acknowledged: what was handed out is not merged.
func (l *ledger) read(after int64, limit int) []Bin {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := sort.Search(len(l.bins), func(i int) bool { return l.bins[i].Seq > after })
	to := min(len(l.bins), from+limit, l.max)
	if from >= to {
		return nil
	}
	out := slices.Clone(l.bins[from:to])
	l.handed = max(l.handed, out[len(out)-1].Seq)
	return out
}

// ack forgets every bin up to seq.
func (l *ledger) ack(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq = min(seq, l.handed)
	if seq <= l.acked {
		return
	}
	l.acked = seq
	n := sort.Search(len(l.bins), func(i int) bool { return l.bins[i].Seq > seq })
	l.bins = slices.Clone(l.bins[n:])
	l.merge = l.max
	if l.spool == nil {
		return
	}
	if l.spool.worthRewriting(len(l.bins)) {
		l.rewrite()
	} else if err := l.spool.acknowledge(seq); err != nil {
		l.log.Warn("acknowledgement not spooled; bins may be offered again after a restart", "err", err)
	}
}

func (l *ledger) rewrite() {
	if l.spool == nil {
		return
	}
	if err := l.spool.rewrite(l.bins, l.last, l.acked); err != nil {
		l.log.Warn("spool not rewritten; bins are kept in memory", "err", err)
	}
}

// coarsen merges bins that no reader has seen into minutes, and if that is not
// enough into hours, sparing the youngest quarter. Totals stay exact.
func (l *ledger) coarsen() bool {
	before := len(l.bins)
	for _, width := range []time.Duration{time.Minute, time.Hour} {
		if len(l.bins) > l.max/2 {
			l.bins = coarsen(l.bins, l.handed, l.max/4, width)
		}
	}
	l.merge = max(l.max, len(l.bins)+l.max/4)
	if len(l.bins) == before {
		return false
	}
	l.log.Warn("unacknowledged bins merged", "before", before, "after", len(l.bins))
	return true
}

func coarsen(bins []Bin, handed int64, spare int, width time.Duration) []Bin {
	from := sort.Search(len(bins), func(i int) bool { return bins[i].Seq > handed })
	to := max(from, len(bins)-spare)
	type key struct {
		total
		slot       int64
		thresholds string
	}
	groups := map[key]int{}
	out := slices.Clone(bins[:from])
	for _, b := range bins[from:to] {
		k := key{total{b.Service, b.Environment, b.Revision}, b.Time.UnixNano() / int64(width), thresholdKey(b.Thresholds)}
		if i, ok := groups[k]; ok {
			out[i] = merge(out[i], b)
		} else {
			groups[k] = len(out)
			out = append(out, b)
		}
	}
	slices.SortFunc(out[from:], func(a, b Bin) int { return int(a.Seq - b.Seq) })
	return append(out, bins[to:]...)
}

func thresholdKey(ts []time.Duration) string {
	key := make([]byte, 0, 8*len(ts))
	for _, t := range ts {
		key = append(key, t.String()...)
		key = append(key, ',')
	}
	return string(key)
}

// sum adds a bin to the totals of its revision since the start.
func (l *ledger) sum(b Bin) {
	k := total{b.Service, b.Environment, b.Revision}
	b.Thresholds, b.Slow = nil, nil // may change over time; they are in the bins
	if t, ok := l.totals[k]; ok {
		b = merge(*t, b)
	}
	l.totals[k] = &b
}

// forget drops the totals of revisions that are not used and got nothing for
// an hour.
func (l *ledger) forget(used map[total]bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, t := range l.totals {
		if !used[k] && now.Sub(t.Time.Add(t.Width)) > time.Hour {
			delete(l.totals, k)
		}
	}
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spool == nil {
		return nil
	}
	if l.spool.behind {
		l.rewrite()
	}
	err := l.spool.close()
	l.spool = nil
	return err
}
