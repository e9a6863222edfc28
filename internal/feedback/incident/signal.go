package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// Signal is a fact of another room that concerns incidents.
type Signal struct {
	Link
	Page      bool      `json:"page,omitempty"`      // of an alert: its severity is page
	Until     time.Time `json:"until,omitzero"`      // of an alert: it is snoozed
	Team      string    `json:"team,omitempty"`      // of an alert: who is paged by a route, instead of the service's owner
	Elsewhere bool      `json:"elsewhere,omitempty"` // of an alert: its sender pages people itself
	Policy    string    `json:"policy,omitempty"`    // of an alert: by which EscalationPolicy, instead of the team's
}

// triggers reports whether a signal opens an incident when none is open.
func (s Signal) triggers() bool {
	return s.Kind == KindRollback || s.Kind == KindBudget || s.Kind == KindAlert && s.Page
}

// foreign is the part of other rooms' facts that incidents look at.
type foreign struct {
	Service     string  `json:"service"`
	Team        string  `json:"team"`
	Environment string  `json:"environment"`
	Rollout     string  `json:"rollout"`
	Change      string  `json:"change"`
	Revision    string  `json:"revision"`
	Reason      string  `json:"reason"`
	Alert       string  `json:"alert"`
	Objective   string  `json:"objective"`
	Severity    any     `json:"severity"` // text of alerts, a number of incidents
	Explanation string  `json:"explanation"`
	Level       string  `json:"level"`
	Before      string  `json:"before"`
	Remaining   float64 `json:"remaining"`
	Route       struct {
		Team   string `json:"team"`
		Policy string `json:"policy"`
	} `json:"route"`
	SnoozedUntil time.Time `json:"snoozed_until"`
	Into         *Ref      `json:"into"`
	Merged       []Ref     `json:"merged"`
	Elsewhere    bool      `json:"elsewhere"`
}

// The facts of other rooms that incidents look at.
const (
	rolloutStarted    = "rollout.started"
	rolloutPromoted   = "rollout.promoted"
	rolloutRolledBack = "rollout.rolled_back"
	alertFired        = "alert.fired"
	alertResolved     = "alert.resolved"
	alertSnoozed      = "alert.snoozed"
	budgetChanged     = "budget.changed"
)

var watched = []string{rolloutStarted, rolloutPromoted, rolloutRolledBack, alertFired, alertResolved, alertSnoozed, budgetChanged, "incident."}

// keys are the places a fact concerns: where it happened, and for what was
// merged the other one too.
func keys(e event.Event) (out []string) {
	if !event.Matches(watched, e.Type) {
		return nil
	}
	f, err := event.Decode[foreign](e)
	if err != nil || f.Service == "" || f.Environment == "" {
		return nil
	}
	out = append(out, Key(f.Service, f.Environment))
	add := func(r Ref) {
		if k := Key(r.Service, r.Environment); !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	if f.Into != nil {
		add(*f.Into)
	}
	for _, r := range f.Merged {
		add(r)
	}
	return out
}

// Key names a service in an environment.
func Key(service, environment string) string { return service + "." + environment }

// signal reads another room's fact; ok is false for one that is no signal.
func signal(e event.Event, f foreign) (s Signal, ok bool) {
	s.Link = Link{Event: e.ID, At: e.Time, Rollout: f.Rollout, Change: f.Change, Alert: f.Alert, Objective: f.Objective}
	switch e.Type {
	case rolloutRolledBack:
		s.Kind, s.Role = KindRollback, RoleTrigger
		s.Text = fmt.Sprintf("%s taken back: %s", f.Revision, strings.TrimPrefix(f.Reason, "Went back: "))
	case rolloutPromoted:
		s.Kind, s.Role = KindPromotion, RoleFix
		s.Text = fmt.Sprintf("%s serves everybody", f.Revision)
	case alertFired:
		s.Kind, s.Role = KindAlert, RoleTrigger
		s.Elsewhere = f.Elsewhere
		s.Page, s.Team, s.Policy = f.Severity == "page", f.Route.Team, f.Route.Policy
		if !s.Page {
			s.Role = RoleSuspect
		}
		s.Text = f.Explanation
	case alertSnoozed:
		s.Kind, s.Role, s.Until = KindSnooze, RoleNote, f.SnoozedUntil
		s.Text = fmt.Sprintf("snoozed until %s: %s", f.SnoozedUntil.UTC().Format("15:04 MST"), f.Explanation)
	case alertResolved:
		s.Kind, s.Role = KindResolution, RoleRecovery
		s.Text = "alert on " + f.Objective + " resolved"
		if f.Objective == "" {
			s.Text = "resolved: " + f.Explanation
		}
	case budgetChanged:
		if f.Level == "exhausted" {
			s.Kind, s.Role = KindBudget, RoleTrigger
			s.Text = fmt.Sprintf("error budget of %s is spent (%.0f %% left)", f.Objective, 100*f.Remaining)
			break
		}
		if f.Before != "exhausted" {
			return s, false
		}
		s.Kind, s.Role = KindResolution, RoleRecovery
		s.Text = fmt.Sprintf("error budget of %s is %s (%.0f %% left)", f.Objective, f.Level, 100*f.Remaining)
	default:
		return s, false
	}
	return s, true
}
