// Command sim runs the simulation: many seeds, one seed with its whole story,
// or the table of planted bugs (docs/simulation.md).
//
//	go run ./bench/sim -seeds 10000
//	go run ./bench/sim -seed 17
//	go run ./bench/sim -bugs
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/sim"
)

func main() {
	seeds := flag.Int("seeds", 10000, "how many seeds to run, from 1")
	seed := flag.Uint64("seed", 0, "run this one seed and tell its story")
	bugs := flag.Bool("bugs", false, "plant each bug of the table and print how it was found")
	flag.Parse()
	state, err := os.MkdirTemp("", "flyball-sim-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer os.RemoveAll(state)
	debug.SetGCPercent(800) // worlds are many and short-lived
	failed := false
	switch {
	case *seed > 0:
		r := sim.Run(sim.Options{Seed: *seed, State: state, Trace: os.Stdout})
		fmt.Println(r)
		failed = len(r.Violations) > 0
	case *bugs:
		failed = table(state)
	default:
		failed = many(*seeds, state)
	}
	if failed {
		os.RemoveAll(state)
		os.Exit(1)
	}
}

// many runs seeds and tells what they came to.
func many(n int, state string) (failed bool) {
	began := time.Now()
	total := sim.RunAll(n, state, func(r sim.Result) {
		for _, v := range r.Violations {
			fmt.Printf("seed %d: %s\n", r.Seed, v)
			failed = true
		}
	})
	took := time.Since(began)
	fmt.Printf("%d seeds: %s\n", n, total)
	fmt.Printf("%.0f s on %d processors, %.0f seeds a second, %d violations\n", took.Seconds(), runtime.GOMAXPROCS(0), float64(n)/took.Seconds(), len(total.Violations))
	return failed
}

// table prints, for each planted bug, which invariant found it and with how
// many seeds.
func table(state string) (failed bool) {
	fmt.Println("| planted bug | found by the invariant | seeds needed |")
	fmt.Println("| --- | --- | --- |")
	for _, b := range sim.Bugs() {
		f := sim.Find(b, 300, state)
		needed := fmt.Sprint(f.Tried)
		if f.Seed == 0 {
			needed, failed = "NOT FOUND", true
		}
		also := ""
		if len(f.Others) > 0 {
			also = "; also: " + strings.Join(f.Others, "; ")
		}
		fmt.Printf("| %s | %s%s | %s |\n", b.Name, b.Caught, also, needed)
	}
	return failed
}
