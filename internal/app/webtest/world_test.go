package webtest_test

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// world is what surrounds the house in the story: who asks what of which service, and what
// goes wrong. The same second gives the same counts, however often it is asked.

type world struct {
	rates   map[string]float64 // requests per second by service
	base    map[string]float64 // bad ratio by service, "" for the rest
	slow    map[string]int64   // latency threshold in nanoseconds by service
	defects map[string]defect  // by commit's first seven
	trouble []trouble
	shares  map[string]int // canary's basis points by service
	splits  map[string][]traffic.Share
	bins    []measure.Bin
	paged   []notify.Message
}

// defect is what is wrong with a commit.
type defect struct{ errors, slow float64 }

// trouble is a time in which requests of a service fail.
type trouble struct {
	service      string
	from, to     time.Time
	errors, slow float64
}

func (w *world) random(of string, at time.Time) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(of))
	return rand.New(rand.NewPCG(h.Sum64(), uint64(at.Unix())))
}

// poisson draws a count with a mean.
func poisson(r *rand.Rand, mean float64) int64 {
	if mean > 40 {
		return max(0, int64(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	limit, n, p := math.Exp(-mean), int64(0), 1.0
	for p *= r.Float64(); p > limit; p *= r.Float64() {
		n++
	}
	return n
}

// ratios are the shares of a service's requests that fail, and are slow, at a moment.
func (w *world) ratios(service string, at time.Time) (errors, slow float64) {
	errors, slow = w.base[service], 0.002
	for _, t := range w.trouble {
		if t.service == service && !at.Before(t.from) && at.Before(t.to) {
			errors, slow = errors+t.errors, slow+t.slow
		}
	}
	return errors, slow
}

// day is how busy a time of day is.
func day(at time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60
	return 1 + 0.45*math.Sin((hour-9)/24*2*math.Pi)
}

// pass has the world's requests of one interval arrive.
func (w *world) pass(from, to time.Time) {
	for service, rate := range w.rates {
		for at := from; at.Before(to); at = at.Add(time.Minute) {
			r := w.random(service, at)
			errors, slow := w.ratios(service, at)
			for _, share := range w.split(service) {
				n := poisson(r, rate*60*day(at)*float64(share.Weight)/10_000)
				d := w.defects[share.Revision[:min(7, len(share.Revision))]]
				b := measure.Bin{Seq: int64(len(w.bins) + 1), Service: service, Environment: "prod", Revision: share.Revision, Time: at, Width: time.Minute, Requests: n}
				b.Errors = min(n, poisson(r, float64(n)*(errors+d.errors)))
				if threshold := w.slow[service]; threshold > 0 {
					b.Slow = []measure.Slow{{Threshold: time.Duration(threshold), Count: min(n, poisson(r, float64(n)*(slow+d.slow)))}}
				}
				w.bins = append(w.bins, b)
			}
		}
	}
}

// split is which revisions answer a service's requests.
func (w *world) split(service string) []traffic.Share {
	if out := slices.DeleteFunc(slices.Clone(w.splits[service]), func(s traffic.Share) bool { return s.Weight == 0 }); len(out) > 0 {
		return out
	}
	return []traffic.Share{{Revision: "before", Weight: 10_000}}
}

// Bins gives what has arrived.
func (w *world) Bins(_ context.Context, after int64, limit int) (measure.Page, error) {
	end := min(len(w.bins), int(after)+limit)
	return measure.Page{Bins: w.bins[after:end], More: end < len(w.bins)}, nil
}

// Ack forgets nothing.
func (w *world) Ack(context.Context, int64) error { return nil }

// Send keeps what people would get.
func (w *world) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	w.paged = append(w.paged, m)
	return notify.Receipt{Status: 204}, nil
}

// shift changes a canary's share.
func (w *world) shift(_ context.Context, a action.Action) (any, error) {
	var s traffic.Split
	if err := json.Unmarshal(a.Params, &s); err != nil {
		return nil, err
	}
	w.shares[s.Service] = 0
	w.splits[s.Service] = s.Shares
	if len(s.Shares) > 1 {
		w.shares[s.Service] = s.Shares[1].Weight
	}
	return nil, nil
}

// arms answers with what both revisions received, second by second.
func (w *world) arms(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args := r.Args.(rollout.ArmsArgs)
	out := rollout.Arms{From: args.From, Until: args.From, WidthSeconds: 1, ThresholdsNS: args.Thresholds}
	share := float64(w.shares[args.Service]) / 10_000
	d := w.defects[args.Canary[:7]]
	for at := args.From; at.Before(now.Truncate(time.Second)) && len(out.Bins) < rollout.MaxBins; at = at.Add(time.Second) {
		errors, slow := w.ratios(args.Service, at)
		rate := w.rates[args.Service] * day(at)
		arm := func(of string, rate, errors, slow float64) rollout.Counts {
			r := w.random(of, at)
			c := rollout.Counts{Requests: poisson(r, rate)}
			c.Errors = min(c.Requests, poisson(r, float64(c.Requests)*errors))
			for range args.Thresholds {
				c.Slow = append(c.Slow, min(c.Requests, poisson(r, float64(c.Requests)*slow)))
			}
			return c
		}
		out.Bins = append(out.Bins, rollout.ArmsBin{Time: at,
			Baseline: arm(args.Baseline, rate*(1-share), errors, slow), Canary: arm(args.Canary, rate*share, errors+d.errors, slow+d.slow)})
		out.Until = at.Add(time.Second)
	}
	return reading(out.From, out.Until, out)
}

// workloads says that everything is ready.
func (w *world) workloads(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args := r.Args.(map[string]string)
	change := args["change"]
	var out []workload.Status
	if len(change) >= 7 {
		out = append(out, workload.Status{Ref: workload.Ref{Service: args["service"], Environment: args["environment"], Revision: revision(change[len(change)-7:])}, State: workload.Ready})
	}
	return reading(now, now, out)
}

// observed says that the router does as it was told.
func (w *world) observed(_ context.Context, _ control.Request, now time.Time) (control.Reading, error) {
	return reading(now, now, traffic.Observation{})
}

func reading(from, to time.Time, data any) (control.Reading, error) {
	b, err := json.Marshal(data)
	return control.Reading{From: from, To: to, Complete: true, Data: b}, err
}

// printed is what the steps of the story printed; nothing else is asked of them.
type printed struct{ workload.Steps }

// Output gives a step's output.
func (printed) Output(_ context.Context, id string, _ int64, _ int) (workload.Chunk, error) {
	data := []byte("$ go build -o bin/checkout .\n" + id + ": built bin/checkout\n")
	return workload.Chunk{Data: data, Next: int64(len(data)), End: true}, nil
}
