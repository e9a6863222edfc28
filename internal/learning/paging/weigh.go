package paging

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Report is what a period's pages teach.
type Report struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Incidents int       `json:"incidents" doc:"that paged somebody"`
	Pages     int       `json:"pages"`
	Answer    Times     `json:"answer" doc:"from the first page to the first answer"`
	Resolve   Times     `json:"resolve" doc:"from the incident's opening to its end"`
	People    []Person  `json:"people" doc:"most pages first"`
	Noise     []Rule    `json:"noise" doc:"alerts whose pages led to nothing, most pages first"`
	Noisy     int       `json:"noisy" doc:"pages that led to nothing, of those whose incident is over"`
	Over      int       `json:"over" doc:"pages whose incident is over"`
	Caused    int       `json:"caused" doc:"pages of incidents that a change is known to have caused"`
	Reached   int       `json:"reached" doc:"of those, pages that reached the team whose change it was"`
}

// Times are percentiles over the incidents of which both ends are known.
type Times struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_seconds"`
	P90 float64 `json:"p90_seconds"`
	Max float64 `json:"max_seconds"`
}

// Person is one person's pages.
type Person struct {
	Person  string  `json:"person" doc:"empty: webhooks of teams"`
	Pages   int     `json:"pages"`
	PerWeek float64 `json:"per_week"`
	Night   int     `json:"night" doc:"between 22:00 and 07:00 where that person is"`
	Nights  int     `json:"nights" doc:"nights with at least one page"`
	Noise   int     `json:"noise" doc:"pages that led to nothing"`
}

// Rule is an alert, or whatever else opens incidents, whose pages led to nothing.
type Rule struct {
	Rule  string `json:"rule"`
	Owner string `json:"owner" doc:"team that is charged"`
	Pages int    `json:"pages" doc:"that led to nothing"`
	Of    int    `json:"of" doc:"pages of that alert whose incident is over"`
}

// Lookup answers what cases alone do not say. Each may be nil.
type Lookup struct {
	// Zone is where a person is.
	Zone func(person string) *time.Location
	// Rule names the rule behind an alert and the team that owns it.
	Rule func(c Case) (rule, owner string)
	// Author is the team whose change a rollout brought; empty when unknown.
	Author func(rollout string) string
	// Member reports whether a person belongs to a team.
	Member func(person, team string) bool
}

// Weigh makes the report of the cases whose pages fall into [from, to).
func Weigh(cases []Case, from, to time.Time, look Lookup) Report {
	r := Report{From: from, To: to, People: []Person{}, Noise: []Rule{}}
	people, nights, rules := map[string]*Person{}, map[string]bool{}, map[string]*Rule{}
	var answers, ends []float64
	for _, c := range cases {
		pages := slices.DeleteFunc(slices.Clone(c.Pages), func(p Page) bool { return p.At.Before(from) || !p.At.Before(to) })
		if len(pages) == 0 {
			continue
		}
		r.Incidents++
		r.Pages += len(pages)
		if !c.Answered.IsZero() && !c.Answered.Before(c.Pages[0].At) {
			answers = append(answers, c.Answered.Sub(c.Pages[0].At).Seconds())
		}
		over := !c.Resolved.IsZero()
		if over {
			ends = append(ends, c.Resolved.Sub(c.Opened).Seconds())
			r.Over += len(pages)
			r.charge(rules, c, len(pages), look)
		}
		r.reach(c, pages, look)
		for _, p := range pages {
			who := people[p.Person]
			if who == nil {
				who = &Person{Person: p.Person}
				people[p.Person] = who
			}
			who.add(p, over && !c.Acted, nights, look)
		}
	}
	r.Answer, r.Resolve = times(answers), times(ends)
	weeks := to.Sub(from).Hours() / (7 * 24)
	for _, p := range people {
		p.PerWeek = float64(p.Pages) / weeks
		r.People = append(r.People, *p)
	}
	slices.SortFunc(r.People, func(a, b Person) int { return cmp.Or(cmp.Compare(b.Pages, a.Pages), cmp.Compare(a.Person, b.Person)) })
	for _, rule := range rules {
		if rule.Pages > 0 {
			r.Noise = append(r.Noise, *rule)
		}
	}
	slices.SortFunc(r.Noise, func(a, b Rule) int { return cmp.Or(cmp.Compare(b.Pages, a.Pages), cmp.Compare(a.Rule, b.Rule)) })
	return r
}

func (w *Person) add(p Page, noise bool, nights map[string]bool, look Lookup) {
	w.Pages++
	if noise {
		w.Noise++
	}
	zone := time.UTC
	if look.Zone != nil {
		zone = look.Zone(p.Person)
	}
	at := p.At.In(zone)
	if at.Hour() < 22 && at.Hour() >= 7 {
		return
	}
	w.Night++
	// A night has the date of its evening.
	if key := p.Person + at.Add(-7*time.Hour).Format(" 2006-01-02"); !nights[key] {
		nights[key] = true
		w.Nights++
	}
}

// charge charges pages that led to nothing to whoever owns the rule.
func (r *Report) charge(rules map[string]*Rule, c Case, pages int, look Lookup) {
	name, owner := cmp.Or(c.Objective, c.Title), c.Team
	if look.Rule != nil {
		if n, o := look.Rule(c); n != "" {
			name, owner = n, cmp.Or(o, owner)
		}
	}
	rule := rules[name+"\x00"+owner]
	if rule == nil {
		rule = &Rule{Rule: name, Owner: owner}
		rules[name+"\x00"+owner] = rule
	}
	rule.Of += pages
	if !c.Acted {
		rule.Pages += pages
		r.Noisy += pages
	}
}

// reach counts the pages that reached the team whose change caused them.
func (r *Report) reach(c Case, pages []Page, look Lookup) {
	if c.Culprit == "" || look.Author == nil {
		return
	}
	team := look.Author(c.Culprit)
	if team == "" {
		return
	}
	for _, p := range pages {
		r.Caused++
		if p.Person == "" && c.Team == team || p.Person != "" && look.Member != nil && look.Member(p.Person, team) {
			r.Reached++
		}
	}
}

// times gives nearest-rank percentiles.
func times(seconds []float64) Times {
	if len(seconds) == 0 {
		return Times{}
	}
	slices.Sort(seconds)
	rank := func(q float64) float64 { return seconds[int(math.Ceil(q*float64(len(seconds))))-1] }
	return Times{N: len(seconds), P50: rank(0.5), P90: rank(0.9), Max: seconds[len(seconds)-1]}
}
