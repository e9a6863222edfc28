package incident

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// MergeInput makes an incident part of another one.
type MergeInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident that is over then"`
	Into     string `json:"into" required:"true" doc:"name of the one that it is part of"`
	Reason   string `json:"reason" doc:"how you know"`
}

// Part is an incident that was merged into another one: its desk goes on taking
// in what happens there, and its trouble is the other one's.
type Part struct {
	Ref
	Severity int               `json:"severity"`
	Firing   map[string]Signal `json:"firing,omitempty"` // page-level alerts that fire there
}

const maxParts = 20

func (i Incident) ref() Ref { return Ref{i.Place.Incident, i.Service, i.Environment} }

// merged is one of the two incidents of a merger. The one that goes on is as bad
// as the worse of the two, and knows whom of its team the other has paged.
func (i Incident) merged(name string, e event.Event) (Incident, error) {
	m, err := event.Decode[Merged](e)
	if err != nil || m.Into == nil {
		return i, err
	}
	if name == m.Incident {
		i = i.answered()
		i.ResolvedAt, i.ResolvedBy, i.Into = e.Time, e.Actor, m.Into
		i.Resolution, i.SnoozedUntil, i.Asked = "merged into "+m.Into.Incident, time.Time{}, ""
		i.State = i.state()
		return i, nil
	}
	i.Merged = append(slices.Clip(i.Merged), Ref{m.Incident, m.Service, m.Environment})
	i.Severity = min(i.Severity, m.Severity)
	if m.Paged != 0 && (i.Paged == 0 || m.Paged < i.Paged) {
		i.Paged = m.Paged
	}
	i.State = i.state()
	return i, nil
}

// merged is the desk of one of the two incidents.
func (d Desk) merged(e event.Event) (Desk, error) {
	m, err := event.Decode[Merged](e)
	if err != nil || m.Into == nil || d.Open == nil {
		return d, err
	}
	if name := d.Open.Place.Incident; name == m.Incident || name == m.Into.Incident {
		i, err := d.Open.merged(name, e)
		d.Open = &i
		return d, err
	}
	return d, nil
}

// elsewhere is the desk after a fact about another place: when the incident is
// over that its own was part of, its own is too.
func (d Desk) elsewhere(e event.Event, f foreign) Desk {
	over := e.Type == EventResolved && d.Open != nil && d.Open.Into != nil && slices.Contains(f.Merged, d.Open.ref())
	if over {
		d.Open = nil
		d.Pending = slices.DeleteFunc(slices.Clone(d.Pending), func(s Signal) bool { return !s.triggers() })
	}
	return d
}

// parts reads the desks of what was merged into an incident.
func parts(ctx context.Context, r projection.Reader, i *Incident) ([]Part, error) {
	if i == nil {
		return nil, nil
	}
	var out []Part
	for _, m := range i.Merged {
		d, ok, err := projection.Get[Desk](ctx, r, deskName, Key(m.Service, m.Environment))
		if err != nil {
			return nil, err
		}
		if ok && d.Open != nil && d.Open.Place.Incident == m.Incident {
			out = append(out, Part{Ref: m, Severity: d.Open.Severity, Firing: d.Firing})
		}
	}
	return out, nil
}

// restless is a part that hurts, if there is one.
func (d *desk) restless() string {
	for _, p := range d.Parts {
		if len(p.Firing) > 0 {
			return p.Incident
		}
	}
	return ""
}

// leave ends an incident whose whole was resolved in the moment it was merged.
func (d *desk) leave() {
	d.fact(EventResolved, Said{Place: d.Open.Place, Reason: d.Open.Into.Incident + " is over"})
	d.because("resolved", "merged", d.Open.Event, "%s, which it is part of, is over", d.Open.Into.Incident)
	d.Open, d.Pending = nil, slices.DeleteFunc(slices.Clone(d.Pending), func(s Signal) bool { return !s.triggers() })
}

// gather takes in what became of the parts: the incident is as bad as the worst,
// and hurts when one does.
func (d *desk) gather() {
	i := d.Open
	for _, p := range d.Parts {
		hurts := len(p.Firing) > 0 && !i.MitigatedAt.IsZero()
		if !hurts && p.Severity >= i.Severity {
			continue
		}
		text := fmt.Sprintf("%s, which is part of it, hurts with severity %d", p.Incident, p.Severity)
		d.because("link", KindIncident, i.Event, "%s", text)
		d.add(Link{Kind: KindIncident, Role: RoleTrigger, At: d.now, Text: text}, p.Severity)
		i = d.Open
	}
}

func (n *Incidents) merge(ctx context.Context, caller operation.Caller, in MergeInput) (Incident, error) {
	refuse := func(format string, args ...any) (Incident, error) {
		return Incident{}, problem.New(problem.Conflict, "incident.merge", format, args...)
	}
	into, _, err := n.open(ctx, "incident.merge", in.Into)
	if err != nil {
		return into, err
	}
	at := operation.Scope{Team: into.Team, Environment: into.Environment}
	if !caller.May(operation.Developer, at) {
		return Incident{}, problem.New(problem.Denied, "incident.merge", "%s may not write to %s of team %s", caller.Name, in.Into, into.Team)
	}
	i, version, err := n.open(ctx, "incident.merge", in.Incident)
	switch {
	case err != nil:
		return i, err
	case in.Incident == in.Into:
		return refuse("%s cannot be part of itself", in.Into)
	case i.Environment != into.Environment:
		return refuse("%s is in %s and %s in %s", in.Incident, i.Environment, in.Into, into.Environment)
	case len(into.Merged) >= maxParts:
		return refuse("%s has %d parts already", in.Into, maxParts)
	}
	m := Merged{Place: i.Place, Severity: i.Severity, Reason: in.Reason}
	target := into.ref()
	m.Into = &target
	if i.Team == into.Team {
		m.Paged = i.Paged
	}
	return n.record(ctx, caller, version, i.Place.Incident, i.stream(), EventMerged, m)
}

// kin reads what was merged into an incident, directly or through others.
func (n *Incidents) kin(ctx context.Context, i Incident) (out []Incident, err error) {
	r := operation.Reader(ctx, n.Reader)
	for queue := slices.Clone(i.Merged); len(queue) > 0 && len(out) < maxParts*2; queue = queue[1:] {
		part, ok, err := Get(ctx, r, queue[0].Incident)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, part)
			queue = append(queue, part.Merged...)
		}
	}
	return out, nil
}

// family names them.
func (n *Incidents) family(ctx context.Context, i Incident) (out []Ref, err error) {
	all, err := n.kin(ctx, i)
	for _, p := range all {
		out = append(out, p.ref())
	}
	return out, err
}

// gather adds the links of its parts to an incident, and gives the parts.
func (n *Incidents) gather(ctx context.Context, i *Incident) ([]Incident, error) {
	all, err := n.kin(ctx, *i)
	for _, p := range all {
		i.Links = append(slices.Clip(i.Links), p.Links...)
	}
	i.Links = i.Links[:min(len(i.Links), maxLinks)]
	return all, err
}
