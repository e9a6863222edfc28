// Command proxy measures Flyball's proxy beside nginx and Caddy: the processor
// time per request and the latency of each at the same load, 90/10 between two
// revisions, and that changing weights fails no request.
//
//	go run ./bench/proxy                 # compare, at most three minutes
//	go run ./bench/proxy -change 60s     # weights change each second for a minute
//
// The load is open: requests are sent at fixed instants whatever the answers
// do, and latencies count from the instant intended, so a proxy that stalls
// cannot hide it (coordinated omission). Proxies, revisions and load are
// processes of their own, all on 127.0.0.1; the processor time is user plus
// system time of the proxy's processes from /proc. The proxies take turns in
// several rounds, and the median round counts, since the machine is not ours alone.
// nginx and Caddy are measured where they are installed
// (apt-get install nginx-light caddy).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
)

type options struct {
	rate   int
	round  time.Duration
	rounds int
	conns  int
	body   int
	change time.Duration
	every  time.Duration
	json   bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "role" {
		role(os.Args[2], os.Args[3:])
		return
	}
	var o options
	flag.IntVar(&o.rate, "rate", 2000, "requests per second")
	flag.DurationVar(&o.round, "round", 8*time.Second, "length of one round")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds per proxy")
	flag.IntVar(&o.conns, "conns", 64, "client connections")
	flag.IntVar(&o.body, "body", 512, "bytes of a response body")
	flag.DurationVar(&o.change, "change", 0, "instead, change weights for this long and require that no request fails")
	flag.DurationVar(&o.every, "every", time.Second, "how often -change changes weights")
	flag.BoolVar(&o.json, "json", false, "print one JSON object")
	flag.Parse()
	ok, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/proxy:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(4)
	}
}

func run(o options) (bool, error) {
	dir, err := os.MkdirTemp("", "flyball-bench-proxy-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir}
	defer b.stop()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		b.stop()
		os.Exit(130)
	}()
	if err := b.backends(); err != nil {
		return false, err
	}
	if o.change > 0 {
		return b.changing()
	}
	return b.compare()
}

// result is what one proxy needed, the median over its rounds.
type result struct {
	Proxy     string  `json:"proxy"`
	Version   string  `json:"version"`
	Requests  int     `json:"requests"`
	Failed    int     `json:"failed"`
	Canary    float64 `json:"canaryShare"`
	CPU       float64 `json:"cpuMicrosPerRequest"`
	P50       float64 `json:"p50Micros"`
	P99       float64 `json:"p99Micros"`
	OfFlyball float64 `json:"flyballCPURatio"` // Flyball's CPU per request ÷ this one's
}

func (b *bench) compare() (bool, error) {
	proxies, err := b.proxies()
	if err != nil {
		return false, err
	}
	rounds := map[string][]measure{}
	for i := range b.rounds {
		for j := range proxies {
			p := proxies[(i+j)%len(proxies)] // nobody always comes first
			m, err := b.measure(p)
			if err != nil {
				return false, fmt.Errorf("%s: %w", p.name, err)
			}
			rounds[p.name] = append(rounds[p.name], m)
		}
	}
	results := make([]result, len(proxies))
	for i, p := range proxies {
		results[i] = summarize(p, rounds[p.name])
		results[i].OfFlyball = results[0].CPU / results[i].CPU
	}
	return b.report(results), nil
}

func summarize(p *proc, ms []measure) result {
	r := result{Proxy: p.name, Version: p.version}
	var canary int
	for _, m := range ms {
		r.Requests += m.requests
		r.Failed += m.failed
		canary += m.canary
	}
	r.Canary = float64(canary) / float64(max(r.Requests, 1))
	r.CPU = median(ms, func(m measure) float64 { return float64(m.cpu.Microseconds()) / float64(m.requests) })
	r.P50 = median(ms, func(m measure) float64 { return float64(m.p50.Nanoseconds()) / 1e3 })
	r.P99 = median(ms, func(m measure) float64 { return float64(m.p99.Nanoseconds()) / 1e3 })
	return r
}

func median(ms []measure, of func(measure) float64) float64 {
	v := make([]float64, len(ms))
	for i, m := range ms {
		v[i] = of(m)
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func (b *bench) report(results []result) bool {
	ok := true
	for _, r := range results {
		ok = ok && (r.Proxy != "flyball" || r.Failed == 0)
	}
	if b.json {
		out, err := json.Marshal(map[string]any{"ok": ok, "rate": b.rate, "cpus": runtime.NumCPU(), "results": results})
		if err != nil {
			panic(err) // numbers and strings only
		}
		fmt.Println(string(out))
		return ok
	}
	fmt.Printf("%d requests/s, %d-byte bodies, %d connections, weights 90/10, %d rounds of %v each, %d CPUs\n\n",
		b.rate, b.body, b.conns, b.rounds, b.round, runtime.NumCPU())
	fmt.Printf("%-9s %-12s %9s %7s %8s %12s %9s %9s %14s\n", "proxy", "version", "requests", "failed", "canary", "CPU µs/req", "p50 µs", "p99 µs", "flyball's CPU")
	for _, r := range results {
		fmt.Printf("%-9s %-12s %9d %7d %7.2f%% %12.1f %9.0f %9.0f %13.2fx\n",
			r.Proxy, r.Version, r.Requests, r.Failed, 100*r.Canary, r.CPU, r.P50, r.P99, r.OfFlyball)
	}
	return ok
}
