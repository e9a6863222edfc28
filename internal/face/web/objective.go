package web

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type objectiveBody struct {
	slo.Snapshot
	Key    string
	Team   string
	Lead   string
	Level  string
	Status slo.Status
	Past   []slo.AlertChanged
	Gauges []gauge
	Down   chart
	Heat   heat
}

func (s *site) objective(v *visit) (page, error) {
	key := v.PathValue("name")
	if s.o.Objectives == nil {
		return page{}, problem.New(problem.NotFound, "slo.show", "this server measures no objectives")
	}
	o, err := s.o.Objectives.Snapshot(key)
	if err != nil {
		return page{}, err
	}
	b := objectiveBody{Snapshot: o, Key: key, Level: slo.LevelOf(o.Budget.RemainingRatio)}
	teams, err := v.teams()
	if err != nil {
		return page{}, err
	}
	b.Team = teams[o.Objective.Service]
	if b.Status, _, err = projection.Get[slo.Status](v.ctx, v.reader, slo.ProjectionName, key); err != nil {
		return page{}, err
	}
	b.Past = newest(b.Status.Past)
	b.Lead = objectiveLead(o, v.now)
	if v.past {
		b.Lead = notKept
	}
	b.Gauges = gauges(o)
	if err := s.draw(v, &b); err != nil {
		return page{}, err
	}
	return page{Template: "objective", Title: key, Section: "objectives", Body: b, Charts: true, Every: 30, Live: "budget.,alert.,rollout.started,rollout.finished"}, nil
}

// objectiveLead answers how much is left, and how long it lasts.
func objectiveLead(o slo.Snapshot, now time.Time) string {
	what := fmt.Sprintf("%s of %s in %s", o.Objective.Name, o.Objective.Service, o.Objective.Environment)
	leftText := share(o.Budget.RemainingRatio)
	switch f := o.Forecast; {
	case !o.SLIKnown:
		return sentence("nothing has been measured for " + what)
	case f.Exhausted:
		return sentence(fmt.Sprintf("the budget for %s has been spent for %s; %s is left", what, ago(now, f.At), leftText))
	case !f.At.IsZero():
		return sentence(fmt.Sprintf("%s of the budget for %s is left; at this rate it is spent in %s", leftText, what, span(f.At.Sub(now))))
	}
	return sentence(fmt.Sprintf("%s of the budget for %s is left, and it will last", leftText, what))
}

// gauges are the burn rates of each window against the lowest threshold that
// an alert has for it.
func gauges(o slo.Snapshot) []gauge {
	lowest := map[time.Duration]float64{}
	for _, p := range o.Objective.AlertPolicies {
		for _, c := range p.Conditions {
			for _, w := range []time.Duration{c.Long, c.Short} {
				if f := c.Factor.Float64(); w > 0 && (lowest[w] == 0 || f < lowest[w]) {
					lowest[w] = f
				}
			}
		}
	}
	var out []gauge
	for i, b := range o.Burns {
		if slices.ContainsFunc(o.Burns[:i], func(c slo.Burn) bool { return c.Window == b.Window }) {
			continue // the objective's own window is one of those always shown
		}
		g := gauge{Window: b.Name, Rate: b.Rate, Known: b.Known, Threshold: lowest[b.Window], Bad: b.Bad, Total: b.Total}
		g.Over = g.Known && g.Threshold > 0 && g.Rate > g.Threshold
		out = append(out, g)
	}
	return out
}

// heatDays is how many days the heat map shows.
const heatDays = 14

// draw makes the burn-down and the heat map from the counts of the past.
func (s *site) draw(v *visit, b *objectiveBody) error {
	if v.past {
		return nil
	}
	o := b.Objective
	hours, err := s.sums(v.ctx, o, time.Hour, v.now.AddDate(0, 0, -heatDays), v.now)
	if err != nil || len(hours) == 0 {
		return err
	}
	b.Heat = heatOf(o, hours, v.now)
	from, width := b.Window.From, time.Hour
	if v.now.Sub(from) <= 48*time.Hour {
		width = time.Minute
	}
	back := from
	if o.Window.Calendar == nil {
		back = from.Add(-o.Window.Rolling)
	}
	counts, err := s.sums(v.ctx, o, width, back, v.now)
	if err != nil || len(counts) == 0 {
		return err
	}
	b.burnDown(counts, width, from, v.now)
	b.Down.Marks, err = v.marks(o.Service, o.Environment, from)
	return err
}

// burnDown draws what was left of today's allowance over the window, and
// where the forecast says it goes.
func (b *objectiveBody) burnDown(counts map[int64]tally, width time.Duration, from, now time.Time) {
	allowed := b.Budget.Allowed.Float64()
	if allowed <= 0 {
		return
	}
	b.Down = chart{ID: "burndown", Title: "Budget left", Unit: "%", Caption: "share of the error budget that was left, over the objective's window",
		Series: []series{{Name: "left", Kind: "area", Tone: "accent"}, {Name: "forecast", Kind: "dash", Tone: "accent"}},
		Lines:  []line{{Name: "spent", At: 0, Tone: "bad"}, {Name: "low", At: 50, Tone: "risk"}}}
	sums := prefix(counts, width)
	step := max(width, now.Sub(from)/240).Truncate(width)
	first := sums.numbers[0] * sums.width
	add := func(at time.Time, left, forecast *float64) {
		b.Down.Times = append(b.Down.Times, at)
		b.Down.Series[0].Values = append(b.Down.Series[0].Values, left)
		b.Down.Series[1].Values = append(b.Down.Series[1].Values, forecast)
	}
	for at := from.Truncate(width); at.Before(now); at = at.Add(step) {
		if at.Unix() < first {
			continue
		}
		start := from
		if b.Objective.Window.Calendar == nil {
			start = at.Add(-b.Objective.Window.Rolling)
		}
		add(at, value(100*(1-float64(sums.between(start, at))/allowed)), nil)
	}
	present := value(100 * b.Budget.RemainingRatio)
	if f := b.Forecast; !f.Exhausted && !f.At.IsZero() && f.At.Sub(now) < now.Sub(from) {
		add(now, present, present)
		add(f.At, nil, value(0))
		return
	}
	add(now, present, nil)
}

// sums are running totals of bad events by span.
type sums struct {
	width   int64   // of a span, in seconds
	numbers []int64 // of the spans, rising
	bad     []int64 // up to and including the span
}

func prefix(counts map[int64]tally, width time.Duration) sums {
	s := sums{width: int64(width.Seconds())}
	var total int64
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		total += counts[n].Bad
		s.numbers, s.bad = append(s.numbers, n), append(s.bad, total)
	}
	return s
}

// before is the bad events of all spans that begin before t.
func (s sums) before(t time.Time) int64 {
	i, _ := slices.BinarySearch(s.numbers, (t.Unix()+s.width-1)/s.width)
	if i == 0 {
		return 0
	}
	return s.bad[i-1]
}

func (s sums) between(from, to time.Time) int64 { return s.before(to) - s.before(from) }

func heatOf(o *slo.Objective, hours map[int64]tally, now time.Time) heat {
	var out heat
	today := now.UTC().Truncate(24 * time.Hour)
	for d := heatDays - 1; d >= 0; d-- {
		day := heatDay{Day: today.AddDate(0, 0, -d)}
		for h := range day.Hours {
			at := day.Day.Add(time.Duration(h) * time.Hour)
			t := hours[at.Unix()/3600]
			cell := heatHour{At: at, Bad: t.Bad, Total: t.Total}
			cell.Burn, _ = slo.BurnRate(t.Bad, t.Total, o.Target)
			day.Hours[h] = cell
		}
		out.Days = append(out.Days, day)
	}
	return out
}
