package sim

import (
	"slices"
	"testing"
)

// TestPlantedBugs: every bug of the table is found, by the invariant that the
// table names.
func TestPlantedBugs(t *testing.T) {
	for _, bug := range Bugs() {
		t.Run(bug.Name, func(t *testing.T) {
			t.Parallel()
			f := Find(bug, 600, t.TempDir())
			if f.Seed == 0 {
				t.Fatalf("not found by %q in %d seeds, but by %q", bug.Caught, f.Tried, f.Others)
			}
			t.Logf("seed %d: %s; also found by %q", f.Seed, f.Violation, f.Others)
		})
	}
}

// TestTableIsWhole: every invariant has a bug that shows that it can fail.
// The chain's own is shown by the suite of the store, which forges an event.
func TestTableIsWhole(t *testing.T) {
	for _, rule := range Invariants() {
		if rule != ruleChain && !slices.ContainsFunc(Bugs(), func(b *Bug) bool { return b.Caught == rule }) {
			t.Errorf("no planted bug shows that %q can be violated", rule)
		}
	}
}
