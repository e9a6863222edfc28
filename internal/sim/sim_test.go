package sim

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestSeeds runs worlds, each of another seed. FLYBALL_SIM_SEEDS sets how many.
func TestSeeds(t *testing.T) {
	n := 1500
	if testing.Short() {
		n = 200
	}
	if s := os.Getenv("FLYBALL_SIM_SEEDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	var mu sync.Mutex
	total := Result{Outcomes: map[string]int{}}
	failed := 0
	each(n, func(seed uint64) {
		r := Run(Options{Seed: seed, State: t.TempDir()})
		mu.Lock()
		defer mu.Unlock()
		total.add(r)
		if len(r.Violations) > 0 {
			if failed++; failed <= 10 {
				t.Errorf("seed %d: FLYBALL_SIM_SEED=%d go test ./internal/sim -run TestSeed$ -v\n  %s", seed, seed, lines(r.Violations))
			}
		}
	})
	t.Logf("%d seeds, %d failed: %s", n, failed, total)
}

// each runs f for seeds 1 to n, as many at once as there are processors.
func each(n int, f func(seed uint64)) {
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for s := range seeds {
				f(s)
			}
		})
	}
	for s := range n {
		seeds <- uint64(s + 1)
	}
	close(seeds)
	wg.Wait()
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
	for seed := uint64(1); seed <= 40; seed++ {
		a, b := Run(Options{Seed: seed, State: t.TempDir()}), Run(Options{Seed: seed, State: t.TempDir()})
		if a.Digest != b.Digest {
			t.Errorf("seed %d: history %s, then %s", seed, a.Digest, b.Digest)
		}
	}
}
