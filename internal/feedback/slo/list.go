package slo

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ListInput chooses, orders and bounds a list of objectives.
type ListInput struct {
	Service     string `json:"service" doc:"of this service only"`
	Environment string `json:"environment" doc:"in this environment only"`
	Team        string `json:"team" doc:"of this team's services only"`
	Level       string `json:"level" enum:"plentiful,low,exhausted" doc:"with a budget at this level only"`
	Firing      string `json:"firing" enum:"page,ticket,any" doc:"whose gravest firing alert is this, or any"`
	Hurting     bool   `json:"hurting" doc:"only those that fire, are spent, or burn faster than their budget lasts"`
	Search      string `json:"search" doc:"only those whose key, name or team contains this, in any case"`
	Sort        string `json:"sort" enum:"key,burn,budget,exhaustion" doc:"order: by key (default), fastest burning, least budget, or soonest spent first"`
	Group       string `json:"group" enum:"team,service" doc:"together by team or service, with sub-totals; the worst group by the order first"`
	PerGroup    int    `json:"per_group" doc:"with group: at most this many of each group; 0 for all"`
	Of          string `json:"of" doc:"the groups of this objective, instead of objectives"`
	After       string `json:"after" doc:"cursor from the page before"`
	Limit       int    `json:"limit" doc:"at most this many, 1 to 1000 (default 100)"`
}

// Subtotal is a number of objectives taken together.
type Subtotal struct {
	Name       string  `json:"name" doc:"team or service; empty for all"`
	Objectives int     `json:"objectives"`
	Paging     int     `json:"paging" doc:"with a firing alert that pages"`
	Firing     int     `json:"firing" doc:"with any firing alert"`
	Spent      int     `json:"spent" doc:"with nothing left of the budget"`
	Hurting    int     `json:"hurting" doc:"firing, spent, or burning faster than the budget lasts"`
	Least      float64 `json:"least_remaining" doc:"least share of a budget left"`
	Fastest    float64 `json:"fastest_burn_1h" doc:"greatest burn rate over the last hour"`
}

func (t *Subtotal) add(s *Standing) {
	if t.Objectives == 0 || s.Remaining < t.Least {
		t.Least = s.Remaining
	}
	t.Fastest = max(t.Fastest, s.Burn1h)
	t.Objectives++
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	count(&t.Paging, s.Firing == "page")
	count(&t.Firing, s.Firing != "")
	count(&t.Spent, s.SLIKnown && s.Remaining <= 0)
	count(&t.Hurting, s.Hurts())
}

// Listing is a page of objectives, and what they are a part of.
type Listing struct {
	Standings []Standing
	Groups    []Subtotal // of the groups on this page, in their order
	All       Subtotal   // every objective there is
	Chosen    Subtotal   // those that the input chooses, on all pages
	Teams     []string   // of all objectives
	Next      string     // cursor; empty on the last page
}

// ranked is a standing with its place in the order: ascending by group's
// value, group, value, key.
type ranked struct {
	Standing
	rank rank
}

// rank is a position in an ordered list. It is the cursor: what is listed
// after it does not depend on whether the objective at it is still there.
type rank struct {
	GroupValue float64 `json:"g,omitempty"`
	Group      string  `json:"n,omitempty"`
	Value      float64 `json:"v,omitempty"`
	Key        string  `json:"k"`
}

func (p rank) compare(q rank) int {
	return cmp.Or(cmp.Compare(p.GroupValue, q.GroupValue), cmp.Compare(p.Group, q.Group), cmp.Compare(p.Value, q.Value), cmp.Compare(p.Key, q.Key))
}

func (p rank) cursor() string {
	// A rank has neither NaN nor infinities.
	b, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(b)
}

func rankOf(cursor string) (p rank, err error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, problem.New(problem.Invalid, "slo.list", "%q is not a cursor of this list", clip(cursor, 100)).WithNext("leave after out to begin at the front")
	}
	return p, nil
}

// List chooses, orders and pages through the objectives.
func (w *Watcher) List(in ListInput) (Listing, error) {
	engine, wanted := w.engine, func(*Objective) bool { return true }
	if in.Of != "" {
		if _, err := w.find(in.Of); err != nil {
			return Listing{}, err
		}
		engine, wanted = w.groups, func(o *Objective) bool { return strings.HasPrefix(o.Key(), in.Of+"{") }
	}
	all := engine.Standings(wanted, in.Sort == "exhaustion")
	w.mu.Lock()
	for i := range all {
		id, _, _ := strings.Cut(all[i].ID, "{")
		if d := w.declared[id]; d != nil {
			all[i].Team = d.team
		}
	}
	w.mu.Unlock()
	l, err := Select(all, in)
	if err != nil || in.Sort == "exhaustion" {
		return l, err
	}
	for i := range l.Standings {
		f := engine.Forecast(l.Standings[i].ID)
		l.Standings[i].Exhausts, l.Standings[i].Exhausted = f.At, f.Exhausted
	}
	return l, nil
}

// Select is the pure part of List.
func Select(all []Standing, in ListInput) (Listing, error) {
	var l Listing
	rows, teams := make([]ranked, 0, len(all)), map[string]bool{}
	match := matcher(in)
	for i := range all {
		s := &all[i]
		l.All.add(s)
		teams[s.Team] = true
		if match(s) {
			l.Chosen.add(s)
			rows = append(rows, ranked{*s, rank{Value: valueOf(s, in.Sort), Key: s.Objective.Key()}})
		}
	}
	for t := range teams {
		if t != "" {
			l.Teams = append(l.Teams, t)
		}
	}
	slices.Sort(l.Teams)
	groups := grouped(rows, in.Group)
	slices.SortFunc(rows, func(x, y ranked) int { return x.rank.compare(y.rank) })
	if in.Group != "" && in.PerGroup > 0 {
		rows = firstOfEach(rows, in.PerGroup)
	}
	if in.After != "" {
		after, err := rankOf(in.After)
		if err != nil {
			return l, err
		}
		from, _ := slices.BinarySearchFunc(rows, after, func(r ranked, p rank) int {
			if r.rank.compare(p) <= 0 {
				return -1
			}
			return 1
		})
		rows = rows[from:]
	}
	if limit := operation.Limit(in.Limit, 100, 1000); len(rows) > limit {
		rows = rows[:limit]
		l.Next = rows[limit-1].rank.cursor()
	}
	for _, r := range rows {
		l.Standings = append(l.Standings, r.Standing)
		if n := len(l.Groups); in.Group != "" && (n == 0 || l.Groups[n-1].Name != r.rank.Group) {
			l.Groups = append(l.Groups, *groups[r.rank.Group])
		}
	}
	return l, nil
}

// matcher tells which objectives an input chooses.
func matcher(in ListInput) func(*Standing) bool {
	search := strings.ToLower(strings.TrimSpace(in.Search))
	has := func(text string) bool { return strings.Contains(strings.ToLower(text), search) }
	return func(s *Standing) bool {
		o := s.Objective
		return (in.Service == "" || o.Service == in.Service) && (in.Environment == "" || o.Environment == in.Environment) &&
			(in.Team == "" || s.Team == in.Team) && (!in.Hurting || s.Hurts()) &&
			(in.Level == "" || LevelOf(s.Remaining) == in.Level) &&
			(in.Firing == "" || in.Firing == s.Firing || in.Firing == "any" && s.Firing != "") &&
			(search == "" || has(o.Key()) || has(o.DisplayName) || has(s.Team))
	}
}

// valueOf is what an order goes by, least first.
func valueOf(s *Standing, order string) float64 {
	switch order {
	case "burn":
		return -s.Burn1h
	case "budget":
		return s.Remaining
	case "exhaustion":
		if s.Exhausts.IsZero() {
			return math.MaxFloat64
		}
		return float64(s.Exhausts.Unix())
	}
	return 0
}

// GroupOf is the name of the group that an objective belongs to.
func (s *Standing) GroupOf(by string) string {
	switch by {
	case "team":
		return s.Team
	case "service":
		return s.Objective.Service
	}
	return ""
}

// grouped gives rows their groups, and the groups' sub-totals. A group stands
// where its first member would.
func grouped(rows []ranked, by string) map[string]*Subtotal {
	totals, least := map[string]*Subtotal{}, map[string]float64{}
	if by == "" {
		return totals
	}
	for i := range rows {
		r := &rows[i]
		r.rank.Group = r.GroupOf(by)
		t := totals[r.rank.Group]
		if t == nil {
			t = &Subtotal{Name: r.rank.Group}
			totals[t.Name], least[t.Name] = t, r.rank.Value
		}
		t.add(&r.Standing)
		least[t.Name] = min(least[t.Name], r.rank.Value)
	}
	for i := range rows {
		rows[i].rank.GroupValue = least[rows[i].rank.Group]
	}
	return totals
}

// firstOfEach keeps the first n of each group of rows that stand together.
func firstOfEach(rows []ranked, n int) []ranked {
	kept, in := rows[:0], 0
	for i, r := range rows {
		if in++; i == 0 || r.rank.Group != rows[i-1].rank.Group {
			in = 1
		}
		if in <= n {
			kept = append(kept, r)
		}
	}
	return kept
}

// Row is one objective in a list.
type Row struct {
	Objective string  `json:"objective"`
	Team      string  `json:"team,omitempty"`
	Target    string  `json:"target"`
	SLI       float64 `json:"sli" doc:"share of good events in the window; 1 without events"`
	Events    float64 `json:"events" doc:"events in the window"`
	Remaining float64 `json:"remaining" doc:"share of the budget left; negative when overspent"`
	Burn1h    float64 `json:"burn_1h" doc:"burn rate over the last hour"`
	Level     string  `json:"level"`
	Firing    string  `json:"firing,omitempty" doc:"gravest severity that fires"`
	// Of objectives something of which does not count.
	RawRemaining *float64 `json:"raw_remaining,omitempty" doc:"share of the budget left if exclusions and corrections did not hold"`

	Exhausts string `json:"exhausts,omitempty" doc:"when the budget is spent at the present burn, or was, RFC 3339"`
}

// Rows is a page of objectives.
type Rows struct {
	Items  []Row      `json:"items" doc:"this page of the list"`
	Next   string     `json:"next,omitempty" doc:"cursor of the next page, for after; absent at the end"`
	Total  int        `json:"total" doc:"objectives on all pages"`
	Groups []Subtotal `json:"groups,omitempty" doc:"sub-totals of the groups on this page, in their order"`
}

// Header names the columns.
func (Rows) Header() []string {
	return []string{"OBJECTIVE", "TARGET", "SLI", "EVENTS", "BUDGET", "BURN 1h", "STATE"}
}

// Rows are the lines.
func (r Rows) Rows() [][]string {
	var out [][]string
	for _, o := range r.Items {
		state := o.Level
		if o.Firing != "" {
			state += ", firing: " + o.Firing
		}
		out = append(out, []string{o.Objective, o.Target, fmt.Sprintf("%.4f %%", 100*o.SLI), Scaled(o.Events), o.budgetLeft(), fmt.Sprintf("%.1f×", o.Burn1h), state})
	}
	return out
}

func (r Row) budgetLeft() string {
	left := fmt.Sprintf("%.0f %%", 100*r.Remaining)
	if r.RawRemaining != nil {
		left += fmt.Sprintf(" (raw %.0f %%)", 100**r.RawRemaining)
	}
	return left
}

// Tell is the sub-totals of groups, one a line.
func (r Rows) Tell() string {
	var b strings.Builder
	for _, g := range r.Groups {
		fmt.Fprintf(&b, "%s: %s, %d paging, %d spent, least budget %.0f %%, fastest burn %.1f×\n", g.Name, plural(g.Objectives, "objective"), g.Paging, g.Spent, 100*g.Least, g.Fastest)
	}
	if b.Len() == 0 {
		fmt.Fprintf(&b, "%d of %s\n", len(r.Items), plural(r.Total, "objective"))
	}
	return b.String()
}

func (w *Watcher) list(in ListInput) (Rows, error) {
	l, err := w.List(in)
	out := Rows{Items: []Row{}, Next: l.Next, Total: l.Chosen.Objectives, Groups: l.Groups}
	for i := range l.Standings {
		row := rowOf(&l.Standings[i])
		if raw := w.rawOf(l.Standings[i].ID); raw != nil {
			row.RawRemaining = &raw.Budget.RemainingRatio
		}
		out.Items = append(out.Items, row)
	}
	return out, err
}

func rowOf(s *Standing) Row {
	r := Row{Objective: s.Objective.Key(), Team: s.Team, Target: s.Objective.Target.Percent(), SLI: 1, Events: s.Total,
		Remaining: s.Remaining, Burn1h: s.Burn1h, Level: LevelOf(s.Remaining), Firing: s.Firing}
	if s.SLIKnown {
		r.SLI = s.SLI
	}
	if !s.Exhausts.IsZero() {
		r.Exhausts = s.Exhausts.UTC().Format("2006-01-02T15:04:05Z")
	}
	return r
}
