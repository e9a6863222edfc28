package maintenance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
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
	// Matcher says what is wrong with a condition on labels.
	Matcher func(string) error
	// Changed is told when a window was scheduled or ended; may be nil.
	Changed func()
	// Alerts are those that fire now and that the window would hold back.
	Alerts func(ctx context.Context, w Window) ([]Alert, error)
	// Objectives are the keys of a service's objectives in an environment; empty:
	// in all of them.
	Objectives func(service, environment string) []string
}

// WhatInput says what a window covers and when.
type WhatInput struct {
	Service     []string  `json:"service" doc:"what is covered: this service; may be repeated"`
	Team        []string  `json:"team" doc:"all services of this team; may be repeated"`
	Matcher     []string  `json:"matcher" doc:"only alerts with such a label, as alertname=~\"Disk.*\"; all must hold"`
	Environment []string  `json:"environment" doc:"only there; may be repeated (default: everywhere)"`
	Starts      time.Time `json:"starts" doc:"from when (default: now)"`
	Ends        time.Time `json:"ends" doc:"until when, instead of duration"`
	Duration    string    `json:"duration" doc:"for how long, such as 2h (default 1h)"`
	Title       string    `json:"title" doc:"one line (default: the window's name)"`
	Public      bool      `json:"public" doc:"the status page announces it"`
	Text        string    `json:"text" doc:"what users read there"`
}

// ScheduleInput plans a window.
type ScheduleInput struct {
	Window string `json:"window" arg:"1" doc:"a name for it: lower case letters, digits and hyphens"`
	Reason string `json:"reason" required:"true" doc:"why, for those who wonder"`
	WhatInput
}

// ListInput bounds a list of windows.
type ListInput struct {
	Service     string    `json:"service" doc:"those about this service only"`
	Environment string    `json:"environment" doc:"those about this environment only"`
	State       string    `json:"state" enum:"scheduled,active,over" doc:"scheduled, active or over; empty is all"`
	From        time.Time `json:"from" doc:"first moment (default: a week ago)"`
	To          time.Time `json:"to" doc:"last moment (default: four weeks from now)"`
	After       string    `json:"after" doc:"cursor from the page before"`
	Limit       int       `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// ShowInput names a window.
type ShowInput struct {
	Window string `json:"window" arg:"1" doc:"name of the window"`
}

// EndInput ends a window.
type EndInput struct {
	Window string `json:"window" arg:"1" doc:"name of the window"`
	Reason string `json:"reason" doc:"why, for the record"`
}

// PreviewInput asks what a window would hold back.
type PreviewInput struct {
	Window string `json:"window" arg:"1" required:"false" in:"query" doc:"name of a window that is there, instead of the rest"`
	WhatInput
}

// Shown is one window and when it is on.
type Shown struct {
	Window
	Next []Occurrence `json:"next" doc:"when it is on from now, within a year; at most ten"`
}

// Occurrences is a page of windows.
type Occurrences operation.Page[Occurrence]

// Header names the columns.
func (Occurrences) Header() []string {
	return []string{"WINDOW", "STATE", "FROM", "TO", "COVERS", "PUBLIC", "WHAT"}
}

// Rows are the lines.
func (o Occurrences) Rows() [][]string {
	const at = "Jan 2 15:04"
	var out [][]string
	for _, x := range o.Items {
		public := ""
		if x.Public {
			public = "yes"
		}
		out = append(out, []string{x.Window, x.State, x.Start.Local().Format(at), x.End.Local().Format(at), x.What(), public, x.Title})
	}
	return out
}

// What is what the occurrence covers, in a line.
func (o Occurrence) What() string {
	parts := slices.Clone(o.Services)
	for _, t := range o.Teams {
		parts = append(parts, "team "+t)
	}
	out := strings.Join(parts, ", ")
	if len(o.Matchers) > 0 {
		out = strings.TrimSpace(out + " " + strings.Join(o.Matchers, " "))
	}
	if len(o.Environments) > 0 {
		out += " in " + strings.Join(o.Environments, ", ")
	}
	return out
}

// Operations are what users can do with windows.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ScheduleInput, Occurrence]{
			Noun: "maintenance", Verb: "schedule", Summary: "Plan work: what it covers pages nobody meanwhile", Role: operation.Operator, Write: true,
			Help: "  flyball maintenance schedule db-upgrade --service checkout --duration 2h --reason 'PostgreSQL 17'\n" +
				"  flyball maintenance schedule move --team payments --starts 2026-12-01T22:00:00Z --ends 2026-12-02T02:00:00Z --reason 'new racks' --public --text 'Payments may be slow.'",
			Scope: func(ctx context.Context, in ScheduleInput) (operation.Scope, error) {
				return d.scope(ctx, in.spec(in.Reason, d.Clock.Now()))
			},
			Handle: d.schedule,
		}),
		operation.Define(operation.Spec[ListInput, Occurrences]{
			Noun: "maintenance", Verb: "list", Summary: "List planned work, in order of its beginning", Role: operation.Viewer, Handle: d.list,
		}),
		operation.Define(operation.Spec[ShowInput, Shown]{
			Noun: "maintenance", Verb: "show", Summary: "Show one window, and when it is on", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Shown, error) {
				w, err := d.find(ctx, operation.Reader(ctx, d.Reader), in.Window)
				if err != nil {
					return Shown{}, err
				}
				return d.shown(ctx, w)
			},
		}),
		operation.Define(operation.Spec[EndInput, Occurrence]{
			Noun: "maintenance", Verb: "end", Summary: "End a window that is on, or call its next time off", Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in EndInput) (operation.Scope, error) {
				w, err := d.find(ctx, d.Reader, in.Window)
				if err != nil {
					return operation.Scope{}, err
				}
				return d.scope(ctx, w.Spec)
			},
			Handle: d.end,
		}),
		operation.Define(operation.Spec[PreviewInput, Preview]{
			Noun: "maintenance", Verb: "preview", Summary: "Show what a window would hold back", Role: operation.Viewer,
			Help:   "  flyball maintenance preview db-upgrade\n  flyball maintenance preview --team payments --environment prod",
			Handle: d.preview,
		}),
	}
}

// spec is the window that an input describes.
func (in WhatInput) spec(reason string, now time.Time) WindowSpec {
	s := WindowSpec{
		Title: in.Title, Reason: reason, Services: in.Service, Teams: in.Team, Matchers: in.Matcher, Environments: in.Environment,
		Public: in.Public, Text: in.Text, From: oncall.Point{Instant: in.Starts.UTC()}, To: oncall.Point{Instant: in.Ends.UTC()},
	}
	if in.Starts.IsZero() {
		s.From = oncall.Point{Instant: now.UTC()}
	}
	// Whole seconds, as they are written.
	s.From.Instant = s.From.Instant.Truncate(time.Second)
	if in.Ends.IsZero() {
		length, err := time.ParseDuration(in.Duration)
		if err != nil || length <= 0 {
			length = time.Hour
		}
		s.To = oncall.Point{Instant: s.From.Instant.Add(length)}
	}
	s.To.Instant = s.To.Instant.Truncate(time.Second)
	return s
}

// scope is whose permission a window needs: the team's when all it covers is of
// one team, otherwise everywhere's.
func (d *Desk) scope(ctx context.Context, s WindowSpec) (operation.Scope, error) {
	var at operation.Scope
	if len(s.Environments) == 1 {
		at.Environment = s.Environments[0]
	}
	teams := map[string]bool{}
	for _, t := range s.Teams {
		teams[t] = true
	}
	for _, name := range s.Services {
		svc, err := catalog.GetService(ctx, d.Reader, name)
		if err != nil {
			return at, err
		}
		teams[svc.Team] = true
	}
	if len(teams) == 1 {
		for t := range teams {
			at.Team = t
		}
	}
	return at, nil
}

// check refuses a window that cannot be: flawed, or of what the catalog does not
// know.
func (d *Desk) check(ctx context.Context, in WhatInput, s WindowSpec, fields ...flaw) error {
	if in.Duration != "" {
		if length, err := time.ParseDuration(in.Duration); err != nil || length <= 0 || !in.Ends.IsZero() {
			fields = append(fields, flaw{"duration", "format", fmt.Sprintf("%q is not a duration such as 2h, or ends is given too", in.Duration)})
		}
	}
	if fields = append(fields, s.check(d.Matcher)...); len(fields) > 0 {
		return problem.New(problem.Invalid, "maintenance.schedule", "%s: %s", fields[0].path, fields[0].text)
	}
	for kind, names := range map[string][]string{catalog.KindTeam: s.Teams, catalog.KindEnvironment: s.Environments, catalog.KindService: s.Services} {
		for _, name := range names {
			if _, _, err := catalog.Get[struct{}](ctx, d.Reader, kind, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Desk) schedule(ctx context.Context, c operation.Caller, in ScheduleInput) (Occurrence, error) {
	now := d.Clock.Now()
	s := in.spec(in.Reason, now)
	var named []flaw
	if !plain(in.Window) {
		named = append(named, flaw{"window", "format", "a window's name has lower case letters, digits and hyphens, at most 63"})
	}
	if err := d.check(ctx, in.WhatInput, s, named...); err != nil {
		return Occurrence{}, err
	}
	w := Window{Name: in.Window, Spec: s, By: c.Name}
	all, err := w.Occurrences(now, now.Add(MaxSpan), now)
	if err != nil || len(all) == 0 {
		return Occurrence{}, problem.New(problem.Invalid, "maintenance.schedule", "a window from %s to %s is over, or more than two years away",
			s.From.Instant.Format(stamp), s.To.Instant.Format(stamp))
	}
	version, err := d.Log.Version(ctx, "maintenance/"+in.Window)
	if err != nil {
		return Occurrence{}, err
	}
	if err := d.Sync(ctx); err != nil {
		return Occurrence{}, err
	}
	if known, err := d.find(ctx, d.Reader, in.Window); err == nil {
		return Occurrence{}, problem.New(problem.Conflict, "maintenance.schedule", "there is a window %q already", known.Name).
			WithNext("choose another name; flyball maintenance show %s shows it", known.Name)
	} else if problem.KindOf(err) != problem.NotFound {
		return Occurrence{}, err
	}
	return all[0], d.append(ctx, version, in.Window, EventScheduled, c.Name, Planned{Window: in.Window, Spec: s})
}

func (d *Desk) append(ctx context.Context, version int64, window, typ, actor string, data any) error {
	_, err := d.Log.Append(ctx, event.Batch{Stream: "maintenance/" + window, Expect: version, Drafts: []event.Draft{{Type: typ, Actor: actor, Data: data}}})
	if err != nil {
		return err
	}
	if err := d.Sync(ctx); err != nil {
		return err
	}
	if d.Changed != nil {
		d.Changed()
	}
	return nil
}

// find reads a window that is declared, or scheduled and not over.
func (d *Desk) find(ctx context.Context, r projection.Reader, name string) (Window, error) {
	windows, err := Windows(ctx, r, d.now(ctx))
	if err != nil {
		return Window{}, err
	}
	for _, w := range windows {
		if w.Name == name {
			return w, nil
		}
	}
	return Window{}, problem.New(problem.NotFound, "maintenance.show", "there is no window %q, or it is over", name[:min(len(name), 80)]).
		WithNext("flyball maintenance list shows the windows")
}

// now is the moment that is asked about.
func (d *Desk) now(ctx context.Context) time.Time {
	if at, ok := operation.At(ctx); ok {
		return at
	}
	return d.Clock.Now()
}

func (d *Desk) shown(ctx context.Context, w Window) (Shown, error) {
	now := d.now(ctx)
	next, err := w.Occurrences(now, now.Add(366*24*time.Hour), now)
	return Shown{Window: w, Next: next[:min(len(next), 10)]}, err
}

func (d *Desk) list(ctx context.Context, _ operation.Caller, in ListInput) (Occurrences, error) {
	r, now := operation.Reader(ctx, d.Reader), d.now(ctx)
	if in.From.IsZero() {
		in.From = now.Add(-7 * 24 * time.Hour)
	}
	if in.To.IsZero() {
		in.To = latest(now, in.From).Add(28 * 24 * time.Hour)
	}
	all, err := List(ctx, r, in.From, in.To, now)
	if err != nil {
		return Occurrences{}, err
	}
	team := ""
	if in.Service != "" {
		svc, err := catalog.GetService(ctx, r, in.Service)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return Occurrences{}, err
		}
		team = svc.Team
	}
	all = slices.DeleteFunc(all, func(o Occurrence) bool {
		return o.ID <= in.After || in.State != "" && o.State != in.State || !o.about(in.Service, team, in.Environment)
	})
	out := Occurrences{Items: all}
	if limit := operation.Limit(in.Limit, 100, 1000); len(all) > limit {
		out.Items, out.Next = all[:limit], all[limit-1].ID
	}
	return out, nil
}

// about reports whether the occurrence is about a service of a team, or an
// environment; an empty one is not asked for.
func (o Occurrence) about(service, team, environment string) bool {
	if environment != "" && len(o.Environments) > 0 && !slices.Contains(o.Environments, environment) {
		return false
	}
	return service == "" || slices.Contains(o.Services, service) || team != "" && slices.Contains(o.Teams, team)
}

func (d *Desk) end(ctx context.Context, c operation.Caller, in EndInput) (Occurrence, error) {
	w, err := d.find(ctx, d.Reader, in.Window)
	if err != nil {
		return Occurrence{}, err
	}
	now := d.Clock.Now().UTC()
	all, err := w.Occurrences(now, now.Add(MaxSpan), now)
	if err != nil {
		return Occurrence{}, err
	}
	if len(all) == 0 {
		return Occurrence{}, problem.New(problem.Conflict, "maintenance.end", "%s is not on, and will not be", w.Name)
	}
	o := all[0]
	o.End, o.EndedBy, o.State = latest(now, o.Start), c.Name, Over
	return o, d.append(ctx, event.AnyVersion, w.Name, EventEnded, c.Name, Ended{Window: w.Name, Start: o.Start, End: o.End, Reason: in.Reason})
}

// plain reports whether s may be part of a stream's name.
func plain(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' })
}
