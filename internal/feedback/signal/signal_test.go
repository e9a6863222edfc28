package signal_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/store"
)

var start = time.Date(2026, 11, 21, 9, 58, 30, 0, time.UTC)

// source is a measure.Source in memory that remembers what was acknowledged.
type source struct {
	bins  []measure.Bin
	acked int64
}

func (s *source) Bins(_ context.Context, after int64, limit int) (measure.Page, error) {
	var p measure.Page
	for _, b := range s.bins {
		if b.Seq <= after || b.Seq <= s.acked {
			continue
		}
		if len(p.Bins) == limit {
			p.More = true
			return p, nil
		}
		p.Bins = append(p.Bins, b)
		p.Watermarks = []measure.Watermark{{Service: "shop", Environment: "prod", Until: b.Time.Add(time.Second)}}
	}
	return p, nil
}

func (s *source) Ack(_ context.Context, seq int64) error { s.acked = seq; return nil }

// faulty is a blob store whose writes fail when told to, before or after they
// were kept.
type faulty struct {
	store.Blobs
	before, after bool
}

func (f *faulty) Put(ctx context.Context, w []store.BlobWrite, c map[string]int64) error {
	if f.before {
		return errors.New("no room")
	}
	err := f.Blobs.Put(ctx, w, c)
	if f.after {
		return errors.New("the answer was lost")
	}
	return err
}

// Whatever fails and however often the collector is restarted, every request is
// in the minutes and in the bins exactly once.
func TestEveryRequestOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		blobs := &faulty{Blobs: memory.New(memory.Options{}).Blobs()}
		src := &source{}
		make := func() *signal.Collector { return signal.NewCollector(src, blobs, func([]measure.Bin) {}) }
		c := make()
		want, slow := map[int64]int64{}, map[int64]int64{}
		total := int64(0)
		for seq := int64(1); seq <= int64(rapid.IntRange(1, 60).Draw(t, "bins")); seq++ {
			at := start.Add(time.Duration(rapid.IntRange(0, 240).Draw(t, "second")) * time.Second)
			n := int64(rapid.IntRange(0, 9).Draw(t, "requests"))
			src.bins = append(src.bins, measure.Bin{Seq: seq, Service: "shop", Environment: "prod", Revision: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "revision"),
				Time: at, Width: time.Second, Requests: n, Errors: n / 2, Slow: []measure.Slow{{Threshold: time.Millisecond, Count: n / 3}}})
			want[at.Unix()/60] += n
			slow[at.Unix()/60] += n / 3
			total += n
			switch rapid.IntRange(0, 5).Draw(t, "fault") {
			case 0:
				blobs.before = true
			case 1:
				blobs.after = true
			case 2:
				c = make()
			case 3:
				continue
			}
			_, err := c.Pull(ctx)
			if failed := blobs.before || blobs.after; failed {
				// Nobody knows whether it was kept: a new process asks the store.
				c = make()
			} else if err != nil {
				t.Fatal(err)
			}
			blobs.before, blobs.after = false, false
		}
		if _, err := c.Pull(ctx); err != nil {
			t.Fatal(err)
		}
		minutes, err := c.Minutes(ctx, "shop", "prod", start.Add(-time.Hour), start.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		got, gotSlow := map[int64]int64{}, map[int64]int64{}
		for _, m := range minutes {
			got[m.Time.Unix()/60] += m.Requests
			gotSlow[m.Time.Unix()/60] += m.Slow[int64(time.Millisecond)]
		}
		if !maps.Equal(got, want) || !maps.Equal(gotSlow, slow) {
			t.Fatalf("minutes %v (slow %v), want %v (%v)", got, gotSlow, want, slow)
		}
		_, arms, err := c.History(ctx, "shop", "prod", start.Add(-time.Hour), start.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		gotArms, slowArms := map[int64]int64{}, map[int64]int64{}
		for _, m := range arms {
			gotArms[m.Time.Unix()/60] += m.Requests
			slowArms[m.Time.Unix()/60] += m.Slow[int64(time.Millisecond)]
		}
		if !maps.Equal(gotArms, want) || !maps.Equal(slowArms, slow) {
			t.Fatalf("minutes of all revisions %v (slow %v), want %v (%v)", gotArms, slowArms, want, slow)
		}
		counted := int64(0)
		for _, revision := range []string{"a", "b"} {
			bins, err := c.Bins(ctx, "shop", "prod", revision, start, start.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range bins {
				counted += b.Requests
			}
		}
		if counted != total {
			t.Fatalf("the bins hold %d requests, want %d", counted, total)
		}
	})
}

func TestWatermarkAndPrune(t *testing.T) {
	ctx := t.Context()
	blobs := memory.New(memory.Options{}).Blobs()
	src := &source{bins: []measure.Bin{{Seq: 1, Service: "shop", Environment: "prod", Revision: "a", Time: start, Width: time.Second, Requests: 3, Aborted: 1, Errors: 1}}}
	var seen int
	c := signal.NewCollector(src, blobs, func(b []measure.Bin) { seen += len(b) })
	if _, known := c.Watermark("shop", "prod"); known {
		t.Error("a watermark before anything was collected")
	}
	if n, err := c.Pull(ctx); n != 1 || err != nil || seen != 1 || src.acked != 1 {
		t.Fatalf("pulled %d (%v), observed %d, acknowledged %d", n, err, seen, src.acked)
	}
	if at, known := c.Watermark("shop", "prod"); !known || !at.Equal(start.Add(time.Second)) {
		t.Errorf("watermark %s, %v", at, known)
	}
	places, err := c.Places(ctx)
	if err != nil || len(places) != 1 || places[0] != (signal.Place{Service: "shop", Environment: "prod"}) {
		t.Errorf("places %v, %v", places, err)
	}
	if m, _ := c.Minutes(ctx, "shop", "prod", start.Add(-time.Minute), start.Add(time.Minute)); len(m) != 1 || m[0].Requests != 2 || m[0].Bad != 1 {
		t.Errorf("minutes %+v: a request whose client went away is not counted", m)
	}
	if err := c.Prune(ctx, start.Add(time.Hour), start.Add(-time.Hour*24)); err != nil {
		t.Fatal(err)
	}
	if bins, _ := c.Bins(ctx, "shop", "prod", "a", start.Add(-time.Hour), start.Add(time.Hour)); len(bins) != 0 {
		t.Error("pruned bins are still there")
	}
	if m, _ := c.Minutes(ctx, "shop", "prod", start.Add(-time.Minute), start.Add(time.Minute)); len(m) != 1 {
		t.Error("minutes were pruned with the bins")
	}
}
