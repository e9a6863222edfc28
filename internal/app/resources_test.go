package app

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var update = flag.Bool("update", false, "write the findings into testdata/bad")

// Every archive in testdata/bad holds a directory of resources and, as
// "findings", every message it must get, in order.
func TestBadResources(t *testing.T) {
	archives, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files, want := map[string][]byte{}, ""
			var kept []txtar.File
			for _, f := range a.Files {
				if f.Name == "findings" {
					want = string(f.Data)
					continue
				}
				files[f.Name] = f.Data
				kept = append(kept, f)
			}
			set, findings := resource.Load(Kinds(), files)
			if set != nil {
				t.Error("the directory was accepted")
			}
			var got strings.Builder
			for _, f := range findings {
				got.WriteString(f.String() + "\n")
			}
			if *update {
				a.Files = append(kept, txtar.File{Name: "findings", Data: []byte(got.String())})
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("findings:\n%swant:\n%s", got.String(), want)
			}
		})
	}
}

const good = `apiVersion: flyball.dev/v1
kind: Service
metadata: {name: checkout}
spec:
  team: payments
  build: go build -o bin/checkout ./cmd/checkout
  files: [bin/checkout]
  run: bin/checkout
  traffic: 600/min
  objectives: {availability: 99.9%, latency: 99% < 300ms}
---
apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {}
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: prod}
spec: {rollout: {steps: [1%, 10%]}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: search-fast, labels: {tier: [gold, silver]}}
spec:
  service: checkout
  budgetingMethod: Occurrences
  timeWindow: [{duration: 7d, isRolling: true}]
  indicator:
    metadata: {name: fast}
    spec:
      ratioMetric:
        counter: true
        total: {metricSource: {type: flyball, spec: {query: requests}}}
        good: {metricSource: {type: flyball, spec: {query: faster than 100ms}}}
  objectives: [{displayName: fast, target: 0.95}]
`

// What was decoded survives the way through an event, and defaults are filled
// in.
func TestGoodResources(t *testing.T) {
	set, findings := resource.Load(Kinds(), map[string][]byte{"a.yaml": []byte(good)})
	if set == nil {
		t.Fatal(findings)
	}
	o := set.Find(catalog.KindService, "checkout")
	raw, err := json.Marshal(o.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var s catalog.ServiceSpec
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if s.Traffic.PerSecond() != 10 || s.Objectives.Latency.Share != 99 || s.Objectives.Latency.Threshold.String() != "300ms" || s.Host != "checkout.localhost" || s.Instances != 1 {
		t.Errorf("decoded and back: %+v", s)
	}
	if d := set.Find("SLO", "search-fast").Spec.(*resource.Document); d.Line != 22 {
		t.Errorf("the OpenSLO document begins in line %d, want 22", d.Line)
	}
	if got := set.Find(catalog.KindTeam, "payments").Text; !strings.HasPrefix(got, "apiVersion") || strings.Contains(got, "---") {
		t.Errorf("text of the second document: %q", got)
	}
}

// No input makes decoding panic, and what is accepted can be written as an event.
func FuzzResources(f *testing.F) {
	f.Add([]byte(good))
	archives, _ := filepath.Glob("testdata/bad/*.txtar")
	for _, file := range archives {
		if a, err := txtar.ParseFile(file); err == nil {
			for _, x := range a.Files {
				f.Add(x.Data)
			}
		}
	}
	kinds := Kinds()
	f.Fuzz(func(t *testing.T, data []byte) {
		set, findings := resource.Load(kinds, map[string][]byte{"fuzz.yaml": data})
		if set == nil {
			if len(findings) == 0 {
				t.Fatal("refused without a finding")
			}
			return
		}
		for _, o := range set.All() {
			if _, err := json.Marshal(o.Spec); err != nil {
				t.Fatalf("%s cannot be recorded: %v", o.Key(), err)
			}
		}
	})
}
