// Command aa counts false alarms of the whole product: rollouts of revisions
// that are equal, through real pipelines, processes and the real proxy, under
// an open-model load, judged live by what the proxy counted. A last round is of
// a revision that fails, so that what never goes back is noticed.
//
//	go run ./bench/aa
//	go run ./bench/aa -services 5 -rounds 2
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
)

type options struct {
	services, rounds int
	rate             float64 // requests per second to each service
	step             time.Duration
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
	}
	var o options
	flag.IntVar(&o.services, "services", 20, "services that are rolled out at the same time")
	flag.IntVar(&o.rounds, "rounds", 10, "versions that each of them gets")
	flag.Float64Var(&o.rate, "rate", 10, "requests per second to each service")
	flag.DurationVar(&o.step, "step", 8*time.Second, "least time at each of the steps, 10, 25 and 50 %")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/aa:", err)
		os.Exit(1)
	}
}

// How the service fails: requests by themselves, and now and then everything
// for a moment, as when a connection is lost.
const (
	alone      = 0.005 // share of requests that fail by themselves
	burst      = 0.003 // share of requests with which a burst begins
	burstLasts = 300 * time.Millisecond
	brokenRate = 0.5 // share of requests that the broken version fails
	broken     = "broken"
)

// serve is the service; the file in its directory says which version it is.
func serve() {
	version, err := os.ReadFile("version.txt")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	single := alone
	if strings.TrimSpace(string(version)) == broken {
		single = brokenRate
	}
	var until atomic.Int64 // end of the burst, Unix nanoseconds
	err = http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		if rand.Float64() < burst {
			until.Store(now.Add(burstLasts).UnixNano())
		}
		if now.UnixNano() < until.Load() || rand.Float64() < single {
			http.Error(w, "failed", http.StatusInternalServerError)
		}
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
	t := &trial{Stage: s, options: o}
	if err := t.begin(ctx); err != nil {
		return err
	}
	start := time.Now()
	var equal []outcome
	for n := range o.rounds {
		round, err := t.round(ctx, fmt.Sprint(n+2))
		if err != nil {
			return err
		}
		for _, r := range round {
			if sentBack(r) {
				fmt.Fprintf(os.Stderr, "%s: %s: %s\n", r.Rollout, r.Outcome, r.Reason)
			}
		}
		equal = append(equal, round...)
		fmt.Fprintf(os.Stderr, "round %d of %d: %d of %d sent back so far, %v\n", n+1, o.rounds, count(equal, sentBack), len(equal), time.Since(start).Round(time.Second))
	}
	control, err := t.round(ctx, broken)
	if err != nil {
		return err
	}
	t.end()
	return t.report(equal, control, time.Since(start))
}
