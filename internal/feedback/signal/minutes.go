package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Minute is what a service received in one minute, all revisions together.
type Minute struct {
	Time     time.Time       `json:"t"`           // its beginning
	Requests int64           `json:"n"`           // without those whose client went away
	Bad      int64           `json:"e,omitempty"` // errors and the router's own faults
	Slow     map[int64]int64 `json:"s,omitempty"` // threshold in nanoseconds → requests slower than it
}

// Of is what one bin adds to a service's minutes.
func Of(b measure.Bin) Minute {
	m := Minute{Time: b.Time.UTC().Truncate(time.Minute), Requests: b.Requests - b.Aborted, Bad: b.Errors + b.Faults}
	m.Bad = min(m.Bad, m.Requests)
	for _, s := range b.Slow {
		if m.Slow == nil {
			m.Slow = map[int64]int64{}
		}
		m.Slow[int64(s.Threshold)] += min(s.Count, m.Requests)
	}
	return m
}

func (m Minute) plus(o Minute) Minute {
	m.Requests += o.Requests
	m.Bad += o.Bad
	slow := make(map[int64]int64, len(m.Slow)+len(o.Slow))
	for _, from := range []map[int64]int64{m.Slow, o.Slow} {
		for t, n := range from {
			slow[t] += n
		}
	}
	if m.Slow = slow; len(slow) == 0 {
		m.Slow = nil
	}
	return m
}

// hour is one chunk of minutes.
type hour struct {
	start   time.Time
	minutes map[int64]Minute // by Unix minute
}

// addMinutes folds bins into the chunks they belong to and returns the writes.
func (c *Collector) addMinutes(ctx context.Context, bins []measure.Bin) ([]store.BlobWrite, error) {
	type place struct {
		series string
		start  time.Time
	}
	touched := map[place]hour{}
	for _, b := range bins {
		if b.Service == "" {
			continue
		}
		p := place{minuteSeries(b.Service, b.Environment), b.Time.UTC().Truncate(chunk)}
		h, ok := touched[p]
		if !ok {
			var err error
			if h, err = c.hour(ctx, p.series, p.start); err != nil {
				return nil, err
			}
			touched[p] = h
		}
		m := Of(b)
		at := m.Time.Unix() / 60
		sum := h.minutes[at].plus(m)
		sum.Time = m.Time
		h.minutes[at] = sum
	}
	var writes []store.BlobWrite
	for p, h := range touched {
		data, err := json.Marshal(h.sorted())
		if err != nil {
			return nil, err
		}
		writes = append(writes, store.BlobWrite{Series: p.series, Start: p.start, Data: data})
		if !h.start.Before(c.hours[p.series].start) {
			c.hours[p.series] = h
		}
	}
	return writes, nil
}

// hour is a copy of a chunk, from memory or from the store.
func (c *Collector) hour(ctx context.Context, series string, start time.Time) (hour, error) {
	h := hour{start: start, minutes: map[int64]Minute{}}
	if kept, ok := c.hours[series]; ok && kept.start.Equal(start) {
		for k, m := range kept.minutes {
			h.minutes[k] = m
		}
		return h, nil
	}
	blobs, err := c.blobs.Range(ctx, series, start, start.Add(time.Microsecond))
	if err != nil || len(blobs) == 0 {
		return h, err
	}
	var list []Minute
	if err := event.Unmarshal(blobs[0].Data, &list); err != nil {
		return h, fmt.Errorf("minutes of %s at %s: %w", series, start, err)
	}
	for _, m := range list {
		h.minutes[m.Time.Unix()/60] = m
	}
	return h, nil
}

func (h hour) sorted() []Minute {
	out := make([]Minute, 0, len(h.minutes))
	for _, m := range h.minutes {
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Time.Before(out[j].Time) })
	return out
}

// Minutes returns a service's minutes that begin in [from, until), in order. A
// minute without a request is left out. Hours of which all requests were counted
// with their revision are summed from those counts, which are smaller to read.
func (c *Collector) Minutes(ctx context.Context, service, environment string, from, until time.Time) ([]Minute, error) {
	minutes, _, err := c.read(ctx, Place{service, environment}, from, until, false)
	return minutes, err
}

// History returns a service's minutes, of all revisions together and of each, in
// order of time, then of revision. A revision's minute without a request is left
// out.
func (c *Collector) History(ctx context.Context, service, environment string, from, until time.Time) ([]Minute, []RevisionMinute, error) {
	return c.read(ctx, Place{service, environment}, from, until, true)
}

// read reads minutes, and those of each revision if they are wanted.
func (c *Collector) read(ctx context.Context, at Place, from, until time.Time, each bool) (out []Minute, rows []RevisionMinute, err error) {
	blobs, err := c.blobs.Range(ctx, revisionSeries(at.Service, at.Environment), from.UTC().Truncate(chunk), until)
	if err != nil {
		return nil, nil, err
	}
	out = make([]Minute, 0, 60*len(blobs))
	if each {
		rows = make([]RevisionMinute, 0, 70*len(blobs))
	}
	next := from.UTC().Truncate(chunk) // first hour not read yet
	for _, b := range blobs {
		before, partial := len(rows), false
		if !each {
			before = 0
		}
		if rows, partial, err = decodeRevisions(rows[:before], b.Start, b.Data); err != nil {
			return nil, nil, fmt.Errorf("revisions of %s at %s: %w", at.Service, b.Start, err)
		}
		if partial {
			continue
		}
		if out, err = c.written(ctx, out, at, next, b.Start); err != nil {
			return nil, nil, err
		}
		out = sum(out, rows[before:])
		next = b.Start.Add(chunk)
	}
	if out, err = c.written(ctx, out, at, next, until); err != nil {
		return nil, nil, err
	}
	outside := func(t time.Time) bool { return t.Before(from) || !t.Before(until) }
	out = slices.DeleteFunc(out, func(m Minute) bool { return outside(m.Time) })
	if each {
		rows = slices.DeleteFunc(rows, func(m RevisionMinute) bool { return outside(m.Time) })
	}
	return out, rows, nil
}

// sum appends the minutes of an hour, of all revisions together.
func sum(out []Minute, rows []RevisionMinute) []Minute {
	for _, r := range rows {
		last := len(out) - 1
		if last < 0 || !out[last].Time.Equal(r.Time) {
			out = append(out, r.Minute)
			continue
		}
		m := out[last].plus(r.Minute)
		m.Time = r.Time
		out[last] = m
	}
	return out
}

// written appends the minutes of the hours that begin in [from, until), as
// written for all revisions together.
func (c *Collector) written(ctx context.Context, out []Minute, at Place, from, until time.Time) ([]Minute, error) {
	if !from.Before(until) {
		return out, nil
	}
	blobs, err := c.blobs.Range(ctx, minuteSeries(at.Service, at.Environment), from, until)
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		var list []Minute
		if err := event.Unmarshal(b.Data, &list); err != nil {
			return nil, fmt.Errorf("minutes of %s at %s: %w", at.Service, b.Start, err)
		}
		out = append(out, list...)
	}
	return out, nil
}
