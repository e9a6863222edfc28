package slo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ReportInput asks how objectives were kept over one calendar period.
type ReportInput struct {
	Service     string `json:"service" doc:"of this service; a service or a team is needed"`
	Team        string `json:"team" doc:"of this team's services"`
	Environment string `json:"environment" doc:"in this environment only"`
	Period      string `json:"period" doc:"calendar period: 2026, 2026-Q3, 2026-10 or 2026-W41 (default: this month)"`
	Zone        string `json:"zone" doc:"time zone whose clocks bound the period, such as Europe/Vienna (default: UTC)"`
	After       string `json:"after" doc:"cursor from the page before"`
	Limit       int    `json:"limit" doc:"at most this many objectives, 1 to 1000 (default 100)"`
}

// PeriodReport is how objectives were kept over one calendar period.
type PeriodReport struct {
	Period string       `json:"period"`
	Zone   string       `json:"zone"`
	From   time.Time    `json:"from"`
	To     time.Time    `json:"to" doc:"end, exclusive"`
	At     time.Time    `json:"at" doc:"what was known at this moment; before the end, the period is not over"`
	Items  []PeriodLine `json:"items" doc:"an objective each, in order of key"`
	Next   string       `json:"next,omitempty" doc:"cursor of the next page, for after; absent at the end"`
	// Composites among them have no events of their own.
	Composites []string `json:"composites,omitempty" doc:"left out of items: their parts are reported"`
	// Neighbours, for who looks further.
	Before string `json:"before" doc:"period before this one"`
	Later  string `json:"later,omitempty" doc:"period after this one, if it has begun"`
}

// PeriodLine is how one objective was kept.
type PeriodLine struct {
	Objective       string   `json:"objective"`
	Service         string   `json:"service"`
	Environment     string   `json:"environment"`
	Team            string   `json:"team"`
	Unit            string   `json:"unit" doc:"what is counted: event or slice"`
	Target          float64  `json:"target" doc:"share of good promised"`
	Achieved        *float64 `json:"achieved" doc:"share of good; none without events"`
	Met             bool     `json:"met" doc:"achieved is at least the target; without events it is"`
	Good            float64  `json:"good" doc:"events, or slices"`
	Bad             float64  `json:"bad" doc:"events, or slices"`
	Total           float64  `json:"total" doc:"events, or slices"`
	Allowed         float64  `json:"allowed" doc:"bad ones that the whole period allows"`
	BudgetSpent     float64  `json:"budget_spent" doc:"share of what is allowed; above 1 is overspent"`
	BadMinutes      int      `json:"bad_minutes" doc:"minutes whose own share of good was below the target"`
	KnownMinutes    int      `json:"known_minutes" doc:"minutes that reported"`
	Minutes         int      `json:"minutes" doc:"minutes of the period until now"`
	Incidents       int      `json:"incidents" doc:"that began in the period"`
	IncidentMinutes float64  `json:"incident_minutes" doc:"of the period with an open incident; those that overlap count each"`
	WorstDay        string   `json:"worst_day,omitempty" doc:"day, in the zone, with the most bad ones; none without any"`
	WorstDaySpent   float64  `json:"worst_day_spent" doc:"share of the period's budget spent on that day"`
}

// Header names the columns.
func (PeriodReport) Header() []string {
	return []string{"OBJECTIVE", "TARGET", "ACHIEVED", "SPENT", "BAD", "BAD MIN", "INCIDENTS", "WORST DAY", "MET"}
}

// Rows are the lines.
func (r PeriodReport) Rows() [][]string {
	var out [][]string
	for _, l := range r.Items {
		achieved, met := "–", "yes"
		if l.Achieved != nil {
			achieved = fmt.Sprintf("%.4f %%", 100**l.Achieved)
		}
		if !l.Met {
			met = "no"
		}
		out = append(out, []string{l.Objective, fmt.Sprintf("%g %%", round(100*l.Target, 7)), achieved, fmt.Sprintf("%.1f %%", 100*l.BudgetSpent),
			Scaled(l.Bad), fmt.Sprint(l.BadMinutes), fmt.Sprint(l.Incidents), l.WorstDay, met})
	}
	return out
}

// Tell is the period in a line.
func (r PeriodReport) Tell() string {
	over := ""
	if r.At.Before(r.To) {
		over = ", not over yet"
	}
	text := fmt.Sprintf("%s in %s%s: %s", r.Period, r.Zone, over, plural(len(r.Items), "objective"))
	if len(r.Composites) > 0 {
		text += "; by their parts: " + strings.Join(r.Composites, ", ")
	}
	return text
}

// Report tells how the objectives of a service or team were kept.
func (w *Watcher) Report(ctx context.Context, in ReportInput) (PeriodReport, error) {
	if in.Service == "" && in.Team == "" {
		return PeriodReport{}, problem.New(problem.Invalid, "slo.report", "a report is of a service or of a team").WithNext("add --service or --team")
	}
	now := w.engine.Now().UTC()
	p, err := ParsePeriod(in.Period, in.Zone, now)
	if err != nil {
		return PeriodReport{}, err
	}
	out := PeriodReport{Period: p.Name, Zone: p.Calendar.Start.Location().String(), From: p.From, To: p.To, At: now, Items: []PeriodLine{}, Before: p.Neighbour(-1)}
	if p.To.Before(now) {
		out.Later = p.Neighbour(1)
	}
	l, err := w.List(ListInput{Service: in.Service, Team: in.Team, Environment: in.Environment, After: in.After, Limit: in.Limit})
	if err != nil {
		return out, err
	}
	if l.Chosen.Objectives == 0 {
		return out, problem.New(problem.NotFound, "slo.report", "there is no such objective").WithNext("flyball slo list shows the objectives")
	}
	out.Next = l.Next
	for i := range l.Standings {
		if l.Standings[i].Objective.composite() {
			out.Composites = append(out.Composites, l.Standings[i].Objective.Key())
			continue
		}
		line, err := w.reported(ctx, &l.Standings[i], p, now)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, line)
	}
	return out, nil
}

// reported is one objective over a period, as known at now.
func (w *Watcher) reported(ctx context.Context, s *Standing, p Period, now time.Time) (PeriodLine, error) {
	end := p.To
	if now.Before(end) {
		end = now
	}
	events, err := w.Adjusted(ctx, s.Objective.Key(), p.From, end)
	if err != nil {
		return PeriodLine{}, err
	}
	l, err := s.Objective.over(events, p, end)
	if err != nil {
		return l, err
	}
	l.Team = s.Team
	if w.Incidents == nil {
		return l, nil
	}
	incidents, err := w.Incidents(ctx, l.Service, l.Environment)
	for _, i := range incidents {
		ended := end
		if !i.End.IsZero() && i.End.Before(end) {
			ended = i.End
		}
		if !i.Start.Before(p.From) && i.Start.Before(end) {
			l.Incidents++
		}
		if began := latest(i.Start, p.From); began.Before(ended) {
			l.IncidentMinutes = round(l.IncidentMinutes+ended.Sub(began).Minutes(), 1)
		}
	}
	return l, err
}

// over is how a history kept the objective in a period, up to end. The budget
// is that of the same objective with the period as its calendar window.
func (o *Objective) over(events *Series, p Period, end time.Time) (PeriodLine, error) {
	whole := *o
	whole.Window = Window{Calendar: &p.Calendar}
	units, err := whole.BudgetSeries(events)
	if err != nil {
		return PeriodLine{}, problem.New(problem.Invalid, "slo.report", "%s: %w", o.Key(), err)
	}
	budget, seen := whole.Budget(units, end)
	scale := float64(units.Scale())
	l := PeriodLine{Objective: o.Key(), Service: o.Service, Environment: o.Environment, Unit: "event", Target: o.Target.Float64(), Met: true,
		Good: float64(seen.Good) / scale, Bad: float64(seen.Bad()) / scale, Total: float64(seen.Total) / scale, Allowed: budget.Allowed.Float64(),
		Minutes: int(end.Sub(p.From) / time.Minute)}
	if o.sliced() {
		l.Unit = "slice"
	}
	if ratio, ok := seen.Ratio(); ok {
		l.Achieved, l.Met = &ratio, compareBurn(seen.Bad(), seen.Total, One, o.Target) <= 0
	}
	if l.Allowed > 0 {
		l.BudgetSpent = l.Bad / l.Allowed
	}
	for slot := range events.Slots() {
		l.KnownMinutes++
		if bad := slot.Total - slot.Good; bad > 0 && compareBurn(bad, slot.Total, One, o.Target) > 0 {
			l.BadMinutes++
		}
	}
	worst := int64(0)
	days := p.Days()
	for i := range days[:len(days)-1] {
		if bad := units.Sum(days[i], days[i+1]).Bad(); bad > worst {
			worst, l.WorstDay = bad, days[i].Format(time.DateOnly)
		}
	}
	if l.Allowed > 0 {
		l.WorstDaySpent = float64(worst) / scale / l.Allowed
	}
	return l, nil
}

// round keeps so many decimals.
func round(x float64, decimals int) float64 {
	factor := 1.0
	for range decimals {
		factor *= 10
	}
	return float64(int64(x*factor+0.5)) / factor
}

// Worst is the lines in order of what they spent of their budgets, most first.
func (r PeriodReport) Worst() []PeriodLine {
	out := slices.Clone(r.Items)
	slices.SortStableFunc(out, func(a, b PeriodLine) int {
		if a.BudgetSpent != b.BudgetSpent {
			if a.BudgetSpent > b.BudgetSpent {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Objective, b.Objective)
	})
	return out
}
