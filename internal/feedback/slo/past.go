package slo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// keeping holds the histories that were looked at last, so that whoever moves a
// slider or opens a page again need not wait for the store. Its zero value is
// empty.
type keeping struct {
	mu   sync.Mutex
	past map[string]keptPast
}

type keptPast struct {
	read   time.Time // when
	from   time.Time
	until  time.Time // slots before this one are in, and settled
	series *Series
}

const (
	keptAge   = 5 * time.Minute // how long late counts may be missing from a picture of the past
	keptLimit = 32              // histories of two months take 2 MB each
	settled   = 2 * time.Hour   // younger counts are read anew each time
)

// Past is Adjusted, kept for a while: counts that came late may be missing for
// some minutes. What does not count is left out at once.
func (w *Watcher) Past(ctx context.Context, key string, from, now time.Time) (*Series, error) {
	d, err := w.find(key)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	adjusted, first := d.adjusted, from
	w.mu.Unlock()
	for _, a := range adjusted {
		if a.From.Before(first) && a.To.After(from) {
			first = a.From.Truncate(time.Minute)
		}
	}
	raw, err := w.past(ctx, key, first, now)
	if err != nil || len(adjusted) == 0 {
		return raw, err
	}
	return Adjust(raw, adjusted).Between(from, now), nil
}

// past is History, kept for a while.
func (w *Watcher) past(ctx context.Context, key string, from, now time.Time) (*Series, error) {
	d, err := w.find(key)
	if err != nil {
		return nil, err
	}
	from = from.UTC().Truncate(time.Minute)
	name := fmt.Sprintf("%s/%s/%s/%d", d.objective.Service, d.objective.Environment, d.indicator, d.threshold)
	known, ok := w.kept.get(name, from, now)
	if !ok {
		all, err := w.history(ctx, d, from, now)
		if err == nil {
			until := now.Add(-settled).Truncate(time.Minute)
			w.kept.put(name, keptPast{read: now, from: from, until: until, series: all.Between(from, until)})
		}
		return all, err
	}
	fresh, err := w.history(ctx, d, known.until, now)
	if err != nil {
		return nil, err
	}
	out := known.series.Between(from, known.until)
	return out, out.Merge(fresh)
}

// get is what is kept of a history, unless it is old or begins too late.
func (k *keeping) get(name string, from, now time.Time) (keptPast, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.past[name]
	return p, ok && !now.Before(p.read) && now.Sub(p.read) <= keptAge && !from.Before(p.from)
}

func (k *keeping) put(name string, p keptPast) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.past == nil || len(k.past) >= keptLimit {
		k.past = map[string]keptPast{}
	}
	k.past[name] = p
}
