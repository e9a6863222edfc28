package proxy

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

func virtual() *clock.Virtual { return clock.NewVirtual(epoch) }

// bench is a meter with a ledger and nothing else.
type bench struct {
	clock  *clock.Virtual
	ticker *ticker
	meter  *meter
	ledger *ledger
}

func newBench(shards int) *bench {
	c := virtual()
	b := &bench{clock: c, ticker: newTicker(c)}
	b.meter = &meter{service: "shop", environment: "prod", ticker: b.ticker, shards: shards}
	b.ledger = newLedger(1_000_000, nil, nil, 0, 0, slog.New(slog.DiscardHandler))
	return b
}

func (b *bench) bins() []Bin {
	b.meter.publish(b.ticker.steady(), b.ledger)
	return b.ledger.read(0, 1_000_000)
}

func TestBinIsFinalWhenAllHaveEnded(t *testing.T) {
	b := newBench(2)
	a := b.meter.arm("v1", 5*time.Second, []time.Duration{100 * time.Millisecond, time.Second})
	c, s := a.arrive(b.ticker.steady(), 0)
	c2, s2 := a.arrive(b.ticker.steady(), 1)
	b.clock.Advance(200 * time.Millisecond)
	c.finish(s, b.ticker.steady(), outcome{status: 200})
	b.clock.Advance(799 * time.Millisecond)
	if got := b.bins(); got != nil {
		t.Fatalf("published %v before the second was over", got)
	}
	b.clock.Advance(501 * time.Millisecond)
	if got := b.bins(); got != nil {
		t.Fatalf("published %v with a request open", got)
	}
	if w := b.meter.watermark(b.ticker.steady()); !w.Equal(epoch) {
		t.Fatalf("watermark %v", w)
	}
	c2.finish(s2, b.ticker.steady(), outcome{status: 503, failed: true, retries: 1})
	got := b.bins()
	if len(got) != 1 {
		t.Fatalf("got %d bins", len(got))
	}
	x := got[0]
	if !x.Time.Equal(epoch) || x.Requests != 2 || x.Errors != 1 || x.Overdue != 0 || x.Retries != 1 ||
		x.Classes != [6]int64{2: 1, 5: 1} || !slices.Equal(x.Slow, []int64{2, 1}) || x.Histogram.Count() != 2 ||
		x.Histogram.Sum != 1700*time.Millisecond {
		t.Errorf("got %+v", x)
	}
	if w := b.meter.watermark(b.ticker.steady()); !w.Equal(epoch.Add(time.Second)) {
		t.Errorf("watermark %v", w)
	}
}

func TestHangingRequestIsBadOnceItsLimitHasPassed(t *testing.T) {
	b := newBench(1)
	a := b.meter.arm("v2", 2*time.Second, []time.Duration{time.Second})
	b.clock.Advance(400 * time.Millisecond)
	from := b.ticker.steady()
	c, s := a.arrive(from, 0)
	other := b.meter.arm("v1", 2*time.Second, nil)
	b.clock.Advance(time.Second)
	oc, os := other.arrive(b.ticker.steady(), 0)
	oc.finish(os, 0, outcome{status: 200})
	b.clock.Advance(1599 * time.Millisecond) // 2.999 s: the last who could have arrived may be in time
	if got := b.bins(); got != nil {
		t.Fatalf("published %v too early, or a later second before an earlier one", got)
	}
	b.clock.Advance(time.Millisecond)
	got := b.bins()
	if len(got) != 2 || got[0].Revision != "v2" || got[1].Revision != "v1" {
		t.Fatalf("got %+v", got)
	}
	if x := got[0]; x.Requests != 1 || x.Errors != 1 || x.Overdue != 1 || x.Classes[0] != 1 || x.Slow[0] != 1 || x.Histogram.Count() != 0 {
		t.Errorf("got %+v", x)
	}
	before := got[0]
	c.finish(s, b.ticker.steady()-from, outcome{status: 200})
	if after := b.bins()[0]; after.Requests != before.Requests || after.Classes != before.Classes {
		t.Errorf("a published bin changed: %+v", after)
	}
}

// A request that ends after its limit, but before its bin is final, is overdue
// exactly as if it had not ended.
func TestLateEndIsOverdue(t *testing.T) {
	b := newBench(1)
	a := b.meter.arm("v1", 500*time.Millisecond, []time.Duration{100 * time.Millisecond})
	c, s := a.arrive(b.ticker.steady(), 0)
	c.finish(s, int64(500*time.Millisecond)+1, outcome{status: 200})
	c, s = a.arrive(b.ticker.steady(), 0)
	c.finish(s, int64(500*time.Millisecond), outcome{status: 200})
	b.clock.Advance(time.Second)
	if x := b.bins()[0]; x.Requests != 2 || x.Errors != 1 || x.Overdue != 1 || x.Slow[0] != 2 || x.Classes != [6]int64{0: 1, 2: 1} {
		t.Errorf("got %+v", x)
	}
}

// Arrivals, ends, publication and a moving clock all at once: whatever the
// interleaving, the bins must add up to what was sent, in order of time.
func TestCountsAreExactUnderConcurrency(t *testing.T) {
	b := newBench(4)
	arms := []*arm{
		b.meter.arm("v1", 300*time.Millisecond, []time.Duration{50 * time.Millisecond}),
		b.meter.arm("v2", 300*time.Millisecond, []time.Duration{50 * time.Millisecond}),
	}
	const workers, each = 4, 20_000
	var running atomic.Int64
	running.Store(workers)
	var wg sync.WaitGroup
	var sent, late, slow [2]atomic.Int64
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer running.Add(-1)
			rnd := rand.New(rand.NewPCG(1, uint64(w)))
			type open struct {
				c    *cell
				s    *shard
				arm  int
				from int64
			}
			var opens []open
			for range each {
				i := rnd.IntN(2)
				from := b.ticker.steady()
				c, s := arms[i].arrive(from, rnd.Uint64())
				sent[i].Add(1)
				opens = append(opens, open{c, s, i, from})
				for len(opens) > rnd.IntN(20) {
					o := opens[0]
					opens = opens[1:]
					took := b.ticker.steady() - o.from
					booked := o.c.finish(o.s, took, outcome{status: 200})
					if !booked && b.ticker.steady() < o.c.end+arms[i].limit {
						t.Error("published before everything in it had ended or was overdue")
					}
					if !booked || took > arms[i].limit {
						late[o.arm].Add(1)
					}
					if !booked || took > int64(50*time.Millisecond) {
						slow[o.arm].Add(1)
					}
				}
			}
			for _, o := range opens { // these hang for ever
				late[o.arm].Add(1)
				slow[o.arm].Add(1)
			}
		}()
	}
	for running.Load() > 0 {
		b.clock.Advance(10 * time.Millisecond)
		b.bins()
		b.meter.watermark(b.ticker.steady())
	}
	wg.Wait()
	b.clock.Advance(10 * time.Second)
	bins := b.bins()
	for i, name := range []string{"v1", "v2"} {
		x := sum(bins, name)
		if x.Requests != sent[i].Load() || x.Overdue != late[i].Load() || x.Slow[0] != slow[i].Load() ||
			x.Classes[0]+x.Classes[2] != x.Requests || x.Histogram.Count() != x.Requests-x.Overdue {
			t.Errorf("%s: sent %d, late %d, slow %d; counted %+v", name, sent[i].Load(), late[i].Load(), slow[i].Load(), x)
		}
	}
	if !slices.IsSortedFunc(bins, func(a, b Bin) int { return a.Time.Compare(b.Time) }) {
		t.Error("bins are not in order of time")
	}
}

// Whatever arrives after a watermark was given is counted at or after it.
func TestWatermarkKeepsItsPromise(t *testing.T) {
	b := newBench(1)
	a := b.meter.arm("v1", time.Second, nil)
	stale := b.ticker.steady()
	b.clock.Advance(3 * time.Second)
	b.bins()
	w := b.meter.watermark(b.ticker.steady())
	c, s := a.arrive(stale, 0) // a goroutine that was not scheduled for 3 s
	c.finish(s, 0, outcome{status: 200})
	b.clock.Advance(2 * time.Second)
	if x := b.bins()[0]; x.Time.Before(w) {
		t.Errorf("bin of %v after watermark %v", x.Time, w)
	}
}

func TestWallClockThatJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		b := newBench(1)
		a := b.meter.arm("v1", time.Second, nil)
		hit := func() {
			c, s := a.arrive(b.ticker.steady(), 0)
			c.finish(s, int64(time.Millisecond), outcome{status: 200})
		}
		hit()
		b.clock.Advance(time.Second)
		b.bins()
		b.ticker.anchor.Add(int64(jump)) // what follow does when the wall clock was set
		b.bins()
		hit()
		b.clock.Advance(2 * time.Second)
		b.bins()
		hit()
		b.clock.Advance(2 * time.Second)
		bins := b.bins()
		if len(bins) != 3 {
			t.Fatalf("jump %v: %d bins, want 3", jump, len(bins))
		}
		if want := epoch.Add(jump + time.Second); !bins[1].Time.Equal(want) || !bins[2].Time.Equal(want.Add(2*time.Second)) {
			t.Errorf("jump %v: bins at %v and %v, want %v and 2 s later", jump, bins[1].Time, bins[2].Time, want)
		}
	}
}

// The naive twin of bucketOf: the smallest index whose upper bound reaches the
// latency.
func TestBucketOf(t *testing.T) {
	naive := func(d time.Duration) int {
		i := int(math.Ceil(math.Log2(d.Seconds()) * perOctave))
		return min(max(i, firstBucket), lastBucket)
	}
	rnd := rand.New(rand.NewPCG(2, 3))
	for range 200_000 {
		d := time.Duration(math.Exp(rnd.Float64()*29) * 100)
		got, want := bucketOf(d), naive(d)
		if got != want {
			// At a bound the naive logarithm may be off by an ulp.
			if edge := math.Exp2(float64(min(got, want)) / perOctave); math.Abs(d.Seconds()/edge-1) > 1e-12 {
				t.Fatalf("%v: bucket %d, want %d", d, got, want)
			}
		}
	}
	for d, want := range map[time.Duration]int{0: firstBucket, -5: firstBucket, time.Second: 0, time.Second + 1: 1,
		2 * time.Second: perOctave, 500 * time.Millisecond: -perOctave, 1000 * time.Hour: lastBucket} {
		if got := bucketOf(d); got != want {
			t.Errorf("%v: bucket %d, want %d", d, got, want)
		}
	}
}

func TestQuantileIsWithinItsError(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 5))
	counts := map[int]int64{}
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(rnd.NormFloat64()) * float64(20*time.Millisecond))
		all = append(all, d)
		counts[bucketOf(d)]++
	}
	slices.Sort(all)
	var h Histogram
	for i := firstBucket; i <= lastBucket; i++ {
		if counts[i] > 0 {
			h.Buckets = append(h.Buckets, Bucket{i, counts[i]})
		}
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(math.Ceil(q*10_000))-1]
		if got := h.Quantile(q); math.Abs(got.Seconds()/want.Seconds()-1) > 0.0443 {
			t.Errorf("q%v: %v, want %v", q, got, want)
		}
	}
	if (Histogram{}).Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}
