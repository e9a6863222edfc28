package site

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// Marker is the file that says that a directory is written by Flyball.
const Marker = ".flyball-site"

var markerText = []byte("This folder is written by Flyball as a whole; what else is put here is removed.\n")

// Directory publishes to directories. Its zero value is ready.
type Directory struct{}

// Publish writes a site to t.Directory.
func (Directory) Publish(ctx context.Context, t site.Target, f site.Files) (site.Receipt, error) {
	r := site.Receipt{Files: len(f)}
	if err := site.Check(f); err != nil {
		return r, err
	}
	if !filepath.IsAbs(t.Directory) || filepath.Clean(t.Directory) == "/" {
		return r, problem.New(problem.Invalid, "site.publish", "%q is no absolute path of a directory", t.Directory)
	}
	dir := filepath.Clean(t.Directory)
	before, err := ours(dir)
	if err != nil {
		return r, err
	}
	r.Written, r.Removed = compare(before, f)
	if r.Written+r.Removed == 0 {
		return r, nil
	}
	if err := ctx.Err(); err != nil {
		return r, err
	}
	err = swap(dir, f)
	if err != nil {
		err = replace(dir, before, f)
	}
	if err != nil {
		return r, problem.New(problem.Unavailable, "site.publish", "%w", err)
	}
	return r, nil
}

// ours reads a directory that was published before; none is an empty site.
func ours(dir string) (site.Files, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return site.Files{}, nil
	case err != nil:
		return nil, problem.New(problem.Unavailable, "site.publish", "%w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, Marker)); err != nil {
		return nil, problem.New(problem.Conflict, "site.publish", "%s holds files that were not published here, and would be removed", dir).
			WithNext("name a directory of its own, or empty it")
	}
	out := site.Files{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == Marker {
			return err
		}
		if !d.Type().IsRegular() {
			out[filepath.ToSlash(name)] = nil // to be removed
			return nil
		}
		out[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, problem.New(problem.Unavailable, "site.publish", "%w", err)
	}
	return out, nil
}

// compare counts the files that differ and those that are no more.
func compare(before, after site.Files) (written, removed int) {
	for name, data := range after {
		if old, ok := before[name]; !ok || !bytes.Equal(old, data) {
			written++
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			removed++
		}
	}
	return written, removed
}

// swap writes the whole tree beside the directory and exchanges the two.
func swap(dir string, f site.Files) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".flyball-site-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for _, name := range f.Names() {
		if err := write(filepath.Join(tmp, filepath.FromSlash(name)), f[name]); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(tmp, Marker), markerText); err != nil {
		return err
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(tmp, dir)
	}
	return exchange(tmp, dir)
}

// replace writes each file anew in place, the entrance last, and then removes
// what is no more.
func replace(dir string, before, after site.Files) error {
	if err := write(filepath.Join(dir, Marker), markerText); err != nil {
		return err
	}
	for _, name := range after.Names() {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if old, ok := before[name]; ok && old != nil && bytes.Equal(old, after[name]) {
			continue
		}
		if err := write(path, after[name]); err != nil {
			return err
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// write puts a file in place whole: readers see the old one or the new one.
func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".flyball-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
