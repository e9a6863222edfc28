package incident

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Incidents is what the operations on incidents work with.
type Incidents struct {
	Log    event.Log
	Reader projection.Reader
	Clock  clock.Clock
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error
	// Costs is what an incident spent of each objective's budget; may be nil.
	Costs func(ctx context.Context, service, environment, incident string) ([]budget.Cost, error)
	// Past is what an objective counted, to find out when trouble began; may be nil.
	Past History
}

// ListInput bounds a list of incidents.
type ListInput struct {
	State   string `json:"state" enum:"open,resolved,all" doc:"open (default), resolved or all"`
	Service string `json:"service" doc:"of this service only, whatever their state"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// ShowInput names an incident.
type ShowInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
}

// ShowOutput is an incident with what happened.
type ShowOutput struct {
	Incident
	UpdateDue time.Time `json:"update_due,omitzero" doc:"when the next stakeholder update is due"`
	Investigation
	Overdue  bool          `json:"overdue,omitempty" doc:"that moment has passed"`
	Timeline []Entry       `json:"timeline" doc:"facts about it and what it is linked to, oldest first"`
	Cost     []budget.Cost `json:"cost,omitempty" doc:"what it spent of each objective's budget, and who is charged"`
}

// SayInput is something a person says about an incident.
type SayInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Reason   string `json:"reason" doc:"a few words for the timeline"`
}

// NoteInput is a note.
type NoteInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Text     string `json:"text" arg:"2" doc:"the note"`
}

// BlameInput names a cause.
type BlameInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Rollout  string `json:"rollout" required:"true" doc:"rollout that caused it"`
	Reason   string `json:"reason" required:"true" doc:"how you know"`
}

// ResolveInput ends an incident.
type ResolveInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Reason   string `json:"reason" required:"true" doc:"what ended it"`
	Anyway   bool   `json:"anyway" doc:"although an alert still fires"`
}

// DeclareInput opens an incident by hand.
type DeclareInput struct {
	Service     string `json:"service" arg:"1" doc:"service that is hurt"`
	Environment string `json:"environment" required:"true" doc:"environment it is hurt in"`
	Title       string `json:"title" required:"true" doc:"what users meet"`
	Severity    int    `json:"severity" doc:"1 worst, 4 hurts no user (default 2)"`
}

// Operations are what users can do with incidents.
func (n *Incidents) Operations() []operation.Operation {
	say := func(verb, summary, typ string) operation.Operation {
		return operation.Define(operation.Spec[SayInput, Incident]{
			Noun: "incident", Verb: verb, Summary: summary, Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in SayInput) (operation.Scope, error) { return n.scope(ctx, in.Incident) },
			Handle: func(ctx context.Context, caller operation.Caller, in SayInput) (Incident, error) {
				return n.say(ctx, caller, in.Incident, typ, in.Reason)
			},
		})
	}
	return slices.Concat(n.leading(), n.tasking(), n.calling(), []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Incident]]{
			Noun: "incident", Verb: "list", Summary: "List incidents, newest first", Role: operation.Viewer, Handle: n.list,
		}),
		operation.Define(operation.Spec[ShowInput, ShowOutput]{
			Noun: "incident", Verb: "show", Summary: "Show an incident: who has it, what changed, what happened", Role: operation.Viewer,
			Scope:  func(ctx context.Context, in ShowInput) (operation.Scope, error) { return n.scope(ctx, in.Incident) },
			Handle: n.show,
		}),
		operation.Define(operation.Spec[DeclareInput, Incident]{
			Noun: "incident", Verb: "declare", Summary: "Open an incident by hand and page the team",
			Help: "  flyball incident declare checkout --environment prod --title 'customers report double charges' --severity 1",
			Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in DeclareInput) (operation.Scope, error) {
				s, err := catalog.GetService(ctx, n.Reader, in.Service)
				return operation.Scope{Team: s.Team, Environment: in.Environment}, err
			},
			Handle: n.declare,
		}),
		say("ack", "Say that you have it", EventAcknowledged),
		operation.Define(operation.Spec[NoteInput, Incident]{
			Noun: "incident", Verb: "note", Summary: "Add a note to the timeline", Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in NoteInput) (operation.Scope, error) { return n.scope(ctx, in.Incident) },
			Handle: func(ctx context.Context, caller operation.Caller, in NoteInput) (Incident, error) {
				return n.say(ctx, caller, in.Incident, EventNoted, in.Text)
			},
		}),
		operation.Define(operation.Spec[BlameInput, Incident]{
			Noun: "incident", Verb: "blame", Summary: "Name the rollout that caused it: its deployment then counts as failed",
			Help: "That a rollout came before an incident proves nothing, so no number blames it until somebody does.",
			Role: operation.Developer, Write: true,
			Scope:  func(ctx context.Context, in BlameInput) (operation.Scope, error) { return n.scope(ctx, in.Incident) },
			Handle: n.blame,
		}),
		operation.Define(operation.Spec[ResolveInput, Incident]{
			Noun: "incident", Verb: "resolve", Summary: "End an incident", Role: operation.Developer, Write: true,
			Help:   "Refused while a page-level alert still fires, unless --anyway.",
			Scope:  func(ctx context.Context, in ResolveInput) (operation.Scope, error) { return n.scope(ctx, in.Incident) },
			Handle: n.resolve,
		}),
	})
}

func missing(name string) error {
	return problem.New(problem.NotFound, "incident", "there is no incident named %q", name).WithNext("flyball incident list --state all shows them")
}

func (n *Incidents) scope(ctx context.Context, name string) (operation.Scope, error) {
	i, ok, err := Get(ctx, n.Reader, name)
	if err == nil && !ok {
		err = missing(name)
	}
	return operation.Scope{Team: i.Team, Environment: i.Environment}, err
}

func (n *Incidents) list(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Incident], error) {
	f := projection.Filter{Index: "state", Value: "open", After: in.After, Limit: 50, Newest: true}
	if in.Limit > 0 {
		f.Limit = min(in.Limit, 500)
	}
	switch {
	case in.Service != "":
		f.Index, f.Value = "service", in.Service
	case in.State == "all":
		f.Index, f.Value = "all", "yes"
	case in.State != "":
		f.Value = in.State
	}
	items, next, err := projection.List[Incident](ctx, operation.Reader(ctx, n.Reader), ProjectionName, f)
	return operation.Page[Incident]{Items: items, Next: next}, err
}

func (n *Incidents) show(ctx context.Context, _ operation.Caller, in ShowInput) (ShowOutput, error) {
	i, ok, err := Get(ctx, operation.Reader(ctx, n.Reader), in.Incident)
	if err == nil && !ok {
		err = missing(in.Incident)
	}
	if err != nil {
		return ShowOutput{}, err
	}
	at, _ := operation.At(ctx)
	out := ShowOutput{Incident: i}
	if err := n.clock(ctx, &out); err != nil {
		return out, err
	}
	if out.Investigation, err = n.investigate(ctx, i); err != nil {
		return out, err
	}
	family, err := n.gather(ctx, &out.Incident)
	if err != nil {
		return out, err
	}
	if out.Timeline, err = Timeline(ctx, n.Log, i, at, family...); err == nil && n.Costs != nil {
		out.Cost, err = n.Costs(ctx, i.Service, i.Environment, i.Place.Incident)
	}
	return out, err
}

// current reads an incident that is not resolved, with the version of its
// stream: what is appended at that version is decided on what was read.
func (n *Incidents) current(ctx context.Context, name string) (i Incident, version int64, err error) {
	if err := n.Sync(ctx); err != nil {
		return i, 0, err
	}
	i, ok, err := Get(ctx, n.Reader, name)
	if err == nil && !ok {
		err = missing(name)
	}
	if err != nil {
		return i, 0, err
	}
	if version, err = n.Log.Version(ctx, stream(i.Service, i.Environment)); err != nil {
		return i, 0, err
	}
	if err = n.Sync(ctx); err == nil {
		i, _, err = Get(ctx, n.Reader, name)
	}
	return i, version, err
}

func stream(service, environment string) string { return "incident/" + Key(service, environment) }

func (n *Incidents) say(ctx context.Context, caller operation.Caller, name, typ, reason string) (Incident, error) {
	i, version, err := n.current(ctx, name)
	if err != nil {
		return i, err
	}
	if i.State == StateResolved && typ != EventNoted {
		return i, i.over(typ)
	}
	said := Said{Place: i.Place, Reason: reason}
	if typ == EventResolved {
		if said.Merged, err = n.family(ctx, i); err != nil {
			return i, err
		}
	}
	return n.record(ctx, caller, version, name, stream(i.Service, i.Environment), typ, said)
}

func (n *Incidents) resolve(ctx context.Context, caller operation.Caller, in ResolveInput) (Incident, error) {
	if !in.Anyway {
		i, _, err := n.current(ctx, in.Incident)
		if err != nil {
			return i, err
		}
		d, _, err := projection.Get[Desk](ctx, n.Reader, deskName, Key(i.Service, i.Environment))
		if err != nil {
			return i, err
		}
		all, err := parts(ctx, n.Reader, &i)
		if err != nil {
			return i, err
		}
		if d.Firing == nil {
			d.Firing = map[string]Signal{}
		}
		for _, p := range all {
			maps.Copy(d.Firing, p.Firing)
		}
		if len(d.Firing) > 0 {
			first := d.Firing[slices.Min(slices.Collect(maps.Keys(d.Firing)))]
			return i, problem.New(problem.Conflict, "incident.resolve", "an alert still fires: %s", first.Text).
				WithNext("wait until it has resolved, or say --anyway")
		}
	}
	return n.say(ctx, caller, in.Incident, EventResolved, in.Reason)
}

func (n *Incidents) blame(ctx context.Context, caller operation.Caller, in BlameInput) (Incident, error) {
	i, version, err := n.current(ctx, in.Incident)
	if err != nil {
		return i, err
	}
	started, err := n.Log.Read(ctx, event.Query{Subject: "rollout/" + in.Rollout, Types: []string{rolloutStarted}, Limit: 1})
	if err != nil {
		return i, err
	}
	var f foreign
	if len(started) > 0 {
		if f, err = event.Decode[foreign](started[0]); err != nil {
			return i, err
		}
	}
	if f.Service != i.Service || f.Environment != i.Environment {
		return i, problem.New(problem.NotFound, "incident.blame", "there is no rollout %q of %s to %s", in.Rollout, i.Service, i.Environment).
			WithNext("flyball rollout list --service %s shows them", i.Service)
	}
	return n.record(ctx, caller, version, i.Place.Incident, stream(i.Service, i.Environment), EventLinked, Linked{
		Place: i.Place, Severity: i.Severity,
		Link: Link{Kind: KindPromotion, Role: RoleCulprit, Rollout: in.Rollout, Change: f.Change, At: started[0].Time, Text: in.Reason},
	})
}

func (n *Incidents) declare(ctx context.Context, caller operation.Caller, in DeclareInput) (Incident, error) {
	if in.Severity == 0 {
		in.Severity = severityBurn
	}
	if in.Severity < 1 || in.Severity > severityNoUser {
		return Incident{}, problem.New(problem.Invalid, "incident.declare", "severity is %d; it must be between 1 and 4", in.Severity)
	}
	service, err := catalog.GetService(ctx, n.Reader, in.Service)
	if err != nil {
		return Incident{}, err
	}
	if _, err := catalog.GetEnvironment(ctx, n.Reader, in.Environment); err != nil {
		return Incident{}, err
	}
	version, err := n.Log.Version(ctx, stream(in.Service, in.Environment))
	if err != nil {
		return Incident{}, err
	}
	if err := n.Sync(ctx); err != nil {
		return Incident{}, err
	}
	s, err := load(ctx, n.Reader, Key(in.Service, in.Environment))
	if err != nil {
		return Incident{}, err
	}
	if s.Open != nil && s.Open.Into != nil {
		return Incident{}, s.Open.over("incident.declare")
	}
	if s.Open != nil && s.Open.Event != operation.FactID(ctx, EventOpened) {
		return Incident{}, problem.New(problem.Conflict, "incident.declare", "%s is open for %s in %s already: %s", s.Open.Incident, in.Service, in.Environment, s.Open.Title).
			WithNext("add what you know to it: flyball incident note %s '…'", s.Open.Incident)
	}
	now := n.Clock.Now()
	environments, err := catalog.Environments(ctx, n.Reader)
	if err != nil {
		return Incident{}, err
	}
	users := environments[len(environments)-1].Name == in.Environment
	place := Place{Incident: Name(in.Service, in.Environment, users, s.Last, now), Service: in.Service, Team: service.Team, Environment: in.Environment}
	return n.record(ctx, caller, version, place.Incident, stream(in.Service, in.Environment), EventOpened,
		Opened{Place: place, Severity: in.Severity, Title: in.Title, Began: now})
}

func (n *Incidents) record(ctx context.Context, caller operation.Caller, version int64, name, stream, typ string, data any) (Incident, error) {
	return n.recordAll(ctx, caller, version, name, stream, said{typ, data})
}

// said is a fact that a person's act leads to.
type said struct {
	typ  string
	data any
}

func (n *Incidents) recordAll(ctx context.Context, caller operation.Caller, version int64, name, stream string, facts ...said) (Incident, error) {
	batch := event.Batch{Stream: stream, Expect: version}
	for _, f := range facts {
		batch.Drafts = append(batch.Drafts, event.Draft{
			ID: operation.FactID(ctx, f.typ), Type: f.typ, Subject: "incident/" + name, Time: n.Clock.Now(), Actor: caller.Name, Cause: operation.CallID(ctx), Data: f.data,
		})
	}
	if _, err := n.Log.Append(ctx, batch); err != nil {
		return Incident{}, err
	}
	if err := n.Sync(ctx); err != nil {
		return Incident{}, err
	}
	i, _, err := Get(ctx, n.Reader, name)
	return i, err
}

// Header names the columns of a list of incidents.
func (i Incident) Header() []string {
	return []string{"INCIDENT", "SEV", "STATE", "SERVICE", "ENV", "OPENED", "WHO HAS IT", "TITLE"}
}

// Rows is the incident as a line of a list.
func (i Incident) Rows() [][]string {
	who := cmp.Or(i.Who(Commander), i.AcknowledgedBy, "nobody yet")
	return [][]string{{i.Incident, strconv.Itoa(i.Severity), i.State, i.Service, i.Environment, stamp(i.OpenedAt), who, i.Title}}
}

// Tell is the incident and its timeline as plain lines.
func (o ShowOutput) Tell() string {
	i := o.Incident
	var b strings.Builder
	fmt.Fprintf(&b, "%s (severity %d, %s): %s\n", i.Place.Incident, i.Severity, i.State, i.Title)
	fmt.Fprintf(&b, "%s in %s, team %s; began %s\n", i.Service, i.Environment, i.Team, stamp(i.BeganAt))
	if i.AcknowledgedBy != "" {
		fmt.Fprintf(&b, "%s has it since %s\n", i.AcknowledgedBy, stamp(i.AcknowledgedAt))
	}
	o.tellLead(&b)
	for _, s := range o.Suspects {
		fmt.Fprintf(&b, "suspect (%d of 100) %s: %s\n", s.Score, s.Name, strings.Join(s.Why, "; "))
	}
	if i.Mitigation != "" {
		fmt.Fprintf(&b, "mitigated %s: %s\n", stamp(i.MitigatedAt), i.Mitigation)
	}
	if i.Resolution != "" {
		fmt.Fprintf(&b, "resolved %s by %s: %s\n", stamp(i.ResolvedAt), i.ResolvedBy, i.Resolution)
	}
	for _, c := range o.Cost {
		fmt.Fprintf(&b, "cost %s\n", c)
	}
	for _, e := range o.Timeline {
		fmt.Fprintf(&b, "  %s  %-24s %s (%s)\n", stamp(e.At), e.Type, e.Text, e.Actor)
	}
	return b.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }
