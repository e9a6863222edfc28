package signal

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// RevisionMinute is what one revision of a service received in one minute. The
// revision "" is the router: what it answered itself.
type RevisionMinute struct {
	Revision string
	Minute
}

// Others is the revision under which an hour counts those beyond maxRevisions.
const Others = "(others)"

// Bounds on one hour of one service.
const (
	maxRevisions  = 64
	maxThresholds = 32
)

// revisionHour is one chunk of minutes per revision.
type revisionHour struct {
	start   time.Time
	partial bool // some of the hour's requests were counted without their revision
	minutes map[revisionKey]Minute
}

type revisionKey struct {
	minute   int64 // since the Unix epoch
	revision string
}

func revisionSeries(service, environment string) string {
	return "revisions/" + service + "/" + environment
}

// addRevisions folds bins into the chunks per revision they belong to and
// returns the writes.
func (c *Collector) addRevisions(ctx context.Context, bins []measure.Bin) ([]store.BlobWrite, error) {
	type place struct {
		series string
		start  time.Time
	}
	touched := map[place]revisionHour{}
	for _, b := range bins {
		if b.Service == "" {
			continue
		}
		p := place{revisionSeries(b.Service, b.Environment), b.Time.UTC().Truncate(chunk)}
		h, ok := touched[p]
		if !ok {
			var err error
			if h, err = c.revisionHour(ctx, Place{b.Service, b.Environment}, p.start); err != nil {
				return nil, err
			}
			touched[p] = h
		}
		h.add(b.Revision, Of(b))
	}
	var writes []store.BlobWrite
	for p, h := range touched {
		writes = append(writes, store.BlobWrite{Series: p.series, Start: p.start, Data: encodeRevisions(h.partial, h.sorted())})
		if !h.start.Before(c.revisions[p.series].start) {
			c.revisions[p.series] = h
		}
	}
	return writes, nil
}

// add counts a minute of a revision.
func (h revisionHour) add(revision string, m Minute) {
	k := revisionKey{m.Time.Unix() / 60, revision}
	if _, ok := h.minutes[k]; !ok && h.crowded(revision) {
		k.revision = Others
	}
	sum := h.minutes[k].plus(m)
	sum.Time = m.Time
	h.minutes[k] = sum
}

// crowded reports whether the hour has as many revisions as it may, and not
// this one.
func (h revisionHour) crowded(revision string) bool {
	if len(h.minutes) < maxRevisions {
		return false
	}
	seen := map[string]bool{}
	for k := range h.minutes {
		seen[k.revision] = true
	}
	return len(seen) >= maxRevisions && !seen[revision]
}

// revisionHour is a copy of a chunk, from memory or from the store.
func (c *Collector) revisionHour(ctx context.Context, at Place, start time.Time) (revisionHour, error) {
	series := revisionSeries(at.Service, at.Environment)
	h := revisionHour{start: start, minutes: map[revisionKey]Minute{}}
	if kept, ok := c.revisions[series]; ok && kept.start.Equal(start) {
		h.partial = kept.partial
		for k, m := range kept.minutes {
			h.minutes[k] = m
		}
		return h, nil
	}
	blobs, err := c.blobs.Range(ctx, series, start, start.Add(time.Microsecond))
	if err != nil {
		return h, err
	}
	if len(blobs) == 0 {
		before, err := c.hour(ctx, minuteSeries(at.Service, at.Environment), start)
		h.partial = len(before.minutes) > 0
		return h, err
	}
	list, partial, err := decodeRevisions(nil, blobs[0].Start, blobs[0].Data)
	if err != nil {
		return h, fmt.Errorf("revisions of %s at %s: %w", series, start, err)
	}
	h.partial = partial
	for _, m := range list {
		h.minutes[revisionKey{m.Time.Unix() / 60, m.Revision}] = m.Minute
	}
	return h, nil
}

func (h revisionHour) sorted() []RevisionMinute {
	out := make([]RevisionMinute, 0, len(h.minutes))
	for k, m := range h.minutes {
		out = append(out, RevisionMinute{Revision: k.revision, Minute: m})
	}
	slices.SortFunc(out, func(a, b RevisionMinute) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Revision, b.Revision))
	})
	return out
}

// revisionsVersion begins an encoded hour. Then, all as unsigned varints: 1 if
// the hour is partial, else 0; the revisions (a count, then length and bytes of each), the thresholds (a count,
// then nanoseconds), and the rows (a count, then of each the minute within the
// hour, the revision's place, requests, bad, and slow per threshold).
const revisionsVersion = 1

// encodeRevisions is the compact form of sorted minutes of one hour: about five
// bytes for each minute of a revision.
func encodeRevisions(partial bool, list []RevisionMinute) []byte {
	var revisions []string
	var thresholds []int64
	for _, m := range list {
		if !slices.Contains(revisions, m.Revision) {
			revisions = append(revisions, m.Revision)
		}
		for t := range m.Slow {
			if !slices.Contains(thresholds, t) {
				thresholds = append(thresholds, t)
			}
		}
	}
	slices.Sort(thresholds)
	if len(thresholds) > maxThresholds {
		thresholds, partial = thresholds[:maxThresholds], true
	}
	out := []byte{revisionsVersion, 0}
	if partial {
		out[1] = 1
	}
	out = binary.AppendUvarint(out, uint64(len(revisions)))
	for _, r := range revisions {
		out = binary.AppendUvarint(out, uint64(len(r)))
		out = append(out, r...)
	}
	out = binary.AppendUvarint(out, uint64(len(thresholds)))
	for _, t := range thresholds {
		out = binary.AppendUvarint(out, uint64(t))
	}
	out = binary.AppendUvarint(out, uint64(len(list)))
	for _, m := range list {
		out = binary.AppendUvarint(out, uint64(m.Time.Unix()/60%60))
		out = binary.AppendUvarint(out, uint64(slices.Index(revisions, m.Revision)))
		out = binary.AppendUvarint(out, uint64(m.Requests))
		out = binary.AppendUvarint(out, uint64(m.Bad))
		for _, t := range thresholds {
			out = binary.AppendUvarint(out, uint64(m.Slow[t]))
		}
	}
	return out
}

var errRevisions = errors.New("not an hour of minutes per revision")

// decodeRevisions appends the minutes of an encoded hour that begins at start,
// and says whether they are only a part of what was counted.
func decodeRevisions(out []RevisionMinute, start time.Time, data []byte) ([]RevisionMinute, bool, error) {
	d := decoder{data: data}
	if d.byte() != revisionsVersion {
		return out, false, errRevisions
	}
	partial := d.count(1) == 1
	revisions := make([]string, d.count(maxRevisions+1))
	for i := range revisions {
		revisions[i] = d.text()
	}
	thresholds := make([]int64, d.count(maxThresholds))
	for i := range thresholds {
		thresholds[i] = d.number()
	}
	start = start.UTC()
	for range d.count((maxRevisions + 1) * 60) {
		at, revision := d.count(59), d.count(len(revisions)-1)
		m := RevisionMinute{Minute: Minute{Time: start.Add(time.Duration(at) * time.Minute), Requests: d.number(), Bad: d.number()}}
		for _, t := range thresholds {
			if n := d.number(); n > 0 {
				if m.Slow == nil {
					m.Slow = make(map[int64]int64, len(thresholds))
				}
				m.Slow[t] = n
			}
		}
		if d.failed {
			return out, false, errRevisions
		}
		m.Revision = revisions[revision]
		out = append(out, m)
	}
	if d.failed || len(d.data) > 0 {
		return out, false, errRevisions
	}
	return out, partial, nil
}

// decoder reads varints; after a failure everything is 0.
type decoder struct {
	data   []byte
	failed bool
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.failed = true
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) number() int64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 || v > 1<<62 {
		d.failed, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return int64(v)
}

// count is a number of at most limit.
func (d *decoder) count(limit int) int {
	v := d.number()
	if v > int64(limit) {
		d.failed, d.data = true, nil
		return 0
	}
	return int(v)
}

func (d *decoder) text() string {
	n := d.number()
	if n > int64(len(d.data)) {
		d.failed, d.data = true, nil
		return ""
	}
	s := string(d.data[:n])
	d.data = d.data[n:]
	return s
}
