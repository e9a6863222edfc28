package query

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

// maxFirst is the most that the first value of a series may be to count from 0
// when all that is known is that its target was scraped before: more is rather
// a counter that had been there and was not collected.
const maxFirst = 1000

// target is what a series was scraped from.
type target struct{ job, instance string }

func targetOf(l metric.Labels) target { return target{l["job"], l["instance"]} }

// kin are series of one metric and target: they come with the same scrapes.
type kin struct {
	target
	name string
}

// evidence answers since when a series that begins has counted.
type evidence struct {
	series map[kin][]metric.Series
	up     map[target][]int64        // when it was scraped successfully
	starts map[target][]metric.Point // process_start_time_seconds
	// earlier is the last value of series, by identity, of those that were there
	// in the day before the samples read.
	earlier map[string]float64
}

func newEvidence() *evidence {
	return &evidence{series: map[kin][]metric.Series{}, up: map[target][]int64{}, starts: map[target][]metric.Point{}, earlier: map[string]float64{}}
}

func (e *evidence) add(list []metric.Series) {
	for _, s := range list {
		k := kin{targetOf(s.Labels), s.Labels[metric.NameLabel]}
		e.series[k] = append(e.series[k], s)
	}
}

// at is when the samples of a series were taken.
func at(s metric.Series, i int) int64 {
	if len(s.Points) > 0 {
		return s.Points[i].At
	}
	return s.Histograms[i].At
}

func count(s metric.Series) int { return max(len(s.Points), len(s.Histograms)) }

// find is the place of the first sample at or after a moment.
func find(s metric.Series, moment int64) (int, bool) {
	lo, hi := 0, count(s)
	for lo < hi {
		if mid := (lo + hi) / 2; at(s, mid) < moment {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < count(s) && at(s, lo) == moment
}

// sibling is the last scrape before a series' first sample at which its kin had
// a sample, and has one again at the first sample.
func (e *evidence) sibling(l metric.Labels, first int64) (int64, bool) {
	best, found := int64(0), false
	for _, s := range e.series[kin{targetOf(l), l[metric.NameLabel]}] {
		if i, also := find(s, first); also && i > 0 && first-at(s, i-1) <= reach {
			best, found = max(best, at(s, i-1)), true
		}
	}
	return best, found
}

// process is when the target's process started, if that is recent.
func (e *evidence) process(l metric.Labels, first int64) (int64, bool) {
	list := e.starts[targetOf(l)]
	i, found := slices.BinarySearchFunc(list, first, func(p metric.Point, t int64) int { return cmp.Compare(p.At, t) })
	if !found {
		return 0, false
	}
	started := int64(list[i].Value * 1000)
	return started, started < first && first-started <= reach
}

// scraped is the last successful scrape of the target before the first sample.
func (e *evidence) scraped(l metric.Labels, first int64) (int64, bool) {
	list := e.up[targetOf(l)]
	i, found := slices.BinarySearch(list, first)
	if !found || i == 0 || first-list[i-1] > reach {
		return 0, false
	}
	return list[i-1], true
}

// since is the moment from which a series that begins counted from 0. before is
// its sample before that, if any is known: a counter that goes on where it
// was did not begin.
func (e *evidence) since(l metric.Labels, first reading, before *reading) (int64, bool) {
	if before == nil {
		if v, ok := e.earlier[identity(l)]; ok {
			before = &reading{Value: v}
		}
	}
	if before != nil && first.Value >= before.Value {
		return 0, false
	}
	from, ok := e.sibling(l, first.At)
	if !ok {
		from, ok = e.process(l, first.At)
	}
	if !ok && first.Value <= maxFirst {
		from, ok = e.scraped(l, first.At)
	}
	return from, ok && (before == nil || from >= before.At)
}

// identity tells series apart.
func identity(l metric.Labels) string {
	names := slices.Sorted(maps.Keys(l))
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n)
		b.WriteByte(0)
		b.WriteString(l[n])
		b.WriteByte(0)
	}
	return b.String()
}

// family is the series of one metric and job.
type family struct{ name, job string }

// ask gathers what else there is to know of series that begin: when their
// targets were scraped and started, and whether they were there, longer than
// reach ago but within a day. It returns how many samples it read.
func (e *evidence) ask(ctx context.Context, engine metric.Engine, begun map[family]bool, span stretch) (samples int, err error) {
	var jobs []string
	families := slices.SortedFunc(maps.Keys(begun), func(a, b family) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.job, b.job))
	})
	for _, f := range families {
		s := newSelector([]*labels.Matcher{equal(metric.NameLabel, f.name), equal("job", f.job)})
		r, err := engine.Query(ctx, "last_over_time("+s.text+"[1d])", milli(span.from))
		if err != nil {
			return samples, err
		}
		for _, series := range r.Series {
			l := maps.Clone(series.Labels)
			l[metric.NameLabel] = f.name
			for _, p := range series.Points {
				e.earlier[identity(l)] = p.Value
			}
			for _, h := range series.Histograms {
				e.earlier[identity(l)] = h.Histogram.Count
			}
		}
		samples += len(r.Series)
		if f.job != "" {
			jobs = append(jobs, f.job)
		}
	}
	slices.Sort(jobs)
	for part := range slices.Chunk(slices.Compact(jobs), maxTogether) {
		n, err := e.targets(ctx, engine, part, span)
		samples += n
		if err != nil {
			return samples, err
		}
	}
	return samples, nil
}

func equal(name, v string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, v)
}

// targets reads up and the start times of some jobs' processes.
func (e *evidence) targets(ctx context.Context, engine metric.Engine, jobs []string, span stretch) (samples int, err error) {
	quoted := make([]string, len(jobs))
	for i, j := range jobs {
		quoted[i] = regexp.QuoteMeta(j)
	}
	names := labels.MustNewMatcher(labels.MatchRegexp, metric.NameLabel, "up|process_start_time_seconds")
	s := newSelector([]*labels.Matcher{names, labels.MustNewMatcher(labels.MatchRegexp, "job", strings.Join(quoted, "|"))})
	r, err := engine.Samples(ctx, s.text, milli(span.from), milli(span.until+1))
	if err != nil {
		return 0, err
	}
	for _, series := range r.Series {
		samples += len(series.Points)
		t := targetOf(series.Labels)
		if series.Labels[metric.NameLabel] != "up" {
			e.starts[t] = series.Points
			continue
		}
		for _, p := range series.Points {
			if p.Value == 1 {
				e.up[t] = append(e.up[t], p.At)
			}
		}
	}
	return samples, nil
}
