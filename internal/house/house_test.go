package house

import (
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
)

// root is the repository; tests run in their package's folder.
func root() fs.FS { return os.DirFS("../..") }

var tree = sync.OnceValues(func() (*Tree, error) { return Load(root()) })

// source is the repository's source, parsed once.
func source(t *testing.T) *Tree {
	t.Helper()
	out, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Files) < 100 {
		t.Fatalf("only %d files were found; the root is wrong", len(out.Files))
	}
	return out
}

// The rules, each held by the whole repository.
func TestHouse(t *testing.T) {
	for name, check := range map[string]func(*Tree) []Finding{
		"imports":   CheckImports,
		"clock":     CheckClock,
		"init":      CheckInit,
		"packages":  CheckPackages,
		"size":      CheckSize,
		"furniture": CheckFurniture,
		"nouns":     func(s *Tree) []Finding { return CheckNouns(s, root()) },
	} {
		t.Run(name, func(t *testing.T) { report(t, check(source(t))) })
	}
}

func TestLinks(t *testing.T) {
	findings, err := CheckLinks(root())
	if err != nil {
		t.Fatal(err)
	}
	report(t, findings)
}

func TestFields(t *testing.T) {
	findings, err := CheckFields(source(t), root())
	if err != nil {
		t.Fatal(err)
	}
	report(t, findings)
}

// Every page of docs/ is found from docs/README.md.
func TestIndex(t *testing.T) {
	index, err := fs.ReadFile(root(), "docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := fs.Glob(root(), "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := fs.Glob(root(), "docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(pages, decisions...) {
		if link := strings.TrimPrefix(p, "docs/"); link != "README.md" && !strings.Contains(string(index), "]("+link+")") {
			t.Errorf("docs/README.md does not link to %s", link)
		}
	}
}

func TestArchitectureIsUpToDate(t *testing.T) {
	page, err := fs.ReadFile(root(), "ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Rewrite(string(page), source(t))
	if err != nil {
		t.Fatal(err)
	}
	if want != string(page) {
		t.Error("ARCHITECTURE.md says other than the rules and packages do; run: go run ./internal/house/architecture")
	}
}

// Rules that no longer speak about anything are taken out.
func TestRulesAreUsed(t *testing.T) {
	s := source(t)
	used := map[Exception]bool{}
	for _, f := range s.Files {
		for _, i := range f.Imports {
			for _, e := range Exceptions {
				if e.From == f.Dir && Module+"/"+e.To == i.Path {
					used[e] = true
				}
			}
		}
	}
	for _, e := range Exceptions {
		if _, err := fs.Stat(root(), e.From); err == nil && !used[e] {
			t.Errorf("the exception from %s to %s is not needed", e.From, e.To)
		}
		if e.Why == "" {
			t.Errorf("the exception from %s to %s has no reason", e.From, e.To)
		}
	}
	for _, r := range Rooms {
		if r.Why == "" || len(r.Order) > 0 && r.Why2 == "" {
			t.Errorf("room %s has a rule without a reason", r.Path)
		}
	}
	for _, g := range Guards {
		if g.Why == "" {
			t.Errorf("the guard of %s has no reason", g.Import)
		}
	}
}

// Exceptions for nouns that no longer exist are taken out.
func TestNounExceptionsAreUsed(t *testing.T) {
	s := source(t)
	known := Nouns(s)
	for name, at := range Events(s) {
		prefix, _, _ := strings.Cut(name, ".")
		known[prefix] = at
	}
	for _, p := range Pages {
		if known[p.Noun] == "" || p.Why == "" {
			t.Errorf("the exception for the noun %s is not needed, or has no reason", p.Noun)
		}
	}
	for prefix := range Prefixes {
		if known[prefix] == "" {
			t.Errorf("the exception for events named %s. is not needed", prefix)
		}
	}
}

func report(t *testing.T, findings []Finding) {
	t.Helper()
	for _, f := range findings {
		t.Error(f)
	}
}
