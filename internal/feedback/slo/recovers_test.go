package slo

import (
	"testing"
	"time"
)

// An outage spends a budget; the engine says when some of it is left again, and
// so it is when time gets there, with traffic as before and nothing bad.
func TestRecovers(t *testing.T) {
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	o := availability("0.99")
	o.Window = Days(1)
	e := newEngine(t, time.Minute, start, o)
	now := start
	serve := func(span time.Duration, bad func(time.Duration) int64) {
		for at := time.Duration(0); at < span; at += time.Minute {
			if _, err := e.Add(o.ID(), now, 100-bad(at), 100); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Minute)
			e.Tick(now)
		}
	}
	fine := func(time.Duration) int64 { return 0 }
	left := func() (float64, time.Time) {
		s, err := e.Snapshot(o.ID())
		if err != nil {
			t.Fatal(err)
		}
		return s.Budget.RemainingRatio, s.Recovers
	}
	serve(24*time.Hour, fine)
	if r, at := left(); r != 1 || !at.IsZero() {
		t.Fatalf("before: %.2f left, recovers %s", r, at)
	}
	// 1,440 bad requests are allowed a day; these are 2,000 in 40 minutes.
	serve(40*time.Minute, func(time.Duration) int64 { return 50 })
	r, at := left()
	if r >= 0 || at.IsZero() {
		t.Fatalf("after: %.2f left, recovers %s", r, at)
	}
	if early := now.Add(23 * time.Hour); at.Before(early) || at.After(now.Add(24*time.Hour)) {
		t.Fatalf("recovers %s, after an outage that ended at %s", at, now)
	}
	serve(at.Sub(now)-5*time.Minute, fine)
	if r, again := left(); r > 0 || !again.Equal(at) {
		t.Errorf("five minutes before: %.4f left, recovers %s, said %s before", r, again, at)
	}
	serve(5*time.Minute, fine)
	if r, _ := left(); r <= 0 {
		t.Errorf("at %s: %.4f left", now, r)
	}
}

// A calendar window begins anew with a full budget.
func TestRecoversAtTheReset(t *testing.T) {
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	o := availability("0.99")
	o.Traffic = 1000 // a day
	o.Window = Window{Calendar: &Calendar{Start: start, Count: 1, Unit: Week}}
	e := newEngine(t, time.Minute, start, o)
	now := start.Add(26 * time.Hour)
	e.Tick(now)
	if _, err := e.Add(o.ID(), now.Add(-time.Minute), 0, 1000); err != nil {
		t.Fatal(err)
	}
	e.Tick(now)
	s, err := e.Snapshot(o.ID())
	if want := start.AddDate(0, 0, 7); err != nil || !s.Recovers.Equal(want) {
		t.Errorf("recovers %s, want %s (%v)", s.Recovers, want, err)
	}
}
