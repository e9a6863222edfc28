package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// history keeps sums of past hours for a few minutes: charts that look back
// for weeks would otherwise read every minute again for every visitor.
type history struct {
	mu      sync.Mutex
	entries map[string]past
}

type past struct {
	read  time.Time // when
	from  time.Time
	until time.Time // hours before this one are in
	hours map[int64]tally
}

// tally is what a service received in a span of time.
type tally struct{ Bad, Total int64 }

const (
	historyAge   = 5 * time.Minute
	historyLimit = 200
	settled      = 2 * time.Hour // younger hours may still be counted
)

// hours gives the sums of each hour of [from, now), by Unix hour.
func (s *site) hours(ctx context.Context, o *slo.Objective, from, now time.Time) (map[int64]tally, error) {
	if s.o.Signals == nil {
		return nil, nil
	}
	from = from.Truncate(time.Hour)
	threshold := thresholdOf(o)
	key := fmt.Sprintf("%s/%s/%d", o.Service, o.Environment, threshold)
	known := s.history.get(key, from, now)
	start := from
	out := map[int64]tally{}
	if known != nil {
		start = known.until
		for h, t := range known.hours {
			out[h] = t
		}
	}
	minutes, err := s.o.Signals.Minutes(ctx, o.Service, o.Environment, start, now)
	if err != nil {
		return nil, err
	}
	for _, m := range minutes {
		h := m.Time.Unix() / 3600
		t := out[h]
		t.Total += m.Requests
		if threshold > 0 {
			t.Bad += m.Slow[threshold]
		} else {
			t.Bad += m.Bad
		}
		out[h] = t
	}
	if known == nil {
		s.history.put(key, past{read: now, from: from, until: now.Add(-settled).Truncate(time.Hour), hours: out})
	}
	return out, nil
}

// thresholdOf is the latency in nanoseconds above which a request is bad, 0
// for objectives of another kind.
func thresholdOf(o *slo.Objective) int64 {
	if o.Indicator.Kind != slo.Latency {
		return 0
	}
	return int64(o.Indicator.Threshold.Float64() * float64(time.Second))
}

// get is what is known of the settled hours, nil when it is too old or begins
// too late.
func (h *history) get(key string, from, now time.Time) *past {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.entries[key]
	if !ok || now.Sub(p.read) > historyAge || now.Before(p.read) || from.Before(p.from) {
		return nil
	}
	return &p
}

func (h *history) put(key string, p past) {
	kept := map[int64]tally{}
	for hour, t := range p.hours {
		if hour < p.until.Unix()/3600 {
			kept[hour] = t
		}
	}
	p.hours = kept
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.entries == nil || len(h.entries) >= historyLimit {
		h.entries = map[string]past{}
	}
	h.entries[key] = p
}
