package catalog

import (
	"context"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Member is somebody in a team: the user name that tokens carry, and the names
// and e-mail addresses that their commits carry. It is written
//
//	ana <ana@example.org> <Ana Lovelace>
type Member struct {
	Name    string
	Aliases []string
}

// ParseMember reads a member; what is not closed belongs to the last alias.
func ParseMember(s string) Member {
	name, rest, _ := strings.Cut(s, "<")
	m := Member{Name: strings.TrimSpace(name)}
	for _, part := range strings.Split(rest, "<") {
		alias, _, _ := strings.Cut(part, ">")
		if alias = strings.TrimSpace(alias); alias != "" {
			m.Aliases = append(m.Aliases, alias)
		}
	}
	return m
}

// Aliases are the names and addresses that a user's commits carry, as far as
// any team says.
func Aliases(ctx context.Context, r projection.Reader, user string) ([]string, error) {
	teams, _, err := List[TeamSpec](ctx, r, KindTeam)
	var out []string
	for _, t := range teams {
		for _, s := range t.Members {
			if m := ParseMember(s); strings.EqualFold(m.Name, user) {
				out = append(out, m.Aliases...)
			}
		}
	}
	return out, err
}
