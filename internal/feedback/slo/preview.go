package slo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// PreviewInput proposes another target or window for an objective.
type PreviewInput struct {
	Objective string `json:"objective" arg:"1" doc:"key of the objective, such as checkout.prod.availability"`
	Target    string `json:"target" doc:"proposed target, such as 99.95%; the present one if empty"`
	Window    string `json:"window" doc:"proposed rolling window, 1d to 90d, such as 28d; the present one if empty"`
}

// previewed is how far back a preview looks for alerts.
const previewed = 30 * 24 * time.Hour

// maxPreviewWindow bounds the history that a preview reads.
const maxPreviewWindow = 90 * 24 * time.Hour

// Preview is recorded history under a proposed objective, beside the present
// one. Both are replayed by the functions that run live.
type Preview struct {
	Objective string    `json:"objective"`
	From      time.Time `json:"from" doc:"begin of what was replayed; later where history begins later"`
	At        time.Time `json:"at"`
	Present   Trial     `json:"present"`
	Proposed  Trial     `json:"proposed"`
}

// Trial is one way to look at a history.
type Trial struct {
	Target    string    `json:"target"`
	Window    string    `json:"window"`
	SLI       float64   `json:"sli" doc:"share of good in the window; 1 without events"`
	Good      float64   `json:"good" doc:"events, or slices, of the window"`
	Total     float64   `json:"total" doc:"events, or slices, of the window"`
	Allowed   float64   `json:"allowed" doc:"bad events, or slices, that the window allows"`
	Spent     float64   `json:"spent" doc:"bad events, or slices, of the window"`
	Remaining float64   `json:"remaining" doc:"share of the budget left; negative when overspent"`
	Exhausts  time.Time `json:"exhausts,omitzero" doc:"when the budget is spent at the present burn, or was"`
	Overspent float64   `json:"overspent_seconds" doc:"time of the last 30 days in which nothing was left of the budget"`
	Pages     int       `json:"pages" doc:"alerts that page which would have fired in the last 30 days"`
	Tickets   int       `json:"tickets" doc:"other alerts that would have fired in the last 30 days"`
	Alerts    []Fired   `json:"alerts" doc:"each of them, oldest first"`
	Curve     []Left    `json:"curve" table:"-" doc:"what was left of the budget over the last 30 days"`
}

// Fired is an alert that would have fired.
type Fired struct {
	Policy   string    `json:"policy"`
	Severity string    `json:"severity"`
	Fired    time.Time `json:"fired"`
	Resolved time.Time `json:"resolved,omitzero" doc:"none while it fires"`
	Reason   string    `json:"reason"`
}

// Left is what was left of a budget at a moment.
type Left struct {
	At        time.Time `json:"at"`
	Remaining float64   `json:"remaining"`
}

// curvePoints is how many points a curve has.
const curvePoints = 180

// Tell is the two side by side.
func (p Preview) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, replayed from %s to %s\n", p.Objective, when(p.From), when(p.At))
	for _, side := range []struct {
		name string
		Trial
	}{{"present ", p.Present}, {"proposed", p.Proposed}} {
		fmt.Fprintf(&b, "  %s  %s over %s: %.1f %% of the budget left, %s of %s spent; %s, %s in 30 d\n",
			side.name, side.Target, side.Window, 100*side.Remaining, Scaled(side.Spent), Scaled(side.Allowed), plural(side.Pages, "page"), plural(side.Tickets, "ticket"))
	}
	for _, a := range p.Proposed.Alerts {
		fmt.Fprintf(&b, "  %s  %-6s  %s\n", when(a.Fired), a.Severity, a.Reason)
	}
	return b.String()
}

// Preview replays an objective's last 30 days as they are judged and as they
// would be. Nothing changes.
func (w *Watcher) Preview(ctx context.Context, in PreviewInput) (Preview, error) {
	d, err := w.find(in.Objective)
	if err != nil {
		return Preview{}, err
	}
	if d.objective.composite() {
		return Preview{}, problem.New(problem.Invalid, "slo.preview", "%s is a composite: its target and window follow from its parts", in.Objective).
			WithNext("preview one of its parts, such as %s", d.objective.Parts[0].Key)
	}
	proposed, err := propose(d.objective, in)
	if err != nil {
		return Preview{}, err
	}
	now := w.engine.Now().UTC().Truncate(time.Minute)
	back := previewed + max(d.objective.Window.Nominal(), proposed.Window.Nominal(), 72*time.Hour)
	events, err := w.Past(ctx, in.Objective, now.Add(-back), now)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{Objective: in.Objective, From: now.Add(-previewed), At: now}
	if first, _ := events.Bounds(); events.Len() > 0 {
		out.From = latest(out.From, first)
	}
	if out.Present, err = d.objective.try(events, out.From, now); err != nil {
		return Preview{}, err
	}
	if proposed.Target == d.objective.Target && proposed.Window.String() == d.objective.Window.String() {
		out.Proposed = out.Present
		return out, nil
	}
	out.Proposed, err = proposed.try(events, out.From, now)
	return out, err
}

// propose is an objective with another target or window. Conditions that can
// never fire for the new target are as silent as they would be live.
func propose(o *Objective, in PreviewInput) (*Objective, error) {
	out := *o
	if in.Target != "" {
		target, err := parseShare(in.Target)
		if err != nil {
			return nil, problem.New(problem.Invalid, "slo.preview", "target: %w", err).WithNext("write it as 99.9%% or 0.999")
		}
		out.Target = target
	}
	if in.Window != "" {
		window, err := parseDays(in.Window)
		if err != nil {
			return nil, err
		}
		out.Window = Window{Rolling: window}
	}
	if findings := out.Check(); len(findings) > 0 {
		return nil, &problem.Error{Kind: problem.Invalid, Op: "slo.preview", Message: "the proposed objective is not valid", Findings: findings}
	}
	return &out, nil
}

// parseShare reads a share as a percentage or as a ratio: 99.9%, 99.9 % and
// 0.999 are the same; so is 99.9, as no ratio is greater than one.
func parseShare(s string) (Decimal, error) {
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	d, err := ParseDecimal(strings.TrimSpace(text))
	if err == nil && (percent || d > One) {
		d /= 100
	}
	if err == nil && (d <= 0 || d >= One) {
		err = fmt.Errorf("%q is not strictly between 0 %% and 100 %%", clip(s, 40))
	}
	return d, err
}

// parseDays reads a window in whole days: 28d, 4w, or 28.
func parseDays(s string) (time.Duration, error) {
	text, unit := strings.TrimSpace(s), 1
	if t, ok := strings.CutSuffix(text, "w"); ok {
		text, unit = t, 7
	}
	days, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(text, "d")))
	window := time.Duration(min(max(days, 0), 10_000)*unit) * 24 * time.Hour
	if err != nil || window <= 0 || window > maxPreviewWindow {
		return 0, problem.New(problem.Invalid, "slo.preview", "window: %q is not 1d to %s", clip(s, 40), FormatDuration(maxPreviewWindow)).
			WithNext("give whole days, such as 28d")
	}
	return window, nil
}

// try replays a history of events under an objective: its state at now, and
// what happened from from on.
func (o *Objective) try(events *Series, from, now time.Time) (Trial, error) {
	units, err := o.BudgetSeries(events)
	if err != nil {
		return Trial{}, problem.New(problem.Invalid, "slo.preview", "%w", err)
	}
	r := o.report(units, now)
	t := Trial{Target: o.Target.Percent(), Window: o.Window.String(), SLI: 1, Good: r.Good.Float64(), Total: r.Total.Float64(), Allowed: r.Budget.Allowed.Float64(),
		Spent: r.Budget.Spent.Float64(), Remaining: r.Budget.RemainingRatio, Alerts: []Fired{}, Curve: []Left{}}
	if r.SLI != nil {
		t.SLI = *r.SLI
	}
	if r.Exhaustion != nil {
		t.Exhausts = *r.Exhaustion
	}
	for _, a := range o.replayAlerts(units, from, now) {
		f := Fired{Policy: a.Policy, Severity: a.Severity, Fired: a.Fired, Reason: a.Reason}
		if a.Resolved != nil {
			f.Resolved = *a.Resolved
		}
		if t.Alerts = append(t.Alerts, f); a.Severity == "page" {
			t.Pages++
		} else {
			t.Tickets++
		}
	}
	slices.SortStableFunc(t.Alerts, func(a, b Fired) int { return a.Fired.Compare(b.Fired) })
	t.Curve = o.curve(units, from, now)
	for i := 1; i < len(t.Curve); i++ {
		if t.Curve[i].Remaining <= 0 {
			t.Overspent += t.Curve[i].At.Sub(t.Curve[i-1].At).Seconds()
		}
	}
	return t, nil
}

// curve is what was left of the budget at evenly spaced moments of [from, now]:
// each as the live engine would have said it then.
func (o *Objective) curve(units *Series, from, now time.Time) []Left {
	out := []Left{}
	if units.Len() == 0 || !from.Before(now) {
		return out
	}
	step := max(now.Sub(from)/curvePoints, time.Duration(units.width)).Truncate(time.Duration(units.width))
	for at := from.Add(step); at.Before(now); at = at.Add(step) {
		budget, _ := o.Budget(units.until(at), at)
		out = append(out, Left{at.UTC(), budget.RemainingRatio})
	}
	budget, _ := o.Budget(units, now)
	return append(out, Left{now.UTC(), budget.RemainingRatio})
}
