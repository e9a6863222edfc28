// Command sloth measures what objectives cost, beside Debian's Prometheus
// running the rules that Sloth generates for them, on the same data: 20 series
// each, 30 s apart, 30 days of history in one block, the series that Sloth
// records every five minutes present (without them its rule for 30 days looks
// free).
//
//	go run ./bench/sloth
//	go run ./bench/sloth -n 10,100,1000 -services 20
//
// Objectives beyond the services with data of their own share theirs in turn:
// what an objective costs does not depend on who else reads its series. On
// Prometheus' side every rule of every objective is evaluated once, as Sloth
// has it done every 30 s (its SLI rules), and the processor time of the process
// is taken from /proc. On ours it is that of Flyball and, on top, that of
// Prometheus for what Flyball asks of it, over whole minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	counts := flag.String("n", "10,100,1000", "numbers of objectives")
	services := flag.Int("services", 20, "services with data of their own")
	minutes := flag.Int("minutes", 2, "how long our side is measured")
	flag.Parse()
	var list []int
	for _, text := range strings.Split(*counts, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench/sloth: %q is not a number of objectives\n", text)
			os.Exit(2)
		}
		list = append(list, n)
	}
	if err := run(context.Background(), list, *services, time.Duration(*minutes)*time.Minute); err != nil {
		fmt.Fprintln(os.Stderr, "bench/sloth:", err)
		os.Exit(1)
	}
}

// ahead is how long a measurement may take.
const ahead = 4 * time.Hour

func run(ctx context.Context, list []int, services int, length time.Duration) error {
	dir, err := os.MkdirTemp("", "flyball-bench-sloth-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	now := time.Now().Truncate(time.Minute)
	// The data go on beyond now, so that there is something to read all along, and
	// begin before the slot in which the longest window does.
	until := now.Add(ahead)
	fmt.Fprintf(os.Stderr, "writing %d series of %s …\n", services*2*instances, history)
	start := time.Now()
	truths, err := generate(ctx, dir, services, now.Add(-history-coarse-time.Hour), until)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "written in %s\n", time.Since(start).Round(time.Second))
	p, err := startPrometheus(ctx, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := mistakes(ctx, p, truths, now); err != nil {
		return err
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Printf("load average %s on %d processors\n", strings.Fields(string(load))[0], runtime.NumCPU())
	fmt.Println("\n| objectives | Sloth's rules, CPU a minute | Flyball, CPU a minute | of which Prometheus | less in total | evaluation alone | less | 30 d read once | off by |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, n := range list {
		fmt.Fprintf(os.Stderr, "%d objectives: Sloth's rules …\n", n)
		rules, err := p.evaluate(ctx, n, services, now)
		if err != nil {
			return err
		}
		ours, err := flyball(ctx, p, n, truths, length)
		if err != nil {
			return err
		}
		theirs := 2 * rules // every 30 s
		total := ours.server + ours.prometheus
		fmt.Printf("| %d | %.2f s | %.3f s | %.3f s | %.0f× | %.2f ms | %.0f× | %.1f s CPU in %.0f s | %d events, of %d in all |\n", n, theirs.Seconds(), total.Seconds(), ours.prometheus.Seconds(),
			theirs.Seconds()/total.Seconds(), 1e3*ours.tick.Seconds(), theirs.Seconds()/ours.tick.Seconds(), ours.history.Seconds(), ours.historyTook.Seconds(), ours.off, ours.of)
	}
	return nil
}
