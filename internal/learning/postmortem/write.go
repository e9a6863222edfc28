package postmortem

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Bounds on what people write.
const (
	maxText    = 32 << 10 // bytes of a section
	maxTitle   = 200      // bytes
	maxFactors = 20
	maxItems   = 100 // action items of one postmortem
	attempts   = 5   // of an append that others overtake
)

// change appends the fact that decide makes of the present state, unless the
// postmortem moved meanwhile: then it is decided anew. No fact is no change.
func (d *Desk) change(ctx context.Context, caller operation.Caller, name string, decide func(p Postmortem) (typ string, data any, err error)) (Postmortem, event.Event, error) {
	name = Name(name)
	var fact event.Event
	for try := 1; ; try++ {
		if err := d.Sync(ctx); err != nil {
			return Postmortem{}, event.Event{}, err
		}
		version, err := d.Log.Version(ctx, "postmortem/"+name)
		if err != nil {
			return Postmortem{}, event.Event{}, err
		}
		if err := d.Sync(ctx); err != nil {
			return Postmortem{}, event.Event{}, err
		}
		p, known, err := projection.Get[Postmortem](ctx, d.Reader, ProjectionName, name)
		if err == nil && !known {
			_, err = Get(ctx, d.Reader, name)
		}
		if err != nil {
			return p, fact, err
		}
		typ, data, err := decide(p)
		if typ != "" && err != nil && d.done(ctx, typ) {
			return p, event.Event{}, nil // a repeated call, which was heard the first time
		}
		if err != nil || typ == "" || data == nil {
			return p, fact, err
		}
		recorded, err := d.Log.Append(ctx, event.Batch{Stream: "postmortem/" + name, Expect: version, Drafts: []event.Draft{{
			ID: operation.FactID(ctx, typ), Type: typ, Time: d.Clock.Now(), Actor: caller.Name, Cause: operation.CallID(ctx), Subject: "postmortem/" + name, Data: data,
		}}})
		if problem.KindOf(err) == problem.Conflict && try < attempts {
			continue
		}
		if err != nil {
			return p, fact, err
		}
		fact = recorded[0]
		if err := d.Sync(ctx); err != nil {
			return p, fact, err
		}
		p, _, err = projection.Get[Postmortem](ctx, d.Reader, ProjectionName, name)
		return p, fact, err
	}
}

// done reports whether this call has recorded its fact before.
func (d *Desk) done(ctx context.Context, typ string) bool {
	id := operation.FactID(ctx, typ)
	if id == "" {
		return false
	}
	found, err := d.Log.Read(ctx, event.Query{ID: id, Limit: 1})
	return err == nil && len(found) > 0
}

// written refuses what is no text to write in: one that is not there, or that
// is published.
func (p Postmortem) written(op string) error {
	switch p.State {
	case StateDraft, StateReview:
		return nil
	case StatePublished:
		return problem.New(problem.Conflict, op, "%s is published: edition %d stays as it is", p.Postmortem, p.Edition).
			WithNext("begin a new edition: flyball postmortem reopen %s --reason …", p.Postmortem)
	}
	return problem.New(problem.Conflict, op, "there is no text of %s yet", p.Postmortem).WithNext("flyball postmortem draft %s writes one", p.Incident)
}

// troubled is the scope of an incident that is to be drafted.
func (d *Desk) troubled(ctx context.Context, in DraftInput) (operation.Scope, error) {
	p, ok, err := projection.Get[Postmortem](ctx, d.Reader, ProjectionName, Name(in.Incident))
	if err == nil && (!ok || p.Trouble.Opened.IsZero()) {
		err = problem.New(problem.NotFound, "postmortem.draft", "there is no incident named %q", in.Incident).WithNext("flyball incident list --state all shows them")
	}
	return operation.Scope{Team: p.Team, Environment: p.Environment}, err
}

func (d *Desk) draft(ctx context.Context, caller operation.Caller, in DraftInput) (Document, error) {
	if _, err := d.troubled(ctx, in); err != nil {
		return Document{}, err
	}
	p, _, err := d.change(ctx, caller, in.Incident, func(p Postmortem) (string, any, error) {
		if p.State == StateReview || p.State == StatePublished {
			return EventDrafted, nil, problem.New(problem.Conflict, "postmortem.draft", "%s is %s already", p.Postmortem, told(p.State)).
				WithNext("flyball postmortem reopen %s --reason … takes it back", p.Postmortem)
		}
		story, err := compose(ctx, d.Reader, d.Tell, p)
		if err != nil {
			return "", nil, err
		}
		policy, _, err := policyOf(ctx, d.Reader, p.Team)
		if err != nil {
			return "", nil, err
		}
		draft := Draft(p.Place, p.Trouble, story, in.Names)
		draft.Reviewers = policy.Reviewers
		return EventDrafted, draft, nil
	})
	if err != nil {
		return Document{}, err
	}
	return d.document(ctx, p)
}

// told is a state in words.
func told(state string) string {
	return map[string]string{StateRequired: "required", StateDraft: "a draft", StateReview: "in review", StatePublished: "published", StateExcused: "excused"}[state]
}

// Edit is what came of an edit.
type Edit struct {
	Place
	Section  string            `json:"section"`
	Version  int               `json:"version" doc:"of the section, now"`
	Findings []problem.Finding `json:"findings,omitempty" doc:"persons that are named, and the roles to write instead"`
}

// Tell says what was written, and what is wrong with it.
func (e Edit) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s is at version %d\n", e.Section, e.Postmortem, e.Version)
	for _, f := range e.Findings {
		fmt.Fprintln(&b, f)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (d *Desk) edit(ctx context.Context, caller operation.Caller, in EditInput) (Edit, error) {
	text, err := tidy(in.Section, in.Text)
	if err != nil {
		return Edit{}, err
	}
	p, _, err := d.change(ctx, caller, in.Postmortem, func(p Postmortem) (string, any, error) {
		if err := p.written("postmortem.edit"); err != nil {
			return EventEdited, nil, err
		}
		s := p.Section(in.Section)
		moved := in.Base != s.Version
		if in.Base == 0 {
			moved = s.By != "" && s.By != caller.Name
		}
		if moved && s.Text != text {
			return EventEdited, nil, problem.New(problem.Conflict, "postmortem.edit", "%s has written %s since, at %s: it is at version %d now, and reads\n%s", by(s), in.Section, moment(s.At), s.Version, s.Text).
				WithNext("put both texts together, and send them with --base %d", s.Version)
		}
		if s.Text == text {
			return "", nil, nil
		}
		return EventEdited, Edited{Place: p.Place, Written: Written{Section: in.Section, Text: text}, Version: s.Version + 1}, nil
	})
	if err != nil {
		return Edit{}, err
	}
	s := p.Section(in.Section)
	out := Edit{Place: p.Place, Section: in.Section, Version: s.Version}
	out.Findings, err = d.findings(ctx, p, []Section{s})
	return out, err
}

func by(s Section) string {
	if s.By == "" {
		return "a newer draft"
	}
	return s.By
}

// tidy is a text as it is kept: without the line ends of browsers and blanks
// nobody sees.
func tidy(section, text string) (string, error) {
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " \t")
	}
	text = strings.Trim(strings.Join(lines, "\n"), "\n")
	invalid := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "postmortem.edit", format, args...)
	}
	switch {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "", invalid("the text is not UTF-8 without NUL")
	case section == SectionTitle && (text == "" || len(text) > maxTitle || strings.Contains(text, "\n")):
		return "", invalid("a title is one line of 1 to %d bytes", maxTitle)
	case len(text) > maxText:
		return "", invalid("the text has %d bytes; a section has at most %d", len(text), maxText)
	}
	return text, nil
}

// findings names the persons in sections, unless they are named on purpose.
func (d *Desk) findings(ctx context.Context, p Postmortem, sections []Section) ([]problem.Finding, error) {
	if p.Named {
		return nil, nil
	}
	known, err := people(ctx, operation.Reader(ctx, d.Reader))
	if err != nil {
		return nil, err
	}
	all := cast(p.Place, p.Trouble, nil, known)
	all = slices.DeleteFunc(all, func(n Named) bool {
		return slices.ContainsFunc(p.Cast, func(c Named) bool { return strings.EqualFold(c.Name, n.Name) })
	})
	l := newLookup(append(all, p.Cast...))
	var out []problem.Finding
	for _, s := range sections {
		out = append(out, l.Findings(s.Section, s.Text)...)
	}
	return out, nil
}

func (d *Desk) tag(ctx context.Context, caller operation.Caller, in TagInput) (Document, error) {
	for _, f := range append(slices.Clone(in.Add), in.Remove...) {
		if !slug(f) {
			return Document{}, problem.New(problem.Invalid, "postmortem.tag", "%q is no factor; write lower case letters, digits and hyphens, such as config-change", clip(f, 60))
		}
	}
	p, _, err := d.change(ctx, caller, in.Postmortem, func(p Postmortem) (string, any, error) {
		if err := p.written("postmortem.tag"); err != nil {
			return EventTagged, nil, err
		}
		factors := slices.DeleteFunc(append(slices.Clone(p.Factors), in.Add...), func(f string) bool { return slices.Contains(in.Remove, f) })
		slices.Sort(factors)
		factors = slices.Compact(factors)
		if len(factors) > maxFactors {
			return EventTagged, nil, problem.New(problem.Invalid, "postmortem.tag", "%d factors; at most %d say something", len(factors), maxFactors)
		}
		if slices.Equal(factors, slices.Sorted(slices.Values(p.Factors))) {
			return "", nil, nil
		}
		return EventTagged, Tagged{Place: p.Place, Factors: factors}, nil
	})
	if err != nil {
		return Document{}, err
	}
	return d.document(ctx, p)
}

func slug(s string) bool {
	if s == "" || len(s) > 40 || strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}

// members is how many people a team names.
func (d *Desk) members(ctx context.Context, team string) (int, error) {
	t, err := catalog.GetTeam(ctx, d.Reader, team)
	if problem.KindOf(err) == problem.NotFound {
		return 0, nil
	}
	return len(t.Members), err
}

// Version is one version of a section, or a step on the way to publication.
type Version struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	What    string    `json:"what" doc:"drafted, edited, tagged, submitted, approved, published or reopened"`
	Section string    `json:"section,omitempty"`
	Version int       `json:"version,omitempty" doc:"of the section"`
	Text    string    `json:"text,omitempty" table:"-"`
	Event   string    `json:"event" table:"-" doc:"ID of the fact"`
}
