package slo

import "time"

// Budget is what an objective allows to go wrong over one window, and what is
// left of it. Amounts are in events, or in slices for the slice methods.
type Budget struct {
	Allowed   Amount `json:"allowed"`
	Spent     Amount `json:"spent"`
	Remaining Amount `json:"remaining"` // negative when overspent
	// RemainingRatio is remaining ÷ allowed: 1 is untouched, 0 is spent, negative
	// is overspent. Without any traffic, seen or declared, it is 1.
	RemainingRatio float64 `json:"remaining_ratio"`
	// Total is the units of a full window that Allowed is a share of.
	Total Amount `json:"total"`
	// Projected says that Total is an estimate, because the window is not yet
	// full: the service is young, or the calendar period is not over.
	Projected bool `json:"projected"`
}

// BudgetInput is what a budget is computed from, all in counts of Scale.
type BudgetInput struct {
	Seen     Counts        // within the window, so far
	Scale    int64         // counts per unit; 0 means 1
	Elapsed  time.Duration // part of the window that history covers (gaps inside included)
	Length   time.Duration // of the full window
	Recent   int64         // events over RecentFor, the traffic to expect; 0 takes Seen over Elapsed
	RecentIn time.Duration
}

// BudgetOf is the budget of an objective. For Occurrences a full window's
// events are those seen plus, for the part of the window without history yet,
// the traffic declared or else seen. For slices a full window has as many as
// fit into it, so the budget is known from the start: 99.95 % of a week of
// minutes is 5.04 of them.
//
// Gaps inside the history are not filled in: they allow nothing and spend
// nothing.
func (o *Objective) BudgetOf(in BudgetInput) Budget {
	scale := max(in.Scale, 1)
	total, projected := in.Seen.Total, false
	switch missing := in.Length - in.Elapsed; {
	case o.Method == Timeslices || o.Method == RatioTimeslices:
		if full := o.slicesIn(in.Length) * scale; full > total {
			total, projected = full, missing > 0
		}
	case missing > 0:
		if more, ok := o.expected(in, missing); ok {
			total, projected = total+more, true
		}
	}
	b := Budget{
		Allowed:   amountOf(total, o.BudgetRatio(), scale),
		Spent:     amountOf(in.Seen.Bad(), One, scale),
		Total:     amountOf(total, One, scale),
		Projected: projected,
	}
	b.Remaining = b.Allowed.Sub(b.Spent)
	b.RemainingRatio = remainingRatio(b)
	return b
}

func remainingRatio(b Budget) float64 {
	if b.Allowed.IsZero() {
		if b.Spent.IsZero() {
			return 1
		}
		return 0
	}
	return b.Remaining.Float64() / b.Allowed.Float64()
}

// expected is the events that a span without history will bring.
func (o *Objective) expected(in BudgetInput, span time.Duration) (int64, bool) {
	if o.Traffic > 0 {
		return scaleCount(o.Traffic, span, 24*time.Hour), true
	}
	if in.Recent > 0 && in.RecentIn > 0 {
		return scaleCount(in.Recent, span, in.RecentIn), true
	}
	if in.Elapsed <= 0 || in.Seen.Total <= 0 {
		return 0, false
	}
	return scaleCount(in.Seen.Total, span, in.Elapsed), true
}

// Budget is the budget at now from a history in budget units (BudgetSeries):
// what the window that Lookback sees has spent, and what it allows. Traffic to
// expect is what the last window's length saw.
func (o *Objective) Budget(units *Series, now time.Time) (Budget, Counts) {
	from, to := o.Window.Lookback(now)
	in := BudgetInput{Seen: units.Sum(from, now), Scale: units.scale, Length: to.Sub(from)}
	first, last := units.Bounds()
	if !first.IsZero() && first.Before(now) {
		in.Elapsed = now.Sub(latest(first, from))
		since := latest(first, now.Add(-in.Length))
		if last.After(since) {
			in.Recent, in.RecentIn = units.Sum(since, now).Total, now.Sub(since)
		}
	}
	return o.BudgetOf(in), in.Seen
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
