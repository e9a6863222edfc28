package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// Repository is a git repository on this machine. It implements
// repository.Repository.
type Repository struct {
	gitDir string // absolute
	work   string // absolute root of the work tree, empty if bare
}

var _ repository.Repository = (*Repository)(nil)

// Open finds the repository that dir is in, or that dir is if it is bare.
// The error is of kind notfound if there is none.
func Open(ctx context.Context, dir string) (*Repository, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, problem.New(problem.NotFound, "repository.open", "%s is not a directory", dir)
	}
	out, err := answer(ctx, dir, "rev-parse", "--absolute-git-dir", "--is-bare-repository")
	if err != nil {
		var f *failure
		if !errors.As(err, &f) {
			return nil, err
		}
		return nil, problem.New(problem.NotFound, "repository.open", "%s is not in a git repository: %w", dir, err).
			WithNext("run git init there, or name the directory of a repository")
	}
	gitDir, bare, _ := strings.Cut(strings.TrimRight(string(out), "\n"), "\n")
	r := &Repository{gitDir: gitDir}
	if bare == "true" {
		return r, nil
	}
	out, err = answer(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return r, nil // inside .git: there is a repository, but no work tree here
	}
	r.work = strings.TrimRight(string(out), "\n")
	return r, nil
}

// GitDir is the absolute path of the repository's own directory (.git).
func (r *Repository) GitDir() string { return r.gitDir }

// Root is the absolute path of the work tree, empty if the repository is bare.
func (r *Repository) Root() string { return r.work }

// Name is a name for the repository: that of its directory, without .git.
func (r *Repository) Name() string {
	dir := r.work
	if dir == "" {
		dir = r.gitDir
	}
	return strings.TrimSuffix(filepath.Base(dir), ".git")
}

// args puts the repository before a git command.
func (r *Repository) args(args ...string) []string {
	return append([]string{"--git-dir=" + r.gitDir}, args...)
}

func (r *Repository) answer(ctx context.Context, args ...string) ([]byte, error) {
	return answer(ctx, r.gitDir, r.args(args...)...)
}

// refSyntax admits names and ids with ~n and ^n steps. Git's richer forms
// (":/text", "a..b", "@{upstream}") are searches, ranges or local memory.
var refSyntax = regexp.MustCompile(`^[^\x00-\x20\x7f:?*\[\]\\{}~^]+([~^][0-9]*)*$`)

// Resolve implements repository.Repository.
func (r *Repository) Resolve(ctx context.Context, ref string) (repository.Commit, error) {
	sha, err := r.sha(ctx, ref)
	if err != nil {
		return repository.Commit{}, err
	}
	h, err := r.log(ctx, []string{"--no-walk", sha}, 1)
	if err != nil {
		return repository.Commit{}, err
	}
	if len(h) != 1 {
		return repository.Commit{}, problem.New(problem.Internal, "repository.resolve", "git log of %s answers with %d commits", sha, len(h))
	}
	return h[0], nil
}

// sha is the full id of the commit a ref names.
func (r *Repository) sha(ctx context.Context, ref string) (string, error) {
	const op = "repository.resolve"
	if ref == repository.WorkTree {
		return "", problem.New(problem.Invalid, op, "%s is not a commit", ref).
			WithNext("commit the work tree and name the commit")
	}
	if len(ref) > 1024 || !refSyntax.MatchString(ref) || strings.Contains(ref, "..") {
		return "", problem.New(problem.Invalid, op, "%.80q is not a branch, tag or commit id", ref)
	}
	out, err := r.answer(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	var f *failure
	if !errors.As(err, &f) {
		return "", err
	}
	empty, eerr := r.empty(ctx)
	if eerr != nil {
		return "", eerr
	}
	if empty {
		return "", problem.New(problem.NotFound, op, "%s: %w", ref, repository.ErrEmpty).
			WithNext("commit something, then push again")
	}
	return "", problem.New(problem.NotFound, op, "%s: %w", ref, repository.ErrUnknown).
		WithNext("check the name with git branch --all; after a force-push the old commit may be gone")
}

// empty reports whether no ref leads to any commit.
func (r *Repository) empty(ctx context.Context) (bool, error) {
	out, err := r.answer(ctx, "rev-list", "--all", "--max-count=1")
	if err != nil || len(out) > 0 {
		return false, err
	}
	// A detached HEAD may be all there is.
	_, err = r.answer(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	var f *failure
	if errors.As(err, &f) {
		return true, nil
	}
	return false, err
}

// Contains implements repository.Repository.
func (r *Repository) Contains(ctx context.Context, commit, ancestor string) (bool, error) {
	c, err := r.sha(ctx, commit)
	if err != nil {
		return false, err
	}
	a, err := r.sha(ctx, ancestor)
	if err != nil {
		return false, err
	}
	_, err = r.answer(ctx, "merge-base", "--is-ancestor", a, c)
	if err == nil {
		return true, nil
	}
	var f *failure
	if !errors.As(err, &f) || f.code != 1 {
		return false, r.explain("repository.contains", err)
	}
	cut, err := r.shallow(ctx)
	if err != nil {
		return false, err
	}
	if len(cut) > 0 {
		return false, problem.New(problem.Unavailable, "repository.contains", "whether %s contains %s: %w", commit, ancestor, repository.ErrShallow).
			WithNext("git fetch --unshallow")
	}
	return false, nil
}

// shallow is the set of commits whose parents were left out.
func (r *Repository) shallow(ctx context.Context) (map[string]bool, error) {
	out, err := r.answer(ctx, "rev-parse", "--git-path", "shallow")
	if err != nil {
		return nil, r.explain("repository", err)
	}
	path := strings.TrimSpace(string(out))
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.gitDir, path)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, problem.New(problem.Unavailable, "repository", "%w", err)
	}
	cut := map[string]bool{}
	for _, sha := range strings.Fields(string(data)) {
		cut[sha] = true
	}
	return cut, nil
}

// explain turns a git failure after refs were resolved into a problem: objects
// are missing or damaged.
func (r *Repository) explain(op string, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	return problem.New(problem.Unavailable, op, "%s cannot be read: %w", r.gitDir, err).
		WithNext("git fsck tells what is missing; a partial clone needs its objects fetched first")
}
