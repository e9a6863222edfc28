package slo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// ledger is the naive twin of Slots: every slot of every group by itself.
type ledger map[string]map[int64]counted // by indicator/group, by minute

func (l ledger) record(r Recording, group func(map[string]string) string, known []string) {
	given := map[string]minutes{}
	for _, c := range r.Counts {
		g := group(c.Labels)
		if given[g] == nil {
			given[g] = minutes{}
		}
		for _, s := range c.Slots {
			m := s.Time.Unix() / 60
			given[g][m] = counted{given[g][m].good + s.Good, given[g][m].total + s.Total}
		}
	}
	if !r.Add {
		for _, gap := range r.Gaps {
			given["gap"] = minutes{gap.Unix() / 60: {}}
		}
		for _, m := range given {
			for minute := range m {
				for _, g := range known {
					delete(l[r.Indicator+"/"+g], minute)
				}
			}
		}
	}
	delete(given, "gap")
	for g, m := range given {
		place := r.Indicator + "/" + g
		if l[place] == nil {
			l[place] = map[int64]counted{}
		}
		for minute, n := range m {
			was := l[place][minute]
			l[place][minute] = counted{was.good + n.good, was.total + n.total}
		}
	}
}

func (l ledger) sum(indicator string, groups []string) map[int64]counted {
	out := map[int64]counted{}
	for _, g := range groups {
		for minute, n := range l[indicator+"/"+g] {
			out[minute] = counted{out[minute].good + n.good, out[minute].total + n.total}
		}
	}
	return out
}

func slotsOf(s *Series) map[int64]counted {
	out := map[int64]counted{}
	for slot := range s.Slots() {
		out[slot.Time.Unix()/60] = counted{slot.Good, slot.Total}
	}
	return out
}

// What is recorded is what is loaded, whatever the order, the corrections, the
// groups and the restarts; and the differences told add up to it.
func TestSlotsEqualTheLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		testSlots(t, memory.New(memory.Options{Clock: clock.NewVirtual(march)}).Blobs(), rapid.IntRange(1, 30).Draw(t, "recordings"))
	})
}

func TestSlotsInSQLite(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		if n++; n > 5 {
			return // each has a file of its own
		}
		s, err := sqlite.Open(context.Background(), filepath.Join(dir, fmt.Sprint(n)), sqlite.Options{Clock: clock.NewVirtual(march)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		testSlots(t, s.Blobs(), 10)
	})
}

func testSlots(t *rapid.T, blobs store.Blobs, recordings int) {
	ctx, now := context.Background(), march.Add(5*day)
	slots, twin, told := NewSlots(blobs), ledger{}, ledger{}
	known := map[string][]string{}
	for range recordings {
		if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
			slots = NewSlots(blobs)
		}
		r := Recording{Indicator: rapid.SampledFrom([]string{"a", "ab", "b"}).Draw(t, "indicator"), MaxGroups: 3, Add: rapid.Bool().Draw(t, "add")}
		if r.Indicator == "ab" {
			r.GroupBy = []string{"route"}
		}
		from := march.Add(time.Duration(rapid.IntRange(0, 5*1440-1).Draw(t, "from")) * time.Minute)
		for range rapid.IntRange(1, 4).Draw(t, "groups") {
			c := Counted{}
			if r.GroupBy != nil {
				c.Labels = map[string]string{"route": rapid.SampledFrom([]string{"/", "/a", "/a/b", "{}", "ü"}).Draw(t, "route")}
			}
			for i := range rapid.IntRange(0, 90).Draw(t, "slots") {
				if at := from.Add(time.Duration(i*rapid.IntRange(1, 40).Draw(t, "stride")) * time.Minute); at.Before(now) {
					total := rapid.Int64Range(0, 9).Draw(t, "total")
					c.Slots = append(c.Slots, Slot{at, rapid.Int64Range(0, total).Draw(t, "good"), total})
				}
			}
			if len(c.Slots) > 0 {
				r.Counts = append(r.Counts, c)
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "retracts") == 0 {
			r.Gaps = []time.Time{from.Add(time.Minute)}
		}
		differences, err := slots.Record(ctx, now, r)
		if err != nil {
			t.Fatal(err)
		}
		twin.record(r, func(labels map[string]string) string {
			name := ""
			if r.GroupBy != nil {
				name = groupName(r.GroupBy, labels)
			}
			if r.GroupBy != nil && !slices.Contains(known[r.Indicator], name) && len(slices.DeleteFunc(slices.Clone(known[r.Indicator]), func(g string) bool { return g == Overflow })) == 3 {
				name = Overflow
			}
			if !slices.Contains(known[r.Indicator], name) {
				known[r.Indicator] = append(known[r.Indicator], name)
			}
			return name
		}, known[r.Indicator])
		told.apply(t, differences)
	}
	slots = NewSlots(blobs)
	for _, indicator := range []string{"a", "ab", "b"} {
		sum, err := slots.LoadSum(ctx, indicator, march, now)
		if err != nil {
			t.Fatal(err)
		}
		want := twin.sum(indicator, known[indicator])
		if got := slotsOf(sum); !maps.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", indicator, got, want)
		}
		if !maps.Equal(told[indicator+"/"], want) && len(want)+len(told[indicator+"/"]) > 0 {
			t.Fatalf("%s: told %v, want %v", indicator, told[indicator+"/"], want)
		}
		cut := march.Add(30*time.Hour + 7*time.Minute)
		for _, g := range known[indicator] {
			one, err := slots.Load(ctx, indicator, g, cut, now)
			if err != nil {
				t.Fatal(err)
			}
			want := maps.Clone(twin[indicator+"/"+g])
			maps.DeleteFunc(want, func(m int64, _ counted) bool { return m < cut.Unix()/60 })
			if got := slotsOf(one); !maps.Equal(got, want) {
				t.Fatalf("%s of %s: %v, want %v", g, indicator, got, want)
			}
		}
	}
}

// apply adds differences up, as an engine would.
func (l ledger) apply(t *rapid.T, differences []Difference) {
	for _, d := range differences {
		place := d.Indicator + "/" + d.Group
		if l[place] == nil {
			l[place] = map[int64]counted{}
		}
		m := d.Time.Unix() / 60
		was, known := l[place][m]
		if known == (d.Known > 0) && d.Known != 0 || !known && d.Known == 0 {
			t.Fatalf("%+v of a slot that is known: %v", d, known)
		}
		l[place][m] = counted{was.good + d.Good, was.total + d.Total}
		if d.Known < 0 {
			delete(l[place], m)
		}
	}
}

// failing is blobs whose every other Put fails.
type failing struct {
	store.Blobs
	puts int
}

func (f *failing) Put(ctx context.Context, writes []store.BlobWrite, cursors map[string]int64) error {
	if f.puts++; f.puts%2 == 0 {
		return errors.New("the disk is full")
	}
	return f.Blobs.Put(ctx, writes, cursors)
}

// A recording that could not be written leaves nothing behind, and can be
// recorded again.
func TestSlotsAfterAFailedWrite(t *testing.T) {
	ctx := context.Background()
	blobs := &failing{Blobs: memory.New(memory.Options{Clock: clock.NewVirtual(march)}).Blobs()}
	slots := NewSlots(blobs)
	for i := range 3 * 24 {
		at := march.Add(time.Duration(i) * time.Hour)
		r := Recording{Indicator: "a", Add: true, Counts: []Counted{{Slots: []Slot{{at, 1, 2}}}}, Until: at}
		differences, err := slots.Record(ctx, at, r)
		if failed := i%2 == 1; failed != (err != nil) || failed == (len(differences) > 0) {
			t.Fatalf("recording %d: %d differences, %v", i, len(differences), err)
		}
	}
	s, err := slots.LoadSum(ctx, "a", march, march.Add(3*day))
	if err != nil || s.Len() != 36 {
		t.Fatalf("%d slots, %v; want those 36 that were written", s.Len(), err)
	}
	if until, err := slots.Watermark(ctx, "a"); err != nil || !until.Equal(march.Add(70*time.Hour)) {
		t.Errorf("watermark %v, %v", until, err)
	}
}

func TestSlotsRefuse(t *testing.T) {
	slots := NewSlots(memory.New(memory.Options{Clock: clock.NewVirtual(march)}).Blobs())
	for name, slot := range map[string]Slot{
		"more good than total": {march, 2, 1}, "negative": {march, -1, 1}, "too many": {march, 0, maxCount + 1},
		"the future": {march.Add(MaxSkew + time.Second), 1, 1}, "before time": {time.Time{}, 1, 1},
	} {
		_, err := slots.Record(context.Background(), march, Recording{Indicator: "a", Counts: []Counted{{Slots: []Slot{{march, 1, 1}, slot}}}})
		if problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := slots.LoadSum(context.Background(), "a", march.Add(-day), march.Add(day)); err != nil || s.Len() != 0 {
		t.Errorf("%d slots of refused recordings, %v", s.Len(), err)
	}
}

// A month of minutes recorded one by one takes what a month takes, and not the
// hours it came in.
func TestSlotsAreCompact(t *testing.T) {
	ctx := context.Background()
	blobs := memory.New(memory.Options{Clock: clock.NewVirtual(march)}).Blobs()
	slots := NewSlots(blobs)
	s := outage(t, time.Minute, 10*day, day, day+time.Hour, 0.1)
	for slot := range s.Slots() {
		if _, err := slots.Record(ctx, slot.Time, Recording{Indicator: "a", Counts: []Counted{{Slots: []Slot{slot}}}}); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, most := range map[string]int{dayPrefix: 9, recentPrefix: 24} {
		stored, err := blobs.Range(ctx, prefix+placeOf("a", ""), march, march.Add(20*day))
		if err != nil || len(stored) > most {
			t.Errorf("%s: %d chunks, %v; want at most %d", prefix, len(stored), err, most)
		}
	}
	if err := slots.Prune(ctx, march.Add(5*day+time.Hour)); err != nil {
		t.Fatal(err)
	}
	left, err := slots.LoadSum(ctx, "a", march, march.Add(20*day))
	if first, _ := left.Bounds(); err != nil || !first.Equal(march.Add(5*day)) || left.Len() != 5*1440 {
		t.Errorf("after pruning: %d slots from %v, %v", left.Len(), first, err)
	}
}
