// Command ledger measures how much of a spent error budget the ledger charges to
// whom it belongs: simulated services with planted, overlapping causes, many
// seeds. The same flags print the same figures.
//
//	go run ./bench/ledger -seeds 20
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	seeds := flag.Int("seeds", 20, "simulated services per scenario")
	days := flag.Int("days", 28, "days of the window, at least 10")
	seed := flag.Uint64("seed", 1, "seed of the first")
	only := flag.String("only", "", "scenarios whose name contains this")
	show := flag.Bool("show", false, "print each service's causes: what they made bad and what they are charged with")
	flag.Parse()
	if *seeds < 1 || *days < 10 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	began := time.Now()
	var all score
	fmt.Printf("The ledger on %d simulated services per scenario: a window of %d days, 600 requests a minute by day and night\n", *seeds, *days)
	fmt.Printf("(40 to 160 %%), 0.1 %% of them bad without a cause.\n\n")
	fmt.Printf("%-54s %9s %9s %9s %9s\n", "scenario", "bad", "right", "caused", "worst")
	for _, s := range scenarios {
		if !strings.Contains(s.name, *only) {
			continue
		}
		sum, err := play(s, *seed, *seeds, *days, *show)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%-54s %9.0f %s %s %s\n", s.name, sum.total, percent(sum.right, sum.total), percent(sum.causedRight, sum.caused), percent(sum.worst, 1))
		all.add(sum)
	}
	fmt.Printf("%-54s %9.0f %s %s %s\n\n", "all", all.total, percent(all.right, all.total), percent(all.causedRight, all.caused), percent(all.worst, 1))
	fmt.Println("right: bad events in the share they belong to; caused: of those that a cause made bad;")
	fmt.Println("worst: right of the worst service.")
	fmt.Println()
	fmt.Print(all.table())
	fmt.Printf("\n%d ledgers in %.0f s.\n", all.runs, time.Since(began).Seconds())
	if err := cost(*days); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func percent(a, b float64) string {
	if b == 0 {
		return "        –"
	}
	return fmt.Sprintf("%7.1f %%", 100*a/b)
}
