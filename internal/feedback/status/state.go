package status

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Notice is one thing users were told, from its first post to its end.
type Notice struct {
	Page       string           `json:"page"`
	Name       string           `json:"name" doc:"n and a number, counted by page"`
	Title      string           `json:"title"`
	Phase      Phase            `json:"phase" doc:"investigating, identified, monitoring or resolved"`
	Impact     State            `json:"impact" doc:"the worst state it ever gave to a component"`
	Components map[string]State `json:"components" doc:"states it gives to components now"`
	Touched    []string         `json:"touched" doc:"components it ever was about, by name"`
	Updates    []Update         `json:"updates" doc:"oldest first, at most 500"`
	Incident   string           `json:"incident,omitempty" doc:"it is about; not shown to users"`
	StartedAt  time.Time        `json:"started_at"`
	ResolvedAt time.Time        `json:"resolved_at,omitzero"`
	NextDue    time.Time        `json:"next_due,omitzero" doc:"when the next update was promised"`
}

// Update is one post of a notice.
type Update struct {
	At         time.Time        `json:"at"`
	By         string           `json:"by" doc:"not shown to users"`
	Phase      Phase            `json:"phase"`
	Text       string           `json:"text"`
	Components map[string]State `json:"components,omitempty"`
}

// Open reports whether the notice is not resolved.
func (n Notice) Open() bool { return n.Phase != Resolved }

// Desk is a page as the controller sees it.
type Desk struct {
	Page      string               `json:"page"`
	Observed  map[string]Observed  `json:"observed,omitempty"` // by component; none: operational since ever
	Spoken    map[string]time.Time `json:"spoken,omitempty"`   // by component: when a post was about it last
	Open      []Notice             `json:"open,omitempty"`     // in order of their beginning
	Drafts    []Draft              `json:"drafts,omitempty"`   // that wait, oldest first
	Done      []string             `json:"done,omitempty"`     // drafts that were posted or discarded, the last 500
	Notices   int                  `json:"notices,omitempty"`  // opened so far
	Posts     int                  `json:"posts,omitempty"`    // so far
	PostedAt  time.Time            `json:"posted_at,omitzero"` // the last of them
	Published Outdated             `json:"published,omitzero"` // what was to be written last
	Unsent    []Unsent             `json:"unsent,omitempty"`   // posts that subscribers have yet to get, oldest first
}

// Unsent is a post on its way to subscribers.
type Unsent struct {
	Number     int       `json:"number"` // of the post, from 1
	Notice     string    `json:"notice"`
	Components []string  `json:"components,omitempty"` // the notice is about
	At         time.Time `json:"at"`
	Through    string    `json:"through,omitempty"` // subscriber up to whom it was sent
}

// Heard is what incidents of one place have said in public.
type Heard struct {
	Service     string      `json:"service"`
	Environment string      `json:"environment"`
	Updates     []HeardText `json:"updates,omitempty"`  // the last 20
	Resolved    []string    `json:"resolved,omitempty"` // the last 20 incidents that were
}

// HeardText is an update of an incident that was marked as public.
type HeardText struct {
	Event    string    `json:"event"`
	Incident string    `json:"incident"`
	Text     string    `json:"text"`
	NextDue  time.Time `json:"next_due,omitzero"`
	At       time.Time `json:"at"`
}

// The projections: desks by page; notices by PAGE/NOTICE, indexed by "page" in
// order of their beginning; what incidents say, by SERVICE.ENVIRONMENT.
const (
	deskName   = "status"
	noticeName = "status.notice"
	heardName  = "status.heard"
)

const (
	maxUpdates = 500
	maxDone    = 500
	maxHeard   = 20
	maxUnsent  = 50
)

// about is the part of every fact of a page that says which.
type about struct {
	Page   string `json:"page"`
	Notice string `json:"notice"`
}

// foreign is the part of incidents' facts that pages look at.
type foreign struct {
	Incident    string    `json:"incident"`
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Text        string    `json:"text"`
	Public      bool      `json:"public"`
	NextDue     time.Time `json:"next_due"`
}

const (
	incidentUpdated  = "incident.updated"
	incidentResolved = "incident.resolved"
)

// Projections folds desks, notices, and what incidents say.
func Projections() []*projection.Projection {
	desks := projection.Define(projection.Fold[Desk]{
		Name: deskName, Version: 1, Types: []string{EventObserved, EventProposed, EventWithdrawn, EventDiscarded, EventPosted, EventOutdated, EventAnnounced},
		Keys: func(e event.Event) []string {
			a, err := event.Decode[about](e)
			if err != nil || a.Page == "" {
				return nil
			}
			return []string{a.Page}
		},
		Apply: func(_ string, d Desk, e event.Event) (Desk, error) { return d.apply(e) },
	})
	notices := projection.Define(projection.Fold[Notice]{
		Name: noticeName, Version: 1, Types: []string{EventPosted},
		Keys: func(e event.Event) []string {
			a, err := event.Decode[about](e)
			if err != nil || a.Page == "" || a.Notice == "" {
				return nil
			}
			return []string{a.Page + "/" + a.Notice}
		},
		Apply: func(_ string, n Notice, e event.Event) (Notice, error) {
			p, err := event.Decode[Post](e)
			return n.posted(p, e), err
		},
		Indexes: func(_ string, n Notice) []projection.Index {
			return []projection.Index{{Name: "page", Value: n.Page, Sort: fmt.Sprintf("%020d", n.StartedAt.UnixMicro())}}
		},
	})
	heard := projection.Define(projection.Fold[Heard]{
		Name: heardName, Version: 1, Types: []string{incidentUpdated, incidentResolved},
		Keys: func(e event.Event) []string {
			f, err := event.Decode[foreign](e)
			if err != nil || f.Service == "" || f.Environment == "" {
				return nil
			}
			return []string{f.Service + "." + f.Environment}
		},
		Apply: func(_ string, h Heard, e event.Event) (Heard, error) { return h.apply(e) },
	})
	return []*projection.Projection{desks, notices, heard, subscribers()}
}

func (h Heard) apply(e event.Event) (Heard, error) {
	f, err := event.Decode[foreign](e)
	if err != nil {
		return h, err
	}
	h.Service, h.Environment = f.Service, f.Environment
	switch {
	case e.Type == incidentResolved:
		h.Resolved = last(append(slices.Clip(h.Resolved), f.Incident), maxHeard)
	case f.Public && f.Text != "":
		h.Updates = last(append(slices.Clip(h.Updates), HeardText{Event: e.ID, Incident: f.Incident, Text: clip(f.Text, maxText), NextDue: f.NextDue, At: e.Time}), maxHeard)
	}
	return h, nil
}

// last is the end of a list.
func last[T any](list []T, n int) []T { return slices.Clone(list[max(0, len(list)-n):]) }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

func (d Desk) apply(e event.Event) (Desk, error) {
	a, err := event.Decode[about](e)
	if err != nil {
		return d, err
	}
	d.Page = a.Page
	switch e.Type {
	case EventObserved:
		o, err := event.Decode[Observed](e)
		d.Observed = with(d.Observed, o.Component, o)
		return d, err
	case EventProposed:
		p, err := event.Decode[Draft](e)
		d.Drafts = append(slices.Clip(d.without(p.ID)), p)
		return d, err
	case EventWithdrawn, EventDiscarded:
		w, err := event.Decode[Withdrawn](e)
		d.Drafts = d.without(w.Draft)
		if e.Type == EventDiscarded {
			d.Done = last(append(slices.Clip(d.Done), w.Draft), maxDone)
		}
		return d, err
	case EventAnnounced:
		a, err := event.Decode[Announced](e)
		return d.announced(a), err
	case EventOutdated:
		d.Published, err = event.Decode[Outdated](e)
		return d, err
	}
	p, err := event.Decode[Post](e)
	if err != nil {
		return d, err
	}
	return d.posted(p, e), nil
}

func with[V any](m map[string]V, key string, v V) map[string]V {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]V{}
	}
	out[key] = v
	return out
}

func (d Desk) without(draft string) []Draft {
	return slices.DeleteFunc(slices.Clone(d.Drafts), func(x Draft) bool { return x.ID == draft })
}

// posted is the desk after a post.
func (d Desk) posted(p Post, e event.Event) Desk {
	d.Posts++
	d.PostedAt = e.Time
	if p.Draft != "" {
		d.Drafts = d.without(p.Draft)
		d.Done = last(append(slices.Clip(d.Done), p.Draft), maxDone)
	}
	d.Open = slices.Clone(d.Open)
	i := slices.IndexFunc(d.Open, func(n Notice) bool { return n.Name == p.Notice })
	if i < 0 {
		if p.Opens {
			d.Notices++
		}
		d.Open = append(d.Open, Notice{})
		i = len(d.Open) - 1
	}
	n := d.Open[i].posted(p, e)
	d.Open[i] = n
	for _, c := range n.Touched {
		d.Spoken = with(d.Spoken, c, e.Time)
	}
	if !n.Open() {
		d.Open = slices.Delete(d.Open, i, i+1)
	}
	d.Unsent = last(append(slices.Clip(d.Unsent), Unsent{Number: d.Posts, Notice: n.Name, Components: n.Touched, At: e.Time}), maxUnsent)
	return d
}

// announced is the desk after a post was sent to some.
func (d Desk) announced(a Announced) Desk {
	d.Unsent = slices.Clone(d.Unsent)
	for i, u := range d.Unsent {
		if u.Number != a.Number {
			continue
		}
		d.Unsent[i].Through = a.Through
		if a.Done {
			d.Unsent = slices.Delete(d.Unsent, i, i+1)
		}
		break
	}
	return d
}

// posted is the notice after a post of it.
func (n Notice) posted(p Post, e event.Event) Notice {
	if n.Name == "" {
		n = Notice{Page: p.Page, Name: p.Notice, StartedAt: e.Time, Impact: Operational}
	}
	n.Title, n.Phase, n.NextDue = cmp.Or(p.Title, n.Title), cmp.Or(p.Phase, n.Phase), p.NextDue
	n.Incident = cmp.Or(p.Incident, n.Incident)
	if p.Components != nil {
		n.Components = p.Components
	}
	n.Touched = slices.Clone(n.Touched)
	for c, s := range n.Components {
		if !slices.Contains(n.Touched, c) {
			n.Touched = append(n.Touched, c)
		}
		if s.weight() > n.Impact.weight() {
			n.Impact = s
		}
	}
	slices.Sort(n.Touched)
	n.ResolvedAt = time.Time{}
	if !n.Open() {
		n.ResolvedAt = e.Time
	}
	n.Updates = last(append(slices.Clip(n.Updates), Update{At: e.Time, By: e.Actor, Phase: n.Phase, Text: p.Text, Components: p.Components}), maxUpdates)
	return n
}

// State is what users are told about a component: the worst that any open
// notice says.
func (d Desk) State(component string) State {
	worst := Operational
	for _, n := range d.Open {
		if s := n.Components[component]; s.weight() > worst.weight() {
			worst = s
		}
	}
	return worst
}

// next is the name of the notice to be opened next.
func (d Desk) next() string { return "n" + strconv.Itoa(d.Notices+1) }

// notice is an open notice.
func (d Desk) notice(name string) (Notice, bool) {
	i := slices.IndexFunc(d.Open, func(n Notice) bool { return n.Name == name })
	if i < 0 {
		return Notice{}, false
	}
	return d.Open[i], true
}

// draft is a draft that waits.
func (d Desk) draft(id string) (Draft, bool) {
	i := slices.IndexFunc(d.Drafts, func(x Draft) bool { return x.ID == id })
	if i < 0 {
		return Draft{}, false
	}
	return d.Drafts[i], true
}

// GetDesk reads a page's desk; the zero Desk when nothing has happened yet.
func GetDesk(ctx context.Context, r projection.Reader, page string) (Desk, error) {
	d, _, err := projection.Get[Desk](ctx, r, deskName, page)
	d.Page = page
	return d, err
}
