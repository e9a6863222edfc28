package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// chartPoints is about how many points a chart of the past has.
const chartPoints = 240

// heatDays is how many days the heat map shows.
const heatDays = 14

// draw makes the pictures from the counts of the past.
func (s *site) draw(v *visit, b *objectiveBody) error {
	o := b.Objective
	from, _ := o.Window.Lookback(v.now)
	back := from.Add(-max(o.Window.Nominal(), 72*time.Hour))
	if first := v.now.AddDate(0, 0, -heatDays); first.Before(back) {
		back = first
	}
	events, err := s.o.Objectives.Past(v.ctx, b.Key, back, v.now)
	if err != nil || events.Len() == 0 {
		return err
	}
	units, err := o.BudgetSeries(events)
	if err != nil {
		return err
	}
	first, _ := events.Bounds()
	begin := from
	if first.After(begin) {
		begin = first
	}
	b.Heat = heatOf(o, events, v.now)
	b.burnDown(units, begin, v.now)
	b.failures(events, begin, v.now)
	b.burnRates(units, begin, v.now)
	marks, err := v.marks(o.Service, o.Environment, begin)
	b.Down.Marks, b.Failed.Marks = marks, marks
	return err
}

// instants are evenly spaced times of (from, now], on whole slots but the last.
func instants(from, now time.Time, width time.Duration) (out []time.Time, step time.Duration) {
	step = max(width, (now.Sub(from) / chartPoints).Truncate(width))
	for at := from.Truncate(step).Add(step); at.Before(now); at = at.Add(step) {
		out = append(out, at)
	}
	return append(out, now), step
}

// burnDown draws what was left of the budget, as it was known then, and where
// the forecast says it goes.
func (b *objectiveBody) burnDown(units *slo.Series, from, now time.Time) {
	b.Down = chart{ID: "burndown", Title: "Budget left", Unit: "%",
		Caption: "share of the error budget that was left over the objective’s window, and how it goes on at the present burn, with a 90 % band",
		Series: []series{{Name: "left", Kind: "area", Tone: "accent"}, {Name: "forecast", Kind: "dash", Tone: "accent"},
			{Name: "at the earliest", Kind: "low", Tone: "accent"}, {Name: "at the latest", Kind: "high", Tone: "accent"}},
		Lines: []line{{Name: "spent", At: 0, Tone: "bad"}, {Name: "low", At: 50, Tone: "risk"}}}
	add := func(at time.Time, values ...*float64) {
		b.Down.Times = append(b.Down.Times, at)
		for i := range b.Down.Series {
			b.Down.Series[i].Values = append(b.Down.Series[i].Values, values[i])
		}
	}
	times, _ := instants(from, now, units.Width())
	for _, at := range times[:len(times)-1] {
		budget, _ := b.Objective.Budget(units, at)
		add(at, value(100*budget.RemainingRatio), nil, nil, nil)
	}
	present := 100 * b.Budget.RemainingRatio
	f := b.Forecast
	if f.Exhausted || f.Early.IsZero() && f.At.IsZero() {
		add(now, value(present), nil, nil, nil)
		b.Down.Series = b.Down.Series[:1]
		return
	}
	add(now, value(present), value(present), value(present), value(present))
	horizon := ahead(f, now, now.Sub(from))
	const steps = 24
	for i := 1; i <= steps; i++ {
		at := now.Add(horizon * time.Duration(i) / steps)
		add(at, nil, value(towards(present, now, f.At, at)), value(towards(present, now, f.Early, at)), value(towards(present, now, f.Late, at)))
	}
}

// ahead is how far a forecast is drawn: to where it ends, and no further than
// half of what lies behind.
func ahead(f slo.Forecast, now time.Time, behind time.Duration) time.Duration {
	last := slices.MaxFunc([]time.Time{f.Early, f.At, f.Late}, time.Time.Compare)
	return max(min(last.Sub(now), behind/2), time.Hour)
}

// towards is a straight way from what is left now to nothing at the end, level
// without an end.
func towards(left float64, now, end, at time.Time) float64 {
	if end.IsZero() {
		return left
	}
	return math.Max(0, left*(1-at.Sub(now).Seconds()/math.Max(1, end.Sub(now).Seconds())))
}

// failures draws the indicator: the share of bad events, beside what the
// objective allows.
func (b *objectiveBody) failures(events *slo.Series, from, now time.Time) {
	zero, allowed := 0.0, 100*b.Objective.BudgetRatio().Float64()
	b.Failed = chart{ID: "indicator", Title: "Bad events, and what was rolled out", Unit: "%", Min: &zero,
		Caption: "share of bad events over the objective’s window, with rollouts as marks",
		Series:  []series{{Name: "bad", Kind: "area", Tone: "accent"}}, Lines: []line{{Name: "allowed " + percent(allowed/100, 0), At: allowed, Tone: "bad"}}}
	times, step := instants(from, now, events.Width())
	for _, at := range times {
		n := events.Sum(at.Add(-step), at)
		var bad *float64
		if ratio, ok := n.Ratio(); ok {
			bad = value(100 * (1 - ratio))
		}
		b.Failed.Times, b.Failed.Series[0].Values = append(b.Failed.Times, at), append(b.Failed.Series[0].Values, bad)
	}
}

// burnFloor is the least burn rate that a logarithmic axis shows.
const burnFloor = 0.1

// burnRates draws the burn rates of the rules' long windows against their
// thresholds.
func (b *objectiveBody) burnRates(units *slo.Series, from, now time.Time) {
	kinds := []struct{ kind, tone string }{{"line", "accent"}, {"line", "idle"}, {"dash", "accent"}, {"dash", "idle"}}
	b.Burning = chart{ID: "burn", Title: "Over the windows that alerts look at", Unit: "×", Log: true, Caption: "burn rate over each window that an alert looks at, with the thresholds at which alerts fire"}
	low := math.Log10(burnFloor)
	b.Burning.Min = &low
	var windows []time.Duration
	for _, r := range b.Objective.Rules() {
		c := r.Condition
		if !slices.Contains(windows, c.Long) && len(windows) < len(kinds) {
			windows = append(windows, c.Long)
		}
		name := fmt.Sprintf("%s %s×, %s", r.Policy.Name, number(c.Factor.Float64()), slo.FormatDuration(c.Long))
		b.Burning.Lines = append(b.Burning.Lines, line{Name: name, At: math.Log10(c.Factor.Float64()), Tone: map[string]string{"page": "bad"}[r.Policy.Severity]})
	}
	if len(windows) == 0 {
		b.Burning = chart{}
		return
	}
	slices.Sort(windows)
	for i, w := range windows {
		b.Burning.Series = append(b.Burning.Series, series{Name: slo.FormatDuration(w), Kind: kinds[i].kind, Tone: kinds[i].tone, Named: true})
	}
	for i := range b.Burning.Lines {
		b.Burning.Lines[i].Tone = cmp.Or(b.Burning.Lines[i].Tone, "risk")
	}
	b.Burning.Times, _ = instants(from, now, units.Width())
	for _, at := range b.Burning.Times {
		for i, w := range windows {
			n := units.Sum(at.Add(-w), at)
			rate, known := slo.BurnRate(n.Bad(), n.Total, b.Objective.Target)
			var v *float64
			if known {
				v = value(math.Log10(math.Max(rate, burnFloor)))
			}
			b.Burning.Series[i].Values = append(b.Burning.Series[i].Values, v)
		}
	}
}

// heatOf is the burn of each hour of the last days. An hour is a gap when
// nothing reported in it, which is not the same as an hour without events.
func heatOf(o *slo.Objective, events *slo.Series, now time.Time) heat {
	var out heat
	today := now.UTC().Truncate(24 * time.Hour)
	first, _ := events.Bounds()
	// The proxy says nothing of minutes without requests.
	proxied := o.Indicator.Kind == slo.Availability || o.Indicator.Kind == slo.Latency
	for d := heatDays - 1; d >= 0; d-- {
		day := heatDay{Day: today.AddDate(0, 0, -d)}
		for h := range day.Hours {
			at := day.Day.Add(time.Duration(h) * time.Hour)
			n := events.Sum(at, minTime(at.Add(time.Hour), now))
			cell := heatHour{At: at, Bad: n.Bad(), Total: n.Total, Outside: !at.Before(now) || !at.Add(time.Hour).After(first)}
			if !proxied {
				cell.Missing, cell.Gap = n.Span-n.Known, n.Known == 0
			}
			cell.Burn, _ = slo.BurnRate(n.Bad(), n.Total, o.Target)
			day.Hours[h] = cell
			out.Gaps = out.Gaps || cell.Gap && !cell.Outside
		}
		out.Days = append(out.Days, day)
	}
	return out
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// trial replays the past under a proposal.
func (s *site) trial(v *visit, key string, in slo.PreviewInput) (trialBody, error) {
	b := trialBody{Key: key}
	var err error
	if b.Result, err = s.o.Objectives.Preview(v.ctx, in); err != nil {
		return b, err
	}
	p := b.Result.Proposed
	b.Target = strings.TrimSuffix(p.Target, "%")
	b.Window = p.Window
	b.Asked = p.Target != b.Result.Present.Target || p.Window != b.Result.Present.Window
	b.Windows = []string{"1d", "7d", "14d", "28d", "30d", "90d"}
	for _, w := range []string{b.Result.Present.Window, b.Window} {
		if !slices.Contains(b.Windows, w) {
			b.Windows = append(b.Windows, w)
		}
	}
	var target float64
	// What the operation wrote can be read; else the slider begins at its left.
	_, _ = fmt.Sscanf(b.Target, "%f", &target)
	b.Nines = math.Round(-100*math.Log10(math.Max(1e-5, 1-target/100))) / 100
	b.Lead, b.Curve = trialLead(b.Result, b.Asked), trialCurve(b.Result, b.Asked)
	return b, nil
}

// trialLead says what a proposal would have meant.
func trialLead(p slo.Preview, asked bool) string {
	says := func(t slo.Trial) string {
		return fmt.Sprintf("%s and %s", plural(t.Pages, "page", "pages"), plural(t.Tickets, "ticket", "tickets"))
	}
	over := span(p.At.Sub(p.From))
	if !asked {
		return fmt.Sprintf("As it is, the last %s brought %s, and %s of the budget is left. Choose another target or window to see what it would have meant.", over, says(p.Present), share(p.Present.Remaining))
	}
	return fmt.Sprintf("At %s over %s, %s of the budget would be left, and the last %s would have brought %s; as it is, %s is left, and there were %s.",
		strings.Replace(p.Proposed.Target, "%", " %", 1), strings.Replace(p.Proposed.Window, "d", " d", 1), share(p.Proposed.Remaining), over, says(p.Proposed), share(p.Present.Remaining), says(p.Present))
}

// trialCurve draws both budgets.
func trialCurve(p slo.Preview, asked bool) chart {
	c := chart{ID: "preview", Title: "Budget left, as proposed and as it is", Unit: "%", Caption: "share of the budget that was left over the last days, as proposed and as it is",
		Series: []series{{Name: "proposed", Kind: "area", Tone: "accent"}, {Name: "as it is", Kind: "dash", Tone: "idle"}},
		Lines:  []line{{Name: "spent", At: 0, Tone: "bad"}}}
	if !asked {
		c.Title, c.Series = "Budget left, as it is", []series{{Name: "as it is", Kind: "area", Tone: "idle"}}
	}
	for i, l := range p.Present.Curve {
		c.Times = append(c.Times, l.At)
		if asked && i < len(p.Proposed.Curve) {
			c.Series[0].Values = append(c.Series[0].Values, value(100*p.Proposed.Curve[i].Remaining))
			c.Series[1].Values = append(c.Series[1].Values, value(100*l.Remaining))
		} else {
			c.Series[0].Values = append(c.Series[0].Values, value(100*l.Remaining))
		}
	}
	return c
}
