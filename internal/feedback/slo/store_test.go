package slo

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "width"))
		s := NewSeries(width, time.Duration(rapid.Int64Range(0, int64(width)-1).Draw(t, "phase")))
		for _, e := range drawEvents(t, march, width, 200) {
			if err := s.Add(e.at, e.good, e.total); err != nil {
				t.Fatal(err)
			}
		}
		back, err := DecodeSeries(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(slices.Collect(s.Slots()), slices.Collect(back.Slots())) || back.Width() != s.Width() {
			t.Fatal("slots changed on the way")
		}
	})
}

func TestDamagedSlotsAreRefused(t *testing.T) {
	data := outage(t, time.Minute, day, time.Hour, 2*time.Hour, 0.1).Encode()
	for i := range data {
		broken := bytes.Clone(data)
		broken[i] ^= 0x10
		if _, err := DecodeSeries(broken); err == nil {
			t.Fatalf("a flipped bit in byte %d went unnoticed", i)
		}
		if _, err := DecodeSeries(data[:i]); err == nil {
			t.Fatalf("a form cut to %d bytes went unnoticed", i)
		}
	}
}

func FuzzDecodeSeries(f *testing.F) {
	f.Add(outage(f, time.Minute, time.Hour, 0, time.Minute, 0.5).Encode())
	f.Add(NewSeries(time.Minute, 0).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSeries(sealed(data))
		if err != nil {
			return
		}
		if back, err := DecodeSeries(s.Encode()); err != nil || !slices.Equal(back.index, s.index) {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

// sealed gives a body the checksum it needs to be looked at.
func sealed(data []byte) []byte {
	s := NewSeries(1, 0).Encode()
	if len(data) < 5 {
		return s
	}
	body := bytes.Clone(data[:len(data)-4])
	body[0] = codecVersion
	return checksummed(body)
}

// Thirty days of one-minute slots stay within 150 kB, with traffic as noisy as
// arrivals are.
func TestThirtyDaysFitTheDisk(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, perMinute := range []float64{10, 1000, 100_000} {
		s := NewSeries(time.Minute, 0)
		for i := range 43200 {
			total := int64(max(0, perMinute+random.NormFloat64()*math.Sqrt(perMinute)))
			bad := int64(max(0, min(float64(total), perMinute/1000+random.NormFloat64()*math.Sqrt(perMinute/1000))))
			add(t, s, march.Add(time.Duration(i)*time.Minute), total-bad, total)
		}
		size := 0
		for _, c := range Chunks(s) {
			size += len(c.Data)
		}
		t.Logf("%v a minute: %d bytes", perMinute, size)
		if size > 150_000 {
			t.Errorf("%v a minute take %d bytes", perMinute, size)
		}
	}
}

// A restart in the middle of an outage changes nothing that can be seen.
func TestRestoreGoesOn(t *testing.T) {
	for _, method := range []Method{Occurrences, Timeslices, RatioTimeslices} {
		for _, window := range []Window{Days(30), calendar(Month, 1, time.Date(2026, 1, 1, 0, 0, 0, 0, zone(t, "Europe/Zurich")))} {
			o := availability("0.99")
			o.Method, o.SliceWindow, o.SliceTarget, o.Window = method, 5*time.Minute, dec("0.9"), window
			o.AlertPolicies = DefaultPolicies(method)
			e := newEngine(t, time.Minute, march, o)
			var restarted *Engine
			for i := range 3 * 1440 {
				at := march.Add(time.Duration(i) * time.Minute)
				good := int64(100 - i/100)
				for _, engine := range []*Engine{e, restarted} {
					if engine == nil {
						continue
					}
					if _, err := engine.Add(o.ID(), at, good, 100); err != nil {
						t.Fatal(err)
					}
					engine.Tick(at.Add(time.Minute))
				}
				if i == 2000 {
					c, err := e.Checkpoint(o.ID())
					if err != nil {
						t.Fatal(err)
					}
					restarted = newEngine(t, time.Minute, at.Add(time.Minute), o)
					if err := restarted.Restore(c); err != nil {
						t.Fatal(err)
					}
				}
			}
			a, _ := e.Snapshot(o.ID())
			b, _ := restarted.Snapshot(o.ID())
			show := func(s Snapshot) string {
				text := fmt.Sprint(s.At, s.Good, s.Total, s.Known, s.Span, s.Burns, s.Budget, s.Forecast)
				for _, r := range s.Alerts {
					text += fmt.Sprint(r.Policy, r.Condition, r.Holding, r.Firing != nil)
				}
				return text
			}
			if show(a) != show(b) {
				t.Errorf("%s over %s:\n%s\nafter a restart:\n%s", method, window, show(a), show(b))
			}
		}
	}
}

func TestRestoreRefusals(t *testing.T) {
	o := availability("0.99")
	e := newEngine(t, time.Minute, march, o)
	if _, err := e.Add(o.ID(), march, 1, 2); err != nil {
		t.Fatal(err)
	}
	c, err := e.Checkpoint(o.ID())
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Data {
		broken := Checkpoint{ID: c.ID, Data: bytes.Clone(c.Data)}
		broken.Data[i] ^= 0x10
		if e.Restore(broken) == nil {
			t.Fatalf("a flipped bit in byte %d went unnoticed", i)
		}
	}
	changed := *o
	changed.Window = Days(7)
	if e := newEngine(t, time.Minute, march, &changed); e.Restore(c) == nil {
		t.Error("a checkpoint of another window was accepted")
	}
	if e := newEngine(t, time.Minute, march.Add(-time.Hour), o); e.Restore(c) == nil {
		t.Error("a checkpoint of the future was accepted")
	}
}
