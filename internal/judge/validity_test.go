package judge

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// traffic is a service in ten-second bins: a tenth of it meets the canary.
type traffic struct {
	perMinute float64 // canary requests
	base      float64 // chance that a baseline request is bad
	times     float64 // the canary's is so many times larger
	burst     int     // bad requests come in groups of 1 to 2·burst−1
	cold      float64 // in the first minute even so many times larger
}

func (tr traffic) bin(rng *rand.Rand, at time.Duration) Bin {
	const width = 10 * time.Second
	p := tr.base * tr.times
	if tr.cold > 0 && at < time.Minute {
		p *= tr.cold
	}
	n := tr.perMinute / 60 * width.Seconds()
	return Bin{Time: start.Add(at), Width: width,
		Baseline: tr.count(rng, 9*n, tr.base), Canary: tr.count(rng, n, p)}
}

func (tr traffic) count(rng *rand.Rand, n, p float64) Count {
	var bad int64
	for range draw(rng, n*p/float64(tr.burst)) {
		bad += 1 + rng.Int64N(int64(2*tr.burst-1))
	}
	return Count{draw(rng, n*(1-p)) + bad, bad}
}

// draw is Poisson, by counting arrivals; a normal approximation where that
// would take long, for counts of good requests only.
func draw(rng *rand.Rand, mean float64) int64 {
	if mean > 50 {
		return int64(math.Max(0, math.Round(mean+math.Sqrt(mean)*rng.NormFloat64())))
	}
	var n int64
	for sum := rng.ExpFloat64(); sum < mean; sum += rng.ExpFloat64() {
		n++
	}
	return n
}

// outcome of many streams of half an hour.
type outcome struct {
	crossed int
	minutes []float64 // to the crossing, +Inf without; sorted
	missed  int       // streams in which the upper end was ever below the truth
}

func simulate(c Config, tr traffic, streams int, watch bool) outcome {
	var out outcome
	var mu sync.Mutex
	var group sync.WaitGroup
	const workers = 2
	for w := range workers {
		group.Go(func() {
			for i := w; i < streams; i += workers {
				took, missed := run(c, tr, rand.New(rand.NewPCG(11, uint64(i))), watch)
				mu.Lock()
				out.minutes = append(out.minutes, took)
				if missed {
					out.missed++
				}
				if !math.IsInf(took, 1) {
					out.crossed++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.Sort(out.minutes)
	return out
}

func run(c Config, tr traffic, rng *rand.Rand, watch bool) (minutes float64, missed bool) {
	truth, half := tr.base*(tr.times-1), c.Alpha/2
	if watch {
		c.Alpha = 1e-300 // do not stop at a crossing
	}
	var s State
	for at := time.Duration(0); at < 30*time.Minute; at += 10 * time.Second {
		s = c.Advance(s, tr.bin(rng, at))
		if s.Crossed != nil {
			return s.Crossed.At.Sub(start).Minutes(), missed
		}
		if watch && !missed {
			missed = s.Excess.upper(half) < truth
		}
	}
	return math.Inf(1), missed
}

// An equal canary is sent back in at most alpha of the streams. With 2,000
// streams and the true rate at 0.5 %, more than 20 false ones have a chance
// below 0.2 %; the seeds are fixed.
func TestFalseRollbacksStayBelowAlpha(t *testing.T) {
	warm := Config{Alpha: 0.01, WarmUp: time.Minute}
	for name, tt := range map[string]struct {
		c  Config
		tr traffic
	}{
		"12 a minute":                  {Config{Alpha: 0.01}, traffic{12, 0.005, 1, 1, 0}},
		"120 a minute":                 {Config{Alpha: 0.01}, traffic{120, 0.005, 1, 1, 0}},
		"1,200 a minute":               {Config{Alpha: 0.01}, traffic{1200, 0.005, 1, 1, 0}},
		"bursts of 3":                  {Config{Alpha: 0.01}, traffic{120, 0.005, 1, 3, 0}},
		"bursts of 3, 1,200":           {Config{Alpha: 0.01}, traffic{1200, 0.005, 1, 3, 0}},
		"cold caches, 120":             {warm, traffic{120, 0.005, 1, 1, 10}},
		"cold caches, 1,200":           {warm, traffic{1200, 0.005, 1, 1, 10}},
		"a tolerated 20 % is no fault": {Config{Alpha: 0.01, Tolerated: 0.2}, traffic{1200, 0.005, 1.2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if o := simulate(tt.c, tt.tr, 2000, false); o.crossed > 20 {
				t.Errorf("%d of 2,000 equal canaries went back", o.crossed)
			}
		})
	}
}

func TestFaultsAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		c     Config
		tr    traffic
		found int     // of 1,000, at least
		by    float64 // minutes at the median, at most
	}{
		"0.5 % to 1.5 % at 120 a minute":                  {Config{}, traffic{120, 0.005, 3, 1, 0}, 970, 9.5},
		"0.5 % to 1.5 % at 120 a minute, after a warm-up": {Config{WarmUp: time.Minute}, traffic{120, 0.005, 3, 1, 0}, 960, 10.5},
		"0.1 % to 0.4 % at 1,200 a minute":                {Config{}, traffic{1200, 0.001, 4, 1, 0}, 995, 4},
		"bursts, 0.5 % to 2.5 % at 1,200 a minute":        {Config{}, traffic{1200, 0.005, 5, 3, 0}, 995, 3},
	} {
		t.Run(name, func(t *testing.T) {
			o := simulate(tt.c, tt.tr, 1000, false)
			if median := o.minutes[500]; o.crossed < tt.found || median > tt.by {
				t.Errorf("found %d of 1,000, median %.1f min; want %d and %.1f", o.crossed, median, tt.found, tt.by)
			}
		})
	}
}

// The upper end of the excess interval is below the true excess, at any time
// in half an hour, in at most alpha/2 of the streams. More than 12 of 1,000 have a chance below
// 0.2 % at a true rate of 0.5 %.
func TestExcessIntervalHoldsAtAllTimes(t *testing.T) {
	for name, tr := range map[string]traffic{
		"equal":                 {120, 0.005, 1, 1, 0},
		"1 % more":              {120, 0.005, 3, 1, 0},
		"1 % more, little seen": {12, 0.005, 3, 1, 0},
		"equal, busy":           {1200, 0.005, 1, 1, 0},
		"bursts, equal, busy":   {1200, 0.005, 1, 3, 0},
		"bursts, 1 % more":      {120, 0.005, 3, 3, 0},
		"bursts, half as much":  {1200, 0.005, 1.5, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if o := simulate(Config{Alpha: 0.01}, tr, 1000, true); o.missed > 12 {
				t.Errorf("the upper end was below the truth in %d of 1,000 streams", o.missed)
			}
		})
	}
}
