package signal

import (
	"maps"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/store"
)

var hourStart = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func TestRevisionsKeepWhatTheyCount(t *testing.T) {
	h := revisionHour{start: hourStart, minutes: map[revisionKey]Minute{}}
	for i := range 60 {
		for r, revision := range []string{"3f2a91c-9be01d", "8be01d4-5c1d0a", ""} {
			h.add(revision, Minute{Time: hourStart.Add(time.Duration(i) * time.Minute), Requests: int64(600 + i*r), Bad: int64(r),
				Slow: map[int64]int64{int64(300 * time.Millisecond): int64(i)}})
		}
	}
	data := encodeRevisions(false, h.sorted())
	if perMinute := len(data) / 180; perMinute > 8 {
		t.Errorf("%d bytes for a minute of a revision, want a few", perMinute)
	}
	list, _, err := decodeRevisions(nil, hourStart, data)
	if err != nil || len(list) != 180 {
		t.Fatalf("%d minutes, %v", len(list), err)
	}
	for _, m := range list {
		want := h.minutes[revisionKey{m.Time.Unix() / 60, m.Revision}]
		if m.Requests != want.Requests || m.Bad != want.Bad || !maps.Equal(noZeros(want.Slow), m.Slow) {
			t.Fatalf("%+v, want %+v", m, want)
		}
	}
}

func noZeros(m map[int64]int64) map[int64]int64 {
	out := maps.Clone(m)
	maps.DeleteFunc(out, func(_, n int64) bool { return n == 0 })
	return out
}

func TestManyRevisionsOfAnHourAreJoined(t *testing.T) {
	h := revisionHour{start: hourStart, minutes: map[revisionKey]Minute{}}
	for i := range 500 {
		h.add(string(rune('a'+i%26))+string(rune('a'+i/26)), Minute{Time: hourStart, Requests: 1})
	}
	list, _, err := decodeRevisions(nil, hourStart, encodeRevisions(false, h.sorted()))
	if err != nil || len(list) != maxRevisions+1 {
		t.Fatalf("%d revisions, %v, want %d and the others", len(list), err, maxRevisions)
	}
	total := int64(0)
	for _, m := range list {
		total += m.Requests
		if m.Revision == Others && m.Requests != 500-maxRevisions {
			t.Errorf("the others received %d", m.Requests)
		}
	}
	if total != 500 {
		t.Errorf("%d requests, want 500", total)
	}
}

// An hour that an earlier version began without counting revisions is read as
// it was written, and later hours from their revisions.
func TestAnHourThatBeganWithoutRevisions(t *testing.T) {
	ctx := t.Context()
	blobs := memory.New(memory.Options{}).Blobs()
	old := store.BlobWrite{Series: minuteSeries("shop", "prod"), Start: hourStart, Data: []byte(`[{"t":"2026-11-21T09:05:00Z","n":100,"e":7}]`)}
	if err := blobs.Put(ctx, []store.BlobWrite{old}, nil); err != nil {
		t.Fatal(err)
	}
	c := NewCollector(nil, blobs, func([]measure.Bin) {})
	for k, at := range []time.Duration{10 * time.Minute, 70 * time.Minute} {
		bin := measure.Bin{Seq: int64(k + 1), Service: "shop", Environment: "prod", Revision: "a", Time: hourStart.Add(at), Width: time.Second, Requests: 50, Errors: 1}
		if err := c.store(ctx, []measure.Bin{bin}); err != nil {
			t.Fatal(err)
		}
	}
	minutes, err := c.Minutes(ctx, "shop", "prod", hourStart, hourStart.Add(2*time.Hour))
	if err != nil || len(minutes) != 3 || minutes[0].Requests != 100 || minutes[0].Bad != 7 || minutes[1].Requests != 50 || minutes[2].Requests != 50 {
		t.Errorf("minutes %+v, %v", minutes, err)
	}
	_, arms, err := c.History(ctx, "shop", "prod", hourStart, hourStart.Add(2*time.Hour))
	if err != nil || len(arms) != 2 || arms[0].Revision != "a" {
		t.Errorf("revisions %+v, %v", arms, err)
	}
}

func FuzzRevisions(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{revisionsVersion, 0, 1, 1, 'a', 0, 1, 59, 0, 7, 3})
	f.Add([]byte{revisionsVersion, 1, 0, 0, 1, 0, 0, 7, 3})
	f.Add([]byte{revisionsVersion, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _, err := decodeRevisions(nil, hourStart, data)
		if err != nil {
			return
		}
		for _, m := range list {
			if m.Requests < 0 || m.Bad < 0 || m.Time.Before(hourStart) || !m.Time.Before(hourStart.Add(chunk)) {
				t.Fatalf("%+v from %v", m, data)
			}
		}
	})
}
