package slo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ExcludeInput names a span that does not count.
type ExcludeInput struct {
	Objective string    `json:"objective" arg:"1" doc:"key of the objective, or SERVICE.ENVIRONMENT for all of a place"`
	From      time.Time `json:"from" required:"true" doc:"when it begins; the minute it falls into is left out whole"`
	To        time.Time `json:"to" required:"true" doc:"when it ends; may be up to 31 days ahead"`
	Reason    string    `json:"reason" required:"true" doc:"why, for the record"`
}

// CorrectInput names bad events that were good.
type CorrectInput struct {
	Objective string    `json:"objective" arg:"1" doc:"key of the objective, or SERVICE.ENVIRONMENT for all of a place"`
	From      time.Time `json:"from" required:"true" doc:"when the first of them was"`
	To        time.Time `json:"to" required:"true" doc:"when the last of them was over; not later than now"`
	Bad       int64     `json:"bad" doc:"how many of the bad events were good, the earliest first (default: all)"`
	Reason    string    `json:"reason" required:"true" doc:"why, for the record"`
}

// LiftInput takes a record back.
type LiftInput struct {
	Objective  string `json:"objective" arg:"1" doc:"key of the objective"`
	Adjustment string `json:"adjustment" required:"true" doc:"ID of the exclusion or correction, as slo adjustments shows it"`
	Reason     string `json:"reason" required:"true" doc:"why, for the record"`
}

// AdjustmentsInput names an objective.
type AdjustmentsInput struct {
	Objective string `json:"objective" arg:"1" doc:"key of the objective"`
	Lifted    bool   `json:"lifted" doc:"also those that were lifted"`
	After     string `json:"after" doc:"cursor from the page before"`
	Limit     int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// AdjustmentPage is a page of records.
type AdjustmentPage operation.Page[Adjustment]

// Header names the columns.
func (AdjustmentPage) Header() []string {
	return []string{"ID", "KIND", "FROM", "TO", "BAD OUT", "AUTHOR", "REASON"}
}

// Rows are the lines.
func (p AdjustmentPage) Rows() [][]string {
	var out [][]string
	for _, a := range p.Items {
		kind := a.Kind
		if !a.holds() {
			kind += ", lifted by " + a.LiftedBy
		}
		out = append(out, []string{a.Short(), kind, when(a.From), when(a.To), fmt.Sprint(a.BadRemoved), a.Author, a.Reason})
	}
	return out
}

const (
	maxAhead    = 31 * 24 * time.Hour
	maxAdjusted = 92 * 24 * time.Hour
)

// adjusting are the operations on what does not count.
func (w *Watcher) adjusting() []operation.Operation {
	scope := func(_ context.Context, key string) (operation.Scope, error) {
		all, err := w.under(key)
		if err != nil {
			return operation.Scope{}, err
		}
		// Names may hold dots, so that one key can be two places: then only who
		// may act in both.
		at := operation.Scope{Team: all[0].team, Environment: all[0].objective.Environment}
		for _, d := range all[1:] {
			if d.team != at.Team {
				at.Team = ""
			}
			if d.objective.Environment != at.Environment {
				at.Environment = ""
			}
		}
		return at, nil
	}
	const kept = "The record is never changed, and raw and adjusted budgets stand side by side; slo lift takes it back by another record."
	return []operation.Operation{
		operation.Define(operation.Spec[ExcludeInput, AdjustmentPage]{
			Noun: "slo", Verb: "exclude", Summary: "Leave a span of time out of objectives, such as announced maintenance",
			Help: kept + "\n\n  flyball slo exclude checkout.prod.availability --from 2026-11-02T01:00:00Z --to 2026-11-02T02:00:00Z --reason 'announced maintenance'",
			Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in ExcludeInput) (operation.Scope, error) { return scope(ctx, in.Objective) },
			Handle: func(ctx context.Context, c operation.Caller, in ExcludeInput) (AdjustmentPage, error) {
				return w.adjust(ctx, c, EventExcluded, in.Objective, Adjusted{From: in.From, To: in.To, Reason: in.Reason})
			},
		}),
		operation.Define(operation.Spec[CorrectInput, AdjustmentPage]{
			Noun: "slo", Verb: "correct", Summary: "Say that bad events were good, such as false alarms of a probe",
			Help: kept + "\n\n  flyball slo correct checkout.prod.availability --from 2026-11-02T01:00:00Z --to 2026-11-02T02:00:00Z --bad 40 --reason 'the probe had no network'",
			Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in CorrectInput) (operation.Scope, error) { return scope(ctx, in.Objective) },
			Handle: func(ctx context.Context, c operation.Caller, in CorrectInput) (AdjustmentPage, error) {
				return w.adjust(ctx, c, EventCorrected, in.Objective, Adjusted{From: in.From, To: in.To, Bad: in.Bad, Reason: in.Reason})
			},
		}),
		operation.Define(operation.Spec[LiftInput, AdjustmentPage]{
			Noun: "slo", Verb: "lift", Summary: "Take an exclusion or a correction back", Role: operation.Operator, Write: true,
			Scope:  func(ctx context.Context, in LiftInput) (operation.Scope, error) { return scope(ctx, in.Objective) },
			Handle: w.lift,
		}),
		operation.Define(operation.Spec[AdjustmentsInput, AdjustmentPage]{
			Noun: "slo", Verb: "adjustments", Summary: "List what was excluded from an objective or corrected, by whom and why", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in AdjustmentsInput) (AdjustmentPage, error) {
				return w.adjustments(ctx, in)
			},
		}),
	}
}

// under is the objectives that a key names: one, or all of SERVICE.ENVIRONMENT.
func (w *Watcher) under(key string) ([]*declared, error) {
	if d, err := w.find(key); err == nil {
		if d.objective.composite() {
			return nil, problem.New(problem.Invalid, "slo.adjust", "%s is a composite: what does not count is of its parts", key).
				WithNext("name a part, such as %s", d.objective.Parts[0].Key)
		}
		return []*declared{d}, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*declared
	for _, d := range w.declared {
		if d.objective.Service+"."+d.objective.Environment == key && !d.objective.composite() {
			out = append(out, d)
		}
	}
	if len(out) == 0 {
		return nil, noObjective(key)
	}
	slices.SortFunc(out, func(a, b *declared) int { return strings.Compare(a.objective.Key(), b.objective.Key()) })
	return out, nil
}

func (w *Watcher) adjust(ctx context.Context, caller operation.Caller, kind, key string, a Adjusted) (AdjustmentPage, error) {
	all, err := w.under(key)
	if err != nil {
		return AdjustmentPage{}, err
	}
	now := w.Clock.Now()
	if err := a.check(kind, now); err != nil {
		return AdjustmentPage{}, err
	}
	for _, d := range all {
		known, err := AdjustmentsOf(ctx, w.reader, d.objective.Key())
		switch {
		case err != nil:
			return AdjustmentPage{}, err
		case len(known.Holding()) >= maxAdjustments:
			return AdjustmentPage{}, problem.New(problem.Conflict, kind, "%s has %d exclusions and corrections, the most it may have", d.objective.Key(), maxAdjustments).
				WithNext("change the objective if so much of it does not count, or lift some: flyball slo adjustments %s", d.objective.Key())
		case a.Bad > 0 && len(d.objective.GroupBy) > 0:
			return AdjustmentPage{}, problem.New(problem.Invalid, kind, "%s has groups, and %d bad events of the whole are of no group in particular", d.objective.Key(), a.Bad).
				WithNext("correct all bad events of a shorter span: leave --bad out")
		}
	}
	out := AdjustmentPage{Items: []Adjustment{}}
	for _, d := range all {
		o := d.objective
		a.Objective, a.Service, a.Team, a.Environment = o.Key(), o.Service, d.team, o.Environment
		a.From, a.To = a.From.UTC(), a.To.UTC()
		recorded, err := w.append(ctx, d, event.Draft{Type: kind, Time: now, Actor: caller.Name, Data: a})
		if err != nil {
			return out, err
		}
		page, err := w.adjustments(ctx, AdjustmentsInput{Objective: o.Key()})
		if err != nil {
			return out, err
		}
		for _, v := range page.Items {
			if v.ID == recorded.ID {
				out.Items = append(out.Items, v)
			}
		}
	}
	return out, nil
}

// append records a fact about an objective and computes its numbers anew.
func (w *Watcher) append(ctx context.Context, d *declared, draft event.Draft) (event.Event, error) {
	if id := operation.CallID(ctx); id != "" {
		draft.ID, draft.Cause = id+"#"+draft.Type+"#"+d.objective.Key(), id
	}
	recorded, err := w.Log.Append(ctx, event.Batch{Stream: "objective/" + d.objective.Key(), Expect: event.AnyVersion, Drafts: []event.Draft{draft}})
	if err != nil {
		return event.Event{}, err
	}
	if err := w.Sync(ctx); err != nil {
		return event.Event{}, err
	}
	return recorded[0], w.Recompute(ctx, d.objective.Key())
}

func (a Adjusted) check(kind string, now time.Time) error {
	switch {
	case strings.TrimSpace(a.Reason) == "":
		return problem.New(problem.Invalid, kind, "a record of what does not count needs a reason")
	case !a.From.Before(a.To):
		return problem.New(problem.Invalid, kind, "it ends at %s, not after it begins, at %s", a.To.Format(time.RFC3339), a.From.Format(time.RFC3339)).
			WithNext("write --from before --to")
	case a.To.Sub(a.From) > maxAdjusted:
		return problem.New(problem.Invalid, kind, "a span of %s is longer than %s", FormatDuration(a.To.Sub(a.From)), FormatDuration(maxAdjusted)).
			WithNext("change the objective instead")
	case kind == EventExcluded && a.To.After(now.Add(maxAhead)):
		return problem.New(problem.Invalid, kind, "%s is more than %s ahead", a.To.Format(time.RFC3339), FormatDuration(maxAhead))
	case kind == EventCorrected && a.To.After(now):
		return problem.New(problem.Invalid, kind, "%s is not over yet: what has not happened cannot have been counted wrong", a.To.Format(time.RFC3339)).
			WithNext("use slo exclude for what is planned")
	case a.Bad < 0:
		return problem.New(problem.Invalid, kind, "%d bad events cannot be corrected; write how many were good, or leave it out for all", a.Bad)
	}
	return nil
}

func (w *Watcher) lift(ctx context.Context, caller operation.Caller, in LiftInput) (AdjustmentPage, error) {
	d, err := w.find(in.Objective)
	if err != nil {
		return AdjustmentPage{}, err
	}
	known, err := AdjustmentsOf(ctx, w.reader, in.Objective)
	if err != nil {
		return AdjustmentPage{}, err
	}
	i := slices.IndexFunc(known.Items, func(a Adjustment) bool { return a.ID == in.Adjustment || a.Short() == in.Adjustment })
	switch {
	case i < 0:
		return AdjustmentPage{}, problem.New(problem.NotFound, EventLifted, "%s has no exclusion or correction %q", in.Objective, in.Adjustment).
			WithNext("flyball slo adjustments %s", in.Objective)
	case !known.Items[i].holds():
		return AdjustmentPage{}, problem.New(problem.Conflict, EventLifted, "%s was lifted by %s at %s already", in.Adjustment, known.Items[i].LiftedBy,
			known.Items[i].LiftedAt.UTC().Format(time.RFC3339))
	}
	in.Adjustment = known.Items[i].ID
	_, err = w.append(ctx, d, event.Draft{Type: EventLifted, Time: w.Clock.Now(), Actor: caller.Name,
		Data: AdjustmentLifted{Objective: in.Objective, Service: d.objective.Service, Adjustment: in.Adjustment, Reason: in.Reason}})
	if err != nil {
		return AdjustmentPage{}, err
	}
	page, err := w.adjustments(ctx, AdjustmentsInput{Objective: in.Objective, Lifted: true, Limit: 500})
	page.Items = slices.DeleteFunc(page.Items, func(a Adjustment) bool { return a.ID != in.Adjustment })
	return page, err
}

// adjustments lists records, newest first, with what they take out at present.
func (w *Watcher) adjustments(ctx context.Context, in AdjustmentsInput) (AdjustmentPage, error) {
	d, err := w.find(in.Objective)
	if err != nil {
		return AdjustmentPage{}, err
	}
	known, err := AdjustmentsOf(ctx, operation.Reader(ctx, w.reader), in.Objective)
	if err != nil {
		return AdjustmentPage{}, err
	}
	if err := w.weigh(ctx, d, known.Items); err != nil {
		return AdjustmentPage{}, err
	}
	slices.Reverse(known.Items)
	limit := in.Limit
	if limit <= 0 {
		limit = 100
	}
	out, past := AdjustmentPage{Items: []Adjustment{}}, in.After == ""
	for _, a := range known.Items {
		switch {
		case !past:
			past = a.ID == in.After
		case !in.Lifted && !a.holds():
		case len(out.Items) == min(limit, 500):
			out.Next = out.Items[len(out.Items)-1].ID
			return out, nil
		default:
			out.Items = append(out.Items, a)
		}
	}
	return out, nil
}

// weigh fills in how many bad events each record that holds takes out.
func (w *Watcher) weigh(ctx context.Context, d *declared, items []Adjustment) error {
	var holding []Adjustment
	var from, to time.Time
	for _, a := range items {
		if a.holds() {
			holding = append(holding, a)
			if from.IsZero() || a.From.Before(from) {
				from = a.From
			}
			to = latest(to, a.To)
		}
	}
	if len(holding) == 0 {
		return nil
	}
	raw, err := w.history(ctx, d, from.Truncate(time.Minute), to)
	if err != nil {
		return err
	}
	_, removed := adjust(raw, holding)
	j := 0
	for i := range items {
		if items[i].holds() {
			items[i].BadRemoved = removed[j]
			j++
		}
	}
	return nil
}
