package web

import (
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

type postmortemListBody struct {
	Lead    string
	In      postmortem.ListInput
	Items   []postmortem.Row
	Next    string
	Overdue []postmortem.ActionItem
	Report  postmortem.Report
	Factors postmortem.Recurrences
}

// postmortemStates are what the list can be narrowed to, besides everything.
var postmortemStates = []string{"late", postmortem.StateRequired, postmortem.StateDraft, postmortem.StateReview, postmortem.StatePublished, postmortem.StateExcused}

// States are the choices of the filter.
func (postmortemListBody) States() []string { return postmortemStates }

func (s *site) postmortemList(v *visit) (page, error) {
	q := v.URL.Query()
	b := postmortemListBody{In: postmortem.ListInput{Search: q.Get("q"), Service: q.Get("service"), Team: q.Get("team"), Factor: q.Get("factor"), After: q.Get("after"), Limit: pageSize}}
	if slices.Contains(postmortemStates, q.Get("state")) {
		b.In.State = q.Get("state")
	}
	p := page{Template: "postmortems", Title: "Postmortems", Section: "incidents", Live: "postmortem."}
	out, _, err := call[operation.Page[postmortem.Row]](s, v, "postmortem.list", func(in any) error {
		*in.(*postmortem.ListInput) = b.In
		return nil
	})
	if err != nil {
		return p, err
	}
	b.Items, b.Next = out.Items, out.Next
	if b.Overdue, err = s.overdueItems(v, b.In.Team); err != nil {
		return p, err
	}
	if b.Report, _, err = call[postmortem.Report](s, v, "action-item.report", func(in any) error {
		in.(*postmortem.ReportInput).Team = b.In.Team
		return nil
	}); err != nil {
		return p, err
	}
	b.Factors, _, err = call[postmortem.Recurrences](s, v, "postmortem.factors", func(in any) error {
		f := in.(*postmortem.FactorsInput)
		f.Team, f.Service = b.In.Team, b.In.Service
		return nil
	})
	b.Lead = b.lead()
	p.Body = b
	return p, err
}

func (s *site) overdueItems(v *visit, team string) ([]postmortem.ActionItem, error) {
	out, _, err := call[operation.Page[postmortem.ActionItem]](s, v, "action-item.list", func(in any) error {
		i := in.(*postmortem.ItemsInput)
		i.State, i.Team, i.Limit = "overdue", team, listed
		return nil
	})
	return out.Items, err
}

func (s *site) latePostmortems(v *visit) ([]postmortem.Row, error) {
	out, _, err := call[operation.Page[postmortem.Row]](s, v, "postmortem.list", func(in any) error {
		i := in.(*postmortem.ListInput)
		i.State, i.Limit = "late", listed
		return nil
	})
	return out.Items, err
}

// lead answers what is owed.
func (b postmortemListBody) lead() string {
	all := b.Report.All
	lead := "No action item is overdue"
	if all.Overdue > 0 {
		lead = plural(all.Overdue, "action item is overdue", "action items are overdue") + " of " + plural(all.Open, "open one", "open ones")
	}
	if all.Share != nil {
		lead += fmt.Sprintf("; %s were closed on time (%d of %d)", share(*all.Share), all.OnTime, all.Due)
	}
	return lead + "."
}

type postmortemBody struct {
	postmortem.Document
	Status       string
	Parts        []part
	Writing      string // section that is being written
	TitleVersion int
	MayWrite     bool
	MayAct       bool // add and close action items
	Steps        []step
	Refused      string
}

// part is a section of the text with its heading.
type part struct {
	postmortem.Section
	postmortem.Heading
	Blocks []block
	Lines  int // of the form
}

// step is something that can be done with the whole text now.
type step struct {
	Verb, Label string
	Primary     bool
	Reason      bool // it asks for one
}

func (s *site) postmortem(v *visit) (page, error) {
	name := v.PathValue("name")
	d, ok, err := call[postmortem.Document](s, v, "postmortem.show", func(in any) error {
		in.(*postmortem.NameInput).Postmortem = name
		return nil
	})
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "postmortem.show", "this server keeps no postmortems")
	}
	if err != nil {
		return page{}, err
	}
	b := postmortemBody{Document: d, TitleVersion: d.TitleVersion}
	writable := d.State == postmortem.StateDraft || d.State == postmortem.StateReview
	allowed := s.may(v, "postmortem.edit", d.Team, d.Environment)
	b.MayWrite, b.MayAct = allowed && writable, allowed && (writable || d.State == postmortem.StatePublished)
	if !allowed && !v.past {
		b.Refused = "To write in it, sign in with a token that has the role developer for team " + d.Team + "."
	}
	if b.MayWrite {
		b.Writing = v.URL.Query().Get("edit")
	}
	if allowed {
		b.Steps = stepsOf(d)
	}
	for _, x := range d.Sections {
		p := part{Section: x, Blocks: blocks(x.Text), Lines: max(4, min(24, 2+strings.Count(x.Text, "\n")+len(x.Text)/70))}
		for _, h := range postmortem.Headings {
			if h.Section == x.Section {
				p.Heading = h
			}
		}
		b.Parts = append(b.Parts, p)
	}
	b.Status = postmortemStatus(v, d)
	p := page{Template: "postmortem", Title: d.Title, Section: "incidents", Body: b, Live: "postmortem."}
	if b.Writing != "" {
		p.Live = "" // nothing changes under somebody's hands
	}
	return p, nil
}

// postmortemStatus says in words how far the text is.
func postmortemStatus(v *visit, d postmortem.Document) string {
	var parts []string
	if d.Reason != "" {
		parts = append(parts, d.Reason)
	}
	switch d.State {
	case postmortem.StateRequired, postmortem.StateDraft:
		if d.Late {
			parts = append(parts, "it should have been in review "+span(v.now.Sub(d.Due))+" ago")
		} else if d.Due.After(v.now) {
			parts = append(parts, "due for review in "+span(d.Due.Sub(v.now)))
		}
	case postmortem.StateReview:
		parts = append(parts, fmt.Sprintf("%d of %s", len(d.Approvals), plural(d.Needed, "approval", "approvals")))
	case postmortem.StatePublished:
		parts = append(parts, fmt.Sprintf("edition %d", d.Edition))
	}
	return sentence(strings.Join(parts, "; "))
}

// steps are what can be done with a text in its state.
func stepsOf(d postmortem.Document) []step {
	switch d.State {
	case postmortem.StateDraft:
		return []step{{Verb: "submit", Label: "Give it to review", Primary: true}}
	case postmortem.StateReview:
		if len(d.Approvals) >= d.Needed {
			return []step{{Verb: "publish", Label: "Publish", Primary: true}, {Verb: "reopen", Label: "Take it back", Reason: true}}
		}
		return []step{{Verb: "approve", Label: "Approve", Primary: true}, {Verb: "reopen", Label: "Take it back", Reason: true}}
	case postmortem.StatePublished:
		return []step{{Verb: "reopen", Label: "Begin a new edition", Reason: true}}
	}
	return nil
}

// block is a paragraph or a list of a section's text.
type block struct {
	Text template.HTML
	List []template.HTML
}

// blocks cuts a text into paragraphs, and lists of lines that begin with a hyphen.
func blocks(text string) []block {
	var out []block
	var lines []string
	end := func() {
		if len(lines) > 0 {
			out = append(out, block{Text: prose(strings.Join(lines, " "))})
		}
		lines = nil
	}
	inList := false
	for line := range strings.SplitSeq(text, "\n") {
		item, isItem := strings.CutPrefix(strings.TrimLeft(line, " "), "- ")
		switch {
		case isItem:
			end()
			if !inList {
				out = append(out, block{})
			}
			last := &out[len(out)-1]
			last.List = append(last.List, prose(item))
		case strings.TrimSpace(line) == "":
			end()
		default:
			lines = append(lines, strings.TrimLeft(line, "# "))
		}
		inList = isItem
	}
	end()
	return out
}

// prose is a line of text in which `code` is set as such.
func prose(s string) template.HTML {
	var b strings.Builder
	parts := strings.Split(s, "`")
	for i, p := range parts {
		switch {
		case i%2 == 1 && i < len(parts)-1:
			b.WriteString("<code>" + template.HTMLEscapeString(p) + "</code>")
		case i%2 == 1:
			b.WriteString("`" + template.HTMLEscapeString(p))
		default:
			b.WriteString(template.HTMLEscapeString(p))
		}
	}
	return template.HTML(b.String())
}

// shownBy is where a piece of evidence can be looked at.
func shownBy(e *postmortem.Evidence) string {
	switch {
	case e.Passed != "":
		run, _, _ := strings.Cut(e.Passed, "/")
		return "/pipelines/" + url.PathEscape(run)
	case e.Change != "":
		return "/changes/" + url.PathEscape(e.Change)
	}
	return ""
}

// writeUp is what an incident's page says of its postmortem.
type writeUp struct {
	Row   *postmortem.Row
	Draft bool // nobody asked for one; it may be drafted
}

func (s *site) writeUp(v *visit, incident, team, environment string, over bool) (writeUp, error) {
	d, ok, err := call[postmortem.Document](s, v, "postmortem.show", func(in any) error {
		in.(*postmortem.NameInput).Postmortem = incident
		return nil
	})
	switch {
	case problem.KindOf(err) == problem.NotFound || !ok:
		return writeUp{Draft: over && s.may(v, "postmortem.draft", team, environment)}, nil
	case err != nil:
		return writeUp{}, err
	}
	row := postmortem.Row{Place: d.Place, Title: d.Title, State: d.State, Due: d.Due, Late: d.Late}
	return writeUp{Row: &row, Draft: d.State == postmortem.StateExcused && d.Version == 0 && s.may(v, "postmortem.draft", team, environment)}, nil
}

// findPostmortems adds the postmortems that have the words searched for.
func (s *site) findPostmortems(v *visit, b *searchBody) error {
	if len(postmortem.Terms(b.Q)) == 0 {
		return nil
	}
	out, _, err := call[operation.Page[postmortem.Row]](s, v, "postmortem.list", func(in any) error {
		i := in.(*postmortem.ListInput)
		i.Search, i.Limit = b.Q, listed
		return nil
	})
	for _, r := range out.Items {
		b.Found = append(b.Found, found{Kind: "postmortem", Name: r.Postmortem, Text: cmp.Or(r.Title, r.Incident), State: r.State, Href: "/postmortems/" + r.Postmortem})
	}
	return err
}
