package house

import (
	"strings"
	"testing"
	"testing/fstest"
)

const comment = "// Package %s is one thing. It works in one way.\n"

// plant makes a tree of small files; a file without a package clause gets one
// named after its folder, with a comment.
func plant(t *testing.T, files map[string]string) (*Tree, fstest.MapFS) {
	t.Helper()
	root := fstest.MapFS{}
	for p, text := range files {
		if strings.HasSuffix(p, ".go") && !strings.Contains(text, "package ") {
			dir := p[:strings.LastIndex(p, "/")]
			name := dir[strings.LastIndex(dir, "/")+1:]
			text = strings.ReplaceAll(comment, "%s", name) + "package " + name + "\n" + text
		}
		root[p] = &fstest.MapFile{Data: []byte(text)}
	}
	out, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return out, root
}

// imports is a file that imports packages of the house or of elsewhere.
func imports(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		if strings.HasPrefix(n, "internal/") || strings.HasPrefix(n, "cmd/") || strings.HasPrefix(n, "bench/") {
			n = Module + "/" + n
		}
		b.WriteString("import _ \"" + n + "\"\n")
	}
	return b.String()
}

// Each rule on imports, broken once and kept once.
func TestImportRules(t *testing.T) {
	for _, c := range []struct {
		name, file, imported string
		want                 string // part of the message; empty: allowed
	}{
		{"subject to kernel", "internal/flow/change/a.go", "internal/kernel/event", ""},
		{"kernel to subject", "internal/kernel/event/a.go", "internal/flow/change", "the arrow"},
		{"kernel upwards", "internal/kernel/event/a.go", "internal/kernel/control", "comes before"},
		{"kernel downwards", "internal/kernel/control/a.go", "internal/kernel/event", ""},
		{"port to catalog", "internal/port/store/a.go", "internal/catalog", "the arrow"},
		{"judge to kernel", "internal/judge/a.go", "internal/kernel/clock", "the arrow"},
		{"judge to a library", "internal/judge/a.go", "gonum.org/v1/gonum/stat", "standard library alone"},
		{"kernel to a library", "internal/kernel/event/a.go", "github.com/google/uuid", "standard library alone"},
		{"catalog to a subject", "internal/catalog/a.go", "internal/flow/change", "the arrow"},
		{"release to change", "internal/flow/release/a.go", "internal/flow/change", ""},
		{"change to release", "internal/flow/change/a.go", "internal/flow/release", "comes before"},
		{"a subject without a place", "internal/flow/gate/a.go", "internal/flow/change", "has no place"},
		{"incident to policy", "internal/feedback/incident/a.go", "internal/feedback/policy", ""},
		{"slo to incident", "internal/feedback/slo/a.go", "internal/feedback/incident", "comes before"},
		{"across wings", "internal/feedback/incident/a.go", "internal/flow/rollout", "the arrow"},
		{"learning to learning", "internal/learning/dora/a.go", "internal/learning/why", "no package of"},
		{"learning to flow", "internal/learning/dora/a.go", "internal/flow/rollout", "the arrow"},
		{"subject to adapter", "internal/flow/change/a.go", "internal/adapter/git", "the arrow"},
		{"subject to face", "internal/flow/change/a.go", "internal/face/api", "the arrow"},
		{"subject to app", "internal/flow/change/a.go", "internal/app", "the arrow"},
		{"subject to SQL", "internal/flow/change/a.go", "database/sql", "SQL lives"},
		{"subject to HTTP", "internal/feedback/slo/a.go", "net/http", "through a face"},
		{"subject to what is below HTTP", "internal/feedback/slo/a.go", "net/http/httputil", "through a face"},
		{"subject to processes", "internal/flow/pipeline/a.go", "os/exec", "side effect"},
		{"subject to Kubernetes", "internal/flow/rollout/a.go", "k8s.io/client-go/rest", "orchestrator"},
		{"subject to Prometheus", "internal/feedback/slo/a.go", "github.com/prometheus/client_golang/api", "metrics store"},
		{"face to SQL", "internal/face/api/a.go", "database/sql", "SQL lives"},
		{"face to adapter", "internal/face/api/a.go", "internal/adapter/sqlite", "the arrow"},
		{"face to subject", "internal/face/web/a.go", "internal/flow/rollout", ""},
		{"api to web", "internal/face/api/a.go", "internal/face/web", "comes before"},
		{"adapter to subject", "internal/adapter/sqlite/a.go", "internal/catalog", "the arrow"},
		{"adapter to adapter", "internal/adapter/sqlite/a.go", "internal/adapter/memory", "no package of"},
		{"local to contract", "internal/adapter/local/a.go", "internal/agent/contract", ""},
		{"local to proxy", "internal/adapter/local/a.go", "internal/agent/proxy", "the arrow"},
		{"git to contract", "internal/adapter/git/a.go", "internal/agent/contract", "the arrow"},
		{"adapter to SQL", "internal/adapter/sqlite/a.go", "database/sql", ""},
		{"agent to adapter", "internal/agent/a.go", "internal/adapter/sqlite", "the arrow"},
		{"agent to its proxy", "internal/agent/a.go", "internal/agent/proxy", ""},
		{"proxy to its agent", "internal/agent/proxy/a.go", "internal/agent", "comes before"},
		{"app to adapter", "internal/app/a.go", "internal/adapter/sqlite", ""},
		{"app to sim", "internal/app/a.go", "internal/sim", "the arrow"},
		{"cmd to app", "cmd/flyball/a.go", "internal/app", ""},
		{"cmd to subject", "cmd/flyball/a.go", "internal/flow/change", "the arrow"},
		{"suite to its port", "internal/port/store/storetest/a.go", "internal/port/store", ""},
		{"port to its suite", "internal/port/store/a.go", "internal/port/store/storetest", "not known above"},
		{"no room", "internal/stuff/a.go", "internal/kernel/event", "in no room"},
		{"into no room", "internal/app/a.go", "internal/stuff", "in no room"},
		{"test to adapter", "internal/flow/change/a_test.go", "internal/adapter/git", ""},
		{"test to HTTP", "internal/flow/change/a_test.go", "net/http", ""},
		{"test to a suite", "internal/adapter/sqlite/a_test.go", "internal/port/store/storetest", ""},
		{"test across wings", "internal/feedback/slo/a_test.go", "internal/flow/rollout", "the arrow"},
		{"YAML in a subject", "internal/flow/change/a.go", "go.yaml.in/yaml/v3", "decoded in one place"},
		{"YAML in the kernel", "internal/kernel/resource/a.go", "go.yaml.in/yaml/v3", ""},
		{"bench to its stage", "bench/proxy/a.go", "bench/stage", ""},
		{"bench to bench", "bench/proxy/a.go", "bench/judge", "no package of"},
		{"stage to bench", "bench/stage/a.go", "bench/judge", "comes before"},
		{"a sample on the house", "examples/shop/a.go", "internal/kernel/event", "the arrow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, _ := plant(t, map[string]string{c.file: imports(c.imported)})
			expect(t, CheckImports(tree), c.want)
		})
	}
}

// Each rule on source, broken once and kept once.
func TestSourceRules(t *testing.T) {
	long := strings.Repeat("// line\n", FileLines+1)
	for _, c := range []struct {
		name  string
		check func(*Tree) []Finding
		file  string
		text  string
		want  string
	}{
		{"wall clock", CheckClock, "internal/judge/a.go", "import \"time\"\nvar x = time.Now()\n", "time.Now reads"},
		{"wall clock by another name", CheckClock, "internal/judge/a.go", "import t \"time\"\nvar x = t.Since(t.Time{})\n", "time.Since reads"},
		{"wall clock as a value", CheckClock, "internal/judge/a.go", "import \"time\"\nvar now = time.Now\n", "time.Now reads"},
		{"wall clock by dot", CheckClock, "internal/judge/a.go", "import . \"time\"\nvar x = Now()\n", "dot import"},
		{"timer", CheckClock, "internal/agent/a.go", "import \"time\"\nvar x = time.AfterFunc(1, nil)\n", "time.AfterFunc reads"},
		{"somebody else's Now", CheckClock, "internal/judge/a.go", "import \"time\"\nvar time2 clock\nvar x = time2.Now()\nvar _ = time.Second\n", ""},
		{"the clock itself", CheckClock, "internal/kernel/clock/a.go", "import \"time\"\nvar x = time.Now()\n", ""},
		{"a test's clock", CheckClock, "internal/judge/a_test.go", "import \"time\"\nvar x = time.Now()\n", ""},
		{"init", CheckInit, "internal/judge/a.go", "func init() {}\n", "init runs"},
		{"a method named init", CheckInit, "internal/judge/a.go", "type T int\nfunc (T) init() {}\n", ""},
		{"a name that says nothing", CheckPackages, "internal/flow/util/a.go", "", "says nothing"},
		{"a name that says something", CheckPackages, "internal/flow/change/a.go", "", ""},
		{"another name than the folder's", CheckPackages, "internal/flow/change/a.go", "// Package changes is. It works.\npackage changes\n", "another name"},
		{"no comment", CheckPackages, "internal/flow/change/a.go", "package change\n", "0 sentences"},
		{"one sentence", CheckPackages, "internal/flow/change/a.go", "// Package change follows commits.\npackage change\n", "1 sentences"},
		{"long file", CheckSize, "internal/flow/change/a.go", long, "at most 800"},
		{"file of the longest", CheckSize, "internal/flow/change/a.go", long[8*4:], ""},
		{"large interface", CheckSize, "internal/flow/change/a.go", "type I interface{ A(); B(); C(); D(); E(); F(); G() }\n", "7 methods"},
		{"interface of six and others", CheckSize, "internal/flow/change/a.go", "type I interface{ A(); B(); C(); D(); E(); F(); J }\ntype J interface{ G() }\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, _ := plant(t, map[string]string{c.file: c.text})
			expect(t, c.check(tree), c.want)
		})
	}
}

func TestFurnitureRules(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"facts elsewhere", "state.go", "const EventPushed = \"change.pushed\"\n", "events.go"},
		{"facts in their file", "events.go", "const EventPushed = \"change.pushed\"\n", ""},
		{"kinds elsewhere", "state.go", "func Kinds() {}\n", "resource.go"},
		{"operations elsewhere", "state.go", "type D int\nfunc (D) Operations() {}\n", "operations.go"},
		{"nothing special", "state.go", "func (d D) apply() {}\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, _ := plant(t, map[string]string{"internal/flow/change/doc.go": "", "internal/flow/change/" + c.file: "package change\n" + c.text})
			expect(t, CheckFurniture(tree), c.want)
		})
	}
	tree, _ := plant(t, map[string]string{"internal/flow/change/state.go": ""})
	expect(t, CheckFurniture(tree), "doc.go")
}

// A kernel of many small lines is too large, comments and blanks apart.
func TestKernelSize(t *testing.T) {
	line := "var _ = 1\n"
	full := strings.Repeat(line, KernelLines-2) // with the package clause, one below the bound
	for _, c := range []struct{ name, text, want string }{
		{"below", full, ""},
		{"comments and blanks", full + strings.Repeat("// comment\n\n", 100), ""},
		{"at the bound", full + line, "lines of code"},
		{"a test", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, _ := plant(t, map[string]string{"internal/kernel/event/a.go": c.text, "internal/kernel/event/a_test.go": full + full})
			var kernel []Finding
			for _, f := range CheckSize(tree) {
				if f.Where == "internal/kernel" {
					kernel = append(kernel, f)
				}
			}
			expect(t, kernel, c.want)
		})
	}
}

func TestCodeLines(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 0},
		{"package a\n", 1},
		{"// c\npackage a // c\n\n/* c\nc */\nvar x = 1\n", 2},
		{"package a\nvar x = `1\n\n// text, not comment\n`\n", 5},
		{"package a\nfunc f() { g(); h() }\n", 2},
	} {
		if got := codeLines([]byte(c.text)); got != c.want {
			t.Errorf("%q has %d lines of code, want %d", c.text, got, c.want)
		}
	}
}

func TestNounRules(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"a noun without a page", "internal/flow/change/operations.go", "var _ = S{Noun: \"wish\"}\n", "no page docs/wish.md"},
		{"a noun on another's page", "internal/flow/change/operations.go", "var _ = S{Noun: \"action\"}\n", "no page docs/release.md"},
		{"a noun with a page", "internal/flow/change/operations.go", "var _ = S{Noun: \"change\"}\n", ""},
		{"a subject without a page", "internal/flow/wish/a.go", "", "no page docs/wish.md"},
		{"an event of no room", "internal/flow/change/events.go", "const EventX = \"wish.granted\"\n", "named after no room"},
		{"an event of its room", "internal/flow/change/events.go", "const EventX = \"change.pushed\"\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, root := plant(t, map[string]string{c.file: c.text, "docs/change.md": "# Change\n"})
			expect(t, CheckNouns(tree, root), c.want)
		})
	}
}

func TestFieldRules(t *testing.T) {
	defer func(before []struct{ Dir, Type, Page string }) { Specs = before }(Specs)
	Specs = Specs[:1]
	for _, c := range []struct{ name, text, page, want string }{
		{"described", "type ServiceSpec struct {\n\tTeam string `json:\"team,omitempty\"`\n}\n", "| `team` | owner |", ""},
		{"not described", "type ServiceSpec struct {\n\tTeam string `json:\"team\"`\n}\n", "| `teams` | owner |", "does not mention the field team"},
		{"no such type", "type Spec int\n", "| `team` | owner |", "no type ServiceSpec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, root := plant(t, map[string]string{"internal/catalog/resource.go": c.text, "docs/resources.md": c.page})
			findings, err := CheckFields(tree, root)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, findings, c.want)
		})
	}
}

func TestLinkRules(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a page", "[a](docs/a.md)", ""},
		{"no page", "[a](docs/b.md)", "leads nowhere"},
		{"a heading", "[a](docs/a.md#how-it-is-decided)", ""},
		{"no heading", "[a](docs/a.md#why)", "does not have"},
		{"its own heading", "# One\n[a](#one)", ""},
		{"elsewhere", "[a](https://example.com/x)", ""},
		{"in code", "`[a](docs/b.md)`", ""},
		{"in a fence", "```\n[a](docs/b.md)\n```", ""},
		{"an image", "![a](docs/images/a.png)", "leads nowhere"},
		{"a path", "see `internal/judge`", ""},
		{"no path", "see `internal/jury/jury.go`", "there is no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, root := plant(t, map[string]string{"README.md": c.text, "docs/a.md": "## How it is decided\n", "internal/judge/a.go": ""})
			findings, err := CheckLinks(root)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, findings, c.want)
		})
	}
}

func TestRewrite(t *testing.T) {
	tree, _ := plant(t, map[string]string{"internal/judge/doc.go": ""})
	page := "# A\n" + begin + "\nstale\n" + end + "\ntour\n"
	got, err := Rewrite(page, tree)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got, "stale") || !strings.Contains(got, "- [judge](internal/judge): is one thing.") || !strings.HasSuffix(got, "\ntour\n") {
		t.Errorf("rewritten to\n%s", got)
	}
	if again, err := Rewrite(got, tree); err != nil || again != got {
		t.Errorf("rewriting twice differs: %v\n%s", err, again)
	}
	if _, err := Rewrite("# A\n", tree); err == nil {
		t.Error("a page without marks was rewritten")
	}
}

// expect wants exactly one finding that says so, or none.
func expect(t *testing.T, findings []Finding, want string) {
	t.Helper()
	switch {
	case want == "" && len(findings) > 0:
		t.Errorf("refused: %v", findings)
	case want != "" && len(findings) == 0:
		t.Error("not refused")
	case want != "" && !strings.Contains(findings[0].String(), want):
		t.Errorf("refused as %v, want %q", findings, want)
	}
}
