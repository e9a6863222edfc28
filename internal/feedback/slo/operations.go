package slo

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// ListInput bounds a list of objectives.
type ListInput struct {
	Service     string `json:"service" doc:"of this service only"`
	Environment string `json:"environment" doc:"in this environment only"`
	Search      string `json:"search" doc:"only keys that contain this"`
	Sort        string `json:"sort" enum:"key,burn,budget" doc:"order: by key (default), fastest burning first, or least budget first"`
	After       string `json:"after" doc:"cursor from the page before"`
	Limit       int    `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// ShowInput names an objective.
type ShowInput struct {
	Objective string `json:"objective" arg:"1" doc:"key of the objective, such as checkout.prod.availability"`
}

// Row is one objective in a list.
type Row struct {
	Objective string  `json:"objective"`
	Target    string  `json:"target"`
	SLI       float64 `json:"sli" doc:"share of good events in the window; 1 without events"`
	Events    float64 `json:"events" doc:"events in the window"`
	Remaining float64 `json:"remaining" doc:"share of the budget left; negative when overspent"`
	Burn1h    float64 `json:"burn_1h" doc:"burn rate over the last hour"`
	Level     string  `json:"level"`
	Firing    string  `json:"firing,omitempty" doc:"gravest severity that fires"`
}

// Rows is a page of objectives.
type Rows operation.Page[Row]

// Header names the columns.
func (Rows) Header() []string {
	return []string{"OBJECTIVE", "TARGET", "SLI", "EVENTS", "BUDGET", "BURN 1h", "STATE"}
}

// Rows are the lines.
func (r Rows) Rows() [][]string {
	var out [][]string
	for _, o := range r.Items {
		state := o.Level
		if o.Firing != "" {
			state += ", firing: " + o.Firing
		}
		out = append(out, []string{o.Objective, o.Target, fmt.Sprintf("%.4f %%", 100*o.SLI), fmt.Sprintf("%.0f", o.Events), fmt.Sprintf("%.0f %%", 100*o.Remaining), fmt.Sprintf("%.1f×", o.Burn1h), state})
	}
	return out
}

// Detail is one objective with its windows, its budget and its alerts.
type Detail struct {
	Row
	Window    string         `json:"window"`
	Budget    Budget         `json:"budget"`
	Burns     []BurnOver     `json:"burns"`
	Exhausts  string         `json:"exhausts,omitempty" doc:"when the budget is spent at the present burn, RFC 3339"`
	Alerts    []RuleState    `json:"alerts"`
	Past      []AlertChanged `json:"past,omitempty" doc:"alerts that fired and were resolved, newest last"`
	Projected bool           `json:"projected" doc:"the window is not full yet: allowed is an estimate from the traffic declared or seen"`
}

// BurnOver is the burn rate over one window.
type BurnOver struct {
	Window  string  `json:"window"`
	Burn    float64 `json:"burn"`
	Known   bool    `json:"known"`
	Bad     int64   `json:"bad"`
	Total   int64   `json:"total"`
	Missing int     `json:"missing,omitempty" doc:"slots that did not report"`
}

// RuleState is one rule of an alert policy.
type RuleState struct {
	Policy    string `json:"policy"`
	Severity  string `json:"severity"`
	Condition string `json:"condition"`
	Holding   string `json:"holding"`
	Reason    string `json:"reason,omitempty"`
}

// Tell is the objective in lines.
func (d Detail) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: target %s over %s, %.4f %% good of %.0f events\n", d.Objective, d.Target, d.Window, 100*d.SLI, d.Events)
	fmt.Fprintf(&b, "  budget  %.1f %% left: %s of %s bad events spent", 100*d.Remaining, d.Budget.Spent, d.Budget.Allowed)
	if d.Projected {
		b.WriteString(" (window not full yet)")
	}
	if d.Exhausts != "" {
		b.WriteString(", exhausted about " + d.Exhausts)
	}
	b.WriteString("\n  burn   ")
	for _, r := range d.Burns {
		if r.Known {
			fmt.Fprintf(&b, " %s %.2f×", r.Window, r.Burn)
		} else {
			fmt.Fprintf(&b, " %s –", r.Window)
		}
	}
	for _, a := range d.Alerts {
		fmt.Fprintf(&b, "\n  %-6s  %-28s %s %s", a.Severity, a.Condition, a.Holding, a.Reason)
	}
	return b.String()
}

// Operations are what users can ask of objectives.
func (w *Watcher) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, Rows]{
			Noun: "slo", Verb: "list", Summary: "List objectives with what is left of their budgets", Role: operation.Viewer,
			Handle: func(_ context.Context, _ operation.Caller, in ListInput) (Rows, error) { return w.list(in), nil },
		}),
		operation.Define(operation.Spec[ShowInput, Detail]{
			Noun: "slo", Verb: "show", Summary: "Show one objective: budget, burn rates, alerts", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Detail, error) {
				return w.show(ctx, in.Objective)
			},
		}),
	}
}

func (w *Watcher) list(in ListInput) Rows {
	var all []Row
	for _, s := range w.Snapshots(in.Service, in.Environment) {
		if r := rowOf(s); in.Search == "" || strings.Contains(r.Objective, in.Search) {
			all = append(all, r)
		}
	}
	sort.SliceStable(all, func(i, j int) bool {
		switch a, b := all[i], all[j]; in.Sort {
		case "burn":
			return a.Burn1h > b.Burn1h
		case "budget":
			return a.Remaining < b.Remaining
		default:
			return a.Objective < b.Objective
		}
	})
	limit := in.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	from := 0
	for i, r := range all {
		if in.After != "" && r.Objective == in.After {
			from = i + 1
		}
	}
	out := Rows{Items: all[from:min(len(all), from+limit)]}
	if from+limit < len(all) {
		out.Next = out.Items[len(out.Items)-1].Objective
	}
	return out
}

func rowOf(s Snapshot) Row {
	r := Row{Objective: s.Objective.Key(), Target: s.Objective.Target.Percent(), SLI: 1, Events: s.Total,
		Remaining: s.Budget.RemainingRatio, Burn1h: s.BurnOver(BurnWindows[2]), Level: LevelOf(s.Budget.RemainingRatio)}
	if s.SLIKnown {
		r.SLI = s.SLI
	}
	for _, severity := range []string{"ticket", "page"} {
		if s.Firing(severity) != nil {
			r.Firing = severity
		}
	}
	return r
}

func (w *Watcher) show(ctx context.Context, key string) (Detail, error) {
	s, err := w.Snapshot(key)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Row: rowOf(s), Window: FormatDuration(s.Objective.Window.Rolling), Budget: s.Budget, Projected: s.Budget.Projected}
	if s.Objective.Window.Calendar != nil {
		d.Window = fmt.Sprintf("%d %s", s.Objective.Window.Calendar.Count, s.Objective.Window.Calendar.Unit)
	}
	for _, b := range s.Burns {
		d.Burns = append(d.Burns, BurnOver{Window: b.Name, Burn: b.Rate, Known: b.Known, Bad: b.Bad, Total: b.Total, Missing: b.Missing})
	}
	for _, a := range s.Alerts {
		r := RuleState{Policy: a.Policy, Severity: a.Severity, Condition: a.Condition, Holding: string(a.Holding)}
		if a.Firing != nil {
			r.Reason = a.Firing.Reason
		}
		d.Alerts = append(d.Alerts, r)
	}
	if at := s.Forecast.At; !at.IsZero() {
		d.Exhausts = at.UTC().Format("2006-01-02T15:04:05Z")
	}
	status, _, err := projection.Get[Status](ctx, operation.Reader(ctx, w.reader), ProjectionName, key)
	d.Past = status.Past
	return d, err
}
