// Package repository is the port to a version-controlled source: which commits
// there are, what they changed, and what they contain.
//
// Flyball reads two things from a repository: the changes it delivers and the
// resource files that say what is wanted. It never writes to one. Every
// implementation passes the suite in repositorytest; adapter/git is the one
// that runs the git program.
//
// Nothing in a repository is trusted. Reading one runs no program it names
// (hooks, filters, diff drivers, helpers), reaches no network, and is bounded
// in bytes and files.
package repository

import (
	"context"
	"errors"
	"time"
)

// WorkTree names, in place of a commit, the files as they lie on disk now:
// tracked or not, but not ignored. Only [Repository.Files] takes it.
const WorkTree = "WORKTREE"

// Bounds that hold where a caller sets none.
const (
	MaxCommits    = 10_000      // commits in one History
	MaxFiles      = 10_000      // files in one answer of Files
	MaxBytes      = 64 << 20    // bytes in one answer of Files, all files together
	MaxDiffPaths  = 10_000      // paths named in one Stat
	CheckoutFiles = 500_000     // files in one checkout
	CheckoutBytes = 8_000 << 20 // bytes in one checkout
)

// What a repository may lack. Each error that means one of these wraps it.
var (
	// ErrEmpty: the repository has no commit yet. Kind notfound.
	ErrEmpty = errors.New("the repository has no commits yet")
	// ErrUnknown: the ref or commit does not exist, or no longer does after a
	// force-push and its pruning. Kind notfound.
	ErrUnknown = errors.New("no such commit")
	// ErrShallow: the history is cut before the point the answer needs, as in
	// a shallow clone. Kind unavailable.
	ErrShallow = errors.New("the history is cut off here (a shallow clone)")
	// ErrTooLarge: more files or bytes than the bound. Kind invalid.
	ErrTooLarge = errors.New("larger than allowed")
)

// Repository is one source repository, read only. Implementations are safe for
// concurrent use. Methods return early when ctx ends.
//
// A ref is a branch, tag, full ref name (refs/heads/main) or commit id,
// optionally followed by ~n and ^n steps. A tag wins over a branch of the same
// name; full names leave no doubt. Commits in answers are always full ids.
type Repository interface {
	// Resolve is the commit a ref names now.
	Resolve(ctx context.Context, ref string) (Commit, error)

	// Log is the commits of a range, newest first, no parent before its child.
	Log(ctx context.Context, r Range) (History, error)

	// Checkout writes the files of a commit into dir, which must be absent or
	// an empty directory, whole or not at all. There is no .git in it. Content
	// is byte for byte the commit's (no line-ending or filter conversion, large
	// file pointers stay pointers), modes are 0644 or 0755, symbolic links are
	// written as they are, submodules become empty directories, and every
	// file's modification time is the commit's.
	Checkout(ctx context.Context, ref, dir string) error

	// Files is the content of the regular files below a directory at a commit
	// or in the work tree, keyed by slash-separated path from the root of the
	// repository. Links and submodules are left out. Above the query's bounds
	// it fails with ErrTooLarge rather than leave something out.
	Files(ctx context.Context, q Query) (map[string][]byte, error)

	// Diff counts what differs between two commits. An empty from compares
	// with nothing, so that all of to counts as added.
	Diff(ctx context.Context, from, to string) (Stat, error)

	// Contains reports whether ancestor is commit itself or in its history. It
	// fails with ErrShallow when a cut history leaves the answer open.
	Contains(ctx context.Context, commit, ancestor string) (bool, error)
}

// Commit is one commit. Texts are valid UTF-8: bytes that were not are replaced
// by U+FFFD. A time that cannot be read is zero.
type Commit struct {
	SHA         string    `json:"sha"`
	Parents     []string  `json:"parents,omitempty"` // the first is the branch merged into
	Author      string    `json:"author"`
	AuthorEmail string    `json:"author_email"`
	AuthorTime  time.Time `json:"author_time"`    // when it was written; survives a rebase
	Time        time.Time `json:"committer_time"` // when it came to be as it is
	Subject     string    `json:"subject"`        // first paragraph, on one line
	Body        string    `json:"body,omitempty"` // the rest, trailers included
	Trailers    []Trailer `json:"trailers,omitempty"`
	PatchID     string    `json:"patch_id,omitempty"` // see Range.PatchIDs
}

// Merge reports whether the commit joins several histories.
func (c Commit) Merge() bool { return len(c.Parents) > 1 }

// Trailer is one "Key: value" line at the end of a commit message.
type Trailer struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Range says which commits Log lists: those in the history of To that are not
// in the history of From (git's From..To).
type Range struct {
	From        string // empty: all of To's history
	To          string
	Limit       int  // most commits to list; 0 is MaxCommits
	FirstParent bool // follow only first parents: merges, not what they brought
	// PatchIDs fills Commit.PatchID, which is equal for two commits that make
	// the same change (git patch-id --stable): a cherry-pick, a rebase. Merges
	// and empty commits have none. It costs a diff per commit.
	PatchIDs bool
}

// History is an answer of Log.
type History struct {
	Commits   []Commit `json:"commits"`
	Truncated bool     `json:"truncated,omitempty"` // there are more than the limit
	Shallow   bool     `json:"shallow,omitempty"`   // the history is cut at one of these commits
}

// Query says which files Files reads.
type Query struct {
	Ref      string                 // a ref, or WorkTree
	Dir      string                 // slash-separated, from the root of the repository; empty is all
	Match    func(path string) bool // keep this path? nil keeps all
	MaxFiles int                    // files kept; 0 is the constant MaxFiles
	MaxBytes int64                  // bytes kept; 0 is the constant MaxBytes
}

// Stat is how much differs between two commits. A binary file counts as a file
// without lines; a renamed file counts once, under its new path.
type Stat struct {
	Files     int        `json:"files"`
	Added     int        `json:"added"`   // lines
	Deleted   int        `json:"deleted"` // lines
	Paths     []PathStat `json:"paths,omitempty"`
	Truncated bool       `json:"truncated,omitempty"` // Paths stops at MaxDiffPaths; the counts do not
}

// PathStat is the part of a Stat that one file has.
type PathStat struct {
	Path    string `json:"path"`
	From    string `json:"from,omitempty"` // its path before, when renamed
	Added   int    `json:"added"`
	Deleted int    `json:"deleted"`
	Binary  bool   `json:"binary,omitempty"`
}
