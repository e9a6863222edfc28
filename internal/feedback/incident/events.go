package incident

import (
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
)

// The facts about incidents. Their stream is incident/SERVICE.ENVIRONMENT, so
// that two can never be opened there at once; their subject is incident/NAME.
const (
	EventOpened       = "incident.opened"       // data is Opened
	EventLinked       = "incident.linked"       // data is Linked
	EventHeld         = "incident.held"         // data is Held
	EventSuppressed   = "incident.suppressed"   // data is Suppressed; of a place, before there is an incident or beside it
	EventMirrored     = "incident.mirrored"     // data is Mirrored; in the stream mirror/INCIDENT
	EventPaged        = "incident.paged"        // data is Paged
	EventAcknowledged = "incident.acknowledged" // data is Said
	EventNoted        = "incident.noted"        // data is Said
	EventMitigated    = "incident.mitigated"    // data is Said: users are no longer hurt; resolving is suggested
	EventResolved     = "incident.resolved"     // data is Said

	// What people do who lead one.
	EventAssigned  = "incident.assigned"         // data is Assigned
	EventRated     = "incident.severity_changed" // data is Rated
	EventSnoozed   = "incident.snoozed"          // data is Snoozed
	EventEscalated = "incident.escalated"        // data is Escalated
	EventTaskAdded = "incident.task_added"       // data is TaskAdded
	EventTaskDone  = "incident.task_done"        // data is TaskDone
	EventUpdated   = "incident.updated"          // data is Updated
	EventTold      = "incident.told"             // data is Told
	EventMerged    = "incident.merged"           // data is Merged
)

// Place is what every fact about an incident says about where it is.
type Place struct {
	Incident    string `json:"incident"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Environment string `json:"environment"`
	Into        *Ref   `json:"into,omitempty"` // the incident that it is part of, once it was merged
}

// Ref names an incident and where it is.
type Ref struct {
	Incident    string `json:"incident"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
}

// Opened says that an incident began.
type Opened struct {
	Place
	Severity  int       `json:"severity"` // 1 is worst, 4 hurts no user
	Title     string    `json:"title"`
	Trigger   string    `json:"trigger,omitempty"`   // ID of the event that opened it; empty when declared by hand
	Began     time.Time `json:"began"`               // when what opened it happened
	Elsewhere bool      `json:"elsewhere,omitempty"` // another incident tool has it, and pages people
	Routed    bool      `json:"routed,omitempty"`    // an alert route gave it its team
	Policy    string    `json:"policy,omitempty"`    // that an alert route gave it, instead of the team's
	Link
}

// Linked says that something else belongs to an open incident.
type Linked struct {
	Place
	Severity int `json:"severity"` // of the incident with this link
	Link
}

// Link is one thing an incident is connected with.
type Link struct {
	Kind      string    `json:"kind,omitempty"` // rollback, alert, budget, promotion or resolution
	Role      string    `json:"role,omitempty"` // trigger, suspect, culprit, fix or recovery
	Rollout   string    `json:"rollout,omitempty"`
	Change    string    `json:"change,omitempty"`
	Alert     string    `json:"alert,omitempty"`
	Objective string    `json:"objective,omitempty"`
	Event     string    `json:"event,omitempty"` // ID
	At        time.Time `json:"at,omitzero"`
	Text      string    `json:"text,omitempty"` // one line for a person
}

// The kinds of links.
const (
	KindRollback   = "rollback"   // a revision was taken back
	KindAlert      = "alert"      // an alert fired
	KindBudget     = "budget"     // a budget was spent
	KindResolution = "resolution" // an alert ceased to fire, or a budget came back
	KindSnooze     = "snooze"     // somebody put an alert off
	KindPromotion  = "promotion"  // a revision went to everybody
	KindIncident   = "incident"   // an incident that is part of this one hurts again
)

// The roles of links.
const (
	RoleTrigger  = "trigger"  // it hurts
	RoleSuspect  = "suspect"  // it came shortly before, which proves nothing
	RoleCulprit  = "culprit"  // a person named it as the cause
	RoleFix      = "fix"      // it came after, and may help
	RoleNote     = "note"     // it says what people did
	RoleRecovery = "recovery" // it says that something is well again
)

// Paged says whom the incident was brought to.
type Paged struct {
	Place
	Severity int    `json:"severity"`
	Webhooks int    `json:"webhooks"` // 0: nobody, for the reason
	Reason   string `json:"reason"`
	// Another incident tool pages people; nobody was paged from here.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// By a policy: whom, and how far it has gone with that.
	People     []string           `json:"people,omitempty"`
	Again      int                `json:"again,omitempty"`   // how often people had changed the course of its pages
	Step       int                `json:"step,omitempty"`    // from 1; 0 is the last resort
	Attempt    int                `json:"attempt,omitempty"` // from 1; above when the steps are repeated
	Escalation *oncall.Escalation `json:"escalation,omitempty"`
}

// Said is what a person, or the controller, says about an incident.
type Said struct {
	Place
	Reason string `json:"reason"`
	Merged []Ref  `json:"merged,omitempty"` // of a resolution: what was part of it, directly or through others
}

// Assigned says who has a role from now on.
type Assigned struct {
	Place
	Role   string `json:"role"` // commander, communications, operations or scribe
	Person string `json:"person"`
	From   string `json:"from,omitempty"` // who had it before
	Reason string `json:"reason,omitempty"`
}

// Rated says that a person changed the severity.
type Rated struct {
	Place
	Severity int    `json:"severity"`
	Previous int    `json:"previous"`
	Reason   string `json:"reason"`
}

// Snoozed says that nobody is paged again before a moment, unless it gets worse.
type Snoozed struct {
	Place
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
}

// Escalated says that a person wants more people, now.
type Escalated struct {
	Place
	Policy string `json:"policy"`         // that goes on from here
	Turn   int    `json:"turn,omitempty"` // of the policy, for round robin
	Reason string `json:"reason"`
}

// TaskAdded says what somebody is to do.
type TaskAdded struct {
	Place
	Task  string    `json:"task"` // name within the incident: t1, t2, …
	Text  string    `json:"text"`
	Owner string    `json:"owner,omitempty"`
	Due   time.Time `json:"due,omitzero"`
}

// TaskDone says that a task is done.
type TaskDone struct {
	Place
	Task   string `json:"task"`
	Reason string `json:"reason,omitempty"` // what came of it
}

// Updated is what those who wait are told, in words without internals.
type Updated struct {
	Place
	Severity int       `json:"severity"`
	State    string    `json:"state"` // open, acknowledged, snoozed, mitigated or resolved
	Text     string    `json:"text"`
	Public   bool      `json:"public,omitempty"`  // for customers too
	NextDue  time.Time `json:"next_due,omitzero"` // when the next update is promised; zero: none is
}

// Told says that somebody was told something, once, which nobody escalates.
type Told struct {
	Place
	About  string    `json:"about"` // role ROLE, or update
	People []string  `json:"people,omitempty"`
	Due    time.Time `json:"due,omitzero"` // of the update that is overdue
	Reason string    `json:"reason"`
}

// Merged says that an incident is part of another one from now on: it is over,
// and what still happens where it was belongs to that one.
type Merged struct {
	Place
	Severity int    `json:"severity"`
	Paged    int    `json:"paged,omitempty"` // severity people were paged with, of the same team as Into; 0: they were not
	Reason   string `json:"reason,omitempty"`
}

// The facts about pages by hand. Their stream and subject are page/NAME.
const (
	EventCalled   = "page.requested"    // data is Called
	EventSent     = "page.sent"         // data is Sent
	EventAnswered = "page.acknowledged" // data is Answered
)

// Called says that somebody wants people, without an incident of its own:
// nothing is known to hurt.
type Called struct {
	Page     string `json:"page"`
	Person   string `json:"person,omitempty"` // who is wanted: one of the two
	Team     string `json:"team,omitempty"`   // also whose page it is
	Service  string `json:"service,omitempty"`
	Policy   string `json:"policy,omitempty"`   // that says whom, and whom next; empty: the person, or the team's own webhooks and members
	Incident string `json:"incident,omitempty"` // open for the service: its page and its answer
	Message  string `json:"message"`
}

// Sent says whom a page by hand was brought to.
type Sent struct {
	Page       string            `json:"page"`
	People     []string          `json:"people,omitempty"`
	Step       int               `json:"step"`
	Attempt    int               `json:"attempt"`
	Reason     string            `json:"reason"`
	Escalation oncall.Escalation `json:"escalation"`
}

// Answered says that somebody has read it.
type Answered struct {
	Page   string `json:"page"`
	Reason string `json:"reason,omitempty"`
}
