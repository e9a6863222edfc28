package oncall

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Desk is what the operations work with.
type Desk struct {
	Log    event.Log
	Reader projection.Reader
	Clock  clock.Clock
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error
}

// WhoInput asks who is on call.
type WhoInput struct {
	Name string `json:"name" arg:"1" required:"false" in:"query" doc:"a service, team or schedule (default: every schedule)"`
}

// OnCall is somebody who is on call now.
type OnCall struct {
	Schedule string    `json:"schedule"`
	Person   string    `json:"person" doc:"empty: nobody"`
	Layer    string    `json:"layer,omitempty"`
	Since    time.Time `json:"since,omitzero" doc:"when the shift began, at most four weeks ago"`
	Until    time.Time `json:"until,omitzero" doc:"when the shift ends, or when somebody begins; at most four weeks ahead"`
	TimeZone string    `json:"time_zone" doc:"of the schedule"`
}

// Answer is who is on call for what was asked.
type Answer struct {
	For     string   `json:"for,omitempty" doc:"what was asked for, such as service checkout"`
	Policy  string   `json:"policy,omitempty" doc:"its escalation policy"`
	First   []string `json:"first,omitempty" doc:"whom its policy would page first, now"`
	Reason  string   `json:"reason,omitempty" doc:"why they"`
	OnCall  []OnCall `json:"on_call" doc:"by schedule"`
	Nothing string   `json:"nothing,omitempty" doc:"why there is no answer"`
}

// OverrideInput lets somebody stand in.
type OverrideInput struct {
	Schedule string    `json:"schedule" arg:"1" doc:"schedule"`
	Person   string    `json:"person" required:"true" doc:"who stands in"`
	From     time.Time `json:"from" doc:"first moment (default: now)"`
	To       time.Time `json:"to" required:"true" doc:"last moment"`
	Replaces string    `json:"replaces" doc:"only the shifts of this person (default: everybody's)"`
	Reason   string    `json:"reason" doc:"why, for the record"`
}

// SwapInput exchanges two shifts.
type SwapInput struct {
	Schedule string    `json:"schedule" arg:"1" doc:"schedule"`
	One      time.Time `json:"one" required:"true" doc:"a moment in the one shift"`
	Other    time.Time `json:"other" required:"true" doc:"a moment in the other shift"`
	Reason   string    `json:"reason" doc:"why, for the record"`
}

// CancelInput ends an override.
type CancelInput struct {
	Schedule string `json:"schedule" arg:"1" doc:"schedule"`
	Override string `json:"override" arg:"2" doc:"override, as oncall overrides lists them"`
	Reason   string `json:"reason" doc:"why, for the record"`
}

// ListInput asks for the overrides of a schedule.
type ListInput struct {
	Schedule string `json:"schedule" arg:"1" doc:"schedule"`
	After    string `json:"after" doc:"cursor from the page before"`
	Limit    int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// RotaInput asks for the shifts of a schedule.
type RotaInput struct {
	Schedule string    `json:"schedule" arg:"1" doc:"schedule"`
	From     time.Time `json:"from" doc:"first moment (default: now)"`
	To       time.Time `json:"to" doc:"last moment (default: four weeks later)"`
	After    string    `json:"after" doc:"cursor from the page before"`
	Limit    int       `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// Operations are what users can do with schedules.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[WhoInput, Answer]{
			Noun: "oncall", Verb: "who", Summary: "Say who is on call now, for a service, a team or a schedule", Role: operation.Viewer,
			Help:   "  flyball oncall who\n  flyball oncall who checkout",
			Handle: d.who,
		}),
		operation.Define(operation.Spec[RotaInput, operation.Page[Shift]]{
			Noun: "oncall", Verb: "rota", Summary: "List who is on call when, by a schedule as applied, overrides included", Role: operation.Viewer,
			Handle: d.rota,
		}),
		operation.Define(operation.Spec[OverrideInput, Recorded]{
			Noun: "oncall", Verb: "override", Summary: "Let somebody stand in for a while", Role: operation.Developer, Write: true,
			Help:   "  flyball oncall override payments --person ben --to 2026-11-21T18:00:00Z --reason 'dentist'",
			Scope:  func(ctx context.Context, in OverrideInput) (operation.Scope, error) { return d.scope(ctx, in.Schedule) },
			Handle: d.override,
		}),
		operation.Define(operation.Spec[SwapInput, operation.Page[Recorded]]{
			Noun: "oncall", Verb: "swap", Summary: "Exchange two shifts between those who have them", Role: operation.Developer, Write: true,
			Help:   "  flyball oncall swap payments --one 2026-12-01T12:00:00Z --other 2026-12-08T12:00:00Z",
			Scope:  func(ctx context.Context, in SwapInput) (operation.Scope, error) { return d.scope(ctx, in.Schedule) },
			Handle: d.swap,
		}),
		operation.Define(operation.Spec[CancelInput, Recorded]{
			Noun: "oncall", Verb: "cancel", Summary: "Take an override back", Role: operation.Developer, Write: true,
			Scope:  func(ctx context.Context, in CancelInput) (operation.Scope, error) { return d.scope(ctx, in.Schedule) },
			Handle: d.cancel,
		}),
		operation.Define(operation.Spec[ListInput, operation.Page[Recorded]]{
			Noun: "oncall", Verb: "overrides", Summary: "List the overrides of a schedule that were recorded, newest first", Role: operation.Viewer,
			Handle: d.overrides,
		}),
	}
}

func (d *Desk) schedule(ctx context.Context, r projection.Reader, name string) (ScheduleSpec, error) {
	spec, ok, err := get[ScheduleSpec](ctx, r, KindSchedule, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "oncall", "there is no schedule named %q", name).WithNext("flyball oncall who lists them")
	}
	return spec, err
}

func (d *Desk) scope(ctx context.Context, schedule string) (operation.Scope, error) {
	spec, err := d.schedule(ctx, d.Reader, schedule)
	return operation.Scope{Team: spec.Team}, err
}

// window is how far shifts are looked for around now.
const window = 28 * 24 * time.Hour

// standing of one schedule: who has it now, since when and until when; one entry
// without a person when nobody has.
func (d *Desk) standing(ctx context.Context, r projection.Reader, name string, spec ScheduleSpec, now time.Time) ([]OnCall, error) {
	book, _, err := projection.Get[Book](ctx, r, ProjectionName, name)
	if err != nil {
		return nil, err
	}
	shifts, err := spec.Shifts(now.Add(-window), now.Add(window), book.Stints()...)
	if err != nil {
		return nil, err
	}
	var out []OnCall
	next := time.Time{}
	for _, s := range shifts {
		switch {
		case s.Start.After(now):
			if next.IsZero() || s.Start.Before(next) {
				next = s.Start
			}
		case s.End.After(now):
			out = append(out, OnCall{Schedule: name, Person: s.Person, Layer: s.Layer, Since: s.Start, Until: s.End, TimeZone: string(spec.TimeZone)})
		}
	}
	if len(out) == 0 {
		out = append(out, OnCall{Schedule: name, Until: next, TimeZone: string(spec.TimeZone)})
	}
	return out, nil
}

func (d *Desk) who(ctx context.Context, _ operation.Caller, in WhoInput) (Answer, error) {
	r, now := operation.Reader(ctx, d.Reader), d.Clock.Now()
	if at, ok := operation.At(ctx); ok {
		now = at
	}
	out := Answer{OnCall: []OnCall{}}
	wanted, err := d.asked(ctx, r, in.Name, now, &out)
	if err != nil {
		return out, err
	}
	specs, entries, err := catalog.List[ScheduleSpec](ctx, r, KindSchedule)
	if err != nil {
		return out, err
	}
	for i, spec := range specs {
		name := entries[i].Metadata.Name
		if in.Name != "" && !slices.Contains(wanted, name) {
			continue
		}
		found, err := d.standing(ctx, r, name, spec, now)
		if err != nil {
			return out, err
		}
		out.OnCall = append(out.OnCall, found...)
	}
	if len(out.OnCall) == 0 && out.Nothing == "" {
		out.Nothing = "no schedule is declared; flyball oncall --help shows one"
	}
	return out, nil
}

// asked finds what a name means, and the schedules that belong to it.
func (d *Desk) asked(ctx context.Context, r projection.Reader, name string, now time.Time, out *Answer) (schedules []string, err error) {
	if name == "" {
		return nil, nil
	}
	team := name
	if s, err := catalog.GetService(ctx, r, name); err == nil {
		out.For, team = "service "+name, s.Team
	}
	t, err := catalog.GetTeam(ctx, r, team)
	if err != nil || out.For == "" && t.Escalation == "" {
		// A schedule may have a team's name.
		if _, ok, err := get[ScheduleSpec](ctx, r, KindSchedule, name); ok || err != nil {
			out.For = "schedule " + name
			return []string{name}, err
		}
	}
	if err != nil {
		return nil, problem.New(problem.NotFound, "oncall.who", "there is no service, team or schedule named %q", name).WithNext("flyball oncall who lists the schedules")
	}
	out.For = cmp.Or(out.For, "team "+name)
	if t.Escalation == "" {
		out.Nothing = fmt.Sprintf("team %s has no escalation policy: its %d webhooks are called", team, len(t.Page))
		return nil, nil
	}
	out.Policy = t.Escalation
	standing, err := Stand(ctx, r, t.Escalation, now)
	if err != nil {
		return nil, err
	}
	calls, _, _ := Next(Escalation{Policy: t.Escalation, Due: now}, standing, false, now)
	for _, p := range calls.Recipients {
		out.First = append(out.First, p.Name)
	}
	out.Reason = calls.Reason
	return d.schedulesOf(ctx, r, t.Escalation)
}

// schedulesOf lists the schedules that a policy, and those after it, page.
func (d *Desk) schedulesOf(ctx context.Context, r projection.Reader, policy string) (out []string, err error) {
	for n := 0; policy != "" && n <= maxThen; n++ {
		spec, _, err := get[EscalationSpec](ctx, r, KindEscalation, policy)
		if err != nil {
			return nil, err
		}
		for _, s := range spec.Steps {
			for _, t := range s.Notify {
				if t.Schedule != "" {
					out = append(out, t.Schedule)
				}
			}
		}
		policy = spec.Then
	}
	return out, nil
}

// Rota is the shifts of a schedule as applied, overrides included.
func (d *Desk) Rota(ctx context.Context, r projection.Reader, name string, from, to time.Time) ([]Shift, ScheduleSpec, error) {
	spec, err := d.schedule(ctx, r, name)
	if err != nil {
		return nil, spec, err
	}
	book, _, err := projection.Get[Book](ctx, r, ProjectionName, name)
	if err != nil {
		return nil, spec, err
	}
	shifts, err := spec.Shifts(from, to, book.Stints()...)
	return shifts, spec, err
}

func (d *Desk) rota(ctx context.Context, _ operation.Caller, in RotaInput) (operation.Page[Shift], error) {
	if in.From.IsZero() {
		in.From = d.Clock.Now().Truncate(time.Second)
	}
	if in.To.IsZero() {
		in.To = in.From.Add(window)
	}
	shifts, _, err := d.Rota(ctx, operation.Reader(ctx, d.Reader), in.Schedule, in.From, in.To)
	return page(shifts, in.After, in.Limit), err
}

// page cuts a list; the cursor is how many came before.
func page[T any](all []T, after string, limit int) operation.Page[T] {
	skip := 0
	if _, err := fmt.Sscanf(after, "%d", &skip); err != nil || skip < 0 {
		skip = 0
	}
	rest := all[min(skip, len(all)):]
	out := operation.Page[T]{Items: slices.Concat([]T{}, rest[:min(operation.Limit(limit, 100, 500), len(rest))])}
	if len(out.Items) < len(rest) {
		out.Next = fmt.Sprint(skip + len(out.Items))
	}
	return out
}

const maxOverride = 366 * 24 * time.Hour

func (d *Desk) override(ctx context.Context, caller operation.Caller, in OverrideInput) (Recorded, error) {
	if in.From.IsZero() {
		in.From = d.Clock.Now()
	}
	o := Overridden{Schedule: in.Schedule, Start: in.From.UTC().Truncate(time.Second), End: in.To.UTC().Truncate(time.Second), Person: in.Person, Replaces: in.Replaces, Reason: in.Reason}
	if !o.Start.Before(o.End) || o.End.Sub(o.Start) > maxOverride || !inRange(o.Start) || !inRange(o.End) {
		return Recorded{}, problem.New(problem.Invalid, "oncall.override", "from %s to %s is no time of at most a year", o.Start.Format(time.RFC3339), o.End.Format(time.RFC3339)).
			WithNext("give a --to after --from")
	}
	if !printable(o.Person) {
		return Recorded{}, problem.New(problem.Invalid, "oncall.override", "a person's name is at most 100 printable characters")
	}
	out, err := d.record(ctx, caller, in.Schedule, o)
	if err != nil {
		return Recorded{}, err
	}
	return out[0], nil
}

func (d *Desk) swap(ctx context.Context, caller operation.Caller, in SwapInput) (operation.Page[Recorded], error) {
	one, err := d.shiftAt(ctx, in.Schedule, in.One)
	if err != nil {
		return operation.Page[Recorded]{}, err
	}
	other, err := d.shiftAt(ctx, in.Schedule, in.Other)
	if err != nil {
		return operation.Page[Recorded]{}, err
	}
	if one.Person == other.Person {
		return operation.Page[Recorded]{}, problem.New(problem.Invalid, "oncall.swap", "%s has both shifts", one.Person).WithNext("flyball oncall rota %s lists the shifts", in.Schedule)
	}
	stand := func(shift Shift, by string) Overridden {
		return Overridden{Schedule: in.Schedule, Start: shift.Start, End: shift.End, Person: by, Replaces: shift.Person, Reason: in.Reason, Swap: true}
	}
	out, err := d.record(ctx, caller, in.Schedule, stand(one, other.Person), stand(other, one.Person))
	return operation.Page[Recorded]{Items: out}, err
}

// shiftAt is the one shift at a moment, whole.
func (d *Desk) shiftAt(ctx context.Context, schedule string, at time.Time) (Shift, error) {
	shifts, _, err := d.Rota(ctx, d.Reader, schedule, at.Add(-366*24*time.Hour), at.Add(366*24*time.Hour))
	if err != nil {
		return Shift{}, err
	}
	var found []Shift
	for _, s := range shifts {
		if !s.Start.After(at) && s.End.After(at) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return Shift{}, problem.New(problem.Conflict, "oncall.swap", "%d people are on call at %s", len(found), at.Format(time.RFC3339)).
			WithNext("flyball oncall rota %s lists the shifts; flyball oncall override does each by itself", schedule)
	}
	return found[0], nil
}

func (d *Desk) cancel(ctx context.Context, caller operation.Caller, in CancelInput) (Recorded, error) {
	version, err := d.Log.Version(ctx, stream(in.Schedule))
	if err != nil {
		return Recorded{}, err
	}
	if err := d.Sync(ctx); err != nil {
		return Recorded{}, err
	}
	known, err := Overrides(ctx, d.Reader, in.Schedule)
	if err != nil {
		return Recorded{}, err
	}
	i := slices.IndexFunc(known, func(r Recorded) bool { return r.ID == in.Override })
	if i < 0 {
		return Recorded{}, problem.New(problem.NotFound, "oncall.cancel", "there is no override %q of %s", in.Override, in.Schedule).WithNext("flyball oncall overrides %s lists them", in.Schedule)
	}
	_, err = d.Log.Append(ctx, event.Batch{Stream: stream(in.Schedule), Expect: version, Drafts: []event.Draft{{
		ID: operation.FactID(ctx, "cancelled"), Cause: operation.CallID(ctx), Type: EventCancelled, Subject: stream(in.Schedule), Time: d.Clock.Now(), Actor: caller.Name,
		Data: Cancelled{Schedule: in.Schedule, Override: in.Override, Reason: in.Reason},
	}}})
	if err == nil {
		err = d.Sync(ctx)
	}
	return known[i], err
}

func (d *Desk) overrides(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Recorded], error) {
	r := operation.Reader(ctx, d.Reader)
	if _, err := d.schedule(ctx, r, in.Schedule); err != nil {
		return operation.Page[Recorded]{}, err
	}
	all, err := Overrides(ctx, r, in.Schedule)
	all = slices.Clone(all)
	slices.Reverse(all)
	return page(all, in.After, in.Limit), err
}

func stream(schedule string) string { return "schedule/" + schedule }

func (d *Desk) record(ctx context.Context, caller operation.Caller, schedule string, facts ...Overridden) ([]Recorded, error) {
	if _, err := d.schedule(ctx, d.Reader, schedule); err != nil {
		return nil, err
	}
	var drafts []event.Draft
	for i, o := range facts {
		drafts = append(drafts, event.Draft{
			ID: operation.FactID(ctx, fmt.Sprint("overridden", i)), Cause: operation.CallID(ctx), Type: EventOverridden, Subject: stream(schedule), Time: d.Clock.Now(), Actor: caller.Name, Data: o,
		})
	}
	recorded, err := d.Log.Append(ctx, event.Batch{Stream: stream(schedule), Expect: event.AnyVersion, Drafts: drafts})
	if err != nil {
		return nil, err
	}
	if err := d.Sync(ctx); err != nil {
		return nil, err
	}
	var out []Recorded
	for i, e := range recorded {
		out = append(out, Recorded{ID: overrideID(e.Position), Overridden: facts[i], By: e.Actor})
	}
	return out, nil
}

// Tell is the answer in lines.
func (a Answer) Tell() string {
	var b strings.Builder
	if len(a.First) > 0 {
		fmt.Fprintf(&b, "%s: %s first (%s)\n", a.For, strings.Join(a.First, ", "), a.Reason)
	} else if a.Policy != "" {
		fmt.Fprintf(&b, "%s: nobody (%s)\n", a.For, a.Reason)
	}
	for _, o := range a.OnCall {
		loc, err := Zone(o.TimeZone).Location()
		if err != nil {
			loc = time.UTC
		}
		who, until := o.Person+" ("+o.Layer+")", ""
		if o.Person == "" {
			who = "nobody"
		}
		if !o.Until.IsZero() {
			until = " until " + o.Until.In(loc).Format("Mon 2006-01-02 15:04 MST")
		}
		fmt.Fprintf(&b, "%s: %s%s\n", o.Schedule, who, until)
	}
	if a.Nothing != "" {
		b.WriteString(a.Nothing)
	}
	return strings.TrimRight(b.String(), "\n")
}

// Header names the columns of a list of overrides.
func (r Recorded) Header() []string {
	return []string{"OVERRIDE", "FROM", "TO", "PERSON", "REPLACES", "BY", "REASON"}
}

// Rows is the override as a line of a list.
func (r Recorded) Rows() [][]string {
	return [][]string{{r.ID, r.Start.Format(time.RFC3339), r.End.Format(time.RFC3339), r.Person, cmp.Or(r.Replaces, "everybody"), r.By, r.Reason}}
}
