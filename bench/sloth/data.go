package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	scrape    = 30 * time.Second
	history   = 30 * 24 * time.Hour
	instances = 10 // of each service, two series each: code 200 and code 500
)

// truth is what really happened to one service: how many requests had come and
// failed at each scrape.
type truth struct {
	from       time.Time
	total, bad []int64
}

// counts is what a span of time saw.
type counts struct{ total, bad int64 }

func (c counts) ratio() float64 { return float64(c.bad) / float64(c.total) }

// between is what came after one scrape and up to another.
func (t truth) between(from, until time.Time) counts {
	at := func(moment time.Time) int { return min(max(0, int(moment.Sub(t.from)/scrape)), len(t.total)-1) }
	return counts{t.total[at(until)] - t.total[at(from)], t.bad[at(until)] - t.bad[at(from)]}
}

// generate writes one block with counters of so many services, and with the
// series that Sloth's rules record every scrape, which its rule for 30 days
// reads. Traffic is uneven, as traffic is: a day and a night, a launch in which
// a tenth of a percent of a very busy hour fails, and nights in which half of
// next to nothing fails.
func generate(ctx context.Context, dir string, services int, from, until time.Time) ([]truth, error) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	w, err := tsdb.NewBlockWriter(quiet, dir, (200 * 24 * time.Hour).Milliseconds()) // samples up to half of it old are taken
	if err != nil {
		return nil, err
	}
	defer w.Close()
	truths := make([]truth, services)
	for s := range services {
		if truths[s], err = service(ctx, w, s, from, until); err != nil {
			return nil, err
		}
	}
	_, err = w.Flush(ctx)
	return truths, err
}

// service writes one service: per scrape and instance how many requests came
// and failed, and the recorded ratio of five minutes.
func service(ctx context.Context, w *tsdb.BlockWriter, s int, from, until time.Time) (truth, error) {
	r := rand.New(rand.NewPCG(uint64(s), 30))
	steps := int(until.Sub(from) / scrape)
	good, bad := make([][]float64, instances), make([][]float64, instances)
	sumGood, sumBad := make([]float64, steps), make([]float64, steps)
	t := truth{from: from, total: make([]int64, steps), bad: make([]int64, steps)}
	for i := range instances {
		good[i], bad[i] = make([]float64, steps), make([]float64, steps)
		var g, b float64
		for n := range steps {
			if n > 0 {
				requests, failed := requests(r, n, steps)
				g, b = g+requests-failed, b+failed
			}
			good[i][n], bad[i][n] = g, b
			t.total[n], t.bad[n] = t.total[n]+int64(g+b), t.bad[n]+int64(b)
			sumGood[n], sumBad[n] = sumGood[n]+g, sumBad[n]+b
		}
	}
	name := fmt.Sprintf("svc-%03d", s)
	for i := range instances {
		for code, values := range map[string][]float64{"200": good[i], "500": bad[i]} {
			set := labels.FromStrings("__name__", "http_requests_total", "job", name, "instance", fmt.Sprintf("10.0.%d.%d:8080", s, i), "code", code)
			if err := write(ctx, w, set, from, values); err != nil {
				return t, err
			}
		}
	}
	ratio := make([]float64, steps)
	for n := range steps {
		before := max(0, n-int(5*time.Minute/scrape))
		total := sumGood[n] + sumBad[n] - sumGood[before] - sumBad[before]
		ratio[n] = (sumBad[n] - sumBad[before]) / total
		if math.IsNaN(ratio[n]) {
			ratio[n] = 0
		}
	}
	set := labels.FromStrings("__name__", "slo:sli_error:ratio_rate5m", "sloth_id", name+"-requests", "sloth_service", name, "sloth_slo", "requests", "sloth_window", "5m")
	return t, write(ctx, w, set, from, ratio)
}

// requests is what one instance served in one scrape interval.
func requests(r *rand.Rand, n, steps int) (total, failed float64) {
	hour := float64(n) * scrape.Hours()
	rate := 60 * (1.05 + math.Sin(hour/24*2*math.Pi)) // per interval; next to nothing at night
	share := 0.0005
	switch launch := float64(steps) / 2 * scrape.Hours(); {
	case hour > launch && hour < launch+1:
		rate, share = 20_000, 0.001
	case math.Mod(hour, 24) > 17.8 && math.Mod(hour, 24) < 18.2:
		share = 0.5
	}
	total = math.Round(rate * (0.8 + 0.4*r.Float64()))
	for range int(min(total, 200)) {
		if r.Float64() < share {
			failed += max(1, math.Round(total/200))
		}
	}
	return total, min(failed, total)
}

const writeBatch = 10_000 // samples in one commit

func write(ctx context.Context, w *tsdb.BlockWriter, set labels.Labels, from time.Time, values []float64) error {
	var ref storage.SeriesRef
	for start := 0; start < len(values); start += writeBatch {
		app := w.Appender(ctx)
		for n := start; n < min(start+writeBatch, len(values)); n++ {
			var err error
			if ref, err = app.Append(ref, set, from.Add(time.Duration(n)*scrape).UnixMilli(), values[n]); err != nil {
				return err
			}
		}
		if err := app.Commit(); err != nil {
			return err
		}
	}
	return nil
}
