// Command up measures how soon flyball up is ready on a long log, and what
// server, agent and a supervisor need while nothing happens.
//
// A real delivery by canary is recorded first, by the product itself: a push,
// its pipeline, and a canary under load that reaches everybody. The log is then
// filled with copies of that delivery, for as many services and commits as
// there is room for, and flyball up is started on it again and again.
//
//	go run ./bench/up
//	go run ./bench/up -events 100000 -services 10 -starts 3
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
)

type options struct {
	events, services, starts int
	idle                     time.Duration
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
	}
	var o options
	flag.IntVar(&o.events, "events", 1_000_000, "events in the log")
	flag.IntVar(&o.services, "services", 50, "services they are about")
	flag.IntVar(&o.starts, "starts", 5, "starts that are timed; the median counts")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long to watch while nothing happens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/up:", err)
		os.Exit(1)
	}
}

// serve is the service that is delivered.
func serve() {
	err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok\n")
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func run(ctx context.Context, o options) (err error) {
	s, err := stage.New(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	say("recording one delivery by canary …")
	delivery, err := record(ctx, s)
	if err != nil {
		return err
	}
	say("filling the log with copies of its %d events …", len(delivery))
	start := time.Now()
	filled, err := fill(ctx, s, o, delivery)
	if err != nil {
		return err
	}
	say("%d events of %d bytes on average in %v", filled.events, filled.bytes/int64(filled.events), time.Since(start).Round(time.Second))
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "flyball up on %d events (%.1f GB), %d services\ttime\tits CPU\taim\n", filled.events, float64(filled.file)/1e9, o.services)
	if err := starts(ctx, s, o, out); err != nil {
		return err
	}
	if err := idle(ctx, s, o, out); err != nil {
		return err
	}
	return out.Flush()
}

// starts times starts: one that folds the copies, and then the usual ones,
// with the agent still there and without.
func starts(ctx context.Context, s *stage.Stage, o options, out io.Writer) error {
	first, err := s.Up(ctx)
	if err != nil {
		return err
	}
	used, err := cpu(s.Pid())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "first start, folding all of it\t%.1f s\t%.1f s\t\n", first.Seconds(), used.Seconds())
	for _, c := range []struct {
		name string
		end  func() error
	}{
		{"ready, the agent still running", s.Stop},
		{"ready, agent and service started too", func() error { return s.Down(ctx) }},
	} {
		var times, spent []time.Duration
		for range o.starts {
			if err := c.end(); err != nil {
				return err
			}
			took, err := s.Up(ctx)
			if err != nil {
				return err
			}
			used, err := cpu(s.Pid())
			if err != nil {
				return err
			}
			times, spent = append(times, took), append(spent, used)
		}
		slices.Sort(times)
		slices.Sort(spent)
		fmt.Fprintf(out, "%s (median of %d; worst)\t%.0f ms; %.0f ms\t%.0f ms\t1000 ms\n", c.name, len(times),
			1e3*times[len(times)/2].Seconds(), 1e3*times[len(times)-1].Seconds(), 1e3*spent[len(spent)/2].Seconds())
	}
	return nil
}
