package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// AssignInput gives somebody a role.
type AssignInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Role     string `json:"role" required:"true" enum:"commander,communications,operations,scribe" doc:"commander, communications, operations or scribe"`
	Person   string `json:"person" doc:"who has it from now on (default: you)"`
	Reason   string `json:"reason" doc:"what whoever takes over must know"`
}

// SeverityInput changes a severity.
type SeverityInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Severity int    `json:"severity" arg:"2" doc:"1 worst, 4 hurts no user"`
	Reason   string `json:"reason" required:"true" doc:"why"`
}

// SnoozeInput puts off pages.
type SnoozeInput struct {
	Incident string        `json:"incident" arg:"1" doc:"name of the incident"`
	For      time.Duration `json:"for" doc:"for how long, 1m to 24h (default 30m)"`
	Reason   string        `json:"reason" doc:"what you wait for"`
}

// EscalateInput asks for more people.
type EscalateInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Policy   string `json:"policy" doc:"another EscalationPolicy, from its first step (default: go on with the one that holds)"`
	Reason   string `json:"reason" required:"true" doc:"whom you need and why; they read it"`
}

// UpdateInput tells those who wait.
type UpdateInput struct {
	Incident string        `json:"incident" arg:"1" doc:"name of the incident"`
	Text     string        `json:"text" required:"true" doc:"what they meet and what is done about it, at most 2000 characters; plain words, they do not know the systems"`
	Next     time.Duration `json:"next" doc:"when they will hear again, 5m to 24h (default: the team's interval for the severity)"`
	Public   bool          `json:"public" doc:"for customers too: on the public status page"`
}

// Bounds of what people say.
const (
	maxUpdate   = 2000 // characters
	maxName     = 100  // bytes
	maxSnooze   = 24 * time.Hour
	usualSnooze = 30 * time.Minute
)

// leading are the operations of those who lead an incident.
func (n *Incidents) leading() []operation.Operation {
	return []operation.Operation{
		lead(n, "assign", "Give somebody a role, or take it", "  flyball incident assign inc-checkout-20261102t120300 --role commander\n"+
			"  flyball incident assign inc-checkout-20261102t120300 --role communications --person ana --reason 'I am off at six'\n"+
			"Who takes the role of commander has the incident: it is acknowledged. Who is given a role by somebody else is told by a page.",
			func(in AssignInput) string { return in.Incident }, n.assign),
		lead(n, "severity", "Change the severity; people are paged when it rises", "  flyball incident severity inc-checkout-20261102t120300 1 --reason 'nobody can pay'",
			func(in SeverityInput) string { return in.Incident }, n.rate),
		lead(n, "snooze", "Put off further pages for a while; then they go on", "  flyball incident snooze inc-checkout-20261102t120300 --for 30m --reason 'the restore takes that long'\n"+
			"It is no acknowledgement: unless somebody acknowledges or resolves it, the next in the policy is paged when the time is over. When it gets worse, people are paged at once.",
			func(in SnoozeInput) string { return in.Incident }, n.snooze),
		lead(n, "escalate", "Page more people now, by this policy or another", "  flyball incident escalate inc-checkout-20261102t120300 --policy database --reason 'replication is stuck'\n"+
			"The pages go on until somebody acknowledges.",
			func(in EscalateInput) string { return in.Incident }, n.escalate),
		lead(n, "merge", "Make an incident part of another one", "  flyball incident merge inc-cart-20261102t120300 --into inc-checkout-20261102t120300\n"+
			"It is over then; its links and its timeline are seen from the other one, and what still happens where it was belongs to that. Nobody is paged again for what they know.",
			func(in MergeInput) string { return in.Incident }, n.merge),
		lead(n, "update", "Tell those who wait how it is, and when they will hear again", "  flyball incident update inc-checkout-20261102t120300 --text 'Paying by card fails for one in five. We have found the cause.' --next 30m --public",
			func(in UpdateInput) string { return in.Incident }, n.update),
	}
}

// lead declares one operation on one incident.
func lead[I any](n *Incidents, verb, summary, help string, name func(I) string, handle func(context.Context, operation.Caller, I) (Incident, error)) operation.Operation {
	return operation.Define(operation.Spec[I, Incident]{
		Noun: "incident", Verb: verb, Summary: summary, Help: help, Role: operation.Developer, Write: true,
		Scope:  func(ctx context.Context, in I) (operation.Scope, error) { return n.scope(ctx, name(in)) },
		Handle: handle,
	})
}

// open reads an incident that is not resolved.
func (n *Incidents) open(ctx context.Context, op, name string) (Incident, int64, error) {
	i, version, err := n.current(ctx, name)
	if err == nil && i.State == StateResolved {
		err = i.over(op)
	}
	return i, version, err
}

// over says that nothing can be done with an incident any more.
func (i Incident) over(op string) error {
	if i.Into != nil {
		return problem.New(problem.Conflict, op, "%s is part of %s since %s merged them", i.Place.Incident, i.Into.Incident, i.ResolvedBy).
			WithNext("go on there: flyball incident show %s", i.Into.Incident)
	}
	return problem.New(problem.Conflict, op, "%s was resolved by %s: %s", i.Place.Incident, i.ResolvedBy, i.Resolution).
		WithNext("declare another one if it hurts again: flyball incident declare %s --environment %s --title …", i.Service, i.Environment)
}

func (i Incident) stream() string { return stream(i.Service, i.Environment) }

func (n *Incidents) assign(ctx context.Context, caller operation.Caller, in AssignInput) (Incident, error) {
	i, version, err := n.open(ctx, "incident.assign", in.Incident)
	if err != nil {
		return i, err
	}
	if !slices.Contains(PeopleRoles, in.Role) {
		return i, problem.New(problem.Invalid, "incident.assign", "%q is no role; it is one of %s", in.Role, strings.Join(PeopleRoles, ", "))
	}
	in.Person = cmp.Or(in.Person, person(caller.Name))
	if !plainName(in.Person) {
		return i, problem.New(problem.Invalid, "incident.assign", "a person's name is at most %d printable characters", maxName)
	}
	if i.Who(in.Role) == in.Person {
		return i, nil // it is so already
	}
	facts := []said{{EventAssigned, Assigned{Place: i.Place, Role: in.Role, Person: in.Person, From: i.Who(in.Role), Reason: in.Reason}}}
	if in.Role == Commander && in.Person == person(caller.Name) && (i.AcknowledgedBy == "" || !i.SnoozedUntil.IsZero()) {
		facts = append(facts, said{EventAcknowledged, Said{Place: i.Place, Reason: in.Person + " took command"}})
	}
	return n.recordAll(ctx, caller, version, i.Place.Incident, i.stream(), facts...)
}

func plainName(s string) bool {
	return s != "" && len(s) <= maxName && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (n *Incidents) rate(ctx context.Context, caller operation.Caller, in SeverityInput) (Incident, error) {
	i, version, err := n.open(ctx, "incident.severity", in.Incident)
	if err != nil {
		return i, err
	}
	if in.Severity < 1 || in.Severity > severityNoUser {
		return i, problem.New(problem.Invalid, "incident.severity", "severity is %d; it must be between 1 and 4", in.Severity)
	}
	if in.Severity == i.Severity {
		return i, nil
	}
	return n.record(ctx, caller, version, i.Place.Incident, i.stream(), EventRated,
		Rated{Place: i.Place, Severity: in.Severity, Previous: i.Severity, Reason: in.Reason})
}

func (n *Incidents) snooze(ctx context.Context, caller operation.Caller, in SnoozeInput) (Incident, error) {
	i, version, err := n.open(ctx, "incident.snooze", in.Incident)
	if err != nil {
		return i, err
	}
	in.For = cmp.Or(in.For, usualSnooze)
	if in.For < time.Minute || in.For > maxSnooze {
		return i, problem.New(problem.Invalid, "incident.snooze", "for is %s; it must be between 1m and 24h", in.For)
	}
	if i.Paged == 0 {
		return i, problem.New(problem.Conflict, "incident.snooze", "nobody has been paged for %s, so there is nothing to put off", in.Incident)
	}
	return n.record(ctx, caller, version, i.Place.Incident, i.stream(), EventSnoozed,
		Snoozed{Place: i.Place, Until: n.Clock.Now().Add(in.For).UTC().Truncate(time.Second), Reason: in.Reason})
}

func (n *Incidents) escalate(ctx context.Context, caller operation.Caller, in EscalateInput) (Incident, error) {
	i, version, err := n.open(ctx, "incident.escalate", in.Incident)
	if err != nil {
		return i, err
	}
	team, err := catalog.GetTeam(ctx, n.Reader, i.Team)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return i, err
	}
	policy := cmp.Or(in.Policy, i.Policy, team.Escalation)
	if policy == "" {
		return i, problem.New(problem.Conflict, "incident.escalate", "team %s has no escalation policy", i.Team).
			WithNext("name one: flyball incident escalate %s --policy NAME", in.Incident)
	}
	if _, _, err := catalog.Get[oncall.EscalationSpec](ctx, n.Reader, oncall.KindEscalation, policy); err != nil {
		return i, err
	}
	turn, _, err := projection.Get[int](ctx, n.Reader, turnName, policy)
	if err != nil {
		return i, err
	}
	return n.record(ctx, caller, version, i.Place.Incident, i.stream(), EventEscalated, Escalated{Place: i.Place, Policy: policy, Turn: turn, Reason: in.Reason})
}

func (n *Incidents) update(ctx context.Context, caller operation.Caller, in UpdateInput) (Incident, error) {
	i, version, err := n.current(ctx, in.Incident)
	if err != nil {
		return i, err
	}
	if len([]rune(in.Text)) > maxUpdate {
		return i, problem.New(problem.Invalid, "incident.update", "the text has more than %d characters", maxUpdate)
	}
	every, err := n.every(ctx, i.Team)
	if err != nil {
		return i, err
	}
	u := Updated{Place: i.Place, Severity: i.Severity, State: i.State, Text: in.Text, Public: in.Public}
	switch {
	case in.Next != 0 && (in.Next < 5*time.Minute || in.Next > 24*time.Hour):
		return i, problem.New(problem.Invalid, "incident.update", "next is %s; it must be between 5m and 24h", in.Next)
	case i.State == StateResolved:
	case in.Next != 0:
		u.NextDue = n.Clock.Now().Add(in.Next).UTC().Truncate(time.Second)
	case every.Of(i.Severity) != 0:
		u.NextDue = n.Clock.Now().Add(every.Of(i.Severity)).UTC().Truncate(time.Second)
	}
	return n.record(ctx, caller, version, i.Place.Incident, i.stream(), EventUpdated, u)
}

// every is a team's clock for updates.
func (n *Incidents) every(ctx context.Context, team string) (catalog.Updates, error) {
	t, err := catalog.GetTeam(ctx, operation.Reader(ctx, n.Reader), team)
	if problem.KindOf(err) == problem.NotFound {
		err = nil
	}
	return t.Updates, err
}

// clock says when the next update is due.
func (n *Incidents) clock(ctx context.Context, out *ShowOutput) error {
	every, err := n.every(ctx, out.Team)
	now := n.Clock.Now()
	if at, ok := operation.At(ctx); ok {
		now = at
	}
	out.UpdateDue = out.NextDue(every)
	out.Overdue = !out.UpdateDue.IsZero() && out.UpdateDue.Before(now)
	return err
}

// tellLead writes how an incident is led as plain lines.
func (o ShowOutput) tellLead(b *strings.Builder) {
	for _, a := range o.Roles {
		from := ""
		if a.From != "" {
			from = ", from " + a.From
		}
		fmt.Fprintf(b, "%s is %s since %s%s\n", a.Role, a.Person, stamp(a.Since), from)
	}
	if !o.SnoozedUntil.IsZero() {
		fmt.Fprintf(b, "snoozed until %s\n", stamp(o.SnoozedUntil))
	}
	if o.Update != "" {
		fmt.Fprintf(b, "last update %s: %s\n", stamp(o.UpdatedAt), o.Update)
	}
	switch {
	case o.Overdue:
		fmt.Fprintf(b, "an update is overdue since %s\n", stamp(o.UpdateDue))
	case !o.UpdateDue.IsZero():
		fmt.Fprintf(b, "next update due %s\n", stamp(o.UpdateDue))
	}
	for _, t := range o.Tasks {
		fmt.Fprintf(b, "task %s\n", t)
	}
}
