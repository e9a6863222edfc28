package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/feedback/support"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// State is what the controller decides from.
type State struct {
	Desk
	Orphan   bool              `json:"orphan,omitempty"`   // the incident that the open one is part of is over
	Parts    []Part            `json:"parts,omitempty"`    // incidents that were merged into the open one
	Upstream []Upstream        `json:"upstream,omitempty"` // open incidents of what the service depends on
	Users    bool              `json:"users"`              // the environment is the one that users meet: the last on the way
	Page     []catalog.Webhook `json:"page,omitempty"`
	Runbook  string            `json:"runbook,omitempty"`
	Policy   string            `json:"policy,omitempty"` // the team's EscalationPolicy, instead of Page
	Turn     int               `json:"turn,omitempty"`   // escalations begun so far by the policy that holds
	Updates  catalog.Updates   `json:"updates,omitzero"` // how often those who wait hear of it
	Route    Route             `json:"route,omitzero"`   // who is paged instead of the service's owner
	// Maintenance is the windows that may hold its symptoms back.
	Maintenance []maintenance.Window `json:"maintenance,omitempty"`
}

// suspicion is how long after its promotion a revision is worth naming when
// trouble begins.
const suspicion = time.Hour

// Controller opens, links, pages for and mitigates incidents. It is keyed
// SERVICE.ENVIRONMENT.
func Controller() control.Controller[State] {
	return control.Controller[State]{
		Name: "incident",
		Wakes: func(e event.Event) []string {
			if e.Type == rolloutStarted {
				return nil
			}
			return keys(e)
		},
		Active: active,
		Load:   load,
		Needs:  needs,
		Decide: Decide,
	}
}

func active(ctx context.Context, r projection.Reader) (keys []string, err error) {
	f := projection.Filter{Index: "busy", Value: "yes", Limit: projection.MaxPage}
	for {
		page, err := r.List(ctx, deskName, f)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			keys = append(keys, row.Key)
		}
		if page.Next == "" {
			return keys, nil
		}
		f.After = page.Next
	}
}

func load(ctx context.Context, r projection.Reader, key string) (State, error) {
	var s State
	desk, ok, err := projection.Get[Desk](ctx, r, deskName, key)
	if err != nil || !ok {
		return s, err
	}
	s.Desk = desk
	if s.Parts, err = parts(ctx, r, desk.Open); err != nil {
		return s, err
	}
	if desk.Open != nil && desk.Open.Into != nil {
		whole, _, err := Get(ctx, r, desk.Open.Into.Incident)
		if err != nil {
			return s, err
		}
		s.Orphan = whole.State == StateResolved && whole.Into == nil
	}
	service, err := catalog.GetService(ctx, r, desk.Service)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return s, err
	}
	if err == nil {
		s.Runbook, s.Team = service.Runbook, service.Team
		if s.Upstream, err = upstream(ctx, r, service, desk.Environment); err != nil {
			return s, err
		}
	}
	s.Route = desk.route()
	// Another team may be on call for it as long as it is reliable enough.
	holder, err := support.Holder(ctx, r, desk.Service, desk.Environment)
	if err != nil {
		return s, err
	}
	s.Team = cmp.Or(s.Route.Team, s.Team)
	team, err := catalog.GetTeam(ctx, r, cmp.Or(s.Route.Team, holder, s.Team))
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return s, err
	}
	s.Page, s.Policy, s.Updates = team.Page, cmp.Or(s.Route.Policy, team.Escalation), team.Updates
	if s.Policy != "" {
		if s.Turn, _, err = projection.Get[int](ctx, r, turnName, s.Policy); err != nil {
			return s, err
		}
	}
	if len(desk.Pending)+len(desk.Waiting) > 0 {
		if s.Maintenance, err = maintenance.Covering(ctx, r, desk.Service, desk.Environment, desk.oldest()); err != nil {
			return s, err
		}
	}
	environments, err := catalog.Environments(ctx, r)
	if n := len(environments); n > 0 {
		s.Users = environments[n-1].Name == desk.Environment
	} else {
		s.Users = true // nothing is declared: rather a page too many
	}
	return s, err
}

// Decide takes in what happened: it opens at most one incident, links the rest
// to it, pages when it is new or got worse, and says when it is mitigated.
func Decide(v control.View[State], now time.Time) control.Plan {
	d := desk{State: v.State, now: now}
	if _, ok := v.Reading(oncall.SourceName, &d.standing); !ok {
		d.standing = nil
	}
	d.setAside()
	if d.Orphan {
		d.leave()
	}
	for _, s := range d.Pending {
		if d.Open == nil {
			if !s.triggers() {
				continue
			}
			d.open(s)
		} else {
			d.link(s)
		}
	}
	switch {
	case d.Open == nil:
	case d.Open.Into != nil: // people lead the one that it is part of
		d.mitigate()
	default:
		d.gather()
		if d.Route == d.Desk.route() { // else the next decision, which knows who they are
			d.page()
		}
		d.tell(v)
		d.mitigate()
	}
	if len(d.Waiting) > 0 {
		d.wake(d.now.Add(holdCheck))
	}
	if d.Open == nil {
		return d.plan
	}
	if len(d.plan.Facts) == 0 {
		return control.Plan{Wake: d.plan.Wake}
	}
	d.plan.Evidence = map[string]any{"incident": d.Open.Incident, "severity": d.Open.Severity, "firing": len(d.Firing), "links": len(d.Open.Links)}
	return d.plan
}

// desk is a decision being made.
type desk struct {
	State
	now      time.Time
	standing *oncall.Standing // of the team's policy, when it was asked for
	plan     control.Plan
}

func (d *desk) fact(typ string, data any) {
	d.plan.Facts = append(d.plan.Facts, event.Draft{Type: typ, Subject: "incident/" + d.Open.Incident, Data: data})
}

// because keeps the verdict of the weightiest thing decided: the first.
func (d *desk) because(verdict, rule, cause, format string, args ...any) {
	if d.plan.Verdict == "" {
		d.plan.Verdict, d.plan.Rule, d.plan.Cause, d.plan.Reason = verdict, rule, cause, fmt.Sprintf(format, args...)
	}
}

func (d *desk) open(s Signal) {
	place := Place{Incident: d.name(), Service: d.Service, Team: cmp.Or(s.Team, d.Team), Environment: d.Environment}
	o := Opened{Place: place, Severity: severityOf(s, d.Users), Title: d.title(s), Trigger: s.Event, Began: s.At, Link: s.Link, Routed: s.Team != "", Policy: s.Policy, Elsewhere: s.Elsewhere}
	i := Incident{}.opened(o, d.now, "controller:incident")
	d.Open = &i
	d.fact(EventOpened, o)
	d.because("open", s.Kind, s.Event, "%s, and no incident is open for %s in %s", s.Text, d.Service, d.Environment)
	if r := d.Recent; s.Kind != KindRollback && r != nil && !r.Ended && (r.PromotedAt.IsZero() || s.At.Sub(r.PromotedAt) <= suspicion) {
		text := fmt.Sprintf("%s was being rolled out", r.Revision)
		if !r.PromotedAt.IsZero() {
			text = fmt.Sprintf("%s had served everybody for %s", r.Revision, s.At.Sub(r.PromotedAt).Round(time.Second))
		}
		d.add(Link{Kind: KindPromotion, Role: RoleSuspect, Rollout: r.Rollout, Change: r.Change, At: r.StartedAt, Text: text}, 0)
	}
}

func (d *desk) link(s Signal) {
	severity := 0
	if s.triggers() {
		severity = severityOf(s, d.Users)
	}
	if s.Kind == KindPromotion && d.suspects(s.Rollout) {
		s.Role = RoleSuspect // it began before the trouble
	}
	d.because("link", s.Kind, s.Event, "%s, and %s is open", s.Text, d.Open.Incident)
	d.add(s.Link, severity)
	if s.Kind == KindSnooze {
		d.putOff(s)
	}
}

func (d *desk) suspects(rollout string) bool {
	return slices.ContainsFunc(d.Open.Links, func(l Link) bool { return l.Role == RoleSuspect && l.Rollout == rollout })
}

func (d *desk) add(l Link, severity int) {
	if severity == 0 || severity > d.Open.Severity {
		severity = d.Open.Severity
	}
	linked := Linked{Place: d.Open.Place, Severity: severity, Link: l}
	i := d.Open.linked(linked)
	d.Open = &i
	d.fact(EventLinked, linked)
}

// name is the incident's name: its place and the second it was opened.
func (d *desk) name() string { return Name(d.Service, d.Environment, d.Users, d.Last, d.now) }

// Name is the name of an incident: inc-SERVICE-TIME, with the environment
// between them where no users are. last is the name given before in that
// place; a second incident in one second gets a letter more.
func Name(service, environment string, users bool, last string, now time.Time) string {
	name := "inc-" + service
	if !users {
		name += "-" + environment
	}
	name += "-" + now.UTC().Format("20060102t150405")
	if last == name || last != "" && last[:len(last)-1] == name {
		return name + string(rune('a'+len(last)-len(name)))
	}
	return name
}

func (d *desk) title(s Signal) string {
	switch s.Kind {
	case KindAlert:
		if s.Objective == "" {
			break // a sender's own alert: what it says
		}
		return fmt.Sprintf("%s is burning its error budget", s.Objective)
	case KindBudget:
		return fmt.Sprintf("error budget of %s is spent", s.Objective)
	}
	return fmt.Sprintf("%s: %s", d.Service, s.Text)
}

func (d *desk) mitigate() {
	if !d.Open.MitigatedAt.IsZero() {
		return
	}
	why := d.mitigated()
	if why == "" || d.restless() != "" {
		return
	}
	d.fact(EventMitigated, Said{Place: d.Open.Place, Reason: why + "; resolve it when that is so: flyball incident resolve " + d.Open.Incident})
	d.because("mitigated", "nothing hurts", d.Open.Event, "%s", why)
}
