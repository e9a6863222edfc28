package git

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// Files implements repository.Repository.
func (r *Repository) Files(ctx context.Context, q repository.Query) (map[string][]byte, error) {
	q.Dir = strings.Trim(path.Clean("/"+q.Dir), "/")
	if q.Dir != "" && !fs.ValidPath(q.Dir) {
		return nil, problem.New(problem.Invalid, "repository.files", "%q is not a directory of a repository", q.Dir)
	}
	b := bounds{files: q.MaxFiles, bytes: q.MaxBytes}
	if b.files <= 0 {
		b.files = repository.MaxFiles
	}
	if b.bytes <= 0 {
		b.bytes = repository.MaxBytes
	}
	if q.Ref == repository.WorkTree {
		return r.workFiles(ctx, q, b)
	}
	return r.commitFiles(ctx, q, b)
}

func (r *Repository) commitFiles(ctx context.Context, q repository.Query, b bounds) (map[string][]byte, error) {
	sha, err := r.sha(ctx, q.Ref)
	if err != nil {
		return nil, err
	}
	b.keep = func(e entry) bool {
		return e.regular() && (q.Match == nil || q.Match(path.Join(q.Dir, e.path)))
	}
	entries, err := r.list(ctx, sha, q.Dir, b)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(entries))
	err = r.contents(ctx, entries, func(e entry, content io.Reader) error {
		data := make([]byte, e.size)
		if _, err := io.ReadFull(content, data); err != nil {
			return err
		}
		files[path.Join(q.Dir, e.path)] = data
		return nil
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// workFiles reads the work tree: what git ls-files lists as tracked or neither
// tracked nor ignored, as it is on disk.
func (r *Repository) workFiles(ctx context.Context, q repository.Query, b bounds) (map[string][]byte, error) {
	const op = "repository.files"
	if r.work == "" {
		return nil, problem.New(problem.Invalid, op, "%s is bare: it has no work tree", r.gitDir).
			WithNext("name a commit or branch")
	}
	root, err := os.OpenRoot(r.work)
	if err != nil {
		return nil, problem.New(problem.Unavailable, op, "%w", err)
	}
	defer root.Close()
	if q.Dir != "" {
		if info, err := root.Stat(q.Dir); err != nil || !info.IsDir() {
			return nil, problem.New(problem.NotFound, op, "the work tree has no directory %s", q.Dir)
		}
	}
	files := map[string][]byte{}
	var left = b.bytes
	args := r.args("--work-tree="+r.work, "ls-files", "-z", "--full-name", "--cached", "--others", "--exclude-standard", "--", path.Join(".", q.Dir))
	err = stream(ctx, r.work, nil, args, func(out io.Reader) error {
		sc := bufio.NewScanner(out)
		sc.Split(splitNUL)
		for sc.Scan() {
			name := sc.Text()
			// An unmerged file is listed once per side; "dir/" is a repository within.
			if _, seen := files[name]; seen || !safePath(name) || q.Match != nil && !q.Match(name) {
				continue
			}
			data, ok, err := readRegular(root, name, left)
			if err != nil {
				return err
			} else if !ok {
				continue
			}
			left -= int64(len(data))
			files[name] = data
			if left < 0 || len(files) > b.files {
				return tooLarge(repository.WorkTree, b)
			}
		}
		return sc.Err()
	})
	if err != nil {
		return nil, r.explain(op, err)
	}
	return files, nil
}

// readRegular reads at most limit bytes and one more of a regular file. ok is
// false for links and files that are gone.
func readRegular(root *os.Root, name string, limit int64) (data []byte, ok bool, err error) {
	info, err := root.Lstat(name)
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, false, nil
	}
	var f *os.File
	if err == nil {
		f, err = root.Open(name)
	}
	if err != nil {
		return nil, false, problem.New(problem.Unavailable, "repository.files", "%w", err)
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	return data, err == nil, err
}
