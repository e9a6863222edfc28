package query

import (
	"maps"
	"math"
	"slices"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Times here are Unix milliseconds.
const reach = int64(metric.Reach / 1e6)

// reading is one sample of a counter.
type reading = metric.Point

// difference is how many events there were after one moment and up to another.
type difference struct {
	from, until int64
	events      int64
}

// readings are a series' samples as a term counts them. at is when the values
// are that are no numbers; split says that a histogram has a bucket around the
// term's limit, so that its readings are estimated.
func readings(s metric.Series, t term) (out []reading, bad []int64, split bool) {
	if t.part == value {
		return numbers(s.Points)
	}
	out = make([]reading, 0, len(s.Histograms))
	for _, h := range s.Histograms {
		r := reading{At: h.At, Value: h.Histogram.Count}
		if t.part == below {
			var estimated bool
			r.Value, estimated = atMost(h.Histogram, t.limit)
			split = split || estimated
		}
		if !finite(r.Value) {
			bad = append(bad, h.At)
			continue
		}
		out = append(out, r)
	}
	return out, bad, split
}

// numbers are the samples that are numbers: all of them, mostly, so that they
// need not be copied.
func numbers(points []metric.Point) (out []reading, bad []int64, split bool) {
	if !slices.ContainsFunc(points, func(p metric.Point) bool { return !finite(p.Value) }) {
		return points, nil, false
	}
	for _, p := range points {
		if finite(p.Value) {
			out = append(out, p)
		} else {
			bad = append(bad, p.At)
		}
	}
	return out, bad, false
}

func finite(v float64) bool { return v-v == 0 }

// atMost is how many of a histogram's observations are at most a limit, and
// whether that is estimated, because the limit lies inside a bucket. Inside of
// one, observations are taken to lie evenly on a logarithmic scale, as
// PromQL's histogram_fraction has it; evenly in the zero bucket.
func atMost(h metric.Histogram, limit float64) (n float64, split bool) {
	for _, b := range h.Buckets {
		switch {
		case same(b.Upper, limit) || b.Upper < limit:
			n += b.Count
		case b.Lower >= limit || same(b.Lower, limit) || b.Count == 0:
		default:
			split = true
			share := (limit - b.Lower) / (b.Upper - b.Lower)
			if b.Lower > 0 {
				share = math.Log2(limit/b.Lower) / math.Log2(b.Upper/b.Lower)
			}
			n += math.Floor(b.Count * share)
		}
	}
	return n, split
}

// same reports whether two bounds differ by rounding only.
func same(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }

// rose is how many whole events a counter counted from one value to another,
// which is below the first after a reset. Counters of fractions are rounded
// down at each sample, so that nothing is lost in sum.
func rose(before, after float64) int64 {
	if after < before {
		before = 0
	}
	return int64(math.Floor(after)) - int64(math.Floor(before))
}

// steps are the distances between samples of series, and how often they are.
type steps map[int64]int

// add takes the distances of a series. They are mostly alike, so they are
// counted by the run.
func (s steps) add(list []metric.Point) {
	last, run := int64(0), 0
	for i := 1; i < len(list); i++ {
		d := list[i].At - list[i-1].At
		if d != last {
			s.note(last, run)
			last, run = d, 0
		}
		run++
	}
	s.note(last, run)
}

func (s steps) note(d int64, times int) {
	if d > 0 && d <= reach && times > 0 {
		s[d] += times
	}
}

// usual is the usual distance, for telling a missed scrape: the median, at most
// half of reach, a minute if there is none.
func (s steps) usual() int64 {
	all := 0
	for _, n := range s {
		all += n
	}
	before := 0
	for _, d := range slices.Sorted(maps.Keys(s)) {
		if before += s[d]; before > all/2 {
			return min(d, reach/2)
		}
	}
	return 60_000
}

// missed reports whether two samples are so far apart that a scrape between
// them must have failed or been late by more than half of an interval.
func missed(from, until, interval int64) bool { return until-from > interval*5/2 }

// begin is a sample with which a series begins, or begins anew after the sample
// before.
type begin struct {
	first  reading
	before *reading
}

// walk visits the differences between a series' samples, in order, and the
// samples with which it begins: what came before those is a question of
// evidence.
func walk(list []reading, interval int64, counted func(d difference), begins func(b begin)) {
	for i := range list {
		r := &list[i]
		if i == 0 {
			begins(begin{first: *r})
			continue
		}
		p := &list[i-1]
		switch {
		case r.At <= p.At: // an engine that gives a moment twice
		case apart(p, r, interval):
			begins(begin{*r, p})
		default:
			counted(difference{p.At, r.At, rose(p.Value, r.Value)})
		}
	}
}

// apart reports whether nothing can be said of what a counter counted between
// two samples: too much time has passed, or it was reset and a scrape between
// them is missing.
func apart(p, r *reading, interval int64) bool {
	return r.At-p.At > reach || r.Value < p.Value && missed(p.At, r.At, interval)
}
