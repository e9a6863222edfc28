package sim

import (
	"os"
	"strings"
	"testing"
)

// TestDocs: docs/simulation.md lists every invariant and every planted bug.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range Invariants() {
		if !strings.Contains(string(doc), "| "+rule+" |") {
			t.Errorf("docs/simulation.md does not list the invariant %q", rule)
		}
	}
	for _, b := range Bugs() {
		if !strings.Contains(string(doc), "| "+b.Name+" | "+b.Caught) {
			t.Errorf("docs/simulation.md does not list %q as found by %q; print the table with go run ./bench/sim -bugs", b.Name, b.Caught)
		}
	}
}
