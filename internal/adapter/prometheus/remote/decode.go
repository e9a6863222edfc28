package remote

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// data is the answer of query and query_range.
type data struct {
	Type   string          `json:"resultType"`
	Result json.RawMessage `json:"result"`
}

// series is one of its elements; a vector has one value, a matrix many.
type series struct {
	Metric     metric.Labels   `json:"metric"`
	Value      *point          `json:"value"`
	Values     points          `json:"values"`
	Histogram  *histogramPair  `json:"histogram"`
	Histograms []histogramPair `json:"histograms"`
}

// decode reads an answer within the limits.
func decode(e envelope) (metric.Result, error) {
	var d data
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return metric.Result{}, garbled(err)
	}
	out := metric.Result{Partial: e.Partial, Warnings: remarks(e)}
	out.Partial = out.Partial || slices.ContainsFunc(e.Warnings, partial)
	switch d.Type {
	case "scalar":
		var p point
		if err := json.Unmarshal(d.Result, &p); err != nil {
			return out, garbled(err)
		}
		out.Series = []metric.Series{{Labels: metric.Labels{}, Points: []metric.Point{metric.Point(p)}}}
		return out, nil
	case "string":
		return out, problem.New(problem.Invalid, "metric.remote", "the expression is a string, not numbers")
	}
	var list []series
	if err := json.Unmarshal(d.Result, &list); err != nil {
		return out, garbled(err)
	}
	if len(list) > metric.MaxSeries {
		return out, tooMuch("%d series", len(list), metric.MaxSeries)
	}
	samples := 0
	for _, s := range list {
		samples += len(s.Values) + len(s.Histograms) + 1
		out.Series = append(out.Series, s.plain())
	}
	if samples > metric.MaxSamples {
		return out, tooMuch("%d samples", samples, metric.MaxSamples)
	}
	slices.SortFunc(out.Series, func(a, b metric.Series) int { return metric.CompareLabels(a.Labels, b.Labels) })
	return out, nil
}

func garbled(err error) error {
	return problem.New(problem.Unavailable, "metric.remote", "the answer of the metrics server cannot be read: %w", err)
}

func tooMuch(what string, n, limit int) error {
	return problem.New(problem.Invalid, "metric.remote", "the answer has "+what+", more than %d", n, limit).
		WithNext("ask for a shorter time, or for fewer series")
}

// partial recognises the warnings of Thanos for stores that did not answer.
func partial(warning string) bool {
	w := strings.ToLower(warning)
	return strings.Contains(w, "no store") || strings.Contains(w, "partial") || strings.Contains(w, "receive series from") || strings.Contains(w, "fetch series for")
}

func remarks(e envelope) []string {
	all := append(slices.Clone(e.Warnings), e.Infos...)
	all = all[:min(len(all), metric.MaxWarnings)]
	for i, w := range all {
		all[i] = w[:min(len(w), 500)]
	}
	return all
}

func (s series) plain() metric.Series {
	out := metric.Series{Labels: s.Metric, Points: s.Values}
	if out.Labels == nil {
		out.Labels = metric.Labels{}
	}
	if s.Value != nil {
		out.Points = []metric.Point{metric.Point(*s.Value)}
	}
	if s.Histogram != nil {
		s.Histograms = []histogramPair{*s.Histogram}
	}
	for _, h := range s.Histograms {
		out.Histograms = append(out.Histograms, metric.HistogramPoint(h))
	}
	return out
}

// point is [seconds, "value"].
type point metric.Point

// UnmarshalJSON reads a pair.
func (p *point) UnmarshalJSON(b []byte) error {
	one, rest, err := pair(b)
	if err == nil && len(bytes.TrimSpace(rest)) > 0 {
		err = errPair
	}
	*p = point(one)
	return err
}

// points is a list of pairs, of which answers mostly consist; it is read
// without going through the generic decoder for each.
type points []metric.Point

// UnmarshalJSON reads pairs.
func (p *points) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '[' {
		return errPair
	}
	out := make([]metric.Point, 0, bytes.Count(b, []byte("[")))
	b = bytes.TrimLeft(b[1:], " \n\t\r")
	for len(b) > 0 && b[0] != ']' {
		one, rest, err := pair(b)
		if err != nil {
			return err
		}
		out = append(out, one)
		b = bytes.TrimLeft(rest, " \n\t\r,")
	}
	*p = out
	return nil
}

var errPair = problem.New(problem.Unavailable, "metric.remote", "a sample is not [time, \"value\"]")

// pair reads [seconds, "value"] from the front of valid JSON.
func pair(b []byte) (metric.Point, []byte, error) {
	end := bytes.IndexByte(b, ']')
	comma := bytes.IndexByte(b, ',')
	if len(b) == 0 || b[0] != '[' || end < 0 || comma < 0 || comma > end {
		return metric.Point{}, nil, errPair
	}
	at, err := moment(bytes.TrimSpace(b[1:comma]))
	if err != nil {
		return metric.Point{}, nil, err
	}
	text := bytes.TrimSpace(b[comma+1 : end])
	if len(text) < 3 || text[0] != '"' || text[len(text)-1] != '"' {
		return metric.Point{}, nil, errPair
	}
	v, err := strconv.ParseFloat(string(text[1:len(text)-1]), 64)
	if err != nil {
		return metric.Point{}, nil, errPair
	}
	return metric.Point{At: at, Value: v}, b[end+1:], nil
}

// moment is seconds as written, in whole milliseconds.
func moment(text []byte) (int64, error) {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.Abs(v) > 1e12 {
		return 0, errPair
	}
	return int64(math.Round(v * 1000)), nil
}

// histogramPair is [seconds, {count, sum, buckets}].
type histogramPair metric.HistogramPoint

// UnmarshalJSON reads a pair with a histogram.
func (h *histogramPair) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 2 {
		return errPair
	}
	at, err := moment(parts[0])
	if err != nil {
		return err
	}
	var d struct {
		Count   float64             `json:"count,string"`
		Sum     number              `json:"sum"`
		Buckets [][]json.RawMessage `json:"buckets"`
	}
	if err := json.Unmarshal(parts[1], &d); err != nil {
		return err
	}
	h.At, h.Histogram = at, metric.Histogram{Count: d.Count, Sum: float64(d.Sum)}
	for _, fields := range d.Buckets {
		bucket, err := bucketOf(fields)
		if err != nil {
			return err
		}
		h.Histogram.Buckets = append(h.Histogram.Buckets, bucket)
	}
	return nil
}

// number is a float as text, NaN and Inf included.
type number float64

// UnmarshalJSON reads a quoted float.
func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err != nil {
		return errPair
	}
	*n = number(v)
	return nil
}

// bucketOf reads [boundaries, lower, upper, count]; boundaries are 0 for
// (lower, upper], 1 for [lower, upper), 2 for both open, 3 for both closed.
func bucketOf(fields []json.RawMessage) (metric.Bucket, error) {
	if len(fields) != 4 {
		return metric.Bucket{}, errPair
	}
	var v [4]number
	for i := range v {
		if err := v[i].UnmarshalJSON(fields[i]); err != nil {
			return metric.Bucket{}, err
		}
	}
	return metric.Bucket{
		Lower: float64(v[1]), Upper: float64(v[2]), Count: float64(v[3]),
		LowerInclusive: v[0] == 1 || v[0] == 3, UpperInclusive: v[0] == 0 || v[0] == 3,
	}, nil
}
