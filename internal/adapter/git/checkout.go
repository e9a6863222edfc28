package git

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// Checkout implements repository.Repository. The files are written beside dir
// and renamed into place.
func (r *Repository) Checkout(ctx context.Context, ref, dir string) error {
	const op = "repository.checkout"
	c, err := r.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	if err := vacant(dir); err != nil {
		return err
	}
	b := bounds{files: repository.CheckoutFiles, bytes: repository.CheckoutBytes, keep: func(entry) bool { return true }}
	entries, err := r.list(ctx, c.SHA, "", b)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !safePath(e.path) {
			return problem.New(problem.Invalid, op, "commit %.12s has a path that must not be written: %q", c.SHA, e.path)
		}
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".checkout-*")
	if err != nil {
		return problem.New(problem.Unavailable, op, "%w", err)
	}
	defer os.RemoveAll(tmp)
	if err := r.write(ctx, tmp, entries, c.Time); err != nil {
		if problem.KindOf(err) == problem.Internal && ctx.Err() == nil {
			err = problem.New(problem.Unavailable, op, "commit %.12s: %w", c.SHA, err)
		}
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return problem.New(problem.Unavailable, op, "%w", err)
	}
	os.Remove(dir) // if empty; else the rename reports what is in the way
	if err := os.Rename(tmp, dir); err != nil {
		return problem.New(problem.Conflict, op, "%w", err)
	}
	return nil
}

// vacant makes sure that dir is absent or empty.
func vacant(dir string) error {
	found, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(filepath.Dir(dir), 0o755)
	}
	if err != nil {
		return problem.New(problem.Unavailable, "repository.checkout", "%w", err)
	}
	if len(found) > 0 {
		return problem.New(problem.Conflict, "repository.checkout", "%s is not empty", dir).
			WithNext("name a new directory")
	}
	return nil
}

// safePath refuses what git itself refuses to check out: paths that leave the
// directory or make a repository of it.
func safePath(p string) bool {
	if !filepath.IsLocal(p) || path.Clean(p) != p {
		return false
	}
	for part := range strings.SplitSeq(p, "/") {
		if strings.EqualFold(part, ".git") {
			return false
		}
	}
	return true
}

// write puts entries below dir. Nothing is written outside of dir whatever
// links the commit contains: the file system is reached through an os.Root,
// and links come last.
func (r *Repository) write(ctx context.Context, dir string, entries []entry, modified time.Time) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var files, links []entry
	made := map[string]bool{".": true}
	for _, e := range entries {
		parent := path.Dir(e.path)
		if e.mode == modeSubmodule {
			parent = e.path
		}
		if !made[parent] {
			if err := root.MkdirAll(parent, 0o755); err != nil {
				return err
			}
			made[parent] = true
		}
		switch {
		case e.mode == modeLink:
			links = append(links, e)
		case e.regular():
			files = append(files, e)
		}
	}
	err = r.contents(ctx, files, func(e entry, content io.Reader) error {
		return writeFile(root, e, content, modified)
	})
	if err != nil {
		return err
	}
	return r.contents(ctx, links, func(e entry, content io.Reader) error {
		target, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		return root.Symlink(string(target), e.path)
	})
}

func writeFile(root *os.Root, e entry, content io.Reader, modified time.Time) error {
	mode := os.FileMode(0o644)
	if e.mode == modeExec {
		mode = 0o755
	}
	f, err := root.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil || modified.IsZero() {
		return err
	}
	return root.Chtimes(e.path, modified, modified)
}
