package postmortem

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Row is a postmortem in a list.
type Row struct {
	Place
	Title    string    `json:"title"`
	State    string    `json:"state"`
	Severity int       `json:"severity"`
	Opened   time.Time `json:"opened" doc:"when the incident was noticed"`
	Due      time.Time `json:"due,omitzero" doc:"by when it is in review"`
	Late     bool      `json:"late,omitempty" doc:"it should be in review and is not, at the moment asked about"`
	Edition  int       `json:"edition,omitempty" doc:"published so far"`
	Factors  []string  `json:"factors,omitempty"`
}

func (p Postmortem) row(now time.Time) Row {
	r := Row{Place: p.Place, Title: p.Title, State: p.State, Severity: p.Trouble.Severity, Opened: p.Trouble.Opened, Edition: p.Edition, Factors: p.Factors}
	if p.Required != nil {
		r.Due, r.Late = p.Required.Due, p.waits() && now.After(p.Required.Due)
	}
	return r
}

// Header names the columns of a list of postmortems.
func (Row) Header() []string {
	return []string{"POSTMORTEM", "SEV", "STATE", "SERVICE", "TEAM", "DUE", "FACTORS", "TITLE"}
}

// Rows is the postmortem as a line of a list.
func (r Row) Rows() [][]string {
	due := "–"
	if r.Late {
		due = day(r.Due) + " late"
	} else if !r.Due.IsZero() && (r.State == StateRequired || r.State == StateDraft) {
		due = day(r.Due)
	}
	return [][]string{{r.Postmortem, strconv.Itoa(r.Severity), told(r.State), r.Service, r.Team, due, listed(r.Factors), r.Title}}
}

// Bounds on a search.
const (
	maxTerms = 800 // different words of one text that are found again
	minWord  = 2   // characters
	maxWord  = 40  // bytes
	maxScan  = 5000
)

// Terms are the different words of texts as a search compares them: lower case,
// without the s of a plural.
func Terms(texts ...string) []string {
	seen := map[string]bool{}
	var out []string
	for _, text := range texts {
		for w := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") {
				w = strings.TrimSuffix(w, "s")
			}
			if utf8.RuneCountInString(w) < minWord || len(w) > maxWord || seen[w] {
				continue
			}
			seen[w] = true
			if out = append(out, w); len(out) == maxTerms {
				return out
			}
		}
	}
	return out
}

// terms are the words by which a postmortem is found: title, service, factors
// and the text, but for the timeline, which is the log's.
func (p Postmortem) terms() []string {
	texts := []string{p.Title, p.Service, p.Team, strings.Join(p.Factors, " ")}
	for _, s := range p.Sections {
		if s.Section != SectionTimeline {
			texts = append(texts, s.Text)
		}
	}
	return Terms(texts...)
}

// scan reads rows until there are enough that keep wants, or very many were
// looked at; the cursor then goes on.
func scan[S any](ctx context.Context, r projection.Reader, name string, f projection.Filter, limit int, keep func(S) bool) (out []S, next string, err error) {
	for looked := 0; ; {
		f.Limit = min(limit-len(out), projection.MaxPage)
		page, next, err := projection.List[S](ctx, r, name, f)
		if err != nil {
			return nil, "", err
		}
		for _, s := range page {
			if keep(s) {
				out = append(out, s)
			}
		}
		if looked += len(page); next == "" || len(out) == limit || looked >= maxScan {
			return out, next, nil
		}
		f.After = next
	}
}

// filter is the narrowest index for what is asked, and what remains to be
// looked at in each row.
func (in ListInput) filter(now time.Time) (projection.Filter, func(Postmortem) bool) {
	f := projection.Filter{Index: "all", Value: "yes", Newest: true, After: in.After}
	terms := Terms(in.Search)
	switch {
	case in.State == "late":
		f.Index, f.Newest = "late", false
	case len(terms) > 0:
		f.Index, f.Value = "term", slices.MaxFunc(terms, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	case in.Factor != "":
		f.Index, f.Value = "factor", in.Factor
	case in.Service != "":
		f.Index, f.Value = "service", in.Service
	case in.Team != "":
		f.Index, f.Value = "team", in.Team
	case in.State != "":
		f.Index, f.Value = "state", in.State
	}
	return f, func(p Postmortem) bool {
		return (in.State == "" || in.State == p.State || in.State == "late" && p.row(now).Late) &&
			(in.Service == "" || in.Service == p.Service) && (in.Team == "" || in.Team == p.Team) &&
			(in.Factor == "" || slices.Contains(p.Factors, in.Factor)) && p.has(terms)
	}
}

func (p Postmortem) has(terms []string) bool {
	if len(terms) == 0 {
		return true
	}
	mine := p.terms()
	return !slices.ContainsFunc(terms, func(t string) bool { return !slices.Contains(mine, t) })
}

func (d *Desk) list(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Row], error) {
	if in.Search != "" && len(Terms(in.Search)) == 0 {
		return operation.Page[Row]{}, problem.New(problem.Invalid, "postmortem.list", "%q has no word of two letters", clip(in.Search, 60)).WithNext("search for whole words")
	}
	now := d.moment(ctx)
	f, keep := in.filter(now)
	found, next, err := scan(ctx, operation.Reader(ctx, d.Reader), ProjectionName, f, operation.Limit(in.Limit, 50, 500), keep)
	out := operation.Page[Row]{Items: []Row{}, Next: next}
	for _, p := range found {
		out.Items = append(out.Items, p.row(now))
	}
	return out, err
}

// Recurrence is how often a factor contributed lately.
type Recurrence struct {
	Factor      string   `json:"factor"`
	In          int      `json:"in" doc:"postmortems with it"`
	Of          int      `json:"of" doc:"postmortems looked at"`
	Postmortems []string `json:"postmortems" doc:"those with it, newest first"`
}

// Recurrences are the factors of the last postmortems, the most frequent first.
type Recurrences struct {
	Of    int          `json:"of" doc:"postmortems looked at"`
	Items []Recurrence `json:"items"`
}

// Tell is a line for each factor.
func (r Recurrences) Tell() string {
	if len(r.Items) == 0 {
		return fmt.Sprintf("no factor is named in the last %s", plural(float64(r.Of), "postmortem"))
	}
	var b strings.Builder
	for _, i := range r.Items {
		fmt.Fprintf(&b, "%-24s in %d of the last %d: %s\n", i.Factor, i.In, i.Of, listed(i.Postmortems))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (d *Desk) factors(ctx context.Context, _ operation.Caller, in FactorsInput) (Recurrences, error) {
	return recurrences(ctx, operation.Reader(ctx, d.Reader), in)
}

func recurrences(ctx context.Context, r projection.Reader, in FactorsInput) (Recurrences, error) {
	f, keep := ListInput{Service: in.Service, Team: in.Team}.filter(time.Time{})
	last, _, err := scan(ctx, r, ProjectionName, f, operation.Limit(in.Last, 10, 500), func(p Postmortem) bool { return keep(p) && p.Version > 0 && p.State != StateExcused })
	out := Recurrences{Of: len(last), Items: []Recurrence{}}
	for _, p := range last {
		for _, name := range p.Factors {
			i := slices.IndexFunc(out.Items, func(r Recurrence) bool { return r.Factor == name })
			if i < 0 {
				i, out.Items = len(out.Items), append(out.Items, Recurrence{Factor: name, Of: len(last)})
			}
			out.Items[i].In++
			out.Items[i].Postmortems = append(out.Items[i].Postmortems, p.Postmortem)
		}
	}
	slices.SortStableFunc(out.Items, func(a, b Recurrence) int { return cmp.Or(b.In-a.In, strings.Compare(a.Factor, b.Factor)) })
	return out, err
}

// what are the facts that a history shows.
var what = []string{EventDrafted, EventEdited, EventTagged, EventSubmitted, EventApproved, EventPublished, EventReopened, EventExcused}

func (d *Desk) history(ctx context.Context, _ operation.Caller, in HistoryInput) (operation.Page[Version], error) {
	out := operation.Page[Version]{Items: []Version{}}
	p, err := Get(ctx, operation.Reader(ctx, d.Reader), in.Postmortem)
	if err != nil {
		return out, err
	}
	var all []Version
	q := event.Query{Stream: p.subject(), Types: what, RecordedBy: recordedBy(ctx), Limit: 1000}
	for {
		events, err := d.Log.Read(ctx, q)
		if err != nil {
			return out, err
		}
		for _, e := range events {
			versions, err := versionsOf(e)
			if err != nil {
				return out, err
			}
			for _, v := range versions {
				if in.Section == "" || v.Section == in.Section {
					all = append(all, v)
				}
			}
			q.After = e.Position
		}
		if len(events) < q.Limit {
			break
		}
	}
	slices.Reverse(all)
	from := 0
	if in.After != "" {
		if from, err = strconv.Atoi(in.After); err != nil || from < 0 {
			return out, problem.New(problem.Invalid, "postmortem.history", "%q is no cursor", clip(in.After, 60)).WithNext("use the next of the page before")
		}
	}
	from = min(from, len(all))
	to := min(from+operation.Limit(in.Limit, 50, 500), len(all))
	out.Items = append(out.Items, all[from:to]...)
	if to < len(all) {
		out.Next = strconv.Itoa(to)
	}
	return out, nil
}

// versionsOf is what one fact did to the text: a draft writes several sections.
func versionsOf(e event.Event) ([]Version, error) {
	v := Version{At: e.Time, By: e.Actor, What: strings.TrimPrefix(e.Type, "postmortem."), Event: e.ID}
	switch e.Type {
	case EventDrafted:
		d, err := event.Decode[Drafted](e)
		var out []Version
		for _, s := range slices.Backward(d.Sections) {
			if s.Text != "" {
				v.Section, v.Text = s.Section, s.Text
				out = append(out, v)
			}
		}
		return out, err
	case EventEdited:
		d, err := event.Decode[Edited](e)
		v.Section, v.Text, v.Version = d.Section, d.Text, d.Version
		return []Version{v}, err
	case EventTagged:
		d, err := event.Decode[Tagged](e)
		v.Text = listed(d.Factors)
		return []Version{v}, err
	}
	d, err := event.Decode[Reviewed](e)
	v.Text = d.Reason
	return []Version{v}, err
}
