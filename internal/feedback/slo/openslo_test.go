package slo

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func read(t testing.TB, path string) File {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return File{Name: filepath.Base(path), Data: data}
}

// Each file of testdata/good reads without errors, as its golden file says.
func TestGoodFiles(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.yaml")
	if len(files) < 10 {
		t.Fatalf("only %d files", len(files))
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			defs := Decode(read(t, path))
			got := describe(defs)
			if err := defs.Err(); err != nil {
				t.Fatalf("%v", err)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(read(t, golden).Data); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func describe(defs *Definitions) string {
	var b strings.Builder
	for _, o := range defs.Objectives {
		fmt.Fprintf(&b, "%s:%d %s target %s over %s by %s", o.File, o.Line, o.ID(), o.Target, o.Window, o.Method)
		if o.sliced() {
			fmt.Fprintf(&b, " of %s at %s", FormatDuration(o.SliceWindow), o.SliceTarget)
		}
		fmt.Fprintf(&b, "\n  weight %s composite %q traffic %d groups %q labels %v\n", o.Weight, o.Composite, o.Traffic, o.GroupBy, o.Labels)
		ind := o.Indicator
		fmt.Fprintf(&b, "  %s %q counter %v failures %v %s %s\n", ind.Kind, ind.Name, ind.Counter, ind.Failures, ind.Op, ind.Threshold)
		for name, s := range map[string]*Source{"good": ind.Good, "bad": ind.Bad} {
			if s != nil {
				fmt.Fprintf(&b, "    %s %s: %s\n", name, s.Type, s.Query)
			}
		}
		for _, s := range []*Source{ind.Total, ind.Value} {
			if s != nil {
				fmt.Fprintf(&b, "    of %s: %s\n", s.Type, s.Query)
			}
		}
		for _, r := range o.Rules() {
			fmt.Fprintf(&b, "  alert %s %s %s after %s floor %d to %q\n", r.Policy.Name, r.Policy.Severity, r.Condition, FormatDuration(r.Policy.After), r.Policy.MinBad, r.Policy.Targets)
		}
	}
	for _, f := range defs.Findings {
		fmt.Fprintln(&b, f.Code, f)
	}
	return b.String()
}

var wantForm = regexp.MustCompile(`^# want ([0-9]+):([0-9]+) (error|warning) ([a-z-]+)(?:: (.*))?$`)

// Each file of testdata/bad names the findings it must get, and gets no other
// errors.
func TestBadFiles(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	if len(files) < 40 {
		t.Fatalf("only %d files", len(files))
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file := read(t, path)
			defs := Decode(file)
			if defs.Err() == nil {
				t.Fatalf("it is accepted; findings: %v", defs.Findings)
			}
			wanted := map[string]bool{}
			for line := range strings.Lines(string(file.Data)) {
				m := wantForm.FindStringSubmatch(strings.TrimSpace(line))
				if m == nil {
					continue
				}
				wanted[m[4]] = true
				found := false
				for _, f := range defs.Findings {
					found = found || f.File == file.Name && strconv.Itoa(f.Line) == m[1] && strconv.Itoa(f.Column) == m[2] &&
						f.Severity == m[3] && f.Code == m[4] && strings.Contains(f.Message, m[5])
				}
				if !found {
					t.Errorf("no finding %q among:\n%s", line, describe(defs))
				}
			}
			if len(wanted) == 0 {
				t.Error("the file names no finding")
			}
			for _, f := range defs.Findings {
				if f.Severity == "error" && !wanted[f.Code] {
					t.Errorf("unexpected: %s %v", f.Code, f)
				}
			}
		})
	}
}

// An alias bomb unfolds to 10^9 nodes; reading it must stay cheap.
func TestAliasBombIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: bomb, labels: {x: *i}}\nspec: {}\n")
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		prev := string(c - 1)
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+prev+",", 10), ","))
	}
	start := time.Now()
	defs := Decode(File{Name: "bomb.yaml", Data: []byte(bomb + b.String())})
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if !strings.Contains(describe(defs), "too-complex") {
		t.Errorf("findings: %v", clip(describe(defs), 2000))
	}
}

func TestReferencesAcrossFiles(t *testing.T) {
	all := string(read(t, "testdata/good/references.yaml").Data)
	var files []File
	for i, doc := range strings.Split(all, "\n---\n") {
		files = append([]File{{Name: fmt.Sprintf("%d.yaml", i), Data: []byte(doc)}}, files...) // referrers first
	}
	defs := Decode(files...)
	if err := defs.Err(); err != nil {
		t.Fatal(err)
	}
	if len(defs.Objectives) != 2 || len(defs.Objectives[0].AlertPolicies) != 2 || len(defs.NotificationTargets) != 1 || len(defs.DataSources) != 1 {
		t.Errorf("got %s", describe(defs))
	}
}

func FuzzDecode(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, path := range files {
			f.Add(read(f, path).Data)
		}
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("apiVersion: openslo/v1\nkind: SLO\nmetadata: &m {name: x, <<: *m}\nspec: {}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defs := Decode(File{Name: "f.yaml", Data: data})
		for _, o := range defs.Objectives {
			if findings := o.Check(); len(findings) > 0 {
				t.Fatalf("a decoded objective is not valid: %v", findings)
			}
		}
		for _, finding := range defs.Findings {
			if finding.Code == "" || finding.Message == "" || finding.Line < 1 || finding.Column < 1 || finding.File == "" {
				t.Fatalf("a finding without its place: %+v", finding)
			}
		}
	})
}
