package slo

import (
	"time"
)

// Objective is one promise about one indicator: a target over a window.
// Decoders return only valid ones; Check says what is wrong with others.
type Objective struct {
	Service     string
	Environment string // empty: every environment
	Name        string // unique within service and environment
	DisplayName string
	Description string
	Labels      map[string]string

	Target      Decimal // share of good, strictly between 0 and 1
	Agreement   Decimal // looser target that was promised to customers (SLA); 0: none
	Method      Method
	SliceTarget Decimal       // Timeslices: least ratio of a good slice
	SliceWindow time.Duration // Timeslices and RatioTimeslices: width of a slice
	Window      Window

	Indicator     Indicator
	GroupBy       []string // labels that split the indicator into groups
	MaxGroups     int      // how many groups before the rest share one; 0 is DefaultMaxGroups
	GroupAlerts   bool     // each group alerts by itself, beside the whole
	AlertPolicies []AlertPolicy
	// Traffic is the declared events per day, for the budget of a young service;
	// 0 leaves it to the traffic seen.
	Traffic int64
	// Composite is the SLO this objective is a weighted part of; empty if none.
	Composite string
	Weight    Decimal // weight in the composite; One unless said otherwise
	Parts     []Part  // of a composite: what it is made of

	// Source is where the objective is written.
	File string
	Line int
}

// ID names the objective: service/name, or service/environment/name.
func (o *Objective) ID() string {
	if o.Environment != "" {
		return o.Service + "/" + o.Environment + "/" + o.Name
	}
	return o.Service + "/" + o.Name
}

// IndicatorKind is how events become good or bad.
type IndicatorKind string

// The kinds of indicators.
const (
	// Availability counts requests that did not fail; the proxy counts them.
	Availability IndicatorKind = "availability"
	// Latency counts requests answered within Indicator.Threshold seconds.
	Latency IndicatorKind = "latency"
	// Ratio divides two counts: good or bad, and total.
	Ratio IndicatorKind = "ratio"
	// Raw is a ratio computed elsewhere.
	Raw IndicatorKind = "raw"
	// Threshold compares samples of a measurement with Indicator.Threshold.
	Threshold IndicatorKind = "threshold"
)

// Indicator says where good and bad come from.
type Indicator struct {
	Kind IndicatorKind
	Name string
	// Good, Bad and Total are the sources of a Ratio (one of Good and Bad).
	Good, Bad, Total *Source
	// Value is the source of Raw and Threshold indicators.
	Value *Source
	// Counter says that the sources of a Ratio only ever rise, except for resets.
	Counter bool
	// Failures says that a Raw ratio is bad/total rather than good/total.
	Failures bool
	// Op and Threshold: a sample is good when sample Op Threshold holds. For
	// Latency the threshold is in seconds and Op is lte.
	Op        Op
	Threshold Decimal
}

// Op compares a sample with a threshold (OpenSLO v1, op).
type Op string

// The comparisons.
const (
	LessOrEqual    Op = "lte"
	Less           Op = "lt"
	GreaterOrEqual Op = "gte"
	Greater        Op = "gt"
)

// Good reports whether a sample meets the threshold; a NaN never does.
func (op Op) Good(sample, threshold float64) bool {
	switch op {
	case Less:
		return sample < threshold
	case GreaterOrEqual:
		return sample >= threshold
	case Greater:
		return sample > threshold
	}
	return sample <= threshold
}

// Source is one query to one data source. Spec is what its author wrote,
// flattened to text; Query is the part that queries.
type Source struct {
	Ref   string // DataSource by name; may be empty
	Type  string // such as prometheus; may come from the DataSource
	Query string
	Spec  map[string]string
	// Whole says that the query is a selector whose series are to be added up, as
	// Pyrra writes them.
	Whole bool `json:",omitempty"`
	// Line and Column are where the query is written; 0: nowhere.
	Line, Column int `json:"-"`
}

// at remembers where the query is written.
func (s *Source) at(v value) *Source {
	if v.n != nil {
		s.Line, s.Column = v.n.Line, v.n.Column
	}
	return s
}

// BudgetRatio is the share of events or slices that may be bad: 1 − target.
func (o *Objective) BudgetRatio() Decimal { return One - o.Target }
