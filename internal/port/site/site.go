// Package site is the port to where static pages are served from: a directory,
// a branch of a git repository, or whatever takes files by HTTP PUT, such as an
// object store.
//
// What is published is always a whole site, small enough to be held in memory.
// Publishing is repeatable: the same files again change nothing. Whoever reads
// meanwhile gets each file whole; adapters say whether the site changes at once
// or file by file. Adapters pass the suite in sitetest.
package site

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Files are a site: what is at each path, which is relative and uses slashes.
type Files map[string][]byte

// Bounds of one site.
const (
	MaxFiles = 20_000
	MaxBytes = 256 << 20
)

// Target is where a site goes: Directory, Repository or Address.
type Target struct {
	Directory  string // absolute
	Repository string // of git: a path, or an address it can push to
	Branch     string
	Address    string // below which files are put
	TokenEnv   string // environment variable with a bearer token for Address; may be empty
	S3         *S3    // Address is signed as S3 expects
}

// S3 names what signs requests to an object store.
type S3 struct {
	Region       string
	AccessKeyEnv string // environment variable
	SecretKeyEnv string // environment variable
}

// Receipt is what publishing changed.
type Receipt struct {
	Files   int    `json:"files"`             // of the site
	Written int    `json:"written"`           // that were new or different, if that is known, else all
	Removed int    `json:"removed,omitempty"` // that the site no longer has
	Version string `json:"version,omitempty"` // such as the commit
}

// Host publishes sites. Implementations are safe for concurrent use.
type Host interface {
	// Publish makes a target serve files and nothing else that was published
	// there before. It fails with problem.Invalid when no attempt can succeed,
	// with problem.Conflict when the target holds what was not published by it,
	// and with problem.Unavailable when a later attempt may succeed.
	Publish(ctx context.Context, t Target, f Files) (Receipt, error)
}

// Check refuses files that no adapter can publish.
func Check(f Files) error {
	total := 0
	for name, data := range f {
		total += len(data)
		if name == "" || path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "..") || strings.ContainsAny(name, "\\\x00") || len(name) > 500 ||
			slices.Contains(strings.Split(strings.ToLower(name), "/"), ".git") {
			return problem.New(problem.Invalid, "site.publish", "%q is no path of a file in a site", name)
		}
	}
	if len(f) == 0 || len(f) > MaxFiles || total > MaxBytes {
		return problem.New(problem.Invalid, "site.publish", "a site has 1 to %d files of %d bytes together; this has %d of %d", MaxFiles, MaxBytes, len(f), total)
	}
	return nil
}

// Names lists the paths in order, with a site's entrance last: whoever finds
// new pages there finds what they lead to.
func (f Files) Names() []string {
	out := make([]string, 0, len(f))
	for name := range f {
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int {
		if (a == Entrance) != (b == Entrance) {
			if a == Entrance {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	return out
}

// Entrance is the file that a site is entered by.
const Entrance = "index.html"

// Hosts sends each site to the host for its kind of target.
type Hosts struct{ Directory, Repository, Address Host }

// Publish hands over to the host of the target's kind.
func (h Hosts) Publish(ctx context.Context, t Target, f Files) (Receipt, error) {
	host := h.Address
	switch {
	case t.Directory != "":
		host = h.Directory
	case t.Repository != "":
		host = h.Repository
	}
	if host == nil {
		return Receipt{}, problem.New(problem.Invalid, "site.publish", "this server cannot publish there")
	}
	return host.Publish(ctx, t, f)
}
