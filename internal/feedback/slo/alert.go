package slo

import (
	"fmt"
	"time"
)

// AlertPolicy says when an objective's burn rate is worth telling someone. It
// fires while any of its conditions holds, and resolves itself when none does;
// each condition is a Rule with a firing of its own.
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
	// Notify is where those send to, beside the pages of the team: CHANNEL, or
	// CHANNEL:ADDRESS (OpenSLO: the target of an AlertNotificationTarget).
	Notify []string
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

// AlertState is what a rule remembers between evaluations; its zero value is
// quiet.
type AlertState struct {
	Since time.Time // a condition has held since; zero: none does
	Fired time.Time // firing since; zero: it is not
}

// Firing is one transition of a rule, with everything that explains it.
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

// Holding says why a rule does what it does at one moment.
type Holding string

// The results of weighing a rule.
const (
	Quiet    Holding = "quiet"    // no burn rate exceeds its factor
	Breached Holding = "breached" // a condition holds
	Floored  Holding = "floored"  // a condition would hold, but for the floor of evidence
	Unknown  Holding = "unknown"  // nothing reported in a window: no verdict either way
	Missing  Holding = "missing"  // nothing reported, and the policy alerts on that
)

// Sums is the counts of the window of a length that ends now, in budget units.
type Sums func(window time.Duration) Counts

// Rule is one condition of one policy: what fires and resolves by itself. A
// policy as a whole fires while any of its rules does.
type Rule struct {
	Policy    *AlertPolicy
	Condition *BurnCondition
	scale     int64 // counts per budget unit, for the floor of evidence
}

// Rules is every condition of every alert policy, in order.
func (o *Objective) Rules() []Rule {
	var rules []Rule
	for i := range o.AlertPolicies {
		p := &o.AlertPolicies[i]
		for j := range p.Conditions {
			rules = append(rules, Rule{p, &p.Conditions[j], o.scale()})
		}
	}
	return rules
}

// Weigh says whether a rule holds. A gap neither fires nor resolves: with no
// slot reported in a window the rule is Unknown, unless its policy alerts on
// missing data.
func (r Rule) Weigh(target Decimal, sums Sums) Holding {
	long := sums(r.Condition.Long)
	if long.Known == 0 {
		if r.Policy.NoData {
			return Missing
		}
		return Unknown
	}
	if !r.Condition.exceeded(long, target) {
		return Quiet
	}
	if r.Condition.Short > 0 {
		short := sums(r.Condition.Short)
		if short.Known == 0 {
			return Unknown
		}
		if !r.Condition.exceeded(short, target) {
			return Quiet
		}
	}
	bad := long.Bad() / r.scale
	if long.events != nil {
		bad = long.events.bad
	}
	if bad < r.Policy.MinBad {
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

// Evaluate advances a rule's state to now and returns the transition it makes,
// if any: a Firing with a zero Resolved begins, one with both times ends.
func (o *Objective) Evaluate(r Rule, state AlertState, sums Sums, now time.Time) (AlertState, *Firing) {
	holding := r.Weigh(o.Target, sums)
	switch holding {
	case Unknown:
		return state, nil
	case Breached, Missing:
		if state.Since.IsZero() {
			state.Since = now
		}
		if !state.Fired.IsZero() || now.Sub(state.Since) < r.Policy.After {
			return state, nil
		}
		state.Fired = now
		f := o.explainFiring(r, sums)
		f.Fired, f.NoData = now, holding == Missing
		if f.NoData {
			f.Reason = fmt.Sprintf("nothing has reported for %s, and this policy alerts on missing data", InWords(f.Long.Window))
		}
		return state, f
	}
	if state.Fired.IsZero() {
		return AlertState{}, nil
	}
	f := o.explainFiring(r, sums)
	f.Fired, f.Resolved = state.Fired, now
	f.Reason = "resolved: " + f.Reason
	return AlertState{}, f
}

func (o *Objective) explainFiring(r Rule, sums Sums) *Firing {
	p, c := r.Policy, r.Condition
	f := &Firing{Policy: p.Name, Severity: p.Severity, Condition: c.String(), Long: o.windowBurn(c.Long, sums)}
	f.Reason = f.Long.String()
	if c.Short > 0 {
		short := o.windowBurn(c.Short, sums)
		f.Short = &short
		f.Reason += " and " + short.String()
	}
	f.Reason += fmt.Sprintf(", against a limit of %s", c.Factor)
	if p.MinBad > 0 {
		f.Reason += fmt.Sprintf(" and a floor of %d bad", p.MinBad)
	}
	if life, ok := TimeToExhaustion(1, f.Long.Burn, o.Window.Nominal()); ok && f.Long.Burn > 1 {
		f.Exhausts = life
		f.Reason += fmt.Sprintf("; at this rate a full budget lasts %s", InWords(life))
	}
	return f
}

func (o *Objective) windowBurn(window time.Duration, sums Sums) WindowBurn {
	n := sums(window)
	burn, _ := BurnRate(n.Bad(), n.Total, o.Target)
	w := WindowBurn{Window: window, Name: FormatDuration(window), Burn: burn}
	w.Bad, w.Total = n.evidence(o.scale())
	return w
}

// String is the burn in words: burn 18.2 over 1 h (182 bad of 10000).
func (w WindowBurn) String() string {
	return fmt.Sprintf("burn %.4g over %s (%d bad of %d)", w.Burn, InWords(w.Window), w.Bad, w.Total)
}
