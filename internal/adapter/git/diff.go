package git

import (
	"bufio"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// Diff implements repository.Repository.
func (r *Repository) Diff(ctx context.Context, from, to string) (repository.Stat, error) {
	new, err := r.sha(ctx, to)
	if err != nil {
		return repository.Stat{}, err
	}
	old, err := r.emptyTree(ctx)
	if from != "" {
		old, err = r.sha(ctx, from)
	}
	if err != nil {
		return repository.Stat{}, err
	}
	args := r.args("diff-tree", "-r", "-z", "--numstat", "-M", "-l1000",
		"--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none", old, new, "--")
	var stat repository.Stat
	err = stream(ctx, r.gitDir, nil, args, func(out io.Reader) (err error) {
		stat, err = readNumstat(out)
		return err
	})
	if err != nil {
		return repository.Stat{}, r.explain("repository.diff", err)
	}
	return stat, nil
}

// emptyTree is the id of the tree without entries, which git knows without
// storing it; it depends on the repository's hash.
func (r *Repository) emptyTree(ctx context.Context) (string, error) {
	out, err := r.answer(ctx, "hash-object", "-t", "tree", "/dev/null")
	if err != nil {
		return "", r.explain("repository.diff", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// readNumstat parses "added TAB deleted TAB path NUL"; a rename has an empty
// path and then both paths, each with its NUL.
func readNumstat(out io.Reader) (repository.Stat, error) {
	var s repository.Stat
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, maxMessage)
	sc.Split(splitNUL)
	for sc.Scan() {
		part := strings.SplitN(sc.Text(), "\t", 3)
		if len(part) != 3 {
			return s, problem.New(problem.Internal, "repository.diff", "git diff-tree answers %.80q", sc.Text())
		}
		p := repository.PathStat{Path: part[2], Binary: part[0] == "-"}
		p.Added, _ = strconv.Atoi(part[0]) // "-" for a binary file: no lines
		p.Deleted, _ = strconv.Atoi(part[1])
		if p.Path == "" {
			sc.Scan()
			p.From = clean(sc.Text())
			sc.Scan()
			p.Path = sc.Text()
		}
		p.Path = clean(p.Path)
		s.Files++
		s.Added += p.Added
		s.Deleted += p.Deleted
		if len(s.Paths) < repository.MaxDiffPaths {
			s.Paths = append(s.Paths, p)
		} else {
			s.Truncated = true
		}
	}
	return s, sc.Err()
}
