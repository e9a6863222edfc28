package slo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Report is an objective's state at one moment of a replayed history, and
// every alert up to then. Its JSON is stable.
type Report struct {
	Objective string    `json:"objective"`
	Window    Window    `json:"window"`
	Target    Decimal   `json:"target"`
	Method    Method    `json:"method"`
	At        time.Time `json:"at"`
	From      time.Time `json:"from"`
	// Good and Total are what the window saw: events, or slices.
	Good       Amount           `json:"good"`
	Total      Amount           `json:"total"`
	SLI        *float64         `json:"sli"` // good ÷ total; null without any
	Gaps       int              `json:"gaps"`
	Budget     Budget           `json:"budget"`
	Burn       BurnRates        `json:"burn"`
	Alerts     []ReplayedFiring `json:"alerts"`
	Exhaustion *time.Time       `json:"exhaustion"` // when the budget is or was spent; null: not foreseen
	Early      *time.Time       `json:"exhaustion_early"`
	Late       *time.Time       `json:"exhaustion_late"`
	Parts      []PartState      `json:"parts,omitempty"` // of a composite
}

// ReplayedFiring is one alert from its beginning to its end, if it has ended.
type ReplayedFiring struct {
	Policy    string     `json:"policy"`
	Severity  string     `json:"severity"`
	Fired     time.Time  `json:"fired"`
	Resolved  *time.Time `json:"resolved"` // null while it fires
	Condition string     `json:"condition"`
	Reason    string     `json:"reason"`
}

// BurnRates are burn rates by window, in order; as JSON an object of numbers,
// null where nothing was seen.
type BurnRates []WindowRate

// WindowRate is the burn rate over one window.
type WindowRate struct {
	Name string
	Rate float64
	OK   bool
}

// MarshalJSON writes {"5m": 1.5, …}.
func (b BurnRates) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, w := range b {
		if i > 0 {
			out.WriteByte(',')
		}
		value := []byte("null")
		if w.OK {
			var err error
			if value, err = json.Marshal(w.Rate); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(&out, "%q:%s", w.Name, value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// Replay is what the engine would have said: it runs the objective over a
// history of events up to at, evaluating its alerts at the end of every slot
// (or slice), with the functions that run live. A zero at is the end of the
// history; slots that are not over by then are not known yet.
func Replay(o *Objective, events *Series, at time.Time) (*Report, error) {
	if findings := o.Check(); len(findings) > 0 {
		return nil, &problem.Error{Kind: problem.Invalid, Op: "slo.replay", Message: "objective " + o.ID() + " is not valid", Findings: findings}
	}
	first, end := events.Bounds()
	if at.IsZero() {
		at = end
	}
	if events.Len() == 0 || !at.After(first) {
		return nil, problem.New(problem.Invalid, "slo.replay", "there is no data before %s", at.UTC().Format(time.RFC3339)).
			WithNext("choose --at within the data, which begins at %s", first.Format(time.RFC3339))
	}
	if at.Sub(first)/events.Width() > maxRows {
		return nil, problem.New(problem.Invalid, "slo.replay", "%s is too long after the data begins, %s", at.UTC().Format(time.RFC3339), first.Format(time.RFC3339)).
			WithNext("choose --at within the data, which ends at %s", end.Format(time.RFC3339))
	}
	past := events.until(at)
	now := past.start(floorDiv(at.UnixNano()-past.phase, past.width))
	units, err := o.BudgetSeries(past)
	if err != nil {
		return nil, problem.New(problem.Invalid, "slo.replay", "%w", err).WithNext("give data in slots of %s or finer", FormatDuration(o.SliceWindow))
	}
	r := o.report(units, now)
	r.Alerts = o.replayAlerts(units, time.Time{}, now)
	return r, nil
}

// until is the slots that are over by t.
func (s *Series) until(t time.Time) *Series {
	n := s.search(floorDiv(t.UnixNano()-s.phase, s.width))
	return &Series{width: s.width, phase: s.phase, scale: s.scale, index: s.index[:n], good: s.good[:n+1], total: s.total[:n+1]}
}

func (o *Objective) report(units *Series, now time.Time) *Report {
	from, _ := o.Window.Lookback(now)
	budget, seen := o.Budget(units, now)
	r := &Report{Objective: o.ID(), Window: o.Window, Target: o.Target, Method: o.Method, At: now, From: from.UTC(), Budget: budget,
		Good: amountOf(seen.Good, One, units.scale), Total: amountOf(seen.Total, One, units.scale), Gaps: o.gaps(units, from, now)}
	if ratio, ok := seen.Ratio(); ok {
		r.SLI = &ratio
	}
	for _, d := range append(slices.Clone(BurnWindows), 30*24*time.Hour) {
		r.Burn = append(r.Burn, o.rate(FormatDuration(d), units.Sum(now.Add(-d), now)))
	}
	switch {
	case o.Window.Calendar != nil:
		r.Burn = append(r.Burn, o.rate("window", seen))
	case o.Window.Rolling != 30*24*time.Hour && !slices.Contains(BurnWindows, o.Window.Rolling):
		r.Burn = append(r.Burn, o.rate(FormatDuration(o.Window.Rolling), seen))
	}
	f := o.Forecast(units, budget, units.scale, now)
	r.Exhaustion, r.Early, r.Late = orNull(f.At), orNull(f.Early), orNull(f.Late)
	return r
}

// gaps is the slots of the window, from where the history begins, that did not
// report.
func (o *Objective) gaps(units *Series, from, now time.Time) int {
	first, _ := units.Bounds()
	n := units.Sum(latest(first, from), now)
	return n.Span - n.Known
}

func (o *Objective) rate(name string, n Counts) WindowRate {
	burn, ok := BurnRate(n.Bad(), n.Total, o.Target)
	return WindowRate{name, burn, ok}
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// replayAlerts evaluates every rule at the end of each slot that begins at or
// after from, up to now. What fires at from already fires there.
func (o *Objective) replayAlerts(units *Series, from, now time.Time) []ReplayedFiring {
	if units.Len() == 0 {
		return []ReplayedFiring{}
	}
	end := now.UnixNano()
	at := units.index[0]*units.width + units.phase
	if !from.IsZero() {
		at = max(at, floorDiv(from.UnixNano()-units.phase, units.width)*units.width+units.phase)
	}
	return o.replayRules(at, end, units.width, units.sliding())
}

// sliding sums windows that end at times which only move forward.
func (s *Series) sliding() func(d time.Duration, at int64) Counts {
	var slides []slide
	return func(d time.Duration, at int64) Counts {
		for i := range slides {
			if slides[i].window == int64(d) {
				return s.slideTo(&slides[i], at)
			}
		}
		slides = append(slides, slide{window: int64(d)})
		return s.slideTo(&slides[len(slides)-1], at)
	}
}

// replayRules evaluates every rule at the end of each slot of (at, end].
func (o *Objective) replayRules(at, end, width int64, sumsAt func(d time.Duration, at int64) Counts) []ReplayedFiring {
	out := []ReplayedFiring{}
	sums := func(d time.Duration) Counts { return sumsAt(d, at) }
	rules := o.Rules()
	states := make([]AlertState, len(rules))
	open := make([]int, len(rules))
	for at < end {
		at = min(at+width, end)
		instant := time.Unix(0, at).UTC()
		for i, rule := range rules {
			state, firing := o.Evaluate(rule, states[i], sums, instant)
			states[i] = state
			switch {
			case firing == nil:
			case firing.Resolved.IsZero():
				open[i] = len(out)
				out = append(out, ReplayedFiring{Policy: firing.Policy, Severity: firing.Severity, Fired: firing.Fired, Condition: firing.Condition, Reason: firing.Reason})
			default:
				out[open[i]].Resolved = &firing.Resolved
			}
		}
	}
	return out
}

// slide is a window that only moves forward: its ends are found by going on
// from where they were, rather than by searching.
type slide struct {
	window int64 // nanoseconds
	i, j   int   // positions of the slots at its begin and end
}

// slideTo is Sum over the window that ends at a time, not before the last one.
func (s *Series) slideTo(w *slide, to int64) Counts {
	a, b := floorDiv(to-w.window-s.phase, s.width), floorDiv(to-s.phase+s.width-1, s.width)
	for w.i < len(s.index) && s.index[w.i] < a {
		w.i++
	}
	for w.j < len(s.index) && s.index[w.j] < b {
		w.j++
	}
	return Counts{Good: s.good[w.j] - s.good[w.i], Total: s.total[w.j] - s.total[w.i], Known: w.j - w.i, Span: int(b - a)}
}
