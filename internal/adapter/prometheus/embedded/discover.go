package embedded

import (
	"context"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// names reads names of something for each set of matchers; no set is
// everything.
func (s *Store) names(scope metric.Scope, read func(q storage.Querier, hints *storage.LabelHints, m []*labels.Matcher) ([]string, error)) (names []string, more bool, err error) {
	sets, q, err := s.look(scope)
	if err != nil {
		return nil, false, err
	}
	defer q.Close()
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	limit := limitOf(scope.Limit)
	found := map[string]bool{}
	for _, m := range sets {
		list, err := read(q, &storage.LabelHints{}, m)
		if err != nil {
			return nil, false, problem.New(problem.Unavailable, "metrics.names", "%w", err)
		}
		for _, n := range list {
			found[n] = true
		}
	}
	out := slices.Sorted(maps.Keys(found))
	return out[:min(len(out), limit)], len(out) > limit, nil
}

// look opens a querier on a scope.
func (s *Store) look(scope metric.Scope) (sets [][]*labels.Matcher, q storage.Querier, err error) {
	for _, sel := range scope.Selectors {
		m, err := parseSelector(sel)
		if err != nil {
			return nil, nil, err
		}
		sets = append(sets, m)
	}
	o, err := s.use()
	if err != nil {
		return nil, nil, err
	}
	q, err = o.querier(rangeOf(scope))
	return sets, q, err
}

func limitOf(n int) int {
	if n <= 0 {
		return metric.MaxSeries
	}
	return min(n, metric.MaxSeries)
}

// LabelNames gives the names of labels, in order.
func (s *Store) LabelNames(ctx context.Context, scope metric.Scope) (names []string, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Limits.QueryTime)
	defer cancel()
	return s.names(scope, func(q storage.Querier, hints *storage.LabelHints, m []*labels.Matcher) ([]string, error) {
		list, _, err := q.LabelNames(ctx, hints, m...)
		return list, err
	})
}

// LabelValues gives the values of a label, in order.
func (s *Store) LabelValues(ctx context.Context, label string, scope metric.Scope) (values []string, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Limits.QueryTime)
	defer cancel()
	return s.names(scope, func(q storage.Querier, hints *storage.LabelHints, m []*labels.Matcher) ([]string, error) {
		list, _, err := q.LabelValues(ctx, label, hints, m...)
		return list, err
	})
}

// Series gives the labels of series, in order.
func (s *Store) Series(ctx context.Context, scope metric.Scope) (series []metric.Labels, more bool, err error) {
	found, more, err := s.series(ctx, scope)
	for _, l := range found {
		series = append(series, labelsOf(l))
	}
	return series, more, err
}

func (s *Store) series(ctx context.Context, scope metric.Scope) (found []labels.Labels, more bool, err error) {
	if len(scope.Selectors) == 0 {
		return nil, false, problem.New(problem.Invalid, "metrics.series", "no selector was given").WithNext(`give one, such as up{job="shop"}`)
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Limits.QueryTime)
	defer cancel()
	sets, q, err := s.look(scope)
	if err != nil {
		return nil, false, err
	}
	defer q.Close()
	from, until := rangeOf(scope)
	var all []storage.SeriesSet
	for _, m := range sets {
		// No samples are read for the function "series".
		all = append(all, q.Select(ctx, true, &storage.SelectHints{Start: from, End: until, Func: "series"}, m...))
	}
	limit := limitOf(scope.Limit)
	set := storage.NewMergeSeriesSet(all, 0, storage.ChainedSeriesMerge)
	for set.Next() {
		if len(found) == limit {
			return found, true, nil
		}
		found = append(found, set.At().Labels())
	}
	if err := set.Err(); err != nil {
		return nil, false, problem.New(problem.Unavailable, "metrics.series", "%w", err)
	}
	return found, false, nil
}

func rangeOf(scope metric.Scope) (from, until int64) {
	from, until = math.MinInt64, math.MaxInt64
	if !scope.From.IsZero() {
		from = scope.From.UnixMilli()
	}
	if !scope.Until.IsZero() {
		until = scope.Until.UnixMilli() - 1
	}
	return from, until
}

// Metadata gives what scraped targets say of their metrics, in order of names.
// What was written to us has none.
func (s *Store) Metadata(_ context.Context, name string, limit int) (list []metric.Metadata, more bool, err error) {
	if _, err := s.use(); err != nil {
		return nil, false, err
	}
	found := map[metric.Metadata]bool{}
	for _, targets := range s.scraper.manager.TargetsActive() {
		for _, t := range targets {
			for _, m := range t.ListMetadata() {
				if name == "" || name == m.MetricFamily {
					found[metric.Metadata{Metric: m.MetricFamily, Type: metric.Type(m.Type), Help: m.Help, Unit: m.Unit}] = true
				}
			}
		}
	}
	for m := range found {
		list = append(list, m)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return a.Metric < b.Metric || a.Metric == b.Metric && (a.Type < b.Type || a.Type == b.Type && a.Help < b.Help)
	})
	limit = limitOf(limit)
	return list[:min(len(list), limit)], len(list) > limit, nil
}
