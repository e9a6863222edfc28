package slo

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Slots keeps the one-minute slots of indicators, for as long as the retention.
// They belong to an indicator (Objective.IndicatorID), not to an objective:
// whatever changes about targets, windows, exclusions or policies, they stay.
//
// A day's slots are one blob (series slots/INDICATOR/GROUP/), written once the
// day is over. Those of the newest day are kept by the hour (series
// recent/INDICATOR/GROUP/), so that a minute costs one small write. The first
// slot of a new day writes the day before as a whole, in the same transaction,
// and removes its hours; what a crash may leave of them is never read.
//
// It is safe for concurrent use by one process. Nothing else may write.
type Slots struct {
	blobs store.Blobs
	mu    sync.Mutex
	known map[string]*shelf // by indicator
	marks marks
}

// marks remembers watermarks, by indicator, in Unix seconds: they are asked for
// far more often than they change.
type marks struct {
	mu sync.Mutex
	at map[string]int64
}

func (m *marks) get(indicator string) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.at[indicator]
	return at, ok
}

// put remembers a watermark that was written, or, where none is remembered,
// one that was read.
func (m *marks) put(indicator string, at int64, written bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil {
		m.at = map[string]int64{}
	}
	if _, ok := m.at[indicator]; written || !ok {
		m.at[indicator] = at
	}
}

// shelf is what is remembered of one indicator's slots.
type shelf struct {
	id     string
	newest int64             // number of the newest day with slots; noDay: none has
	groups map[string]*hours // by group; "" without groups
}

// hours is the open hour of one group: what the next minute is written with.
type hours struct {
	start   int64 // Unix seconds
	minutes minutes
}

// minutes are counts by minute since the Unix epoch.
type minutes map[int64]counted

type counted struct{ good, total int64 }

const (
	noDay         = -1 << 62
	dayMinutes    = 1440
	hourSeconds   = 3600
	daySeconds    = 86400
	dayPrefix     = "slots/"
	recentPrefix  = "recent/"
	cursorPrefix  = "slots/"
	maxGroupName  = 400
	writesAtATime = store.MaxWrites / 2
	slotsAtATime  = 500_000 // some 30 MB of memory
)

// NewSlots keeps slots among blobs.
func NewSlots(blobs store.Blobs) *Slots { return &Slots{blobs: blobs, known: map[string]*shelf{}} }

// Recording is what a feeder counted of one indicator.
type Recording struct {
	Indicator string
	Counts    []Counted   // one, without labels, for an indicator without groups
	Gaps      []time.Time // minutes of which nothing is known after all; not with Add
	Until     time.Time   // everything before it has been read: the watermark; zero leaves it
	// Add adds to what the slots hold. Otherwise a minute that is recorded
	// replaces what was there, of all groups, so that reading a source again
	// changes nothing and corrects what was wrong.
	Add bool
	// MaxGroups caps the groups; 0 is DefaultMaxGroups.
	MaxGroups int
	// GroupBy are the labels that make groups; nil is none.
	GroupBy []string
}

// Counted is the slots of one group. Slots within one minute add up; one of 0
// of 0 says that the minute is known and saw nothing.
type Counted struct {
	Labels map[string]string
	Slots  []Slot
}

// Difference is what a recording changed in one slot of one group, or, where
// there are groups, in their sum.
type Difference struct {
	Indicator          string
	Group              string // empty for the sum, and without groups
	Time               time.Time
	Good, Total, Known int64 // to be added; Known is 1 for a slot that is new, -1 for one that is no more
}

// ChunkWidth is the time that one chunk holds: a day, of which one-minute
// slots take about four kilobytes.
const ChunkWidth = 24 * time.Hour

// Chunk is the encoded slots that begin within one ChunkWidth.
type Chunk struct {
	Start time.Time // a multiple of ChunkWidth, UTC
	Data  []byte
}

// Chunks cuts a history into chunks, as they are stored.
func Chunks(events *Series) []Chunk {
	var out []Chunk
	first, end := events.Bounds()
	for start := first.Truncate(ChunkWidth); start.Before(end); start = start.Add(ChunkWidth) {
		if part := events.Between(start, start.Add(ChunkWidth)); part.Len() > 0 {
			out = append(out, Chunk{start, part.Encode()})
		}
	}
	return out
}

// Record makes recordings durable and says what they changed. A recording is
// refused as a whole when a count in it is impossible, or more than MaxSkew
// ahead of now; recordings of other indicators are not affected. With an error
// the differences are those of what was recorded nevertheless.
func (s *Slots) Record(ctx context.Context, now time.Time, recordings ...Recording) ([]Difference, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused error
	w := s.newWriting()
	for _, r := range recordings {
		if err := r.check(now); err != nil {
			refused = err
			continue
		}
		if err := w.record(ctx, r); err != nil {
			w.abandon()
			return w.done, err
		}
	}
	if err := w.flush(ctx); err != nil {
		w.abandon()
		return w.done, err
	}
	return w.done, refused
}

func (r Recording) check(now time.Time) error {
	limit := now.Add(MaxSkew)
	for _, gap := range r.Gaps {
		if gap.After(limit) || gap.Unix() <= 0 {
			return problem.New(problem.Invalid, "slo.record", "%s: a gap at %s, but it is %s", r.Indicator, gap.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
	}
	for _, c := range r.Counts {
		for _, slot := range c.Slots {
			switch {
			case slot.Good < 0 || slot.Total < slot.Good || slot.Total > maxCount:
				return problem.New(problem.Invalid, "slo.record", "%s: %d good of %d at %s is not possible", r.Indicator, slot.Good, slot.Total,
					slot.Time.UTC().Format(time.RFC3339)).WithNext("report counts with 0 ≤ good ≤ total ≤ %.0e", float64(maxCount))
			case slot.Time.After(limit) || slot.Time.Unix() <= 0:
				return problem.New(problem.Invalid, "slo.record", "%s: a count for %s, but it is %s", r.Indicator, slot.Time.UTC().Format(time.RFC3339),
					now.UTC().Format(time.RFC3339)).WithNext("correct the reporter's clock")
			}
		}
	}
	return nil
}

// Watermark is the time before which everything of an indicator has been read;
// zero when nothing has.
func (s *Slots) Watermark(ctx context.Context, indicator string) (time.Time, error) {
	n, known := s.marks.get(indicator)
	if !known {
		var err error
		if n, err = s.blobs.Cursor(ctx, cursorPrefix+indicator); err != nil {
			return time.Time{}, err
		}
		s.marks.put(indicator, n, false)
	}
	if n == 0 {
		return time.Time{}, nil
	}
	return time.Unix(n, 0).UTC(), nil
}

// Groups are the groups of an indicator that have slots; "" is the only one of
// an indicator without groups.
func (s *Slots) Groups(ctx context.Context, indicator string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shelf, err := s.shelf(ctx, indicator)
	if err != nil {
		return nil, err
	}
	return keysOf(shelf.groups), nil
}

// Load is the slots of one group that begin in [from, to).
func (s *Slots) Load(ctx context.Context, indicator, group string, from, to time.Time) (*Series, error) {
	return s.load(ctx, indicator, from, to, func(g string) bool { return g == group })
}

// LoadSum is the sum of all groups' slots that begin in [from, to).
func (s *Slots) LoadSum(ctx context.Context, indicator string, from, to time.Time) (*Series, error) {
	return s.load(ctx, indicator, from, to, func(string) bool { return true })
}

func (s *Slots) load(ctx context.Context, indicator string, from, to time.Time, wanted func(group string) bool) (*Series, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shelf, err := s.shelf(ctx, indicator)
	if err != nil {
		return nil, err
	}
	var sum accumulator
	for group := range shelf.groups {
		if wanted(group) {
			if err := s.read(ctx, shelf, group, from, to, &sum); err != nil {
				return nil, err
			}
		}
	}
	return sum.series(from, to), nil
}

// read adds a group's slots that begin in [from, to), whole chunks at a time.
func (s *Slots) read(ctx context.Context, shelf *shelf, group string, from, to time.Time, into *accumulator) error {
	prefix := placeOf(shelf.id, group)
	for _, part := range []struct {
		series string
		from   time.Time
	}{
		{dayPrefix + prefix, from.UTC().Truncate(daySeconds * time.Second)},
		{recentPrefix + prefix, latest(time.Unix(shelf.newest*daySeconds, 0), from.UTC().Truncate(time.Hour))},
	} {
		if part.from.Year() > 9999 || !part.from.Before(to) {
			continue
		}
		blobs, err := s.blobs.Range(ctx, part.series, part.from, to)
		if err != nil {
			return err
		}
		for _, b := range blobs {
			if err := into.add(b.Data); err != nil {
				return damaged(part.series, b.Start, err)
			}
		}
	}
	return nil
}

func damaged(series string, start time.Time, err error) error {
	return problem.New(problem.Internal, "slo.load", "%s: the slots of %s: %w", series, start.Format(time.DateOnly), err).
		WithNext("restore the slots from a backup, or back-fill them from their source")
}

// Prune forgets slots of days that began before a time.
func (s *Slots) Prune(ctx context.Context, before time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	removed := 0
	for _, prefix := range []string{dayPrefix, recentPrefix} {
		n, err := s.blobs.Prune(ctx, prefix, before.UTC().Truncate(daySeconds*time.Second))
		if err != nil {
			return err
		}
		removed += n
	}
	if removed > 0 {
		s.known = map[string]*shelf{} // groups that are gone make room for others
	}
	return nil
}

// shelf is what is known of an indicator, from memory or from the blobs.
func (s *Slots) shelf(ctx context.Context, indicator string) (*shelf, error) {
	if known, ok := s.known[indicator]; ok {
		return known, nil
	}
	found := &shelf{id: indicator, newest: noDay, groups: map[string]*hours{}}
	for _, prefix := range []string{dayPrefix, recentPrefix} {
		names, err := s.blobs.Series(ctx, prefix+indicator+"/", "", 0)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			found.groups[groupOf(strings.TrimPrefix(name, prefix+indicator+"/"))] = &hours{}
		}
	}
	for group := range found.groups {
		newest, err := s.newestDay(ctx, placeOf(indicator, group))
		if err != nil {
			return nil, err
		}
		found.newest = max(found.newest, newest)
	}
	s.known[indicator] = found
	return found, nil
}

// newestDay is the day of a group's newest hour, or the one after its newest
// whole day: that one is closed.
func (s *Slots) newestDay(ctx context.Context, place string) (int64, error) {
	end := time.Unix(1<<33, 0)
	recent, err := s.blobs.Range(ctx, recentPrefix+place, time.Unix(0, 0), end)
	if err != nil {
		return 0, err
	}
	if n := len(recent); n > 0 {
		return floorDiv(recent[n-1].Start.Unix(), daySeconds), nil
	}
	days, err := s.blobs.Range(ctx, dayPrefix+place, time.Unix(0, 0), end)
	if n := len(days); n > 0 {
		return floorDiv(days[n-1].Start.Unix(), daySeconds) + 1, nil
	}
	return noDay, err
}

// placeOf is where a group's blobs are: names end in a slash and contain no
// other, so that none is the beginning of another.
func placeOf(indicator, group string) string { return indicator + "/" + url.PathEscape(group) + "/" }

func groupOf(place string) string {
	group, err := url.PathUnescape(strings.TrimSuffix(place, "/"))
	if err != nil {
		return Overflow
	}
	return group
}

// accumulator adds slots up, minute by minute.
type accumulator struct {
	first int64 // minute of the first entry
	sums  []counted
	seen  []bool
}

func (a *accumulator) add(chunk []byte) error {
	part, err := DecodeSeries(chunk)
	if err != nil {
		return err
	}
	if part.width != int64(time.Minute) || part.phase != 0 || part.Len() == 0 {
		return nil
	}
	a.reach(part.index[0], part.index[len(part.index)-1])
	for i, n := range part.index {
		c := &a.sums[n-a.first]
		c.good, c.total = c.good+part.good[i+1]-part.good[i], c.total+part.total[i+1]-part.total[i]
		a.seen[n-a.first] = true
	}
	return nil
}

// reach makes room for the minutes from first to last.
func (a *accumulator) reach(first, last int64) {
	if len(a.sums) == 0 {
		a.first = first
	}
	if before := a.first - first; before > 0 {
		a.sums = append(make([]counted, before), a.sums...)
		a.seen = append(make([]bool, before), a.seen...)
		a.first = first
	}
	if more := last - a.first + 1 - int64(len(a.sums)); more > 0 {
		a.sums, a.seen = append(a.sums, make([]counted, more)...), append(a.seen, make([]bool, more)...)
	}
}

// series is what was added and begins in [from, to).
func (a *accumulator) series(from, to time.Time) *Series {
	out := NewSeries(time.Minute, 0)
	width := int64(time.Minute)
	first, end := floorDiv(from.UnixNano()+width-1, width), floorDiv(to.UnixNano()+width-1, width)
	for i := max(0, first-a.first); i < min(int64(len(a.sums)), end-a.first); i++ {
		if a.seen[i] {
			out.push(a.first+i, a.sums[i].good, a.sums[i].total)
		}
	}
	return out
}
