// Package metrictest is the conformance suite of port/metric: what every engine
// answers to the same samples, stale markers and native histograms included.
// An adapter's test hands Run a function that starts an engine holding them.
package metrictest

import (
	"context"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Series is what an engine is to hold. A point may be Stale.
type Series struct {
	Labels     metric.Labels
	Points     []metric.Point
	Histograms []Histogram
}

// Histogram is a native histogram with positive buckets only: Counts are by
// index, bucket i being (2^((i-1)/2^Schema), 2^(i/2^Schema)].
type Histogram struct {
	At     int64
	Schema int
	Sum    float64
	Counts map[int]int64
}

// Stale is the value of a stale marker: the series is gone.
var Stale = math.Float64frombits(0x7ff0000000000002)

// Engine is what is tested.
type Engine interface {
	metric.Engine
	metric.Discovery
}

// start is when the samples begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func points(step time.Duration, values ...float64) []metric.Point {
	out := make([]metric.Point, len(values))
	for i, v := range values {
		out[i] = metric.Point{At: start.Add(time.Duration(i) * step).UnixMilli(), Value: v}
	}
	return out
}

func data() []Series {
	shop := func(code string) metric.Labels {
		return metric.Labels{metric.NameLabel: "requests_total", "job": "shop", "code": code}
	}
	return []Series{
		{Labels: shop("200"), Points: points(30*time.Second, 0, 10, 20, 30, 5, 15, 25, 35, 45, 55)}, // a reset
		{Labels: shop("500"), Points: points(30*time.Second, 0, 1, 2, Stale, 0, 1)},
		{Labels: metric.Labels{metric.NameLabel: "up", "job": "shop"}, Points: points(30*time.Second, 1, 1, 0, 1, math.NaN(), math.Inf(1))},
		{Labels: metric.Labels{metric.NameLabel: "took_seconds", "job": "shop"}, Histograms: []Histogram{
			{At: start.UnixMilli(), Schema: 0, Sum: 3, Counts: map[int]int64{-1: 4, 0: 2, 3: 1}},
			{At: start.Add(30 * time.Second).UnixMilli(), Schema: 0, Sum: 6, Counts: map[int]int64{-1: 8, 0: 3, 3: 2}},
		}},
	}
}

// Run checks an engine; begin starts one that holds the samples given.
func Run(t *testing.T, begin func(*testing.T, []Series) Engine) {
	e := begin(t, data())
	for name, check := range map[string]func(*testing.T, Engine){
		"samples": samples, "bounds": bounds, "histograms": histograms, "query": query, "range": ranges,
		"errors": failures, "series": series, "labels": labels,
	} {
		t.Run(name, func(t *testing.T) { check(t, e) })
	}
}

func plain(s metric.Series) []float64 {
	var out []float64
	for _, p := range s.Points {
		out = append(out, p.Value)
	}
	return out
}

// samples come as they were stored, stale markers left out.
func samples(t *testing.T, e Engine) {
	r, err := e.Samples(context.Background(), `requests_total{job="shop"}`, start, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Series) != 2 || r.Partial {
		t.Fatalf("%d series, want 2: %+v", len(r.Series), r)
	}
	for i, want := range []Series{{Labels: data()[0].Labels, Points: data()[0].Points}, {Labels: data()[1].Labels, Points: slices.Delete(data()[1].Points, 3, 4)}} {
		if got := r.Series[i]; !maps.Equal(got.Labels, want.Labels) || !slices.Equal(got.Points, want.Points) {
			t.Errorf("series %d is %+v, want %+v", i, got, want)
		}
	}
	up, err := e.Samples(context.Background(), `up`, start, start.Add(time.Hour))
	if err != nil || len(up.Series) != 1 || len(up.Series[0].Points) != 6 || !math.IsNaN(up.Series[0].Points[4].Value) || !math.IsInf(up.Series[0].Points[5].Value, 1) {
		t.Errorf("NaN and Inf are samples too: %+v, %v", up, err)
	}
	none, err := e.Samples(context.Background(), `nothing{}`, start, start.Add(time.Hour))
	if err != nil || len(none.Series) != 0 {
		t.Errorf("an unknown metric is no series and no error: %+v, %v", none, err)
	}
}

// bounds: a span holds its beginning and not its end.
func bounds(t *testing.T, e Engine) {
	r, err := e.Samples(context.Background(), `requests_total{code="200"}`, start.Add(30*time.Second), start.Add(90*time.Second))
	if err != nil || len(r.Series) != 1 || !slices.Equal(plain(r.Series[0]), []float64{10, 20}) {
		t.Errorf("samples of [30 s, 90 s) are %+v, %v; want 10 and 20", r, err)
	}
	r, err = e.Samples(context.Background(), `requests_total`, start.Add(-time.Hour), start)
	if err != nil || len(r.Series) != 0 {
		t.Errorf("a series without samples in the span is left out: %+v, %v", r, err)
	}
}

func histograms(t *testing.T, e Engine) {
	r, err := e.Samples(context.Background(), `took_seconds`, start, start.Add(time.Hour))
	if err != nil || len(r.Series) != 1 || len(r.Series[0].Histograms) != 2 || len(r.Series[0].Points) != 0 {
		t.Fatalf("%+v, %v; want one series of two histograms", r, err)
	}
	h := r.Series[0].Histograms[1]
	want := []metric.Bucket{
		{Lower: 0.25, Upper: 0.5, UpperInclusive: true, Count: 8},
		{Lower: 0.5, Upper: 1, UpperInclusive: true, Count: 3},
		{Lower: 4, Upper: 8, UpperInclusive: true, Count: 2},
	}
	if h.At != start.Add(30*time.Second).UnixMilli() || h.Histogram.Count != 13 || h.Histogram.Sum != 6 || !slices.Equal(h.Histogram.Buckets, want) {
		t.Errorf("histogram %+v, want %+v", h, want)
	}
}

func query(t *testing.T, e Engine) {
	at := start.Add(90 * time.Second)
	r, err := e.Query(context.Background(), `sum(increase(requests_total{code="200"}[90s]))`, at)
	if err != nil || len(r.Series) != 1 || len(r.Series[0].Labels) != 0 || len(r.Series[0].Points) != 1 {
		t.Fatalf("%+v, %v; want one series of one point", r, err)
	}
	if p := r.Series[0].Points[0]; p.At != at.UnixMilli() || math.Abs(p.Value-30) > 0.001 {
		t.Errorf("the increase is %+v, want 30 at %s", p, at)
	}
	r, err = e.Query(context.Background(), `2 * 3`, at)
	if err != nil || len(r.Series) != 1 || len(r.Series[0].Labels) != 0 || !slices.Equal(plain(r.Series[0]), []float64{6}) {
		t.Errorf("a scalar is %+v, %v; want 6 without labels", r, err)
	}
	r, err = e.Query(context.Background(), `requests_total{code="500"}`, start.Add(95*time.Second))
	if err != nil || len(r.Series) != 0 {
		t.Errorf("a stale series is gone: %+v, %v", r, err)
	}
	r, err = e.Query(context.Background(), `requests_total{code="200"}[1m]`, start.Add(100*time.Second))
	if err != nil || len(r.Series) != 1 || !slices.Equal(plain(r.Series[0]), []float64{20, 30}) {
		t.Errorf("a range selector gives %+v, %v; want 20 and 30", r, err)
	}
}

func ranges(t *testing.T, e Engine) {
	steps := metric.Steps{From: start, To: start.Add(3 * time.Minute), Step: time.Minute}
	r, err := e.QueryRange(context.Background(), `requests_total{code="200"}`, steps)
	if err != nil || len(r.Series) != 1 || !slices.Equal(plain(r.Series[0]), []float64{0, 20, 5, 25}) {
		t.Errorf("%+v, %v; want 0, 20, 5, 25", r, err)
	}
	if r.Series[0].Points[3].At != steps.To.UnixMilli() {
		t.Errorf("the last step is at %d, want the end of the range", r.Series[0].Points[3].At)
	}
}

func failures(t *testing.T, e Engine) {
	ctx := context.Background()
	kinds := map[string]error{}
	_, kinds["query"] = e.Query(ctx, `sum(`, start)
	_, kinds["range"] = e.QueryRange(ctx, `sum(`, metric.Steps{From: start, To: start, Step: time.Minute})
	_, kinds["selector"] = e.Samples(ctx, `sum(up)`, start, start.Add(time.Minute))
	_, kinds["offset"] = e.Samples(ctx, `up offset 5m`, start, start.Add(time.Minute))
	_, kinds["steps"] = e.QueryRange(ctx, `up`, metric.Steps{From: start, To: start.Add(24 * time.Hour), Step: time.Second})
	_, kinds["no step"] = e.QueryRange(ctx, `up`, metric.Steps{From: start, To: start.Add(time.Hour)})
	_, _, kinds["no selector"] = e.Series(ctx, metric.Scope{From: start, Until: start.Add(time.Hour)})
	_, _, kinds["discovery"] = e.Series(ctx, metric.Scope{Selectors: []string{`{`}, From: start, Until: start.Add(time.Hour)})
	for name, err := range kinds {
		if problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v, want a problem of kind invalid", name, err)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := e.Query(over, `up`, start); err == nil {
		t.Error("a query whose context is over gives an answer")
	}
}

func series(t *testing.T, e Engine) {
	scope := metric.Scope{Selectors: []string{`requests_total`, `up`}, From: start, Until: start.Add(time.Hour), Limit: 10}
	list, more, err := e.Series(context.Background(), scope)
	if err != nil || more || len(list) != 3 || list[0]["code"] != "200" || list[1]["code"] != "500" || list[2][metric.NameLabel] != "up" {
		t.Errorf("%v more %v, %v; want two of requests_total and up, in order", list, more, err)
	}
	scope.Limit = 2
	if list, more, err = e.Series(context.Background(), scope); err != nil || !more || len(list) != 2 {
		t.Errorf("%v more %v, %v; want two and more", list, more, err)
	}
}

func labels(t *testing.T, e Engine) {
	scope := metric.Scope{Selectors: []string{`requests_total`}, From: start, Until: start.Add(time.Hour), Limit: 10}
	names, more, err := e.LabelNames(context.Background(), scope)
	if err != nil || more || !slices.Equal(names, []string{metric.NameLabel, "code", "job"}) {
		t.Errorf("names %v more %v, %v", names, more, err)
	}
	values, more, err := e.LabelValues(context.Background(), "code", scope)
	if err != nil || more || !slices.Equal(values, []string{"200", "500"}) {
		t.Errorf("values %v more %v, %v", values, more, err)
	}
	scope.Limit = 1
	if values, more, err = e.LabelValues(context.Background(), metric.NameLabel, metric.Scope{From: start, Until: start.Add(time.Hour), Limit: 1}); err != nil || !more || len(values) != 1 {
		t.Errorf("values %v more %v, %v; want one and more", values, more, err)
	}
	if _, _, err = e.Metadata(context.Background(), "", 5); err != nil && problem.KindOf(err) != problem.NotFound {
		t.Errorf("metadata: %v; an engine without them says notfound or none", err)
	}
}
