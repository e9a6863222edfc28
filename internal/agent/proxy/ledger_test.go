package proxy

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func madeUp(rnd *rand.Rand, second int, revision string) Bin {
	n := int64(1 + rnd.IntN(50))
	return Bin{Service: "shop", Environment: "prod", Revision: revision, Time: epoch.Add(time.Duration(second) * time.Second), Width: time.Second,
		Requests: n, Errors: n / 10, Classes: [6]int64{2: n - n/10, 5: n / 10}, Thresholds: []time.Duration{time.Second}, Slow: []int64{n / 3},
		Histogram: Histogram{Schema: schema, Sum: time.Duration(n), Buckets: []Bucket{{rnd.IntN(3), n - n/2}, {3 + rnd.IntN(3), n / 2}}}}
}

func TestBinsAreOfferedUntilAcknowledged(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	l := newLedger(100, nil, nil, 10, 0, slog.New(slog.DiscardHandler))
	for i := range 10 {
		l.publish([]Bin{madeUp(rnd, i, "v1")})
	}
	first := l.read(0, 4)
	if len(first) != 4 || first[0].Seq != 11 || !reflect.DeepEqual(first, l.read(0, 4)) {
		t.Fatalf("asked twice, got two answers")
	}
	l.ack(1000) // only what was handed out can be acknowledged
	rest := l.read(0, 100)
	if len(rest) != 6 || rest[0].Seq != 15 {
		t.Fatalf("got %d from %d", len(rest), rest[0].Seq)
	}
	l.ack(16)
	l.ack(12)
	if got := l.read(0, 100); len(got) != 4 || got[0].Seq != 17 {
		t.Fatalf("got %d from %d", len(got), got[0].Seq)
	}
}

// Far more bins than are held are published while nobody acknowledges. Nothing
// a reader has seen changes, nothing is lost, and what is held is bounded.
func TestOverflowMergesAndLosesNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	l := newLedger(200, nil, nil, 0, 0, slog.New(slog.DiscardHandler))
	want := map[string]Bin{}
	var seen []Bin
	for i := range 20_000 {
		for _, rev := range []string{"v1", "v2"} {
			b := madeUp(rnd, i, rev)
			l.publish([]Bin{b})
			if w, ok := want[rev]; ok {
				b = merge(w, b)
			}
			want[rev] = b
		}
		if i%100 == 0 && i < 1000 {
			after := int64(0)
			if len(seen) > 0 {
				after = seen[len(seen)-1].Seq
			}
			seen = append(seen, l.read(after, 20)...)
		}
	}
	if len(l.bins) > 600 {
		t.Errorf("%d bins held", len(l.bins))
	}
	if got := l.read(0, len(seen)); !reflect.DeepEqual(got, seen) {
		t.Error("what was handed out has changed")
	}
	all := slices.Clone(l.bins)
	if !slices.IsSortedFunc(all, func(a, b Bin) int { return int(a.Seq - b.Seq) }) {
		t.Error("not in order")
	}
	for _, rev := range []string{"v1", "v2"} {
		got, w := sum(all, rev), want[rev]
		if got.Requests != w.Requests || got.Errors != w.Errors || got.Classes != w.Classes || got.Slow[0] != w.Slow[0] || !reflect.DeepEqual(got.Histogram, w.Histogram) {
			t.Errorf("%s: got %+v, want %+v", rev, got, w)
		}
	}
	if len(l.read(0, 1_000_000)) > 200 {
		t.Error("more handed out at once than may be held unmerged")
	}
}

func TestSpoolOutlivesTheProcess(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 3))
	path := filepath.Join(t.TempDir(), "sub", "spool")
	s, held, err := openSpool(path)
	if err != nil || len(held.bins) != 0 {
		t.Fatalf("new spool: %v, %v", held, err)
	}
	l := newLedger(1000, s, nil, 0, 0, slog.New(slog.DiscardHandler))
	for i := range 20 {
		l.publish([]Bin{madeUp(rnd, i, "v1"), madeUp(rnd, i, "v2")})
	}
	want := l.read(0, 100)
	l.ack(15)
	// The process is killed here: nothing is closed.
	s2, held, err := openSpool(path)
	if err != nil || held.last != 40 || held.acked != 15 || held.damaged != 0 || !reflect.DeepEqual(held.bins, want[15:]) {
		t.Fatalf("got %d bins, last %d, acked %d, %v", len(held.bins), held.last, held.acked, err)
	}
	l = newLedger(1000, s2, held.bins, held.last, held.acked, slog.New(slog.DiscardHandler))
	l.publish([]Bin{madeUp(rnd, 21, "v1")})
	if got := l.read(0, 100); len(got) != 26 || got[25].Seq != 41 {
		t.Errorf("numbers do not go on: %d bins up to %d", len(got), got[len(got)-1].Seq)
	}
}

// Cut at any byte, a spool gives every bin whose line is whole, and takes new
// ones.
func TestSpoolWithATornEnd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 4))
	var whole bytes.Buffer
	var ends []int
	for i := range 5 {
		b := madeUp(rnd, i, "v1")
		b.Seq = int64(i + 1)
		if err := encodeRecord(&whole, record{Bin: &b}); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, whole.Len())
	}
	path := filepath.Join(t.TempDir(), "spool")
	for cut := range whole.Len() + 1 {
		if s, err := decodeSpool(bytes.NewReader(whole.Bytes()[:cut])); err != nil || s.good > int64(cut) {
			t.Fatalf("cut at %d: %+v, %v", cut, s, err)
		}
		if cut%29 > 0 && cut < whole.Len()-3 && !slices.Contains(ends, cut) {
			continue // the rest needs files
		}
		if err := os.WriteFile(path, whole.Bytes()[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		for want < len(ends) && ends[want] <= cut {
			want++
		}
		s, held, err := openSpool(path)
		if err != nil || len(held.bins) != want || held.damaged != 0 {
			t.Fatalf("cut at %d: %d bins, want %d; %d damaged, %v", cut, len(held.bins), want, held.damaged, err)
		}
		b := madeUp(rnd, 9, "v1")
		b.Seq = 9
		if err := s.append([]Bin{b}); err != nil {
			t.Fatal(err)
		}
		s.close()
		s, held, err = openSpool(path)
		if err != nil || len(held.bins) != want+1 || held.damaged != 0 {
			t.Fatalf("after cut at %d and a new bin: %d bins, %v", cut, len(held.bins), err)
		}
		s.close()
	}
}

// A torn end longer than what is written next leaves nothing behind.
func TestSpoolWithALongTornEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(path, bytes.Repeat([]byte("torn "), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := openSpool(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.append([]Bin{{Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != s.size {
		t.Errorf("%d bytes, want %d: %v", info.Size(), s.size, err)
	}
}

func TestSpoolWithDamageInTheMiddle(t *testing.T) {
	var text bytes.Buffer
	for i := range 3 {
		if err := encodeRecord(&text, record{Bin: &Bin{Seq: int64(i + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	damaged := bytes.Replace(text.Bytes(), []byte(`"seq":2`), []byte(`"seq":7`), 1)
	s, err := decodeSpool(bytes.NewReader(damaged))
	if err != nil || s.damaged != 1 || len(s.bins) != 2 || s.last != 3 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestSpoolStaysSmall(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 5))
	path := filepath.Join(t.TempDir(), "spool")
	s, _, err := openSpool(path)
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger(1000, s, nil, 0, 0, slog.New(slog.DiscardHandler))
	largest := int64(0)
	for i := range 20_000 {
		l.publish([]Bin{madeUp(rnd, i, "v1")})
		if i%2 == 0 {
			for _, b := range l.read(0, 10) {
				l.ack(b.Seq)
			}
		}
		largest = max(largest, s.size)
	}
	if largest > 4<<20 {
		t.Errorf("spool grew to %d bytes", largest)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != s.size {
		t.Errorf("size %v, thought to be %d: %v", info.Size(), s.size, err)
	}
	if _, held, err := openSpool(path); err != nil || held.damaged != 0 || held.last != 20_000 || len(held.bins) != len(l.bins) {
		t.Errorf("held %d bins up to %d: %v", len(held.bins), held.last, err)
	}
}

// A write that fails (a full disk; here a closed file) loses nothing that is
// in memory, and the next rewrite makes the file whole again.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 6))
	path := filepath.Join(t.TempDir(), "spool")
	s, _, err := openSpool(path)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	l := newLedger(1000, s, nil, 0, 0, slog.New(slog.NewTextHandler(&said, nil)))
	l.publish([]Bin{madeUp(rnd, 0, "v1")})
	s.file.Close()
	l.publish([]Bin{madeUp(rnd, 1, "v1"), madeUp(rnd, 2, "v1")})
	if !strings.Contains(said.String(), "bins not spooled") {
		t.Errorf("said %q", said.String())
	}
	if got := l.read(0, 10); len(got) != 3 {
		t.Fatalf("%d bins in memory", len(got))
	}
	l.ack(1)
	if _, held, err := openSpool(path); err != nil || len(held.bins) != 2 || held.last != 3 || held.acked != 1 {
		t.Errorf("after rewriting: %+v, %v", held, err)
	}
}

func FuzzSpool(f *testing.F) {
	var text bytes.Buffer
	for _, r := range []record{{Bin: &Bin{Seq: 1, Service: "a"}}, {Bin: &Bin{Seq: 2}}, {Ack: 1}, {Last: 5, Ack: 2}} {
		if err := encodeRecord(&text, r); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(text.Bytes())
	f.Add(text.Bytes()[:text.Len()-3])
	f.Add([]byte("00000000 {}\n"))
	f.Add([]byte("\n\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := decodeSpool(bytes.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		if s.good > int64(len(in)) || s.good > 0 && in[s.good-1] != '\n' {
			t.Fatalf("good up to %d of %d", s.good, len(in))
		}
		seq := s.acked
		for _, b := range s.bins {
			if b.Seq <= seq || b.Seq > s.last {
				t.Fatalf("numbers out of order: %+v", s)
			}
			seq = b.Seq
		}
		// What was understood is understood again after a rewrite.
		again, err := decodeSpool(io.MultiReader(bytes.NewReader(in[:s.good])))
		if err != nil || fmt.Sprint(again.bins) != fmt.Sprint(s.bins) {
			t.Fatalf("cutting off the bad end changed what is held: %v", err)
		}
	})
}
