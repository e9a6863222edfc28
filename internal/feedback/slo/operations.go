package slo

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// ShowInput names an objective.
type ShowInput struct {
	Objective string `json:"objective" arg:"1" doc:"key of the objective, such as checkout.prod.availability"`
}

// Detail is one objective with its windows, its budget and its alerts.
type Detail struct {
	Row
	Window    string            `json:"window"`
	Budget    Budget            `json:"budget"`
	Burns     []BurnOver        `json:"burns"`
	Alerts    []RuleState       `json:"alerts"`
	Past      []AlertChanged    `json:"past,omitempty" doc:"alerts that fired and were resolved, newest last"`
	Raw       *RawAccount       `json:"raw,omitempty" doc:"the window as it was counted; absent when nothing was excluded or corrected"`
	Adjusted  []Adjustment      `json:"adjusted,omitempty" doc:"exclusions and corrections that hold"`
	SLA       *AgreementState   `json:"sla,omitempty" doc:"the looser target promised to customers, and the margin to it"`
	Parts     []PartState       `json:"parts,omitempty" doc:"of a composite: what it is made of, and what each part takes of its budget"`
	Groups    []Row             `json:"groups,omitempty" doc:"of an objective with groups: the ten that burn fastest; slo list --of shows all"`
	Projected bool              `json:"projected" doc:"the window is not full yet: allowed is an estimate from the traffic declared or seen"`
	Findings  []problem.Finding `json:"findings,omitempty" doc:"what keeps the numbers from being of now"`
	Origin    *Origin           `json:"origin,omitempty" doc:"where the counts come from, if not from Flyball's own proxy"`
}

// Origin is where the counts of an indicator come from.
type Origin struct {
	Source   string            `json:"source" doc:"name of the data source"`
	Exact    bool              `json:"exact" doc:"stored samples are counted; otherwise the queries are evaluated once a minute"`
	Reason   string            `json:"reason,omitempty" doc:"why it is approximate"`
	From     time.Time         `json:"from,omitzero" doc:"history is read back to here"`
	Until    time.Time         `json:"until,omitzero" doc:"and up to here"`
	Error    string            `json:"error,omitempty" doc:"why it could not be read"`
	Findings []problem.Finding `json:"findings,omitempty" doc:"what is wrong with the data"`
}

// tell is the origin in lines.
func (o *Origin) tell(b *strings.Builder) {
	how := "exact"
	if !o.Exact {
		how = "approximate: " + o.Reason
	}
	fmt.Fprintf(b, "\n  counts  from %s, %s", cmp.Or(o.Source, "nowhere"), how)
	if !o.From.IsZero() {
		fmt.Fprintf(b, ", read from %s to %s", o.From.UTC().Format("2006-01-02 15:04"), o.Until.UTC().Format("2006-01-02 15:04"))
	}
	if o.Error != "" {
		b.WriteString("\n          " + o.Error)
	}
	for _, f := range o.Findings {
		fmt.Fprintf(b, "\n          %s: %s", f.Code, f.Message)
	}
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
	fmt.Fprintf(&b, "%s: target %s over %s, %.4f %% good of %s events\n", d.Objective, d.Target, d.Window, 100*d.SLI, Scaled(d.Events))
	unit := "bad events"
	if len(d.Parts) > 0 {
		unit = "minutes of total failure"
	}
	fmt.Fprintf(&b, "  budget  %.1f %% left: %s of %s %s spent", 100*d.Remaining, Scaled(d.Budget.Spent.Float64()), Scaled(d.Budget.Allowed.Float64()), unit)
	if d.Projected {
		b.WriteString(" (window not full yet)")
	}
	if d.Exhausts != "" {
		b.WriteString(", exhausted about " + minute(d.Exhausts))
	}
	if d.Raw != nil {
		fmt.Fprintf(&b, "\n  raw     %.1f %% left: %s of %s spent, with what does not count:", 100*d.Raw.Budget.RemainingRatio, Scaled(d.Raw.Budget.Spent.Float64()), Scaled(d.Raw.Budget.Allowed.Float64()))
		for _, a := range d.Adjusted {
			fmt.Fprintf(&b, "\n          %s %s to %s, %d bad, by %s: %s", a.Kind, when(a.From), when(a.To), a.BadRemoved, a.Author, a.Reason)
		}
	}
	b.WriteString("\n  burn   ")
	for _, r := range d.Burns {
		if r.Known {
			fmt.Fprintf(&b, " %s %.2f×", r.Window, r.Burn)
		} else {
			fmt.Fprintf(&b, " %s –", r.Window)
		}
	}
	if d.SLA != nil {
		b.WriteString("\n  SLA     " + d.SLA.String())
	}
	for _, p := range d.Parts {
		fmt.Fprintf(&b, "\n  part    %s", p)
	}
	for _, g := range d.Groups {
		fmt.Fprintf(&b, "\n  group   %-40s burn 1h %.2f×, %s of budget left, %s events", g.Objective[len(d.Objective):], g.Burn1h, g.budgetLeft(), Scaled(g.Events))
		if g.Firing != "" {
			b.WriteString(", firing: " + g.Firing)
		}
	}
	for _, a := range d.Alerts {
		fmt.Fprintf(&b, "\n  %-6s  %-28s %s %s", a.Severity, a.Condition, a.Holding, a.Reason)
	}
	for _, f := range d.Findings {
		fmt.Fprintf(&b, "\n  %s: %s", f.Code, f.Message)
	}
	if d.Origin != nil {
		d.Origin.tell(&b)
	}
	return b.String()
}

// Operations are what users can ask of objectives.
func (w *Watcher) Operations() []operation.Operation {
	return append(w.adjusting(),
		w.exportOperation(),
		operation.Define(operation.Spec[ListInput, Rows]{
			Noun: "slo", Verb: "list", Summary: "List objectives with what is left of their budgets", Role: operation.Viewer,
			Handle: func(_ context.Context, _ operation.Caller, in ListInput) (Rows, error) { return w.list(in) },
		}),
		operation.Define(operation.Spec[ShowInput, Detail]{
			Noun: "slo", Verb: "show", Summary: "Show one objective: budget, burn rates, alerts", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Detail, error) {
				return w.show(ctx, in.Objective)
			},
		}),
		operation.Define(operation.Spec[ReportInput, PeriodReport]{
			Noun: "slo", Verb: "report", Summary: "Report how the objectives of a service or team were kept over a calendar period", Role: operation.Viewer,
			Help: "  flyball slo report --team payments --period 2026-10 --zone Europe/Vienna\n  flyball slo report --service checkout --period 2026-Q3 -o csv > q3.csv",
			Handle: func(ctx context.Context, _ operation.Caller, in ReportInput) (PeriodReport, error) {
				return w.Report(ctx, in)
			},
		}),
		operation.Define(operation.Spec[PreviewInput, Preview]{
			Noun: "slo", Verb: "preview", Summary: "Show what another target or window would have meant, from recorded history", Role: operation.Viewer,
			Help: "Replays the last 30 days of an objective under a proposed target or window, beside the present\none: the budget, and the alerts that would have fired. Nothing is changed.\n\n" +
				"  flyball slo preview checkout.prod.availability --target 99.95%\n  flyball slo preview checkout.prod.availability --window 7d -o json",
			Handle: func(ctx context.Context, _ operation.Caller, in PreviewInput) (Preview, error) {
				return w.Preview(ctx, in)
			},
		}),
	)
}

// stands says that time stands still: the server's clock went back, and windows
// wait until it is where it was. Less than what reporters may be ahead is usual.
func (w *Watcher) stands() []problem.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wall.IsZero() || w.now.Sub(w.wall) <= MaxSkew {
		return nil
	}
	return []problem.Finding{{Severity: "error", Code: "clock-backwards",
		Message: fmt.Sprintf("this server's clock went back from %s to %s: windows and alerts stand still until it is past that again; correct the clock", when(w.now), when(w.wall))}}
}

func (w *Watcher) show(ctx context.Context, key string) (Detail, error) {
	s, err := w.Snapshot(key)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Row: rowOf(s.standing()), Window: FormatDuration(s.Objective.Window.Rolling), Budget: s.Budget, Projected: s.Budget.Projected}
	if len(s.Objective.GroupBy) > 0 {
		groups, err := w.list(ListInput{Of: key, Sort: "burn", Limit: 10})
		if err != nil {
			return Detail{}, err
		}
		d.Groups = groups.Items
	}
	if s.Objective.Window.Calendar != nil {
		d.Window = fmt.Sprintf("%d %s", s.Objective.Window.Calendar.Count, s.Objective.Window.Calendar.Unit)
	}
	d.SLA, d.Parts, d.Findings = s.Agreement, s.Parts, w.stands()
	if d.Raw = s.Raw; s.Raw != nil {
		d.RawRemaining = &s.Raw.Budget.RemainingRatio
		page, err := w.adjustments(ctx, AdjustmentsInput{Objective: key})
		if err != nil {
			return Detail{}, err
		}
		d.Adjusted = page.Items
	}
	if w.Origin != nil {
		if o, ok := w.Origin(s.Objective.IndicatorID()); ok {
			d.Origin = &o
		}
	}
	for _, b := range s.Burns {
		d.Burns = append(d.Burns, BurnOver{Window: b.Name, Burn: b.Rate, Known: b.Known, Bad: b.Bad, Total: b.Total, Missing: b.Missing})
	}
	for _, a := range s.Alerts {
		r := RuleState{Policy: a.Policy, Severity: a.Severity, Condition: a.Condition, Holding: string(a.Holding), Reason: a.Reason}
		d.Alerts = append(d.Alerts, r)
	}
	status, _, err := projection.Get[Status](ctx, operation.Reader(ctx, w.reader), ProjectionName, key)
	d.Past = status.Past
	return d, err
}
