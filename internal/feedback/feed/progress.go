package feed

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/port/metric"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// progress is what of an indicator's past has been read: everything in
// [low, high), and everything in [live, top), which begins later after the
// server was away. Times are whole minutes.
type progress struct {
	low, high time.Time
	live, top time.Time
}

const cursor = "feed/"

// load reads what a former server has read.
func load(ctx context.Context, blobs store.Blobs, id string) (progress, error) {
	low, err := blobs.Cursor(ctx, cursor+id+"/low")
	if err != nil || low == 0 {
		return progress{}, err
	}
	high, err := blobs.Cursor(ctx, cursor+id+"/high")
	return progress{low: time.Unix(low, 0).UTC(), high: time.Unix(high, 0).UTC()}, err
}

// next is the span to be read live: from what may have changed since it was
// read, up to the end of what is over.
func (p progress) next(over time.Time) metric.Span {
	from := over.Add(-reread)
	if last := later(p.top, p.high); !last.IsZero() && last.Before(over) {
		from = last.Add(-reread)
	}
	if limit := over.Add(-longest); from.Before(limit) {
		from = limit
	}
	return metric.Span{From: from, Until: over}
}

// took notes that a span was read live.
func (p *progress) took(s metric.Span) {
	if p.live.IsZero() || s.From.After(p.top) {
		p.live = s.From // after a pause
	}
	p.top = s.Until
	p.join()
}

// join makes one of both parts when they touch.
func (p *progress) join() {
	if p.low.IsZero() {
		p.low, p.high = p.live, p.top
	}
	if !p.live.After(p.high) {
		p.high, p.live = p.top, p.low
	}
}

// missing is the next piece of the past to be read, newest first: the hole that
// a pause left, then what lies before, back to from. Pieces are an hour, the
// rest of a day, whole days, and at most width.
func (p progress) missing(from time.Time, width time.Duration) (metric.Span, bool) {
	until, floor := p.low, from
	if p.live.After(p.high) {
		until, floor = p.live, p.high
	}
	if p.live.IsZero() || !floor.Before(until) {
		return metric.Span{}, false
	}
	start := until.Add(-time.Minute).Truncate(24 * time.Hour)
	if p.top.Sub(until) < 2*time.Hour { // the first picture: an hour
		start = later(start, until.Add(-time.Hour))
	}
	start = later(later(start, until.Add(-width)), floor)
	return metric.Span{From: start, Until: until}, true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// filled notes that the piece that was missing was read.
func (p *progress) filled(s metric.Span) {
	if p.live.After(p.high) {
		p.live = s.From
	} else {
		p.low = s.From
	}
	p.join()
}
