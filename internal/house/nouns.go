package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Page is a noun that is described on another noun's page, and why.
type Page struct{ Noun, Page, Why string }

// Pages are the exceptions to "every noun has a page of its name".
var Pages = []Page{
	{"access", "access", "the room of tokens; the page has its name"},
	{"action", "release", "what waits for approval is nearly always a release's rollout.start"},
	{"action-item", "postmortem", "an action item is what follows from a postmortem"},
	{"count", "signal", "pushed counts are signals"},
	{"decision", "why", "decisions are what why explains"},
	{"integration", "alert", "an integration is a sender of alerts"},
	{"silence", "alert", "a silence holds alerts back"},
	{"logs", "cli", "what runs is looked at from the command line"},
	{"operation", "api", "operations are the API"},
	{"override", "policy", "an override lifts a policy's freeze"},
	{"resource", "resources", "a page about all kinds, hence in the plural"},
	{"scrape", "metrics", "what is scraped goes into the metrics store"},
	{"service", "resources", "a kind, declared in a file"},
	{"status", "cli", "what runs is looked at from the command line"},
	{"page", "incident", "a page by hand goes the way an incident's do"},
	{"task", "incident", "a task is something to do while an incident lasts"},
	{"token", "access", "tokens are how access is given"},
	{"top", "cli", "what runs is looked at from the command line"},
}

// Prefixes are event prefixes that are no folder's name, and where the fact
// belongs.
var Prefixes = map[string]string{
	"integration": "internal/feedback/alert: a sender of alerts",
	"page":        "internal/feedback/incident: a page by hand",
	"silence":     "internal/feedback/alert: what holds alerts back",
	"budget":      "internal/feedback/slo: an objective's budget",
	"decision":    "internal/kernel/control: what a controller decided",
	"gate":        "internal/feedback/policy: an override of the gate's budget clause",
}

// Wings are the rooms of subjects.
var Wings = []string{"internal/flow", "internal/feedback", "internal/learning"}

// Subjects lists the subjects' folders.
func Subjects(t *Tree) []string {
	var out []string
	for _, dir := range t.packages() {
		if slices.Contains(Wings, path.Dir(dir)) {
			out = append(out, dir)
		}
	}
	return out
}

// Nouns lists the nouns of all operations, with a place where each is declared.
func Nouns(t *Tree) map[string]string {
	out := map[string]string{}
	for _, f := range t.code() {
		if !within(f.Dir, "internal") {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, ok := kv.Key.(*ast.Ident)
			lit, ok2 := kv.Value.(*ast.BasicLit)
			if !ok || !ok2 || key.Name != "Noun" || lit.Kind != token.STRING {
				return true
			}
			if noun, err := strconv.Unquote(lit.Value); err == nil {
				out[noun] = t.at(kv.Pos())
			}
			return true
		})
	}
	return out
}

// CheckNouns reports operation nouns and subjects without a page, and facts
// that are not named after the room they belong to.
func CheckNouns(t *Tree, root fs.FS) []Finding {
	var out []Finding
	nouns := Nouns(t)
	for _, dir := range Subjects(t) {
		if _, ok := nouns[path.Base(dir)]; !ok {
			nouns[path.Base(dir)] = dir
		}
	}
	for _, noun := range slices.Sorted(maps.Keys(nouns)) {
		page := "docs/" + pageOf(noun) + ".md"
		if _, err := fs.Stat(root, page); err != nil {
			out = append(out, Finding{nouns[noun], fmt.Sprintf("the noun %s has no page %s", noun, page)})
		}
	}
	known := map[string]bool{}
	for _, dir := range t.packages() {
		if within(dir, "internal") {
			known[path.Base(dir)] = true
		}
	}
	events := Events(t)
	for _, name := range slices.Sorted(maps.Keys(events)) {
		prefix, _, _ := strings.Cut(name, ".")
		if !known[prefix] && Prefixes[prefix] == "" {
			out = append(out, Finding{events[name], fmt.Sprintf("the event %s is named after no room; a fact has the name of the room it belongs to", name)})
		}
	}
	return out
}

// pageOf is the name of the page on which a noun is described.
func pageOf(noun string) string {
	for _, p := range Pages {
		if p.Noun == noun {
			return p.Page
		}
	}
	return noun
}

// CheckFurniture reports what stands in another file of a subject's room than
// everywhere else: facts, kinds and operations.
func CheckFurniture(t *Tree) []Finding {
	var out []Finding
	tour := map[string]bool{}
	for _, f := range t.code() {
		if !slices.Contains(Wings, path.Dir(f.Dir)) {
			continue
		}
		name := path.Base(f.Path)
		tour[f.Dir] = tour[f.Dir] || name == "doc.go" && f.AST.Doc != nil
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				if d.Tok == token.CONST && declaresEvents(d) && name != "events.go" {
					out = append(out, Finding{t.at(d.Pos()), "facts are declared in events.go"})
				}
			case *ast.FuncDecl:
				if d.Name.Name == "Kinds" && d.Recv == nil && name != "resource.go" {
					out = append(out, Finding{t.at(d.Pos()), "kinds are declared in resource.go"})
				}
				if d.Name.Name == "Operations" && name != "operations.go" && path.Base(f.Dir)+".go" != name {
					out = append(out, Finding{t.at(d.Pos()), "operations are declared in operations.go"})
				}
			}
		}
	}
	for dir, ok := range tour {
		if !ok {
			out = append(out, Finding{dir, "doc.go with the package comment is missing"})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Where < out[j].Where })
	return out
}

func declaresEvents(d *ast.GenDecl) bool {
	for _, s := range d.Specs {
		v := s.(*ast.ValueSpec)
		for i, n := range v.Names {
			if strings.HasPrefix(n.Name, "Event") && strings.Contains(constant(v, i), ".") {
				return true
			}
		}
	}
	return false
}
