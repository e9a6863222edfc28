package policy

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var update = flag.Bool("update", false, "write what came out into the scenarios")

// TestScenarios runs testdata/*.txtar: policy.yaml (absent: the built-in one),
// facts.json (Inputs without the policy), now, and the outcome in want.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := scenario(t, archive)
			for i, f := range archive.Files {
				if f.Name != "want" || string(f.Data) == got {
					continue
				}
				if !*update {
					t.Errorf("got\n%s\nwant\n%s", got, f.Data)
					continue
				}
				archive.Files[i].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func scenario(t *testing.T, a *txtar.Archive) string {
	in := Inputs{Policy: DefaultName, Spec: Default(), Complete: true}
	var now time.Time
	for _, f := range a.Files {
		switch f.Name {
		case "policy.yaml":
			set, findings := resource.Load(resource.NewRegistry(Kinds()...), map[string][]byte{f.Name: f.Data})
			if set == nil {
				t.Fatal(findings)
			}
			specs, meta := resource.Specs[Spec](set, KindBudgetPolicy)
			in.Policy, in.Spec = meta[0].Name, specs[0]
		case "facts.json":
			if err := json.Unmarshal(f.Data, &in); err != nil {
				t.Fatal(err)
			}
		case "now":
			var err error
			if now, err = time.Parse(time.RFC3339, strings.TrimSpace(string(f.Data))); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := Evaluate(in, now)
	// What is recorded gives the same outcome again.
	stored, _ := json.Marshal(in)
	var again Inputs
	if err := json.Unmarshal(stored, &again); err != nil {
		t.Fatal(err)
	}
	if second := Evaluate(again, now); second != o {
		t.Errorf("from the stored inputs: %+v, was %+v", second, o)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "effect: %s\nrule: %s\n", o.Effect, o.Rule)
	fmt.Fprintf(&b, "share: %g, approvals: %d, frozen: %t\n", o.BudgetShare, o.Approvals, o.Frozen)
	fmt.Fprintf(&b, "reason: %s\n", o.Reason)
	if o.Unblock != "" {
		fmt.Fprintf(&b, "unblock: %s\n", o.Unblock)
	}
	return b.String()
}

// TestBad checks that each mistake in testdata/bad gets the message beside it.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) == 0 {
		t.Fatal("no bad inputs")
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, findings := resource.Load(resource.NewRegistry(Kinds()...), map[string][]byte{"policy.yaml": archive.Files[0].Data})
		var got strings.Builder
		for _, f := range findings {
			fmt.Fprintln(&got, f)
		}
		if *update {
			archive.Files[1].Data = []byte(got.String())
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want := string(archive.Files[1].Data); got.String() != want {
			t.Errorf("%s: got\n%swant\n%s", file, got.String(), want)
		}
	}
}

// TestGravestDecides: adding an objective never makes a policy milder, and
// less budget never does either.
func TestGravestDecides(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.Custom(func(t *rapid.T) Budget {
			r := rapid.Float64Range(-2, 1).Draw(t, "remaining")
			return Budget{Key: "s.e.o", Remaining: r, Level: levelOf(r), Burn1h: rapid.Float64Range(0, 100).Draw(t, "burn")}
		})
		in := Inputs{Policy: DefaultName, Spec: Default(), Service: "s", Environment: "e", Objectives: rapid.SliceOfN(budget, 1, 4).Draw(t, "objectives")}
		before := severity[Evaluate(in, now).Effect]
		in.Objectives = append(in.Objectives, budget.Draw(t, "another"))
		if after := severity[Evaluate(in, now).Effect]; after < before {
			t.Fatalf("another objective made it milder: %d, was %d", after, before)
		}
		i := rapid.IntRange(0, len(in.Objectives)-1).Draw(t, "which")
		before = severity[Evaluate(in, now).Effect]
		in.Objectives[i].Remaining -= rapid.Float64Range(0, 1).Draw(t, "spent")
		if after := severity[Evaluate(in, now).Effect]; after < before {
			t.Fatalf("less budget made it milder: %d, was %d", after, before)
		}
	})
}

func FuzzCondition(f *testing.F) {
	for _, s := range []string{"remaining > 0.5", `marked in ["fix"]`, "true", "1 / 0 == 1", "remaining", "[1,2].all(x, [3,4].all(y, x < y))", "", "a.b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, condition string) {
		if err := language.Check(condition); err != nil {
			return
		}
		_, _ = holds(condition, Facts{Budget: Budget{Remaining: 0.3}, Service: "s"})
	})
}
