// Package imagetest is what every implementation of the image port must pass.
// An adapter's own test calls Run with a function that makes an empty store.
package imagetest

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
)

// New makes an empty store for a test.
type New func(t *testing.T) image.Store

// Created is the commit time in Spec.
var Created = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// Run runs the suite.
func Run(t *testing.T, open New) {
	tests := []struct {
		name string
		run  func(*testing.T, image.Store)
	}{
		{"put and get", testPutGet},
		{"reproducible", testReproducible},
		{"differs", testDiffers},
		{"selection", testSelection},
		{"refuses", testRefuses},
		{"list", testList},
		{"unpack", testUnpack},
		{"unpack in the way", testUnpackInTheWay},
		{"concurrent", testConcurrent},
		{"remove and collect", testRemoveCollect},
		{"unknown", testUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// Tree writes files below a new directory: a value "-> x" makes a link to x,
// a name ending in / an empty directory, one ending in * an executable file.
func Tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		exec := strings.HasSuffix(name, "*")
		p := filepath.Join(dir, strings.TrimSuffix(name, "*"))
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		switch target, link := strings.CutPrefix(content, "-> "); {
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(p, 0o700))
		case link:
			must(t, os.Symlink(target, p))
		case exec:
			must(t, os.WriteFile(p, []byte(content), 0o700))
		default:
			must(t, os.WriteFile(p, []byte(content), 0o600))
		}
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Spec is a valid Spec of the files in dir.
func Spec(dir string, files ...string) image.Spec {
	return image.Spec{
		Name: "checkout", Dir: dir, Files: files, Command: []string{"./bin/server", "-v"},
		Env: map[string]string{"MODE": "prod", "A": "x=y"}, Labels: map[string]string{"team": "payments"},
		Commit: "3f2a91c04d55e0b1c2d3e4f5061728394a5b6c7d", Source: "https://example.com/shop.git",
		Created: Created, Platform: "linux/amd64",
	}
}

func sample(t *testing.T) string {
	t.Helper()
	return Tree(t, map[string]string{
		"bin/server*": "ELF", "bin/helper*": "ELF2", "static/a/b.css": "b{}", "static/c.js": "c()",
		"current": "-> static/a", "empty/": "", ".git/config": "secret", "README": "hello",
	})
}

func ctx() context.Context { return context.Background() }

func put(t *testing.T, s image.Store, spec image.Spec) image.Image {
	t.Helper()
	img, err := s.Put(ctx(), spec)
	must(t, err)
	return img
}

func testPutGet(t *testing.T, s image.Store) {
	spec := Spec(sample(t), ".")
	img := put(t, s, spec)
	must(t, image.ValidateDigest(img.Digest))
	got, err := s.Get(ctx(), img.Digest)
	must(t, err)
	if got.Name != spec.Name || got.Commit != spec.Commit || got.Source != spec.Source || !got.Created.Equal(Created) ||
		got.Platform != "linux/amd64" || !slices.Equal(got.Command, spec.Command) ||
		!maps.Equal(got.Env, spec.Env) || !maps.Equal(got.Labels, spec.Labels) || got.Size < 100 {
		t.Errorf("Get = %+v", got)
	}
	if got.Ref() != "checkout@"+img.Digest {
		t.Errorf("Ref = %s", got.Ref())
	}
}

// testReproducible builds the same files in another place, in another order,
// with other times and permissions.
func testReproducible(t *testing.T, s image.Store) {
	first := put(t, s, Spec(sample(t), "bin", "static", "current", "empty"))
	dir := sample(t)
	old := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	must(t, os.Chtimes(filepath.Join(dir, "bin/server"), old, old))
	must(t, os.Chmod(filepath.Join(dir, "bin/helper"), 0o555))
	must(t, os.Chmod(filepath.Join(dir, "static"), 0o775))
	spec := Spec(dir, "static/", "./bin/*", "empty", "current", "bin")
	spec.Created = Created.In(time.FixedZone("x", 7200)).Add(300 * time.Millisecond)
	second := put(t, s, spec)
	if first.Digest != second.Digest {
		t.Errorf("digests differ: %s and %s", first.Digest, second.Digest)
	}
	all, err := s.List(ctx())
	if err != nil || len(all) != 1 {
		t.Errorf("List = %d images, %v", len(all), err)
	}
}

func testDiffers(t *testing.T, s image.Store) {
	dir := sample(t)
	seen := map[string]string{}
	for what, change := range map[string]func(*image.Spec){
		"nothing": func(*image.Spec) {},
		"commit":  func(s *image.Spec) { s.Commit = "b" + s.Commit[1:] },
		"command": func(s *image.Spec) { s.Command = []string{"./bin/server -v"} },
		"env":     func(s *image.Spec) { s.Env = nil },
		"files":   func(s *image.Spec) { s.Files = []string{"bin"} },
		"name":    func(s *image.Spec) { s.Name = "search" },
		"time":    func(s *image.Spec) { s.Created = s.Created.Add(time.Second) },
	} {
		spec := Spec(dir, ".")
		change(&spec)
		digest := put(t, s, spec).Digest
		if other, ok := seen[digest]; ok {
			t.Errorf("changing %s and %s give the same digest", what, other)
		}
		seen[digest] = what
	}
}

// contents is the paths below dir: directories end in /, executables in *,
// links show their target.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if err != nil || rel == "." || rel == image.Marker {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			rel += "/"
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			rel += "->" + target
		case info.Mode().Perm() == 0o755:
			rel += "*"
		case info.Mode().Perm() != 0o644:
			rel += " " + info.Mode().String()
		}
		out = append(out, filepath.ToSlash(rel))
		return nil
	}))
	return strings.Join(out, " ")
}

func testSelection(t *testing.T, s image.Store) {
	for files, want := range map[string]string{
		".":                  "README bin/ bin/helper* bin/server* current->static/a empty/ static/ static/a/ static/a/b.css static/c.js",
		"bin/server":         "bin/ bin/server*",
		"static":             "static/ static/a/ static/a/b.css static/c.js",
		"**/*.css,R?ADME":    "README static/ static/a/ static/a/b.css",
		"static/*":           "static/ static/a/ static/a/b.css static/c.js",
		"static,!**/*.css":   "static/ static/a/ static/c.js",
		"bin,!bin/[h]elper":  "bin/ bin/server*",
		"current,static/c.*": "current->static/a static/ static/c.js",
	} {
		img := put(t, s, Spec(sample(t), strings.Split(files, ",")...))
		dir := filepath.Join(t.TempDir(), "x")
		must(t, s.Unpack(ctx(), img.Digest, dir))
		if got := contents(t, dir); got != want {
			t.Errorf("files %s:\n got %s\nwant %s", files, got, want)
		}
	}
}

func testRefuses(t *testing.T, s image.Store) {
	dir := sample(t)
	for want, change := range map[string]func(*image.Spec){
		`"bin/sever" selects no file`: func(s *image.Spec) { s.Files = []string{"bin/server", "bin/sever"} },
		"no files are named":          func(s *image.Spec) { s.Files = nil },
		"leads out of the checkout":   func(s *image.Spec) { s.Files = []string{"../x"} },
		"begins with /":               func(s *image.Spec) { s.Files = []string{"/etc/passwd"} },
		"unclosed [":                  func(s *image.Spec) { s.Files = []string{"a[b"} },
		"no pattern selects anything": func(s *image.Spec) { s.Files = []string{"!a"} },
		"not an image name":           func(s *image.Spec) { s.Name = "../evil" },
		"source commit is missing":    func(s *image.Spec) { s.Commit = "" },
		"time of the commit":          func(s *image.Spec) { s.Created = time.Time{} },
		"name of an environment":      func(s *image.Spec) { s.Env = map[string]string{"A=B": "c"} },
		"outside of the image": func(s *image.Spec) {
			s.Dir = Tree(t, map[string]string{"a": "-> /etc/passwd"})
		},
		"links to \"../../x\"": func(s *image.Spec) {
			s.Dir = Tree(t, map[string]string{"d/a": "-> ../../x"})
		},
		"b links to a place outside": func(s *image.Spec) {
			s.Dir = Tree(t, map[string]string{"s/t": "-> ..", "b": "-> s/t/../x"})
		},
		"is reserved": func(s *image.Spec) { s.Dir = Tree(t, map[string]string{image.Marker: "x"}) },
	} {
		spec := Spec(dir, ".")
		change(&spec)
		_, err := s.Put(ctx(), spec)
		if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("Put: %v, want invalid: %s", err, want)
		}
	}
	if all, err := s.List(ctx()); err != nil || len(all) != 0 {
		t.Errorf("after refusals: %d images, %v", len(all), err)
	}
}

func testList(t *testing.T, s image.Store) {
	var want []string
	for i := range 3 {
		spec := Spec(sample(t), "bin")
		spec.Created = Created.Add(time.Duration(i) * time.Hour)
		want = append([]string{put(t, s, spec).Digest}, want...)
	}
	all, err := s.List(ctx())
	must(t, err)
	var got []string
	for _, img := range all {
		got = append(got, img.Digest)
	}
	if !slices.Equal(got, want) {
		t.Errorf("List = %v, want %v", got, want)
	}
}

func testUnpack(t *testing.T, s image.Store) {
	img := put(t, s, Spec(sample(t), "bin", "current", "static"))
	dir := filepath.Join(t.TempDir(), "deep", "er", "root")
	must(t, s.Unpack(ctx(), img.Digest, dir))
	if got, err := os.ReadFile(filepath.Join(dir, "current/b.css")); string(got) != "b{}" {
		t.Errorf("through the link: %q, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(dir, "static/c.js"))
	if err != nil || !info.ModTime().Equal(Created) {
		t.Errorf("time of a file: %v, %v", info.ModTime(), err)
	}
	// What runs there may write there; unpacking again must not disturb it.
	must(t, os.WriteFile(filepath.Join(dir, "data"), []byte("x"), 0o644))
	must(t, s.Unpack(ctx(), img.Digest, dir))
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		t.Errorf("unpacking again: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func testUnpackInTheWay(t *testing.T, s image.Store) {
	a := put(t, s, Spec(sample(t), "bin"))
	b := put(t, s, Spec(sample(t), "static"))
	dir := t.TempDir() // empty: fine
	must(t, s.Unpack(ctx(), a.Digest, dir))
	if err := s.Unpack(ctx(), b.Digest, dir); problem.KindOf(err) != problem.Conflict {
		t.Errorf("over another image: %v", err)
	}
	if err := s.Unpack(ctx(), a.Digest, Tree(t, map[string]string{"x": "y"})); problem.KindOf(err) != problem.Conflict {
		t.Errorf("over something else: %v", err)
	}
}

func testConcurrent(t *testing.T, s image.Store) {
	shared := filepath.Join(t.TempDir(), "root")
	var wg sync.WaitGroup
	for i := range 8 {
		dir := sample(t)
		wg.Go(func() {
			spec := Spec(dir, "bin")
			spec.Created = Created.Add(time.Duration(i/2) * time.Hour) // two of each
			img, err := s.Put(ctx(), spec)
			if err != nil {
				t.Errorf("Put: %v", err)
				return
			}
			if i < 2 {
				if err := s.Unpack(ctx(), img.Digest, shared); err != nil {
					t.Errorf("Unpack: %v", err)
				}
			}
			if _, err := s.Collect(ctx()); err != nil {
				t.Errorf("Collect: %v", err)
			}
			if _, err := s.Get(ctx(), img.Digest); err != nil {
				t.Errorf("Get: %v", err)
			}
		})
	}
	wg.Wait()
	if all, err := s.List(ctx()); err != nil || len(all) != 4 {
		t.Errorf("List = %d images, %v", len(all), err)
	}
}

func testRemoveCollect(t *testing.T, s image.Store) {
	keep := put(t, s, Spec(sample(t), "bin"))
	gone := put(t, s, Spec(sample(t), "static"))
	if n, err := s.Collect(ctx()); err != nil || n != 0 {
		t.Errorf("Collect with all needed = %d, %v", n, err)
	}
	must(t, s.Remove(ctx(), gone.Digest))
	if _, err := s.Get(ctx(), gone.Digest); problem.KindOf(err) != problem.NotFound {
		t.Errorf("Get after Remove: %v", err)
	}
	if n, err := s.Collect(ctx()); err != nil || n != gone.Size {
		t.Errorf("Collect = %d, %v, want the removed image's %d", n, err, gone.Size)
	}
	must(t, s.Unpack(ctx(), keep.Digest, filepath.Join(t.TempDir(), "x")))
	if again := put(t, s, Spec(sample(t), "static")); again.Digest != gone.Digest {
		t.Errorf("built again: %s, want %s", again.Digest, gone.Digest)
	}
}

func testUnknown(t *testing.T, s image.Store) {
	none := "sha256:" + strings.Repeat("0", 64)
	for digest, want := range map[string]problem.Kind{
		none: problem.NotFound, "": problem.Invalid, "latest": problem.Invalid,
		"sha256:../../x": problem.Invalid, strings.ToUpper(none): problem.Invalid,
	} {
		_, err := s.Get(ctx(), digest)
		for what, err := range map[string]error{
			"Get": err, "Remove": s.Remove(ctx(), digest), "Unpack": s.Unpack(ctx(), digest, filepath.Join(t.TempDir(), "x")),
		} {
			if problem.KindOf(err) != want {
				t.Errorf("%s(%q): %v, want kind %s", what, digest, err, want)
			}
		}
	}
}
