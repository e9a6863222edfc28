package web

import (
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// objectivesPerGroup is how many of each group a grouped list shows: the worst
// by its order.
const objectivesPerGroup = 3

type objectiveListBody struct {
	slo.Listing
	Lead         string
	In           slo.ListInput
	Show         string // all, hurting, page, ticket, spent or low
	Narrowed     bool   // a filter is set
	Environments []string
	Blocks       []objectiveBlock
}

// objectiveBlock is the rows of one group, or all rows of a list without groups.
type objectiveBlock struct {
	slo.Subtotal
	By   string
	Rows []slo.Standing
}

// Rest is how many of the group are not shown here.
func (b objectiveBlock) Rest() int { return b.Objectives - len(b.Rows) }

// objectiveQuery is the list that an address asks for.
func objectiveQuery(v *visit) (slo.ListInput, string) {
	q := v.URL.Query()
	in := slo.ListInput{Search: strings.TrimSpace(q.Get("q")), Team: q.Get("team"), Service: q.Get("service"), Environment: q.Get("environment"),
		Sort: q.Get("sort"), Group: q.Get("group"), After: q.Get("after"), Limit: pageSize}
	switch in.Sort {
	case "budget", "exhaustion", "key":
	default:
		in.Sort = "burn"
	}
	if in.Group != "team" && in.Group != "service" {
		in.Group = ""
	} else {
		in.PerGroup = objectivesPerGroup
	}
	show := q.Get("show")
	switch show {
	case "hurting":
		in.Hurting = true
	case "page", "ticket":
		in.Firing = show
	case "spent":
		in.Level = slo.LevelExhausted
	case "low":
		in.Level = slo.LevelLow
	default:
		show = ""
	}
	return in, show
}

func (s *site) objectiveList(v *visit) (page, error) {
	p := page{Template: "objectives", Title: "Objectives", Section: "objectives", Every: 30, Live: "budget.,alert.,resource."}
	b := objectiveListBody{}
	b.In, b.Show = objectiveQuery(v)
	if v.past || s.o.Objectives == nil {
		b.Lead = notKept
		if !v.past {
			b.Lead = "This server measures no objectives."
		}
		p.Body = b
		return p, nil
	}
	var err error
	if b.Listing, err = s.o.Objectives.List(b.In); err != nil {
		return page{}, problem.New(problem.Invalid, "web.objectives", "%w", err).WithNext("begin at the first page")
	}
	environments, err := catalog.Environments(v.ctx, v.reader)
	if err != nil {
		return page{}, err
	}
	for _, e := range environments {
		b.Environments = append(b.Environments, e.Name)
	}
	b.Narrowed = b.Show != "" || b.In.Search+b.In.Team+b.In.Service+b.In.Environment != ""
	b.Blocks, b.Lead = objectiveBlocks(b.Listing, b.In.Group), b.lead()
	p.Body = b
	return p, nil
}

// objectiveBlocks lays the rows of a list out by group.
func objectiveBlocks(l slo.Listing, by string) []objectiveBlock {
	if by == "" {
		return []objectiveBlock{{Rows: l.Standings}}
	}
	var out []objectiveBlock
	for _, g := range l.Groups {
		out = append(out, objectiveBlock{Subtotal: g, By: by})
	}
	n := 0
	for _, row := range l.Standings {
		for out[n].Name != row.GroupOf(by) {
			n++
		}
		out[n].Rows = append(out[n].Rows, row)
	}
	return out
}

// notKept is said of a past moment: signals are no facts.
const notKept = "What was measured then is not kept; the facts about budgets and alerts are."

// lead says how all objectives stand, and how many of them the list is about.
func (b objectiveListBody) lead() string {
	all := b.All
	if all.Objectives == 0 {
		return "No objective is declared yet."
	}
	var parts []string
	for _, of := range []struct {
		n     int
		words [2]string
	}{{all.Paging, [2]string{"is paging", "are paging"}}, {all.Spent, [2]string{"has no budget left", "have no budget left"}}, {all.Hurting, [2]string{"needs a look", "need a look"}}} {
		switch {
		case of.n == 1:
			parts = append(parts, "1 "+of.words[0])
		case of.n > 1:
			parts = append(parts, count(of.n)+" "+of.words[1])
		}
	}
	lead := "All " + plural(all.Objectives, "objective is", "objectives are") + " within budget."
	if all.Objectives == 1 {
		lead = "The objective is within budget."
	}
	if len(parts) > 0 {
		lead = fmt.Sprintf("Of %s, %s.", plural(all.Objectives, "objective", "objectives"), joined(parts))
	}
	if b.Narrowed && b.Chosen.Objectives != all.Objectives {
		lead = fmt.Sprintf("%s of %s.", count(b.Chosen.Objectives), plural(all.Objectives, "objective", "objectives"))
		if b.Chosen.Paging > 0 {
			lead = strings.TrimSuffix(lead, ".") + fmt.Sprintf("; of these %s.", plural(b.Chosen.Paging, "is paging", "are paging"))
		}
	}
	return lead
}

// joined is a list in words: a, b and c.
func joined(parts []string) string {
	n := len(parts)
	if n < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
}

// teams maps services to their owners.
func (v *visit) teams() (map[string]string, error) {
	services, err := catalog.Services(v.ctx, v.reader)
	out := map[string]string{}
	for _, s := range services {
		out[s.Name] = s.Team
	}
	return out, err
}
