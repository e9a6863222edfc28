package repositorytest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

func testResolve(t *testing.T, open Open) {
	m := New(t)
	first := m.Edit("a", "1", "first")
	second := m.Edit("a", "2", "second")
	m.Git("tag", "-a", "v1", "-m", "one", first)
	m.Git("branch", "feature/ä", first)
	m.Git("update-ref", "refs/heads/--output=x", first)
	r := open(t, m.Dir)
	for ref, want := range map[string]string{
		"main": second, "HEAD": second, "refs/heads/main": second, second: second, second[:10]: second,
		"v1": first, "HEAD~1": first, "HEAD^": first, "feature/ä": first,
		"refs/heads/--output=x": first, "--output=x": first,
	} {
		c, err := r.Resolve(ctx(), ref)
		if err != nil || c.SHA != want {
			t.Errorf("Resolve(%q) = %s, %v, want %s", ref, c.SHA, err, want)
		}
	}
	c, err := r.Resolve(ctx(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if c.Author != "Ana" || c.AuthorEmail != "ana@example.com" || c.Subject != "second" ||
		!c.Time.Equal(Start.Add(time.Minute)) || !c.AuthorTime.Equal(c.Time) || !slices.Equal(c.Parents, []string{first}) {
		t.Errorf("commit = %+v", c)
	}
}

func testResolveRefuses(t *testing.T, open Open) {
	m := New(t)
	m.Edit("a", "1", "first")
	r := open(t, m.Dir)
	missing := strings.Repeat("0123456789", 4)
	for ref, want := range map[string]problem.Kind{
		"nope":   problem.NotFound,
		missing:  problem.NotFound,
		"--help": problem.NotFound,
		"-n":     problem.NotFound,
		"HEAD~9": problem.NotFound,
	} {
		_, err := r.Resolve(ctx(), ref)
		if problem.KindOf(err) != want || !errors.Is(err, repository.ErrUnknown) {
			t.Errorf("Resolve(%q): %v, want kind %s and ErrUnknown", ref, err, want)
		}
	}
	for _, ref := range []string{"", ":/first", "HEAD:a", "main..HEAD", "a b", "main\n", "HEAD@{1}", "main^{/first}", "x\x00y",
		repository.WorkTree, strings.Repeat("a", 5000)} {
		if _, err := r.Resolve(ctx(), ref); problem.KindOf(err) != problem.Invalid {
			t.Errorf("Resolve(%.40q): %v, want kind invalid", ref, err)
		}
	}
}

func testEmpty(t *testing.T, open Open) {
	m := New(t)
	r := open(t, m.Dir)
	_, err := r.Resolve(ctx(), "main")
	if !errors.Is(err, repository.ErrEmpty) || problem.KindOf(err) != problem.NotFound {
		t.Errorf("Resolve: %v", err)
	}
	if _, err := r.Log(ctx(), repository.Range{To: "main"}); !errors.Is(err, repository.ErrEmpty) {
		t.Errorf("Log: %v", err)
	}
	if err := r.Checkout(ctx(), "main", filepath.Join(t.TempDir(), "x")); !errors.Is(err, repository.ErrEmpty) {
		t.Errorf("Checkout: %v", err)
	}
	m.Write("a", "1")
	if got, err := r.Files(ctx(), repository.Query{Ref: repository.WorkTree}); err != nil || string(got["a"]) != "1" {
		t.Errorf("Files of the work tree = %v, %v", got, err)
	}
}

func testTexts(t *testing.T, open Open) {
	m := New(t)
	m.Edit("a", "1", "fix: a\nsecond line\n\nWhy.\n\nMore: why\nnot a trailer\n\nFixes: #12\nSigned-off-by: Ana\n  Lovelace\n")
	r := open(t, m.Dir)
	c, err := r.Resolve(ctx(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	want := []repository.Trailer{{Key: "Fixes", Value: "#12"}, {Key: "Signed-off-by", Value: "Ana Lovelace"}}
	if c.Subject != "fix: a second line" || !slices.Equal(c.Trailers, want) || !strings.HasPrefix(c.Body, "Why.\n\nMore") {
		t.Errorf("commit = %+v", c)
	}
	// Bytes that are not UTF-8, a time no calendar writes, and no message.
	tree := m.Git("rev-parse", "HEAD^{tree}")
	raw := "tree " + tree + "\nauthor \xff\xfe <\xff> 99999999999999 +0000\ncommitter x <> 1000 +0000\n\n\xe9t\xe9\n"
	sha := m.input(raw, "hash-object", "-t", "commit", "-w", "--literally", "--stdin")
	c, err = r.Resolve(ctx(), sha)
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "\uFFFDt\uFFFD" || c.Author != "\uFFFD" || !c.AuthorTime.IsZero() || c.Time.Unix() != 1000 {
		t.Errorf("commit = %+v", c)
	}
	if c, err = r.Resolve(ctx(), m.Commit("")); err != nil || c.Subject != "" {
		t.Errorf("without message = %+v, %v", c, err)
	}
}

func shas(cs []repository.Commit) string {
	var out []string
	for _, c := range cs {
		out = append(out, c.Subject)
	}
	return strings.Join(out, " ")
}

func testLog(t *testing.T, open Open) {
	m := New(t)
	a := m.Edit("f", "1", "a")
	m.Edit("f", "2", "b")
	m.Edit("f", "3", "c")
	r := open(t, m.Dir)
	for _, test := range []struct {
		r         repository.Range
		want      string
		truncated bool
	}{
		{repository.Range{To: "main"}, "c b a", false},
		{repository.Range{From: a, To: "main"}, "c b", false},
		{repository.Range{From: "main", To: a}, "", false},
		{repository.Range{To: "main", Limit: 2}, "c b", true},
		{repository.Range{To: "main", Limit: 3}, "c b a", false},
	} {
		h, err := r.Log(ctx(), test.r)
		if err != nil || shas(h.Commits) != test.want || h.Truncated != test.truncated || h.Shallow {
			t.Errorf("Log(%+v) = %q, truncated %v, %v", test.r, shas(h.Commits), h.Truncated, err)
		}
	}
}

func testMerge(t *testing.T, open Open) {
	m := New(t)
	base := m.Edit("f", "1", "base")
	m.Git("checkout", "-q", "-b", "side")
	m.Edit("g", "1", "side")
	m.Git("checkout", "-q", "main")
	m.Edit("h", "1", "trunk")
	m.Git("merge", "-q", "--no-ff", "-m", "merge", "side")
	r := open(t, m.Dir)
	c, err := r.Resolve(ctx(), "main")
	if err != nil || !c.Merge() || len(c.Parents) != 2 {
		t.Fatalf("merge = %+v, %v", c, err)
	}
	h, err := r.Log(ctx(), repository.Range{From: base, To: "main", FirstParent: true})
	if err != nil || shas(h.Commits) != "merge trunk" {
		t.Errorf("first parents = %q, %v", shas(h.Commits), err)
	}
	h, err = r.Log(ctx(), repository.Range{From: base, To: "main", PatchIDs: true})
	if err != nil || len(h.Commits) != 3 || h.Commits[0].PatchID != "" || h.Commits[1].PatchID == "" {
		t.Errorf("all = %+v, %v", h, err)
	}
}

func testForcePush(t *testing.T, open Open) {
	m := New(t)
	m.Edit("f", "1", "a")
	old := m.Edit("f", "2", "b")
	m.Git("reset", "-q", "--hard", "HEAD~1")
	m.Edit("f", "3", "b2")
	r := open(t, m.Dir)
	h, err := r.Log(ctx(), repository.Range{From: old, To: "main"})
	if err != nil || shas(h.Commits) != "b2" {
		t.Errorf("while the old commit exists: %q, %v", shas(h.Commits), err)
	}
	if ok, err := r.Contains(ctx(), "main", old); ok || err != nil {
		t.Errorf("Contains = %v, %v", ok, err)
	}
	m.Git("reflog", "expire", "--expire=now", "--all")
	m.Git("gc", "-q", "--prune=now")
	if _, err := r.Log(ctx(), repository.Range{From: old, To: "main"}); !errors.Is(err, repository.ErrUnknown) {
		t.Errorf("after it is gone: %v", err)
	}
}

func testShallow(t *testing.T, open Open) {
	m := New(t)
	first := m.Edit("f", "1", "a")
	m.Edit("f", "2", "b")
	m.Edit("f", "3", "c")
	clone := filepath.Join(t.TempDir(), "clone")
	m.Git("clone", "-q", "--depth=2", "file://"+m.Dir, clone)
	r := open(t, clone)
	h, err := r.Log(ctx(), repository.Range{To: "HEAD"})
	if err != nil || shas(h.Commits) != "c b" || !h.Shallow {
		t.Errorf("Log = %+v, %v", h, err)
	}
	if _, err := r.Contains(ctx(), "HEAD", first); !errors.Is(err, repository.ErrUnknown) {
		t.Errorf("Contains of a commit cut off: %v", err)
	}
	if ok, err := r.Contains(ctx(), "HEAD", "HEAD~1"); !ok || err != nil {
		t.Errorf("Contains = %v, %v", ok, err)
	}
	if _, err := r.Contains(ctx(), "HEAD~1", "HEAD"); !errors.Is(err, repository.ErrShallow) || problem.KindOf(err) != problem.Unavailable {
		t.Errorf("Contains with an open answer: %v", err)
	}
}

func testPatchID(t *testing.T, open Open) {
	m := New(t)
	base := m.Edit("f", "1\n", "base")
	m.Edit("g", "x\n", "change")
	m.Git("checkout", "-q", "-b", "release", base)
	m.Edit("h", "y\n", "other")
	m.Git("cherry-pick", "main")
	r := open(t, m.Dir)
	id := func(ref string) string {
		h, err := r.Log(ctx(), repository.Range{To: ref, Limit: 1, PatchIDs: true})
		if err != nil || len(h.Commits) != 1 {
			t.Fatalf("Log(%s) = %+v, %v", ref, h, err)
		}
		return h.Commits[0].PatchID
	}
	if a, b, c := id("main"), id("release"), id("release~1"); a == "" || a != b || a == c {
		t.Errorf("patch ids: original %q, cherry-pick %q, another %q", a, b, c)
	}
	if id(base) == "" {
		t.Error("the first commit has no patch id")
	}
}

func testContains(t *testing.T, open Open) {
	m := New(t)
	a := m.Edit("f", "1", "a")
	b := m.Edit("f", "2", "b")
	r := open(t, m.Dir)
	for _, test := range []struct {
		commit, ancestor string
		want             bool
	}{{b, a, true}, {a, b, false}, {a, a, true}} {
		if got, err := r.Contains(ctx(), test.commit, test.ancestor); err != nil || got != test.want {
			t.Errorf("Contains(%.7s, %.7s) = %v, %v", test.commit, test.ancestor, got, err)
		}
	}
}

func testDiff(t *testing.T, open Open) {
	m := New(t)
	text := strings.Repeat("line\n", 20)
	a := m.Edit("old name", text, "a")
	if err := os.Rename(filepath.Join(m.Dir, "old name"), filepath.Join(m.Dir, "new\tname")); err != nil {
		t.Fatal(err)
	}
	m.Write("bin", "\x00\x01")
	b := m.Edit("new\tname", text+"more\n", "b")
	r := open(t, m.Dir)
	s, err := r.Diff(ctx(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := []repository.PathStat{{Path: "bin", Binary: true}, {Path: "new\tname", From: "old name", Added: 1}}
	slices.SortFunc(s.Paths, func(a, b repository.PathStat) int { return strings.Compare(a.Path, b.Path) })
	if s.Files != 2 || s.Added != 1 || s.Deleted != 0 || !slices.Equal(s.Paths, want) {
		t.Errorf("Diff = %+v", s)
	}
	if s, err = r.Diff(ctx(), "", a); err != nil || s.Files != 1 || s.Added != 20 {
		t.Errorf("Diff with nothing = %+v, %v", s, err)
	}
}
