package sim

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSeeds runs worlds, each of another seed. FLYBALL_SIM_SEEDS sets how many.
func TestSeeds(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 100
	}
	if s := os.Getenv("FLYBALL_SIM_SEEDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	// Worlds are many and short-lived: collect less often.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	failed := 0
	began := time.Now()
	total := RunAll(n, t.TempDir(), func(r Result) {
		if len(r.Violations) == 0 {
			return
		}
		if failed++; failed <= 10 {
			t.Errorf("seed %d: FLYBALL_SIM_SEED=%d go test ./internal/sim -run TestSeed$ -v\n  %s", r.Seed, r.Seed, lines(r.Violations))
		}
	})
	t.Logf("%d seeds in %.0f s, %d failed: %s", n, time.Since(began).Seconds(), failed, total)
}

func lines(all []Violation) string {
	var out []string
	for _, v := range all[:min(len(all), 5)] {
		out = append(out, v.String())
	}
	return strings.Join(out, "\n  ")
}

// TestSeed runs the one world of FLYBALL_SIM_SEED, with its whole story.
func TestSeed(t *testing.T) {
	s := os.Getenv("FLYBALL_SIM_SEED")
	if s == "" {
		t.Skip("FLYBALL_SIM_SEED names no seed")
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	r := Run(Options{Seed: seed, State: t.TempDir(), Trace: os.Stdout})
	fmt.Println(r)
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// TestReproducible: the same seed gives the same history.
func TestReproducible(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		a, b := Run(Options{Seed: seed, State: t.TempDir()}), Run(Options{Seed: seed, State: t.TempDir()})
		if a.Digest != b.Digest {
			t.Errorf("seed %d: history %s, then %s", seed, a.Digest, b.Digest)
		}
	}
}
