package proxy

import (
	"math"
	"slices"
	"time"
)

// Bin is what arrived at one revision of a service in one second, counted once
// every request in it had finished or passed its limit. A published bin never
// changes and may be fetched any number of times until it is acknowledged.
// Bins add up: two bins of the same revision and second (after a restart, or
// when thresholds changed) are both true.
//
// Requests answered by the proxy itself have the Revision "": overload, a body
// too large, no ready instance; an unknown host or path has no Service either.
type Bin struct {
	Seq         int64         `json:"seq"` // rises by at least 1, also over restarts
	Service     string        `json:"service"`
	Environment string        `json:"environment"`
	Revision    string        `json:"revision"`
	Time        time.Time     `json:"time"`  // start of the interval of arrival, UTC
	Width       time.Duration `json:"width"` // 1 s, more where an overflow merged bins

	Requests int64 `json:"requests"` // all arrivals
	Errors   int64 `json:"errors"`   // of Requests: status 500 and above, no or broken answer, timeout, overdue
	Overdue  int64 `json:"overdue"`  // of Errors: unfinished when the limit had passed
	Aborted  int64 `json:"aborted"`  // of Requests, never of Errors: the client went away or sent a broken request
	Retries  int64 `json:"retries"`  // attempts beyond the first
	Faults   int64 `json:"faults"`   // of Requests: failed by the proxy itself (Revision "" only)

	// Classes counts final status / 100; index 0 is no complete answer within
	// the limit (refused, reset, timed out, overdue, aborted).
	Classes [6]int64 `json:"classes"`

	// Slow[i] counts the requests that were open for longer than
	// Thresholds[i], however they ended.
	Thresholds []time.Duration `json:"thresholds,omitempty"`
	Slow       []int64         `json:"slow,omitempty"`

	Histogram Histogram `json:"histogram"`
}

// Histogram holds the latencies of the requests that ended within their limit,
// as an exponential histogram of Prometheus' native schema 3: bucket i counts
// latencies in (2^((i-1)/8), 2^(i/8)] seconds, so a value is known to within
// 4.4 %. Latencies outside (2^-20 s, 2^12 s] are in the first or last bucket.
type Histogram struct {
	Schema  int           `json:"schema"`
	Sum     time.Duration `json:"sum"`
	Buckets []Bucket      `json:"buckets,omitempty"` // by rising Index, empty ones left out
}

// Bucket is one non-empty bucket of a Histogram.
type Bucket struct {
	Index int   `json:"i"`
	Count int64 `json:"n"`
}

// Upper is the bucket's inclusive upper bound in seconds.
func (b Bucket) Upper() float64 { return math.Exp2(float64(b.Index) / perOctave) }

// Count is the number of latencies in the histogram.
func (h Histogram) Count() int64 {
	var n int64
	for _, b := range h.Buckets {
		n += b.Count
	}
	return n
}

// Quantile estimates the latency below which a share q (0 to 1) of the requests
// ended: the geometric middle of the bucket it falls in, 0 without requests.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := int64(math.Ceil(min(max(q, 0), 1) * float64(h.Count())))
	for _, b := range h.Buckets {
		if rank -= b.Count; rank <= 0 {
			return time.Duration(b.Upper() * math.Exp2(-0.5/perOctave) * float64(time.Second))
		}
	}
	return 0
}

const (
	schema      = 3
	perOctave   = 1 << schema
	firstBucket = -20 * perOctave // 2^-20 s, about 1 µs
	lastBucket  = 12 * perOctave  // 2^12 s, more than the longest limit
	bucketCount = lastBucket - firstBucket + 1
)

// octave holds the bucket bounds of one octave, as fractions of math.Frexp.
var octave = func() (b [perOctave]float64) {
	for i := range b {
		b[i] = 0.5 * math.Exp2(float64(i)/perOctave)
	}
	return b
}()

// bucketOf is the index of the bucket a latency falls in.
func bucketOf(d time.Duration) int {
	if d <= 0 {
		return firstBucket
	}
	frac, exp := math.Frexp(d.Seconds())
	i := 0
	for i < perOctave && octave[i] < frac {
		i++
	}
	return min(max(i+(exp-1)*perOctave, firstBucket), lastBucket)
}

// merge adds b to a. Both are of the same revision and thresholds; the result
// covers both intervals and has the later sequence number.
func merge(a, b Bin) Bin {
	end := a.Time.Add(a.Width)
	if e := b.Time.Add(b.Width); e.After(end) {
		end = e
	}
	if b.Time.Before(a.Time) {
		a.Time = b.Time
	}
	a.Width = end.Sub(a.Time)
	a.Seq = max(a.Seq, b.Seq)
	a.Requests += b.Requests
	a.Errors += b.Errors
	a.Overdue += b.Overdue
	a.Aborted += b.Aborted
	a.Retries += b.Retries
	a.Faults += b.Faults
	for i := range a.Classes {
		a.Classes[i] += b.Classes[i]
	}
	a.Slow = slices.Clone(a.Slow) // a published bin's slices are shared with its readers
	for i := range a.Slow {
		a.Slow[i] += b.Slow[i]
	}
	a.Histogram = mergeHistograms(a.Histogram, b.Histogram)
	return a
}

func mergeHistograms(a, b Histogram) Histogram {
	sum := Histogram{Schema: schema, Sum: a.Sum + b.Sum, Buckets: make([]Bucket, 0, max(len(a.Buckets), len(b.Buckets)))}
	x, y := a.Buckets, b.Buckets
	for len(x) > 0 || len(y) > 0 {
		switch {
		case len(y) == 0 || len(x) > 0 && x[0].Index < y[0].Index:
			sum.Buckets, x = append(sum.Buckets, x[0]), x[1:]
		case len(x) == 0 || y[0].Index < x[0].Index:
			sum.Buckets, y = append(sum.Buckets, y[0]), y[1:]
		default:
			sum.Buckets = append(sum.Buckets, Bucket{x[0].Index, x[0].Count + y[0].Count})
			x, y = x[1:], y[1:]
		}
	}
	return sum
}
