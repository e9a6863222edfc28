// Command slo measures the SLO engine: the time of one tick over many
// objectives, what an objective takes in memory and on disk, how long a restart
// takes, and how long it takes to recompute a month after a target changed.
//
//	go run ./bench/slo [-objectives 100000] [-ticks 130] [-restart 10000]
//
// It prints; it judges nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

func main() {
	objectives := flag.Int("objectives", 100_000, "number of live objectives")
	restarted := flag.Int("restart", 10_000, "number of objectives of the program that is started again; 0 leaves that out")
	ticks := flag.Int("ticks", 130, "number of measured ticks; 130 minutes pass every slot edge of the windows up to 30 days")
	flag.Parse()
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	defer out.Flush()
	if *restarted > 0 {
		if err := measureRestart(context.Background(), out, *restarted); err != nil {
			fmt.Fprintln(os.Stderr, "bench/slo:", err)
			os.Exit(1)
		}
	}
	if *objectives == 0 {
		return
	}
	runtime.GOMAXPROCS(1)
	fmt.Fprintf(out, "%d objectives, %d windows each, one core\n\n", *objectives, len(slo.BurnWindows)+1)
	if err := run(out, *objectives, *ticks); err != nil {
		fmt.Fprintln(os.Stderr, "bench/slo:", err)
		os.Exit(1)
	}
}

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func run(out *tabwriter.Writer, objectives, ticks int) error {
	engine, memory, err := fill(objectives, start)
	if err != nil {
		return err
	}
	if err := measureTicks(out, engine, start, ticks); err != nil {
		return err
	}
	began, n := time.Now(), 0
	for range engine.Snapshots() {
		if n++; n == 1000 {
			break
		}
	}
	fmt.Fprintf(out, "one snapshot: burn rates, budget, forecast\t%.1f µs\n", time.Since(began).Seconds()*1e6/float64(n))
	fmt.Fprintf(out, "memory per objective\t%.1f kB\n", memory/1000)
	runtime.KeepAlive(engine)
	return measureMonth(out)
}

func objective(i int) *slo.Objective {
	return &slo.Objective{Service: fmt.Sprintf("service-%06d", i), Name: "availability", Target: slo.MustDecimal("0.999"), Method: slo.Occurrences,
		Window: slo.Days(30), Indicator: slo.Indicator{Kind: slo.Availability}, AlertPolicies: slo.DefaultPolicies(slo.Occurrences)}
}

// fill makes an engine full of objectives and says what each takes in memory.
func fill(n int, now time.Time) (*slo.Engine, float64, error) {
	before := heap()
	engine, err := slo.NewEngine(time.Minute, now)
	if err != nil {
		return nil, 0, err
	}
	for i := range n {
		if _, err := engine.Put(objective(i)); err != nil {
			return nil, 0, err
		}
	}
	return engine, float64(heap()-before) / float64(n), nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// measureTicks moves all objectives minute by minute with traffic in each slot,
// after a warm-up long enough that slots leave the short windows. One in a
// hundred objectives has errors. On every fifth minute slots leave the windows of
// days too, and on every 120th those of thirty.
func measureTicks(out *tabwriter.Writer, engine *slo.Engine, start time.Time, ticks int) error {
	var took, added []float64
	now := start
	most := 0
	for i := range 10 + ticks {
		began := time.Now()
		n := 0
		for id := range engine.Objectives() {
			bad := int64(0)
			if n%100 == 0 && i >= 10 {
				bad = 50
			}
			if _, err := engine.Add(id, now, 1000-bad, 1000); err != nil {
				return err
			}
			n++
		}
		add := time.Since(began)
		now = now.Add(time.Minute)
		began = time.Now()
		most = max(most, len(engine.Tick(now)))
		if i >= 10 {
			took, added = append(took, time.Since(began).Seconds()*1000), append(added, float64(add.Nanoseconds())/float64(n))
		}
	}
	slices.Sort(took)
	slices.Sort(added)
	fmt.Fprintf(out, "one tick, all burn rates and alerts\t%.1f ms median, %.1f ms at 95 %%, %.1f ms worst of %d\t(%d alerts begin in the worst)\n",
		took[len(took)/2], took[len(took)*95/100-1], took[len(took)-1], len(took), most)
	fmt.Fprintf(out, "one count added\t%.0f ns\n", added[len(added)/2])
	return nil
}

// measureMonth stores thirty days of minutes and recomputes them for another target.
func measureMonth(out *tabwriter.Writer) error {
	for _, perMinute := range []float64{60, 6000, 600_000} {
		events, err := month(perMinute, start)
		if err != nil {
			return err
		}
		size := 0
		for _, c := range slo.Chunks(events) {
			size += len(c.Data)
		}
		fmt.Fprintf(out, "30 d of minutes on disk, %.0f requests a minute\t%.1f kB\n", perMinute, float64(size)/1000)
	}
	events, err := month(6000, start)
	if err != nil {
		return err
	}
	o := objective(0)
	for _, target := range []string{"0.999", "0.9995"} {
		o.Target = slo.MustDecimal(target)
		began := time.Now()
		r, err := slo.Replay(o, events, time.Time{})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "30 d replayed at a target of %s\t%.1f ms\t(every minute's alerts; %d firings, %.1f %% of the budget left)\n",
			target, time.Since(began).Seconds()*1000, len(r.Alerts), 100*r.Budget.RemainingRatio)
	}
	return nil
}

// month is thirty days of traffic with a daily wave, arrivals' own noise, and an
// hour of trouble.
func month(perMinute float64, start time.Time) (*slo.Series, error) {
	random := rand.New(rand.NewPCG(7, 7))
	events := slo.NewSeries(time.Minute, 0)
	for i := range 30 * 1440 {
		mean := perMinute * (1 + 0.5*math.Sin(2*math.Pi*float64(i)/1440))
		total := max(0, mean+random.NormFloat64()*math.Sqrt(mean))
		bad := total * 0.0003
		if i/60 == 500 {
			bad = total * 0.1
		}
		if err := events.Add(start.Add(time.Duration(i)*time.Minute), int64(total)-int64(bad), int64(total)); err != nil {
			return nil, err
		}
	}
	return events, nil
}
