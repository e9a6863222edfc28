package incident

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Incident is the folded state of one incident.
type Incident struct {
	Place
	Severity       int                `json:"severity" doc:"1 is worst, 4 hurts no user"`
	Title          string             `json:"title"`
	State          string             `json:"state" doc:"open, acknowledged, snoozed, mitigated or resolved"`
	BeganAt        time.Time          `json:"began_at" doc:"when what opened it happened"`
	OpenedAt       time.Time          `json:"opened_at"`
	OpenedBy       string             `json:"opened_by"`
	AcknowledgedAt time.Time          `json:"acknowledged_at,omitzero"`
	AcknowledgedBy string             `json:"acknowledged_by,omitempty"`
	MitigatedAt    time.Time          `json:"mitigated_at,omitzero" doc:"when users were no longer hurt"`
	Mitigation     string             `json:"mitigation,omitempty"`
	ResolvedAt     time.Time          `json:"resolved_at,omitzero"`
	ResolvedBy     string             `json:"resolved_by,omitempty"`
	Resolution     string             `json:"resolution,omitempty"`
	Paged          int                `json:"paged" doc:"severity people were last paged with, 0 for not yet"`
	Elsewhere      bool               `json:"elsewhere,omitempty" table:"-" doc:"another incident tool has it, and pages people"`
	Routed         bool               `json:"routed,omitempty" table:"-" doc:"an alert route gave it its team"`
	HeldBy         string             `json:"held_by,omitempty" doc:"incident of a dependency because of which nobody is paged for this one yet"`
	Webhooks       int                `json:"webhooks" doc:"webhooks, or people, that were paged then"`
	Escalation     *oncall.Escalation `json:"escalation,omitempty" table:"-" doc:"how far the pages by the team's policy have gone"`
	People         []string           `json:"people,omitempty" doc:"who was paged last by the team's policy"`
	Command
	Merged   []Ref  `json:"merged,omitempty" table:"-" doc:"incidents that are part of it"`
	Links    []Link `json:"links" doc:"rollouts, changes and alerts it is connected with, at most 200"`
	Event    string `json:"event" doc:"ID of incident.opened"`
	Position int64  `json:"position" doc:"of that event in the log"`
}

// Desk is one service in one environment as the controller sees it.
type Desk struct {
	Service     string            `json:"service"`
	Team        string            `json:"team"`
	Environment string            `json:"environment"`
	Open        *Incident         `json:"open,omitempty"`
	Last        string            `json:"last,omitempty"`    // name of the incident opened last
	Pending     []Signal          `json:"pending,omitempty"` // not taken in yet, oldest first
	Waiting     []Signal          `json:"waiting,omitempty"` // symptoms that a maintenance window holds back, oldest first
	Firing      map[string]Signal `json:"firing,omitempty"`  // page-level alerts that fire, by alert
	Recent      *Recent           `json:"recent,omitempty"`  // the rollout that began last
}

// Recent is a rollout that may have to do with what happens now.
type Recent struct {
	Rollout    string    `json:"rollout"`
	Change     string    `json:"change"`
	Revision   string    `json:"revision"`
	StartedAt  time.Time `json:"started_at"`
	PromotedAt time.Time `json:"promoted_at,omitzero"`
	Ended      bool      `json:"ended,omitempty"` // it went back
}

// The projections: incidents by name, indexed by "state" (open or resolved),
// "service" and "all" in order of their beginning; desks by SERVICE.ENVIRONMENT,
// indexed by "busy"; how many escalations were begun, by policy.
const (
	ProjectionName = "incident"
	deskName       = "incident.desk"
	turnName       = "incident.turn"
)

// Projections folds incidents and desks.
func Projections() []*projection.Projection {
	incidents := projection.Define(projection.Fold[Incident]{
		Name: ProjectionName, Version: 2, Types: []string{"incident."},
		Keys: func(e event.Event) []string {
			p, err := event.Decode[Place](e)
			if err != nil || p.Incident == "" {
				return nil
			}
			if e.Type == EventMerged && p.Into != nil {
				return []string{p.Incident, p.Into.Incident}
			}
			return []string{p.Incident}
		},
		Apply: func(key string, i Incident, e event.Event) (Incident, error) {
			if e.Type == EventMerged {
				return i.merged(key, e)
			}
			return i.apply(e)
		},
		Indexes: func(_ string, i Incident) []projection.Index {
			at := fmt.Sprintf("%020d", i.OpenedAt.UnixMicro())
			state := "open"
			if i.State == StateResolved {
				state = StateResolved
			}
			return []projection.Index{{Name: "state", Value: state, Sort: at}, {Name: "service", Value: i.Service, Sort: at}, {Name: "all", Value: "yes", Sort: at}}
		},
	})
	desks := projection.Define(projection.Fold[Desk]{
		Name: deskName, Version: 3, Types: watched,
		Keys:  keys,
		Apply: func(key string, d Desk, e event.Event) (Desk, error) { return d.apply(key, e) },
		Indexes: func(key string, d Desk) []projection.Index {
			if d.Open == nil && len(d.Pending)+len(d.Waiting) == 0 {
				return nil
			}
			return []projection.Index{{Name: "busy", Value: "yes", Sort: key}}
		},
	})
	turns := projection.Define(projection.Fold[int]{
		Name: turnName, Version: 1, Types: []string{EventPaged},
		Keys: func(e event.Event) []string {
			p, err := event.Decode[Paged](e)
			if err != nil || p.Escalation == nil || !p.begins() {
				return nil
			}
			return []string{p.Escalation.Policy}
		},
		Apply: func(_ string, n int, _ event.Event) (int, error) { return n + 1, nil },
	})
	return []*projection.Projection{incidents, desks, turns, mirrors(), changes(), calls()}
}

// The states of an incident.
const (
	StateOpen         = "open"
	StateAcknowledged = "acknowledged"
	StateSnoozed      = "snoozed"
	StateMitigated    = "mitigated"
	StateResolved     = "resolved"
)

func (i Incident) apply(e event.Event) (Incident, error) {
	if e.Type == EventOpened {
		o, err := event.Decode[Opened](e)
		i = i.opened(o, e.Time, e.Actor)
		i.Event, i.Position = e.ID, e.Position
		return i, err
	}
	if e.Type == EventLinked {
		l, err := event.Decode[Linked](e)
		return i.linked(l), err
	}
	if e.Type == EventPaged {
		p, err := event.Decode[Paged](e)
		return i.paged(p), err
	}
	if e.Type == EventHeld {
		h, err := event.Decode[Held](e)
		i.HeldBy = h.By.Incident
		return i, err
	}
	if led, ok, err := i.led(e); ok || err != nil {
		return led, err
	}
	s, err := event.Decode[Said](e)
	switch e.Type {
	case EventAcknowledged:
		i.AcknowledgedAt, i.AcknowledgedBy, i.SnoozedUntil, i.Asked = e.Time, e.Actor, time.Time{}, ""
		i = i.answered()
	case EventMitigated:
		i.MitigatedAt, i.Mitigation = e.Time, s.Reason
	case EventResolved:
		i.ResolvedAt, i.ResolvedBy, i.Resolution = e.Time, e.Actor, s.Reason
	}
	i.State = i.state()
	return i, err
}

// paged is the incident after people were paged.
func (i Incident) paged(p Paged) Incident {
	i.Elsewhere = p.Elsewhere
	i.Paged, i.Webhooks, i.People, i.HeldBy = p.Severity, p.Webhooks, p.People, ""
	if !i.SnoozedUntil.IsZero() { // whoever had it let the time pass
		i.SnoozedUntil, i.AcknowledgedAt, i.AcknowledgedBy = time.Time{}, time.Time{}, ""
	}
	if p.Escalation != nil {
		i.Escalation = p.Escalation
	}
	i.State = i.state()
	return i
}

// answered is the incident with its pages at an end.
func (i Incident) answered() Incident {
	if i.Escalation != nil {
		e := *i.Escalation
		e.Stopped = true
		i.Escalation = &e
	}
	return i
}

func (i Incident) state() string {
	switch {
	case !i.ResolvedAt.IsZero():
		return StateResolved
	case !i.MitigatedAt.IsZero():
		return StateMitigated
	case !i.SnoozedUntil.IsZero():
		return StateSnoozed
	case !i.AcknowledgedAt.IsZero():
		return StateAcknowledged
	}
	return StateOpen
}

// opened is the incident as it begins.
func (i Incident) opened(o Opened, at time.Time, by string) Incident {
	i = Incident{Place: o.Place, Severity: o.Severity, Title: o.Title, BeganAt: o.Began, OpenedAt: at, OpenedBy: by, Routed: o.Routed, Elsewhere: o.Elsewhere}
	i.Policy = o.Policy
	if o.Link.Kind != "" {
		i.Links = []Link{o.Link}
	}
	i.State = i.state()
	return i
}

// linked is the incident with one more link. A trigger means that users are,
// or were, hurt again.
func (i Incident) linked(l Linked) Incident {
	if len(i.Links) < maxLinks {
		i.Links = append(slices.Clip(i.Links), l.Link)
	}
	if l.Severity > 0 {
		i.Severity = min(i.Severity, l.Severity)
	}
	if l.Role == RoleTrigger {
		i.MitigatedAt, i.Mitigation = time.Time{}, ""
	}
	i.State = i.state()
	return i
}

func (d Desk) apply(at string, e event.Event) (Desk, error) {
	f, err := event.Decode[foreign](e)
	if err != nil {
		return d, err
	}
	if e.Type == EventMerged {
		return d.merged(e)
	}
	if at != Key(f.Service, f.Environment) {
		return d.elsewhere(e, f), nil
	}
	d.Service, d.Environment = f.Service, f.Environment
	if f.Team != "" {
		d.Team = f.Team
	}
	if event.Matches([]string{"incident."}, e.Type) {
		return d.applyOwn(e)
	}
	d.Recent = d.Recent.apply(e, f)
	s, ok := signal(e, f)
	if !ok {
		return d, nil
	}
	d.Firing, d.Waiting = firing(d.Firing, e, s), d.over(s)
	// What opens nothing matters only to an incident that is, or will be, open.
	if (s.triggers() || d.Open != nil || len(d.Pending) > 0) && !d.flooded(s) {
		d.Pending = append(slices.Clip(d.Pending), s)
	}
	return d, nil
}

// In a storm a place has more alerts than a person can read. What it takes to
// open an incident, and to know whether it still hurts, is in the first of them;
// all are in the alerts' own list.
const (
	maxFiring = 500 // page-level alerts that are followed
	maxAlike  = 8   // alerts that wait or are linked, beyond which more of their kind say nothing new
	maxFirst  = 60  // bytes kept of what a firing alert says
)

// flooded reports whether a signal adds nothing to those that are known.
func (d Desk) flooded(s Signal) bool {
	if s.Kind != KindAlert && s.Kind != KindResolution && s.Kind != KindSnooze {
		return false
	}
	if len(d.Pending) >= maxAlike {
		return true
	}
	if d.Open == nil || !d.Open.MitigatedAt.IsZero() {
		return false
	}
	alike := 0
	for _, l := range d.Open.Links {
		if l.Kind == s.Kind && l.Role == s.Role {
			alike++
		}
	}
	return alike >= maxAlike
}

// firing follows the page-level alerts: that they fire, and what they say.
func firing(of map[string]Signal, e event.Event, s Signal) map[string]Signal {
	switch {
	case e.Type == alertFired && s.Page && len(of) < maxFiring:
		if of == nil {
			of = map[string]Signal{}
		}
		of[s.Alert] = Signal{Elsewhere: s.Elsewhere, Link: Link{Text: strings.ToValidUTF8(s.Text[:min(len(s.Text), maxFirst)], "")}}
	case e.Type == alertSnoozed:
		if f, ok := of[s.Alert]; ok {
			f.Until = s.Until
			of[s.Alert] = f
		}
	case e.Type == alertResolved, e.Type == alertFired && !s.Page:
		delete(of, s.Alert)
	}
	return of
}

func (r *Recent) apply(e event.Event, f foreign) *Recent {
	if e.Type == rolloutStarted {
		return &Recent{Rollout: f.Rollout, Change: f.Change, Revision: f.Revision, StartedAt: e.Time}
	}
	if r == nil || r.Rollout != f.Rollout {
		return r
	}
	next := *r
	switch e.Type {
	case rolloutPromoted:
		next.PromotedAt = e.Time
	case rolloutRolledBack:
		next.Ended = true
	}
	return &next
}

func (d Desk) applyOwn(e event.Event) (Desk, error) {
	if e.Type == EventMirrored {
		return d, nil
	}
	if e.Type == EventSuppressed {
		s, err := event.Decode[Suppressed](e)
		return d.aside(s), err
	}
	var i Incident
	if d.Open != nil {
		i = *d.Open
	}
	about, err := event.Decode[Place](e)
	if err != nil {
		return d, err
	}
	if e.Type != EventOpened && about.Incident != i.Incident {
		return d, nil // of one that is over
	}
	i, err = i.apply(e)
	if err != nil {
		return d, err
	}
	d.Open = &i
	switch e.Type {
	case EventOpened, EventLinked:
		l, err := event.Decode[Linked](e)
		if err != nil {
			return d, err
		}
		d.Last = i.Incident
		known := func(s Signal) bool { return s.Event == l.Event }
		d.Pending, d.Waiting = slices.DeleteFunc(slices.Clone(d.Pending), known), slices.DeleteFunc(slices.Clone(d.Waiting), known)
	case EventResolved:
		d.Open = nil
		d.Pending = slices.DeleteFunc(slices.Clone(d.Pending), func(s Signal) bool { return !s.triggers() })
	}
	return d, nil
}

// Get reads one incident.
func Get(ctx context.Context, r projection.Reader, name string) (Incident, bool, error) {
	return projection.Get[Incident](ctx, r, ProjectionName, name)
}
