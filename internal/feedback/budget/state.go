package budget

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Record is one thing that may have spent budget, as the log tells it. Its key
// is rollout/NAME, incident/NAME, alert/ID or link/LINK.
type Record struct {
	Key         string    `json:"key"`
	Kind        string    `json:"kind"` // as of a Cause, or alert
	Name        string    `json:"name"`
	Service     string    `json:"service"`
	Team        string    `json:"team,omitempty"`
	Environment string    `json:"environment"`
	Title       string    `json:"title,omitempty"`
	Revision    string    `json:"revision,omitempty"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to,omitzero"`
	Full        time.Time `json:"full,omitzero"`
	Mitigated   time.Time `json:"mitigated,omitzero"`
	Culprit     string    `json:"culprit,omitempty"`
	By          string    `json:"by,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Withdrawn   bool      `json:"withdrawn,omitempty"`
}

// kindAlert is the kind of a Record that is a page-level alert. It is no cause
// of its own service's losses, but a sign of a dependency's.
const kindAlert = "alert"

// ProjectionName is where records are folded, indexed by "place"
// (SERVICE.ENVIRONMENT) in order of their beginning.
const ProjectionName = "budget"

// Key is the key of a service in an environment.
func Key(service, environment string) string { return service + "." + environment }

// foreign is the part of other rooms' facts that ledgers look at.
type foreign struct {
	Service     string    `json:"service"`
	Team        string    `json:"team"`
	Environment string    `json:"environment"`
	Rollout     string    `json:"rollout"`
	Change      string    `json:"change"`
	Revision    string    `json:"revision"`
	Incident    string    `json:"incident"`
	Title       string    `json:"title"`
	Began       time.Time `json:"began"`
	Kind        string    `json:"kind"`
	Role        string    `json:"role"`
	Alert       string    `json:"alert"`
	Objective   string    `json:"objective"`
	Severity    any       `json:"severity"` // text of alerts, a number of incidents
	Fired       time.Time `json:"fired"`
	Resolved    time.Time `json:"resolved"`
}

// The facts of other rooms that ledgers look at.
const (
	rolloutStarted    = "rollout.started"
	rolloutPromoted   = "rollout.promoted"
	rolloutRolledBack = "rollout.rolled_back"
	rolloutAborted    = "rollout.aborted"
	rolloutFinished   = "rollout.finished"
	incidentOpened    = "incident.opened"
	incidentLinked    = "incident.linked"
	incidentMitigated = "incident.mitigated"
	incidentResolved  = "incident.resolved"
	alertFired        = "alert.fired"
	alertResolved     = "alert.resolved"
)

// Projection folds what may have spent budget.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Record]{
		Name: ProjectionName, Version: 2,
		Types: []string{rolloutStarted, rolloutPromoted, rolloutRolledBack, rolloutAborted, rolloutFinished,
			incidentOpened, incidentLinked, incidentMitigated, incidentResolved, alertFired, alertResolved, EventLinked, EventUnlinked},
		Keys: func(e event.Event) []string {
			if k := recordKey(e); k != "" {
				return []string{k}
			}
			return nil
		},
		Apply: func(key string, r Record, e event.Event) (Record, error) {
			r.Key = key
			return r.apply(e)
		},
		Indexes: func(_ string, r Record) []projection.Index {
			if r.Service == "" {
				return nil
			}
			return []projection.Index{{Name: "place", Value: Key(r.Service, r.Environment), Sort: fmt.Sprintf("%020d", r.From.UnixMicro())}}
		},
	})
}

func recordKey(e event.Event) string {
	room, _, _ := strings.Cut(e.Type, ".")
	if strings.HasPrefix(e.Subject, "alert/") {
		return "" // a sender's: the incident it opens says as much
	}
	f, err := event.Decode[foreign](e)
	if err != nil {
		return ""
	}
	switch {
	case room == "rollout" && f.Rollout != "":
		return "rollout/" + f.Rollout
	case room == "incident" && f.Incident != "":
		return "incident/" + f.Incident
	case room == "alert" && f.Alert != "" && f.Severity == "page":
		return "alert/" + f.Alert
	case room == "budget":
		if l, err := event.Decode[Unlinked](e); err == nil && l.Link != "" {
			return "link/" + l.Link
		}
	}
	return ""
}

func (r Record) apply(e event.Event) (Record, error) {
	if e.Type == EventLinked {
		l, err := event.Decode[Linked](e)
		return Record{Key: r.Key, Kind: l.Kind, Name: l.Name, Service: l.Service, Team: l.Team, Environment: l.Environment, Title: l.Reason,
			From: l.From, To: l.To, By: e.Actor, Reason: l.Reason}, err
	}
	if e.Type == EventUnlinked {
		l, err := event.Decode[Unlinked](e)
		r.Withdrawn, r.By, r.Reason = true, e.Actor, l.Reason
		return r, err
	}
	f, err := event.Decode[foreign](e)
	if err != nil {
		return r, err
	}
	switch e.Type {
	case rolloutStarted:
		r = Record{Key: r.Key, Kind: KindChange, Name: f.Change, Service: f.Service, Team: f.Team, Environment: f.Environment,
			Title: "rollout " + f.Rollout, Revision: f.Revision, From: e.Time}
	case rolloutPromoted:
		r.Full = e.Time
	case rolloutRolledBack, rolloutAborted:
		r.To = earliest(r.To, e.Time)
	case rolloutFinished:
		if r.Full.IsZero() {
			r.To = earliest(r.To, e.Time)
		}
	default:
		r = r.trouble(e, f)
	}
	return r, nil
}

// trouble folds incidents and alerts.
func (r Record) trouble(e event.Event, f foreign) Record {
	switch e.Type {
	case incidentOpened:
		r = Record{Key: r.Key, Kind: KindIncident, Name: f.Incident, Service: f.Service, Team: f.Team, Environment: f.Environment, Title: f.Title, From: f.Began}
		if r.From.IsZero() {
			r.From = e.Time
		}
		if f.Kind == "rollback" {
			r.Culprit = f.Change
		}
	case incidentLinked:
		if f.Role == "culprit" {
			r.Culprit = f.Change
		}
		if f.Role == "trigger" {
			r.Mitigated = time.Time{}
		}
	case incidentMitigated:
		r.Mitigated = e.Time
	case incidentResolved:
		r.To = e.Time
		if !r.Mitigated.IsZero() {
			r.To = r.Mitigated
		}
	case alertFired:
		r = Record{Key: r.Key, Kind: kindAlert, Name: f.Alert, Service: f.Service, Team: f.Team, Environment: f.Environment, Title: f.Objective, From: orTime(f.Fired, e.Time)}
	case alertResolved:
		r.To = orTime(f.Resolved, e.Time)
	}
	return r
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// earliest of the times that are not zero.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// maxRecords bounds what one ledger looks at: the newest.
const maxRecords = 2000

// records reads what may have spent a place's budget, newest first.
func records(ctx context.Context, r projection.Reader, service, environment string) ([]Record, error) {
	f := projection.Filter{Index: "place", Value: Key(service, environment), Limit: projection.MaxPage, Newest: true}
	var out []Record
	for len(out) < maxRecords {
		page, next, err := projection.List[Record](ctx, r, ProjectionName, f)
		if err != nil {
			return nil, err
		}
		out = append(out, page...)
		if next == "" {
			break
		}
		f.After = next
	}
	return out, nil
}

// causes makes causes of a place's own records and of its dependencies', as far
// as they touch [from, until). A change serves alone until the next one does.
func causes(own []Record, dependencies map[string][]Record, from, until time.Time) []Cause {
	var out []Cause
	var promoted []int
	for _, r := range own {
		if r.Withdrawn || r.Kind == kindAlert {
			continue
		}
		c := Cause{Kind: r.Kind, Name: r.Name, Title: r.Title, Revision: r.Revision, From: r.From, To: r.To, Full: r.Full, Culprit: r.Culprit, Link: r.page()}
		if c.Kind == KindIncident && c.To.IsZero() {
			c.To = r.Mitigated
		}
		if !c.Full.IsZero() && !c.Full.After(until) {
			promoted = append(promoted, len(out))
		}
		out = append(out, c)
	}
	sort.SliceStable(promoted, func(i, j int) bool { return out[promoted[i]].Full.Before(out[promoted[j]].Full) })
	for k := range promoted[:max(0, len(promoted)-1)] {
		c := &out[promoted[k]]
		c.To = earliest(c.To, out[promoted[k+1]].Full)
	}
	names := make([]string, 0, len(dependencies))
	for name := range dependencies {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(out, outages(name, dependencies[name])...)
	}
	out = slices.DeleteFunc(out, func(c Cause) bool {
		return !c.From.Before(until) || !c.To.IsZero() && (!c.To.After(from) || !c.To.After(c.From))
	})
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if !a.From.Equal(b.From) {
			return a.From.Before(b.From)
		}
		return a.Kind+"/"+a.Name < b.Kind+"/"+b.Name
	})
	return out
}

// outages are the times in which a dependency had a page-level alert or an
// incident that people had not put down to anything else, joined where they
// overlap.
func outages(name string, records []Record) []Cause {
	var list []Cause
	for _, r := range records {
		if r.Withdrawn || r.Kind != kindAlert && r.Kind != KindIncident {
			continue
		}
		to := r.To
		if to.IsZero() {
			to = r.Mitigated
		}
		list = append(list, Cause{Kind: KindDependency, Name: name, Title: r.Title, Link: r.page(), From: r.From, To: to})
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].From.Before(list[j].From) })
	var out []Cause
	for _, c := range list {
		last := len(out) - 1
		if last < 0 || !out[last].To.IsZero() && out[last].To.Before(c.From) {
			out = append(out, c)
			continue
		}
		if c.To.IsZero() || !out[last].To.IsZero() && c.To.After(out[last].To) {
			out[last].To = c.To
		}
	}
	return out
}

// page is the path of the page that tells more.
func (r Record) page() string {
	kind, name, _ := strings.Cut(r.Key, "/")
	switch kind {
	case "rollout":
		return "/rollouts/" + name
	case "incident":
		return "/incidents/" + name
	case "alert":
		return "/objectives/" + r.Title
	}
	return ""
}
