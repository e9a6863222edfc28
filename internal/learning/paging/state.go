package paging

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Case is what is learned from one incident.
type Case struct {
	Incident    string    `json:"incident"`
	Service     string    `json:"service"`
	Team        string    `json:"team"`
	Environment string    `json:"environment"`
	Severity    int       `json:"severity"`
	Title       string    `json:"title"`
	Opened      time.Time `json:"opened"`
	Answered    time.Time `json:"answered,omitzero"`
	Resolved    time.Time `json:"resolved,omitzero"`
	Pages       []Page    `json:"pages,omitempty"`
	Alert       string    `json:"alert,omitempty"`     // that opened it
	Objective   string    `json:"objective,omitempty"` // of that alert
	Acted       bool      `json:"acted"`               // a person did more than answer and resolve
	Culprit     string    `json:"culprit,omitempty"`   // rollout that caused it, as a person said or a rollback showed
}

// Page is one page to one person.
type Page struct {
	At     time.Time `json:"at"`
	Person string    `json:"person"` // empty: the team's webhooks
	Step   int       `json:"step"`
}

// maxPages bounds the pages kept of one incident.
const maxPages = 500

// ProjectionName is where cases are folded, keyed by incident and indexed by
// "all" in the order in which they were opened.
const ProjectionName = "paging"

// The facts about incidents that are looked at.
const (
	opened       = "incident.opened"
	linked       = "incident.linked"
	paged        = "incident.paged"
	acknowledged = "incident.acknowledged"
	resolved     = "incident.resolved"
)

// idle are the facts by which a person does nothing about the trouble itself.
var idle = []string{opened, acknowledged, resolved, "incident.assigned", "incident.snoozed", "incident.severity_changed"}

type fact struct {
	Incident    string   `json:"incident"`
	Service     string   `json:"service"`
	Team        string   `json:"team"`
	Environment string   `json:"environment"`
	Severity    int      `json:"severity"`
	Title       string   `json:"title"`
	Kind        string   `json:"kind"`
	Role        string   `json:"role"`
	Alert       string   `json:"alert"`
	Objective   string   `json:"objective"`
	Rollout     string   `json:"rollout"`
	People      []string `json:"people"`
	Webhooks    int      `json:"webhooks"`
	Step        int      `json:"step"`
}

// Projection folds cases.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Case]{
		Name: ProjectionName, Version: 1, Types: []string{"incident."},
		Keys: func(e event.Event) []string {
			f, err := event.Decode[fact](e)
			if err != nil || f.Incident == "" {
				return nil
			}
			return []string{f.Incident}
		},
		Apply: func(_ string, c Case, e event.Event) (Case, error) { return c.apply(e) },
		Indexes: func(_ string, c Case) []projection.Index {
			if c.Opened.IsZero() {
				return nil
			}
			return []projection.Index{{Name: "all", Value: "yes", Sort: fmt.Sprintf("%020d", c.Opened.UnixMicro())}}
		},
	})
}

func (c Case) apply(e event.Event) (Case, error) {
	f, err := event.Decode[fact](e)
	if err != nil {
		return c, err
	}
	person := !strings.HasPrefix(e.Actor, "controller:")
	switch e.Type {
	case opened:
		c = Case{
			Incident: f.Incident, Service: f.Service, Team: f.Team, Environment: f.Environment, Severity: f.Severity, Title: f.Title,
			Opened: e.Time, Alert: f.Alert, Objective: f.Objective,
		}
		if f.Kind == "rollback" {
			c.Culprit = f.Rollout
		}
	case linked:
		if f.Severity > 0 {
			c.Severity = min(c.Severity, f.Severity)
		}
		if f.Role == "culprit" || f.Kind == "rollback" && c.Culprit == "" {
			c.Culprit = f.Rollout
		}
		// A new revision that came after is somebody's doing.
		c.Acted = c.Acted || f.Role == "fix" && f.Rollout != ""
	case paged:
		page := Page{At: e.Time, Step: f.Step}
		for _, page.Person = range f.People {
			c.Pages = append(slices.Clip(c.Pages), page)
		}
		if len(f.People) == 0 && f.Webhooks > 0 {
			c.Pages = append(slices.Clip(c.Pages), page)
		}
		c.Pages = c.Pages[:min(len(c.Pages), maxPages)]
	case acknowledged:
		if c.Answered.IsZero() {
			c.Answered = e.Time
		}
	case resolved:
		c.Resolved = e.Time
	}
	c.Acted = c.Acted || person && !slices.Contains(idle, e.Type)
	return c, nil
}
