package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// incidentBody is what somebody needs who leads an incident.
type incidentBody struct {
	incident.ShowOutput
	Lead    string // what hurts, since when and who has it
	Then    string // what changed before, and when those who wait hear again
	Entries []moment
	Older   []moment
	Accused []accused
	Seats   []seat
	Sent    []sent
	Alerts  []incident.Link
	Runbook string // address that the service names
	Books   runbooks
	WriteUp writeUp
	May     may
	Refused string
}

// may is what the visitor may do with an incident.
type may struct{ Ack, Say, Lead, End, Return bool }

// moment is one line of the timeline.
type moment struct {
	incident.Entry
	Href string // of what it is about, when that is not the incident itself
	Said bool   // in somebody's own words
}

// accused is a suspect, and what the visitor may do about it.
type accused struct {
	incident.Suspect
	Href  string
	Back  bool // to the revision that served before
	Abort bool
	Blame bool
}

// seat is one role, taken or not.
type seat struct {
	incident.Assignment
	Title string
	Mine  bool
}

// sent is one page, and what became of it.
type sent struct {
	Whom     string
	At       time.Time
	State    string
	Attempts int
	Error    string
}

// Bounds of what a war room shows at once; the rest is behind a summary, or in
// the log.
const (
	latestShown   = 30
	suspectsShown = 5
	pagesShown    = 50
)

func (s *site) incident(v *visit) (page, error) {
	name := v.PathValue("name")
	out, ok, err := call[incident.ShowOutput](s, v, "incident.show", func(in any) error {
		in.(*incident.ShowInput).Incident = name
		return nil
	})
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "incident.show", "this server has no incidents")
	}
	if err != nil {
		return page{}, err
	}
	i := out.Incident
	b := incidentBody{ShowOutput: out, Lead: incidentLead(v, i), Then: incidentThen(v, out), Seats: seats(v, i)}
	b.Entries = moments(out)
	if len(b.Entries) > latestShown {
		b.Entries, b.Older = b.Entries[:latestShown], b.Entries[latestShown:]
	}
	over := i.State == incident.StateResolved
	b.May = may{
		Ack: !over && (i.AcknowledgedBy == "" || i.State == incident.StateSnoozed) && s.may(v, "incident.ack", i.Team, i.Environment),
		Say: s.may(v, "incident.note", i.Team, i.Environment), Lead: !over && s.may(v, "incident.assign", i.Team, i.Environment),
		End: !over && s.may(v, "incident.resolve", i.Team, i.Environment), Return: !over && s.may(v, "release.rollback", i.Team, i.Environment),
	}
	b.Accused = s.accusedOf(v, out, over)
	place := runbook.Place{Incident: name, Service: i.Service, Team: i.Team, Environment: i.Environment}
	if b.Books, err = s.runbooksOf(v, place, !over); err != nil {
		return page{}, err
	}
	if b.WriteUp, err = s.writeUp(v, name, i.Team, i.Environment, over); err != nil {
		return page{}, err
	}
	if !b.May.Say && !v.past {
		b.Refused = "To lead it, sign in with a token that has the role developer for team " + i.Team + "."
	}
	if err := b.around(v); err != nil {
		return page{}, err
	}
	return page{Template: "incident", Title: name, Section: "incidents", Body: b, Live: "incident.,rollout.,alert.,budget.,change.,action.,runbook.,postmortem.", Every: 60}, nil
}

// around reads what belongs to the incident elsewhere: pages and their
// receipts, alerts, the runbook.
func (b *incidentBody) around(v *visit) error {
	list, _, err := projection.List[action.Action](v.ctx, v.reader, action.ProjectionName,
		projection.Filter{Index: "subject", Value: "incident/" + b.Place.Incident, Newest: true, Limit: pagesShown})
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Type != incident.ActionPage {
			continue
		}
		whom, _, _ := strings.Cut(a.Reason, ": ")
		_, whom, _ = strings.Cut(whom, " ") // page, or tell
		b.Sent = append(b.Sent, sent{Whom: whom, At: a.ProposedAt, State: delivery(a.Phase), Attempts: a.Attempts, Error: a.Error})
	}
	for _, l := range slices.Backward(b.Links) {
		if l.Kind == incident.KindAlert && !slices.ContainsFunc(b.Alerts, func(x incident.Link) bool { return x.Alert == l.Alert }) {
			b.Alerts = append(b.Alerts, l)
		}
	}
	service, err := catalog.GetService(v.ctx, v.reader, b.Service)
	if problem.KindOf(err) == problem.NotFound {
		return nil
	}
	b.Runbook = service.Runbook
	return err
}

// delivery is what became of a page, in a word.
func delivery(p action.Phase) string {
	switch p {
	case action.Succeeded:
		return "delivered"
	case action.Failed, action.Superseded, action.Blocked:
		return "undelivered"
	}
	return "under way"
}

// moments is the timeline for people, newest first. That something was linked
// is left out: what was linked stands there itself.
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
		case incident.EventUpdated:
			m.Text, m.Said = "update: "+e.Text, true
		case incident.EventNoted:
			m.Said = true
		}
		if e.Subject != "incident/"+i.Place.Incident {
			m.Href = subjectLink(e.Subject)
		}
		out = append(out, m)
	}
	return out
}

func (s *site) accusedOf(v *visit, out incident.ShowOutput, over bool) (all []accused) {
	for _, x := range out.Suspects[:min(suspectsShown, len(out.Suspects))] {
		a := accused{Suspect: x}
		if x.Kind == incident.ChangeRollout {
			a.Href = "/rollouts/" + x.Name
		}
		// A dependency is of another team, perhaps.
		team := out.Team
		if x.Service != out.Service {
			if service, err := catalog.GetService(v.ctx, v.reader, x.Service); err == nil {
				team = service.Team
			}
		}
		if !over {
			a.Abort = x.Undo == "rollout.abort" && s.may(v, x.Undo, team, x.Environment)
			a.Back = x.Undo == "release.rollback" && s.may(v, x.Undo, team, x.Environment)
		}
		named := slices.ContainsFunc(out.Links, func(l incident.Link) bool { return l.Role == incident.RoleCulprit && l.Rollout == x.Name })
		a.Blame = !over && !named && x.Kind == incident.ChangeRollout && x.Service == out.Service && s.may(v, "incident.blame", out.Team, out.Environment)
		all = append(all, a)
	}
	return all
}

func seats(v *visit, i incident.Incident) (out []seat) {
	for _, role := range incident.PeopleRoles {
		x := seat{Assignment: incident.Assignment{Role: role}}
		title := strings.ToUpper(role[:1]) + role[1:]
		for _, a := range i.Roles {
			if a.Role == role {
				x = seat{Assignment: a, Mine: a.Person == who(v.caller.Name)}
			}
		}
		x.Title = title
		out = append(out, x)
	}
	return out
}

// incidentLead answers what hurts, since when and who has it.
func incidentLead(v *visit, i incident.Incident) string {
	has := "nobody has it yet"
	if c := i.Who(incident.Commander); c != "" {
		has = c + " is in command"
	} else if i.AcknowledgedBy != "" {
		has = who(i.AcknowledgedBy) + " has it"
	}
	switch i.State {
	case incident.StateResolved:
		return fmt.Sprintf("%s: resolved by %s after %s.", i.Title, who(i.ResolvedBy), span(i.ResolvedAt.Sub(i.BeganAt)))
	case incident.StateMitigated:
		return fmt.Sprintf("%s: users are no longer hurt since %s, %s.", i.Title, ago(v.now, i.MitigatedAt), has)
	case incident.StateSnoozed:
		return fmt.Sprintf("%s: for %s, snoozed for %s more, %s.", i.Title, ago(v.now, i.BeganAt), span(max(0, i.SnoozedUntil.Sub(v.now))), has)
	}
	return fmt.Sprintf("%s: for %s, %s.", i.Title, ago(v.now, i.BeganAt), has)
}

// incidentThen answers what changed before, and when those who wait hear again.
func incidentThen(v *visit, o incident.ShowOutput) string {
	changed := "No change came shortly before."
	if len(o.Suspects) > 0 {
		x := o.Suspects[0]
		what := x.Name
		if x.Revision != "" {
			what = x.Service + " " + short(x.Revision)
		}
		changed = fmt.Sprintf("Most suspect is %s: %s.", what, x.Timing)
	}
	switch {
	case o.Overdue:
		return changed + fmt.Sprintf(" An update is overdue for %s.", ago(v.now, o.UpdateDue))
	case !o.UpdateDue.IsZero():
		return changed + fmt.Sprintf(" The next update is due in %s.", span(o.UpdateDue.Sub(v.now)))
	}
	return changed
}
