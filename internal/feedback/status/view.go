package status

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// Objectives tells how objectives stand, and what they counted. slo.Watcher is
// one.
type Objectives interface {
	// Snapshots is every objective's state of one place.
	Snapshots(service, environment string) []slo.Snapshot
	// Past is what an objective counted in [from, now), in slots.
	Past(ctx context.Context, key string, from, now time.Time) (*slo.Series, error)
}

// Pages is what reading, showing and posting to status pages works with.
type Pages struct {
	Log        event.Log
	Reader     projection.Reader
	Clock      clock.Clock
	Objectives Objectives
	Render     func(View) (site.Files, error) // the face that makes files of a page
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error
	// Key signs the links by which subscriptions are confirmed and ended; nobody
	// can subscribe without it.
	Key channel.Key
	// Mail brings messages to subscribers.
	Mail *channel.Post

	bars bars
}

// View is a page as everybody may see it: nothing else is.
type View struct {
	Name        string
	Title       string
	Description string
	URL         string // without a slash at the end; empty when none is declared
	Support     string
	Zone        *time.Location
	Subscribe   *Subscribe
	Overall     State
	Groups      []Group
	Open        []Notice // newest first
	Past        []Notice // resolved ones, newest first
	Maintenance []Work   // on now or planned, by beginning
	Done        []Work   // over, newest first
	Through     time.Time
	PostedAt    time.Time // the last post
}

// Group is components under one heading; the first may have none.
type Group struct {
	Name       string
	Components []Shown
}

// Shown is a component as users see it.
type Shown struct {
	Name, Title, Description string
	State                    State
	Uptime                   *Uptime // nil: it is not measured
}

// Work is planned work with how far it is.
type Work struct {
	Maintenance
	Phase string
}

// maxPast bounds the resolved notices of a page's history.
const maxPast = 1000

// View gathers a page. What it shows changes with facts, when maintenance
// begins and ends, and with each full hour: uptime is counted up to the last.
func (p *Pages) View(ctx context.Context, page string) (View, error) {
	now := p.Clock.Now()
	spec, _, err := getPage(ctx, p.Reader, page)
	if problem.KindOf(err) == problem.NotFound {
		return View{}, missing(page)
	}
	if err != nil {
		return View{}, err
	}
	desk, err := GetDesk(ctx, p.Reader, page)
	if err != nil {
		return View{}, err
	}
	v := View{Name: page, Title: spec.Title, Description: spec.Description, URL: trimSlash(spec.URL), Support: spec.Support, Subscribe: spec.Subscribe,
		Through: now.UTC().Truncate(time.Hour), PostedAt: desk.PostedAt, Overall: Operational}
	if v.Zone, err = spec.TimeZone.Location(); err != nil {
		return v, err
	}
	if err := p.work(ctx, spec, &v, now); err != nil {
		return v, err
	}
	for _, c := range spec.Components {
		s := Shown{Name: c.Name, Title: c.Title, Description: c.Description, State: desk.State(c.Name)}
		if s.State == Operational && slices.ContainsFunc(v.Maintenance, func(w Work) bool { return w.Under(c.Name, now) }) {
			s.State = Maintained
		}
		if s.State.weight() > v.Overall.weight() {
			v.Overall = s.State
		}
		if s.Uptime, err = p.uptime(ctx, spec, c, v.Zone, v.Through); err != nil {
			return v, err
		}
		v.group(c.Group, s)
	}
	return v, p.notices(ctx, page, &v)
}

func trimSlash(s string) string {
	for len(s) > 0 && s[len(s)-1] == '/' {
		s = s[:len(s)-1]
	}
	return s
}

// group adds a component under its heading, in the order of the first of each.
func (v *View) group(name string, s Shown) {
	i := slices.IndexFunc(v.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		i = len(v.Groups)
		v.Groups = append(v.Groups, Group{Name: name})
		if name == "" { // those without a heading come first
			v.Groups = append([]Group{{}}, v.Groups[:i]...)
			i = 0
		}
	}
	v.Groups[i].Components = append(v.Groups[i].Components, s)
}

// Component is the component of a name as shown.
func (v View) Component(name string) (Shown, bool) {
	for _, g := range v.Groups {
		for _, c := range g.Components {
			if c.Name == name {
				return c, true
			}
		}
	}
	return Shown{}, false
}

func (p *Pages) work(ctx context.Context, spec PageSpec, v *View, now time.Time) error {
	all, err := planned(ctx, p.Reader, spec, UptimeFrom(v.Through, v.Zone), now.Add(ahead), now)
	for _, m := range all {
		w := Work{m, m.Phase(now)}
		if w.Phase == Completed {
			v.Done = append(v.Done, w)
		} else {
			v.Maintenance = append(v.Maintenance, w)
		}
	}
	slices.Reverse(v.Done)
	return err
}

func (p *Pages) uptime(ctx context.Context, spec PageSpec, c Component, zone *time.Location, through time.Time) (*Uptime, error) {
	if c.Service == "" || p.Objectives == nil {
		return nil, nil
	}
	o := counted(c, p.Objectives.Snapshots(c.Service, c.Environment))
	if o == nil {
		return nil, nil
	}
	name := fmt.Sprintf("%s %s %s %v", o.Key(), zone, o.Target, spec.States.Partial)
	if u := p.bars.get(name, through); u != nil {
		return u, nil
	}
	s, err := p.Objectives.Past(ctx, o.Key(), UptimeFrom(through, zone), p.Clock.Now())
	if problem.KindOf(err) == problem.NotFound {
		return nil, nil // it has been removed meanwhile
	}
	if err != nil {
		return nil, err
	}
	u := UptimeOf(s, through, zone, o.Target.Float64(), spec.States.Partial.Ratio())
	p.bars.put(name, through, &u)
	return &u, nil
}

func (p *Pages) notices(ctx context.Context, page string, v *View) error {
	f := projection.Filter{Index: "page", Value: page, Limit: 200, Newest: true}
	for len(v.Past) < maxPast {
		list, next, err := projection.List[Notice](ctx, p.Reader, noticeName, f)
		if err != nil {
			return err
		}
		for _, n := range list {
			n = n.public(*v)
			if n.Open() {
				v.Open = append(v.Open, n)
			} else {
				v.Past = append(v.Past, n)
			}
		}
		if f.After = next; next == "" {
			return nil
		}
	}
	return nil
}

// public is the notice without what is not for everybody, and without
// components that the page no longer has.
func (n Notice) public(v View) Notice {
	n.Incident = ""
	n.Touched = slices.DeleteFunc(slices.Clone(n.Touched), func(name string) bool { _, ok := v.Component(name); return !ok })
	states := map[string]State{}
	for name, s := range n.Components {
		if _, ok := v.Component(name); ok {
			states[name] = s
		}
	}
	n.Components = states
	n.Updates = slices.Clone(n.Updates)
	for i := range n.Updates {
		n.Updates[i].By = ""
	}
	return n
}

// Source answers the reading that pages are decided from.
func (p *Pages) Source(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
	asked, ok := r.Args.(Asked)
	if !ok {
		return control.Reading{}, problem.New(problem.Internal, "status.source", "arguments are a %T", r.Args)
	}
	seen := Seen{Measures: []Measure{}}
	over := asked.Spec.States.Over
	for _, c := range asked.Spec.Components {
		if c.Service == "" || p.Objectives == nil {
			continue
		}
		for _, s := range p.Objectives.Snapshots(c.Service, c.Environment) {
			if len(c.Objectives) == 0 || slices.Contains(c.Objectives, s.Objective.Name) {
				seen.Measures = append(seen.Measures, measure(c.Name, s, over))
			}
		}
	}
	var err error
	if seen.Maintenance, err = planned(ctx, p.Reader, asked.Spec, now.Add(-time.Hour), now.Add(ahead), now); err != nil {
		return control.Reading{}, err
	}
	data, err := json.Marshal(seen)
	return control.Reading{From: now.Add(-over), To: now, Complete: true, Data: data}, err
}

func measure(component string, s slo.Snapshot, over time.Duration) Measure {
	m := Measure{Component: component, Objective: s.Objective.Key(), Kind: s.Objective.Indicator.Kind, Burn1h: s.BurnOver(time.Hour), Remaining: s.Budget.RemainingRatio}
	for _, b := range s.Burns {
		if b.Window == over {
			m.Bad, m.Total = b.Bad, b.Total
		}
	}
	for _, severity := range []string{"ticket", "page"} {
		if s.Firing(severity) != nil {
			m.Firing = severity
		}
	}
	return m
}

// Names lists the pages declared, by name.
func (p *Pages) Names(ctx context.Context) ([]string, error) {
	_, entries, err := catalog.List[json.RawMessage](ctx, p.Reader, KindPage)
	var out []string
	for _, e := range entries {
		out = append(out, e.Metadata.Name)
	}
	return out, err
}

func missing(page string) error {
	return problem.New(problem.NotFound, "statuspage", "there is no status page named %q", page).WithNext("flyball statuspage list shows them; docs/statuspage.md says how one is declared")
}

// Files makes a page's files as they are now.
func (p *Pages) Files(ctx context.Context, page string) (site.Files, error) {
	v, err := p.View(ctx, page)
	if err != nil {
		return nil, err
	}
	return p.Render(v)
}

// Outline is a page's name, title and ways to subscribe, without what it says.
func (p *Pages) Outline(ctx context.Context, page string) (View, error) {
	spec, _, err := catalog.Get[PageSpec](ctx, p.Reader, KindPage, page)
	if problem.KindOf(err) == problem.NotFound {
		err = missing(page)
	}
	return View{Name: page, Title: spec.Title, Subscribe: spec.Subscribe, Zone: time.UTC}, err
}
