package postmortem

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Named is a name by which a person is known, and the role the text gives
// instead.
type Named struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

// The roles of people that no fact says more about.
const (
	roleAuthor = "the author of the change"
	roleFirst  = "the first responder"
	roleOther  = "an engineer"
)

func roleOnCall(team string) string { return "an on-call engineer of " + team }
func roleMember(team string) string { return "an engineer of " + team }

// person is somebody the catalog knows.
type person struct {
	name  string   // user name
	also  []string // names and addresses
	teams []string
}

// people lists everybody whom teams and Person resources name, by user name.
func people(ctx context.Context, r projection.Reader) ([]person, error) {
	teams, entries, err := catalog.List[catalog.TeamSpec](ctx, r, catalog.KindTeam)
	if err != nil {
		return nil, err
	}
	known := map[string]*person{}
	at := func(name string) *person {
		key := strings.ToLower(name)
		if known[key] == nil {
			known[key] = &person{name: name}
		}
		return known[key]
	}
	for i, t := range teams {
		for _, s := range t.Members {
			m := catalog.ParseMember(s)
			p := at(m.Name)
			p.also, p.teams = append(p.also, m.Aliases...), append(p.teams, entries[i].Metadata.Name)
		}
	}
	called, entries, err := catalog.List[struct {
		DisplayName string `json:"displayName"`
	}](ctx, r, "Person")
	for i, c := range called {
		p := at(entries[i].Metadata.Name)
		for _, name := range []string{c.DisplayName, entries[i].Metadata.DisplayName} {
			if name != "" {
				p.also = append(p.also, name)
			}
		}
	}
	var out []person
	for _, p := range known {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b person) int { return strings.Compare(a.name, b.name) })
	return out, err
}

// cast gives each known name its role in one incident: what the facts say
// somebody did there, else the team they are in.
func cast(place Place, t Trouble, entries []Entry, known []person) []Named {
	roles := map[string]string{} // by user name in lower case; the first counts
	give := func(name, role string) {
		if key := strings.ToLower(user(name)); key != "" && roles[key] == "" {
			roles[key] = role
		}
	}
	for _, n := range t.Roles {
		if n.Role != "" {
			give(n.Name, n.Role)
		}
	}
	give(t.First, roleFirst)
	for _, p := range t.People {
		give(p, roleOnCall(place.Team))
	}
	for _, e := range entries {
		if e.Type == "change.pushed" {
			give(e.Actor, roleAuthor)
		}
	}
	var out []Named
	for _, p := range known {
		key := strings.ToLower(p.name)
		role := roles[key]
		if role == "" {
			role = roleOther
			if len(p.teams) > 0 {
				role = roleMember(p.teams[0])
				if slices.Contains(p.teams, place.Team) {
					role = roleMember(place.Team)
				}
			}
		}
		delete(roles, key)
		for _, name := range append([]string{p.name}, p.also...) {
			out = append(out, Named{name, role})
		}
	}
	for key, role := range roles { // people the catalog does not know
		out = append(out, Named{key, role})
	}
	for _, e := range entries {
		if name := user(e.Actor); name != "" && !slices.ContainsFunc(out, func(n Named) bool { return strings.EqualFold(n.Name, name) }) {
			out = append(out, Named{name, roleOther})
		}
	}
	slices.SortFunc(out, func(a, b Named) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return out
}

// user is the name of a person who acted; programs have none.
func user(actor string) string {
	kind, name, ok := strings.Cut(actor, ":")
	switch {
	case !ok:
		return actor
	case kind == "user":
		return name
	}
	return ""
}

// ambiguous are user names that are also plain English words: they are taken
// for a name only behind @ or user:.
var ambiguous = []string{"art", "bill", "chance", "chase", "dean", "drew", "faith", "frank", "grace", "grant", "hope", "iris", "joy", "june", "jack", "lance",
	"mark", "max", "may", "miles", "pat", "pierce", "rob", "rose", "sage", "sandy", "skip", "sue", "ward", "will"}

// lookup finds names in texts.
type lookup map[string][]name // by the first word in lower case, longest first

type name struct {
	words []string
	role  string
}

func newLookup(named []Named) lookup {
	l := lookup{}
	for _, n := range named {
		words := strings.Fields(strings.ToLower(n.Name))
		if len(words) > 0 && utf8.RuneCountInString(words[0]) > 1 {
			l[words[0]] = append(l[words[0]], name{words, n.Role})
		}
	}
	for _, list := range l {
		slices.SortStableFunc(list, func(a, b name) int { return len(b.words) - len(a.words) })
	}
	return l
}

// hit is a name found: bytes [from, to) of the text.
type hit struct {
	from, to int
	role     string
}

// find lists the names in a text, in order.
func (l lookup) find(text string) []hit {
	var out []hit
	words := split(text)
	for i := 0; i < len(words); i++ {
		for _, n := range l[words[i].lower] {
			if !l.matches(text, words, i, n) {
				continue
			}
			last := i + len(n.words) - 1
			h := hit{words[i].from, words[last].to, n.role}
			h.from = prefixed(text, h.from)
			out = append(out, h)
			i = last
			break
		}
	}
	return out
}

func (l lookup) matches(text string, words []word, i int, n name) bool {
	if i+len(n.words) > len(words) {
		return false
	}
	for k, w := range n.words {
		if words[i+k].lower != w {
			return false
		}
	}
	return len(n.words) > 1 || !slices.Contains(ambiguous, n.words[0]) || prefixed(text, words[i].from) < words[i].from
}

// prefixed moves the beginning of a name to before its @ or user:.
func prefixed(text string, from int) int {
	for _, p := range []string{"@", "user:"} {
		if strings.HasSuffix(text[:from], p) {
			return from - len(p)
		}
	}
	return from
}

type word struct {
	from, to int
	lower    string
}

// split cuts a text into words; those of user names and addresses stay whole.
func split(text string) []word {
	var out []word
	from := -1
	end := func(to int) {
		if from >= 0 {
			w := strings.TrimRight(text[from:to], ".-@+")
			if w != "" {
				out = append(out, word{from, from + len(w), strings.ToLower(w)})
			}
		}
		from = -1
	}
	for i, r := range text {
		inside := unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_'
		joins := strings.ContainsRune(".-@+", r)
		switch {
		case inside && from < 0:
			from = i
		case !inside && (!joins || from < 0):
			end(i)
		}
	}
	end(len(text))
	return out
}

// Scrub replaces every name in a text by the role.
func (l lookup) Scrub(text string) string {
	hits := l.find(text)
	if len(hits) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, h := range hits {
		b.WriteString(text[at:h.from])
		b.WriteString(h.role)
		at = h.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// Findings names each person in a section's text, and suggests the role.
func (l lookup) Findings(section, text string) []problem.Finding {
	var out []problem.Finding
	said := map[string]bool{}
	for _, h := range l.find(text) {
		who := strings.TrimPrefix(strings.TrimPrefix(text[h.from:h.to], "user:"), "@")
		if said[strings.ToLower(who)] {
			continue
		}
		said[strings.ToLower(who)] = true
		out = append(out, problem.Finding{Field: section, Line: 1 + strings.Count(text[:h.from], "\n"), Column: 1 + utf8.RuneCountInString(text[strings.LastIndex(text[:h.from], "\n")+1:h.from]),
			Severity: "warning", Code: "person-named", Message: fmt.Sprintf("%q names a person; write %q", who, h.role)})
	}
	return out
}

// within keeps the names that occur in any of the texts, or acted.
func within(named []Named, entries []Entry, texts ...string) []Named {
	l := newLookup(named)
	found := map[string]bool{}
	note := func(text string) {
		for _, h := range l.find(text) {
			found[strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(text[h.from:h.to], "user:"), "@"))] = true
		}
	}
	for _, e := range entries {
		note(e.Text)
		found[strings.ToLower(user(e.Actor))] = true
	}
	for _, t := range texts {
		note(t)
	}
	return slices.DeleteFunc(named, func(n Named) bool { return !found[strings.ToLower(strings.Join(strings.Fields(n.Name), " "))] })
}
