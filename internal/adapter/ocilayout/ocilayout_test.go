package ocilayout_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flyball-dev/flyball/internal/adapter/ocilayout"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
	"github.com/flyball-dev/flyball/internal/port/image/imagetest"
)

func open(t *testing.T, dir string) *ocilayout.Store {
	t.Helper()
	s, err := ocilayout.Open(dir, ocilayout.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	imagetest.Run(t, func(t *testing.T) image.Store { return open(t, t.TempDir()) })
}

// put puts one small image.
func put(t *testing.T, s *ocilayout.Store) image.Image {
	t.Helper()
	dir := imagetest.Tree(t, map[string]string{"bin/server*": strings.Repeat("ELF", 1000), "a": "-> bin/server"})
	img, err := s.Put(context.Background(), imagetest.Spec(dir, "."))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// The digest is part of the contract: it must not change with the machine, the
// Go version or a library.
func TestGoldenDigest(t *testing.T) {
	const want = "sha256:fae52d249116691cebc2ea4cd44d030703eb5d0f94b61137e2c71a85faebabbd"
	if got := put(t, open(t, t.TempDir())).Digest; got != want {
		t.Errorf("digest = %s, want %s", got, want)
	}
}

// Another implementation must find the image valid.
func TestOthersCanRead(t *testing.T) {
	dir := t.TempDir()
	img := put(t, open(t, dir))
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	h, err := v1.NewHash(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	other, err := path.Image(h)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := other.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers = %v, %v", layers, err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	sum, _, err := v1.SHA256(content)
	c, cerr := other.ConfigFile()
	if err != nil || cerr != nil || c.RootFS.DiffIDs[0] != sum || c.OS != "linux" {
		t.Errorf("layer is %v, configuration %+v: %v, %v", sum, c, err, cerr)
	}
	m, err := other.Manifest()
	if err != nil || m.Annotations["org.opencontainers.image.revision"] != img.Commit ||
		m.Annotations["org.opencontainers.image.source"] != img.Source {
		t.Errorf("annotations = %v, %v", m.Annotations, err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	im, err := index.IndexManifest()
	if err != nil || im.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "checkout:3f2a91c04d55" {
		t.Errorf("index = %+v, %v", im, err)
	}
}

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	img := put(t, open(t, dir))
	if got, err := open(t, dir).Get(context.Background(), img.Digest); err != nil || got.Size != img.Size {
		t.Errorf("Get through a second Store = %+v, %v", got, err)
	}
}

// Each file of an image in turn is damaged.
func TestDamage(t *testing.T) {
	ctx := context.Background()
	for _, damage := range []func(file string) error{
		func(file string) error { return os.Remove(file) },
		func(file string) error { return os.Truncate(file, 10) },
		func(file string) error {
			data, err := os.ReadFile(file)
			data[len(data)/2] ^= 1
			return errors.Join(err, os.WriteFile(file, data, 0o644))
		},
	} {
		for i := range 3 {
			dir := t.TempDir()
			s := open(t, dir)
			img := put(t, s)
			blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
			if err != nil || len(blobs) != 3 {
				t.Fatalf("blobs = %v, %v", blobs, err)
			}
			if err := damage(blobs[i]); err != nil {
				t.Fatal(err)
			}
			root := filepath.Join(t.TempDir(), "x")
			if err := s.Unpack(ctx, img.Digest, root); !errors.Is(err, image.ErrCorrupt) {
				t.Errorf("Unpack of damaged %s: %v", blobs[i], err)
			}
			if _, err := os.Stat(root); err == nil {
				t.Error("a damaged image was unpacked")
			}
			// Building the commit again repairs it.
			put(t, s)
			if err := s.Unpack(ctx, img.Digest, root); err != nil {
				t.Errorf("Unpack after building again: %v", err)
			}
		}
	}
}

func TestDamagedIndex(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, dir))
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"manifests":[`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ocilayout.Open(dir, ocilayout.Limits{}); err == nil || !strings.Contains(err.Error(), "index.json is damaged") {
		t.Errorf("Open: %v", err)
	}
}

// What a writer left that died before the index named it goes with Collect.
func TestCrashedWriter(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	img := put(t, s)
	for _, name := range []string{"incoming/blob-1", "blobs/sha256/" + strings.Repeat("a", 64)} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 50), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Collect(context.Background()); err != nil || n != 100 {
		t.Errorf("Collect = %d, %v", n, err)
	}
	if _, err := s.Get(context.Background(), img.Digest); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	ctx := context.Background()
	dir := imagetest.Tree(t, map[string]string{"a": "12345", "b": "67890"})
	for _, l := range []ocilayout.Limits{{Bytes: 9}, {Files: 1}} {
		s, err := ocilayout.Open(t.TempDir(), l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, imagetest.Spec(dir, ".")); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Put beyond %+v: %v", l, err)
		}
	}
}

// plant writes an image of a hand-made layer into a layout, as another tool
// could, and returns its digest.
func plant(t testing.TB, dir string, layer []byte, media types.MediaType) string {
	t.Helper()
	blob := func(data []byte, media types.MediaType) v1.Descriptor {
		sum := sha256.Sum256(data)
		h := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
		if err := os.WriteFile(filepath.Join(dir, "blobs/sha256", h.Hex), data, 0o644); err != nil {
			t.Fatal(err)
		}
		return v1.Descriptor{MediaType: media, Digest: h, Size: int64(len(data))}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{blob(layer, media)},
		Config: blob(encode(v1.ConfigFile{OS: "linux", Architecture: "amd64"}), types.OCIConfigJSON)}
	d := blob(encode(m), types.OCIManifestSchema1)
	index := v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{d}}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), encode(index), 0o644); err != nil {
		t.Fatal(err)
	}
	return d.Digest.String()
}

func tarOf(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func reg(name string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 3, Mode: 0o4777}
}

func link(name, target string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
}

func TestHostileLayers(t *testing.T) {
	for want, headers := range map[string][]*tar.Header{
		"leads out":                     {reg("../x")},
		"leads out of the image":        {reg("/etc/x")},
		"leads out of":                  {reg("a/../../x")},
		"links to /etc":                 {link("a", "/etc")},
		"links to ../..":                {link("a/b", "../../x")},
		`"b" links to a place outside`:  {link("s/t", ".."), link("b", "s/t/../x")},
		"neither a file":                {{Name: "dev", Typeflag: tar.TypeChar}},
		"neither":                       {reg("a"), {Name: "hard", Typeflag: tar.TypeLink, Linkname: "a"}},
		"deletes from a lower layer":    {reg(".wh.a")},
		"reserved name":                 {reg(image.Marker)},
		"cannot be written":             {reg("a"), reg("a/b")},
		`entry "b/c" cannot be written`: {link("s/t", ".."), link("b", "s/t/../x"), reg("b/c")},
		"holds more":                    {{Name: "big", Typeflag: tar.TypeReg, Size: 2000}},
		"4 files":                       {reg("1"), reg("2"), reg("3"), reg("4"), reg("5")},
	} {
		dir := t.TempDir()
		s, err := ocilayout.Open(dir, ocilayout.Limits{Bytes: 1000, Files: 4})
		if err != nil {
			t.Fatal(err)
		}
		digest := plant(t, dir, tarOf(t, headers...), types.OCIUncompressedLayer)
		base := t.TempDir()
		err = s.Unpack(context.Background(), digest, filepath.Join(base, "in", "x"))
		if problem.KindOf(err) != problem.Invalid || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("Unpack: %v, want invalid: %s", err, want)
		}
		if left, _ := filepath.Glob(filepath.Join(base, "*", "*")); len(left) > 0 {
			t.Errorf("%s: left %v", want, left)
		}
	}
}

func TestForeignLayers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	// A link is replaced, not written through.
	w.Write(tarOf(t, reg("./app/run"), link("app/l", "run"), reg("app/l")))
	w.Close()
	root := filepath.Join(t.TempDir(), "x")
	if err := s.Unpack(context.Background(), plant(t, dir, packed.Bytes(), types.DockerLayer), root); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(filepath.Join(root, "app/l"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("app/l: %v, %v", info, err)
	}
	err = s.Unpack(context.Background(), plant(t, dir, []byte("x"), types.OCILayerZStd), root+"2")
	if problem.KindOf(err) != problem.Invalid {
		t.Errorf("unsupported compression: %v", err)
	}
}

// No layer, however malformed, writes outside of its root.
func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, reg("a"), link("b", "a"), &tar.Header{Name: "d/", Typeflag: tar.TypeDir}))
	f.Add(tarOf(f, link("s/t", ".."), link("b", "s/t/../x"), reg("b/c")))
	f.Add([]byte("not a tar"))
	f.Fuzz(func(t *testing.T, layer []byte) {
		dir := t.TempDir()
		s, err := ocilayout.Open(dir, ocilayout.Limits{Bytes: 1 << 20, Files: 100})
		if err != nil {
			t.Fatal(err)
		}
		base := t.TempDir()
		err = s.Unpack(context.Background(), plant(t, dir, layer, types.OCIUncompressedLayer), filepath.Join(base, "x"))
		left, _ := os.ReadDir(base)
		if err != nil && len(left) > 0 || len(left) > 1 {
			t.Errorf("left %v after %v", left, err)
		}
	})
}
