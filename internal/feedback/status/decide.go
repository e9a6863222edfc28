package status

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Situation is what the controller decides from.
type Situation struct {
	Declared bool     `json:"declared"`
	Spec     PageSpec `json:"spec"`
	Position int64    `json:"position"` // in the log, of the page as declared
	Desk     Desk     `json:"desk"`
	Heard    []Heard  `json:"heard,omitempty"`   // of the components' places
	Readers  []Reader `json:"readers,omitempty"` // subscribers that the oldest unsent post is to be sent to next
}

const (
	// look is how often a page's measurements are looked at.
	look = 10 * time.Second
	// fresh is how long an incident's public update is worth a draft.
	fresh = 24 * time.Hour
)

// Controller sees to status pages. It is keyed by page.
func Controller() control.Controller[Situation] {
	return control.Controller[Situation]{
		Name: "status",
		Wakes: func(e event.Event) []string {
			switch {
			case event.Matches([]string{EventObserved, EventProposed, EventWithdrawn, EventDiscarded, EventPosted, EventAnnounced}, e.Type):
				if a, err := event.Decode[about](e); err == nil && a.Page != "" {
					return []string{a.Page}
				}
			case event.Matches([]string{resource.EventApplied}, e.Type):
				if a, err := event.Decode[resource.Applied](e); err == nil && a.Kind == KindPage {
					return []string{a.Metadata.Name}
				}
			}
			return nil
		},
		Active: func(ctx context.Context, r projection.Reader) (keys []string, err error) {
			_, entries, err := catalog.List[json.RawMessage](ctx, r, KindPage)
			for _, e := range entries {
				keys = append(keys, e.Metadata.Name)
			}
			return keys, err
		},
		Load: load,
		Needs: func(key string, s Situation, _ time.Time) []control.Request {
			if !s.Declared {
				return nil
			}
			return []control.Request{{Name: SourceName, Source: SourceName, Args: Asked{key, s.Spec}}}
		},
		Decide: Decide,
	}
}

func load(ctx context.Context, r projection.Reader, page string) (Situation, error) {
	var s Situation
	spec, entry, err := getPage(ctx, r, page)
	if problem.KindOf(err) == problem.NotFound {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Declared, s.Spec, s.Position = true, spec, entry.Position
	if s.Desk, err = GetDesk(ctx, r, page); err != nil {
		return s, err
	}
	places := map[string]bool{}
	for _, c := range spec.Components {
		if c.Service != "" {
			places[c.Service+"."+c.Environment] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(places)) {
		h, ok, err := projection.Get[Heard](ctx, r, heardName, key)
		if err != nil {
			return s, err
		}
		if ok {
			s.Heard = append(s.Heard, h)
		}
	}
	if len(s.Desk.Unsent) > 0 && spec.Subscribe != nil {
		s.Readers, err = readers(ctx, r, page, s.Desk.Unsent[0].Through)
	}
	return s, err
}

// getPage reads a page as declared, with the environments that its components
// leave out filled in.
func getPage(ctx context.Context, r projection.Reader, page string) (PageSpec, catalog.Entry, error) {
	spec, entry, err := catalog.Get[PageSpec](ctx, r, KindPage, page)
	if err != nil {
		return spec, entry, err
	}
	environments, err := catalog.Environments(ctx, r)
	if err != nil {
		return spec, entry, err
	}
	for i := range spec.Components {
		c := &spec.Components[i]
		if n := len(environments); c.Service != "" && c.Environment == "" && n > 0 {
			c.Environment = environments[n-1].Name
		}
	}
	return spec, entry, nil
}

// Decide records what is seen, drafts what users might be told, posts it where
// the page says automatic, and has the page written anew when it has changed.
func Decide(v control.View[Situation], now time.Time) control.Plan {
	if !v.State.Declared {
		return control.Plan{}
	}
	d := decision{Situation: v.State, page: v.Key, now: now, plan: control.Plan{Wake: now.Add(look)}}
	if _, ok := v.Reading(SourceName, &d.seen); ok {
		d.observe(d.seen.Measures)
	}
	d.draft()
	d.hear()
	d.publish()
	if unsent := v.State.Desk.Unsent; len(unsent) > 0 {
		d.announce(unsent[0])
	}
	return d.plan
}

// decision is a decision being made.
type decision struct {
	Situation
	page string
	now  time.Time
	seen Seen
	plan control.Plan
}

func (d *decision) fact(typ string, data any) {
	d.plan.Facts = append(d.plan.Facts, event.Draft{Type: typ, Subject: "status/" + d.page, Data: data})
}

// because keeps the verdict of the weightiest thing decided: the first.
func (d *decision) because(verdict, rule, cause, format string, args ...any) {
	if d.plan.Verdict == "" {
		d.plan.Verdict, d.plan.Rule, d.plan.Cause, d.plan.Reason = verdict, rule, cause, fmt.Sprintf(format, args...)
	}
}

// wake asks for another look at a moment, if that is earlier.
func (d *decision) wake(at time.Time) {
	if at.After(d.now) && at.Before(d.plan.Wake) {
		d.plan.Wake = at
	}
}

// observe records which components seem to be in another state than before.
func (d *decision) observe(measures []Measure) {
	for _, c := range d.Spec.Components {
		got := Derive(c.Name, d.Spec.States, measures)
		before, ok := d.Desk.Observed[c.Name]
		if !got.Known || got.State == before.State || !ok && got.State == Operational {
			continue
		}
		o := Observed{Page: d.page, Component: c.Name, State: got.State, Reason: got.Reason, Objective: got.Objective, Since: d.now}
		d.Desk.Observed = with(d.Desk.Observed, c.Name, o)
		d.fact(EventObserved, o)
		d.because("observe", "states", "", "%s seems to be %s: %s", c.Name, got.State.Words(), got.Reason)
	}
}

// draft compares what is seen with what users are told.
func (d *decision) draft() {
	suggested := map[string][]string{} // components to be told about, by open notice; "" for none
	for _, c := range d.Spec.Components {
		if !d.differs(c.Name) || d.maintained(c.Name) {
			continue
		}
		name := ""
		for _, n := range d.Desk.Open {
			if s, ok := n.Components[c.Name]; ok && (name == "" || s.weight() > 0) {
				name = n.Name
			}
		}
		suggested[name] = append(suggested[name], c.Name)
	}
	wanted := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(suggested)) {
		x := d.compose(name, suggested[name])
		wanted[x.ID] = true
		switch _, waits := d.Desk.draft(x.ID); {
		case slices.Contains(d.Desk.Done, x.ID):
		case d.Spec.Automatic:
			d.post(x)
		case !waits:
			d.fact(EventProposed, x)
			d.because("propose", "states", "", "%s", x.Because)
		}
	}
	for _, x := range d.Desk.Drafts {
		if x.Event == "" && !wanted[x.ID] {
			d.fact(EventWithdrawn, Withdrawn{Page: d.page, Draft: x.ID, Reason: "what is measured says something else now"})
			d.because("withdraw", "states", "", "draft %s is out of date", x.ID)
		}
	}
}

// differs reports whether a component has been seen in another state than the
// one users are told, for long enough. What a person has said since then is
// theirs to say; only that all is well again is suggested all the same.
func (d *decision) differs(component string) bool {
	o, ok := d.Desk.Observed[component]
	told := d.Desk.State(component)
	if !ok || o.State == told {
		return false
	}
	since, lasts := o.Since, d.Spec.Settle
	if o.State.weight() < told.weight() {
		lasts = d.Spec.Recovery
	}
	if spoken := d.Desk.Spoken[component]; !spoken.Before(since) {
		if o.State != Operational {
			return false
		}
		since = spoken
	}
	d.wake(since.Add(lasts))
	return d.now.Sub(since) >= lasts
}

// compose is a draft about components, of an open notice or, with an empty
// name, of a new one.
func (d *decision) compose(notice string, components []string) Draft {
	x := Draft{Page: d.page, Said: Said{Notice: notice, Phase: Investigating, Components: map[string]State{}}}
	n, open := d.Desk.notice(notice)
	if open {
		x.Title, x.Phase, x.Incident = n.Title, n.Phase, n.Incident
		maps.Copy(x.Components, n.Components)
	}
	key := d.page + "\n" + notice
	for _, c := range components {
		o := d.Desk.Observed[c]
		x.Components[c] = o.State
		key += fmt.Sprintf("\n%s %s %d", c, o.State, o.Since.UnixMicro())
		if x.Because != "" {
			x.Because += "; "
		}
		x.Because += fmt.Sprintf("%s seems to be %s: %s", c, o.State.Words(), o.Reason)
	}
	x.ID = draftID(key)
	worst, names := d.worst(x.Components, components)
	switch {
	case !open:
		x.Title, x.Text = headline(names, worst), sentence(names, worst)
	case wellAgain(x.Components):
		x.Phase, x.Text = Resolved, list(names)+" "+verb(names, "works", "work")+" as usual again."
	default:
		x.Text = headline(names, worst) + "."
	}
	return x
}

// draftID is the same for the same draft.
func draftID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "d" + hex.EncodeToString(sum[:4])
}

func wellAgain(components map[string]State) bool {
	for _, s := range components {
		if s.weight() > 0 {
			return false
		}
	}
	return true
}

// worst is the worst state among some components, and all their titles.
func (d *decision) worst(states map[string]State, components []string) (worst State, titles []string) {
	worst = Operational
	for _, name := range components {
		if s := states[name]; s.weight() > worst.weight() {
			worst = s
		}
		if c := d.Spec.component(name); c != nil {
			titles = append(titles, c.Title)
		}
	}
	return worst, titles
}

// post says it at once.
func (d *decision) post(x Draft) {
	p := Post{Page: d.page, Draft: x.ID, Event: x.Event, Said: x.Said}
	if p.Notice == "" {
		p.Notice, p.Opens = d.Desk.next(), true
	}
	d.Desk = d.Desk.posted(p, event.Event{Time: d.now, Actor: "controller:status"})
	d.fact(EventPosted, p)
	d.because("post", "automatic", "", "%s", x.Because)
}

// hear drafts what incidents have said for everybody, and that a notice may end
// when its incident has.
func (d *decision) hear() {
	for _, h := range d.Heard {
		components := d.at(h)
		for _, u := range h.Updates {
			if d.now.Sub(u.At) < fresh && len(components) > 0 {
				d.propose(d.update(u, components))
			}
		}
		for _, n := range d.Desk.Open {
			if n.Incident != "" && slices.Contains(h.Resolved, n.Incident) && !slices.ContainsFunc(d.Desk.Drafts, func(x Draft) bool { return x.Notice == n.Name }) {
				d.propose(d.ending(n))
			}
		}
	}
}

// propose records a draft, once.
func (d *decision) propose(x Draft) {
	if _, waits := d.Desk.draft(x.ID); waits || slices.Contains(d.Desk.Done, x.ID) {
		return
	}
	d.fact(EventProposed, x)
	d.because("propose", "incident", x.Event, "%s", x.Because)
}

// at lists the components of a place.
func (d *decision) at(h Heard) (names []string) {
	for _, c := range d.Spec.Components {
		if c.Service == h.Service && c.Environment == h.Environment {
			names = append(names, c.Name)
		}
	}
	return names
}

// update is a draft with the words of an incident.
func (d *decision) update(u HeardText, components []string) Draft {
	x := Draft{ID: draftID(d.page + "\n" + u.Event), Page: d.page, Event: u.Event,
		Because: u.Incident + " has an update for everybody",
		Said:    Said{Phase: Investigating, Text: u.Text, Incident: u.Incident, NextDue: u.NextDue, Components: map[string]State{}}}
	for _, n := range d.Desk.Open {
		if n.Incident == u.Incident {
			x.Notice, x.Title, x.Phase = n.Name, n.Title, n.Phase
			maps.Copy(x.Components, n.Components)
			return x
		}
	}
	for _, c := range components {
		x.Components[c] = Degraded
		if o := d.Desk.Observed[c]; o.State.weight() > 0 {
			x.Components[c] = o.State
		}
	}
	worst, titles := d.worst(x.Components, components)
	x.Title = headline(titles, worst)
	return x
}

// ending is a draft that ends a notice.
func (d *decision) ending(n Notice) Draft {
	x := Draft{ID: draftID(d.page + "\n" + n.Name + "\nends with " + n.Incident), Page: d.page, Event: n.Incident,
		Because: n.Incident + " is resolved",
		Said:    Said{Notice: n.Name, Title: n.Title, Phase: Resolved, Incident: n.Incident, Components: map[string]State{}}}
	for c := range n.Components {
		x.Components[c] = Operational
	}
	_, titles := d.worst(x.Components, n.Touched)
	x.Text = "This is resolved."
	if len(titles) > 0 {
		x.Text = list(titles) + " " + verb(titles, "works", "work") + " as usual again."
	}
	return x
}

func (d *decision) maintained(component string) bool {
	return slices.ContainsFunc(d.seen.Maintenance, func(m Maintenance) bool { return m.Under(component, d.now) })
}

// publish has the page written where it is served from, when what it says has
// changed, and every hour for the sake of the bars.
func (d *decision) publish() {
	through := d.now.UTC().Truncate(time.Hour)
	revision := d.revision(through)
	d.wake(through.Add(time.Hour))
	for _, m := range d.seen.Maintenance {
		d.wake(m.From)
		d.wake(m.To)
	}
	if revision == d.Desk.Published.Revision || len(d.Spec.Publish) == 0 {
		return
	}
	d.fact(EventOutdated, Outdated{Page: d.page, Revision: revision, Through: through})
	d.plan.Actions = publications(d.page, d.Spec, revision, "the page says something else than what was written last")
	d.because("publish", "revision", "", "the page is written to %d places, as of %s", len(d.Spec.Publish), through.Format(time.RFC3339))
}

// revision names all that the page is made from.
func (d *decision) revision(through time.Time) string {
	h := sha256.New()
	fmt.Fprintln(h, d.Position, d.Desk.Posts, through.Unix())
	for _, m := range d.seen.Maintenance {
		fmt.Fprintln(h, m.Name, m.Title, m.Text, m.From.Unix(), m.To.Unix(), m.Phase(d.now), m.Components)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
