package sim

import "slices"

// Found is how a planted bug was found.
type Found struct {
	Bug       *Bug
	Seed      uint64    // the first that violates the bug's invariant; 0: none did
	Tried     int       // seeds, from 1
	Violation Violation // the first of the bug's invariant
	Others    []string  // other invariants that were violated up to there
}

// Find runs seeds from 1 until a planted bug is found by its invariant.
func Find(b *Bug, seeds int, state string) Found {
	f := Found{Bug: b}
	for seed := uint64(1); f.Tried < seeds; seed++ {
		f.Tried++
		for _, v := range Run(Options{Seed: seed, State: state, Bug: b}).Violations {
			switch {
			case v.Invariant == b.Caught && f.Seed == 0:
				f.Seed, f.Violation = seed, v
			case v.Invariant != b.Caught && !slices.Contains(f.Others, v.Invariant):
				f.Others = append(f.Others, v.Invariant)
			}
		}
		if f.Seed > 0 {
			break
		}
	}
	return f
}
