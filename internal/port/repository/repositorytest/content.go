package repositorytest

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

func testCheckout(t *testing.T, open Open) {
	m := New(t)
	m.Write(".gitattributes", "*.txt text eol=crlf\n")
	m.Write("sub/deep/a.txt", "one\ntwo\n")
	m.Write("run.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(m.Dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("run.sh", filepath.Join(m.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	m.Commit("first")
	m.Edit("run.sh", "changed\n", "second")
	m.Write("untracked", "x")
	r := open(t, m.Dir)
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := r.Checkout(ctx(), "HEAD~1", dir); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); got != ".gitattributes link run.sh sub/deep/a.txt" {
		t.Errorf("files = %s", got)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "sub/deep/a.txt")); string(got) != "one\ntwo\n" {
		t.Errorf("a.txt = %q, want the bytes of the commit", got)
	}
	info, err := os.Lstat(filepath.Join(dir, "run.sh"))
	if err != nil || info.Mode().Perm() != 0o755 || !info.ModTime().Equal(Start) {
		t.Errorf("run.sh: %v %v %v", info.Mode(), info.ModTime(), err)
	}
	if target, err := os.Readlink(filepath.Join(dir, "link")); err != nil || target != "run.sh" {
		t.Errorf("link = %q, %v", target, err)
	}
	if err := r.Checkout(ctx(), "HEAD", dir); problem.KindOf(err) != problem.Conflict {
		t.Errorf("into a full directory: %v", err)
	}
	if err := r.Checkout(ctx(), "nope", dir+"2"); !errors.Is(err, repository.ErrUnknown) {
		t.Errorf("of an unknown commit: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// tree is the slash-separated paths of all files below dir.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// testCheckoutHostile makes trees that git itself would not: each must be
// refused, and nothing written outside.
func testCheckoutHostile(t *testing.T, open Open) {
	m := New(t)
	blob := m.input("evil\n", "hash-object", "-w", "--stdin")
	outside := t.TempDir()
	link := m.input(outside, "hash-object", "-w", "--stdin")
	id := func(s string) string { return string(unhex(s)) }
	sub := m.input("100644 x\x00"+id(blob), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
	for name, entries := range map[string]string{
		"dot git":      "40000 .GIT\x00" + id(sub),
		"parent":       "40000 ..\x00" + id(sub),
		"through link": "120000 a\x00" + id(link) + "40000 a\x00" + id(sub),
		"slash":        "100644 ../x\x00" + id(blob),
	} {
		treeID := m.input(entries, "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
		raw := "tree " + treeID + "\nauthor a <> 1 +0000\ncommitter a <> 1 +0000\n\nx\n"
		sha := m.input(raw, "hash-object", "-t", "commit", "-w", "--literally", "--stdin")
		dir := filepath.Join(t.TempDir(), "out")
		if err := open(t, m.Dir).Checkout(ctx(), sha, dir); err == nil {
			t.Errorf("%s: checked out", name)
		}
		if _, err := os.Lstat(dir); err == nil {
			t.Errorf("%s: left %s", name, dir)
		}
		if got := tree(t, filepath.Dir(dir)) + tree(t, outside); got != "" {
			t.Errorf("%s: wrote %s", name, got)
		}
	}
}

func unhex(s string) []byte {
	out := make([]byte, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		out = append(out, nibble(s[i])<<4|nibble(s[i+1]))
	}
	return out
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func testFiles(t *testing.T, open Open) {
	m := New(t)
	m.Write("deploy/a.yaml", "a: 1\n")
	m.Write("deploy/sub/b.yaml", "b: 1\n")
	m.Write("deploy/c.txt", "\xff\x00")
	m.Write("main.go", "package main\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(m.Dir, "deploy/d.yaml")); err != nil {
		t.Fatal(err)
	}
	m.Commit("first")
	m.Edit("deploy/a.yaml", "a: 2\n", "second")
	r := open(t, m.Dir)
	got, err := r.Files(ctx(), repository.Query{Ref: "HEAD~1", Dir: "deploy/"})
	if err != nil || keys(got) != "deploy/a.yaml deploy/c.txt deploy/sub/b.yaml" || string(got["deploy/a.yaml"]) != "a: 1\n" || string(got["deploy/c.txt"]) != "\xff\x00" {
		t.Errorf("Files = %q, %v", got, err)
	}
	yaml := func(p string) bool { return strings.HasSuffix(p, ".yaml") }
	if got, err = r.Files(ctx(), repository.Query{Ref: "main", Match: yaml}); err != nil || keys(got) != "deploy/a.yaml deploy/sub/b.yaml" {
		t.Errorf("matching = %s, %v", keys(got), err)
	}
	for _, dir := range []string{"nope", "main.go", "deploy/d.yaml"} {
		if _, err := r.Files(ctx(), repository.Query{Ref: "main", Dir: dir}); problem.KindOf(err) != problem.NotFound {
			t.Errorf("Files of %s: %v", dir, err)
		}
	}
	for _, q := range []repository.Query{{Ref: "main", MaxFiles: 2}, {Ref: "main", MaxBytes: 12}} {
		if _, err := r.Files(ctx(), q); !errors.Is(err, repository.ErrTooLarge) || problem.KindOf(err) != problem.Invalid {
			t.Errorf("Files(%+v): %v", q, err)
		}
	}
}

func keys(m map[string][]byte) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

func testWorkTree(t *testing.T, open Open) {
	m := New(t)
	m.Write(".gitignore", "*.log\n")
	m.Write("gone", "x")
	m.Edit("dir/a", "1", "first")
	m.Write("dir/a", "2")
	m.Write("dir/new", "3")
	m.Write("dir/x.log", "ignored")
	if err := os.Remove(filepath.Join(m.Dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(m.Dir, "dir/etc")); err != nil {
		t.Fatal(err)
	}
	r := open(t, m.Dir)
	got, err := r.Files(ctx(), repository.Query{Ref: repository.WorkTree})
	if err != nil || keys(got) != ".gitignore dir/a dir/new" || string(got["dir/a"]) != "2" {
		t.Errorf("Files = %q, %v", got, err)
	}
	if got, err = r.Files(ctx(), repository.Query{Ref: repository.WorkTree, Dir: "dir"}); err != nil || keys(got) != "dir/a dir/new" {
		t.Errorf("of a directory = %s, %v", keys(got), err)
	}
	for _, dir := range []string{"nope", "dir/etc"} {
		if _, err := r.Files(ctx(), repository.Query{Ref: repository.WorkTree, Dir: dir}); problem.KindOf(err) != problem.NotFound {
			t.Errorf("Files of %s: %v", dir, err)
		}
	}
	for _, q := range []repository.Query{{Ref: repository.WorkTree, MaxFiles: 2}, {Ref: repository.WorkTree, MaxBytes: 6}} {
		if _, err := r.Files(ctx(), q); !errors.Is(err, repository.ErrTooLarge) {
			t.Errorf("Files(%+v): %v", q, err)
		}
	}
}

// testRunsNothing sets every trap a repository's configuration can hold.
func testRunsNothing(t *testing.T, open Open) {
	m := New(t)
	trap := filepath.Join(t.TempDir(), "ran")
	script := filepath.Join(m.Dir, ".git", "trap")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$0 $@\" >>"+trap+"\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.Write(".gitattributes", "* filter=evil diff=evil\n")
	m.Edit("a", "1\n", "first")
	m.Edit("a", "2\n", "second")
	for _, name := range []string{"core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "gpg.program", "diff.external",
		"diff.evil.command", "diff.evil.textconv", "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "core.askPass"} {
		m.Git("config", name, script)
	}
	m.Git("config", "log.showSignature", "true")
	hooks := filepath.Join(m.Dir, ".git", "hooks")
	if err := os.MkdirAll(hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, hook := range []string{"post-checkout", "post-index-change", "pre-commit", "reference-transaction"} {
		if err := os.WriteFile(filepath.Join(hooks, hook), []byte("#!/bin/sh\necho hook >>"+trap+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.Write("a", "3\n")
	r := open(t, m.Dir)
	_, err := r.Log(ctx(), repository.Range{To: "main", PatchIDs: true})
	errs := []error{err, r.Checkout(ctx(), "main", filepath.Join(t.TempDir(), "x"))}
	_, err = r.Diff(ctx(), "main~1", "main")
	errs = append(errs, err)
	for _, ref := range []string{"main", repository.WorkTree} {
		_, err = r.Files(ctx(), repository.Query{Ref: ref})
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if ran, err := os.ReadFile(trap); err == nil {
		t.Errorf("the repository ran something:\n%s", ran)
	}
}
