package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/store"
)

const (
	cursorName = "measure"
	chunk      = time.Hour        // of minutes
	pageSize   = 1300             // bins of one pull; with their minutes and revisions fewer than store.MaxWrites chunks
	span       = 10 * time.Second // of the bins in one chunk
)

// Collector moves bins from a source into the store.
type Collector struct {
	source  measure.Source
	blobs   store.Blobs
	observe func([]measure.Bin)

	mu         sync.Mutex
	cursor     int64
	known      bool // cursor was read from the store
	watermarks map[Place]time.Time
	hours      map[string]hour // newest chunk of minutes per series
	revisions  map[string]revisionHour
}

// Place is a service in an environment.
type Place struct{ Service, Environment string }

// NewCollector makes a collector; observe sees every bin once it is stored.
func NewCollector(source measure.Source, blobs store.Blobs, observe func([]measure.Bin)) *Collector {
	return &Collector{source: source, blobs: blobs, observe: observe, watermarks: map[Place]time.Time{}, hours: map[string]hour{}, revisions: map[string]revisionHour{}}
}

// Pull takes what the source has and reports how many bins there were.
func (c *Collector) Pull(ctx context.Context) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		cursor, err := c.blobs.Cursor(ctx, cursorName)
		if err != nil {
			return 0, err
		}
		c.cursor, c.known = cursor, true
	}
	total := 0
	for {
		page, err := c.source.Bins(ctx, c.cursor, pageSize)
		if err != nil {
			return total, err
		}
		if len(page.Bins) > 0 {
			if err := c.store(ctx, page.Bins); err != nil {
				// What memory holds of the failed write is read again from the store.
				c.hours, c.revisions = map[string]hour{}, map[string]revisionHour{}
				return total, err
			}
			total += len(page.Bins)
			c.observe(page.Bins)
			// What is stored and observed stays so, whether or not the source hears of it.
			if err := c.source.Ack(ctx, c.cursor); err != nil {
				return total, err
			}
		}
		for _, w := range page.Watermarks {
			c.watermarks[Place{w.Service, w.Environment}] = w.Until
		}
		if !page.More {
			return total, nil
		}
	}
}

func (c *Collector) store(ctx context.Context, bins []measure.Bin) error {
	last := bins[len(bins)-1].Seq
	type chunk struct {
		series string
		start  time.Time
	}
	chunks := map[chunk][]measure.Bin{}
	for _, b := range bins {
		if b.Service != "" {
			c := chunk{binSeries(b.Service, b.Environment, b.Revision), b.Time.UTC().Truncate(span)}
			chunks[c] = append(chunks[c], b)
		}
	}
	var writes []store.BlobWrite
	for c, group := range chunks {
		data, err := json.Marshal(group)
		if err != nil {
			return err
		}
		// Several pulls may bring bins of the same seconds: the sequence keeps
		// their chunks apart. A chunk begins before all of its bins.
		at := c.start.Add(time.Duration(group[0].Seq%1e6) * time.Microsecond)
		writes = append(writes, store.BlobWrite{Series: c.series, Start: at, Data: data})
	}
	// Revisions first: they look whether the hour was counted without them.
	revisions, err := c.addRevisions(ctx, bins)
	if err != nil {
		return err
	}
	minutes, err := c.addMinutes(ctx, bins)
	if err != nil {
		return err
	}
	writes = append(append(writes, minutes...), revisions...)
	if err := c.blobs.Put(ctx, writes, map[string]int64{cursorName: last}); err != nil {
		return err
	}
	c.cursor = last
	return nil
}

func binSeries(service, environment, revision string) string {
	return "bins/" + service + "/" + environment + "/" + revision
}

func minuteSeries(service, environment string) string {
	return "minutes/" + service + "/" + environment
}

// Bins returns a revision's bins that begin in [from, until), in order of time.
func (c *Collector) Bins(ctx context.Context, service, environment, revision string, from, until time.Time) ([]measure.Bin, error) {
	blobs, err := c.blobs.Range(ctx, binSeries(service, environment, revision), from.UTC().Truncate(span), until.Add(time.Second))
	if err != nil {
		return nil, err
	}
	var out []measure.Bin
	for _, b := range blobs {
		var bins []measure.Bin
		if err := event.Unmarshal(b.Data, &bins); err != nil {
			return nil, fmt.Errorf("bins of %s at %s: %w", revision, b.Start, err)
		}
		for _, bin := range bins {
			if !bin.Time.Before(from) && bin.Time.Before(until) {
				out = append(out, bin)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Time.Before(out[j].Time) })
	return out, nil
}

// Watermark is the moment before which everything that arrived for a service
// has been collected; ok is false while that is not known.
func (c *Collector) Watermark(service, environment string) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.watermarks[Place{service, environment}]
	return at, ok
}

// Prune forgets bins before one instant and minutes before another.
func (c *Collector) Prune(ctx context.Context, bins, minutes time.Time) error {
	if _, err := c.blobs.Prune(ctx, "bins/", bins); err != nil {
		return err
	}
	if _, err := c.blobs.Prune(ctx, "revisions/", minutes); err != nil {
		return err
	}
	_, err := c.blobs.Prune(ctx, "minutes/", minutes)
	return err
}

// Places lists every service and environment that was ever counted.
func (c *Collector) Places(ctx context.Context) ([]Place, error) {
	var out []Place
	after := ""
	for {
		names, err := c.blobs.Series(ctx, "minutes/", after, 1000)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if parts := strings.Split(n, "/"); len(parts) == 3 {
				out = append(out, Place{parts[1], parts[2]})
			}
			after = n
		}
		if len(names) < 1000 {
			return out, nil
		}
	}
}
