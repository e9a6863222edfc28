package sim

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// tally is what one revision really received in one second.
type tally struct{ requests, errors, slow int64 }

func (t tally) plus(o tally) tally {
	return tally{t.requests + o.requests, t.errors + o.errors, t.slow + o.slow}
}

// arm is one revision in its place.
type arm struct {
	place
	revision string
}

// meter makes the plane's traffic, keeps the truth about it, and hands out
// counts as a proxy does: a little later, and sometimes much later.
type meter struct {
	w         *world
	r         *rand.Rand
	truth     map[arm]map[int64]tally // by Unix second
	pending   []late                  // not final yet
	ready     []measure.Bin           // final, not acknowledged
	seq       int64
	watermark map[place]time.Time
}

// late is a bin with the second at which it becomes final.
type late struct {
	bin measure.Bin
	due int
}

func newMeter(w *world, r *rand.Rand) *meter {
	return &meter{w: w, r: r, truth: map[arm]map[int64]tally{}, watermark: map[place]time.Time{}}
}

// serve sends one second of users to a place.
func (p *plane) serve(at place, rt *route) {
	now := p.w.clock.Now().Add(-time.Second)
	load := p.w.company.loadOf(at, p.w.second)
	delay := p.w.company.delayOf(at, p.w.second)
	for _, s := range rt.effective() {
		v := p.revisions[workload.Ref{Service: at.service, Environment: at.environment, Revision: s.Revision}]
		n := p.poisson(load.rate * float64(s.Weight) / traffic.Whole)
		if v == nil || n == 0 {
			continue
		}
		t, wait := p.answer(n, v.conduct, load)
		if load.burst > 0 && p.r.Float64() < 0.3 {
			t.errors = min(n, t.errors+int64(load.burst))
		}
		p.count(arm{at, s.Revision}, now, t, rt.Thresholds, p.w.second+max(delay, wait))
	}
	p.advance(at)
}

// answer is how n requests fare, and how long it takes to know, in seconds.
func (m *meter) answer(n int64, c conduct, l load) (t tally, wait int) {
	t.requests = n
	hung := m.binomial(n, c.hang)
	t.errors = hung + m.binomial(n-hung, 1-(1-l.errors-c.errors)*(1-l.outage))
	t.slow = hung + m.binomial(n-hung, c.slow+0.002)
	if hung > 0 {
		wait = 5 // the limit of a request
	}
	return t, wait
}

func (m *meter) count(a arm, at time.Time, t tally, thresholds []time.Duration, due int) {
	seconds := m.truth[a]
	if seconds == nil {
		seconds = map[int64]tally{}
		m.truth[a] = seconds
	}
	seconds[at.Unix()] = seconds[at.Unix()].plus(t)
	b := measure.Bin{
		Service: a.service, Environment: a.environment, Revision: a.revision, Time: at.UTC().Truncate(time.Second), Width: time.Second,
		Requests: t.requests, Errors: t.errors,
	}
	b.Classes[2], b.Classes[5] = t.requests-t.errors, t.errors
	for _, limit := range thresholds {
		b.Slow = append(b.Slow, measure.Slow{Threshold: limit, Count: t.slow})
	}
	m.pending = append(m.pending, late{b, due})
}

// advance moves the watermark of a place up to its oldest pending bin.
func (m *meter) advance(at place) {
	until := m.w.clock.Now().Truncate(time.Second)
	for _, l := range m.pending {
		if l.due > m.w.second && l.bin.Service == at.service && l.bin.Environment == at.environment && l.bin.Time.Before(until) {
			until = l.bin.Time
		}
	}
	m.watermark[at] = until
}

// deliver makes bins that are due final.
func (m *meter) deliver() {
	keep := m.pending[:0]
	for _, l := range m.pending {
		if l.due > m.w.second {
			keep = append(keep, l)
			continue
		}
		m.seq++
		l.bin.Seq = m.seq
		m.ready = append(m.ready, l.bin)
	}
	m.pending = keep
}

// poisson draws a number of arrivals.
func (m *meter) poisson(mean float64) int64 {
	if mean <= 0 {
		return 0
	}
	if mean < 30 {
		n, p, limit := int64(0), m.r.Float64(), math.Exp(-mean)
		for ; p > limit; n++ {
			p *= m.r.Float64()
		}
		return n
	}
	return max(0, int64(math.Round(mean+math.Sqrt(mean)*m.r.NormFloat64())))
}

// binomial draws how many of n things happen that each have a chance of p.
func (m *meter) binomial(n int64, p float64) int64 {
	mean := float64(n) * p
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case mean < 30:
		return min(n, m.poisson(mean))
	}
	return min(n, max(0, int64(math.Round(mean+math.Sqrt(mean*(1-p))*m.r.NormFloat64()))))
}

// counts is the plane's meter as one server sees it.
type counts struct{ s *server }

var _ measure.Source = counts{}

func (c counts) Bins(_ context.Context, after int64, limit int) (measure.Page, error) {
	var page measure.Page
	err := c.s.effect("measure.bins", true, func() error {
		m := c.s.w.plane.meter
		for _, b := range m.ready {
			if b.Seq <= after {
				continue
			}
			if len(page.Bins) == limit {
				page.More = true
				return nil
			}
			page.Bins = append(page.Bins, b)
		}
		for at, until := range m.watermark {
			page.Watermarks = append(page.Watermarks, measure.Watermark{Service: at.service, Environment: at.environment, Until: until})
		}
		return nil
	})
	sort.Slice(page.Watermarks, func(i, j int) bool {
		a, b := page.Watermarks[i], page.Watermarks[j]
		return a.Service+"."+a.Environment < b.Service+"."+b.Environment
	})
	return page, err
}

func (c counts) Ack(_ context.Context, seq int64) error {
	return c.s.effect("measure.ack", true, func() error {
		m := c.s.w.plane.meter
		keep := m.ready[:0]
		for _, b := range m.ready {
			if b.Seq > seq {
				keep = append(keep, b)
			}
		}
		m.ready = keep
		return nil
	})
}
