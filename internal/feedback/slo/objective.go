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
	Method      Method
	SliceTarget Decimal       // Timeslices: least ratio of a good slice
	SliceWindow time.Duration // Timeslices and RatioTimeslices: width of a slice
	Window      Window

	Indicator     Indicator
	GroupBy       []string // labels that split the indicator into groups
	AlertPolicies []AlertPolicy
	// Traffic is the declared events per day, for the budget of a young service;
	// 0 leaves it to the traffic seen.
	Traffic int64
	// Composite is the SLO this objective is a weighted part of; empty if none.
	Composite string
	Weight    Decimal // weight in the composite; One unless said otherwise

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
}

// BudgetRatio is the share of events or slices that may be bad: 1 − target.
func (o *Objective) BudgetRatio() Decimal { return One - o.Target }

// Part is one member of a composite, with the same window applied to all.
type Part struct {
	Weight   Decimal
	Target   Decimal
	Bad      int64
	Total    int64
	Excluded bool // no data: leaves the composite together with its weight
}

// Composed is the state of a composite over one window.
type Composed struct {
	SLI    float64 // weighted mean of the parts' good ratios
	Target float64 // weighted mean of their targets
	Burn   float64 // weighted error over weighted allowance
}

// Compose is the composite of parts, weighted by their weights whatever their
// traffic. Parts without events leave it together with their weight; without
// any other part the composite is not known (false).
func Compose(parts []Part) (Composed, bool) {
	var weights, errors, allowed float64
	for _, p := range parts {
		if p.Excluded || p.Total <= 0 || p.Weight <= 0 {
			continue
		}
		w := p.Weight.Float64()
		weights += w
		errors += w * float64(p.Bad) / float64(p.Total)
		allowed += w * (One - p.Target).Float64()
	}
	if weights == 0 || allowed == 0 {
		return Composed{}, false
	}
	return Composed{SLI: 1 - errors/weights, Target: 1 - allowed/weights, Burn: errors / allowed}, true
}
