// Package measuretest is the conformance suite of port measure. An adapter's
// own test calls RunSource with a source it can send requests through.
package measuretest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/measure"
)

const patience = 30 * time.Second

// Source is a source under test.
type Source struct {
	measure.Source
	// Send has the service shop in production answer n requests, of which the
	// first failing ones fail with status 500, and returns when all have ended.
	// The route's one latency threshold is Threshold; all others are faster.
	Send      func(t *testing.T, n, failing, slow int)
	Threshold time.Duration
	// Restart stops and starts the source; nil when that cannot be done.
	Restart func(t *testing.T)
}

// RunSource tries a source; make gives one without bins for each test.
func RunSource(t *testing.T, make func(t *testing.T) Source) {
	for name, test := range map[string]func(*testing.T, Source){
		"counts every request once":      counts,
		"gives the same bins again":      repeats,
		"pages":                          pages,
		"keeps over a restart":           keeps,
		"refuses what is invalid":        refuses,
		"watermark says what is final":   watermarks,
		"forgets what is acknowledged":   forgets,
		"acknowledging twice is no harm": acksTwice,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func (s Source) page(t *testing.T, after int64, max int) measure.Page {
	t.Helper()
	p, err := s.Bins(t.Context(), after, max)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func requests(bins []measure.Bin) (n int64) {
	for _, b := range bins {
		if b.Service == "shop" && b.Environment == "production" {
			n += b.Requests
		}
	}
	return n
}

// final reads until the watermark has passed now, by when everything sent so far
// must have been given out.
func (s Source) final(t *testing.T, after int64) []measure.Bin {
	t.Helper()
	now := clock.Wall().Now()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var bins []measure.Bin
	for {
		p := s.page(t, after, measure.MaxBins)
		bins = append(bins, p.Bins...)
		if n := len(p.Bins); n > 0 {
			after = p.Bins[n-1].Seq
		}
		for _, w := range p.Watermarks {
			if w.Service == "shop" && w.Environment == "production" && w.Until.After(now) {
				return bins
			}
		}
		if clock.Sleep(ctx, clock.Wall(), 20*time.Millisecond) != nil {
			t.Fatalf("the watermark does not pass %s: %+v", now, p.Watermarks)
		}
	}
}

func counts(t *testing.T, s Source) {
	s.Send(t, 50, 7, 2)
	bins := s.final(t, 0)
	var errors, slow, fives, twos, timed int64
	last := int64(0)
	for _, b := range bins {
		if b.Seq <= last || b.Width <= 0 || b.Time.IsZero() || b.Time.Location() != time.UTC {
			t.Errorf("bin %+v after number %d", b, last)
		}
		last = b.Seq
		if b.Service != "shop" {
			continue
		}
		errors, fives, twos = errors+b.Errors, fives+b.Classes[5], twos+b.Classes[2]
		for _, x := range b.Slow {
			if x.Threshold != s.Threshold {
				t.Errorf("threshold %s, want %s", x.Threshold, s.Threshold)
			}
			slow += x.Count
		}
		for _, k := range b.Histogram.Buckets {
			timed += k.Count
		}
	}
	got := fmt.Sprint(requests(bins), errors, fives, twos, slow)
	if want := fmt.Sprint(50, 7, 7, 43, 2); got != want {
		t.Errorf("requests, errors, 5xx, 2xx, slow: %s, want %s", got, want)
	}
	if timed != 0 && timed != 50 {
		t.Errorf("%d requests in the histograms, want 50 or none", timed)
	}
}

func repeats(t *testing.T, s Source) {
	s.Send(t, 10, 0, 0)
	bins := s.final(t, 0)
	again := s.page(t, 0, measure.MaxBins).Bins
	if fmt.Sprint(bins) != fmt.Sprint(again) {
		t.Errorf("first\n%+v\nthen\n%+v", bins, again)
	}
	if rest := s.page(t, bins[len(bins)-1].Seq, measure.MaxBins).Bins; len(rest) != 0 {
		t.Errorf("after the last: %+v", rest)
	}
}

func pages(t *testing.T, s Source) {
	for range 3 {
		s.Send(t, 1, 0, 0)
		s.final(t, 0)
	}
	all := s.page(t, 0, measure.MaxBins).Bins
	if len(all) < 3 {
		t.Fatalf("%d bins of three separate seconds", len(all))
	}
	after := int64(0)
	for i, want := range all {
		p := s.page(t, after, 1)
		if len(p.Bins) != 1 || p.Bins[0].Seq != want.Seq {
			t.Fatalf("page %d: %+v, want bin %d", i, p, want.Seq)
		}
		if p.More != (len(p.Watermarks) == 0) {
			t.Errorf("page %d: more %t with %d watermarks", i, p.More, len(p.Watermarks))
		}
		after = p.Bins[0].Seq
	}
	if p := s.page(t, after, 1); p.More || len(p.Bins) != 0 {
		t.Errorf("after all: %+v", p)
	}
}

func watermarks(t *testing.T, s Source) {
	s.Send(t, 5, 0, 0)
	s.final(t, 0)
	var last time.Time
	for range 20 {
		p := s.page(t, 0, measure.MaxBins)
		if len(p.Watermarks) != 1 {
			t.Fatalf("%d watermarks, want one", len(p.Watermarks))
		}
		if w := p.Watermarks[0].Until; w.Before(last) || w.After(clock.Wall().Now()) {
			t.Errorf("watermark %s after %s", w, last)
		} else {
			last = w
		}
	}
}

func forgets(t *testing.T, s Source) {
	s.Send(t, 5, 0, 0)
	bins := s.final(t, 0)
	if err := s.Ack(t.Context(), bins[len(bins)-1].Seq); err != nil {
		t.Fatal(err)
	}
	if left := s.page(t, 0, measure.MaxBins).Bins; len(left) != 0 {
		t.Errorf("still given out: %+v", left)
	}
	s.Send(t, 3, 0, 0)
	if n := requests(s.final(t, bins[len(bins)-1].Seq)); n != 3 {
		t.Errorf("%d requests after the acknowledged ones, want 3", n)
	}
}

func acksTwice(t *testing.T, s Source) {
	s.Send(t, 5, 0, 0)
	bins := s.final(t, 0)
	for _, seq := range []int64{bins[len(bins)-1].Seq, bins[0].Seq, 0, bins[len(bins)-1].Seq} {
		if err := s.Ack(t.Context(), seq); err != nil {
			t.Errorf("acknowledging %d: %v", seq, err)
		}
	}
	// Ahead of what was given out: nothing that is not known yet may be lost.
	if err := s.Ack(t.Context(), bins[len(bins)-1].Seq+1000); err != nil {
		t.Logf("acknowledging ahead is refused: %v", err)
	}
	s.Send(t, 4, 0, 0)
	if n := requests(s.final(t, 0)); n != 4 {
		t.Errorf("%d requests after acknowledging ahead, want 4", n)
	}
}

func keeps(t *testing.T, s Source) {
	if s.Restart == nil {
		t.Skip("the source cannot be restarted")
	}
	s.Send(t, 5, 0, 0)
	first := s.final(t, 0)
	if err := s.Ack(t.Context(), first[len(first)-1].Seq); err != nil {
		t.Fatal(err)
	}
	s.Send(t, 6, 0, 0)
	before := s.final(t, first[len(first)-1].Seq)
	s.Restart(t)
	after := s.page(t, 0, measure.MaxBins).Bins
	if requests(before) != 6 || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before\n%+v\nafter\n%+v", before, after)
	}
	s.Send(t, 2, 0, 0)
	if n := requests(s.final(t, before[len(before)-1].Seq)); n != 2 {
		t.Errorf("%d requests after the restart, want 2", n)
	}
}

func refuses(t *testing.T, s Source) {
	for _, max := range []int{-1, 0, measure.MaxBins + 1} {
		if _, err := s.Bins(t.Context(), 0, max); problem.KindOf(err) != problem.Invalid {
			t.Errorf("max %d: %v, want invalid", max, err)
		}
	}
}
