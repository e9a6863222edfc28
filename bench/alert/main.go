// Command alert measures how alerts are taken and told, beside Debian's
// Alertmanager: one generator, the same alerts, the same receiver, one after
// the other on one machine.
//
//		go run ./bench/alert
//		go run ./bench/alert -only storm -rounds 3
//
//	  - ingest: distinct alerts in batches of 64 over 16 connections, until all
//	    are answered; ours are on disk (fsync) by then, Alertmanager's in memory.
//	  - page: one alert in a group of its own at fixed instants, until the
//	    webhook's receiver has it.
//	  - storm: 50,000 alerts in 1,000 groups; every group has to reach the
//	    receiver. Raw duplicates are messages beyond the first of a group; what is
//	    left after the receiver deduplicates by webhook-id stands beside them.
//	  - kills: a storm of our own in which groups begin all the time, while the
//	    server is killed again and again at instants drawn from a seed. Every alert
//	    that was answered has to fire at the end, and every group has to be told.
//
// Processor time is user plus system time of the server's process from /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

type options struct {
	ingest, storm, groups, rate int
	pages                       time.Duration
	kills, rounds               int
	only                        string
}

func main() {
	var o options
	flag.IntVar(&o.ingest, "ingest", 20_000, "alerts to ingest")
	flag.IntVar(&o.storm, "storm", 50_000, "alerts of the storm")
	flag.IntVar(&o.groups, "groups", 1000, "groups of the storm")
	flag.IntVar(&o.rate, "rate", 100, "alerts a second while pages are timed")
	flag.DurationVar(&o.pages, "pages", 10*time.Second, "how long pages are timed")
	flag.IntVar(&o.kills, "kills", 100, "times our server is killed during a storm of its own")
	flag.IntVar(&o.rounds, "rounds", 1, "how often each part is run, in turns")
	flag.StringVar(&o.only, "only", "", "only this part: ingest, pages, storm or kills")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/alert:", err)
		os.Exit(1)
	}
}

// peer is one server under measurement.
type peer interface {
	name() string
	address() string
	pid() int
	close() error
}

// part is one measurement: its columns, and what it finds.
type part struct {
	name, columns string
	run           func(context.Context, options, peer, *sink) (string, error)
}

var parts = []part{
	{"ingest", "ingested a second\tCPU per 10,000", ingest},
	{"pages", "to the webhook p50\tp99", pages},
	{"storm", "storm answered in\tfirst page\tmedian\tlast\tgroups lost\tduplicates raw\tby id\tRSS", storm},
}

func run(ctx context.Context, o options) error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Printf("load average %s", load)
	for _, p := range parts {
		if o.only != "" && o.only != p.name {
			continue
		}
		out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(out, "\nserver\t%s\n", p.columns)
		for range o.rounds {
			for _, start := range []func(context.Context, *sink) (peer, error){flyball, alertmanager} {
				row, err := measure(ctx, o, p, start)
				if err != nil {
					return err
				}
				fmt.Fprintln(out, row)
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if o.kills > 0 && (o.only == "" || o.only == "kills") {
		return killed(ctx, o)
	}
	return nil
}

// measure runs a part against a fresh server.
func measure(ctx context.Context, o options, of part, start func(context.Context, *sink) (peer, error)) (string, error) {
	s, err := newSink()
	if err != nil {
		return "", err
	}
	defer s.close()
	p, err := start(ctx, s)
	if err != nil {
		return "", err
	}
	text, err := of.run(ctx, o, p, s)
	if err = errors.Join(err, p.close()); err != nil {
		return "", fmt.Errorf("%s: %w", p.name(), err)
	}
	return p.name() + "\t" + text, nil
}
