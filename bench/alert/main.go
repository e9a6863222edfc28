// Command alert measures how alerts are taken and told, beside Debian's
// Alertmanager: one generator, the same alerts, the same receiver, one after
// the other on one machine.
//
//		go run ./bench/alert
//		go run ./bench/alert -kills 100      # kill -9 during the storm, so many times
//
//	  - ingest: distinct alerts in batches of 64 over 16 connections, until all
//	    are answered; ours are on disk (fsync) by then, Alertmanager's in memory.
//	  - page: one alert in a group of its own at fixed instants, until the
//	    webhook's receiver has it.
//	  - storm: 50,000 alerts in 1,000 groups; every group has to reach the
//	    receiver. Raw duplicates are messages beyond the first of a group; what is
//	    left after the receiver deduplicates by webhook-id stands beside them.
//
// Processor time is user plus system time of the server's process from /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

type options struct {
	ingest, storm, groups, rate int
	pages                       time.Duration
	kills                       int
	only                        string
}

func main() {
	var o options
	flag.IntVar(&o.ingest, "ingest", 20_000, "alerts to ingest")
	flag.IntVar(&o.storm, "storm", 50_000, "alerts of the storm")
	flag.IntVar(&o.groups, "groups", 1000, "groups of the storm")
	flag.IntVar(&o.rate, "rate", 100, "alerts a second while pages are timed")
	flag.DurationVar(&o.pages, "pages", 10*time.Second, "how long pages are timed")
	flag.IntVar(&o.kills, "kills", 5, "times our server is killed during a storm of its own")
	flag.StringVar(&o.only, "only", "", "only this part: ingest, pages or storm; of Flyball alone")
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

func run(ctx context.Context, o options) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "server\tingested a second\tCPU per 10,000\tto webhook p50\tp99\tstorm answered in\tfirst page\tlast page\tgroups lost\tduplicates raw\tby id\tRSS")
	peers := []func(context.Context, *sink) (peer, error){flyball, alertmanager}
	if o.only != "" {
		peers = peers[:1]
	}
	for _, start := range peers {
		row, err := measure(ctx, o, start)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, row)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if o.kills > 0 {
		return killed(ctx, o)
	}
	return nil
}

// measure runs every part against one server, each part on a fresh one.
func measure(ctx context.Context, o options, start func(context.Context, *sink) (peer, error)) (string, error) {
	row := ""
	for name, part := range map[string]func(context.Context, options, peer, *sink) (string, error){"ingest": ingest, "pages": pages, "storm": storm} {
		if o.only != "" && name != o.only {
			continue
		}
		s, err := newSink()
		if err != nil {
			return "", err
		}
		p, err := start(ctx, s)
		if err != nil {
			return "", err
		}
		if row == "" {
			row = p.name()
		}
		text, err := part(ctx, o, p, s)
		if e := p.close(); err == nil {
			err = e
		}
		s.close()
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.name(), err)
		}
		row += "\t" + text
	}
	return row, nil
}
