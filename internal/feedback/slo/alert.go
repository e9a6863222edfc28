package slo

import (
	"fmt"
	"time"
)

// AlertPolicy says when an objective's burn rate is worth telling someone. It
// fires while any of its conditions holds, and resolves itself when none does.
type AlertPolicy struct {
	Name       string
	Severity   string // such as page or ticket
	Conditions []BurnCondition
	// After is how long a condition must hold without a break before the policy
	// fires (OpenSLO: alertAfter); 0 fires at once.
	After time.Duration
	// MinBad is the floor of evidence: the least number of bad units (events or
	// slices) in a condition's long window. With little traffic one failure is a
	// large burn rate and a small fact.
	MinBad int64
	// NoData also fires when no slot in a long window has reported.
	NoData bool
	// Breaching and Resolved say which transitions are worth a notification
	// (OpenSLO: alertWhenBreaching, alertWhenResolved).
	Breaching bool
	Resolved  bool
	Targets   []string // names of notification targets
}

// BurnCondition holds when the burn rates over both windows exceed a factor.
// The short window makes it reset soon after the trouble ends.
type BurnCondition struct {
	Factor    Decimal
	Inclusive bool // at least the factor, rather than more than it
	Long      time.Duration
	Short     time.Duration // 0: the long window alone
}

// DefaultMinBad is the floor of evidence of the default policies: two
// unlucky requests are no page.
const DefaultMinBad = 3

// DefaultPolicies are the multiwindow, multi-burn-rate alerts of the SRE
// Workbook, chapter 5, for a 30-day window: page at 2 % of the budget within an
// hour or 5 % within six, ticket at 10 % within one or three days. The floor of
// evidence applies where events are counted; slices are evidence of their own.
func DefaultPolicies(method Method) []AlertPolicy {
	floor := int64(DefaultMinBad)
	if method == Timeslices || method == RatioTimeslices {
		floor = 0
	}
	policy := func(name string, conditions ...BurnCondition) AlertPolicy {
		return AlertPolicy{Name: name, Severity: name, Conditions: conditions, MinBad: floor, Breaching: true, Resolved: true}
	}
	const day = 24 * time.Hour
	return []AlertPolicy{
		policy("page",
			BurnCondition{Factor: 14_400_000_000, Long: time.Hour, Short: 5 * time.Minute},
			BurnCondition{Factor: 6 * One, Long: 6 * time.Hour, Short: 30 * time.Minute}),
		policy("ticket",
			BurnCondition{Factor: 3 * One, Long: day, Short: 2 * time.Hour},
			BurnCondition{Factor: One, Long: 3 * day, Short: 6 * time.Hour}),
	}
}

// String is the condition in words: (1h and 5m) > 14.4.
func (c BurnCondition) String() string {
	op := ">"
	if c.Inclusive {
		op = ">="
	}
	if c.Short == 0 {
		return fmt.Sprintf("%s %s %s", FormatDuration(c.Long), op, c.Factor)
	}
	return fmt.Sprintf("(%s and %s) %s %s", FormatDuration(c.Long), FormatDuration(c.Short), op, c.Factor)
}

// AlertState is what a policy remembers between evaluations; its zero value is
// quiet.
type AlertState struct {
	Since time.Time // a condition has held since; zero: none does
	Fired time.Time // firing since; zero: it is not
}

// Firing is one transition of a policy, with everything that explains it.
type Firing struct {
	Policy    string        `json:"policy"`
	Severity  string        `json:"severity"`
	Fired     time.Time     `json:"fired"`
	Resolved  time.Time     `json:"resolved,omitzero"` // zero while it fires
	Condition string        `json:"condition"`
	Long      WindowBurn    `json:"long"`
	Short     *WindowBurn   `json:"short,omitempty"`
	NoData    bool          `json:"no_data,omitempty"`
	Exhausts  time.Duration `json:"exhausts,omitempty"` // a full budget's life at the long burn
	Reason    string        `json:"reason"`
}

// WindowBurn is a burn rate with the counts behind it.
type WindowBurn struct {
	Window time.Duration `json:"-"`
	Name   string        `json:"window"`
	Burn   float64       `json:"burn"`
	Bad    int64         `json:"bad"`
	Total  int64         `json:"total"`
}

// Holding says why a policy does what it does at one moment.
type Holding string

// The results of weighing a policy's conditions.
const (
	Quiet    Holding = "quiet"    // no burn rate exceeds its factor
	Breached Holding = "breached" // a condition holds
	Floored  Holding = "floored"  // a condition would hold, but for the floor of evidence
	Unknown  Holding = "unknown"  // nothing reported in a window: no verdict either way
	Missing  Holding = "missing"  // nothing reported, and the policy alerts on that
)

// Sums is the counts of the window of a length that ends now, in budget units.
type Sums func(window time.Duration) Counts

// Weigh says whether a policy's conditions hold, and which one decides. A gap
// neither fires nor resolves: with no slot reported in a window the condition
// is Unknown, unless the policy alerts on missing data.
func (p *AlertPolicy) Weigh(target Decimal, sums Sums) (Holding, int) {
	result, which := Quiet, 0
	for i := range p.Conditions {
		c := &p.Conditions[i]
		h := p.weigh(c, target, sums)
		switch {
		case h == Breached:
			return Breached, i
		case h == Missing, h == Unknown && result != Missing, h == Floored && result == Quiet:
			result, which = h, i
		}
	}
	return result, which
}

func (p *AlertPolicy) weigh(c *BurnCondition, target Decimal, sums Sums) Holding {
	long := sums(c.Long)
	if long.Known == 0 {
		if p.NoData {
			return Missing
		}
		return Unknown
	}
	if !c.exceeded(long, target) {
		return Quiet
	}
	if c.Short > 0 {
		short := sums(c.Short)
		if short.Known == 0 {
			return Unknown
		}
		if !c.exceeded(short, target) {
			return Quiet
		}
	}
	if long.Bad() < p.MinBad {
		return Floored
	}
	return Breached
}

func (c *BurnCondition) exceeded(n Counts, target Decimal) bool {
	if n.Bad() <= 0 {
		return false
	}
	cmp := compareBurn(n.Bad(), n.Total, c.Factor, target)
	return cmp > 0 || cmp == 0 && c.Inclusive
}

// Evaluate advances a policy's state to now and returns the transition it
// makes, if any: a Firing with a zero Resolved begins, one with both times ends.
func (o *Objective) Evaluate(p *AlertPolicy, state AlertState, sums Sums, now time.Time) (AlertState, *Firing) {
	holding, which := p.Weigh(o.Target, sums)
	switch holding {
	case Unknown:
		return state, nil
	case Breached, Missing:
		if state.Since.IsZero() {
			state.Since = now
		}
		if !state.Fired.IsZero() || now.Sub(state.Since) < p.After {
			return state, nil
		}
		state.Fired = now
		f := o.explainFiring(p, &p.Conditions[which], sums)
		f.Fired, f.NoData = now, holding == Missing
		if f.NoData {
			f.Reason = fmt.Sprintf("nothing has reported for %s, and this policy alerts on missing data", f.Long.Name)
		}
		return state, f
	}
	fired := state.Fired
	state = AlertState{}
	if fired.IsZero() {
		return state, nil
	}
	f := o.explainFiring(p, &p.Conditions[which], sums)
	f.Fired, f.Resolved = fired, now
	f.Reason = "resolved: no condition holds any more; " + f.Reason
	return state, f
}

func (o *Objective) explainFiring(p *AlertPolicy, c *BurnCondition, sums Sums) *Firing {
	f := &Firing{Policy: p.Name, Severity: p.Severity, Condition: c.String(), Long: o.windowBurn(c.Long, sums)}
	f.Reason = f.Long.String()
	if c.Short > 0 {
		short := o.windowBurn(c.Short, sums)
		f.Short = &short
		f.Reason += " and " + short.String()
	}
	f.Reason += fmt.Sprintf(", against a limit of %s", c.Factor)
	if life, ok := TimeToExhaustion(1, f.Long.Burn, o.Window.Nominal()); ok && f.Long.Burn > 1 {
		f.Exhausts = life
		f.Reason += fmt.Sprintf("; at this rate a full budget lasts %s", life.Round(time.Minute))
	}
	return f
}

func (o *Objective) windowBurn(window time.Duration, sums Sums) WindowBurn {
	n := sums(window)
	burn, _ := BurnRate(n.Bad(), n.Total, o.Target)
	scale := o.scale()
	return WindowBurn{Window: window, Name: FormatDuration(window), Burn: burn, Bad: (n.Bad() + scale/2) / scale, Total: n.Total / scale}
}

// String is the burn in words: burn 18.2 over 1h (182 bad of 10000).
func (w WindowBurn) String() string {
	return fmt.Sprintf("burn %.4g over %s (%d bad of %d)", w.Burn, w.Name, w.Bad, w.Total)
}

// longest is the longest window any of the policies looks at.
func longest(policies []AlertPolicy) time.Duration {
	var d time.Duration
	for _, p := range policies {
		for _, c := range p.Conditions {
			d = max(d, c.Long, c.Short)
		}
	}
	return d
}
