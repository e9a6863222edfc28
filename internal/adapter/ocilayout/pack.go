package ocilayout

import (
	"archive/tar"
	"context"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
)

// file is one thing to pack.
type file struct {
	name   string // slash-separated, from the root
	exec   bool
	size   int64
	target string // of a symbolic link
	dir    bool
}

// selectFiles walks the directory and keeps what the patterns select, with the
// directories above it, sorted by name.
func selectFiles(ctx context.Context, spec image.Spec, limits Limits) ([]file, error) {
	patterns, err := image.Compile(spec.Files)
	if err != nil {
		return nil, err
	}
	w := &walk{selection: patterns.Selection(), limits: limits, files: map[string]file{}, dir: spec.Dir}
	err = filepath.WalkDir(spec.Dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(spec.Dir, p)
		if err != nil || rel == "." {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return filepath.SkipDir
		}
		return w.visit(filepath.ToSlash(rel), d)
	})
	if err != nil {
		if problem.KindOf(err) == problem.Internal && ctx.Err() == nil {
			err = failed("image.put", err)
		}
		return nil, err
	}
	if unused := w.selection.Unused(); unused != "" {
		return nil, problem.New(problem.Invalid, "image.put", "%q selects no file: the build did not make it", unused).
			WithNext("correct files, or the build so that it makes the file")
	}
	out := make([]file, 0, len(w.files))
	for _, f := range w.files {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

type walk struct {
	dir       string
	selection *image.Selection
	limits    Limits
	bytes     int64
	files     map[string]file
}

func (w *walk) visit(name string, d fs.DirEntry) error {
	// A directory that is named itself is kept even when it is empty.
	if !w.selection.Match(name) {
		return nil
	}
	if name == image.Marker {
		return problem.New(problem.Invalid, "image.put", "the name %s is reserved", name)
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	f := file{name: name}
	switch info.Mode().Type() {
	case 0:
		f.exec, f.size = info.Mode()&0o111 != 0, info.Size()
	case fs.ModeDir:
		f.dir = true
	case fs.ModeSymlink:
		if f.target, err = os.Readlink(filepath.Join(w.dir, filepath.FromSlash(name))); err != nil {
			return err
		}
		if !localLink(name, f.target) {
			return problem.New(problem.Invalid, "image.put", "%s links to %q, which is outside of the image", name, f.target).
				WithNext("link to a file within, by a relative path")
		}
	default:
		return problem.New(problem.Invalid, "image.put", "%s is neither a file, a directory nor a link (%s)", name, info.Mode().Type())
	}
	w.files[name] = f
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		w.files[dir] = file{name: dir, dir: true}
	}
	w.bytes += f.size
	return w.limits.check("image.put", len(w.files), w.bytes)
}

func (l Limits) check(op string, files int, bytes int64) error {
	if files > l.Files || bytes > l.Bytes {
		return problem.New(problem.Invalid, op, "an image may hold %d files and %d MiB; this one holds more", l.Files, l.Bytes>>20).
			WithNext("name fewer files, or leave some out with a pattern that begins with !")
	}
	return nil
}

// localLink reports whether a link at name leads to a place within the root.
func localLink(name, target string) bool {
	target = filepath.ToSlash(target)
	if target == "" || path.IsAbs(target) {
		return false
	}
	return filepath.IsLocal(path.Join(path.Dir(name), target)) || path.Join(path.Dir(name), target) == "."
}

// pack writes files as a tar that depends on nothing but their names, contents
// and executable bits, and the time given.
func pack(ctx context.Context, w io.Writer, dir string, files []file, modified time.Time) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return failed("image.put", err)
	}
	defer root.Close()
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := packFile(tw, root, f, modified); err != nil {
			if problem.KindOf(err) == problem.Internal {
				err = failed("image.put", err)
			}
			return err
		}
	}
	return failed("image.put", tw.Close())
}

func packFile(tw *tar.Writer, root *os.Root, f file, modified time.Time) error {
	h := &tar.Header{Name: f.name, Mode: 0o644, ModTime: modified, Typeflag: tar.TypeReg, Size: f.size}
	switch {
	case f.target != "" && !leadsInside(root, f.name):
		return problem.New(problem.Invalid, "image.put", "%s links to a place outside of the image", f.name)
	case f.dir:
		h.Name, h.Typeflag, h.Mode = f.name+"/", tar.TypeDir, 0o755
	case f.target != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.target, 0o777
	case f.exec:
		h.Mode = 0o755
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	in, err := root.Open(f.name)
	if err != nil {
		return err
	}
	defer in.Close()
	n, err := io.Copy(tw, io.LimitReader(in, f.size))
	if err == nil {
		var more [1]byte
		if m, _ := in.Read(more[:]); n != f.size || m > 0 {
			return problem.New(problem.Conflict, "image.put", "%s changed while it was read", f.name).
				WithNext("make sure that the build has ended, then build again")
		}
	}
	return err
}
