package slo

import (
	"iter"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Snapshot is the state of one objective at one moment, with what explains it.
type Snapshot struct {
	ID        string
	Objective *Objective
	At        time.Time
	Window    Span    // what the objective's own window covers
	Good      float64 // events (or slices) of the window
	Total     float64
	Known     int // slots of the window that reported, of Span
	Span      int
	SLI       float64 // good ÷ total
	SLIKnown  bool    // false without events
	Burns     []Burn  // BurnWindows, then the objective's own window
	Budget    Budget
	Recovers  time.Time // of a spent budget: when some of it is left again if nothing more fails; zero otherwise
	Forecast  Forecast
	Alerts    []RuleStatus
	Agreement *AgreementState // nil without an SLA
	Parts     []PartState     // of a composite
	Raw       *RawAccount     // where something does not count: as if it did
}

// RawAccount is the window's account of what was counted, without exclusions
// and corrections.
type RawAccount struct {
	Good   float64 `json:"good"`
	Total  float64 `json:"total"`
	SLI    float64 `json:"sli"`
	Budget Budget  `json:"budget"`
}

// Burn is the burn rate over one window.
type Burn struct {
	Window  time.Duration
	Name    string // 5m, 1h, 30d
	Rate    float64
	Known   bool // false without events
	Bad     int64
	Total   int64
	Covers  Span // what the sum covers: the window, or up to one slot more
	Missing int  // slots that did not report
}

// RuleStatus is what one condition of an alert policy does now, and why.
type RuleStatus struct {
	Policy    string
	Severity  string
	Condition string
	Holding   Holding
	Reason    string  // of one that fires, or that the floor of evidence holds back
	Firing    *Firing // nil: it is quiet
}

// Firing is the first firing rule of a severity; nil when none fires.
func (s *Snapshot) Firing(severity string) *Firing {
	for _, a := range s.Alerts {
		if a.Firing != nil && a.Severity == severity {
			return a.Firing
		}
	}
	return nil
}

// Snapshot is the state of one objective as of the last Tick.
func (e *Engine) Snapshot(id string) (Snapshot, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[id]
	if !ok {
		return Snapshot{}, problem.New(problem.NotFound, "slo.show", "there is no objective %q", id).
			WithNext("flyball slo list shows the objectives")
	}
	return l.snapshot(id), nil
}

// Snapshots is the state of every objective, in order of ID. The engine is
// locked for one objective at a time.
func (e *Engine) Snapshots() iter.Seq[Snapshot] {
	e.mu.Lock()
	all := slices.Clone(e.order())
	e.mu.Unlock()
	return func(yield func(Snapshot) bool) {
		for _, l := range all {
			if s, err := e.Snapshot(l.id); err == nil && !yield(s) {
				return
			}
		}
	}
}

func (l *live) snapshot(id string) Snapshot {
	if l.peers != nil {
		return l.composedSnapshot()
	}
	o, scale := l.objective, l.objective.scale()
	s := Snapshot{ID: id, Objective: o, At: time.Unix(0, l.meter.asOf).UTC()}
	for _, d := range BurnWindows {
		if i, ok := l.meter.layout.window(d); ok {
			s.Burns = append(s.Burns, l.burn(i))
		}
	}
	s.Burns = append(s.Burns, l.burn(l.own))
	in, window := l.budgetInput()
	if o.Window.Calendar != nil {
		own := &s.Burns[len(s.Burns)-1]
		own.Rate, own.Known = BurnRate(in.Seen.Bad(), in.Seen.Total, o.Target)
		own.Bad, own.Total, own.Covers = in.Seen.Bad()/scale, in.Seen.Total/scale, window
		own.Missing = max(in.Seen.Span-in.Seen.Known, 0)
	}
	s.Window, s.Known, s.Span = window, in.Seen.Known, in.Seen.Span
	s.Good, s.Total = float64(in.Seen.Good)/float64(scale), float64(in.Seen.Total)/float64(scale)
	s.SLI, s.SLIKnown = in.Seen.Ratio()
	s.Budget = o.BudgetOf(in)
	s.Recovers = l.recovers(s.Budget, s.At)
	s.Forecast = o.Forecast(&l.meter, s.Budget, scale, s.At)
	s.Agreement = o.agreement(in, s.Budget, &l.meter, scale, s.At)
	s.Alerts = l.ruleStates()
	return s
}

// ruleStates is what each rule does now.
func (l *live) ruleStates() []RuleStatus {
	var out []RuleStatus
	o := l.objective
	for i, r := range l.rules {
		status := RuleStatus{r.Policy.Name, r.Policy.Severity, r.Condition.String(), r.Weigh(o.Target, l.counts), "", l.firing[i]}
		switch {
		case status.Firing != nil:
			status.Reason = status.Firing.Reason
		case status.Holding == Floored:
			status.Reason = o.explainFiring(r, l.counts).Reason + ": held back, as fewer are no evidence"
		}
		out = append(out, status)
	}
	return out
}

func (l *live) burn(w int) Burn {
	d := time.Duration(l.meter.layout.windows[w].length)
	n, scale := l.meter.counts(w), l.objective.scale()
	b := Burn{Window: d, Name: FormatDuration(d), Bad: (n.Bad() + scale/2) / scale, Total: n.Total / scale,
		Covers: l.meter.span(w), Missing: max(n.Span-n.Known, 0)}
	b.Rate, b.Known = BurnRate(n.Bad(), n.Total, l.objective.Target)
	return b
}

// recovers is when a spent budget has something left again if nothing more
// fails and traffic stays as it is: for a calendar window its reset, else when
// enough of the bad units have left the window, slot by slot.
func (l *live) recovers(b Budget, now time.Time) time.Time {
	over := -b.Remaining.Float64() * float64(l.objective.scale())
	if over < 0 || b.Spent.IsZero() {
		return time.Time{}
	}
	if l.objective.Window.Calendar != nil {
		_, end := l.objective.Window.Lookback(now)
		return end
	}
	w := &l.meter.layout.windows[l.own]
	t := &l.meter.layout.tiers[w.tier]
	gone := int64(0)
	for j := l.meter.layout.tail(w, l.meter.asOf); j <= t.head(l.meter.asOf); j++ {
		if gone += l.meter.cells.get(t.cell(j)).bad; float64(gone) > over {
			return time.Unix(0, (j+1)*t.width+w.length).UTC()
		}
	}
	return time.Time{}
}

// budgetInput is the live form of Objective.Budget.
func (l *live) budgetInput() (BudgetInput, Span) {
	now := time.Unix(0, l.meter.asOf).UTC()
	recent := l.meter.counts(l.own)
	from, to := l.objective.Window.Lookback(now)
	in := BudgetInput{Seen: recent, Scale: l.objective.scale(), Length: to.Sub(from)}
	window := l.meter.span(l.own)
	if p := l.meter.period; p != nil {
		window = Span{from, now}
		slots := (l.meter.asOf - p.from) / l.meter.layout.tiers[0].width
		in.Seen = Counts{Good: p.sum.total - p.sum.bad, Total: p.sum.total, Known: int(p.sum.known), Span: int(slots)}
	}
	if first := time.Unix(0, l.first); l.first != 0 && first.Before(now) {
		in.Elapsed = now.Sub(latest(first, from))
		in.Recent, in.RecentIn = recent.Total, now.Sub(latest(first, now.Add(-l.objective.Window.Nominal())))
	}
	return in, window
}
