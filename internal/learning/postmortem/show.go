package postmortem

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Document is a postmortem as it is read.
type Document struct {
	Place
	Title        string            `json:"title"`
	TitleVersion int               `json:"title_version" doc:"raised by every change of the title; --base takes it"`
	State        string            `json:"state" doc:"required, draft, in_review, published or excused"`
	Severity     int               `json:"severity"`
	Began        time.Time         `json:"began" doc:"when users were hurt first, as far as is known"`
	Opened       time.Time         `json:"opened"`
	Resolved     time.Time         `json:"resolved,omitzero"`
	Reason       string            `json:"reason,omitempty" doc:"why it has to be written, or need not be"`
	Due          time.Time         `json:"due,omitzero" doc:"by when it is in review"`
	Late         bool              `json:"late,omitempty"`
	Sections     []Section         `json:"sections" doc:"in the order in which they are read"`
	Factors      []Recurrence      `json:"factors" doc:"contributing factors, and how often they did lately for this team"`
	Items        []ActionItem      `json:"action_items"`
	Version      int               `json:"version" doc:"of the whole text"`
	Submitted    string            `json:"submitted_by,omitempty"`
	Approvals    []Approval        `json:"approvals,omitempty" doc:"of this version"`
	Needed       int               `json:"approvals_needed"`
	Edition      int               `json:"edition,omitempty" doc:"published so far"`
	Published    time.Time         `json:"published_at,omitzero" doc:"the newest edition"`
	Named        bool              `json:"named,omitempty" doc:"persons are named on purpose"`
	Findings     []problem.Finding `json:"findings,omitempty" doc:"persons that are named, and the roles to write instead"`
}

func (d *Desk) show(ctx context.Context, _ operation.Caller, in NameInput) (Document, error) {
	p, err := Get(ctx, operation.Reader(ctx, d.Reader), in.Postmortem)
	if err != nil {
		return Document{}, err
	}
	return d.document(ctx, p)
}

// document is a postmortem with what stands elsewhere: its action items, and
// how often its factors were met before.
func (d *Desk) document(ctx context.Context, p Postmortem) (Document, error) {
	now, r := d.moment(ctx), operation.Reader(ctx, d.Reader)
	row := p.row(now)
	out := Document{
		Place: p.Place, Title: p.Title, TitleVersion: p.Section(SectionTitle).Version, State: p.State, Severity: p.Trouble.Severity, Began: p.Trouble.Began, Opened: p.Trouble.Opened, Resolved: p.Trouble.Resolved,
		Reason: p.Excused, Due: row.Due, Late: row.Late, Sections: []Section{}, Factors: []Recurrence{}, Items: []ActionItem{},
		Version: p.Version, Submitted: p.SubmittedBy, Approvals: p.Approvals, Needed: p.needed(), Edition: p.Edition, Published: p.PublishedAt, Named: p.Named,
	}
	if p.Required != nil && p.State != StateExcused {
		out.Reason = p.Required.Reason
	}
	if p.Version > 0 {
		for _, h := range Headings {
			out.Sections = append(out.Sections, p.Section(h.Section))
		}
	}
	items, _, err := projection.List[ActionItem](ctx, r, ItemProjection, projection.Filter{Index: "postmortem", Value: p.Postmortem, Limit: maxItems})
	if err != nil {
		return out, err
	}
	for _, i := range items {
		out.Items = append(out.Items, i.at(now))
	}
	if len(p.Factors) > 0 {
		lately, err := recurrences(ctx, r, FactorsInput{Team: p.Team})
		if err != nil {
			return out, err
		}
		for _, f := range p.Factors {
			out.Factors = append(out.Factors, lately.of(f))
		}
	}
	out.Findings, err = d.findings(ctx, p, append(out.Sections, Section{Section: SectionTitle, Text: p.Title}))
	return out, err
}

// of is one factor's recurrence.
func (r Recurrences) of(factor string) Recurrence {
	for _, i := range r.Items {
		if i.Factor == factor {
			return i
		}
	}
	return Recurrence{Factor: factor, Of: r.Of}
}

// Tell is the postmortem as plain text.
func (o Document) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s\n", o.Postmortem, told(o.State), o.Title)
	fmt.Fprintf(&b, "%s, severity %d, %s in %s, team %s\n", o.Incident, o.Severity, o.Service, o.Environment, o.Team)
	if o.Reason != "" {
		fmt.Fprintf(&b, "%s: %s\n", map[bool]string{true: "excused", false: "required"}[o.State == StateExcused], o.Reason)
	}
	if !o.Due.IsZero() && (o.State == StateRequired || o.State == StateDraft) {
		fmt.Fprintf(&b, "due for review %s%s\n", moment(o.Due), map[bool]string{true: ", which is past"}[o.Late])
	}
	if o.State == StateReview {
		fmt.Fprintf(&b, "%d of %s\n", len(o.Approvals), plural(float64(o.Needed), "approval"))
	}
	for _, s := range o.Sections {
		fmt.Fprintf(&b, "\n%s (%s, version %d)\n", heading(s.Section).Title, s.Section, s.Version)
		if s.Text == "" {
			fmt.Fprintf(&b, "  … %s\n", heading(s.Section).Hint)
		}
		for line := range strings.Lines(s.Text) {
			fmt.Fprintf(&b, "  %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	for i, f := range o.Factors {
		if i == 0 {
			b.WriteString("\nFactors\n")
		}
		fmt.Fprintf(&b, "  %s: in %d of the team's last %d\n", f.Factor, f.In, f.Of)
	}
	for n, i := range o.Items {
		if n == 0 {
			b.WriteString("\nAction items\n")
		}
		fmt.Fprintf(&b, "  %s (%s, %s, due %s): %s; %s\n", i.Item, i.Kind, i.Owner, day(i.Due), i.Title, i.status())
	}
	for n, f := range o.Findings {
		if n == 0 {
			b.WriteString("\nPersons are named\n")
		}
		fmt.Fprintf(&b, "  %s\n", f)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// status is how an action item stands, in words.
func (i ActionItem) status() string {
	switch {
	case i.Evidence != nil:
		return "closed " + day(i.ClosedAt) + ": " + i.Evidence.Text
	case i.State == ItemClosed:
		return "closed " + day(i.ClosedAt) + " without evidence: " + i.Unproven
	case i.Overdue:
		return "overdue"
	}
	return "open"
}

// Export is a postmortem as a file.
type Export struct {
	File     string `json:"file" doc:"name for the file, without folder"`
	Markdown string `json:"markdown"`
}

// Tell is the file's text.
func (e Export) Tell() string { return strings.TrimSuffix(e.Markdown, "\n") }

func (d *Desk) export(ctx context.Context, c operation.Caller, in NameInput) (Export, error) {
	o, err := d.show(ctx, c, in)
	return Export{File: o.Postmortem + ".md", Markdown: o.Markdown()}, err
}

// Markdown is the postmortem as it is kept in a repository: the same text gives
// the same bytes, whoever asks and whenever.
func (o Document) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", oneLine(o.Title))
	fmt.Fprintf(&b, "- Incident: `%s`, severity %d, %s in %s\n- Team: %s\n- Began: %s\n", o.Incident, o.Severity, o.Service, o.Environment, o.Team, moment(o.Began))
	if !o.Resolved.IsZero() {
		fmt.Fprintf(&b, "- Resolved: %s\n", moment(o.Resolved))
	}
	status := told(o.State)
	if o.State == StatePublished {
		status = fmt.Sprintf("published %s, edition %d", day(o.Published), o.Edition)
	}
	fmt.Fprintf(&b, "- Status: %s\n", status)
	var factors []string
	for _, f := range o.Factors {
		factors = append(factors, f.Factor)
	}
	fmt.Fprintf(&b, "- Factors: %s\n", listed(factors))
	for _, s := range o.Sections {
		text := s.Text
		if text == "" {
			text = "*Nothing is written here.*"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", heading(s.Section).Title, demoted(text))
	}
	b.WriteString("\n## Action items\n\n")
	if len(o.Items) == 0 {
		b.WriteString("None.\n")
		return b.String()
	}
	b.WriteString("| Item | Kind | Owner | Due | State |\n| --- | --- | --- | --- | --- |\n")
	for _, i := range o.Items {
		i.Overdue = false // a file does not know the day on which it is read
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(i.Title), i.Kind, cell(i.Owner), day(i.Due), cell(i.status()))
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func cell(s string) string { return strings.ReplaceAll(oneLine(s), "|", `\|`) }

// demoted keeps headings inside a section below the section's own, and a line
// and the list after it apart.
func demoted(text string) string {
	lines := strings.Split(text, "\n")
	var out []string
	for i, l := range lines {
		if strings.HasPrefix(l, "#") {
			l = "##" + l
		}
		if i > 0 && strings.HasPrefix(l, "- ") && lines[i-1] != "" && !strings.HasPrefix(lines[i-1], "- ") {
			out = append(out, "")
		}
		out = append(out, l)
		if strings.HasPrefix(l, "- ") && i+1 < len(lines) && lines[i+1] != "" && !strings.HasPrefix(lines[i+1], "- ") && !strings.HasPrefix(lines[i+1], " ") {
			out = append(out, "")
		}
	}
	return strings.Join(out, "\n")
}
