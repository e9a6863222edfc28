// Command judge measures the judge of canaries on seeded streams, in process:
// how often it sends an equal canary back, how soon it finds a worse one and
// what that costs, beside models of the rules in use elsewhere on the same
// streams. The same flags print the same figures.
//
//	go run ./bench/judge -streams 10000
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
)

const half = 30 * time.Minute

// scenarios are the rows of the comparison. The canary receives a tenth of the
// traffic.
var scenarios = []scenario{
	{Name: "equal, 12/min", PerMinute: 12, Base: 0.005, Times: 1},
	{Name: "equal, 120/min", PerMinute: 120, Base: 0.005, Times: 1},
	{Name: "equal, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 1},
	{Name: "equal, bursts of 3, 12/min", PerMinute: 12, Base: 0.005, Times: 1, Burst: 3},
	{Name: "equal, bursts of 3, 120/min", PerMinute: 120, Base: 0.005, Times: 1, Burst: 3},
	{Name: "equal, bursts of 3, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 1, Burst: 3},
	{Name: "equal, both ten times worse every 5th min, 120/min", PerMinute: 120, Base: 0.005, Times: 1, Shock: 10},
	{Name: "equal, cold: 10× for 1 min, 12/min", PerMinute: 12, Base: 0.005, Times: 1, Cold: 10},
	{Name: "equal, cold: 10× for 1 min, 120/min", PerMinute: 120, Base: 0.005, Times: 1, Cold: 10},
	{Name: "equal, cold: 10× for 1 min, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 1, Cold: 10},
	{Name: "0.5 → 1.5 %, 120/min", PerMinute: 120, Base: 0.005, Times: 3},
	{Name: "0.5 → 1.5 %, bursts of 3, 120/min", PerMinute: 120, Base: 0.005, Times: 3, Burst: 3},
	{Name: "0.5 → 1.5 % from minute 10, 1,200/min", PerMinute: 1200, Base: 0.005, Times: 3, From: 10 * time.Minute},
	{Name: "0.1 → 0.4 %, 1,200/min", PerMinute: 1200, Base: 0.001, Times: 4},
	{Name: "every request bad, 120/min", PerMinute: 120, Base: 0.005, Times: 200},
}

func main() {
	streams := flag.Int("streams", 10000, "streams per case")
	seed := flag.Uint64("seed", 1, "seed of the random numbers")
	flag.Parse()
	if *streams < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	began := time.Now()
	fmt.Printf("The judge on %d seeded streams per case: half an hour, weight 10 %%, one-second bins,\n", *streams)
	fmt.Printf("a check a minute for the threshold rules (line 99 %%), alpha = 1 %%, seed %d.\n\n", *seed)
	printRates(*streams, *seed)
	printShort(*streams, *seed)
	printIntervals(max(1, *streams/5), *seed)
	printRollouts(max(1, *streams/50), *seed)
	fmt.Printf("\n%d goroutines, %.0f s\n", workers(), time.Since(began).Seconds())
}

func workers() int { return runtime.GOMAXPROCS(0) }

// sample is what one rule did on all streams of one scenario.
type sample struct {
	back    int
	minutes []float64 // to going back; +Inf if it did not; sorted
	bad     []float64 // bad canary requests until then, or in all; sorted
}

// measure runs all rules on the same streams.
func measure(s scenario, streams int, seed uint64) []sample {
	out := make([]sample, len(rules))
	var mu sync.Mutex
	parallel(streams, func(i int, t tables) {
		minutes, bad := watch(newStream(s, seed, uint64(i), t))
		mu.Lock()
		defer mu.Unlock()
		for j := range rules {
			out[j].minutes = append(out[j].minutes, minutes[j])
			out[j].bad = append(out[j].bad, bad[j])
			if !math.IsInf(minutes[j], 1) {
				out[j].back++
			}
		}
	})
	for j := range out {
		slices.Sort(out[j].minutes)
		slices.Sort(out[j].bad)
	}
	return out
}

// watch runs all rules on one stream until all went back or it ends.
func watch(s *stream) (minutes, bad []float64) {
	running := len(rules)
	var judges []rule
	for _, r := range rules {
		judges = append(judges, r.make(s.scenario))
		minutes, bad = append(minutes, math.Inf(1)), append(bad, 0)
	}
	served := 0.0
	for sec := 0; sec < int(s.Length.Seconds()) && running > 0; sec++ {
		b := s.bin(sec)
		served += float64(b.Canary.Bad)
		for j, r := range judges {
			if r == nil {
				continue
			}
			bad[j] = served
			if r.back(sec, b) {
				minutes[j], judges[j] = float64(sec+1)/60, nil
				running--
			}
		}
	}
	return minutes, bad
}

// parallel calls do for 0 to n−1 on all cores; each goroutine has its tables.
func parallel(n int, do func(i int, t tables)) {
	var group sync.WaitGroup
	for w := range workers() {
		group.Go(func() {
			t := tables{}
			for i := w; i < n; i += workers() {
				do(i, t)
			}
		})
	}
	group.Wait()
}

func printRates(streams int, seed uint64) {
	header := []string{"share sent back (median minutes)"}
	for _, r := range rules {
		header = append(header, r.name)
	}
	rates, bounds, costs := [][]string{header}, [][]string{{"flyball", "sent back", "95 % interval"}}, [][]string{slices.Clone(header)}
	costs[0][0] = "bad canary requests before the verdict (median)"
	for _, s := range scenarios {
		s.Weight, s.Length = 0.1, half
		samples := measure(s, streams, seed)
		rate, cost := []string{s.Name}, []string{s.Name}
		for _, x := range samples {
			cell := percent(float64(x.back) / float64(streams))
			if median := x.minutes[streams/2]; !math.IsInf(median, 1) {
				cell += fmt.Sprintf(" (%.1f)", median)
			}
			rate = append(rate, cell)
			cost = append(cost, fmt.Sprintf("%.0f", x.bad[streams/2]))
		}
		rates = append(rates, rate)
		if s.Times > 1 {
			costs = append(costs, cost)
		}
		ours := samples[0].back
		name := s.Name
		if s.Cold > 0 {
			ours, name = samples[1].back, name+", warm-up"
		}
		lower, upper := clopperPearson(ours, streams)
		bounds = append(bounds, []string{name, percent(float64(ours) / float64(streams)), percent(lower) + " to " + percent(upper)})
	}
	printTable(bounds)
	printTable(rates)
	printTable(costs)
}

// intervals are the cases in which the excess is the same all the time, and the
// worst known one: bursts of which the baseline, at half of the traffic, shows
// too few.
var intervals = []scenario{
	{Name: "equal, 120/min", PerMinute: 120, Weight: 0.1, Base: 0.005, Times: 1},
	{Name: "0.5 → 1.5 %, 120/min", PerMinute: 120, Weight: 0.1, Base: 0.005, Times: 3},
	{Name: "equal, bursts of 3, 1,200/min", PerMinute: 1200, Weight: 0.1, Base: 0.005, Times: 1, Burst: 3},
	{Name: "0.5 → 0.75 %, bursts of 3, 1,200/min", PerMinute: 1200, Weight: 0.1, Base: 0.005, Times: 1.5, Burst: 3},
	{Name: "0.5 → 1.5 %, bursts of 3, 120/min", PerMinute: 120, Weight: 0.1, Base: 0.005, Times: 3, Burst: 3},
	{Name: "0.5 → 1.5 %, bursts of 3, 120/min, weight 50 %", PerMinute: 120, Weight: 0.5, Base: 0.005, Times: 3, Burst: 3},
}

// printIntervals counts the streams in which an end of the excess interval was
// on the wrong side of the truth at any of the 180 looks.
func printIntervals(streams int, seed uint64) {
	fmt.Printf("The excess interval on %d streams per case, looked at every ten seconds; each end may be wrong in 0.5 %%.\n\n", streams)
	table := [][]string{{"flyball", "upper end ever below the truth", "95 % interval", "lower end ever above", "upper end after 30 min (median)"}}
	for _, s := range intervals {
		s.Length = half
		var mu sync.Mutex
		var below, above int
		var last []float64
		parallel(streams, func(i int, t tables) {
			low, high, end := coverage(newStream(s, seed, uint64(i), t))
			mu.Lock()
			defer mu.Unlock()
			below, above, last = below+low, above+high, append(last, end)
		})
		slices.Sort(last)
		from, to := clopperPearson(below, streams)
		table = append(table, []string{s.Name, percent(float64(below) / float64(streams)), percent(from) + " to " + percent(to),
			percent(float64(above) / float64(streams)), percent(last[streams/2])})
	}
	printTable(table)
}

// coverage is 1 for each end of the interval that was ever wrong, and where
// the upper end was last.
func coverage(s *stream) (below, above int, end float64) {
	truth := s.Base * (s.Times - 1)
	never, c := judge.Config{Alpha: 1e-300}, judge.Config{Alpha: alpha} // do not stop at a crossing
	var state judge.State
	for sec := 0; sec < int(s.Length.Seconds()); sec += 10 {
		bins := make([]judge.Bin, 10)
		for i := range bins {
			bins[i] = s.bin(sec + i)
		}
		state = never.Advance(state, bins...)
		e := c.Evidence(state)
		if e.ExcessUpper < truth {
			below = 1
		}
		if e.ExcessLower > truth {
			above = 1
		}
		end = e.ExcessUpper
	}
	return below, above, end
}

func printRollouts(streams int, seed uint64) {
	fmt.Printf("Whole rollouts, %d per row: 1,200 requests/min, steps 10, 25, 50, 100 %% of at least 2 min, an objective of 99 %%,\n", streams)
	fmt.Printf("2 %% of the budget left to spend per change; the threshold rules take half an hour for those they let pass.\n\n")
	table := [][]string{{"flyball", "budget left", "to full traffic", "minutes (median, p95)", "sent back", "minutes (median)", "bad canary requests (median, p95)"}}
	for _, times := range []float64{1, 3, 10} {
		for _, left := range []float64{0.5, 0.1, 0.02} {
			table = append(table, rolloutRow(times, left, streams, seed))
		}
	}
	printTable(table)
}

func rolloutRow(times, left float64, streams int, seed uint64) []string {
	var mu sync.Mutex
	var full, back, bad []float64
	parallel(streams, func(i int, t tables) {
		tr := rollout(times, left, seed, uint64(i), t)
		mu.Lock()
		defer mu.Unlock()
		bad = append(bad, float64(tr.excess))
		if tr.full {
			full = append(full, tr.took.Minutes())
		} else if tr.back {
			back = append(back, tr.took.Minutes())
		}
	})
	share := func(x []float64) string { return percent(float64(len(x)) / float64(streams)) }
	return []string{
		fmt.Sprintf("0.5 → %s", percent(0.005*times)), percent(left),
		share(full), quantiles(full, 0.5, 0.95), share(back), quantiles(back, 0.5), quantiles(bad, 0.5, 0.95),
	}
}

// quantiles prints some quantiles of x, – without any x.
func quantiles(x []float64, at ...float64) string {
	if len(x) == 0 {
		return "–"
	}
	slices.Sort(x)
	var out []string
	for _, q := range at {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%.1f", x[int(q*float64(len(x)-1))]), ".0"))
	}
	return strings.Join(out, ", ")
}

// clopperPearson is the exact 95 % interval of a share of k in n.
func clopperPearson(k, n int) (lower, upper float64) {
	const tail = 0.025
	upper = 1.0
	if k < n {
		upper = bisect(func(p float64) bool { return atMost(k, n, p) < tail })
	}
	if k > 0 {
		lower = bisect(func(p float64) bool { return 1-atMost(k-1, n, p) > tail })
	}
	return lower, upper
}

func bisect(over func(float64) bool) float64 {
	lo, hi := 0.0, 1.0
	for range 50 {
		if mid := (lo + hi) / 2; over(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// atMost is the chance of at most k in n at p.
func atMost(k, n int, p float64) float64 {
	sum := 0.0
	all, _ := math.Lgamma(float64(n) + 1)
	for i := 0; i <= k; i++ {
		a, _ := math.Lgamma(float64(i) + 1)
		b, _ := math.Lgamma(float64(n-i) + 1)
		sum += math.Exp(all - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

func percent(x float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.2f", 100*x), ".00") + " %"
}

// printTable prints Markdown.
func printTable(rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for i, row := range rows {
		line := "|"
		rule := "|"
		for j, cell := range row {
			line += " " + cell + strings.Repeat(" ", width[j]-len([]rune(cell))) + " |"
			rule += strings.Repeat("-", width[j]+2) + "|"
		}
		fmt.Println(line)
		if i == 0 {
			fmt.Println(rule)
		}
	}
	fmt.Println()
}
