package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// entry is one leaf of a commit's tree.
type entry struct {
	mode string // 100644, 100755, 120000 (link) or 160000 (submodule)
	id   string
	size int64 // bytes; 0 for a submodule
	path string
}

const (
	modeExec      = "100755"
	modeLink      = "120000"
	modeSubmodule = "160000"
)

// regular reports whether the entry is a file with content of its own.
func (e entry) regular() bool { return e.mode != modeLink && e.mode != modeSubmodule }

// bounds says how much may be listed.
type bounds struct {
	files int
	bytes int64
	keep  func(entry) bool
}

// list is the leaves below dir in a commit, as paths from dir.
func (r *Repository) list(ctx context.Context, sha, dir string, b bounds) ([]entry, error) {
	tree, err := r.treeAt(ctx, sha, dir)
	if err != nil {
		return nil, err
	}
	var entries []entry
	var bytes int64
	args := r.args("ls-tree", "-r", "-z", "-l", "--full-tree", tree)
	err = stream(ctx, r.gitDir, nil, args, func(out io.Reader) error {
		sc := bufio.NewScanner(out)
		sc.Split(splitNUL)
		for sc.Scan() {
			e, err := parseEntry(sc.Text())
			if err != nil {
				return err
			}
			if !b.keep(e) {
				continue
			}
			entries = append(entries, e)
			bytes += e.size
			if len(entries) > b.files || bytes > b.bytes {
				return tooLarge(sha, b)
			}
		}
		return sc.Err()
	})
	if err != nil {
		return nil, r.explain("repository", err)
	}
	return entries, nil
}

// treeAt is the id of the directory dir in a commit.
func (r *Repository) treeAt(ctx context.Context, sha, dir string) (string, error) {
	if dir == "" {
		return sha, nil
	}
	id, err := r.answer(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", sha+":"+dir)
	var kind []byte
	if err == nil {
		kind, err = r.answer(ctx, "cat-file", "-t", strings.TrimSpace(string(id)))
	}
	var f *failure
	if err != nil && !errors.As(err, &f) {
		return "", err
	}
	if strings.TrimSpace(string(kind)) != "tree" {
		return "", problem.New(problem.NotFound, "repository.files", "commit %.12s has no directory %s", sha, dir)
	}
	return strings.TrimSpace(string(id)), nil
}

func tooLarge(what string, b bounds) error {
	return problem.New(problem.Invalid, "repository", "%.12s: %w: more than %d files or %d MiB", what, repository.ErrTooLarge, b.files, b.bytes>>20)
}

// parseEntry reads "mode type id size TAB path".
func parseEntry(s string) (entry, error) {
	meta, path, ok := strings.Cut(s, "\t")
	f := strings.Fields(meta)
	if !ok || len(f) != 4 {
		return entry{}, problem.New(problem.Internal, "repository", "git ls-tree answers %.80q", s)
	}
	size, _ := strconv.ParseInt(f[3], 10, 64) // "-" for a submodule
	return entry{mode: f[0], id: f[2], size: size, path: path}, nil
}

// contents streams the blobs of entries, in order, through one git cat-file.
// write must read all of content.
func (r *Repository) contents(ctx context.Context, entries []entry, write func(e entry, content io.Reader) error) error {
	var ids strings.Builder
	var want []entry
	for _, e := range entries {
		if e.mode != modeSubmodule {
			ids.WriteString(e.id + "\n")
			want = append(want, e)
		}
	}
	args := r.args("cat-file", "--batch")
	err := stream(ctx, r.gitDir, strings.NewReader(ids.String()), args, func(out io.Reader) error {
		br := bufio.NewReaderSize(out, 64<<10)
		for _, e := range want {
			if err := oneBlob(br, e, write); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return r.explain("repository", err)
	}
	return nil
}

// oneBlob reads "id type size NL content NL".
func oneBlob(br *bufio.Reader, e entry, write func(entry, io.Reader) error) error {
	header, err := br.ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", clean(e.path), err)
	}
	f := strings.Fields(header)
	if len(f) != 3 || f[1] != "blob" || f[2] != strconv.FormatInt(e.size, 10) {
		return problem.New(problem.Unavailable, "repository", "%s: object %s: %.80q", clean(e.path), e.id, strings.TrimSpace(header))
	}
	content := &io.LimitedReader{R: br, N: e.size}
	if err := write(e, content); err != nil {
		return err
	}
	if content.N != 0 {
		return problem.New(problem.Unavailable, "repository", "%s: object %s ends early", clean(e.path), e.id)
	}
	_, err = br.Discard(1)
	return err
}
