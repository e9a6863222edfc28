package postmortem

import (
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// The facts of the incidents' room that are looked at.
const (
	incidentOpened       = "incident.opened"
	incidentLinked       = "incident.linked"
	incidentHeld         = "incident.held"
	incidentPaged        = "incident.paged"
	incidentAcknowledged = "incident.acknowledged"
	incidentMitigated    = "incident.mitigated"
	incidentResolved     = "incident.resolved"
	incidentAssigned     = "incident.assigned"
	incidentRated        = "incident.severity_changed"

	linkRollback  = "rollback"
	linkAlert     = "alert"
	linkBudget    = "budget"
	linkPromotion = "promotion"
	roleTrigger   = "trigger"
	roleSuspect   = "suspect"
	roleCulprit   = "culprit"
)

// foreign is the part of a fact about an incident that a postmortem needs.
type foreign struct {
	Incident    string    `json:"incident"`
	Service     string    `json:"service"`
	Team        string    `json:"team"`
	Environment string    `json:"environment"`
	Severity    int       `json:"severity"`
	Title       string    `json:"title"`
	Began       time.Time `json:"began"`
	Trigger     string    `json:"trigger"`
	Kind        string    `json:"kind"`
	Role        string    `json:"role"`
	Rollout     string    `json:"rollout"`
	Change      string    `json:"change"`
	Text        string    `json:"text"`
	Reason      string    `json:"reason"`
	Webhooks    int       `json:"webhooks"`
	People      []string  `json:"people"`
	Person      string    `json:"person"` // of incident.assigned, with role
	By          struct {
		Incident string `json:"incident"`
	} `json:"by"` // of incident.held
}

// Trouble is what is known of an incident, folded from its own facts. Times are
// zero while something has not happened.
type Trouble struct {
	Title        string    `json:"title"`
	Severity     int       `json:"severity"` // the worst it was; 1 is worst, 4 hurts no user
	Declared     bool      `json:"declared,omitempty"`
	Began        time.Time `json:"began"`
	Opened       time.Time `json:"opened"`
	Paged        time.Time `json:"paged,omitzero"`
	Unreached    string    `json:"unreached,omitempty"` // why a page reached nobody
	HeldBy       string    `json:"held_by,omitempty"`   // incident of a dependency because of which the page waited
	Acknowledged time.Time `json:"acknowledged,omitzero"`
	Mitigated    time.Time `json:"mitigated,omitzero"`
	Resolved     time.Time `json:"resolved,omitzero"`
	Resolution   string    `json:"resolution,omitempty"`
	First        string    `json:"first,omitempty"`  // who acknowledged it first
	People       []string  `json:"people,omitempty"` // who was paged
	Roles        []Named   `json:"roles,omitempty"`  // who led what, the newest last
	Links        []Link    `json:"links,omitempty"`
}

// Link is a change or an alert an incident is connected with.
type Link struct {
	Kind    string    `json:"kind"` // rollback, alert, budget or promotion
	Role    string    `json:"role"` // trigger, suspect or culprit
	Rollout string    `json:"rollout,omitempty"`
	Change  string    `json:"change,omitempty"`
	At      time.Time `json:"at"`
	Text    string    `json:"text,omitempty"`
}

// Bounds on what is kept of one incident.
const (
	maxLinks  = 50
	maxPeople = 50
)

// hurt is how long users were hurt: until it was mitigated, else until it was
// resolved; 0 while that is not known.
func (t Trouble) hurt() time.Duration {
	switch {
	case !t.Mitigated.IsZero():
		return t.Mitigated.Sub(t.Began)
	case !t.Resolved.IsZero():
		return t.Resolved.Sub(t.Began)
	}
	return 0
}

// apply folds one fact about the incident.
func (t Trouble) apply(e event.Event, f foreign) Trouble {
	switch e.Type {
	case incidentOpened:
		t.Title, t.Severity, t.Declared, t.Opened, t.Began = f.Title, f.Severity, f.Trigger == "", e.Time, f.Began
		if t.Began.IsZero() {
			t.Began = e.Time
		}
		return t.linked(e, f)
	case incidentLinked:
		return t.linked(e, f)
	case incidentHeld:
		t.HeldBy = f.By.Incident
	case incidentPaged:
		t = t.paged(e, f)
	case incidentAcknowledged:
		t = t.answered(e.Time, e.Actor)
	case incidentAssigned:
		if len(t.Roles) < maxPeople {
			t.Roles = append(slices.Clip(t.Roles), Named{Name: user(f.Person), Role: leads[f.Role]})
		}
		if f.Role == roleCommander {
			t = t.answered(e.Time, f.Person) // who takes it has it
		}
	case incidentRated:
		t.Severity = f.Severity
	case incidentMitigated:
		t.Mitigated = e.Time
	case incidentResolved:
		t.Resolved, t.Resolution = e.Time, f.Reason
	}
	return t
}

// roleCommander and leads are the roles people have in an incident, and what
// the text calls who had them.
const roleCommander = "commander"

var leads = map[string]string{
	roleCommander: "the commander", "communications": "the communications lead", "operations": "the operations lead", "scribe": "the scribe",
}

func (t Trouble) answered(at time.Time, by string) Trouble {
	if t.Acknowledged.IsZero() {
		t.Acknowledged, t.First = at, by
	}
	return t
}

// linked is the trouble with one more link. A trigger means that users are
// hurt, or were again.
func (t Trouble) linked(e event.Event, f foreign) Trouble {
	if f.Severity > 0 {
		t.Severity = min(t.Severity, f.Severity)
	}
	if f.Role == roleTrigger {
		t.Mitigated = time.Time{}
	}
	if l := (Link{Kind: f.Kind, Role: f.Role, Rollout: f.Rollout, Change: f.Change, At: e.Time, Text: clip(f.Text, 300)}); f.Role != "" && len(t.Links) < maxLinks {
		t.Links = append(slices.Clip(t.Links), l)
	}
	return t
}

func (t Trouble) paged(e event.Event, f foreign) Trouble {
	if f.Webhooks == 0 && len(f.People) == 0 {
		if t.Paged.IsZero() {
			t.Unreached = f.Reason
		}
		return t
	}
	if t.Paged.IsZero() {
		t.Paged, t.Unreached = e.Time, ""
	}
	for _, p := range f.People {
		if !slices.Contains(t.People, p) && len(t.People) < maxPeople {
			t.People = append(slices.Clip(t.People), p)
		}
	}
	return t
}

// Name is the name of an incident's postmortem: pm-checkout-20261102t120300 for
// inc-checkout-20261102t120300. The name of a postmortem is its own.
func Name(incident string) string {
	if strings.HasPrefix(incident, "pm-") {
		return incident
	}
	return "pm-" + strings.TrimPrefix(incident, "inc-")
}

// clip shortens a text to at most n bytes, at a whole character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
