package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Query implements metric.Engine.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (metric.Result, error) {
	if err := sized(expr); err != nil {
		return metric.Result{}, err
	}
	return c.values(ctx, "query", url.Values{"query": {expr}, "time": {seconds(at)}})
}

// QueryRange implements metric.Engine.
func (c *Client) QueryRange(ctx context.Context, expr string, steps metric.Steps) (metric.Result, error) {
	if err := sized(expr); err != nil {
		return metric.Result{}, err
	}
	if err := steps.Check(); err != nil {
		return metric.Result{}, err
	}
	return c.values(ctx, "query_range", url.Values{"query": {expr}, "start": {seconds(steps.From)}, "end": {seconds(steps.To)},
		"step": {fmt.Sprintf("%.3f", steps.Step.Seconds())}})
}

// Samples implements metric.Engine: by remote read where the server has it and
// there are no native histograms, else a range selector as an instant query. Its
// range is left-open since Prometheus 3 and closed before, so a millisecond more
// is asked for and what is too early left out.
func (c *Client) Samples(ctx context.Context, selector string, from, until time.Time) (metric.Result, error) {
	text, matchers, err := query.Matchers(selector)
	if err != nil {
		return metric.Result{}, err
	}
	width := until.UnixMilli() - from.UnixMilli()
	if width <= 0 {
		return metric.Result{}, nil
	}
	if c.readable(ctx) {
		if r, err := c.read(ctx, matchers, from.UnixMilli(), until.UnixMilli()-1); !errors.Is(err, errOtherWay) {
			return r, err
		}
	}
	r, err := c.values(ctx, "query", url.Values{"query": {fmt.Sprintf("%s[%dms]", text, width)}, "time": {seconds(time.UnixMilli(until.UnixMilli() - 1))}})
	for i := range r.Series {
		s := &r.Series[i]
		s.Points = slices.DeleteFunc(s.Points, func(p metric.Point) bool { return p.At < from.UnixMilli() })
		s.Histograms = slices.DeleteFunc(s.Histograms, func(p metric.HistogramPoint) bool { return p.At < from.UnixMilli() })
	}
	r.Series = slices.DeleteFunc(r.Series, func(s metric.Series) bool { return len(s.Points)+len(s.Histograms) == 0 })
	return r, err
}

func sized(expr string) error {
	if len(expr) > metric.MaxQuery {
		return problem.New(problem.Invalid, "metric.remote", "the expression is longer than %d bytes", metric.MaxQuery)
	}
	return nil
}

func (c *Client) values(ctx context.Context, path string, form url.Values) (metric.Result, error) {
	e, err := c.call(ctx, http.MethodPost, path, form)
	if err != nil {
		return metric.Result{}, err
	}
	return decode(e)
}

// scope is the form of a discovery.
func scope(s metric.Scope) url.Values {
	form := url.Values{"match[]": s.Selectors}
	if len(s.Selectors) == 0 {
		form = url.Values{}
	}
	if !s.From.IsZero() {
		form.Set("start", seconds(s.From))
	}
	if !s.Until.IsZero() {
		form.Set("end", seconds(s.Until))
	}
	// Servers that know it spare themselves the rest; one more tells that there is more.
	form.Set("limit", strconv.Itoa(limit(s.Limit)+1))
	return form
}

func limit(n int) int {
	if n <= 0 {
		return metric.MaxSeries
	}
	return min(n, metric.MaxSeries)
}

// discover asks and decodes into out.
func (c *Client) discover(ctx context.Context, method, path string, form url.Values, out any) error {
	e, err := c.call(ctx, method, path, form)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(e.Data, out); err != nil {
		return garbled(err)
	}
	return nil
}

// Series implements metric.Discovery.
func (c *Client) Series(ctx context.Context, s metric.Scope) ([]metric.Labels, bool, error) {
	if len(s.Selectors) == 0 {
		return nil, false, problem.New(problem.Invalid, "metric.series", "series are asked for by at least one selector")
	}
	var list []metric.Labels
	err := c.discover(ctx, http.MethodPost, "series", scope(s), &list)
	slices.SortFunc(list, metric.CompareLabels)
	n := min(len(list), limit(s.Limit))
	return list[:n], len(list) > n, err
}

// LabelNames implements metric.Discovery.
func (c *Client) LabelNames(ctx context.Context, s metric.Scope) ([]string, bool, error) {
	return c.names(ctx, http.MethodPost, "labels", s)
}

// LabelValues implements metric.Discovery.
func (c *Client) LabelValues(ctx context.Context, label string, s metric.Scope) ([]string, bool, error) {
	return c.names(ctx, http.MethodGet, "label/"+url.PathEscape(label)+"/values", s)
}

func (c *Client) names(ctx context.Context, method, path string, s metric.Scope) ([]string, bool, error) {
	var list []string
	err := c.discover(ctx, method, path, scope(s), &list)
	slices.Sort(list)
	n := min(len(list), limit(s.Limit))
	return list[:n], len(list) > n, err
}

// Metadata implements metric.Discovery.
func (c *Client) Metadata(ctx context.Context, name string, most int) ([]metric.Metadata, bool, error) {
	form := url.Values{"limit": {strconv.Itoa(limit(most) + 1)}}
	if name != "" {
		form.Set("metric", name)
	}
	var all map[string][]struct{ Type, Help, Unit string }
	if err := c.discover(ctx, http.MethodGet, "metadata", form, &all); err != nil {
		return nil, false, err
	}
	var out []metric.Metadata
	for n, list := range all {
		if len(list) > 0 {
			out = append(out, metric.Metadata{Metric: n, Type: metric.Type(list[0].Type), Help: list[0].Help, Unit: list[0].Unit})
		}
	}
	slices.SortFunc(out, func(a, b metric.Metadata) int { return strings.Compare(a.Metric, b.Metric) })
	n := min(len(out), limit(most))
	return out[:n], len(out) > n, nil
}
