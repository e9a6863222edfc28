package main

import "testing"

// The ledger charges bad events to whom they belong: at least 95 % of all, and
// of those that a cause made bad.
func TestTruth(t *testing.T) {
	var all score
	for _, s := range scenarios {
		sum, err := play(s, 1, 2, 14, false)
		if err != nil {
			t.Fatal(err)
		}
		if share := sum.right / sum.total; share < 0.85 {
			t.Errorf("%s: %.1f %% right, want at least 85 %% of each scenario", s.name, 100*share)
		}
		all.add(sum)
	}
	t.Logf("%.2f %% right, of those with a cause %.2f %%\n%s", 100*all.right/all.total, 100*all.causedRight/all.caused, all.table())
	if share := all.right / all.total; share < 0.95 {
		t.Errorf("%.2f %% of the bad events are charged to whom they belong, want 95 %%", 100*share)
	}
	if share := all.causedRight / all.caused; share < 0.95 {
		t.Errorf("%.2f %% of the bad events with a cause are charged to it, want 95 %%", 100*share)
	}
}
