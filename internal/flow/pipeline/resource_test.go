package pipeline_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var update = flag.Bool("update", false, "write what the code gives into testdata")

// load decodes one pipeline file and returns its spec, nil with findings of
// severity error, and the findings, one a line.
func load(t testing.TB, text []byte) (*pipeline.Spec, string) {
	t.Helper()
	set, findings := resource.Load(resource.NewRegistry(pipeline.Kinds()...), map[string][]byte{"pipeline.yaml": text})
	var lines strings.Builder
	for _, f := range findings {
		lines.WriteString(f.String() + "\n")
	}
	if set == nil {
		return nil, lines.String()
	}
	specs, _ := resource.Specs[pipeline.Spec](set, pipeline.KindPipeline)
	if len(specs) == 0 {
		return nil, lines.String()
	}
	return &specs[0], lines.String()
}

const header = "apiVersion: flyball.dev/v1\nkind: Pipeline\nmetadata: {name: ci}\nspec:\n"

// Each file of testdata/bad is a spec and the findings it must get.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, got := load(t, a.Files[0].Data)
			compare(t, file, a, 1, got)
		})
	}
}

// compare checks a section of a txtar file, or writes it with -update.
func compare(t *testing.T, file string, a *txtar.Archive, section int, got string) {
	t.Helper()
	if *update {
		a.Files[section].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(a.Files[section].Data); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestForms(t *testing.T) {
	spec, findings := load(t, []byte(header+`
  on: {push: {branches: [main, 'release/**', '!release/old']}}
  env: {CI: true, PORT: 8080}
  concurrency: ci-${{ change.branch }}
  jobs:
    build: &b
      steps: [{id: v, run: make}]
      outputs: {version: "${{ steps.v.outputs.version }}"}
    test: {needs: build, steps: [{run: make test, timeout-minutes: 1.5, continue-on-error: true}]}
    ship:
      needs: [build, test]
      if: ${{ needs.build.outputs.version != '' }}
      environment: prod
      concurrency: {group: prod, cancel-in-progress: false}
      steps: [{run: ./ship, env: {TOKEN: "${{ secrets.SHIP_TOKEN }}", S: "${{ change.subject }}"}}]
`))
	if findings != "" {
		t.Fatalf("findings:\n%s", findings)
	}
	if spec.Env["PORT"] != "8080" || spec.Concurrency.Group != "ci-${{ change.branch }}" || spec.Jobs["test"].Needs[0] != "build" {
		t.Errorf("spec = %+v", spec)
	}
	for branch, want := range map[string]bool{"main": true, "release/1/2": true, "release/old": false, "feature": false, "xmain": false} {
		if spec.Starts(branch, "trunk") != want {
			t.Errorf("Starts(%s) = %v", branch, !want)
		}
	}
	if plain := (pipeline.Spec{}); !plain.Starts("trunk", "trunk") || plain.Starts("main", "trunk") {
		t.Error("without on, the watched branch starts a run and no other")
	}
	// A run records its spec as JSON.
	data, err := json.Marshal(spec)
	var back pipeline.Spec
	if err == nil {
		err = json.Unmarshal(data, &back)
	}
	again, _ := json.Marshal(back)
	if err != nil || string(data) != string(again) {
		t.Errorf("%v\n%s\n%s", err, data, again)
	}
}

// The pipelines shown in the documentation are valid.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/pipeline.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.Contains(text, "kind: Pipeline") {
			continue
		}
		shown++
		if spec, findings := load(t, []byte(text)); spec == nil || findings != "" {
			t.Errorf("findings:\n%s", findings)
		}
	}
	if shown == 0 {
		t.Error("no pipeline is shown")
	}
}

// findings collects what Check reports.
type findings struct{ errors, warnings []string }

func (f *findings) Errorf(path, code, format string, args ...any) {
	f.errors = append(f.errors, path+" "+code)
}
func (f *findings) Warnf(path, code, format string, args ...any) {
	f.warnings = append(f.warnings, path+" "+code)
}

func TestFromCommands(t *testing.T) {
	for _, s := range []pipeline.Spec{
		pipeline.FromCommands("make", "make test", []string{"bin/server"}),
		pipeline.FromCommands("", "", nil),
	} {
		var f findings
		if s.Check(&f); len(f.errors)+len(f.warnings) > 0 {
			t.Errorf("%+v: %v", s, f)
		}
	}
	s := pipeline.FromCommands("make", "", []string{"x"}).Jobs["build"]
	if len(s.Steps) != 1 || s.Steps[0].Run != "make" || s.Artifact.Files[0] != "x" {
		t.Errorf("job = %+v", s)
	}
}

// Whatever the file, decoding it neither panics nor takes long, and what is
// accepted can be scheduled.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(header + "  jobs: {a: {steps: [{run: x}]}}\n"))
	f.Add([]byte(header + "  on: [push]\n  jobs: {a: {needs: b, if: 'failure()', steps: [{run: 'x ${{ env.Y }}', env: {Y: 1}}]}, b: {steps: [{run: y}]}}\n"))
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil {
			f.Add(a.Files[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		spec, _ := load(t, text)
		if spec == nil {
			return
		}
		r := newRun(t, *spec)
		pipeline.Decide(pipeline.View{Run: r.Run, Slots: 4, Granted: r.grants()})
	})
}
