package ocilayout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
)

// maxJSON bounds manifests, configurations and the index, in bytes.
const maxJSON = 16 << 20

// incoming is content being written. Its file is locked so that Collect can
// tell it from what a crashed writer left.
type incoming struct {
	f    *os.File
	sum  hash.Hash
	size int64
}

func (s *Store) newIncoming() (*incoming, error) {
	for {
		f, err := os.CreateTemp(filepath.Join(s.dir, "incoming"), "blob-*")
		if err != nil {
			return nil, err
		}
		if err := flock(f, syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		// Collect may have taken it for abandoned before the lock was held.
		if _, err := os.Lstat(f.Name()); err == nil {
			return &incoming{f: f, sum: sha256.New()}, nil
		}
		f.Close()
	}
}

func (in *incoming) Write(p []byte) (int, error) {
	n, err := in.f.Write(p)
	in.sum.Write(p[:n])
	in.size += int64(n)
	return n, err
}

// descriptor names what was written so far.
func (in *incoming) descriptor() v1.Descriptor {
	h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(in.sum.Sum(nil))}
	return v1.Descriptor{Digest: h, Size: in.size}
}

// sync makes the content durable, still aside.
func (in *incoming) sync() error {
	return errors.Join(in.f.Chmod(0o644), in.f.Sync())
}

// keep moves synced content to its place. The store's lock must be held, or
// Collect might delete it before an index names it.
func (in *incoming) keep(s *Store) error {
	return os.Rename(in.f.Name(), s.blob(in.descriptor().Digest))
}

// drop ends the writing; without keep the content is gone.
func (in *incoming) drop() {
	os.Remove(in.f.Name())
	in.f.Close()
}

// write makes incoming content of bytes.
func (s *Store) write(data []byte) (*incoming, error) {
	in, err := s.newIncoming()
	if err != nil {
		return nil, err
	}
	if _, err := in.Write(data); err != nil {
		in.drop()
		return nil, err
	}
	return in, nil
}

// blob is the file of a digest.
func (s *Store) blob(h v1.Hash) string {
	return filepath.Join(s.dir, "blobs", h.Algorithm, h.Hex)
}

// read is the verified content of a manifest or configuration.
func (s *Store) read(d v1.Descriptor) ([]byte, error) {
	f, err := os.Open(s.blob(d.Digest))
	if err != nil {
		return nil, lost(d, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return nil, lost(d, err)
	}
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != d.Digest.Hex || d.Size > 0 && d.Size != int64(len(data)) {
		return nil, corrupt(d)
	}
	return data, nil
}

// verify reads a layer through and compares size and digest.
func (s *Store) verify(d v1.Descriptor) error {
	f, err := os.Open(s.blob(d.Digest))
	if err != nil {
		return lost(d, err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, d.Size+1))
	if err != nil {
		return lost(d, err)
	}
	if n != d.Size || hex.EncodeToString(sum.Sum(nil)) != d.Digest.Hex {
		return corrupt(d)
	}
	return nil
}

func corrupt(d v1.Descriptor) error {
	return problem.New(problem.Internal, "image", "%s: %w", d.Digest, image.ErrCorrupt).
		WithNext("remove the image and build the commit again")
}

func lost(d v1.Descriptor, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return problem.New(problem.Internal, "image", "%s: %w: it is missing", d.Digest, image.ErrCorrupt).
			WithNext("remove the image and build the commit again")
	}
	return failed("image", err)
}

// failed is a failure of the disk.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	p := problem.New(problem.Unavailable, op, "%w", err)
	if errors.Is(err, syscall.ENOSPC) {
		return p.WithNext("free space on the disk of the artifacts; flyball artifact collect deletes what no image needs")
	}
	return p
}

// flock takes an advisory lock on a file until it is closed.
func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// locked runs change while holding the store's lock.
func (s *Store) locked(change func() error) error {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return failed("image", err)
	}
	defer f.Close()
	if err := flock(f, syscall.LOCK_EX); err != nil {
		return failed("image", err)
	}
	return change()
}

// replace writes a file so that readers see all of the old or all of the new,
// and syncs it.
func (s *Store) replace(name string, data []byte) error {
	in, err := s.write(data)
	if err != nil {
		return err
	}
	defer in.drop()
	if err := in.sync(); err != nil {
		return err
	}
	if err := os.Rename(in.f.Name(), filepath.Join(s.dir, name)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
