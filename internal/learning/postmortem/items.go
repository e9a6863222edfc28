package postmortem

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// ItemsInput bounds a list of action items.
type ItemsInput struct {
	State      string `json:"state" enum:"open,overdue,closed,all" doc:"open (default), overdue, closed or all"`
	Team       string `json:"team" doc:"of this team's postmortems only"`
	Postmortem string `json:"postmortem" doc:"of this postmortem only"`
	After      string `json:"after" doc:"cursor from the page before"`
	Limit      int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// AddInput is a new action item.
type AddInput struct {
	Postmortem string `json:"postmortem" arg:"1" doc:"name of the postmortem, or of its incident"`
	Title      string `json:"title" required:"true" doc:"what is going to be done"`
	Kind       string `json:"kind" required:"true" enum:"prevent,detect,mitigate,process" doc:"what it is for"`
	Owner      string `json:"owner" required:"true" doc:"who sees to it: a person or a team"`
	Due        string `json:"due" required:"true" doc:"by the end of which day, such as 2026-12-01"`
}

// ChangeInput changes an action item; what is left out stays.
type ChangeInput struct {
	Item  string `json:"item" arg:"1" doc:"name of the action item"`
	Title string `json:"title" doc:"what is going to be done"`
	Kind  string `json:"kind" enum:"prevent,detect,mitigate,process" doc:"what it is for"`
	Owner string `json:"owner" doc:"who sees to it: a person or a team"`
	Due   string `json:"due" doc:"by the end of which day, such as 2026-12-01"`
}

// RehearseInput declares that a failure is made on purpose.
type RehearseInput struct {
	Item   string        `json:"item" arg:"1" doc:"name of the action item"`
	For    time.Duration `json:"for" doc:"how long, from now, up to 24h (default 1h)"`
	Reason string        `json:"reason" required:"true" doc:"what is going to be broken"`
}

// CloseInput closes an action item by evidence.
type CloseInput struct {
	Item            string `json:"item" arg:"1" doc:"name of the action item"`
	Failed          string `json:"failed" doc:"a test that failed without the fix: RUN/JOB or RUN/JOB/STEP"`
	Passed          string `json:"passed" doc:"the same test, passing with it"`
	Alert           string `json:"alert" doc:"an alert that fired in a rehearsal of the item; or the ID of the fact that it fired for real"`
	Change          string `json:"change" doc:"a change on the watched branch"`
	WithoutEvidence string `json:"without_evidence" doc:"why there can be none; needs the role operator, and is shown"`
}

// ItemReason names an action item and says why.
type ItemReason struct {
	Item   string `json:"item" arg:"1" doc:"name of the action item"`
	Reason string `json:"reason" required:"true" doc:"why, for the record"`
}

// ReportInput asks how teams do with their action items.
type ReportInput struct {
	Team string `json:"team" doc:"this team only"`
}

func (d *Desk) itemOperations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ItemsInput, operation.Page[ActionItem]]{
			Noun: "action-item", Verb: "list", Summary: "List action items, the earliest due first", Role: operation.Viewer,
			Help: "  flyball action-item list --state overdue --team payments", Handle: d.listItems,
		}),
		operation.Define(operation.Spec[ReportInput, Report]{
			Noun: "action-item", Verb: "report", Summary: "Count by team what is overdue, and what was closed on time and by evidence", Role: operation.Viewer,
			Scope: func(_ context.Context, in ReportInput) (operation.Scope, error) {
				return operation.Scope{Team: in.Team}, nil
			},
			Handle: d.report,
		}),
		operation.Define(operation.Spec[AddInput, ActionItem]{
			Noun: "action-item", Verb: "add", Summary: "Write down what is going to be done", Role: operation.Developer, Write: true,
			Help:  "  flyball action-item add pm-checkout-20261102t120300 --title 'test carts without redis' --kind prevent --owner payments --due 2026-12-01",
			Scope: named(d, func(in AddInput) string { return in.Postmortem }), Handle: d.addItem,
		}),
		operation.Define(operation.Spec[ChangeInput, ActionItem]{
			Noun: "action-item", Verb: "change", Summary: "Give an action item another owner, due date, kind or title", Role: operation.Developer, Write: true,
			Scope: scoped(d, func(in ChangeInput) string { return in.Item }), Handle: d.changeItem,
		}),
		operation.Define(operation.Spec[RehearseInput, ActionItem]{
			Noun: "action-item", Verb: "rehearse", Summary: "Declare that a failure is made on purpose, to see an alert fire", Role: operation.Developer, Write: true,
			Help:  "It changes nothing but the record: an alert of the service that fires meanwhile closes the item.\n\n  flyball action-item rehearse pm-checkout-20261102t120300-1 --for 30m --reason 'redis is stopped in staging'",
			Scope: scoped(d, func(in RehearseInput) string { return in.Item }), Handle: d.rehearse,
		}),
		operation.Define(operation.Spec[CloseInput, ActionItem]{
			Noun: "action-item", Verb: "close", Summary: "Close an action item by evidence", Role: operation.Developer, Write: true,
			Help:  "A test that failed before the fix and passes after it:\n\n  flyball action-item close pm-checkout-20261102t120300-1 --failed checkout-3f2a91c-r1/build/test --passed checkout-8be01d4-r1/build/test\n\nAn alert that fired in a rehearsal, or a change on the watched branch:\n\n  flyball action-item close pm-checkout-20261102t120300-2 --alert CartsFail\n  flyball action-item close pm-checkout-20261102t120300-3 --change checkout-8be01d4\n\nEvidence that does not check out is refused, with what is missing.",
			Scope: scoped(d, func(in CloseInput) string { return in.Item }), Handle: d.closeItem,
		}),
		operation.Define(operation.Spec[ItemReason, ActionItem]{
			Noun: "action-item", Verb: "reopen", Summary: "Say that an action item is not done after all", Role: operation.Developer, Write: true,
			Scope: scoped(d, func(in ItemReason) string { return in.Item }), Handle: d.reopenItem,
		}),
	}
}

// scoped is the scope of the action item that an input names.
func scoped[I any](d *Desk, name func(I) string) func(context.Context, I) (operation.Scope, error) {
	return func(ctx context.Context, in I) (operation.Scope, error) {
		i, err := d.item(ctx, name(in))
		return operation.Scope{Team: i.Team, Environment: i.Environment}, err
	}
}

func (d *Desk) item(ctx context.Context, name string) (ActionItem, error) {
	i, ok, err := projection.Get[ActionItem](ctx, operation.Reader(ctx, d.Reader), ItemProjection, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "action-item", "there is no action item named %q", name).WithNext("flyball action-item list --state all shows them")
	}
	return i, err
}

func (d *Desk) listItems(ctx context.Context, _ operation.Caller, in ItemsInput) (operation.Page[ActionItem], error) {
	now := d.moment(ctx)
	f := projection.Filter{Index: "open", Value: "yes", After: in.After}
	open := in.State == "" || in.State == ItemOpen || in.State == "overdue"
	switch {
	case in.Postmortem != "":
		f.Index, f.Value = "postmortem", Name(in.Postmortem)
	case open && in.Team != "":
		f.Index, f.Value = "open.team", in.Team
	case in.Team != "":
		f.Index, f.Value = "team", in.Team
	case !open:
		f.Index = "all"
	}
	found, next, err := scan(ctx, operation.Reader(ctx, d.Reader), ItemProjection, f, operation.Limit(in.Limit, 50, 500), func(i ActionItem) bool {
		switch {
		case in.Team != "" && i.Team != in.Team:
			return false
		case in.State == "all":
			return true
		case in.State == "overdue":
			return i.at(now).Overdue
		}
		return i.State == cmp.Or(in.State, ItemOpen)
	})
	out := operation.Page[ActionItem]{Items: []ActionItem{}, Next: next}
	for _, i := range found {
		out.Items = append(out.Items, i.at(now))
	}
	return out, err
}

// Report is how teams do with their action items.
type Report struct {
	At    time.Time `json:"at" doc:"the moment it is about"`
	All   Tally     `json:"all"`
	Teams []Tally   `json:"teams" doc:"the one with most overdue first"`
}

// Tell is a line for each team.
func (r Report) Tell() string {
	var b strings.Builder
	for _, t := range append([]Tally{r.All}, r.Teams...) {
		fmt.Fprintf(&b, "%-20s %s\n", cmp.Or(t.Team, "all teams"), t)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// String is the tally in words.
func (t Tally) String() string {
	s := fmt.Sprintf("%d open, %d overdue; %d closed, %d of them by evidence", t.Open, t.Overdue, t.Closed, t.Proven)
	if t.Share != nil {
		s += fmt.Sprintf("; %s on time (%d of %d)", percent(*t.Share), t.OnTime, t.Due)
	}
	return s
}

func (d *Desk) report(ctx context.Context, _ operation.Caller, in ReportInput) (Report, error) {
	out := Report{At: d.moment(ctx), All: Tally{Team: in.Team}, Teams: []Tally{}}
	f := projection.Filter{Index: "all", Value: "yes", Limit: projection.MaxPage}
	if in.Team != "" {
		f.Index, f.Value = "team", in.Team
	}
	teams := map[string]*Tally{}
	for {
		page, next, err := projection.List[ActionItem](ctx, operation.Reader(ctx, d.Reader), ItemProjection, f)
		if err != nil {
			return out, err
		}
		for _, i := range page {
			if teams[i.Team] == nil {
				teams[i.Team] = &Tally{Team: i.Team}
			}
			teams[i.Team].count(i, out.At)
			out.All.count(i, out.At)
		}
		if next == "" {
			break
		}
		f.After = next
	}
	for _, t := range teams {
		out.Teams = append(out.Teams, *t)
	}
	slices.SortFunc(out.Teams, func(a, b Tally) int { return cmp.Or(b.Overdue-a.Overdue, strings.Compare(a.Team, b.Team)) })
	return out, nil
}

// due reads a day, at whose end it is over everywhere east of the date line, or
// a moment.
func due(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, problem.New(problem.Invalid, "action-item", "%q is no day", clip(s, 40)).WithNext("write it as 2026-12-01")
	}
	return t.Add(24*time.Hour - time.Second), nil
}

func checkItem(i Item) error {
	invalid := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "action-item", format, args...)
	}
	switch {
	case strings.TrimSpace(i.Title) == "" || len(i.Title) > maxTitle || strings.Contains(i.Title, "\n"):
		return invalid("a title is one line of 1 to %d bytes", maxTitle)
	case strings.TrimSpace(i.Owner) == "" || len(i.Owner) > 100 || strings.Contains(i.Owner, "\n"):
		return invalid("an owner is one line of 1 to 100 bytes")
	case i.Due.Year() < 2000 || i.Due.Year() > 2200:
		return invalid("%s is no day anybody waits for", day(i.Due))
	}
	return nil
}

func (d *Desk) addItem(ctx context.Context, caller operation.Caller, in AddInput) (ActionItem, error) {
	by, err := due(in.Due)
	if err != nil {
		return ActionItem{}, err
	}
	_, fact, err := d.change(ctx, caller, in.Postmortem, func(p Postmortem) (string, any, error) {
		if p.State != StateDraft && p.State != StateReview && p.State != StatePublished {
			return EventItemAdded, nil, p.written("action-item.add")
		}
		if p.Items >= maxItems {
			return EventItemAdded, nil, problem.New(problem.Invalid, "action-item.add", "%s has %d action items; more are not done", p.Postmortem, p.Items)
		}
		name := p.Postmortem + "-" + strconv.Itoa(p.Items+1)
		i := Item{Place: p.Place, Item: name, Title: in.Title, Kind: in.Kind, Owner: in.Owner, Due: by}
		return EventItemAdded, i, checkItem(i)
	})
	if err != nil {
		return ActionItem{}, err
	}
	i, err := event.Decode[Item](fact) // a repeated call gets what the first one made
	if err != nil {
		return ActionItem{}, err
	}
	return d.changed(ctx, i.Item)
}

func (d *Desk) changed(ctx context.Context, name string) (ActionItem, error) {
	i, err := d.item(ctx, name)
	return i.at(d.Clock.Now()), err
}

// act records one fact about an action item.
func (d *Desk) act(ctx context.Context, caller operation.Caller, name, typ string, decide func(p Postmortem, i ActionItem) (any, error)) (ActionItem, error) {
	i, err := d.item(ctx, name)
	if err != nil {
		return i, err
	}
	_, _, err = d.change(ctx, caller, i.Postmortem, func(p Postmortem) (string, any, error) {
		i, err := d.item(ctx, name)
		if err != nil {
			return "", nil, err
		}
		data, err := decide(p, i)
		return typ, data, err
	})
	if err != nil {
		return i, err
	}
	return d.changed(ctx, name)
}

func (i ActionItem) open(op string) error {
	if i.State == ItemOpen {
		return nil
	}
	return problem.New(problem.Conflict, op, "%s is closed already: %s", i.Item, i.status()).WithNext("flyball action-item reopen %s --reason …", i.Item)
}

func (d *Desk) changeItem(ctx context.Context, caller operation.Caller, in ChangeInput) (ActionItem, error) {
	return d.act(ctx, caller, in.Item, EventItemChanged, func(_ Postmortem, i ActionItem) (any, error) {
		if err := i.open("action-item.change"); err != nil {
			return nil, err
		}
		next := Item{Place: i.Place, Item: i.Item, Title: cmp.Or(in.Title, i.Title), Kind: cmp.Or(in.Kind, i.Kind), Owner: cmp.Or(in.Owner, i.Owner), Due: i.Due}
		if in.Due != "" {
			var err error
			if next.Due, err = due(in.Due); err != nil {
				return nil, err
			}
		}
		return next, checkItem(next)
	})
}

func (d *Desk) rehearse(ctx context.Context, caller operation.Caller, in RehearseInput) (ActionItem, error) {
	lasts := cmp.Or(in.For, time.Hour)
	if lasts < time.Minute || lasts > 24*time.Hour {
		return ActionItem{}, problem.New(problem.Invalid, "action-item.rehearse", "a rehearsal lasts between a minute and 24 hours, not %s", lasts)
	}
	return d.act(ctx, caller, in.Item, EventItemRehearsed, func(_ Postmortem, i ActionItem) (any, error) {
		now := d.Clock.Now()
		return Rehearsed{Place: i.Place, Item: i.Item, From: now, To: now.Add(lasts), Reason: in.Reason}, i.open("action-item.rehearse")
	})
}

func (d *Desk) closeItem(ctx context.Context, caller operation.Caller, in CloseInput) (ActionItem, error) {
	return d.act(ctx, caller, in.Item, EventItemClosed, func(p Postmortem, i ActionItem) (any, error) {
		if err := i.open("action-item.close"); err != nil {
			return nil, err
		}
		closed := Closed{Place: i.Place, Item: i.Item, Reason: in.WithoutEvidence}
		if in.WithoutEvidence == "" {
			var err error
			closed.Evidence, err = d.prove(ctx, p, i, in)
			return closed, err
		}
		if !caller.May(operation.Operator, operation.Scope{Team: i.Team, Environment: i.Environment}) {
			return nil, problem.New(problem.Denied, "action-item.close", "closing without evidence needs the role operator for team %s; the caller is %s", i.Team, caller.Name).
				WithNext("give evidence: a test, an alert or a change; or ask an operator")
		}
		return closed, nil
	})
}

func (d *Desk) reopenItem(ctx context.Context, caller operation.Caller, in ItemReason) (ActionItem, error) {
	return d.act(ctx, caller, in.Item, EventItemReopened, func(_ Postmortem, i ActionItem) (any, error) {
		if i.State != ItemClosed {
			return nil, problem.New(problem.Conflict, "action-item.reopen", "%s is open", i.Item)
		}
		return Closed{Place: i.Place, Item: i.Item, Reason: in.Reason}, nil
	})
}

// Header names the columns of a list of action items.
func (i ActionItem) Header() []string {
	return []string{"ITEM", "KIND", "OWNER", "DUE", "STATE", "TITLE"}
}

// Rows is the action item as a line of a list.
func (i ActionItem) Rows() [][]string {
	return [][]string{{i.Item, i.Kind, i.Owner, day(i.Due), i.status(), i.Title}}
}
