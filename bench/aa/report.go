package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints the table and fails when the promise is shown to be broken:
// when even the lower end of the interval is above α, or when the failing
// version was not taken back.
func (t *trial) report(equal, control []outcome, took time.Duration) error {
	var sent, failed, proxy, canary, bad int64
	for _, l := range t.loads {
		sent, failed, proxy = sent+l.Sent.Load(), failed+l.Failed.Load(), proxy+l.Broken.Load()
	}
	largest := 0.0
	for _, o := range equal {
		canary, bad, largest = canary+o.CanaryRequests, bad+o.CanaryBad, max(largest, o.EValue)
	}
	cost := make([]int64, len(control))
	for i, o := range control {
		cost[i] = o.CanaryBad
	}
	slices.Sort(cost)
	average, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	back, found := count(equal, sentBack), count(control, sentBack)
	low, high := clopperPearson(back, len(equal))
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "A/A rollouts through the proxy\t%d: %d services × %d rounds in %v; 10, 25 and 50 %%, each for %v\n", len(equal), t.services, t.rounds, took.Round(time.Second), t.step)
	fmt.Fprintf(w, "machine and load\t%d CPUs, load average %s; %.0f requests/s, open model\n", runtime.NumCPU(), strings.Fields(string(average))[0], float64(sent)/took.Seconds())
	fmt.Fprintf(w, "requests\t%d, of which %d failed; answered by the proxy instead of the service: %d\n", sent, failed, proxy)
	fmt.Fprintf(w, "to canaries while judged\t%d, of which %d bad (%.2f %%)\n", canary, bad, 100*float64(bad)/float64(max(canary, 1)))
	fmt.Fprintf(w, "false rollbacks\t%d of %d = %.2f %%, 95 %% interval %.2f to %.2f %% (Clopper–Pearson); α is 1 %%\n", back, len(equal), 100*float64(back)/float64(len(equal)), 100*low, 100*high)
	fmt.Fprintf(w, "largest E at the end\t%.3g; 100 takes it back\n", largest)
	fmt.Fprintf(w, "promoted at the deadline, without evidence\t%d\n", count(equal, func(o outcome) bool { return o.withoutEvidence }))
	fmt.Fprintf(w, "control: %.0f %% errors\t%d of %d taken back, after %d bad requests at the median\n", 100*brokenRate, found, len(control), cost[len(cost)/2])
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case low > 0.01:
		return fmt.Errorf("equal revisions are taken back more often than promised")
	case proxy > 0:
		return fmt.Errorf("%d requests were failed by the proxy", proxy)
	case found < len(control):
		return fmt.Errorf("%d of %d failing revisions reached everybody", len(control)-found, len(control))
	}
	return nil
}

// clopperPearson is the exact 95 % interval of a share of k in n.
func clopperPearson(k, n int) (low, high float64) {
	// atMost is the chance of at most k of n at a probability of p.
	atMost := func(k int, p float64) float64 {
		sum := 0.0
		for i := 0; i <= k; i++ {
			a, _ := math.Lgamma(float64(n + 1))
			b, _ := math.Lgamma(float64(i + 1))
			c, _ := math.Lgamma(float64(n - i + 1))
			sum += math.Exp(a - b - c + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		}
		return sum
	}
	bisect := func(below func(p float64) bool) float64 {
		lo, hi := 0.0, 1.0
		for range 60 {
			if mid := (lo + hi) / 2; below(mid) {
				lo = mid
			} else {
				hi = mid
			}
		}
		return (lo + hi) / 2
	}
	high = 1
	if k < n {
		high = bisect(func(p float64) bool { return atMost(k, p) > 0.025 })
	}
	if k > 0 {
		low = bisect(func(p float64) bool { return 1-atMost(k-1, p) < 0.025 })
	}
	return low, high
}
