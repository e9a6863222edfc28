package release

import (
	"context"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Author is who wrote a commit, as the commit says.
type Author struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

// authorsOf are those who wrote a change's commits, each once, newest first.
func authorsOf(c change.Change) (out []Author) {
	for _, k := range c.Commits {
		if a := (Author{k.Author, k.Email}); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// aliasesOf are the names and addresses under which those who agreed to an
// action write commits, by user.
func aliasesOf(ctx context.Context, r projection.Reader, a action.Action) (map[string][]string, error) {
	out := map[string][]string{}
	for _, ap := range a.Approvals {
		aliases, err := catalog.Aliases(ctx, r, strings.TrimPrefix(ap.By, "user:"))
		if err != nil {
			return nil, err
		}
		if len(aliases) > 0 {
			out[ap.By] = aliases
		}
	}
	return out, nil
}

// wrote reports whether the one who agrees may be one of the authors. Tokens
// carry user names, commits names and e-mail addresses: they are the same person
// when any of what is known of the one is any of what is known of the other,
// in any case. In doubt, as when user ana agrees to a commit of ana@home.example,
// they are: somebody else can agree.
func wrote(by string, aliases []string, authors []Author) bool {
	known := map[string]bool{}
	for _, s := range append([]string{strings.TrimPrefix(by, "user:")}, aliases...) {
		for _, k := range keysOf(s) {
			known[k] = true
		}
	}
	for _, a := range authors {
		for _, k := range append(keysOf(a.Name), keysOf(a.Email)...) {
			if known[k] {
				return true
			}
		}
	}
	return false
}

// keysOf are the forms in which a name or an address is compared: itself, and
// of an address what stands before the @, without the number that GitHub puts
// before the name in 1234+ana@users.noreply.github.com.
func keysOf(s string) []string {
	s = strings.ToLower(strings.Join(strings.Fields(s), " "))
	if s == "" {
		return nil
	}
	keys := []string{s}
	if local, _, is := strings.Cut(s, "@"); is && local != "" {
		if _, name, numbered := strings.Cut(local, "+"); numbered && strings.HasSuffix(s, "@users.noreply.github.com") {
			local = name
		}
		keys = append(keys, local)
	}
	return keys
}
