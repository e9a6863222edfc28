package web

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// history keeps sums of past minutes or hours for a few minutes: charts that look back
// for weeks would otherwise read every minute again for every visitor.
type history struct {
	mu      sync.Mutex
	entries map[string]past
}

type past struct {
	read  time.Time // when
	from  time.Time
	until time.Time // spans before this one are in
	spans map[int64]tally
}

// tally is what a service received in a span of time.
type tally struct{ Bad, Total int64 }

const (
	historyAge   = 5 * time.Minute
	historyLimit = 200
	settled      = 2 * time.Hour // younger counts may still change
)

// sums gives what an objective counted in each span of a width, whole minutes,
// of [from, now), by the number of the span since the Unix epoch.
func (s *site) sums(ctx context.Context, o *slo.Objective, width time.Duration, from, now time.Time) (map[int64]tally, error) {
	if s.o.Signals == nil {
		return nil, nil
	}
	from = from.Truncate(width)
	threshold := thresholdOf(o)
	key := fmt.Sprintf("%s/%s/%d/%s", o.Service, o.Environment, threshold, width)
	known := s.history.get(key, from, now)
	start := from
	out := map[int64]tally{}
	if known != nil {
		start = known.until
		maps.Copy(out, known.spans)
	}
	minutes, err := s.o.Signals.Minutes(ctx, o.Service, o.Environment, start, now)
	if err != nil {
		return nil, err
	}
	for _, m := range minutes {
		n := m.Time.Unix() / int64(width.Seconds())
		t := out[n]
		t.Total += m.Requests
		if threshold > 0 {
			t.Bad += m.Slow[threshold]
		} else {
			t.Bad += m.Bad
		}
		out[n] = t
	}
	if known == nil {
		s.history.put(key, past{read: now, from: from, until: now.Add(-settled).Truncate(width), spans: out}, width)
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

// get is what is known of the settled spans, nil when it is too old or begins
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

func (h *history) put(key string, p past, width time.Duration) {
	kept := map[int64]tally{}
	for n, t := range p.spans {
		if n < p.until.Unix()/int64(width.Seconds()) {
			kept[n] = t
		}
	}
	p.spans = kept
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.entries == nil || len(h.entries) >= historyLimit {
		h.entries = map[string]past{}
	}
	h.entries[key] = p
}
