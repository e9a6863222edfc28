package slo

import (
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func notCounted(id string) error {
	return problem.New(problem.Invalid, "slo.add", "%s is a composite: counts are of its parts", id)
}

// parts are a composite's parts at work; nil where one is not there.
func (l *live) parts() []*live {
	out := make([]*live, len(l.objective.Parts))
	for i, p := range l.objective.Parts {
		out[i] = l.peers[p.ID]
	}
	return out
}

// composedCounts is what a composite counts over one of its parts' windows.
func (l *live) composedCounts(d time.Duration) Counts {
	counts := make([]Counts, len(l.objective.Parts))
	for i, p := range l.parts() {
		if p != nil {
			counts[i] = p.counts(d)
		}
	}
	return l.objective.compose(counts)
}

// tickComposites evaluates the composites, after their parts have moved.
func (e *Engine) tickComposites(out []Transition) []Transition {
	quiet := len(out)
	for _, l := range e.composites {
		l.meter.asOf = max(l.meter.asOf, e.now.UnixNano())
		out = l.evaluate(out, l.composedCounts, e.now)
	}
	if len(out) > quiet {
		slices.SortStableFunc(out, func(a, b Transition) int { return strings.Compare(a.ID, b.ID) })
	}
	return out
}

// composedAccount is a composite over its own window.
type composedAccount struct {
	counts Counts
	window Span
	budget Budget
	parts  []PartState
}

func (l *live) composedAccount() composedAccount {
	o := l.objective
	now := time.Unix(0, l.meter.asOf).UTC()
	from, to := o.Window.Lookback(now)
	counts, budgets := make([]Counts, len(o.Parts)), make([]Budget, len(o.Parts))
	a := composedAccount{window: Span{from, now}, parts: make([]PartState, len(o.Parts))}
	for i, p := range l.parts() {
		if p != nil {
			in, window := p.budgetInput()
			counts[i], budgets[i], a.window = in.Seen, p.objective.BudgetOf(in), window
		}
		a.parts[i] = o.partState(i, counts[i])
	}
	a.counts = o.compose(counts)
	a.budget = o.composedBudget(budgets, a.parts, to.Sub(from))
	return a
}

// partState is a part's account of the window, but for the budgets.
func (o *Objective) partState(i int, n Counts) PartState {
	scale := o.scale()
	s := PartState{Key: o.Parts[i].Key, Weight: o.Parts[i].Weight, Target: o.Parts[i].Target, SLI: 1, Known: n.Known > 0,
		Bad: (n.Bad() + scale/2) / scale, Total: n.Total / scale}
	if ratio, ok := n.Ratio(); ok {
		s.SLI = ratio
	}
	return s
}

// composedSnapshot is the state of a composite.
func (l *live) composedSnapshot() Snapshot {
	o, a := l.objective, l.composedAccount()
	s := Snapshot{ID: l.id, Objective: o, At: time.Unix(0, l.meter.asOf).UTC(), Window: a.window, Known: a.counts.Known, Span: a.counts.Span,
		Budget: a.budget, Parts: a.parts, Good: float64(a.counts.events.total - a.counts.events.bad), Total: float64(a.counts.events.total)}
	s.SLI, s.SLIKnown = a.counts.composedRatio()
	own := o.Window.Nominal()
	for _, d := range append(slices.Clone(BurnWindows), own) {
		s.Burns = append(s.Burns, l.composedBurn(d, l.composedCounts(d)))
	}
	if o.Window.Calendar != nil {
		s.Burns[len(s.Burns)-1] = l.composedBurn(own, a.counts)
	}
	s.Forecast = o.composedForecast(l.composedCounts, a.budget, s.At)
	s.Alerts = l.ruleStates()
	return s
}

func (l *live) composedBurn(d time.Duration, n Counts) Burn {
	b := Burn{Window: d, Name: FormatDuration(d), Missing: max(n.Span-n.Known, 0), Bad: n.events.bad, Total: n.events.total}
	b.Rate, b.Known = BurnRate(n.Bad(), n.Total, l.objective.Target)
	if p := l.parts()[0]; p != nil {
		if i, ok := p.meter.layout.window(d); ok {
			b.Covers = p.meter.span(i)
		}
	}
	return b
}

// composedStanding is the few numbers of a composite.
func (l *live) composedStanding() Standing {
	o, a := l.objective, l.composedAccount()
	s := Standing{ID: l.id, Objective: o, Total: float64(a.counts.events.total), Remaining: a.budget.RemainingRatio}
	s.SLI, s.SLIKnown = a.counts.composedRatio()
	hour := l.composedCounts(time.Hour)
	s.Burn1h, _ = BurnRate(hour.Bad(), hour.Total, o.Target)
	s.Firing = l.gravest()
	f := l.composedForecast(a.budget)
	s.Exhausts, s.Exhausted = f.At, f.Exhausted
	return s
}

func (l *live) composedForecast(b Budget) Forecast {
	return l.objective.composedForecast(l.composedCounts, b, time.Unix(0, l.meter.asOf).UTC())
}
