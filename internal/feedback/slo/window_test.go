package slo

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func calendar(unit Unit, count int, start time.Time) Window {
	return Window{Calendar: &Calendar{Unit: unit, Count: count, Start: start}}
}

func TestCalendarPeriods(t *testing.T) {
	ny, zurich := zone(t, "America/New_York"), zone(t, "Europe/Zurich")
	for _, c := range []struct {
		name           string
		window         Window
		at             string
		from, to       string
		length         time.Duration
		lookbackIsSame bool
	}{
		{"short day", calendar(Day, 1, time.Date(2020, 1, 1, 0, 0, 0, 0, ny)), "2026-03-08T12:00:00-04:00",
			"2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00", 23 * time.Hour, true},
		{"long day", calendar(Day, 1, time.Date(2020, 1, 1, 0, 0, 0, 0, ny)), "2026-11-01T12:00:00-05:00",
			"2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00", 25 * time.Hour, true},
		{"leap february", calendar(Month, 1, time.Date(2020, 1, 1, 0, 0, 0, 0, zurich)), "2028-02-29T12:00:00+01:00",
			"2028-02-01T00:00:00+01:00", "2028-03-01T00:00:00+01:00", 29 * 24 * time.Hour, true},
		{"march loses an hour", calendar(Month, 1, time.Date(2020, 1, 1, 0, 0, 0, 0, zurich)), "2026-03-15T12:00:00+01:00",
			"2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00", 31*24*time.Hour - time.Hour, true},
		{"from the 31st", calendar(Month, 1, time.Date(2020, 1, 31, 12, 0, 0, 0, ny)), "2026-03-01T00:00:00-05:00",
			"2026-02-28T12:00:00-05:00", "2026-03-31T12:00:00-04:00", 31*24*time.Hour - time.Hour, true},
		{"week from a saturday noon", calendar(Week, 1, time.Date(2022, 1, 1, 12, 0, 0, 0, ny)), "2026-03-10T00:00:00-04:00",
			"2026-03-07T12:00:00-05:00", "2026-03-14T12:00:00-04:00", 7*24*time.Hour - time.Hour, true},
		{"leap year", calendar(Year, 1, time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)), "2027-02-28T00:00:00Z",
			"2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z", 366 * 24 * time.Hour, false},
		{"quarters", calendar(Quarter, 1, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)), "2026-05-05T00:00:00Z",
			"2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z", 91 * 24 * time.Hour, true},
		{"before the start", calendar(Month, 1, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)), "2026-02-03T00:00:00Z",
			"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", 28 * 24 * time.Hour, true},
		{"a start in the skipped hour", calendar(Day, 1, time.Date(2020, 1, 1, 2, 30, 0, 0, ny)), "2026-03-08T12:00:00-04:00",
			"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00", 23*time.Hour + 30*time.Minute, true},
		{"a start in the repeated hour", calendar(Day, 1, time.Date(2020, 1, 1, 1, 30, 0, 0, ny)), "2026-11-01T12:00:00-05:00",
			"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00", 25 * time.Hour, true},
	} {
		at, _ := time.Parse(time.RFC3339, c.at)
		from, to := c.window.Period(at)
		if from.Format(time.RFC3339) != c.from || to.Format(time.RFC3339) != c.to || to.Sub(from) != c.length {
			t.Errorf("%s: period = [%s, %s) of %v, want [%s, %s) of %v", c.name,
				from.Format(time.RFC3339), to.Format(time.RFC3339), to.Sub(from), c.from, c.to, c.length)
		}
		if lf, _ := c.window.Lookback(at); lf.Equal(from) != c.lookbackIsSame {
			t.Errorf("%s: lookback starts at %v", c.name, lf)
		}
	}
}

// Periods tile time: each instant is in exactly one, in any zone.
func TestCalendarPeriodsTile(t *testing.T) {
	zones := []string{"UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo",
		"America/Sao_Paulo", "Pacific/Apia", "Asia/Tehran", "America/St_Johns"}
	rapid.Check(t, func(t *rapid.T) {
		z, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Date(rapid.IntRange(2005, 2030).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month")), rapid.IntRange(1, 28).Draw(t, "day"),
			rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute"), 0, 0, z)
		w := calendar(rapid.SampledFrom([]Unit{Hour, Day, Week, Month, Quarter, Year}).Draw(t, "unit"), rapid.IntRange(1, 5).Draw(t, "count"), start)
		at := time.Unix(rapid.Int64Range(1104537600, 1924991999).Draw(t, "at"), 0)
		from, to := w.Period(at)
		if from.After(at) || !to.After(at) {
			t.Fatalf("%s: [%v, %v) does not contain %v", w, from, to, at)
		}
		if f, u := w.Period(from); !f.Equal(from) || !u.Equal(to) {
			t.Fatalf("%s: the start %v is in [%v, %v)", w, from, f, u)
		}
		if f, _ := w.Period(to); !f.Equal(to) {
			t.Fatalf("%s: the period after %v starts at %v", w, to, f)
		}
		if f, u := w.Lookback(to); !f.Equal(from) || !u.Equal(to) {
			t.Fatalf("%s: looking back from %v sees [%v, %v)", w, to, f, u)
		}
	})
}
