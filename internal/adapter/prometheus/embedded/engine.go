package embedded

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

var (
	_ metric.Engine    = (*Store)(nil)
	_ metric.Discovery = (*Store)(nil)
)

// Query evaluates an expression at an instant.
func (s *Store) Query(ctx context.Context, expr string, at time.Time) (metric.Result, error) {
	return s.evaluate(ctx, expr, func(o *opened) (promql.Query, error) {
		return o.engine.NewInstantQuery(ctx, o.db, nil, expr, at)
	})
}

// QueryRange evaluates an expression at each step of a range.
func (s *Store) QueryRange(ctx context.Context, expr string, steps metric.Steps) (metric.Result, error) {
	if steps.Step <= 0 || steps.To.Before(steps.From) || steps.To.Sub(steps.From)/steps.Step >= metric.MaxSteps {
		return metric.Result{}, problem.New(problem.Invalid, "metrics.query", "a range must have a positive step and at most %d steps", metric.MaxSteps).
			WithNext("ask for a shorter range or a longer step")
	}
	return s.evaluate(ctx, expr, func(o *opened) (promql.Query, error) {
		return o.engine.NewRangeQuery(ctx, o.db, nil, expr, steps.From, steps.To, steps.Step)
	})
}

func (s *Store) evaluate(ctx context.Context, expr string, prepare func(*opened) (promql.Query, error)) (metric.Result, error) {
	if len(expr) > metric.MaxQuery {
		return metric.Result{}, tooLong(expr)
	}
	o, err := s.use()
	if err != nil {
		return metric.Result{}, err
	}
	q, err := prepare(o)
	if err != nil {
		return metric.Result{}, problem.New(problem.Invalid, "metrics.query", "%w", err).WithNext("correct the expression")
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return metric.Result{}, queryProblem(res.Err)
	}
	out := metric.Result{Series: seriesOf(res.Value), Warnings: remarks(res.Warnings, expr)}
	return out, checkSize(out)
}

func tooLong(expr string) error {
	return problem.New(problem.Invalid, "metrics.query", "the expression is %d bytes long; the limit is %d", len(expr), metric.MaxQuery)
}

// queryProblem says what the engine's error means to who asked.
func queryProblem(err error) error {
	var (
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		store    promql.ErrStorage
	)
	switch {
	case errors.As(err, &canceled), errors.As(err, &timeout), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem.New(problem.Unavailable, "metrics.query", "%w", err).WithNext("ask for less, or again later")
	case errors.As(err, &store):
		return problem.New(problem.Unavailable, "metrics.query", "%w", err)
	}
	return problem.New(problem.Invalid, "metrics.query", "%w", err).WithNext("correct the expression or ask for less")
}

// checkSize refuses an answer beyond the port's limits.
func checkSize(r metric.Result) error {
	samples := 0
	for _, s := range r.Series {
		samples += len(s.Points) + len(s.Histograms)
	}
	if len(r.Series) > metric.MaxSeries || samples > metric.MaxSamples {
		return problem.New(problem.Invalid, "metrics.query", "the answer has %d series and %d samples; the limits are %d and %d", len(r.Series), samples, metric.MaxSeries, metric.MaxSamples).
			WithNext("ask for fewer series or a shorter span")
	}
	return nil
}

// seriesOf is a value of PromQL as series in order of their labels.
func seriesOf(v parser.Value) []metric.Series {
	var out []metric.Series
	switch v := v.(type) {
	case promql.Scalar:
		return []metric.Series{{Labels: metric.Labels{}, Points: []metric.Point{{At: v.T, Value: v.V}}}}
	case promql.Vector:
		for _, x := range v {
			one := metric.Series{Labels: labelsOf(x.Metric)}
			if x.H != nil {
				one.Histograms = []metric.HistogramPoint{{At: x.T, Histogram: histogramOf(x.H)}}
			} else {
				one.Points = []metric.Point{{At: x.T, Value: x.F}}
			}
			out = append(out, one)
		}
		sort.SliceStable(out, func(i, j int) bool { return labels.Compare(v[i].Metric, v[j].Metric) < 0 })
	case promql.Matrix:
		sort.Sort(v)
		for _, x := range v {
			one := metric.Series{Labels: labelsOf(x.Metric)}
			for _, p := range x.Floats {
				one.Points = append(one.Points, metric.Point{At: p.T, Value: p.F})
			}
			for _, p := range x.Histograms {
				one.Histograms = append(one.Histograms, metric.HistogramPoint{At: p.T, Histogram: histogramOf(p.H)})
			}
			out = append(out, one)
		}
	}
	return out
}

func labelsOf(l labels.Labels) metric.Labels {
	out := make(metric.Labels, l.Len())
	l.Range(func(l labels.Label) { out[l.Name] = l.Value })
	return out
}

func histogramOf(h *histogram.FloatHistogram) metric.Histogram {
	out := metric.Histogram{Count: h.Count, Sum: h.Sum}
	for it := h.AllBucketIterator(); it.Next(); {
		if b := it.At(); b.Count != 0 {
			out.Buckets = append(out.Buckets, metric.Bucket{
				Lower: b.Lower, Upper: b.Upper, LowerInclusive: b.LowerInclusive, UpperInclusive: b.UpperInclusive, Count: b.Count,
			})
		}
	}
	return out
}

// remarks are the warnings and informations of an answer.
func remarks(a annotations.Annotations, expr string) []string {
	warnings, infos := a.AsStrings(expr, metric.MaxWarnings, metric.MaxWarnings)
	out := append(warnings, infos...)
	return out[:min(len(out), metric.MaxWarnings)]
}

// Samples gives the stored samples of a selector in [from, until).
func (s *Store) Samples(ctx context.Context, selector string, from, until time.Time) (metric.Result, error) {
	matchers, err := parseSelector(selector)
	if err != nil || !until.After(from) {
		return metric.Result{}, err
	}
	o, err := s.use()
	if err != nil {
		return metric.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Limits.QueryTime)
	defer cancel()
	if _, err := s.queries.Insert(ctx, selector); err != nil {
		return metric.Result{}, queryProblem(err)
	}
	defer s.queries.Delete(0)
	first, last := from.UnixMilli(), until.UnixMilli()-1
	q, err := o.querier(first, last)
	if err != nil {
		return metric.Result{}, err
	}
	defer q.Close()
	set := q.Select(ctx, true, &storage.SelectHints{Start: first, End: last}, matchers...)
	var out metric.Result
	room := metric.MaxSamples
	for set.Next() {
		one := metric.Series{Labels: labelsOf(set.At().Labels())}
		if err := stored(set.At().Iterator(nil), first, last, &one, &room); err != nil {
			return metric.Result{}, err
		}
		if len(one.Points)+len(one.Histograms) > 0 {
			out.Series = append(out.Series, one)
		}
		if len(out.Series) > metric.MaxSeries {
			return metric.Result{}, checkSize(out)
		}
	}
	out.Warnings = remarks(set.Warnings(), selector)
	if err := set.Err(); err != nil {
		return metric.Result{}, problem.New(problem.Unavailable, "metrics.samples", "%w", err)
	}
	return out, nil
}

// stored appends a series' samples in [first, last] without stale markers.
func stored(it chunkenc.Iterator, first, last int64, to *metric.Series, room *int) error {
	var h *histogram.Histogram
	var fh *histogram.FloatHistogram
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		at := it.AtT()
		if at < first || at > last {
			continue
		}
		if *room--; *room < 0 {
			return problem.New(problem.Invalid, "metrics.samples", "there are more than %d samples", metric.MaxSamples).WithNext("ask for a shorter span")
		}
		switch typ {
		case chunkenc.ValFloat:
			if _, v := it.At(); !value.IsStaleNaN(v) {
				to.Points = append(to.Points, metric.Point{At: at, Value: v})
			}
		case chunkenc.ValHistogram:
			if _, h = it.AtHistogram(h); !value.IsStaleNaN(h.Sum) {
				to.Histograms = append(to.Histograms, metric.HistogramPoint{At: at, Histogram: histogramOf(h.ToFloat(nil))})
			}
		case chunkenc.ValFloatHistogram:
			if _, fh = it.AtFloatHistogram(fh); !value.IsStaleNaN(fh.Sum) {
				to.Histograms = append(to.Histograms, metric.HistogramPoint{At: at, Histogram: histogramOf(fh)})
			}
		}
	}
	if err := it.Err(); err != nil {
		return problem.New(problem.Unavailable, "metrics.samples", "%w", err)
	}
	return nil
}

func parseSelector(selector string) ([]*labels.Matcher, error) {
	if len(selector) > metric.MaxQuery {
		return nil, tooLong(selector)
	}
	m, err := parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
	if err != nil {
		return nil, problem.New(problem.Invalid, "metrics.selector", "%w", err).WithNext(`write a selector such as up{job="shop"}`)
	}
	return m, nil
}
