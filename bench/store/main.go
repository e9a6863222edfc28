// Command store measures the SQLite store: durable appends beside raw inserts
// of the same rows, folding a million stored events on one core, and opening
// such a log. Each figure stands beside its peer, measured in the same run.
//
//	go run ./bench/store
//	go run ./bench/store -rows 40000 -events 1000000 -rounds 3
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	rows := flag.Int("rows", 40_000, "events appended in each round")
	rounds := flag.Int("rounds", 3, "rounds of appends; the median counts")
	events := flag.Int("events", 1_000_000, "events folded")
	dir := flag.String("dir", "", "where to put the files; empty is a temporary directory")
	flag.Parse()
	if err := run(context.Background(), *dir, *rows, *rounds, *events); err != nil {
		fmt.Fprintln(os.Stderr, "bench/store:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, rows, rounds, events int) error {
	dir, err := os.MkdirTemp(dir, "flyball-bench-store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "measured\tthis store\tpeer or aim\tratio")
	if err := appends(ctx, out, dir, rows, rounds); err != nil {
		return err
	}
	if err := folding(ctx, out, filepath.Join(dir, "fold.db"), events); err != nil {
		return err
	}
	return out.Flush()
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
