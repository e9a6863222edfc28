package metric

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Engine evaluates PromQL and gives stored samples. It is safe for concurrent
// use.
type Engine interface {
	// Query evaluates an expression at an instant. The result's series have one
	// point each, at that instant; that of a scalar has no labels. A range
	// selector as the whole expression gives all its samples.
	Query(ctx context.Context, expr string, at time.Time) (Result, error)
	// QueryRange evaluates an expression at each step of a range. A step at which
	// a series has no value has no point.
	QueryRange(ctx context.Context, expr string, steps Steps) (Result, error)
	// Samples gives the stored samples of an instant selector such as
	// up{job="shop"} whose times lie in [from, until), in milliseconds, in order
	// of time, without stale markers; a series without any is left out.
	// The selector has neither offset nor @.
	Samples(ctx context.Context, selector string, from, until time.Time) (Result, error)
}

// Steps are the instants From, From+Step, … up to and including To.
type Steps struct {
	From, To time.Time
	Step     time.Duration // whole milliseconds, positive
}

// Limits of one answer. An engine may have lower ones.
const (
	MaxSeries  = 10_000
	MaxSamples = 5_000_000 // points and histograms of all series together
	MaxSteps   = 11_000    // of a range, as in Prometheus
	MaxQuery   = 64 << 10  // bytes of an expression
)

// Result is an answer: series in order of their labels.
type Result struct {
	Series []Series
	// Partial says that the engine could not ask everywhere.
	Partial  bool
	Warnings []string // what the engine remarked, at most MaxWarnings
}

// MaxWarnings is the most remarks that a Result passes on.
const MaxWarnings = 20

// Series is one time series: labels, and values in rising order of time. A
// series has points, histograms or both.
type Series struct {
	Labels     Labels
	Points     []Point
	Histograms []HistogramPoint
}

// Labels are the name and value of each label, the metric's name as __name__.
type Labels map[string]string

// NameLabel is the label that carries a metric's name.
const NameLabel = "__name__"

// Point is a float sample. The value may be NaN or infinite.
type Point struct {
	At    int64 // Unix milliseconds
	Value float64
}

// Time is when the sample was taken, UTC.
func (p Point) Time() time.Time { return time.UnixMilli(p.At).UTC() }

// HistogramPoint is a native histogram sample.
type HistogramPoint struct {
	At        int64 // Unix milliseconds
	Histogram Histogram
}

// Histogram is a native histogram (Prometheus 2.40): how many observations
// there were, their sum, and how many in each bucket that is not empty, in
// order of bounds. Counts are whole except where a query made them.
type Histogram struct {
	Count, Sum float64
	Buckets    []Bucket
}

// Bucket counts observations between two bounds. Which of them belongs to the
// bucket is as in Prometheus: Upper for positive buckets, Lower for negative
// ones, both for the zero bucket.
type Bucket struct {
	Lower, Upper                   float64
	LowerInclusive, UpperInclusive bool
	Count                          float64
}

// Discovery tells what an engine holds. It is safe for concurrent use. The
// booleans say that there is more than the limit allowed to tell.
type Discovery interface {
	// Series gives the labels of series.
	Series(ctx context.Context, scope Scope) (series []Labels, more bool, err error)
	// LabelNames gives the names of labels, in order.
	LabelNames(ctx context.Context, scope Scope) (names []string, more bool, err error)
	// LabelValues gives the values of a label, in order.
	LabelValues(ctx context.Context, label string, scope Scope) (values []string, more bool, err error)
	// Metadata gives what targets say of their metrics, in order of names; of one
	// metric, or of all when it is empty. An engine may know less than it holds.
	Metadata(ctx context.Context, metric string, limit int) (list []Metadata, more bool, err error)
}

// Scope narrows discovery.
type Scope struct {
	Selectors   []string // any of these; for Series at least one, else none is everything
	From, Until time.Time
	Limit       int // most entries wanted, 1 to MaxSeries
}

// Metadata describes a metric.
type Metadata struct {
	Metric string
	Type   Type
	Help   string
	Unit   string
}

// Type is a metric's type as its target declares it (OpenMetrics 1.0).
type Type string

// The types that matter here; others come as they are.
const (
	TypeCounter   Type = "counter"
	TypeGauge     Type = "gauge"
	TypeHistogram Type = "histogram"
	TypeSummary   Type = "summary"
	TypeUnknown   Type = "unknown"
)

// CompareLabels orders series: by name of the metric, then label by label.
func CompareLabels(a, b Labels) int {
	if c := strings.Compare(a[NameLabel], b[NameLabel]); c != 0 {
		return c
	}
	x, y := slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))
	for i := range min(len(x), len(y)) {
		if c := cmp.Or(strings.Compare(x[i], y[i]), strings.Compare(a[x[i]], b[y[i]])); c != 0 {
			return c
		}
	}
	return len(x) - len(y)
}

// Check refuses steps that are none, or too many.
func (s Steps) Check() error {
	if s.Step < time.Millisecond || s.Step%time.Millisecond != 0 || s.To.Before(s.From) {
		return problem.New(problem.Invalid, "metric.range", "a range needs an end after its beginning and a step of whole milliseconds")
	}
	if n := int64(s.To.Sub(s.From)/s.Step) + 1; n > MaxSteps {
		return problem.New(problem.Invalid, "metric.range", "a range of %d steps, more than %d", n, MaxSteps).WithNext("make the step longer, or the range shorter")
	}
	return nil
}
