package status

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// ListInput bounds a list of pages.
type ListInput struct {
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// Line is one page of a list.
type Line struct {
	Page       string    `json:"page"`
	Title      string    `json:"title"`
	State      State     `json:"state" doc:"the worst that users are told of a component"`
	Components int       `json:"components"`
	Open       int       `json:"open" doc:"notices that are not resolved"`
	Drafts     int       `json:"drafts" doc:"that wait for a person"`
	URL        string    `json:"url,omitempty"`
	PostedAt   time.Time `json:"posted_at,omitzero" doc:"when users were told something last"`
}

// Header names the columns of a list of pages.
func (l Line) Header() []string {
	return []string{"PAGE", "STATE", "OPEN", "DRAFTS", "COMPONENTS", "TITLE"}
}

// Rows is the page as a line of a list.
func (l Line) Rows() [][]string {
	return [][]string{{l.Page, l.State.Words(), fmt.Sprint(l.Open), fmt.Sprint(l.Drafts), fmt.Sprint(l.Components), l.Title}}
}

// PageInput names a page.
type PageInput struct {
	Page string `json:"page" arg:"1" doc:"status page"`
}

// Sheet is a page as those see it who run it.
type Sheet struct {
	Page       string        `json:"page"`
	Title      string        `json:"title"`
	Team       string        `json:"team,omitempty"`
	URL        string        `json:"url,omitempty"`
	Automatic  bool          `json:"automatic" doc:"what the objectives say goes out without a person"`
	State      State         `json:"state" doc:"the worst that users are told of a component"`
	Components []Compared    `json:"components"`
	Drafts     []Draft       `json:"drafts" doc:"that wait for a person, oldest first"`
	Open       []Notice      `json:"open" doc:"notices that are not resolved"`
	Work       []Maintenance `json:"maintenance" doc:"public maintenance on now, or in the next 60 days"`
	Targets    []Written     `json:"targets" doc:"where the page is written to"`
}

// Compared is a component as users are told, and as it is measured.
type Compared struct {
	Name     string    `json:"name"`
	Title    string    `json:"title"`
	Told     State     `json:"told" doc:"to users"`
	Seen     State     `json:"seen" doc:"by its objectives, lately"`
	Since    time.Time `json:"since,omitzero" doc:"it has been seen so"`
	Reason   string    `json:"reason,omitempty" doc:"why it was seen so"`
	Measured bool      `json:"measured" doc:"it has a service, whose objectives say how it is"`
}

// Written is one place that the page is written to.
type Written struct {
	Target  string       `json:"target"`
	Phase   action.Phase `json:"phase,omitempty" doc:"of the last time; empty: never yet"`
	At      time.Time    `json:"at,omitzero" doc:"when that ended"`
	Error   string       `json:"error,omitempty"`
	Written int          `json:"written" doc:"files that were new or different"`
	Version string       `json:"version,omitempty" doc:"such as the commit"`
}

// PostInput is what users are to be told.
type PostInput struct {
	Page       string    `json:"page" arg:"1" doc:"status page"`
	Draft      string    `json:"draft" doc:"take what this draft says, except for what is given here"`
	Notice     string    `json:"notice" doc:"an open notice this is an update of (default: a new one, or the draft's)"`
	Title      string    `json:"title" doc:"one line; of a new notice, or to change it"`
	Text       string    `json:"text" doc:"what users read"`
	Phase      string    `json:"phase" enum:"investigating,identified,monitoring,resolved" doc:"how far it is (default: as before, investigating at first)"`
	Components []string  `json:"component" doc:"NAME=STATE; states are operational, degraded_performance, partial_outage, major_outage; may be repeated"`
	Incident   string    `json:"incident" doc:"incident it is about; not shown to users"`
	NextDue    time.Time `json:"next_due" doc:"when users may expect the next update"`
}

// DiscardInput throws a draft away.
type DiscardInput struct {
	Page   string `json:"page" arg:"1" doc:"status page"`
	Draft  string `json:"draft" arg:"2" doc:"draft"`
	Reason string `json:"reason" doc:"why, for the record"`
}

// Bundle is a page's files.
type Bundle struct {
	Page  string            `json:"page"`
	Files map[string][]byte `json:"files" doc:"by path; contents in base64"`
}

// Tell lists the files.
func (b Bundle) Tell() string { return strings.Join(slices.Sorted(maps.Keys(b.Files)), "\n") }

// HistoryInput bounds a list of notices.
type HistoryInput struct {
	Page  string `json:"page" arg:"1" doc:"status page"`
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// Operations are what users can do with status pages.
func (p *Pages) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Line]]{
			Noun: "statuspage", Verb: "list", Summary: "List the status pages, with what waits for a person", Role: operation.Viewer, Handle: p.list,
		}),
		operation.Define(operation.Spec[PageInput, Sheet]{
			Noun: "statuspage", Verb: "show", Summary: "Show a status page: what users are told, what is measured, drafts, where it is written to", Role: operation.Viewer,
			Scope: func(ctx context.Context, in PageInput) (operation.Scope, error) { return p.scope(ctx, in.Page) }, Handle: p.show,
		}),
		operation.Define(operation.Spec[PostInput, Notice]{
			Noun: "statuspage", Verb: "post", Summary: "Tell users something: open, update or resolve a notice, or agree to a draft", Role: operation.Developer, Write: true,
			Help: "  flyball statuspage post public --draft d3f2a91c\n" +
				"  flyball statuspage post public --title 'Slow checkout' --text 'Payments take up to a minute.' --component checkout=degraded_performance\n" +
				"  flyball statuspage post public --notice n4 --phase resolved --text 'Payments are fast again.'\n\n" +
				"Resolving a notice makes its components operational again. What is posted is public at once, and cannot be taken back: subscribers have it.",
			Scope: func(ctx context.Context, in PostInput) (operation.Scope, error) { return p.scope(ctx, in.Page) }, Handle: p.post,
		}),
		operation.Define(operation.Spec[DiscardInput, Sheet]{
			Noun: "statuspage", Verb: "discard", Summary: "Throw a draft away: users are not told", Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in DiscardInput) (operation.Scope, error) { return p.scope(ctx, in.Page) }, Handle: p.discard,
		}),
		operation.Define(operation.Spec[HistoryInput, operation.Page[Notice]]{
			Noun: "statuspage", Verb: "history", Summary: "List what users were told, newest first", Role: operation.Viewer,
			Scope: func(ctx context.Context, in HistoryInput) (operation.Scope, error) { return p.scope(ctx, in.Page) }, Handle: p.history,
		}),
		operation.Define(operation.Spec[SubscribersInput, operation.Page[Subscribed]]{
			Noun: "statuspage", Verb: "subscribers", Summary: "List who is told of a status page's updates, with their addresses masked", Role: operation.Developer,
			Scope: func(ctx context.Context, in SubscribersInput) (operation.Scope, error) { return p.scope(ctx, in.Page) }, Handle: p.subscribed,
		}),
		operation.Define(operation.Spec[ForgetInput, Subscribed]{
			Noun: "statuspage", Verb: "forget", Summary: "End a subscription and erase its address for good", Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in ForgetInput) (operation.Scope, error) { return p.scope(ctx, in.Page) }, Handle: p.forget,
		}),
		operation.Define(operation.Spec[PageInput, Bundle]{
			Noun: "statuspage", Verb: "files", Summary: "Give a status page's files, for whoever serves them", Role: operation.Viewer,
			Help:  "flyball statuspage render writes them into a folder.",
			Scope: func(ctx context.Context, in PageInput) (operation.Scope, error) { return p.scope(ctx, in.Page) },
			Handle: func(ctx context.Context, _ operation.Caller, in PageInput) (Bundle, error) {
				files, err := p.Files(ctx, in.Page)
				return Bundle{in.Page, files}, err
			},
		}),
		operation.Define(operation.Spec[PageInput, Sheet]{
			Noun: "statuspage", Verb: "publish", Summary: "Write a status page anew to all its places", Role: operation.Developer, Write: true,
			Help:  "It is written by itself whenever it changes, and every hour. This is for a place that has lost its files.",
			Scope: func(ctx context.Context, in PageInput) (operation.Scope, error) { return p.scope(ctx, in.Page) }, Handle: p.publish,
		}),
	}
}

func (p *Pages) scope(ctx context.Context, page string) (operation.Scope, error) {
	spec, _, err := catalog.Get[PageSpec](ctx, p.Reader, KindPage, page)
	if problem.KindOf(err) == problem.NotFound {
		err = missing(page)
	}
	return operation.Scope{Team: spec.Team}, err
}

func (p *Pages) list(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Line], error) {
	r := operation.Reader(ctx, p.Reader)
	specs, entries, err := catalog.List[PageSpec](ctx, r, KindPage)
	out := operation.Page[Line]{Items: []Line{}}
	limit := operation.Limit(in.Limit, 100, 500)
	for i, e := range entries {
		name := e.Metadata.Name
		if name <= in.After {
			continue
		}
		if len(out.Items) == limit {
			out.Next = out.Items[limit-1].Page
			break
		}
		d, err := GetDesk(ctx, r, name)
		if err != nil {
			return out, err
		}
		l := Line{Page: name, Title: specs[i].Title, State: Operational, Components: len(specs[i].Components), Open: len(d.Open), Drafts: len(d.Drafts), URL: specs[i].URL, PostedAt: d.PostedAt}
		for _, c := range specs[i].Components {
			if s := d.State(c.Name); s.weight() > l.State.weight() {
				l.State = s
			}
		}
		out.Items = append(out.Items, l)
	}
	return out, err
}

func (p *Pages) show(ctx context.Context, _ operation.Caller, in PageInput) (Sheet, error) {
	r := operation.Reader(ctx, p.Reader)
	now := p.Clock.Now()
	if at, ok := operation.At(ctx); ok {
		now = at
	}
	spec, _, err := getPage(ctx, r, in.Page)
	if problem.KindOf(err) == problem.NotFound {
		err = missing(in.Page)
	}
	if err != nil {
		return Sheet{}, err
	}
	d, err := GetDesk(ctx, r, in.Page)
	if err != nil {
		return Sheet{}, err
	}
	out := Sheet{Page: in.Page, Title: spec.Title, Team: spec.Team, URL: spec.URL, Automatic: spec.Automatic, State: Operational, Drafts: append([]Draft{}, d.Drafts...), Open: append([]Notice{}, d.Open...), Targets: []Written{}}
	for _, c := range spec.Components {
		x := Compared{Name: c.Name, Title: c.Title, Told: d.State(c.Name), Seen: Operational, Measured: c.Service != ""}
		if o, ok := d.Observed[c.Name]; ok {
			x.Seen, x.Since, x.Reason = o.State, o.Since, o.Reason
		}
		if x.Told.weight() > out.State.weight() {
			out.State = x.Told
		}
		out.Components = append(out.Components, x)
	}
	work, err := planned(ctx, r, spec, now.Add(-time.Hour), now.Add(ahead), now)
	out.Work = slices.DeleteFunc(append([]Maintenance{}, work...), func(m Maintenance) bool { return m.Phase(now) == Completed })
	if err == nil {
		out.Targets, err = written(ctx, r, in.Page, spec)
	}
	return out, err
}

// written reads what came of the last time that a page was written anywhere.
func written(ctx context.Context, r projection.Reader, page string, spec PageSpec) ([]Written, error) {
	out := []Written{}
	for i, t := range spec.Publish {
		w := Written{Target: t.String()}
		list, _, err := projection.List[action.Action](ctx, r, action.ProjectionName, projection.Filter{Index: "subject", Value: slot(page, i), Limit: 1, Newest: true})
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			a := list[0]
			w.Phase, w.At, w.Error = a.Phase, a.EndedAt, a.Error
			var got struct {
				Written int    `json:"written"`
				Version string `json:"version"`
			}
			if len(a.Output) > 0 && json.Unmarshal(a.Output, &got) == nil {
				w.Written, w.Version = got.Written, got.Version
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// slot is where only the newest wish to write a page to one place counts.
func slot(page string, target int) string { return fmt.Sprintf("status/%s/%d", page, target) }

// current reads a page with the version of its stream: what is appended at that
// version is decided on what was read.
func (p *Pages) current(ctx context.Context, page string) (spec PageSpec, d Desk, version int64, err error) {
	if version, err = p.Log.Version(ctx, "status/"+page); err != nil {
		return spec, d, 0, err
	}
	if err := p.Sync(ctx); err != nil {
		return spec, d, 0, err
	}
	if spec, _, err = getPage(ctx, p.Reader, page); err != nil {
		if problem.KindOf(err) == problem.NotFound {
			err = missing(page)
		}
		return spec, d, 0, err
	}
	d, err = GetDesk(ctx, p.Reader, page)
	return spec, d, version, err
}

func (p *Pages) append(ctx context.Context, caller operation.Caller, page string, version int64, typ string, data any) error {
	d := event.Draft{Type: typ, Subject: "status/" + page, Time: p.Clock.Now(), Actor: caller.Name, Cause: operation.CallID(ctx), Data: data}
	if id := operation.CallID(ctx); id != "" {
		d.ID = id + "#" + typ // a call that is repeated is recorded once
	}
	if _, err := p.Log.Append(ctx, event.Batch{Stream: "status/" + page, Expect: version, Drafts: []event.Draft{d}}); err != nil {
		return err
	}
	return p.Sync(ctx)
}

// attempts is how often a post is decided anew when the page changes meanwhile:
// what is measured changes it too.
const attempts = 5

func (p *Pages) post(ctx context.Context, caller operation.Caller, in PostInput) (Notice, error) {
	for attempt := 1; ; attempt++ {
		spec, d, version, err := p.current(ctx, in.Page)
		if err != nil {
			return Notice{}, err
		}
		post, err := in.post(spec, d)
		if err != nil {
			return Notice{}, err
		}
		err = p.append(ctx, caller, in.Page, version, EventPosted, post)
		if problem.KindOf(err) == problem.Conflict && attempt < attempts {
			continue
		}
		if err != nil {
			return Notice{}, err
		}
		n, _, err := projection.Get[Notice](ctx, p.Reader, noticeName, in.Page+"/"+post.Notice)
		return n, err
	}
}

// post is what is to be recorded: the draft, with what was said over it.
func (in PostInput) post(spec PageSpec, d Desk) (Post, error) {
	post := Post{Page: in.Page, Draft: in.Draft}
	if in.Draft != "" {
		x, ok := d.draft(in.Draft)
		if !ok {
			return post, noDraft(in.Page, in.Draft, d)
		}
		post.Said, post.Event = x.Said, x.Event
	}
	post.Notice = cmp.Or(in.Notice, post.Notice)
	n, open := d.notice(post.Notice)
	switch {
	case post.Notice != "" && !open && in.Notice == "":
		post.Notice = "" // the draft's has been resolved meanwhile: this is another one
	case post.Notice != "" && !open:
		return post, problem.New(problem.Conflict, "statuspage.post", "there is no open notice %q", post.Notice).
			WithNext("flyball statuspage show %s lists those that are open; leave out notice to open another one", in.Page)
	}
	if post.Notice == "" {
		post.Notice, post.Opens = d.next(), true
	}
	post.Title, post.Text = cmp.Or(in.Title, post.Title, n.Title), cmp.Or(in.Text, post.Text)
	post.Phase = cmp.Or(Phase(in.Phase), post.Phase, n.Phase, Investigating)
	post.Incident = cmp.Or(in.Incident, post.Incident, n.Incident)
	if !in.NextDue.IsZero() {
		post.NextDue = in.NextDue
	}
	return post, post.states(spec, n, in.Components)
}

// states fills in which component is in which state from here on.
func (p *Post) states(spec PageSpec, n Notice, said []string) error {
	if strings.TrimSpace(p.Title) == "" || len(p.Title) > maxTitle || strings.ContainsAny(p.Title, "\r\n") {
		return problem.New(problem.Invalid, "statuspage.post", "a notice has a title of one line and up to %d bytes", maxTitle).WithNext("give it with --title")
	}
	if strings.TrimSpace(p.Text) == "" || len(p.Text) > maxText {
		return problem.New(problem.Invalid, "statuspage.post", "a post has a text of up to %d bytes", maxText).WithNext("give it with --text")
	}
	states := maps.Clone(n.Components)
	if states == nil {
		states = map[string]State{}
	}
	maps.Copy(states, p.Components)
	if p.Phase == Resolved {
		for name := range states {
			states[name] = Operational
		}
	}
	for _, s := range said {
		if s == "" {
			continue // a form's "not affected"
		}
		name, state, ok := strings.Cut(s, "=")
		if !ok || spec.component(name) == nil || !slices.Contains(States, State(state)) {
			return problem.New(problem.Invalid, "statuspage.post", "%q is not a component of this page with a state", s).
				WithNext("write it as %s=%s; states are operational, degraded_performance, partial_outage and major_outage", spec.Components[0].Name, Degraded)
		}
		states[name] = State(state)
	}
	if p.Phase == Resolved && !wellAgain(states) {
		return problem.New(problem.Invalid, "statuspage.post", "a resolved notice leaves its components operational").
			WithNext("use the phase monitoring, or leave the component out")
	}
	p.Components = states
	return nil
}

func noDraft(page, draft string, d Desk) error {
	if slices.Contains(d.Done, draft) {
		return problem.New(problem.Conflict, "statuspage", "the draft %s was posted or discarded already", draft).WithNext("flyball statuspage show %s says what users are told", page)
	}
	return problem.New(problem.NotFound, "statuspage", "there is no draft %q; what it was made of may have changed since", draft).WithNext("flyball statuspage show %s lists the drafts", page)
}

func (p *Pages) discard(ctx context.Context, caller operation.Caller, in DiscardInput) (Sheet, error) {
	for attempt := 1; ; attempt++ {
		_, d, version, err := p.current(ctx, in.Page)
		if err != nil {
			return Sheet{}, err
		}
		if _, ok := d.draft(in.Draft); !ok {
			return Sheet{}, noDraft(in.Page, in.Draft, d)
		}
		err = p.append(ctx, caller, in.Page, version, EventDiscarded, Withdrawn{Page: in.Page, Draft: in.Draft, Reason: in.Reason})
		if problem.KindOf(err) == problem.Conflict && attempt < attempts {
			continue
		}
		if err != nil {
			return Sheet{}, err
		}
		return p.show(ctx, caller, PageInput{in.Page})
	}
}

func (p *Pages) history(ctx context.Context, _ operation.Caller, in HistoryInput) (operation.Page[Notice], error) {
	f := projection.Filter{Index: "page", Value: in.Page, After: in.After, Limit: operation.Limit(in.Limit, 50, 500), Newest: true}
	items, next, err := projection.List[Notice](ctx, operation.Reader(ctx, p.Reader), noticeName, f)
	return operation.Page[Notice]{Items: items, Next: next}, err
}

// publish proposes the same actions as the controller does.
func (p *Pages) publish(ctx context.Context, caller operation.Caller, in PageInput) (Sheet, error) {
	spec, _, _, err := p.current(ctx, in.Page)
	if err != nil {
		return Sheet{}, err
	}
	if len(spec.Publish) == 0 {
		return Sheet{}, problem.New(problem.Blocked, "statuspage.publish", "the page %s names no place to write it to", in.Page).
			WithNext("add publish to its file; this server serves it at /status/%s/ all the same", in.Page)
	}
	now := p.Clock.Now()
	revision := "by-hand-" + now.UTC().Format("20060102t150405.000000")
	if id := operation.CallID(ctx); id != "" {
		revision = "by-hand-" + draftID(id)
	}
	batch := event.Batch{Stream: "status/" + in.Page, Expect: event.AnyVersion}
	for _, a := range publications(in.Page, spec, revision, "somebody asked for it") {
		batch.Drafts = append(batch.Drafts, event.Draft{ID: a.ID, Type: action.EventProposed, Subject: a.Subject, Time: now, Actor: caller.Name, Cause: operation.CallID(ctx), Data: a})
	}
	if _, err := p.Log.Append(ctx, batch); err != nil {
		return Sheet{}, err
	}
	if err := p.Sync(ctx); err != nil {
		return Sheet{}, err
	}
	return p.show(ctx, caller, in)
}

// publications are the actions that write a page to its places.
func publications(page string, spec PageSpec, revision, reason string) (out []action.Proposal) {
	for i, t := range spec.Publish {
		out = append(out, action.Proposal{
			ID: fmt.Sprintf("status-%s-%s-%d", page, revision, i), Type: ActionPublish, Subject: slot(page, i), Slot: slot(page, i), Reason: reason,
			Params: action.Params(PublishParams{Page: page, Target: i, To: t, Revision: revision}),
		})
	}
	return out
}

// Header names the columns of a list of notices.
func (n Notice) Header() []string {
	return []string{"NOTICE", "PHASE", "IMPACT", "STARTED", "UPDATES", "TITLE"}
}

// Rows is the notice as a line of a list.
func (n Notice) Rows() [][]string {
	return [][]string{{n.Name, string(n.Phase), n.Impact.Words(), stamp(n.StartedAt), fmt.Sprint(len(n.Updates)), n.Title}}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Tell is the page in words.
func (s Sheet) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: users are told %s\n", s.Title, s.State.Words())
	for _, c := range s.Components {
		fmt.Fprintf(&b, "  %-24s told %s", c.Title, c.Told.Words())
		switch {
		case !c.Measured:
			b.WriteString("; not measured")
		case c.Seen != c.Told:
			fmt.Fprintf(&b, "; seen %s since %s: %s", c.Seen.Words(), stamp(c.Since), c.Reason)
		}
		b.WriteByte('\n')
	}
	for _, n := range s.Open {
		fmt.Fprintf(&b, "Notice %s (%s) since %s: %s\n", n.Name, n.Phase, stamp(n.StartedAt), n.Title)
	}
	for _, w := range s.Work {
		fmt.Fprintf(&b, "Maintenance %s to %s: %s\n", stamp(w.From), stamp(w.To), w.Title)
	}
	for _, d := range s.Drafts {
		fmt.Fprintf(&b, "Draft %s (%s)\n  %s\n  %s\n  because %s\n  flyball statuspage post %s --draft %s\n", d.ID, d.Phase, d.Title, d.Text, d.Because, s.Page, d.ID)
	}
	for _, t := range s.Targets {
		fmt.Fprintf(&b, "Written to %s: %s %s\n", t.Target, cmp.Or(string(t.Phase), "never yet"), t.Error)
	}
	return strings.TrimRight(b.String(), "\n")
}
