package measure

import (
	"context"
	"time"
)

// Source gives bins to one reader.
type Source interface {
	// Bins gives final bins with a Seq above after, at most max of them (1 to
	// MaxBins). It does not wait: without new bins the page has none. Start with
	// after 0, go on with the last Seq read.
	Bins(ctx context.Context, after int64, max int) (Page, error)
	// Ack lets the source forget bins up to and including seq. Durable bins
	// first, then Ack: what was acknowledged cannot be asked for again. A source
	// holds back new bins from a reader that never acknowledges.
	Ack(ctx context.Context, seq int64) error
}

// MaxBins is the most bins one page holds.
const MaxBins = 10_000

// Page is an answer of a Source.
type Page struct {
	Bins []Bin `json:"bins"`
	// More says that the page was cut; it then carries no watermarks.
	More       bool        `json:"more"`
	Watermarks []Watermark `json:"watermarks,omitempty"`
}

// Watermark says that all requests of a service that arrived before Until are
// in this page's bins or earlier ones.
type Watermark struct {
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Until       time.Time `json:"until"`
}

// Bin counts the requests that arrived for one revision in one interval. Bins
// add up: two of the same revision and interval are both true. What a router
// answered itself (overload, no instance ready) has the Revision "", and no
// Service either when no route matched.
type Bin struct {
	Seq         int64         `json:"seq"` // positive and rising, not gap-free
	Service     string        `json:"service"`
	Environment string        `json:"environment"`
	Revision    string        `json:"revision"`
	Time        time.Time     `json:"time"`     // start of the interval, UTC
	Width       time.Duration `json:"width_ns"` // one second, a scrape interval, more where bins were merged

	Requests int64 `json:"requests"`          // all arrivals
	Errors   int64 `json:"errors"`            // of Requests: status 5xx, no or broken answer, timeout, overdue
	Overdue  int64 `json:"overdue,omitempty"` // of Errors: unfinished when the route's limit had passed
	Aborted  int64 `json:"aborted,omitempty"` // of Requests, never of Errors: the client went away
	Retries  int64 `json:"retries,omitempty"` // attempts beyond the first
	Faults   int64 `json:"faults,omitempty"`  // of Requests: failed by the router itself (Revision "" only)

	// Classes counts answers by status / 100; index 0 is no complete answer
	// within the limit.
	Classes [6]int64 `json:"classes"`
	// Slow counts exactly, for each latency objective of the route, the requests
	// that were open for longer, however they ended.
	Slow []Slow `json:"slow,omitempty"`
	// Histogram is of the requests that ended within the limit.
	Histogram Histogram `json:"histogram,omitzero"`
}

// Slow is how many requests exceeded a latency threshold.
type Slow struct {
	Threshold time.Duration `json:"threshold_ns"`
	Count     int64         `json:"count"`
}

// Histogram is an exponential histogram as in OTLP and Prometheus' native
// histograms: bucket i counts durations in (2^((i-1)/2^Schema), 2^(i/2^Schema)]
// seconds. The zero value says that the source has no distribution.
type Histogram struct {
	Schema  int           `json:"schema"`
	Sum     time.Duration `json:"sum_ns"`
	Buckets []Bucket      `json:"buckets,omitempty"` // by rising Index, empty ones left out
}

// Bucket is one non-empty bucket of a Histogram.
type Bucket struct {
	Index int   `json:"i"`
	Count int64 `json:"n"`
}
