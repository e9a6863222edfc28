package slo

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/port/store"
)

// writing is one call of Record on its way to the disk: the chunks it changes,
// and what that changes.
type writing struct {
	slots   *Slots
	chunks  map[chunkKey]minutes // read
	dirty   map[chunkKey]bool    // of those, to be written
	cursors map[string]int64
	removed []chunkKey      // hours that are in whole days now
	weight  int             // slots in chunks, about
	touched map[string]bool // indicators
	pending []Difference
	done    []Difference // durable
}

type chunkKey struct {
	series string
	start  int64 // Unix seconds
}

func (s *Slots) newWriting() *writing {
	w := &writing{slots: s}
	w.reset()
	return w
}

func (w *writing) reset() {
	w.dirty = map[chunkKey]bool{}
	w.chunks, w.cursors, w.removed, w.touched, w.pending = map[chunkKey]minutes{}, map[string]int64{}, nil, map[string]bool{}, nil
	w.weight = 0
}

// abandon forgets what memory knows of indicators that were not written.
func (w *writing) abandon() {
	for id := range w.touched {
		delete(w.slots.known, id)
	}
}

// record adds a recording, day by day, writing whenever there is much.
func (w *writing) record(ctx context.Context, r Recording) error {
	shelf, err := w.slots.shelf(ctx, r.Indicator)
	if err != nil {
		return err
	}
	w.touched[r.Indicator] = true
	byDay := shelf.byDay(r)
	days := slices.Sorted(maps.Keys(byDay))
	for i, day := range days {
		if i == 0 { // which days are whole is decided before the first is written
			if err := w.openDay(ctx, shelf, days[len(days)-1]); err != nil {
				return err
			}
		}
		if err := w.recordDay(ctx, shelf, day, byDay[day], r.Add); err != nil {
			return err
		}
		if len(w.chunks) >= writesAtATime || w.weight > slotsAtATime {
			if err := w.flush(ctx); err != nil {
				return err
			}
			w.touched[r.Indicator] = true
		}
	}
	if !r.Until.IsZero() {
		w.cursors[cursorPrefix+r.Indicator] = r.Until.Unix()
	}
	return nil
}

// givenDay is what a recording says of one day.
type givenDay struct {
	groups map[string]minutes
	gaps   minutes
}

// byDay is a recording by day, group and minute.
func (s *shelf) byDay(r Recording) map[int64]givenDay {
	days := map[int64]givenDay{}
	dayOf := func(t time.Time) (givenDay, int64) {
		minute := floorDiv(t.Unix(), 60)
		day := floorDiv(minute, dayMinutes)
		if days[day].groups == nil {
			days[day] = givenDay{map[string]minutes{}, minutes{}}
		}
		return days[day], minute
	}
	for _, c := range r.Counts {
		if len(c.Slots) == 0 {
			continue // a group without slots would not be known after a restart
		}
		group := s.group(r, c.Labels)
		for _, slot := range c.Slots {
			day, minute := dayOf(slot.Time)
			if day.groups[group] == nil {
				day.groups[group] = minutes{}
			}
			n := day.groups[group][minute]
			day.groups[group][minute] = counted{n.good + slot.Good, n.total + slot.Total}
		}
	}
	if !r.Add {
		for _, gap := range r.Gaps {
			day, minute := dayOf(gap)
			day.gaps[minute] = counted{}
		}
	}
	return days
}

// group is the group that labels belong to: one that is known, a new one while
// there is room, or else the overflow group. A label that is missing is empty.
func (s *shelf) group(r Recording, labels map[string]string) string {
	if len(r.GroupBy) == 0 {
		s.join("")
		return ""
	}
	name := groupName(r.GroupBy, labels)
	if s.groups[name] != nil {
		return name
	}
	most := r.MaxGroups
	if most <= 0 {
		most = DefaultMaxGroups
	}
	known := len(s.groups)
	if s.groups[Overflow] != nil {
		known--
	}
	if known >= most {
		name = Overflow
	}
	s.join(name)
	return name
}

func (s *shelf) join(group string) {
	if s.groups[group] == nil {
		s.groups[group] = &hours{}
	}
}

// groupName writes labels as one name: route=/a,method=GET.
func groupName(by []string, labels map[string]string) string {
	parts := make([]string, len(by))
	for i, name := range by {
		value := strings.Map(func(c rune) rune {
			if strings.ContainsRune(",{}", c) || c < ' ' {
				return '_'
			}
			return c
		}, clip(strings.ToValidUTF8(labels[name], "_"), 100))
		parts[i] = name + "=" + value
	}
	return clip(strings.Join(parts, ","), maxGroupName)
}

// openDay makes a day the newest: the hours of the one before become a whole day.
func (w *writing) openDay(ctx context.Context, s *shelf, day int64) error {
	if day <= s.newest {
		return nil
	}
	for group, open := range s.groups {
		place := placeOf(s.id, group)
		if s.newest != noDay {
			if err := w.closeDay(ctx, place, s.newest); err != nil {
				return err
			}
		}
		*open = hours{}
	}
	s.newest = day
	return nil
}

func (w *writing) closeDay(ctx context.Context, place string, day int64) error {
	from := time.Unix(day*daySeconds, 0)
	blobs, err := w.slots.blobs.Range(ctx, recentPrefix+place, from, from.Add(ChunkWidth))
	if err != nil {
		return err
	}
	whole := chunkKey{dayPrefix + place, day * daySeconds}
	into, err := w.chunk(ctx, whole)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		hour, err := decodeMinutes(b.Data)
		if err != nil {
			return damaged(recentPrefix+place, b.Start, err)
		}
		maps.Copy(into, hour)
		w.removed = append(w.removed, chunkKey{recentPrefix + place, b.Start.Unix()})
	}
	for start := from.Unix(); start < from.Unix()+daySeconds; start += hourSeconds { // not written yet
		key := chunkKey{recentPrefix + place, start}
		if w.dirty[key] {
			maps.Copy(into, w.chunks[key])
			w.dirty[whole] = true
		}
		delete(w.chunks, key)
		delete(w.dirty, key)
	}
	if len(blobs) > 0 { // even if they hold nothing any more: the group stays known
		w.dirty[whole] = true
	}
	return nil
}

// recordDay changes the slots of one day.
func (w *writing) recordDay(ctx context.Context, s *shelf, day int64, given givenDay, add bool) error {
	touched := maps.Clone(given.gaps)
	for _, m := range given.groups {
		maps.Copy(touched, m)
	}
	groups := slices.Sorted(maps.Keys(s.groups))
	for _, minute := range slices.Sorted(maps.Keys(touched)) {
		sum := Difference{Indicator: s.id, Time: time.Unix(minute*60, 0).UTC()}
		var before, after int64
		for _, group := range groups {
			key, chunk, err := w.chunkOf(ctx, s, group, day, minute)
			if err != nil {
				return err
			}
			to, isGiven := given.groups[group][minute]
			d, was, is := chunk.change(minute, to, isGiven, add)
			before, after = before|was, after|is
			if d == (counted{}) && was == is {
				continue
			}
			w.dirty[key] = true
			sum.Good, sum.Total = sum.Good+d.good, sum.Total+d.total
			if group != "" {
				w.pending = append(w.pending, Difference{s.id, group, sum.Time, d.good, d.total, is - was})
			}
		}
		if sum.Known = after - before; sum.Good != 0 || sum.Total != 0 || sum.Known != 0 {
			w.pending = append(w.pending, sum)
		}
	}
	return nil
}

// change sets one slot and says by how much it changed, and whether it was and
// is known (1). A minute that is read again and lacks the slot loses it.
func (m minutes) change(minute int64, to counted, given, add bool) (d counted, was, is int64) {
	old, known := m[minute]
	if known {
		was = 1
	}
	switch {
	case !given && (add || !known):
		return counted{}, was, was
	case !given:
		delete(m, minute)
		return counted{-old.good, -old.total}, was, 0
	case add:
		to = counted{old.good + to.good, old.total + to.total}
	}
	m[minute] = to
	return counted{to.good - old.good, to.total - old.total}, was, 1
}

// chunkOf is the chunk that a minute is in: its hour on the newest day, else
// its day.
func (w *writing) chunkOf(ctx context.Context, s *shelf, group string, day, minute int64) (chunkKey, minutes, error) {
	place := placeOf(s.id, group)
	if day < s.newest {
		key := chunkKey{dayPrefix + place, day * daySeconds}
		chunk, err := w.chunk(ctx, key)
		return key, chunk, err
	}
	key := chunkKey{recentPrefix + place, floorDiv(minute*60, hourSeconds) * hourSeconds}
	open := s.groups[group]
	if open.minutes != nil && open.start == key.start {
		w.chunks[key] = open.minutes
		return key, open.minutes, nil
	}
	chunk, err := w.chunk(ctx, key)
	if err == nil && (open.minutes == nil || open.start < key.start) {
		*open = hours{key.start, chunk}
	}
	return key, chunk, err
}

// chunk is a chunk as changed so far, or as stored.
func (w *writing) chunk(ctx context.Context, key chunkKey) (minutes, error) {
	if chunk, ok := w.chunks[key]; ok {
		return chunk, nil
	}
	start := time.Unix(key.start, 0)
	blobs, err := w.slots.blobs.Range(ctx, key.series, start, start.Add(time.Microsecond))
	if err != nil {
		return nil, err
	}
	chunk := minutes{}
	if len(blobs) > 0 {
		if chunk, err = decodeMinutes(blobs[0].Data); err != nil {
			return nil, damaged(key.series, start, err)
		}
	}
	w.chunks[key] = chunk
	w.weight += len(chunk) + hourSeconds/60
	return chunk, nil
}

// flush writes what there is, in one transaction if it fits one.
func (w *writing) flush(ctx context.Context) error {
	writes := make([]store.BlobWrite, 0, len(w.dirty))
	for key := range w.dirty {
		writes = append(writes, store.BlobWrite{Series: key.series, Start: time.Unix(key.start, 0), Data: w.chunks[key].encode()})
	}
	// Days before hours: where there is more than one transaction takes, the hours
	// that show a day to be closed must not come before it.
	slices.SortFunc(writes, func(a, b store.BlobWrite) int { return -strings.Compare(a.Series, b.Series) })
	for _, key := range w.removed {
		writes = append(writes, store.BlobWrite{Series: key.series, Start: time.Unix(key.start, 0), Remove: true})
	}
	for len(writes) > store.MaxWrites {
		if err := w.slots.blobs.Put(ctx, writes[:store.MaxWrites], nil); err != nil {
			return err
		}
		writes = writes[store.MaxWrites:]
	}
	if len(writes) > 0 || len(w.cursors) > 0 {
		if err := w.slots.blobs.Put(ctx, writes, w.cursors); err != nil {
			return err
		}
	}
	for name, at := range w.cursors {
		w.slots.marks.put(strings.TrimPrefix(name, cursorPrefix), at, true)
	}
	w.done = append(w.done, w.pending...)
	w.reset()
	return nil
}

func (m minutes) encode() []byte {
	s := NewSeries(time.Minute, 0)
	for _, minute := range slices.Sorted(maps.Keys(m)) {
		s.push(minute, m[minute].good, m[minute].total)
	}
	return s.Encode()
}

func decodeMinutes(data []byte) (minutes, error) {
	s, err := DecodeSeries(data)
	if err != nil {
		return nil, err
	}
	if s.width != int64(time.Minute) || s.phase != 0 {
		return nil, errCorrupt
	}
	out := make(minutes, s.Len())
	for i, minute := range s.index {
		out[minute] = counted{s.good[i+1] - s.good[i], s.total[i+1] - s.total[i]}
	}
	return out, nil
}
