package slo

import (
	"slices"
	"strings"
	"time"
)

// Standing is how one objective stands, in the few numbers that lists of many
// objectives are made of: a tenth of the work of a Snapshot.
type Standing struct {
	ID        string
	Objective *Objective
	Team      string
	Total     float64 // events (or slices) of the window
	SLI       float64 // good ÷ total
	SLIKnown  bool    // false without events
	Remaining float64 // share of the budget left; negative when overspent
	Burn1h    float64 // burn rate over one hour; 0 without events
	Firing    string  // gravest severity that fires; empty when quiet
	Exhausts  time.Time
	Exhausted bool // spent already; Exhausts says since when
}

// Hurts reports whether somebody should look: it fires, is spent, or burns
// faster than its budget lasts.
func (s *Standing) Hurts() bool {
	return s.Firing != "" || s.Burn1h > 1 || s.SLIKnown && s.Remaining <= 0
}

// standingBatch is how many objectives are looked at under one lock, so that
// counts need not wait for a list of all.
const standingBatch = 256

// Standings is how the objectives stand as of the last Tick that want accepts,
// in order of ID. Forecasts cost as much as the rest together: without them,
// Exhausts stays zero.
func (e *Engine) Standings(want func(*Objective) bool, forecasts bool) []Standing {
	e.mu.Lock()
	all := slices.Clone(e.order())
	e.mu.Unlock()
	out := make([]Standing, 0, len(all))
	for batch := range slices.Chunk(all, standingBatch) {
		e.mu.Lock()
		for _, l := range batch {
			if e.live[l.id] == l && want(l.objective) {
				out = append(out, l.standing(forecasts))
			}
		}
		e.mu.Unlock()
	}
	return out
}

// condition is what decides whether an objective has something to record.
type condition struct {
	id, key string
	text    string // its budget's level and the rules that fire
	events  bool   // there are any
}

// changed is the condition of the objectives that counted something, or of
// which a window has moved on by a slot, or a rule has turned, since it was last
// asked; in order of ID. Nothing else changes a condition, but for what is
// expected of the rest of a window that is not full, which is looked at by the
// slot too.
func (e *Engine) changed() []condition {
	e.mu.Lock()
	all := slices.Clone(e.order())
	e.mu.Unlock()
	var out []condition
	stirred := map[string]bool{} // parts of composites
	for batch := range slices.Chunk(all, standingBatch) {
		e.mu.Lock()
		for _, l := range batch {
			if e.live[l.id] == l && l.changed && l.peers == nil {
				l.changed = false
				stirred[l.id] = len(e.composites) > 0
				out = append(out, l.condition())
			}
		}
		e.mu.Unlock()
	}
	return e.changedComposites(out, stirred)
}

// changedComposites adds the composites of which a part has changed, or that
// have turned themselves.
func (e *Engine) changedComposites(out []condition, stirred map[string]bool) []condition {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.order()
	before := len(out)
	for _, l := range e.composites {
		if l.changed || slices.ContainsFunc(l.objective.Parts, func(p Part) bool { return stirred[p.ID] }) {
			l.changed = false
			out = append(out, l.condition())
		}
	}
	if len(out) > before {
		slices.SortFunc(out, func(a, b condition) int { return strings.Compare(a.id, b.id) })
	}
	return out
}

func (l *live) condition() condition {
	s := l.standing(false)
	c := condition{id: l.id, key: l.objective.Key(), text: LevelOf(s.Remaining), events: s.Total > 0}
	for i, r := range l.rules {
		if l.firing[i] != nil {
			c.text += "|" + r.Policy.Name + "|" + r.Condition.String()
		}
	}
	return c
}

// Forecast is when one objective's budget is spent, as of the last Tick; the
// zero Forecast for an objective that is not there.
func (e *Engine) Forecast(id string) Forecast {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.live[id]
	if l == nil {
		return Forecast{}
	}
	if l.peers != nil {
		return l.composedForecast(l.composedAccount().budget)
	}
	in, _ := l.budgetInput()
	return l.forecast(l.objective.BudgetOf(in))
}

func (l *live) forecast(b Budget) Forecast {
	return l.objective.Forecast(&l.meter, b, l.objective.scale(), time.Unix(0, l.meter.asOf).UTC())
}

func (l *live) standing(forecasts bool) Standing {
	if l.peers != nil {
		return l.composedStanding()
	}
	o := l.objective
	in, _ := l.budgetInput()
	b := o.BudgetOf(in)
	s := Standing{ID: l.id, Objective: o, Total: float64(in.Seen.Total) / float64(o.scale()), Remaining: b.RemainingRatio}
	s.SLI, s.SLIKnown = in.Seen.Ratio()
	hour := l.counts(time.Hour)
	s.Burn1h, _ = BurnRate(hour.Bad(), hour.Total, o.Target)
	s.Firing = l.gravest()
	if forecasts {
		f := l.forecast(b)
		s.Exhausts, s.Exhausted = f.At, f.Exhausted
	}
	return s
}

// gravest is the gravest severity that fires; empty when quiet.
func (l *live) gravest() string {
	severity := ""
	for _, f := range l.firing {
		if f != nil && (severity == "" || graver(f.Severity, severity)) {
			severity = f.Severity
		}
	}
	return severity
}

// graver reports whether a severity weighs more than another: what pages weighs
// more than anything else, and a ticket more than what is neither.
func graver(a, b string) bool {
	weight := map[string]int{"page": 2, "ticket": 1}
	return weight[a] > weight[b]
}

// standing is a snapshot's few numbers. The team is not the engine's to know.
func (s Snapshot) standing() *Standing {
	out := &Standing{ID: s.ID, Objective: s.Objective, Total: s.Total, SLI: s.SLI, SLIKnown: s.SLIKnown, Remaining: s.Budget.RemainingRatio,
		Burn1h: s.BurnOver(time.Hour), Exhausts: s.Forecast.At, Exhausted: s.Forecast.Exhausted}
	for _, a := range s.Alerts {
		if a.Firing != nil && (out.Firing == "" || graver(a.Severity, out.Firing)) {
			out.Firing = a.Severity
		}
	}
	return out
}
