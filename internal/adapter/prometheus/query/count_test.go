package query_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/prometheustest"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/remote"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/metric"
	"github.com/flyball-dev/flyball/internal/port/metric/metrictest"
)

var begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// counterOn counts on a real Prometheus that holds the series.
func counterOn(t testing.TB, s *prometheustest.Server) *query.Counter {
	t.Helper()
	c, err := remote.New(remote.Config{URL: s.URL, Clock: clock.Wall()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return query.NewCounter(c)
}

func span(from, until time.Time) metric.Span {
	return metric.Span{From: from, Until: until, Now: until.Add(time.Hour)}
}

// one counts a single indicator.
func one(t *testing.T, c *query.Counter, i metric.Indicator, s metric.Span) metric.Count {
	t.Helper()
	out, err := c.Count(context.Background(), []metric.Indicator{i}, s)
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Err != nil {
		t.Fatal(out[0].Err)
	}
	return out[0]
}

func shopRatio() metric.Indicator {
	return metric.Indicator{Kind: metric.Ratio,
		Bad: `sum(rate(requests_total{job="shop",code=~"5.."}[{{.window}}]))`, Total: `sum(rate(requests_total{job="shop"}[{{.window}}]))`}
}

const tick = 30 * time.Second

// process is a target that is scraped every tick, and what truly happened: ok
// and failed events in the tick before each scrape.
type process struct {
	instance   string
	ok, failed []int64
	restarts   map[int]bool // the process began again right after the scrape before
	down       map[int]bool // scrapes that failed
	series     map[string][]metric.Point
}

// scrape makes the samples that Prometheus would have. A code that did not
// occur since the process began has no series, and a series that went away has
// a stale marker.
func (p *process) scrape() []metrictest.Series {
	p.series = map[string][]metric.Point{}
	counts := map[string]int64{}
	present := map[string]bool{}
	for k := range p.ok {
		at := begin.Add(time.Duration(k) * tick).UnixMilli()
		if p.restarts[k] {
			counts = map[string]int64{}
		}
		counts["200"] += p.ok[k]
		if counts["500"] += p.failed[k]; counts["500"] == 0 {
			delete(counts, "500")
		}
		for _, code := range []string{"200", "500"} {
			n, there := counts[code]
			switch {
			case there && !p.down[k]:
				p.series[code] = append(p.series[code], metric.Point{At: at, Value: float64(n)})
				present[code] = true
			case present[code]:
				p.series[code] = append(p.series[code], metric.Point{At: at, Value: metrictest.Stale})
				present[code] = false
			}
		}
		up := 1.0
		if p.down[k] {
			up = 0
		}
		p.series["up"] = append(p.series["up"], metric.Point{At: at, Value: up})
	}
	var out []metrictest.Series
	for _, code := range []string{"200", "500", "up"} {
		l := metric.Labels{metric.NameLabel: "requests_total", "job": "shop", "instance": p.instance, "code": code}
		if code == "up" {
			l = metric.Labels{metric.NameLabel: "up", "job": "shop", "instance": p.instance}
		}
		if len(p.series[code]) > 0 {
			out = append(out, metrictest.Series{Labels: l, Points: p.series[code]})
		}
	}
	return out
}

// truth is what happened in a slot, which is two ticks.
func (p *process) truth(slot int) (good, total int64) {
	for k := 2*slot + 1; k <= 2*slot+2; k++ {
		good += p.ok[k]
		total += p.ok[k] + p.failed[k]
	}
	return good, total
}

func newProcess(r *rand.Rand, instance string, ticks int) *process {
	p := &process{instance: instance, restarts: map[int]bool{}, down: map[int]bool{}}
	for range ticks {
		p.ok = append(p.ok, r.Int64N(200))
		failed := int64(0)
		if r.IntN(5) == 0 {
			failed = r.Int64N(5)
		}
		p.failed = append(p.failed, failed)
	}
	return p
}

// Restarts, first errors, targets that are down: each slot that is given equals
// what happened, and none is given where nobody looked.
func TestCountsWhatHappened(t *testing.T) {
	const slots = 120
	r := rand.New(rand.NewPCG(1, 2))
	a, b := newProcess(r, "a", 2*slots+1), newProcess(r, "b", 2*slots+1)
	a.restarts[51], a.restarts[90], b.restarts[120] = true, true, true
	for k := 150; k <= 170; k++ { // ten minutes without any scrape
		a.down[k], b.down[k] = true, true
	}
	for k := 200; k < 203; k++ { // one target alone, for a minute and a half
		a.down[k] = true
	}
	c := counterOn(t, prometheustest.Start(t, "", slices.Concat(a.scrape(), b.scrape())))
	got := one(t, c, shopRatio(), span(begin, begin.Add(slots*time.Minute)))
	if !got.Exact || len(got.Findings) > 0 || len(got.Groups) != 1 {
		t.Fatalf("exact %v (%s), findings %v, %d groups", got.Exact, got.Reason, got.Findings, len(got.Groups))
	}
	bridged := metric.Slot{}
	var wantBridged metric.Slot
	seen := map[int]bool{}
	for _, s := range got.Groups[0].Slots {
		n := int(time.UnixMilli(s.At).Sub(begin) / time.Minute)
		seen[n] = true
		good, total := a.truth(n)
		moreGood, moreTotal := b.truth(n)
		good, total = good+moreGood, total+moreTotal
		if n >= 99 && n <= 101 { // a's counts of these minutes came together: right in sum
			bridged.Good, bridged.Total = bridged.Good+s.Good, bridged.Total+s.Total
			wantBridged.Good, wantBridged.Total = wantBridged.Good+good, wantBridged.Total+total
		} else if s.Good != good || s.Total != total {
			t.Errorf("slot %d: %d of %d, want %d of %d", n, s.Good, s.Total, good, total)
		}
	}
	if bridged != wantBridged {
		t.Errorf("over missed scrapes %+v, want %+v", bridged, wantBridged)
	}
	for n := range slots {
		// Scrapes 150 to 170 failed: from the one at minute 74:30 on nobody looked until 85:30.
		if gap := n >= 74 && n <= 85; seen[n] == gap {
			t.Errorf("slot %d: given %v, want %v", n, seen[n], !gap)
		}
	}
}

// However a span is cut, the slots are the same; re-reading changes nothing.
func TestSpansAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	a := newProcess(r, "a", 241)
	a.restarts[33], a.restarts[77], a.down[40], a.down[41] = true, true, true, true
	data := a.scrape()
	for i := range data { // off the edges of slots
		for j := range data[i].Points {
			data[i].Points[j].At += 7_321
		}
	}
	c := counterOn(t, prometheustest.Start(t, "", data))
	whole := one(t, c, shopRatio(), span(begin, begin.Add(2*time.Hour))).Groups[0].Slots
	var parts []metric.Slot
	for from := begin; from.Before(begin.Add(2 * time.Hour)); from = from.Add(8 * time.Minute) {
		parts = append(parts, one(t, c, shopRatio(), span(from, from.Add(8*time.Minute))).Groups[0].Slots...)
	}
	if !slices.Equal(whole, parts) {
		t.Errorf("in parts %v\nwhole %v", parts, whole)
	}
	var good, total, counted int64
	for k := 1; k < 240; k++ {
		good, total = good+a.ok[k], total+a.ok[k]+a.failed[k]
	}
	for _, s := range whole {
		counted += s.Total
	}
	if len(whole) < 118 || counted > total || float64(counted) < 0.98*float64(total) {
		t.Errorf("%d slots with %d events of %d", len(whole), counted, total)
	}
}

// A target that is new counts from when its process began; one that is not
// known to be new, from its first scrape on.
func TestBeginnings(t *testing.T) {
	series := func(name, instance string, from time.Duration, values ...float64) metrictest.Series {
		return metrictest.Series{Labels: metric.Labels{metric.NameLabel: name, "job": "shop", "instance": instance, "code": "200"},
			Points: prometheustest.Points(begin.Add(from), tick, values...)}
	}
	target := func(name, instance string, from time.Duration, values ...float64) metrictest.Series {
		s := series(name, instance, from, values...)
		delete(s.Labels, "code")
		return s
	}
	steady := make([]float64, 41)
	ones := slices.Repeat([]float64{1}, 41)
	started := float64(begin.Add(9 * time.Minute).Unix())
	at := 10 * time.Minute
	for _, c := range []struct {
		name string
		data []metrictest.Series
		want int64 // events in slots 8 to 12
	}{
		{"nothing known", []metrictest.Series{series("requests_total", "new", at, 100, 101, 103)}, 3},
		{"process just started", []metrictest.Series{series("requests_total", "new", at, 100, 101, 103),
			target("process_start_time_seconds", "new", at, started, started, started)}, 103},
		{"process is old", []metrictest.Series{series("requests_total", "new", at, 100, 101, 103),
			target("process_start_time_seconds", "new", at, 1e9, 1e9, 1e9)}, 3},
		{"scraped before without it", []metrictest.Series{series("requests_total", "new", at, 100, 101, 103), target("up", "new", 0, ones...)}, 103},
		{"scraped before, but too many to be new", []metrictest.Series{series("requests_total", "new", at, 1e6, 1e6+1, 1e6+3), target("up", "new", 0, ones...)}, 3},
		{"not scraped before", []metrictest.Series{series("requests_total", "new", at, 100, 101, 103), target("up", "new", at, 1, 1, 1)}, 3},
		{"was there an hour before", []metrictest.Series{series("requests_total", "new", -time.Hour, 60, 90),
			series("requests_total", "new", at, 100, 101, 103), target("up", "new", 0, ones...)}, 3},
		{"was there, and began again", []metrictest.Series{series("requests_total", "new", -time.Hour, 600, 900),
			series("requests_total", "new", at, 100, 101, 103), target("up", "new", 0, ones...)}, 103},
	} {
		data := append(c.data, series("requests_total", "steady", 0, steady...))
		got := one(t, counterOn(t, prometheustest.Start(t, "", joined(data))), shopTotal(), span(begin.Add(8*time.Minute), begin.Add(13*time.Minute)))
		total := int64(0)
		for _, g := range got.Groups {
			for _, s := range g.Slots {
				total += s.Total
			}
		}
		if total != c.want {
			t.Errorf("%s: %d events, want %d (%v)", c.name, total, c.want, got.Findings)
		}
	}
}

func shopTotal() metric.Indicator {
	i := shopRatio()
	i.Bad = `sum(increase(requests_total{job="shop",code="500"}[5m])) or vector(0)`
	return i
}

// joined puts the points of the same series together.
func joined(data []metrictest.Series) []metrictest.Series {
	var out []metrictest.Series
	for _, s := range data {
		if i := slices.IndexFunc(out, func(o metrictest.Series) bool { return metric.CompareLabels(o.Labels, s.Labels) == 0 }); i >= 0 {
			out[i].Points = append(out[i].Points, s.Points...)
			continue
		}
		out = append(out, s)
	}
	return out
}

// Late: a slot is given once every target was scraped after its end, or is gone.
func TestLateScrapes(t *testing.T) {
	labels := func(i string) metric.Labels {
		return metric.Labels{metric.NameLabel: "requests_total", "job": "shop", "instance": i, "code": "200"}
	}
	data := []metrictest.Series{
		{Labels: labels("a"), Points: prometheustest.Points(begin, tick, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)}, // up to 5:00
		{Labels: labels("b"), Points: prometheustest.Points(begin, tick, 0, 1, 2, 3, 4, 5, 6)},              // up to 3:00
	}
	c := counterOn(t, prometheustest.Start(t, "", data))
	for _, step := range []struct {
		now  time.Duration
		want int // slots
	}{{4 * time.Minute, 3}, {5 * time.Minute, 5}} {
		got := one(t, c, shopTotal(), metric.Span{From: begin, Until: begin.Add(5 * time.Minute), Now: begin.Add(step.now)})
		if len(got.Groups) != 1 || len(got.Groups[0].Slots) != step.want {
			t.Errorf("at %s: %+v, want %d slots", step.now, got, step.want)
		}
	}
}

// What is wrong with data is said, with a code, and its slots are gaps.
func TestFindings(t *testing.T) {
	series := func(name, code string, values ...float64) metrictest.Series {
		return metrictest.Series{Labels: metric.Labels{metric.NameLabel: name, "job": "shop", "instance": "a", "code": code}, Points: prometheustest.Points(begin, tick, values...)}
	}
	rising := []float64{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	c := counterOn(t, prometheustest.Start(t, "", []metrictest.Series{
		series("all_total", "", rising...),
		series("more_total", "", 0, 5, 10, 15, 20, 40, 60, 65, 70, 75, 80),
		series("nan_total", "", 0, 1, 2, 3, math.NaN(), 5, 6, 7, 8, 9, 10),
		series("inf_total", "", 0, 1, 2, 3, math.Inf(1), 5, 6, 7, 8, 9, 10),
		series("half_total", "", 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5),
		series("many_total", "a", rising...), series("many_total", "b", rising...),
	}))
	ratio := func(good, total string) metric.Indicator {
		return metric.Indicator{Kind: metric.Ratio, Good: "sum(rate(" + good + "[5m]))", Total: total}
	}
	for _, x := range []struct {
		name      string
		indicator metric.Indicator
		code      string
		slots     int
	}{
		{"fine", ratio("all_total", "sum(rate(all_total[5m]))"), "", 5},
		{"good exceeds total", ratio("more_total", "sum(rate(all_total[5m]))"), metric.CodeExceeds, 4},
		{"NaN", ratio("nan_total", "sum(rate(all_total[5m]))"), metric.CodeNotANumber, 3},
		{"infinite total", ratio("half_total", "sum(rate(inf_total[5m]))"), metric.CodeNotANumber, 3},
		{"fractions", ratio("half_total", "sum(rate(all_total[5m]))"), metric.CodeFraction, 5},
		{"many", ratio("all_total", "rate(many_total[5m])"), metric.CodeManySeries, 0},
		{"many by", ratio("all_total", "sum by (code) (rate(many_total[5m]))"), metric.CodeManySeries, 0},
		{"none", ratio("all_total", "sum(rate(absent_total[5m]))"), metric.CodeNoSeries, 0},
		{"no bucket", ratio(`all_total{le="0.3"}`, "sum(rate(all_total[5m]))"), metric.CodeNoBucket, 0},
		{"negative", ratio("half_total", "sum(rate(half_total[5m])) - sum(rate(all_total[5m]))"), metric.CodeNegative, 0},
		{"evaluated many", metric.Indicator{Kind: metric.Share, Value: "irate(many_total[5m])"}, metric.CodeManySeries, 0},
		{"evaluated beyond one", metric.Indicator{Kind: metric.Share, Value: "4 * sum(irate(all_total[5m]))"}, metric.CodeExceeds, 0},
		{"gauge of many", metric.Indicator{Kind: metric.Measured, Value: "many_total", Op: "lt", Threshold: 5}, metric.CodeManySeries, 0},
		{"gauge that is NaN", metric.Indicator{Kind: metric.Measured, Value: "nan_total", Op: "lt", Threshold: 5}, metric.CodeNotANumber, 4},
	} {
		got := one(t, c, x.indicator, metric.Span{From: begin, Until: begin.Add(5 * time.Minute), Now: begin.Add(time.Hour)})
		slots := 0
		for _, g := range got.Groups {
			slots += len(g.Slots)
		}
		codes := []string{}
		for _, f := range got.Findings {
			if f.Code != metric.CodeFraction || x.code == metric.CodeFraction {
				codes = append(codes, f.Code)
			}
		}
		if want := map[bool][]string{true: {}, false: {x.code}}[x.code == ""]; !slices.Equal(codes, want) || slots != x.slots {
			t.Errorf("%s: %d slots, %v, want %d, %q: %v", x.name, slots, codes, x.slots, x.code, got.Findings)
		}
	}
}

// Groups by label, bare selectors that are to be summed, ratios in one
// expression, histograms classic and native, and gauges.
func TestShapes(t *testing.T) {
	series := func(name string, l metric.Labels, values ...float64) metrictest.Series {
		out := metric.Labels{metric.NameLabel: name, "job": "shop", "instance": "a"}
		for k, v := range l {
			out[k] = v
		}
		return metrictest.Series{Labels: out, Points: prometheustest.Points(begin, tick, values...)}
	}
	native := metrictest.Series{Labels: metric.Labels{metric.NameLabel: "took", "job": "shop"}}
	for k := range int64(5) { // per tick: 3 in (0.25,0.5], 2 in (0.5,1]
		native.Histograms = append(native.Histograms, metrictest.Histogram{At: begin.Add(time.Duration(k) * tick).UnixMilli(), Sum: 1, Counts: map[int]int64{-1: 3 * k, 0: 2 * k}})
	}
	c := counterOn(t, prometheustest.Start(t, "", []metrictest.Series{
		series("req_total", metric.Labels{"route": "/a", "code": "200"}, 0, 10, 20, 30, 40),
		series("req_total", metric.Labels{"route": "/a", "code": "500"}, 0, 1, 2, 3, 4),
		series("req_total", metric.Labels{"route": "/b", "code": "200"}, 0, 5, 10, 15, 20),
		series("lat_bucket", metric.Labels{"le": "0.3"}, 0, 6, 12, 18, 24), series("lat_bucket", metric.Labels{"le": "1.0"}, 0, 7, 14, 21, 28),
		series("lat_count", nil, 0, 8, 16, 24, 32), native,
		series("load", nil, 1, 2, 3, 4, 5),
	}))
	type counts map[string][2]int64 // by group; one minute each of two
	for _, x := range []struct {
		name      string
		indicator metric.Indicator
		want      counts
	}{
		{"groups", metric.Indicator{Kind: metric.Ratio, Bad: `sum by (route) (rate(req_total{code="500"}[5m]))`, Total: `sum by (route) (rate(req_total[5m]))`, GroupBy: []string{"route"}},
			counts{"/a": {20, 22}, "/b": {10, 10}}},
		{"Pyrra", metric.Indicator{Kind: metric.Ratio, Bad: `req_total{code="500"}`, Total: `req_total`, Sum: true, Counter: true}, counts{"": {30, 32}}},
		{"share", metric.Indicator{Kind: metric.Share, Value: `sum(rate(req_total{code="500"}[5m])) / sum(rate(req_total[5m]))`, Failures: true}, counts{"": {30, 32}}},
		{"minus", metric.Indicator{Kind: metric.Ratio, Good: `sum(rate(req_total[5m])) - sum(rate(req_total{code="500"}[5m]))`, Total: `sum(rate(req_total[5m]))`}, counts{"": {30, 32}}},
		{"bucket", metric.Indicator{Kind: metric.Ratio, Good: `sum(rate(lat_bucket{le="0.3"}[5m]))`, Total: `sum(rate(lat_count[5m]))`}, counts{"": {12, 16}}},
		{"bucket of Prometheus 3", metric.Indicator{Kind: metric.Ratio, Good: `sum(rate(lat_bucket{le="1"}[5m]))`, Total: `sum(rate(lat_count[5m]))`}, counts{"": {14, 16}}},
		{"native", metric.Indicator{Kind: metric.Faster, Value: "took", Threshold: 0.5, Sum: true}, counts{"": {6, 10}}},
		{"native fraction", metric.Indicator{Kind: metric.Ratio, Good: "histogram_fraction(0, 0.5, sum(rate(took[5m]))) * histogram_count(sum(rate(took[5m])))", Total: "histogram_count(sum(rate(took[5m])))"}, counts{"": {6, 10}}},
		{"gauge", metric.Indicator{Kind: metric.Measured, Value: "load", Op: "lte", Threshold: 2}, counts{"": {2, 2}}},
	} {
		got := one(t, c, x.indicator, span(begin, begin.Add(time.Minute)))
		found := counts{}
		for _, g := range got.Groups {
			for _, s := range g.Slots {
				found[g.Labels["route"]] = [2]int64{s.Good, s.Total}
			}
		}
		if fmt.Sprint(found) != fmt.Sprint(x.want) || len(got.Findings) > 0 || !got.Exact {
			t.Errorf("%s: %v, want %v; %v %s", x.name, found, x.want, got.Findings, got.Reason)
		}
	}
	// A threshold inside of a bucket is told.
	got := one(t, c, metric.Indicator{Kind: metric.Faster, Value: "took", Threshold: 0.3}, span(begin, begin.Add(time.Minute)))
	if len(got.Findings) != 1 || got.Findings[0].Code != metric.CodeInsideBucket {
		t.Errorf("inside a bucket: %+v", got)
	}
	// What is no sum of counters is evaluated once per slot.
	got = one(t, c, metric.Indicator{Kind: metric.Measured, Value: "max(load)", Op: "lte", Threshold: 3}, span(begin, begin.Add(2*time.Minute)))
	if got.Exact || got.Reason == "" || len(got.Groups) != 1 || !slices.Equal(got.Groups[0].Slots, []metric.Slot{{At: begin.UnixMilli(), Good: 1, Total: 1}, {At: begin.Add(time.Minute).UnixMilli(), Total: 1}}) {
		t.Errorf("evaluated: %+v", got)
	}
}

// Thirty days in blocks, uneven traffic, resets: equal to the last event.
func TestMonthOfBlocks(t *testing.T) {
	const days, step = 30, time.Minute
	r := rand.New(rand.NewPCG(5, 6))
	var text bytes.Buffer
	want := map[int64]metric.Slot{}
	fmt.Fprintln(&text, "# TYPE requests counter")
	for _, instance := range []string{"a", "b"} {
		for _, code := range []string{"200", "500"} {
			total := int64(0)
			for k := range days*24*60 + 1 {
				at := begin.Add(time.Duration(k) * step)
				n := r.Int64N(100)
				if code == "500" && r.IntN(100) > 0 {
					n = 0
				} else if k%1440 == 700 {
					n *= 1000 // a peak
				}
				if total += n; r.IntN(3000) == 0 {
					total = n
				}
				fmt.Fprintf(&text, "requests_total{job=\"shop\",instance=\"%s\",code=\"%s\"} %d %d\n", instance, code, total, at.Unix())
				if k > 0 {
					s := want[at.Add(-step).UnixMilli()]
					s.Total += n
					if code == "200" {
						s.Good += n
					}
					want[at.Add(-step).UnixMilli()] = s
				}
			}
		}
	}
	fmt.Fprintln(&text, "# EOF")
	c := counterOn(t, prometheustest.StartBlocks(t, text.Bytes()))
	slots := 0
	for day := range days {
		from := begin.Add(time.Duration(day) * 24 * time.Hour)
		got := one(t, c, shopRatio(), span(from, from.Add(24*time.Hour)))
		for _, s := range got.Groups[0].Slots {
			slots++
			if w := want[s.At]; w.Good != s.Good || w.Total != s.Total {
				t.Fatalf("%s: %+v, want %+v", time.UnixMilli(s.At).UTC(), s, w)
			}
		}
	}
	if slots != days*1440 {
		t.Errorf("%d slots, want %d", slots, days*1440)
	}
}
