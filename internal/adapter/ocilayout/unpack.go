package ocilayout

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
)

const opUnpack = "image.unpack"

// Unpack implements image.Store.
func (s *Store) Unpack(ctx context.Context, digest, dir string) error {
	d, err := s.find(digest)
	if err != nil {
		return err
	}
	if done, err := unpacked(digest, dir); done || err != nil {
		return err
	}
	m, _, err := s.load(d)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return failed(opUnpack, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-*")
	if err != nil {
		return failed(opUnpack, err)
	}
	defer os.RemoveAll(tmp)
	if err := s.extract(ctx, m, tmp); err != nil {
		return err
	}
	if err := seal(tmp, digest); err != nil {
		return failed(opUnpack, err)
	}
	os.Remove(dir) // if it is empty
	err = os.Rename(tmp, dir)
	if err == nil {
		return nil
	}
	// Another may have been faster.
	if done, uerr := unpacked(digest, dir); done || uerr != nil {
		return uerr
	}
	return failed(opUnpack, err)
}

// seal marks a finished root. All of it is on disk before it gets its name, so
// that what the marker says holds after a power cut too.
func seal(dir, digest string) error {
	err := os.WriteFile(filepath.Join(dir, image.Marker), []byte(digest+"\n"), 0o644)
	return errors.Join(err, os.Chmod(dir, 0o755), syncTree(dir))
}

// unpacked reports whether dir is there and of that digest; it is a conflict
// if something else is there.
func unpacked(digest, dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return false, nil
	}
	if err != nil {
		return false, failed(opUnpack, err)
	}
	mark, err := os.ReadFile(filepath.Join(dir, image.Marker))
	if err == nil && strings.TrimSpace(string(mark)) == digest {
		return true, nil
	}
	return false, problem.New(problem.Conflict, opUnpack, "%s holds something else than %s", dir, digest).
		WithNext("name another directory or remove this one")
}

func (s *Store) extract(ctx context.Context, m *v1.Manifest, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return failed(opUnpack, err)
	}
	defer root.Close()
	x := &extraction{root: root, limits: s.limits}
	for _, layer := range m.Layers {
		if err := image.ValidateDigest(layer.Digest.String()); err != nil {
			return err
		}
		if err := s.verify(layer); err != nil {
			return err
		}
		if err := s.extractLayer(ctx, x, layer); err != nil {
			if problem.KindOf(err) == problem.Internal && ctx.Err() == nil {
				err = failed(opUnpack, err)
			}
			return err
		}
	}
	return x.checkLinks()
}

func (s *Store) extractLayer(ctx context.Context, x *extraction, layer v1.Descriptor) error {
	f, err := os.Open(s.blob(layer.Digest))
	if err != nil {
		return lost(layer, err)
	}
	defer f.Close()
	var in io.Reader = bufio.NewReaderSize(f, 256<<10)
	switch layer.MediaType {
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer:
	case types.OCILayer, types.DockerLayer:
		if in, err = gzip.NewReader(in); err != nil {
			return problem.New(problem.Invalid, opUnpack, "layer %s: %w", layer.Digest, err)
		}
	default:
		return problem.New(problem.Invalid, opUnpack, "layer %s is of type %s; tar and tar+gzip are supported", layer.Digest, layer.MediaType)
	}
	tr := tar.NewReader(in)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return problem.New(problem.Invalid, opUnpack, "layer %s: %w", layer.Digest, err)
		}
		if err := x.entry(h, tr); err != nil {
			return err
		}
	}
}

// extraction writes the entries of an image's layers below one root and
// nowhere else: names and links are checked here, and the file system is
// reached through an os.Root, which refuses what a check overlooks.
type extraction struct {
	root   *os.Root
	limits Limits
	files  int
	bytes  int64
	links  []string
}

// checkLinks follows every link: several that look harmless alone can lead out
// together.
func (x *extraction) checkLinks() error {
	for _, name := range x.links {
		if !leadsInside(x.root, name) {
			return problem.New(problem.Invalid, opUnpack, "entry %.200q links to a place outside of the image", name)
		}
	}
	return nil
}

// leadsInside reports whether a link, followed to its end, stays below root. It
// need not lead to anything.
func leadsInside(root *os.Root, name string) bool {
	_, err := root.Stat(name)
	return err == nil || errors.Is(err, os.ErrNotExist)
}

func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	name := path.Clean(strings.TrimPrefix(h.Name, "./"))
	if name == "." {
		return nil
	}
	refuse := func(why string) error {
		return problem.New(problem.Invalid, opUnpack, "entry %.200q %s", h.Name, why)
	}
	if !filepath.IsLocal(name) || strings.Contains(h.Name, "\x00") {
		return refuse("leads out of the image")
	}
	if strings.HasPrefix(path.Base(name), ".wh.") {
		return refuse("deletes from a lower layer, which is not supported")
	}
	if name == image.Marker {
		return refuse("has a reserved name")
	}
	x.files++
	if err := x.limits.check(opUnpack, x.files, x.bytes); err != nil {
		return err
	}
	if dir := path.Dir(name); dir != "." {
		if err := x.root.MkdirAll(dir, 0o755); err != nil {
			return refuse("cannot be written: " + err.Error())
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		return x.write(name, h, content)
	case tar.TypeSymlink:
		if !localLink(name, h.Linkname) {
			return refuse("links to " + h.Linkname + ", outside of the image")
		}
		x.root.Remove(name)
		x.links = append(x.links, name)
		return x.root.Symlink(h.Linkname, name)
	default:
		return refuse("is neither a file, a directory nor a symbolic link")
	}
}

func (x *extraction) write(name string, h *tar.Header, content io.Reader) error {
	mode := os.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	x.root.Remove(name) // a later layer replaces, and never writes through a link
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	// The header's size is not trusted: what counts is what comes.
	n, err := io.Copy(f, io.LimitReader(content, x.limits.Bytes-x.bytes+1))
	x.bytes += n
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = x.limits.check(opUnpack, x.files, x.bytes)
	}
	if err == nil && h.ModTime.Year() >= 1970 {
		err = x.root.Chtimes(name, h.ModTime, h.ModTime)
	}
	return err
}
