package count

import (
	"context"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// SourceType is the metric source of objectives that are fed by pushing.
const SourceType = "push"

// MaxSlots is the most slots of one push: a week of minutes.
const MaxSlots = 7 * 24 * 60

// Objectives is what is fed: the objectives' watcher.
type Objectives interface {
	Indicators(ctx context.Context) ([]slo.Fed, error)
	Record(ctx context.Context, recordings ...slo.Recording) error
}

// Desk takes pushed counts.
type Desk struct {
	Reader     projection.Reader
	Objectives Objectives
}

// PushInput is counts for an objective.
type PushInput struct {
	Objective string `json:"objective" arg:"1" doc:"key of the objective, such as billing.prod.nightly; others on the same indicator get the counts too"`
	Slots     []Slot `json:"slots" required:"true" doc:"counts by the minute, at most 10080"`
	Add       bool   `json:"add" doc:"add to what is counted in these minutes; otherwise a minute is replaced, so that pushing again changes nothing"`
}

// Slot is what happened in one minute.
type Slot struct {
	Time  time.Time `json:"time" doc:"in the minute that is counted, RFC 3339"`
	Good  int64     `json:"good" doc:"events that were good, at most total"`
	Total int64     `json:"total" doc:"all events"`
}

// Pushed is what was taken.
type Pushed struct {
	Objective string `json:"objective"`
	Slots     int    `json:"slots"`
	Good      int64  `json:"good"`
	Total     int64  `json:"total"`
}

// Tell is what was taken in a line.
func (p Pushed) Tell() string {
	return fmt.Sprintf("%s: %d good of %d events in %d slots", p.Objective, p.Good, p.Total, p.Slots)
}

// Operations are what users can do.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{operation.Define(operation.Spec[PushInput, Pushed]{
		Noun: "count", Verb: "push", Summary: "Push counts of good and total events to an objective", Role: operation.Developer, Write: true,
		Help: `Takes counts by the minute for an objective whose metric source is of the type push.
A minute that is pushed replaces what was counted in it, so a push can be repeated;
with --add it is added, and an Idempotency-Key keeps a repeated call from counting twice.
Late counts are taken at the time they happened.`,
		Scope:  d.scope,
		Handle: func(ctx context.Context, _ operation.Caller, in PushInput) (Pushed, error) { return d.push(ctx, in) },
	})}
}

// scope is the team and environment of the objective. Where the same counts
// belong to another team's objective or to another environment too, only who
// may push there as well may push.
func (d *Desk) scope(ctx context.Context, in PushInput) (operation.Scope, error) {
	fed, _, err := d.find(ctx, in.Objective)
	if err != nil {
		return operation.Scope{}, nil // only who may push everywhere learns more
	}
	var at operation.Scope
	for i, o := range fed.Objectives {
		s, err := catalog.GetService(ctx, d.Reader, o.Service)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return operation.Scope{}, err
		}
		if i == 0 {
			at = operation.Scope{Team: s.Team, Environment: o.Environment}
		}
		if s.Team != at.Team {
			at.Team = ""
		}
		if o.Environment != at.Environment {
			at.Environment = ""
		}
	}
	return at, nil
}

// find is the indicator of an objective that is fed by pushing.
func (d *Desk) find(ctx context.Context, key string) (slo.Fed, *slo.Objective, error) {
	list, err := d.Objectives.Indicators(ctx)
	if err != nil {
		return slo.Fed{}, nil, err
	}
	for _, f := range list {
		for _, o := range f.Objectives {
			if o.Key() != key {
				continue
			}
			if o.Indicator.Total == nil || o.Indicator.Total.Type != SourceType {
				return slo.Fed{}, nil, problem.New(problem.Invalid, "count.push", "the objective %s is not fed by pushing", key).
					WithNext("give good and total a metricSource of type push")
			}
			return f, o, nil
		}
	}
	return slo.Fed{}, nil, problem.New(problem.NotFound, "count.push", "there is no objective %q that is fed by pushing", key).WithNext("flyball slo list shows the objectives")
}

func (d *Desk) push(ctx context.Context, in PushInput) (Pushed, error) {
	out := Pushed{Objective: in.Objective, Slots: len(in.Slots)}
	fed, o, err := d.find(ctx, in.Objective)
	if err != nil {
		return out, err
	}
	if len(o.GroupBy) > 0 {
		return out, problem.New(problem.Invalid, "count.push", "the objective %s has groups, and a pushed count has no labels", in.Objective)
	}
	if len(in.Slots) > MaxSlots {
		return out, problem.New(problem.Invalid, "count.push", "there are %d slots; the limit is %d", len(in.Slots), MaxSlots).WithNext("push them in parts")
	}
	slots := make([]slo.Slot, len(in.Slots))
	for i, s := range in.Slots {
		if s.Time.IsZero() || s.Total < 0 || s.Good < 0 || s.Good > s.Total {
			return out, problem.New(problem.Invalid, "count.push", "slot %d: %d good of %d events at %s cannot be", i, s.Good, s.Total, s.Time.Format(time.RFC3339)).
				WithNext("good is at most total, neither is negative, and each slot has its time")
		}
		slots[i] = slo.Slot{Time: s.Time.UTC().Truncate(time.Minute), Good: s.Good, Total: s.Total}
		out.Good += s.Good
		out.Total += s.Total
	}
	return out, d.Objectives.Record(ctx, slo.Recording{Indicator: fed.ID, Counts: []slo.Counted{{Slots: slots}}, Add: in.Add})
}
