package measure

import (
	"context"
	"time"
)

// Source gives bins to one reader.
type Source interface {
	// Bins gives final bins with a Seq above after, at most max of them (1 to
	// MaxBins). It does not wait: without new bins the page has none.
	Bins(ctx context.Context, after uint64, max int) (Page, error)
	// Ack lets the source forget bins up to and including seq. Durable bins
	// first, then Ack: what was acknowledged cannot be asked for again.
	Ack(ctx context.Context, seq uint64) error
}

// MaxBins is the most bins one page holds.
const MaxBins = 10_000

// Page is an answer of a Source.
type Page struct {
	Bins       []Bin       `json:"bins"`
	Watermarks []Watermark `json:"watermarks"` // valid once all bins up to Last have been read
	Last       uint64      `json:"last"`       // highest Seq there is; above the last bin's when the page was cut
	Dropped    uint64      `json:"dropped"`    // bins lost so far because they were not acknowledged in time
}

// Watermark says that all bins of a service that begin before Until have been
// given a Seq of at most Page.Last.
type Watermark struct {
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Until       time.Time `json:"until"`
}

// Bin counts the requests that arrived for one revision in one interval.
type Bin struct {
	Seq         uint64        `json:"seq"`
	Service     string        `json:"service"`
	Environment string        `json:"environment"`
	Revision    string        `json:"revision"`
	Start       time.Time     `json:"start"`
	Width       time.Duration `json:"width_ns"`

	Requests uint64 `json:"requests"`
	// Errors are requests that the revision failed: status 5xx, no answer, or
	// still open when the route's limit passed.
	Errors uint64 `json:"errors"`
	// Classes counts answers by class of status: 1xx to 5xx, and at index 0 the
	// requests that got no answer from the revision. Requests whose client went
	// away first are in Canceled and in no class.
	Classes  [6]uint64 `json:"classes"`
	Canceled uint64    `json:"canceled,omitempty"`
	// Slow counts, for each latency objective of the route, exactly the requests
	// that took longer.
	Slow []Slow `json:"slow,omitempty"`
	// Histogram is of durations; bucket i counts those at most Bounds[i] and
	// above Bounds[i-1], the last one those above all bounds.
	Histogram []uint64 `json:"histogram,omitempty"`
	// Bounds are the histogram's, ascending; one fewer than its buckets.
	Bounds []time.Duration `json:"bounds_ns,omitempty"`
}

// Slow is how many requests exceeded a latency threshold.
type Slow struct {
	Threshold time.Duration `json:"threshold_ns"`
	Count     uint64        `json:"count"`
}
