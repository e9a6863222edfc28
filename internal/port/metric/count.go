package metric

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Counter turns indicators written in PromQL into counts of good and total
// events, one slot of a minute after the other. It is safe for concurrent use.
type Counter interface {
	// Plan says how an indicator will be counted. It asks no engine. The error is
	// Invalid, with findings, when the indicator cannot be read.
	Plan(Indicator) (Plan, error)
	// Count counts indicators over a span, in as few requests as their selectors
	// allow. The answers are in the order of the indicators; what is wrong with
	// one of them is in its own answer. The error is of all of them alike.
	Count(ctx context.Context, indicators []Indicator, span Span) ([]Count, error)
}

// SlotWidth is the width of a slot; slots begin at whole minutes, UTC.
const SlotWidth = time.Minute

// Reach is how far apart two scrapes of a target may be so that what was
// counted between them is still placed in time: the time after which
// Prometheus, too, holds a series for gone. Beyond it there is a gap. Counting
// a span needs the samples this far before and after it.
const Reach = 5 * time.Minute

// Kind is how an indicator's expressions become events.
type Kind string

// The kinds of indicators.
const (
	// Ratio counts Total, and of it Good or Bad.
	Ratio Kind = "ratio"
	// Share is one expression for good/total, or for bad/total with Failures.
	Share Kind = "share"
	// Measured compares each sample of Value with Threshold: one event per sample.
	Measured Kind = "measured"
	// Faster counts the observations of native histograms (Value), and of them
	// those of at most Threshold.
	Faster Kind = "faster"
)

// Indicator says what to count. Expressions are PromQL; {{.window}} in them, as
// Sloth writes it, stands for any range.
type Indicator struct {
	Kind             Kind
	Good, Bad, Total string
	Value            string
	Failures         bool
	Op               string // of Measured: lt, lte, gt or gte
	Threshold        float64
	// Counter says that expressions without rate or increase are counters.
	Counter bool
	// Sum adds up the series of an expression that does not do so itself, as
	// Pyrra's selectors are meant.
	Sum bool
	// GroupBy are the labels whose values split the counts into groups.
	GroupBy []string
}

// Plan is how an indicator is counted.
type Plan struct {
	// Exact says that stored samples are counted. Otherwise expressions are
	// evaluated once per slot, and Reason says why.
	Exact     bool
	Reason    string
	Selectors []string // of the samples that are read; none when not Exact
}

// Span is what to count: the slots that begin in [From, Until), both whole
// minutes. Now is the present, beyond which nothing can have been stored.
type Span struct {
	From, Until time.Time
	Now         time.Time
}

// Count is what a span saw of one indicator.
type Count struct {
	Plan
	// Groups are the counts by GroupBy; without it there is one, or none where no
	// slot is known.
	Groups []Group
	// Settled is the moment up to which no target was late: slots from then on
	// may be known only later, or change.
	Settled  time.Time
	Findings []problem.Finding // of the data; each says what becomes of the slots
	Samples  int               // stored samples that were read for it
	Err      error             // why there are no counts
}

// Group is the slots of one group, in order of time. A slot that is not there
// is a gap: nobody knows.
type Group struct {
	Labels Labels // of GroupBy; empty without it
	Slots  []Slot
}

// Slot is what one minute saw: 0 ≤ Good ≤ Total.
type Slot struct {
	At          int64 // its beginning, Unix milliseconds
	Good, Total int64
}

// Codes of findings, each stable.
const (
	CodeSyntax        = "promql-syntax"       // the expression cannot be parsed
	CodeEmpty         = "promql-empty"        // there is no expression
	CodeApproximate   = "approximate"         // the expression is no sum of counters: evaluated once a minute
	CodeManySeries    = "many-series"         // several series where one is meant: gap
	CodeNotANumber    = "not-a-number"        // NaN or infinite samples: gap
	CodeExceeds       = "good-exceeds-total"  // more good (or bad) than total: gap
	CodeNegative      = "negative-count"      // a difference of counts is below zero: gap
	CodeNoSeries      = "no-series"           // nothing is selected: gap
	CodeNoBucket      = "no-bucket"           // the histogram has no such bucket: gap
	CodeFraction      = "fractional-counter"  // a counter that does not count in whole events: rounded
	CodeInsideBucket  = "threshold-in-bucket" // the threshold splits a bucket: estimated
	CodeTooManyGroups = "too-many-groups"     // beyond MaxGroups: left out
	CodePartial       = "partial-answer"      // the engine answered in part: gap
)

// MaxGroups is the most groups of one indicator.
const MaxGroups = 1000
