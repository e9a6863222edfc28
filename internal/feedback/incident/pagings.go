package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// Paging is one person, or one webhook, being paged once.
type Paging struct {
	At          time.Time `json:"at"`
	Person      string    `json:"person"` // or "webhooks of TEAM"
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Incident    string    `json:"incident"`
	Nth         int       `json:"-"` // incident of that place, from 1
	Severity    int       `json:"severity"`
	Step        int       `json:"step"`
	Attempt     int       `json:"attempt"`
}

// Pagings reads from a log who was paged, in order.
func Pagings(ctx context.Context, log event.Log) ([]Paging, error) {
	var out []Paging
	nth := map[string]int{}
	q := event.Query{Types: []string{EventOpened, EventPaged}, Limit: 1000}
	for {
		events, err := log.Read(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			p, err := event.Decode[Paged](e)
			if err != nil {
				return nil, err
			}
			key := Key(p.Service, p.Environment)
			if e.Type == EventOpened {
				nth[key]++
				continue
			}
			one := Paging{At: e.Time, Service: p.Service, Environment: p.Environment, Incident: p.Incident, Nth: nth[key], Severity: p.Severity, Step: p.Step, Attempt: p.Attempt}
			for _, one.Person = range p.People {
				out = append(out, one)
			}
			if one.Person = "webhooks of " + p.Team; len(p.People) == 0 && p.Webhooks > 0 {
				out = append(out, one)
			}
		}
		if len(events) < q.Limit {
			return out, nil
		}
		q.After = events[len(events)-1].Position
	}
}

// Difference is a page that a rehearsal has and the record has not, or the
// other way round, or one that came to somebody else, or at another time.
type Difference struct {
	What        string    `json:"what"` // appears, vanishes or moves
	At          time.Time `json:"at"`   // as rehearsed; one that vanishes: as recorded
	Was         time.Time `json:"was,omitzero" doc:"of one that moves: when it was recorded"`
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Incident    string    `json:"incident"`
	Severity    int       `json:"severity"`
	Step        int       `json:"step"`
	Person      string    `json:"person" doc:"as rehearsed; one that vanishes: as recorded"`
	From        string    `json:"from,omitempty" doc:"of one that moves: who was paged"`
	Night       bool      `json:"night" doc:"between 22:00 and 07:00 where that person is"`
}

// Share is one person's part of the pages.
type Share struct {
	Person         string `json:"person"`
	Recorded       int    `json:"recorded"`
	Rehearsed      int    `json:"rehearsed"`
	RecordedNight  int    `json:"recorded_night" doc:"between 22:00 and 07:00 where that person is"`
	RehearsedNight int    `json:"rehearsed_night"`
	Nights         int    `json:"nights" doc:"nights with at least one page, as rehearsed"`
}

// Comparison is what a rehearsal changes.
type Comparison struct {
	From        time.Time    `json:"from"`
	To          time.Time    `json:"to"`
	Recorded    int          `json:"recorded"`
	Rehearsed   int          `json:"rehearsed"`
	Same        int          `json:"same"`
	Differences []Difference `json:"differences" doc:"in order of time, at most 1,000"`
	More        int          `json:"more,omitempty" doc:"differences that are not listed"`
	People      []Share      `json:"people"`
}

const (
	maxDifferences = 1000
	// slack is how far apart two moments may be that are the same: a decision
	// follows what it is about within seconds.
	slack = time.Minute
)

// call is what makes two pages the same, whoever got them.
type call struct {
	place                        string
	nth, severity, step, attempt int
}

func (p Paging) call() call {
	return call{Key(p.Service, p.Environment), p.Nth, p.Severity, p.Step, p.Attempt}
}

// Compare says what a rehearsal changes within [from, to). zone is where a
// person is.
func Compare(recorded, rehearsed []Paging, from, to time.Time, zone func(person string) *time.Location) Comparison {
	c := Comparison{From: from, To: to, Differences: []Difference{}, People: []Share{}}
	within := func(p Paging) bool { return p.At.Before(from) || !p.At.Before(to) }
	recorded, rehearsed = slices.DeleteFunc(slices.Clone(recorded), within), slices.DeleteFunc(slices.Clone(rehearsed), within)
	c.Recorded, c.Rehearsed = len(recorded), len(rehearsed)
	c.share(recorded, rehearsed, zone)
	was := map[call][]Paging{}
	for _, p := range recorded {
		was[p.call()] = append(was[p.call()], p)
	}
	var left []Paging
	take := func(p Paging, like func(Paging) bool) (Paging, bool) {
		all := was[p.call()]
		i := slices.IndexFunc(all, like)
		if i < 0 {
			return Paging{}, false
		}
		found := all[i]
		was[p.call()] = slices.Delete(slices.Clone(all), i, i+1)
		return found, true
	}
	for _, p := range rehearsed {
		_, ok := take(p, func(o Paging) bool { return o.Person == p.Person && o.At.Sub(p.At).Abs() <= slack })
		if !ok {
			left = append(left, p)
			continue
		}
		c.Same++
	}
	for _, p := range left {
		d := p.difference("appears", zone)
		old, ok := take(p, func(o Paging) bool { return o.Person == p.Person })
		if !ok {
			old, ok = take(p, func(Paging) bool { return true })
		}
		if ok {
			d.What, d.From, d.Was = "moves", old.Person, old.At
		}
		c.Differences = append(c.Differences, d)
	}
	for _, gone := range was {
		for _, p := range gone {
			c.Differences = append(c.Differences, p.difference("vanishes", zone))
		}
	}
	slices.SortFunc(c.Differences, func(a, b Difference) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Person, b.Person), cmp.Compare(a.What, b.What))
	})
	c.More = max(0, len(c.Differences)-maxDifferences)
	c.Differences = c.Differences[:len(c.Differences)-c.More]
	return c
}

func (p Paging) difference(what string, zone func(string) *time.Location) Difference {
	return Difference{
		What: what, At: p.At, Service: p.Service, Environment: p.Environment, Incident: p.Incident, Severity: p.Severity, Step: p.Step,
		Person: p.Person, Night: night(p.At, zone(p.Person)),
	}
}

// night reports whether most people sleep.
func night(t time.Time, zone *time.Location) bool {
	hour := t.In(zone).Hour()
	return hour >= 22 || hour < 7
}

func (c *Comparison) share(recorded, rehearsed []Paging, zone func(string) *time.Location) {
	shares := map[string]*Share{}
	of := func(p Paging) *Share {
		if shares[p.Person] == nil {
			shares[p.Person] = &Share{Person: p.Person}
		}
		return shares[p.Person]
	}
	for _, p := range recorded {
		s := of(p)
		s.Recorded++
		if night(p.At, zone(p.Person)) {
			s.RecordedNight++
		}
	}
	nights := map[string]bool{}
	for _, p := range rehearsed {
		s, z := of(p), zone(p.Person)
		s.Rehearsed++
		if night(p.At, z) {
			s.RehearsedNight++
			// A night has the date of its evening.
			if n := p.Person + p.At.In(z).Add(-7*time.Hour).Format(" 2006-01-02"); !nights[n] {
				nights[n] = true
				s.Nights++
			}
		}
	}
	for _, s := range shares {
		c.People = append(c.People, *s)
	}
	slices.SortFunc(c.People, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Rehearsed, a.Rehearsed), cmp.Compare(b.Recorded, a.Recorded), cmp.Compare(a.Person, b.Person))
	})
}

// Tell is the comparison as people read it.
func (c Comparison) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to %s: %s recorded, %d rehearsed, %d the same\n", stamp(c.From), stamp(c.To), pages(c.Recorded), c.Rehearsed, c.Same)
	for _, d := range c.Differences {
		fmt.Fprintf(&b, "  %-8s  %s  %s %s, severity %d, step %d: ", d.What, stamp(d.At), d.Service, d.Environment, d.Severity, d.Step)
		switch {
		case d.What == "moves" && d.From != d.Person:
			fmt.Fprintf(&b, "%s instead of %s", d.Person, d.From)
		case d.What == "moves":
			fmt.Fprintf(&b, "%s, not at %s", d.Person, stamp(d.Was))
		default:
			b.WriteString(d.Person)
		}
		if d.Night {
			b.WriteString(", at night")
		}
		b.WriteByte('\n')
	}
	if c.More > 0 {
		fmt.Fprintf(&b, "  and %d more\n", c.More)
	}
	for _, s := range c.People {
		fmt.Fprintf(&b, "%-24s %s instead of %d; at night %d instead of %d, in %d nights\n", s.Person, pages(s.Rehearsed), s.Recorded, s.RehearsedNight, s.RecordedNight, s.Nights)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func pages(n int) string {
	if n == 1 {
		return "1 page"
	}
	return fmt.Sprintf("%d pages", n)
}
