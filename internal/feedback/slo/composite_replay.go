package slo

import (
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Composed is the composite of a name among objectives, and its parts in order;
// false when there is none.
func Composed(objectives []*Objective, name string) (c *Objective, parts []*Objective, ok bool) {
	for _, c := range Composites(objectives) {
		if len(c.Parts) < 2 || name != c.Name && name != c.ID() {
			continue
		}
		for _, p := range c.Parts {
			parts = append(parts, objectives[slices.IndexFunc(objectives, func(o *Objective) bool { return o.ID() == p.ID })])
		}
		return c, parts, true
	}
	return nil, nil, false
}

// ReplayComposite is Replay of a composite over its parts' histories, one for
// each in order, all in slots of one width.
func ReplayComposite(c *Objective, parts []*Objective, events []*Series, at time.Time) (*Report, error) {
	if findings := c.Check(); len(findings) > 0 {
		return nil, &problem.Error{Kind: problem.Invalid, Op: "slo.replay", Message: "objective " + c.ID() + " is not valid", Findings: findings}
	}
	p := replayed{c: c, parts: parts}
	first, end, err := commonBounds(events)
	if err != nil {
		return nil, err
	}
	if at.IsZero() {
		at = end
	}
	if first.IsZero() || !at.After(first) || at.Sub(first)/events[0].Width() > maxRows {
		return nil, problem.New(problem.Invalid, "slo.replay", "%s is not within the data", at.UTC().Format(time.RFC3339)).
			WithNext("choose --at after %s and up to %s", first.Format(time.RFC3339), end.Format(time.RFC3339))
	}
	now := events[0].start(floorDiv(at.UnixNano()-events[0].phase, events[0].width))
	for i, o := range parts {
		units, err := o.BudgetSeries(events[i].until(at))
		if err != nil {
			return nil, problem.New(problem.Invalid, "slo.replay", "%w", err).WithNext("give data in slots of %s or finer", FormatDuration(o.SliceWindow))
		}
		p.units = append(p.units, units)
	}
	r := p.report(now)
	r.Alerts = c.replayRules(floorDiv(first.UnixNano()-p.units[0].phase, p.units[0].width)*p.units[0].width+p.units[0].phase, now.UnixNano(), p.units[0].width, p.sliding())
	return r, nil
}

func commonBounds(events []*Series) (first, end time.Time, err error) {
	for _, s := range events {
		if s.width != events[0].width || s.phase != events[0].phase {
			return first, end, problem.New(problem.Invalid, "slo.replay", "the parts' data are in slots of %s and %s", events[0].Width(), s.Width()).
				WithNext("give all of them in the same slots")
		}
		if from, to := s.Bounds(); s.Len() > 0 {
			if first.IsZero() || from.Before(first) {
				first = from
			}
			end = latest(end, to)
		}
	}
	return first, end, nil
}

// replayed is a composite over histories of its parts in budget units.
type replayed struct {
	c     *Objective
	parts []*Objective
	units []*Series
}

// compose is what the composite counts of what each part does.
func (p *replayed) compose(of func(units *Series) Counts) Counts {
	counts := make([]Counts, len(p.units))
	for i, u := range p.units {
		counts[i] = of(u)
	}
	return p.c.compose(counts)
}

func (p *replayed) sliding() func(d time.Duration, at int64) Counts {
	sums := map[*Series]func(time.Duration, int64) Counts{}
	for _, u := range p.units {
		sums[u] = u.sliding()
	}
	return func(d time.Duration, at int64) Counts {
		return p.compose(func(u *Series) Counts { return sums[u](d, at) })
	}
}

func (p *replayed) report(now time.Time) *Report {
	c := p.c
	from, to := c.Window.Lookback(now)
	seen, budgets, states := make([]Counts, len(p.parts)), make([]Budget, len(p.parts)), make([]PartState, len(p.parts))
	for i, o := range p.parts {
		budgets[i], seen[i] = o.Budget(p.units[i], now)
		states[i] = c.partState(i, seen[i])
	}
	all := c.compose(seen)
	r := &Report{Objective: c.ID(), Window: c.Window, Target: c.Target, Method: c.Method, At: now, From: from.UTC(), Parts: states,
		Good: Units(all.events.total - all.events.bad), Total: Units(all.events.total), Gaps: all.Span - all.Known}
	if ratio, ok := all.composedRatio(); ok {
		r.SLI = &ratio
	}
	r.Budget = c.composedBudget(budgets, states, to.Sub(from))
	sums := func(d time.Duration) Counts {
		return p.compose(func(u *Series) Counts { return u.Sum(now.Add(-d), now) })
	}
	for _, d := range append(slices.Clone(BurnWindows), 30*24*time.Hour) {
		r.Burn = append(r.Burn, c.rate(FormatDuration(d), sums(d)))
	}
	switch {
	case c.Window.Calendar != nil:
		r.Burn = append(r.Burn, c.rate("window", all))
	case c.Window.Rolling != 30*24*time.Hour && !slices.Contains(BurnWindows, c.Window.Rolling):
		r.Burn = append(r.Burn, c.rate(FormatDuration(c.Window.Rolling), all))
	}
	r.Exhaustion = orNull(c.composedForecast(sums, r.Budget, now).At)
	return r
}
