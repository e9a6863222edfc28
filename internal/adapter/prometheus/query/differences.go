package query

import (
	"math"
	"slices"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Times here are Unix milliseconds.
const reach = int64(metric.Reach / 1e6)

// reading is one sample of a counter.
type reading struct {
	at    int64
	value float64
	split bool // its histogram has a bucket around the limit: estimated
}

// difference is how many events there were after one moment and up to another.
type difference struct {
	from, until int64
	events      int64
}

// readings are a series' samples as a term counts them. at is when the values
// are that are no numbers.
func readings(s metric.Series, t term) (out []reading, bad []int64) {
	if t.part == value {
		out = make([]reading, 0, len(s.Points))
		for _, p := range s.Points {
			if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
				bad = append(bad, p.At)
				continue
			}
			out = append(out, reading{at: p.At, value: p.Value})
		}
		return out, bad
	}
	for _, h := range s.Histograms {
		r := reading{at: h.At, value: h.Histogram.Count}
		if t.part == below {
			r.value, r.split = atMost(h.Histogram, t.limit)
		}
		if math.IsNaN(r.value) || math.IsInf(r.value, 0) {
			bad = append(bad, h.At)
			continue
		}
		out = append(out, r)
	}
	return out, bad
}

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

// scrapeInterval is the usual distance between a series' samples, for telling
// a missed scrape: the median, at most half of reach, a minute if there is none.
func scrapeInterval(all [][]reading) int64 {
	var steps []int64
	for _, list := range all {
		for i := 1; i < len(list); i++ {
			if d := list[i].at - list[i-1].at; d > 0 && d <= reach {
				steps = append(steps, d)
			}
		}
	}
	if len(steps) == 0 {
		return 60_000
	}
	slices.Sort(steps)
	return min(steps[len(steps)/2], reach/2)
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

// differences are those between a series' samples. What came before a begin is
// a question of evidence.
func differences(list []reading, interval int64) (out []difference, begins []begin) {
	for i, r := range list {
		if i == 0 {
			begins = append(begins, begin{first: r})
			continue
		}
		p := list[i-1]
		switch reset := r.value < p.value; {
		case r.at <= p.at: // an engine that gives a moment twice
		case r.at-p.at > reach, reset && missed(p.at, r.at, interval):
			begins = append(begins, begin{r, &p})
		default:
			out = append(out, difference{p.at, r.at, rose(p.value, r.value)})
		}
	}
	return out, begins
}
