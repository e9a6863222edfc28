package incident

import (
	"cmp"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// The roles people have in an incident, after the incident command system.
const (
	Commander      = "commander"      // decides, and keeps the overview
	Communications = "communications" // tells everybody who waits
	Operations     = "operations"     // changes the systems
	Scribe         = "scribe"         // writes down what is not in the log by itself
)

// PeopleRoles are all of them, in the order in which they are shown.
var PeopleRoles = []string{Commander, Communications, Operations, Scribe}

// Command is how an incident is led.
type Command struct {
	Roles        []Assignment `json:"roles,omitempty" table:"-" doc:"who has which role"`
	SnoozedUntil time.Time    `json:"snoozed_until,omitzero" doc:"nobody is paged again before, unless it gets worse"`
	Tasks        []Task       `json:"tasks,omitempty" table:"-" doc:"what somebody is to do, at most 100"`
	Updates      int          `json:"updates,omitempty" doc:"stakeholder updates so far"`
	UpdatedAt    time.Time    `json:"updated_at,omitzero" doc:"of the last one"`
	Update       string       `json:"update,omitempty" doc:"text of the last one"`
	NextUpdate   time.Time    `json:"next_update,omitzero" doc:"when the next one was promised"`
	Reminded     time.Time    `json:"reminded,omitzero" doc:"due moment of the update somebody was reminded of"`
	Policy       string       `json:"policy,omitempty" doc:"escalation policy somebody chose instead of the team's"`
	Asked        string       `json:"asked,omitempty" doc:"who wants more people and why, until somebody acknowledges"`
	Again        int          `json:"again,omitempty" doc:"how often people changed the course of its pages"`
}

// Assignment is who has a role.
type Assignment struct {
	Role   string    `json:"role"`
	Person string    `json:"person"`
	Since  time.Time `json:"since"`
	By     string    `json:"by" doc:"who said so"`
	From   string    `json:"from,omitempty" doc:"who had it before"`
	Told   bool      `json:"told" doc:"the person knows: said so, or was told"`
}

// Task is something to do while an incident lasts.
type Task struct {
	Task    string    `json:"task" doc:"name within the incident"`
	Text    string    `json:"text"`
	Owner   string    `json:"owner,omitempty"`
	Due     time.Time `json:"due,omitzero"`
	AddedAt time.Time `json:"added_at"`
	AddedBy string    `json:"added_by"`
	DoneAt  time.Time `json:"done_at,omitzero"`
	DoneBy  string    `json:"done_by,omitempty"`
	Result  string    `json:"result,omitempty" doc:"what came of it"`
}

const maxTasks = 100

// Who is who has a role, empty when nobody has.
func (c Command) Who(role string) string {
	for _, a := range c.Roles {
		if a.Role == role {
			return a.Person
		}
	}
	return ""
}

// OpenTasks counts what is still to do.
func (c Command) OpenTasks() (n int) {
	for _, t := range c.Tasks {
		if t.DoneAt.IsZero() {
			n++
		}
	}
	return n
}

// led is the incident after what somebody who leads it did; ok is false for
// every other fact.
func (i Incident) led(e event.Event) (Incident, bool, error) {
	var err error
	switch e.Type {
	case EventAssigned:
		var a Assigned
		if a, err = event.Decode[Assigned](e); err == nil {
			i = i.assigned(a, e)
		}
	case EventRated:
		var r Rated
		if r, err = event.Decode[Rated](e); err == nil {
			i = i.rated(r)
		}
	case EventSnoozed:
		var s Snoozed
		if s, err = event.Decode[Snoozed](e); err == nil {
			i = i.snoozed(s)
		}
	case EventEscalated:
		var x Escalated
		if x, err = event.Decode[Escalated](e); err == nil {
			i = i.escalated(x, e)
		}
	case EventTaskAdded, EventTaskDone:
		i, err = i.tasked(e)
	case EventUpdated:
		var u Updated
		u, err = event.Decode[Updated](e)
		i.Updates, i.UpdatedAt, i.Update, i.NextUpdate = i.Updates+1, e.Time, u.Text, u.NextDue
	case EventTold:
		var t Told
		if t, err = event.Decode[Told](e); err == nil {
			i = i.told(t)
		}
	default:
		return i, false, nil
	}
	i.State = i.state()
	return i, true, err
}

func (i Incident) assigned(a Assigned, e event.Event) Incident {
	next := Assignment{Role: a.Role, Person: a.Person, Since: e.Time, By: e.Actor, From: a.From, Told: person(e.Actor) == a.Person}
	i.Roles = slices.DeleteFunc(slices.Clone(i.Roles), func(x Assignment) bool { return x.Role == a.Role })
	i.Roles = append(i.Roles, next)
	slices.SortFunc(i.Roles, func(x, y Assignment) int {
		return cmp.Compare(slices.Index(PeopleRoles, x.Role), slices.Index(PeopleRoles, y.Role))
	})
	return i
}

// rated is the incident with another severity. What people were told is at most
// as bad as what holds now, so that a later turn for the worse is news again.
func (i Incident) rated(r Rated) Incident {
	i.Severity = r.Severity
	if i.Paged != 0 {
		i.Paged = max(i.Paged, r.Severity)
	}
	i.Again++
	return i
}

// snoozed is the incident whose pages go on later. Once everybody was paged,
// they begin anew.
func (i Incident) snoozed(s Snoozed) Incident {
	i.SnoozedUntil = s.Until
	i.Again++
	if i.Escalation != nil {
		e := *i.Escalation
		if e.Done {
			e = oncall.Escalation{Policy: e.Policy, Turn: e.Turn}
		}
		e.Stopped, e.Due = false, s.Until
		i.Escalation = &e
	}
	return i
}

// escalated is the incident whose pages go on now, by the same policy from
// where it is, by another from its beginning.
func (i Incident) escalated(x Escalated, by event.Event) Incident {
	e := oncall.Escalation{Policy: x.Policy, Turn: x.Turn}
	if before := i.Escalation; before != nil && before.Policy == x.Policy && !before.Done {
		e = *before
	}
	e.Stopped, e.Due = false, by.Time
	i.Escalation, i.Policy = &e, x.Policy
	i.Asked = person(by.Actor) + " wants more people: " + x.Reason
	i.SnoozedUntil, i.AcknowledgedAt, i.AcknowledgedBy = time.Time{}, time.Time{}, ""
	i.Again++
	return i
}

func (i Incident) tasked(e event.Event) (Incident, error) {
	i.Tasks = slices.Clone(i.Tasks)
	if e.Type == EventTaskAdded {
		t, err := event.Decode[TaskAdded](e)
		if len(i.Tasks) < maxTasks {
			i.Tasks = append(i.Tasks, Task{Task: t.Task, Text: t.Text, Owner: t.Owner, Due: t.Due, AddedAt: e.Time, AddedBy: e.Actor})
		}
		return i, err
	}
	d, err := event.Decode[TaskDone](e)
	for n, t := range i.Tasks {
		if t.Task == d.Task {
			i.Tasks[n].DoneAt, i.Tasks[n].DoneBy, i.Tasks[n].Result = e.Time, e.Actor, d.Reason
		}
	}
	return i, err
}

func (i Incident) told(t Told) Incident {
	if t.About == aboutUpdate {
		i.Reminded = t.Due
		return i
	}
	i.Roles = slices.Clone(i.Roles)
	for n, a := range i.Roles {
		if aboutRole(a.Role) == t.About {
			i.Roles[n].Told = true
		}
	}
	return i
}
