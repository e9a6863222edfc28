package signal

import (
	"maps"
	"testing"
	"time"
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
	data := encodeRevisions(h.sorted())
	if perMinute := len(data) / 180; perMinute > 8 {
		t.Errorf("%d bytes for a minute of a revision, want a few", perMinute)
	}
	list, err := decodeRevisions(nil, hourStart, data)
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
	list, err := decodeRevisions(nil, hourStart, encodeRevisions(h.sorted()))
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

func FuzzRevisions(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{revisionsVersion, 1, 1, 'a', 0, 1, 59, 0, 7, 3})
	f.Add([]byte{revisionsVersion, 0, 0, 1, 0, 0, 7, 3})
	f.Add([]byte{revisionsVersion, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decodeRevisions(nil, hourStart, data)
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
