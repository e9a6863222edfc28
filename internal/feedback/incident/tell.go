package incident

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// What single people are told, beside the pages of an escalation: that somebody
// gave them a role, and that an update is overdue.
const (
	PageAssigned = "incident.assigned"   // somebody gave you a role
	PageOverdue  = "incident.update_due" // those who wait were promised an update; of low urgency
	aboutUpdate  = "update"
)

func aboutRole(role string) string { return "role " + role }

// person is an actor's own name.
func person(actor string) string {
	if _, name, ok := strings.Cut(actor, ":"); ok {
		return name
	}
	return actor
}

// NextDue is when the next update to those who wait is due: as promised with
// the last one, else by the team's clock since the incident was opened. Zero:
// never.
func (i Incident) NextDue(every catalog.Updates) time.Time {
	switch {
	case i.State == StateResolved:
		return time.Time{}
	case i.Updates > 0:
		return i.NextUpdate
	}
	if d := every.Of(i.Severity); d > 0 {
		return i.OpenedAt.Add(d)
	}
	return time.Time{}
}

// telling is one thing that one person is to be told.
type telling struct {
	kind   string
	about  string
	person string // empty: nobody is there to be told
	due    time.Time
	reason string
	id     string
}

// tellings are what people are to be told now, and when there will be more.
func (d *desk) tellings() (out []telling, wake time.Time) {
	i := d.Open
	if i == nil {
		return nil, wake
	}
	for _, a := range i.Roles {
		if !a.Told {
			out = append(out, telling{
				kind: PageAssigned, about: aboutRole(a.Role), person: a.Person,
				reason: fmt.Sprintf("%s made you %s", person(a.By), a.Role), id: fmt.Sprintf("%s-%d", a.Role, a.Since.Unix()),
			})
		}
	}
	due := i.NextDue(d.Updates)
	switch {
	case due.IsZero() || i.Reminded.Equal(due):
	case due.After(d.now):
		wake = due
	default:
		out = append(out, telling{
			kind: PageOverdue, about: aboutUpdate, due: due,
			person: cmp.Or(i.Who(Communications), i.Who(Commander), person(i.AcknowledgedBy)),
			reason: fmt.Sprintf("an update was due at %s", due.UTC().Format("15:04 MST")), id: fmt.Sprintf("update-%d", due.Unix()),
		})
	}
	return out, wake
}

func personReading(name string) string { return oncall.SourceName + ":" + name }

// tell tells people what concerns them alone.
func (d *desk) tell(v control.View[State]) {
	all, wake := d.tellings()
	d.wake(wake)
	for _, t := range all {
		var s oncall.Standing
		if _, ok := v.Reading(personReading(t.person), &s); t.person != "" && !ok {
			d.wake(d.now.Add(holdCheck)) // not asked for yet
			continue
		}
		told := Told{Place: d.Open.Place, About: t.about, Due: t.due, Reason: t.reason}
		switch {
		case t.person == "":
			told.Reason += "; nobody has a role, so nobody is reminded"
		case len(s.Rounds) == 0 || len(s.Rounds[0].Notify) == 0:
			told.Reason += "; " + t.person + " has no contact"
		default:
			told.People = []string{t.person}
			m := Page{Type: t.kind, Person: t.person, Contacts: s.Rounds[0].Notify[0].Contacts}
			m.Data.Paged = &Summons{Person: t.person, Reason: t.reason, Low: t.kind == PageOverdue}
			d.propose(plainID(fmt.Sprintf("tell-%s-%s-", d.Open.Incident, t.id), t.person), "tell "+t.person, m)
		}
		i := d.Open.told(told)
		d.Open = &i
		d.fact(EventTold, told)
		d.because("tell", t.about, d.Open.Event, "%s: %s", d.Open.Incident, told.Reason)
	}
}

// wake asks for another decision at a moment, unless one is wanted earlier.
func (d *desk) wake(at time.Time) {
	if !at.IsZero() && (d.plan.Wake.IsZero() || at.Before(d.plan.Wake)) {
		d.plan.Wake = at
	}
}

// tellOwn writes what people who lead an incident did in one line; empty for
// every other fact.
func tellOwn(e event.Event) string {
	t, err := event.Decode[struct {
		Role, Person, From, Reason, Policy, Task, Text, Owner string
		Severity, Previous                                    int
		Until, Due                                            time.Time
		Into                                                  *Ref
		People                                                []string
	}](e)
	if err != nil {
		return ""
	}
	text, reason := "", t.Reason
	switch e.Type {
	case EventAssigned:
		text = t.Person + " is " + t.Role
		if t.From != "" {
			text += ", handed over from " + t.From
		}
	case EventRated:
		text = fmt.Sprintf("severity %d, was %d", t.Severity, t.Previous)
	case EventSnoozed:
		text = "no pages until " + t.Until.UTC().Format("15:04 MST")
	case EventEscalated:
		text = "more people are paged by " + t.Policy
	case EventMerged:
		if t.Into != nil {
			text = "merged into " + t.Into.Incident
		}
	case EventTaskAdded:
		text = fmt.Sprintf("task %s for %s", t.Task, cmp.Or(t.Owner, "nobody yet"))
		reason = t.Text
	case EventTaskDone:
		text = "task " + t.Task + " is done"
	case EventTold:
		if text, reason = t.Reason, ""; len(t.People) > 0 {
			text = strings.Join(t.People, ", ") + " was told: " + t.Reason
		}
	default:
		return ""
	}
	if reason != "" {
		text += ": " + reason
	}
	return text
}
