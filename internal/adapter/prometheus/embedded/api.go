package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Paths are where Prometheus' query API lives; each is a pattern for a
// ServeMux.
var Paths = []string{
	"/api/v1/query", "/api/v1/query_range", "/api/v1/series", "/api/v1/labels", "/api/v1/label/{name}/values",
	"/api/v1/metadata", "/api/v1/status/buildinfo",
}

// The most bytes of a form.
const maxForm = 1 << 20

// API answers the endpoints at Paths as Prometheus does
// (https://prometheus.io/docs/prometheus/latest/querying/api/). Who may ask is
// decided by whoever mounts it.
func (s *Store) API(version string) http.Handler {
	mux := http.NewServeMux()
	for path, answer := range map[string]func(ctx context.Context, form url.Values) (*answer, error){
		"/api/v1/query":       s.apiQuery,
		"/api/v1/query_range": s.apiRange,
		"/api/v1/series":      s.apiSeries,
		"/api/v1/labels":      s.apiLabels,
	} {
		mux.Handle("GET "+path, answering(answer))
		mux.Handle("POST "+path, answering(answer))
	}
	mux.Handle("GET /api/v1/label/{name}/values", answering(s.apiValues))
	mux.Handle("GET /api/v1/metadata", answering(s.apiMetadata))
	mux.Handle("GET /api/v1/status/buildinfo", answering(func(context.Context, url.Values) (*answer, error) {
		// Clients go by the version: it is that of the Prometheus inside.
		return &answer{data: map[string]string{"version": engineVersion, "application": "Flyball", "flyballVersion": version}}, nil
	}))
	return mux
}

// engineVersion is the version of Prometheus whose API this is: that of module
// v0.315.0.
const engineVersion = "3.15.0"

// answer is the data of a response, with what the engine remarked.
type answer struct {
	data     any
	warnings []string
	infos    []string
}

// apiError is an error as the API of Prometheus tells it.
type apiError struct {
	status  int
	kind    string
	message string
}

func (e *apiError) Error() string { return e.message }

func bad(parameter string, err error) error {
	return &apiError{http.StatusBadRequest, "bad_data", fmt.Sprintf("invalid parameter %q: %s", parameter, err)}
}

// answering reads the parameters, from address and body, and writes the answer.
func answering(do func(ctx context.Context, form url.Values) (*answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			writeError(w, &apiError{http.StatusBadRequest, "bad_data", "the parameters cannot be read: " + err.Error()})
			return
		}
		if name := r.PathValue("name"); name != "" {
			r.Form.Set("name", name)
		}
		a, err := do(r.Context(), r.Form)
		if err != nil {
			writeError(w, apiErrorOf(err))
			return
		}
		writeAnswer(w, a)
	})
}

// apiErrorOf says an error in the words of Prometheus' API.
func apiErrorOf(err error) *apiError {
	var (
		e        *apiError
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		store    promql.ErrStorage
	)
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return &apiError{http.StatusServiceUnavailable, "timeout", err.Error()}
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &apiError{499, "canceled", err.Error()}
	case errors.As(err, &store):
		return &apiError{http.StatusInternalServerError, "internal", err.Error()}
	}
	switch problem.KindOf(err) {
	case problem.Invalid:
		return &apiError{http.StatusBadRequest, "bad_data", err.Error()}
	case problem.Unavailable:
		return &apiError{http.StatusServiceUnavailable, "unavailable", err.Error()}
	}
	return &apiError{http.StatusUnprocessableEntity, "execution", err.Error()}
}

func (s *Store) apiQuery(ctx context.Context, form url.Values) (*answer, error) {
	at, err := timeOf(form, "time", s.o.Clock.Now())
	if err != nil {
		return nil, err
	}
	return s.run(ctx, form, func(ctx context.Context, o *opened, opts promql.QueryOpts, expr string) (promql.Query, error) {
		return o.engine.NewInstantQuery(ctx, o.db, opts, expr, at)
	})
}

func (s *Store) apiRange(ctx context.Context, form url.Values) (*answer, error) {
	for _, name := range []string{"start", "end"} {
		if form.Get(name) == "" {
			return nil, bad(name, errors.New(`cannot parse "" to a valid timestamp`))
		}
	}
	start, err := timeOf(form, "start", time.Time{})
	if err != nil {
		return nil, err
	}
	end, err := timeOf(form, "end", time.Time{})
	if err != nil {
		return nil, err
	}
	if end.Before(start) {
		return nil, bad("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := durationOf(form.Get("step"))
	if err != nil {
		return nil, bad("step", err)
	}
	if step < time.Millisecond {
		return nil, bad("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if end.Sub(start)/step > metric.MaxSteps {
		return nil, &apiError{http.StatusBadRequest, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}
	}
	return s.run(ctx, form, func(ctx context.Context, o *opened, opts promql.QueryOpts, expr string) (promql.Query, error) {
		return o.engine.NewRangeQuery(ctx, o.db, opts, expr, start, end, step)
	})
}

// run runs a query within the limits.
func (s *Store) run(ctx context.Context, form url.Values, prepare func(ctx context.Context, o *opened, opts promql.QueryOpts, expr string) (promql.Query, error)) (*answer, error) {
	expr := form.Get("query")
	if len(expr) > metric.MaxQuery {
		return nil, tooLong(expr)
	}
	limit, err := countOf(form, "limit")
	if err != nil {
		return nil, err
	}
	var lookback time.Duration
	if v := form.Get("lookback_delta"); v != "" {
		if lookback, err = durationOf(v); err != nil {
			return nil, bad("lookback_delta", err)
		}
	}
	if v := form.Get("timeout"); v != "" {
		timeout, err := durationOf(v)
		if err != nil {
			return nil, bad("timeout", err)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	o, err := s.use()
	if err != nil {
		return nil, err
	}
	q, err := prepare(ctx, o, promql.NewPrometheusQueryOpts(false, lookback), expr)
	if err != nil {
		return nil, bad("query", err)
	}
	defer q.Close()
	if err := checkSubqueries(q); err != nil {
		return nil, err
	}
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	out := &answer{}
	out.warnings, out.infos = res.Warnings.AsStrings(expr, 10, 10)
	value, cut := cutTo(res.Value, limit)
	if cut {
		out.warnings = append(out.warnings, truncated)
	}
	// The points are the engine's until q is closed.
	out.data = encoded(appendValue(nil, value))
	return out, nil
}

const truncated = "results truncated due to limit"

// scopeOf is what the parameters of discovery say. The end is part of the
// range, as Prometheus has it.
func scopeOf(form url.Values) (metric.Scope, error) {
	var scope metric.Scope
	var err error
	if scope.From, err = timeOf(form, "start", time.Time{}); err != nil {
		return scope, err
	}
	if scope.Until, err = timeOf(form, "end", time.Time{}); err != nil {
		return scope, err
	}
	if !scope.Until.IsZero() {
		scope.Until = scope.Until.Add(time.Millisecond)
	}
	scope.Selectors = form["match[]"]
	if len(scope.Selectors) > maxSelectors {
		return scope, bad("match[]", fmt.Errorf("at most %d selectors", maxSelectors))
	}
	scope.Limit, err = countOf(form, "limit")
	return scope, err
}

const maxSelectors = 100

func (s *Store) apiSeries(ctx context.Context, form url.Values) (*answer, error) {
	scope, err := scopeOf(form)
	if err != nil {
		return nil, err
	}
	if len(scope.Selectors) == 0 {
		return nil, &apiError{http.StatusBadRequest, "bad_data", "no match[] parameter provided"}
	}
	found, more, err := s.series(ctx, scope)
	if err != nil {
		return nil, err
	}
	b := []byte("[")
	for i, l := range found {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLabels(b, l)
	}
	return said(encoded(append(b, ']')), more), nil
}

func said(data any, more bool) *answer {
	a := &answer{data: data}
	if more {
		a.warnings = []string{truncated}
	}
	return a
}

func (s *Store) apiLabels(ctx context.Context, form url.Values) (*answer, error) {
	scope, err := scopeOf(form)
	if err != nil {
		return nil, err
	}
	names, more, err := s.LabelNames(ctx, scope)
	return said(append([]string{}, names...), more), err
}

func (s *Store) apiValues(ctx context.Context, form url.Values) (*answer, error) {
	scope, err := scopeOf(form)
	if err != nil {
		return nil, err
	}
	name := form.Get("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, &apiError{http.StatusBadRequest, "bad_data", fmt.Sprintf("invalid label name: %q", name)}
	}
	values, more, err := s.LabelValues(ctx, name, scope)
	return said(append([]string{}, values...), more), err
}

func (s *Store) apiMetadata(ctx context.Context, form url.Values) (*answer, error) {
	limit, err := countOf(form, "limit")
	if err != nil {
		return nil, err
	}
	list, _, err := s.Metadata(ctx, form.Get("metric"), limit)
	if err != nil {
		return nil, err
	}
	type entry struct {
		Type string `json:"type"`
		Unit string `json:"unit"`
		Help string `json:"help"`
	}
	out := map[string][]entry{}
	for _, m := range list {
		e := entry{string(m.Type), m.Unit, m.Help}
		if !slices.Contains(out[m.Metric], e) {
			out[m.Metric] = append(out[m.Metric], e)
		}
	}
	return &answer{data: out}, nil
}

// timeOf is a parameter that is Unix seconds or RFC 3339.
func timeOf(form url.Values, name string, otherwise time.Time) (time.Time, error) {
	v := form.Get(name)
	if v == "" {
		return otherwise, nil
	}
	if f, err := strconv.ParseFloat(v, 64); err == nil && math.Abs(f) < 1e12 {
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return time.Time{}, bad(name, fmt.Errorf("cannot parse %.60q to a valid timestamp", v))
	}
	return t, nil
}

// durationOf is seconds, or a duration such as 5m.
func durationOf(v string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		if math.Abs(f) < float64(math.MaxInt64)/float64(time.Second) {
			return time.Duration(f * float64(time.Second)), nil
		}
	} else if d, err := model.ParseDuration(v); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %.60q to a valid duration", v)
}

// countOf is a parameter that is a number of things, 0 for no limit.
func countOf(form url.Values, name string) (int, error) {
	v := form.Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, bad(name, errors.New("limit must be a non-negative number"))
	}
	return n, nil
}
