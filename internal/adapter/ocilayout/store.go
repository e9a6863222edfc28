package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
)

// The annotations of the OCI image specification that Flyball writes.
const (
	annotationRevision = "org.opencontainers.image.revision"
	annotationSource   = "org.opencontainers.image.source"
	annotationCreated  = "org.opencontainers.image.created"
	annotationTitle    = "org.opencontainers.image.title"
	annotationRefName  = "org.opencontainers.image.ref.name"
)

const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

// Store is an OCI image layout in a directory. It implements image.Store and
// may be opened by several processes at once.
type Store struct {
	dir    string
	limits Limits
}

// Limits bound one image.
type Limits struct {
	Bytes int64 // content unpacked; 0 is image.MaxBytes
	Files int   // files, directories and links; 0 is image.MaxFiles
}

var _ image.Store = (*Store)(nil)

// Open opens the layout in dir, making it if there is none.
func Open(dir string, limits Limits) (*Store, error) {
	if limits.Bytes <= 0 {
		limits.Bytes = image.MaxBytes
	}
	if limits.Files <= 0 {
		limits.Files = image.MaxFiles
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, failed("image.open", err)
	}
	s := &Store{dir: abs, limits: limits}
	for _, sub := range []string{"incoming", "blobs/sha256"} {
		if err := os.MkdirAll(filepath.Join(abs, sub), 0o755); err != nil {
			return nil, failed("image.open", err)
		}
	}
	return s, s.locked(s.initialise)
}

func (s *Store) initialise() error {
	data, err := os.ReadFile(filepath.Join(s.dir, "oci-layout"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(s.dir, "index.json")); errors.Is(err, os.ErrNotExist) {
			if err := s.writeIndex(&v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}); err != nil {
				return err
			}
		}
		return failed("image.open", s.replace("oci-layout", []byte(layoutVersion)))
	}
	if err != nil {
		return failed("image.open", err)
	}
	var layout struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(data, &layout); err != nil || layout.Version != "1.0.0" {
		return problem.New(problem.Invalid, "image.open", "%s holds an image layout of version %.20q; 1.0.0 is supported", s.dir, layout.Version)
	}
	_, err = s.readIndex()
	return err
}

func (s *Store) readIndex() (*v1.IndexManifest, error) {
	f, err := os.Open(filepath.Join(s.dir, "index.json"))
	if err != nil {
		return nil, failed("image", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return nil, failed("image", err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, problem.New(problem.Internal, "image", "%s is damaged: %w", f.Name(), err).
			WithNext("restore it from a copy; the images themselves are in blobs/sha256")
	}
	return &index, nil
}

func (s *Store) writeIndex(index *v1.IndexManifest) error {
	if index.Manifests == nil {
		index.Manifests = []v1.Descriptor{}
	}
	data, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return failed("image", s.replace("index.json", data))
}

// find is the index entry of a digest.
func (s *Store) find(digest string) (v1.Descriptor, error) {
	if err := image.ValidateDigest(digest); err != nil {
		return v1.Descriptor{}, err
	}
	index, err := s.readIndex()
	if err != nil {
		return v1.Descriptor{}, err
	}
	i := indexOf(index, digest)
	if i < 0 {
		return v1.Descriptor{}, problem.New(problem.NotFound, "image", "there is no image %s", digest).
			WithNext("flyball artifact list shows what there is")
	}
	return index.Manifests[i], nil
}

func indexOf(index *v1.IndexManifest, digest string) int {
	return slices.IndexFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Digest.String() == digest })
}

// Get implements image.Store.
func (s *Store) Get(_ context.Context, digest string) (image.Image, error) {
	d, err := s.find(digest)
	if err != nil {
		return image.Image{}, err
	}
	m, c, err := s.load(d)
	if err != nil {
		return image.Image{}, err
	}
	return describe(d, m, c), nil
}

// load reads and verifies an image's manifest and configuration.
func (s *Store) load(d v1.Descriptor) (*v1.Manifest, *v1.ConfigFile, error) {
	data, err := s.read(d)
	if err != nil {
		return nil, nil, err
	}
	var m v1.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, nil, problem.New(problem.Invalid, "image", "manifest %s: %w", d.Digest, err)
	}
	if err := image.ValidateDigest(m.Config.Digest.String()); err != nil {
		return nil, nil, err
	}
	data, err = s.read(m.Config)
	if err != nil {
		return nil, nil, err
	}
	var c v1.ConfigFile
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, nil, problem.New(problem.Invalid, "image", "configuration %s: %w", m.Config.Digest, err)
	}
	return &m, &c, nil
}

func describe(d v1.Descriptor, m *v1.Manifest, c *v1.ConfigFile) image.Image {
	img := image.Image{
		Digest:   d.Digest.String(),
		Name:     m.Annotations[annotationTitle],
		Size:     d.Size + m.Config.Size,
		Platform: c.OS + "/" + c.Architecture,
		Command:  slices.Concat(c.Config.Entrypoint, c.Config.Cmd),
		Commit:   m.Annotations[annotationRevision],
		Source:   m.Annotations[annotationSource],
		Created:  c.Created.UTC(),
	}
	for _, l := range m.Layers {
		img.Size += l.Size
	}
	for _, e := range c.Config.Env {
		if img.Env == nil {
			img.Env = map[string]string{}
		}
		k, v, _ := strings.Cut(e, "=")
		img.Env[k] = v
	}
	for k, v := range c.Config.Labels {
		if strings.HasPrefix(k, "org.opencontainers.image.") {
			continue
		}
		if img.Labels == nil {
			img.Labels = map[string]string{}
		}
		img.Labels[k] = v
	}
	return img
}

// List implements image.Store.
func (s *Store) List(ctx context.Context) ([]image.Image, error) {
	index, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	out := make([]image.Image, 0, len(index.Manifests))
	for _, d := range index.Manifests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, c, err := s.load(d)
		if err != nil {
			return nil, err
		}
		out = append(out, describe(d, m, c))
	}
	slices.SortFunc(out, func(a, b image.Image) int {
		if n := b.Created.Compare(a.Created); n != 0 {
			return n
		}
		return strings.Compare(a.Digest, b.Digest)
	})
	return out, nil
}

// Remove implements image.Store.
func (s *Store) Remove(_ context.Context, digest string) error {
	return s.locked(func() error {
		if _, err := s.find(digest); err != nil {
			return err
		}
		index, err := s.readIndex()
		if err != nil {
			return err
		}
		i := indexOf(index, digest)
		index.Manifests = slices.Delete(index.Manifests, i, i+1)
		return s.writeIndex(index)
	})
}

// Collect implements image.Store. Content of an image that cannot be read is
// kept: nothing is deleted while it is unclear what is needed.
func (s *Store) Collect(ctx context.Context) (freed int64, err error) {
	err = s.locked(func() error {
		needed, err := s.needed()
		if err != nil {
			return err
		}
		blobs := filepath.Join(s.dir, "blobs/sha256")
		n, err := sweep(ctx, blobs, func(name string) bool { return needed[name] })
		freed += n
		if err != nil {
			return err
		}
		left := filepath.Join(s.dir, "incoming")
		n, err = sweep(ctx, left, func(name string) bool { return inUse(filepath.Join(left, name)) })
		freed += n
		return err
	})
	return freed, err
}

// needed is the hex digests of all content that images consist of.
func (s *Store) needed() (map[string]bool, error) {
	index, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, d := range index.Manifests {
		m, _, err := s.load(d)
		if err != nil {
			return nil, err
		}
		needed[d.Digest.Hex] = true
		needed[m.Config.Digest.Hex] = true
		for _, l := range m.Layers {
			needed[l.Digest.Hex] = true
		}
	}
	return needed, nil
}

// sweep deletes the files of a directory that are not to be kept.
func sweep(ctx context.Context, dir string, keep func(name string) bool) (freed int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, failed("image.collect", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || keep(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return freed, failed("image.collect", err)
		}
		freed += info.Size()
	}
	return freed, nil
}

// inUse reports whether a writer holds its lock on an incoming file.
func inUse(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) != nil
}
