package slo

import (
	"fmt"
	"math"
	"time"
)

// A composite SLO (OpenSLO v1) promises several things at once: each of its
// objectives has an indicator of its own and a compositeWeight (more than 0; 1
// unless said otherwise). The specification names the weights and leaves the
// sums to the implementation; ours are weighted means over the parts, whatever
// their traffic:
//
//	error ratio  Σ wᵢ·badᵢ/totalᵢ ÷ Σ wᵢ
//	allowed      Σ wᵢ·(1 − targetᵢ) ÷ Σ wᵢ, which is 1 − the composite's target
//	burn rate    error ratio ÷ allowed
//	budget left  1 − Σ wᵢ·(spentᵢ ÷ full windowᵢ) ÷ Σ wᵢ·(1 − targetᵢ)
//
// Each is computed from the parts' sums over one and the same window, never
// from means of slots. A part that reported and had no events leaves every sum
// together with its weight. A window in which some part reported nothing at all
// is a gap of the composite: it is not known, and neither fires nor resolves.

// Composite is the kind of a composite's indicator, which is its parts'.
const Composite IndicatorKind = "composite"

// Part is one objective that a composite is made of.
type Part struct {
	ID     string // of the objective
	Key    string // SERVICE.ENVIRONMENT.NAME
	Weight Decimal
	Target Decimal
}

// composite reports whether the objective is made of others.
func (o *Objective) composite() bool { return len(o.Parts) > 0 }

// Composites are the composites that objectives are parts of, in order of the
// first part. Their windows, alert policies and labels are those of the SLO they
// are written in.
func Composites(objectives []*Objective) []*Objective {
	var out []*Objective
	by := map[string]*Objective{}
	for _, o := range objectives {
		if o.Composite == "" {
			continue
		}
		key := o.Service + "/" + o.Environment + "/" + o.Composite
		c := by[key]
		if c == nil {
			c = &Objective{Service: o.Service, Environment: o.Environment, Name: o.Composite, Description: o.Description, Labels: o.Labels,
				Method: o.Method, SliceWindow: o.SliceWindow, SliceTarget: o.SliceTarget, Window: o.Window, Weight: One,
				Indicator: Indicator{Kind: Composite}, AlertPolicies: o.AlertPolicies, File: o.File, Line: o.Line}
			by[key], out = c, append(out, c)
		}
		c.Parts = append(c.Parts, Part{ID: o.ID(), Key: o.Key(), Weight: o.Weight, Target: o.Target})
	}
	for _, c := range out {
		c.Target = One - Decimal(math.Round(c.allowance(func(int) bool { return true })*float64(One)))
	}
	return out
}

// allowance is the weighted mean of what parts may have wrong; 0 without any.
func (o *Objective) allowance(counts func(i int) bool) float64 {
	var weights, allowed float64
	for i, p := range o.Parts {
		if counts(i) {
			weights += p.Weight.Float64()
			allowed += p.Weight.Float64() * (One - p.Target).Float64()
		}
	}
	if weights == 0 {
		return 0
	}
	return allowed / weights
}

// whole is what a composite's weighted counts are shares of: fine enough that
// rounding never decides a comparison with a limit written in decimals.
const whole = 1e15

// seen is the events behind weighted counts.
type seen struct{ bad, total int64 }

// compose is what a composite counts over a window of which its parts counted
// parts, each in units of its own. Bad ÷ Total over 1 − target is its burn
// rate; events are the parts' own, summed.
func (o *Objective) compose(parts []Counts) Counts {
	out := Counts{Known: math.MaxInt, events: &seen{}}
	var weights, errors float64
	for i, n := range parts {
		out.Known, out.Span = min(out.Known, n.Known), max(out.Span, n.Span)
		scale := o.scale()
		out.events.bad += (n.Bad() + scale/2) / scale
		out.events.total += n.Total / scale
		if n.Total > 0 {
			w := o.Parts[i].Weight.Float64()
			weights += w
			errors += w * float64(n.Bad()) / float64(n.Total)
		}
	}
	if out.Known == 0 || weights == 0 {
		return out
	}
	allowed := o.allowance(func(i int) bool { return parts[i].Total > 0 })
	out.Total = int64(math.Round(whole * allowed / (One - o.Target).Float64()))
	out.Good = out.Total - int64(math.Round(whole*errors/weights))
	return out
}

// composedRatio is the weighted mean of the parts' good ratios; it is not known
// without events, or when a part is a gap.
func (n Counts) composedRatio() (float64, bool) {
	if n.Total <= 0 {
		return 0, false
	}
	return 1 - float64(n.Bad())/whole, true
}

// PartState is one part of a composite: how it stands, and what it takes of the
// composite's budget.
type PartState struct {
	Key       string  `json:"objective"`
	Weight    Decimal `json:"weight"`
	Target    Decimal `json:"target"`
	SLI       float64 `json:"sli" doc:"share of good in the window; 1 without events"`
	Known     bool    `json:"known" doc:"false when nothing reported in the window: a gap of the composite"`
	Bad       int64   `json:"bad" doc:"bad events, or slices, of the window"`
	Total     int64   `json:"total" doc:"events, or slices, of the window"`
	Remaining float64 `json:"remaining" doc:"share of its own budget left"`
	Spent     float64 `json:"spent" doc:"share of the composite's budget it spent; the parts' shares add up to all that is spent"`
}

// composedBudget is a composite's budget, and its parts' shares of it, from
// theirs over the same window. Its unit is the minute: one in which everything
// failed. States lack what is of the budgets.
func (o *Objective) composedBudget(budgets []Budget, states []PartState, length time.Duration) Budget {
	shares := make([]float64, len(budgets))
	var weights, weighted, spent float64
	b := Budget{Total: Units(int64(length / time.Minute))}
	for i, part := range budgets {
		states[i].Remaining = part.RemainingRatio
		b.Projected = b.Projected || part.Projected
		if part.Total.IsZero() {
			continue
		}
		w := o.Parts[i].Weight.Float64()
		shares[i] = w * part.Spent.Float64() / part.Total.Float64()
		weights += w
		weighted += w * (One - o.Parts[i].Target).Float64()
		spent += shares[i]
	}
	minutes := length.Minutes()
	if weights == 0 {
		b.Allowed = amountOfMinutes(minutes * (One - o.Target).Float64())
	} else {
		b.Allowed, b.Spent = amountOfMinutes(minutes*weighted/weights), amountOfMinutes(minutes*spent/weights)
		for i := range shares {
			states[i].Spent = shares[i] / weighted
		}
	}
	b.Remaining = b.Allowed.Sub(b.Spent)
	b.RemainingRatio = remainingRatio(b)
	return b
}

func amountOfMinutes(m float64) Amount {
	floor := math.Floor(m)
	return Amount{whole: int64(floor), nano: min(int64(math.Round((m-floor)*float64(One))), int64(One)-1)}
}

// composedForecast goes on with the burn rate of the shortest lookback that saw
// enough bad events. It has no interval, and a spent budget's is as of now.
func (o *Objective) composedForecast(sums Sums, b Budget, now time.Time) Forecast {
	if b.RemainingRatio <= 0 && !b.Spent.IsZero() {
		return Forecast{Exhausted: true, At: now}
	}
	for _, d := range []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour, o.Window.Nominal()} {
		n := sums(d)
		if n.events == nil || n.events.bad < forecastEvidence {
			continue
		}
		f := Forecast{Over: d}
		f.Burn, _ = BurnRate(n.Bad(), n.Total, o.Target)
		if left, ok := TimeToExhaustion(b.RemainingRatio, f.Burn, o.Window.Nominal()); ok && left < o.Window.Nominal() {
			f.At = now.Add(left)
		}
		return f
	}
	return Forecast{}
}

// String is the part in words.
func (p PartState) String() string {
	if !p.Known {
		return fmt.Sprintf("%-40s weight %s, target %s: nothing has reported", p.Key, p.Weight, p.Target.Percent())
	}
	return fmt.Sprintf("%-40s weight %s, target %s: %.4f %% good, %d bad of %d, %.1f %% of the composite's budget", p.Key, p.Weight,
		p.Target.Percent(), 100*p.SLI, p.Bad, p.Total, 100*p.Spent)
}
