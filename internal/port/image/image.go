// Package image is the port to where artifacts are kept: OCI images named by
// the digest of their manifest.
//
// An artifact is built once and never changed: what passed the tests is, byte
// for byte, what runs. Put makes an image of the files a build left; the same
// files, settings and commit always give the same digest, on any machine.
// Unpack puts its root back on disk. Every implementation passes the suite in
// imagetest; adapter/ocilayout keeps images in a directory.
//
// The formats are the OCI image specification's, version 1.1: manifest,
// configuration, layers and the org.opencontainers.image annotations.
package image

import (
	"context"
	"errors"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Bounds that hold where a caller sets none.
const (
	MaxBytes = 4 << 30 // content of one image, unpacked
	MaxFiles = 200_000 // files, directories and links of one image
)

// Marker is the file that Unpack leaves in the root, holding the digest. No
// image may contain a file of that name there.
const Marker = ".flyball-image"

// ErrCorrupt: content does not match the digest it is kept under.
var ErrCorrupt = errors.New("content does not match its digest")

// Store keeps images. Implementations are safe for concurrent use, by several
// processes where the medium allows it. Digests are "sha256:" and 64 hex
// digits. Errors are problems: invalid for a bad argument or an image that
// breaks a bound, notfound for a digest that is not there, conflict for a
// directory in the way, unavailable when the medium fails, and internal, with
// ErrCorrupt in the chain, for content that does not match its digest.
type Store interface {
	// Put makes an image of files and keeps it. Durable on return; an image
	// that is there already is returned as it is.
	Put(ctx context.Context, s Spec) (Image, error)
	// Get describes an image, with its manifest and configuration verified.
	Get(ctx context.Context, digest string) (Image, error)
	// List describes all images, newest first by Created, then by digest.
	List(ctx context.Context) ([]Image, error)
	// Unpack writes an image's root into dir, whole or not at all, every byte
	// verified first. A dir that an earlier Unpack of the same digest made is
	// left as it is; anything else there, but an empty directory, is a conflict.
	Unpack(ctx context.Context, digest, dir string) error
	// Remove forgets an image; the space comes back with the next Collect.
	Remove(ctx context.Context, digest string) error
	// Collect deletes content that no image needs, including what crashed
	// writers left, and reports the bytes freed.
	Collect(ctx context.Context) (freed int64, err error)
}

// Spec says what an image is made of.
type Spec struct {
	Name    string            // what it is an artifact of, such as checkout
	Dir     string            // directory with the files
	Files   []string          // which of them: see Compile
	Command []string          // program and arguments
	Env     map[string]string // environment
	Labels  map[string]string
	Commit  string    // source commit
	Source  string    // where the source is, an address or path
	Created time.Time // the commit's time, so that rebuilding changes nothing
	// Platform is os/architecture; empty is this machine's.
	Platform string
}

// Image describes one image.
type Image struct {
	Digest   string            `json:"digest"`
	Name     string            `json:"name"`
	Size     int64             `json:"size"` // bytes of all content, packed
	Platform string            `json:"platform"`
	Command  []string          `json:"command,omitempty"`
	Env      map[string]string `json:"env,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Commit   string            `json:"commit"`
	Source   string            `json:"source,omitempty"`
	Created  time.Time         `json:"created"`
}

// Ref is the image by name and digest, such as checkout@sha256:5c1….
func (i Image) Ref() string { return i.Name + "@" + i.Digest }

var (
	digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	namePattern   = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$`)
)

// ValidateDigest says what is wrong with a digest, or nil.
func ValidateDigest(digest string) error {
	if !digestPattern.MatchString(digest) {
		return problem.New(problem.Invalid, "image", "%.90q is not a digest; it is written sha256: and 64 hex digits", digest)
	}
	return nil
}

// Validate says what is wrong with a Spec, or nil.
func (s Spec) Validate() error {
	fail := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "image.put", format, args...)
	}
	switch {
	case len(s.Name) > 128 || !namePattern.MatchString(s.Name):
		return fail("%.80q is not an image name; use lower case letters, digits and single . _ - / between them", s.Name)
	case s.Dir == "":
		return fail("the directory of the files is missing")
	case s.Commit == "":
		return fail("the source commit is missing")
	case s.Created.IsZero():
		return fail("the time of the commit is missing")
	case s.Created.Year() < 1970 || s.Created.Year() > 9999:
		return fail("created is in the year %d", s.Created.Year())
	case len(s.Files) == 0:
		return fail("no files are named; name what the build leaves that is needed to run, such as bin/%s", path.Base(s.Name))
	}
	if s.Platform != "" && strings.Count(s.Platform, "/") != 1 {
		return fail("platform %q is not written os/architecture", s.Platform)
	}
	for k := range s.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			return fail("%q cannot be the name of an environment variable", k)
		}
	}
	return nil
}
