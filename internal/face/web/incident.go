package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type incidentListBody struct {
	Lead    string
	State   string
	Service string
	Items   []incident.Incident
	Next    string
	Declare bool
}

func (s *site) incidentList(v *visit) (page, error) {
	q := v.URL.Query()
	b := incidentListBody{State: q.Get("state"), Service: q.Get("service"), Declare: s.canEver(v, "incident.declare")}
	f := v.filter("all", "yes")
	switch {
	case b.Service != "":
		f.Index, f.Value = "service", b.Service
	case b.State == "open" || b.State == "resolved":
		f.Index, f.Value = "state", b.State
	}
	var err error
	if b.Items, b.Next, err = projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName, f); err != nil {
		return page{}, err
	}
	open, _, err := projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName, projection.Filter{Index: "state", Value: "open", Limit: projection.MaxPage})
	b.Lead = "No incident is open."
	if n := len(open); n > 0 {
		b.Lead = plural(n, "incident is open", "incidents are open") + "."
	}
	return page{Template: "incidents", Title: "Incidents", Section: "incidents", Body: b, Live: "incident."}, err
}

// canEver reports whether the visitor holds the operation's role anywhere.
func (s *site) canEver(v *visit, name string) bool {
	op, ok := s.operations[name]
	if !ok || v.past {
		return false
	}
	for _, g := range v.caller.Grants {
		if g.Role >= op.Role {
			return true
		}
	}
	return false
}

type incidentBody struct {
	incident.Incident
	Lead      string
	Timeline  []moment // newest first
	Suspects  []suspect
	Runbooks  runbooks
	MayAck    bool
	MayNote   bool
	MayEnd    bool
	MayReturn bool // to the revision that served before
	Refused   string
}

// moment is one line of the timeline.
type moment struct {
	incident.Entry
	Href string // of what it is about, when that is not the incident itself
}

// moments is the timeline for people. That something was linked is left out:
// what was linked stands there itself.
func moments(i incident.ShowOutput) []moment {
	var out []moment
	for _, e := range slices.Backward(i.Timeline) {
		m := moment{Entry: e}
		switch e.Type {
		case incident.EventLinked, action.EventSucceeded:
			continue
		case incident.EventPaged:
			m.Text = "paged: " + e.Text
		case incident.EventAcknowledged:
			m.Text = strings.TrimSuffix(who(e.Actor)+" has it: "+e.Text, ": "+e.Type)
		}
		if e.Subject != "incident/"+i.Place.Incident {
			m.Href = subjectLink(e.Subject)
		}
		out = append(out, m)
	}
	return out
}

// suspect is a rollout that may have to do with an incident.
type suspect struct {
	incident.Link
	Rollout rollout.Rollout
	State   string
	Bad     int64
	Of      int64
	LogE    float64
}

func (s *site) incident(v *visit) (page, error) {
	name := v.PathValue("name")
	i, ok, err := incident.Get(v.ctx, v.reader, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "incident.show", "there is no incident named %q", name).WithNext("the list of incidents shows what there is")
	}
	if err != nil {
		return page{}, err
	}
	b := incidentBody{Incident: i, Lead: incidentLead(v, i)}
	out, ok, err := call[incident.ShowOutput](s, v, "incident.show", func(in any) error {
		in.(*incident.ShowInput).Incident = name
		return nil
	})
	if err != nil {
		return page{}, err
	}
	if ok {
		b.Timeline = moments(out)
	}
	if b.Suspects, err = v.suspects(i); err != nil {
		return page{}, err
	}
	over := i.State == incident.StateResolved
	place := runbook.Place{Incident: name, Service: i.Service, Team: i.Team, Environment: i.Environment}
	if b.Runbooks, err = s.runbooksOf(v, place, !over); err != nil {
		return page{}, err
	}
	b.MayAck = !over && i.AcknowledgedBy == "" && s.may(v, "incident.ack", i.Team, i.Environment)
	b.MayNote = s.may(v, "incident.note", i.Team, i.Environment)
	b.MayEnd = !over && s.may(v, "incident.resolve", i.Team, i.Environment)
	b.MayReturn = !over && s.may(v, "release.rollback", i.Team, i.Environment)
	if !b.MayNote && !v.past {
		b.Refused = "To add to it, sign in with a token that has the role developer for team " + i.Team + "."
	}
	return page{Template: "incident", Title: name, Section: "incidents", Body: b, Live: "incident.,rollout.,alert.,budget.,change.,runbook.,action."}, nil
}

// incidentLead answers what hurts, since when and who has it.
func incidentLead(v *visit, i incident.Incident) string {
	who_ := "nobody has it yet"
	if i.AcknowledgedBy != "" {
		who_ = who(i.AcknowledgedBy) + " has it"
	}
	switch i.State {
	case incident.StateResolved:
		return fmt.Sprintf("%s: resolved by %s after %s.", i.Title, who(i.ResolvedBy), span(i.ResolvedAt.Sub(i.BeganAt)))
	case incident.StateMitigated:
		return fmt.Sprintf("%s: users are no longer hurt since %s, %s.", i.Title, ago(v.now, i.MitigatedAt), who_)
	}
	return fmt.Sprintf("%s: for %s, %s.", i.Title, ago(v.now, i.BeganAt), who_)
}

// suspects are the rollouts an incident is linked to, by evidence.
func (v *visit) suspects(i incident.Incident) ([]suspect, error) {
	var out []suspect
	for _, l := range newest(i.Links) {
		if l.Rollout == "" || slices.ContainsFunc(out, func(s suspect) bool { return s.Link.Rollout == l.Rollout }) {
			continue
		}
		r, ok, err := rollout.Get(v.ctx, v.reader, l.Rollout)
		if err != nil {
			return nil, err
		}
		if !ok || l.Role == incident.RoleFix {
			continue
		}
		s := suspect{Link: l, Rollout: r, State: rolloutState(r)}
		for _, a := range armsOf(r) {
			if a.LogE >= s.LogE {
				s.LogE, s.Bad, s.Of = a.LogE, a.Canary.Bad, a.Canary.Requests
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(x, y suspect) int { return cmp.Compare(y.LogE, x.LogE) })
	return out, nil
}
