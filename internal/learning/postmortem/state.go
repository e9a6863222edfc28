package postmortem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// The states of a postmortem.
const (
	StateRequired  = "required"  // it has to be written, and is not
	StateDraft     = "draft"     // it is being written
	StateReview    = "in_review" // others read it
	StatePublished = "published" // it changes only as a new edition
	StateExcused   = "excused"   // it need not be written
)

// Postmortem is the folded state of one incident as far as learning from it
// goes. Without a State nobody has asked for a text.
type Postmortem struct {
	Place
	State     string      `json:"state,omitempty"`
	Title     string      `json:"title,omitempty"`
	Trouble   Trouble     `json:"trouble"`
	Required  *Required   `json:"required,omitempty"`
	Excused   string      `json:"excused,omitempty"` // why it need not be written
	Reminded  []time.Time `json:"reminded,omitempty"`
	DraftedAt time.Time   `json:"drafted_at,omitzero"`

	Sections  []Section `json:"sections,omitempty"`
	Factors   []string  `json:"factors,omitempty"`
	Named     bool      `json:"named,omitempty"` // persons are named on purpose
	Cast      []Named   `json:"cast,omitempty"`
	Version   int       `json:"version"`           // of the whole text: any change raises it
	Authors   []string  `json:"authors,omitempty"` // who has written in it
	Reviewers int       `json:"reviewers"`         // approvals that publication needs

	SubmittedAt time.Time  `json:"submitted_at,omitzero"`
	SubmittedBy string     `json:"submitted_by,omitempty"`
	Approvals   []Approval `json:"approvals,omitempty"` // of the present version
	Edition     int        `json:"edition,omitempty"`   // published so far
	PublishedAt time.Time  `json:"published_at,omitzero"`
	PublishedBy string     `json:"published_by,omitempty"`
	Printed     *Printed   `json:"printed,omitempty"` // the newest edition
	Items       int        `json:"items"`             // action items given so far: the last one's number
}

// Section is one part of the text.
type Section struct {
	Section string    `json:"section" doc:"its name, for --section"`
	Text    string    `json:"text"`
	Version int       `json:"version" doc:"raised by every change; --base takes it"`
	By      string    `json:"by,omitempty" doc:"who wrote it last; empty while it is as drafted"`
	At      time.Time `json:"at" doc:"when"`
}

// Approval is one reviewer's yes to one version of the text.
type Approval struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Printed is an edition as it was published.
type Printed struct {
	Edition  int       `json:"edition"`
	At       time.Time `json:"at"`
	Title    string    `json:"title"`
	Sections []Section `json:"sections"`
	Factors  []string  `json:"factors,omitempty"`
}

// The projections: postmortems by name, indexed once there is something to
// show by "all", "state", "service", "team" and "factor" in order of the
// incident, by "late" in order of due date, by "open" for the controller, and
// by "term" for every word of the text; action items by name (see item.go).
const (
	ProjectionName = "postmortem"
	ItemProjection = "postmortem.item"
)

// Projections folds postmortems and action items.
func Projections() []*projection.Projection {
	return []*projection.Projection{
		projection.Define(projection.Fold[Postmortem]{
			Name: ProjectionName, Version: 1,
			Types: []string{incidentOpened, incidentLinked, incidentHeld, incidentPaged, incidentAcknowledged, incidentMitigated, incidentResolved, incidentAssigned, incidentRated, "postmortem."},
			Keys: func(e event.Event) []string {
				p, err := event.Decode[Place](e)
				if err != nil || p.Incident == "" {
					return nil
				}
				return []string{Name(p.Incident)}
			},
			Apply:   func(_ string, p Postmortem, e event.Event) (Postmortem, error) { return p.apply(e) },
			Indexes: func(_ string, p Postmortem) []projection.Index { return p.indexes() },
		}),
		itemProjection(),
	}
}

func sortable(t time.Time) string { return fmt.Sprintf("%020d", t.UnixMicro()) }

// waits reports whether somebody has yet to bring the text into review.
func (p Postmortem) waits() bool {
	return p.Required != nil && p.SubmittedAt.IsZero() && (p.State == StateRequired || p.State == StateDraft)
}

func (p Postmortem) indexes() []projection.Index {
	var out []projection.Index
	assessed := p.Required != nil || p.Excused != ""
	if !p.Trouble.Resolved.IsZero() && !assessed || p.waits() {
		out = append(out, projection.Index{Name: "open", Value: "yes", Sort: p.Postmortem})
	}
	if p.State == "" || p.State == StateExcused && p.Version == 0 {
		return out
	}
	at := sortable(p.Trouble.Opened)
	add := func(name, value string) { out = append(out, projection.Index{Name: name, Value: value, Sort: at}) }
	add("all", "yes")
	add("state", p.State)
	add("service", p.Service)
	add("team", p.Team)
	for _, f := range p.Factors {
		add("factor", f)
	}
	for _, t := range p.terms() {
		add("term", t)
	}
	if p.waits() {
		out = append(out, projection.Index{Name: "late", Value: "yes", Sort: sortable(p.Required.Due)})
	}
	return out
}

func (p Postmortem) apply(e event.Event) (Postmortem, error) {
	if event.Matches([]string{"incident."}, e.Type) {
		f, err := event.Decode[foreign](e)
		if err != nil {
			return p, err
		}
		p.Place = p.Place.known(f)
		p.Trouble = p.Trouble.apply(e, f)
		return p, nil
	}
	place, err := event.Decode[Place](e)
	if err != nil {
		return p, err
	}
	p.Place = place
	switch e.Type {
	case EventRequired:
		return p.required(e)
	case EventExcused:
		x, err := event.Decode[Excused](e)
		p.Excused = x.Reason
		if p.Version == 0 || x.Policy == "" { // by policy, what is being written goes on
			p.State = StateExcused
		}
		return p, err
	case EventOverdue:
		p.Reminded = append(slices.Clip(p.Reminded), e.Time)
	case EventDrafted:
		return p.drafted(e)
	case EventEdited:
		return p.edited(e)
	case EventTagged:
		t, err := event.Decode[Tagged](e)
		p.Factors = t.Factors
		return p.touched(e.Actor), err
	case EventSubmitted, EventApproved, EventPublished, EventReopened:
		return p.reviewed(e)
	case EventItemAdded:
		p.Items++
	}
	return p, nil
}

// known fills in what a fact about the incident says about where it is.
func (p Place) known(f foreign) Place {
	p.Incident, p.Postmortem = f.Incident, Name(f.Incident)
	if f.Service != "" {
		p.Service, p.Environment = f.Service, f.Environment
	}
	if f.Team != "" {
		p.Team = f.Team
	}
	return p
}

func (p Postmortem) required(e event.Event) (Postmortem, error) {
	r, err := event.Decode[Required](e)
	if err != nil {
		return p, err
	}
	p.Required, p.Reviewers = &r, r.Reviewers
	if p.Title == "" {
		p.Title = r.Title
	}
	if p.State == "" || p.State == StateExcused {
		p.State, p.Excused = StateRequired, ""
		if p.Version > 0 {
			p.State = StateDraft
		}
	}
	return p, nil
}

// drafted takes a draft in: what no person has edited is replaced.
func (p Postmortem) drafted(e event.Event) (Postmortem, error) {
	d, err := event.Decode[Drafted](e)
	if err != nil {
		return p, err
	}
	first := p.Version == 0
	if first {
		p.DraftedAt, p.Factors = e.Time, d.Factors
	}
	if first || !slices.ContainsFunc(p.Sections, func(s Section) bool { return s.Section == SectionTitle && s.By != "" }) {
		p.Title = d.Title
	}
	p.Named, p.Cast = d.Named, d.Cast
	if p.Reviewers == 0 {
		p.Reviewers = d.Reviewers
	}
	p.Sections = slices.Clone(p.Sections)
	for _, w := range d.Sections {
		i := p.index(w.Section)
		if i < 0 {
			p.Sections = append(p.Sections, Section{Section: w.Section, Text: w.Text, Version: 1, At: e.Time})
		} else if s := &p.Sections[i]; s.By == "" && s.Text != w.Text {
			s.Text, s.Version, s.At = w.Text, s.Version+1, e.Time
		}
	}
	p.State = StateDraft
	p.Version++
	p.Approvals = nil
	return p, nil
}

func (p Postmortem) index(section string) int {
	return slices.IndexFunc(p.Sections, func(s Section) bool { return s.Section == section })
}

// Section is a section of the text; the title is one, too.
func (p Postmortem) Section(name string) Section {
	if i := p.index(name); i >= 0 {
		return p.Sections[i]
	}
	return Section{Section: name}
}

func (p Postmortem) edited(e event.Event) (Postmortem, error) {
	d, err := event.Decode[Edited](e)
	if err != nil {
		return p, err
	}
	s := Section{Section: d.Section, Text: d.Text, Version: d.Version, By: e.Actor, At: e.Time}
	p.Sections = slices.Clone(p.Sections)
	if i := p.index(d.Section); i >= 0 {
		p.Sections[i] = s
	} else {
		p.Sections = append(p.Sections, s)
	}
	if d.Section == SectionTitle {
		p.Title = d.Text
	}
	return p.touched(e.Actor), nil
}

// touched is the postmortem after somebody changed its text: what was approved
// was another text.
func (p Postmortem) touched(by string) Postmortem {
	p.Version++
	p.Approvals = nil
	if !slices.Contains(p.Authors, by) && len(p.Authors) < maxAuthors {
		p.Authors = append(slices.Clip(p.Authors), by)
	}
	return p
}

const maxAuthors = 100

func (p Postmortem) reviewed(e event.Event) (Postmortem, error) {
	d, err := event.Decode[Reviewed](e)
	if err != nil {
		return p, err
	}
	switch e.Type {
	case EventSubmitted:
		p.State, p.SubmittedAt, p.SubmittedBy, p.Approvals = StateReview, e.Time, e.Actor, nil
	case EventApproved:
		p.Approvals = append(slices.Clip(p.Approvals), Approval{By: e.Actor, At: e.Time})
	case EventPublished:
		p.State, p.PublishedAt, p.PublishedBy, p.Edition = StatePublished, e.Time, e.Actor, d.Edition
		p.Printed = &Printed{Edition: d.Edition, At: e.Time, Title: p.Title, Sections: p.Sections, Factors: p.Factors}
	case EventReopened:
		p.State, p.Approvals = StateDraft, nil
	}
	return p, nil
}

// Get reads one postmortem, by its own name or its incident's.
func Get(ctx context.Context, r projection.Reader, name string) (Postmortem, error) {
	p, ok, err := projection.Get[Postmortem](ctx, r, ProjectionName, Name(name))
	if err == nil && (!ok || p.State == "") {
		err = problem.New(problem.NotFound, "postmortem", "there is no postmortem named %q", name).
			WithNext("flyball postmortem draft %s writes one, flyball postmortem list shows what there is", incidentOf(p, name))
	}
	return p, err
}

func incidentOf(p Postmortem, name string) string {
	if p.Incident != "" {
		return p.Incident
	}
	return name
}
