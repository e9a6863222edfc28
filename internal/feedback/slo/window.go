package slo

import (
	"encoding/json"
	"fmt"
	"time"
	_ "time/tzdata" // named zones must resolve on machines without zone files
)

// Unit is the step of a calendar window.
type Unit string

// The units of calendar windows.
const (
	Minute  Unit = "minute"
	Hour    Unit = "hour"
	Day     Unit = "day"
	Week    Unit = "week"
	Month   Unit = "month"
	Quarter Unit = "quarter"
	Year    Unit = "year"
)

// Window is the time over which an objective is kept: rolling, the last so
// much time, or aligned to a calendar. Exactly one of the two is set.
type Window struct {
	Rolling  time.Duration // rolling length; 0 for a calendar window
	Calendar *Calendar     // nil for a rolling window
}

// Calendar aligns windows to local time: they start at Start and every Count
// units after (and before) it, by the wall clock of Start's zone. A day is 23
// or 25 hours long when the zone changes its offset, a month as long as it is,
// and a start on the 31st falls on the last day of shorter months.
type Calendar struct {
	Unit  Unit
	Count int       // at least 1
	Start time.Time // first start, in the named zone
}

// Days is a rolling window of n days of 24 hours.
func Days(n int) Window { return Window{Rolling: time.Duration(n) * 24 * time.Hour} }

// Period is the half-open window [from, to) that contains t. A rolling window
// looks back from t: [t − length, t).
func (w Window) Period(t time.Time) (from, to time.Time) {
	if w.Calendar == nil {
		return t.Add(-w.Rolling), t
	}
	return w.Calendar.period(t)
}

// Lookback is the window as seen at now, looking back: for a calendar the
// period that contains the instant just before now, so that a month is judged
// whole at the very moment it ends.
func (w Window) Lookback(now time.Time) (from, to time.Time) {
	if w.Calendar == nil {
		return now.Add(-w.Rolling), now
	}
	return w.Calendar.period(now.Add(-1))
}

// Length is how long the window is that Lookback sees at now.
func (w Window) Length(now time.Time) time.Duration {
	from, to := w.Lookback(now)
	return to.Sub(from)
}

// Nominal is the usual length: a month counts 30 days, a quarter 90, a year 365.
func (w Window) Nominal() time.Duration {
	if w.Calendar == nil {
		return w.Rolling
	}
	return time.Duration(w.Calendar.Count) * w.Calendar.Unit.nominal()
}

func (u Unit) nominal() time.Duration {
	const day = 24 * time.Hour
	switch u {
	case Minute:
		return time.Minute
	case Hour:
		return time.Hour
	case Day:
		return day
	case Week:
		return 7 * day
	case Month:
		return 30 * day
	case Quarter:
		return 90 * day
	}
	return 365 * day
}

// String is the window in words: 30d, or "1 month from 2026-01-01 00:00 Europe/Zurich".
func (w Window) String() string {
	if c := w.Calendar; c != nil {
		return fmt.Sprintf("%d %s from %s %s", c.Count, c.Unit, c.Start.Format("2006-01-02 15:04"), c.Start.Location())
	}
	return FormatDuration(w.Rolling)
}

// MarshalJSON writes the window as its words.
func (w Window) MarshalJSON() ([]byte, error) { return json.Marshal(w.String()) }

func (c *Calendar) period(t time.Time) (from, to time.Time) {
	k := c.guess(t)
	for c.boundary(k).After(t) {
		k--
	}
	for !c.boundary(k + 1).After(t) {
		k++
	}
	return c.boundary(k), c.boundary(k + 1)
}

// guess is near the index of the period that contains t.
func (c *Calendar) guess(t time.Time) int {
	step := time.Duration(max(c.Count, 1)) * c.Unit.nominal()
	if months := c.Unit.months(); months > 0 {
		local := t.In(c.Start.Location())
		diff := (local.Year()-c.Start.Year())*12 + int(local.Month()-c.Start.Month())
		return diff / (months * max(c.Count, 1))
	}
	return int(t.Sub(c.Start) / step)
}

func (u Unit) months() int {
	switch u {
	case Month:
		return 1
	case Quarter:
		return 3
	case Year:
		return 12
	}
	return 0
}

// boundary is the start of the k-th period.
func (c *Calendar) boundary(k int) time.Time {
	k *= max(c.Count, 1)
	y, m, d := c.Start.Date()
	switch c.Unit {
	case Minute, Hour:
		return c.Start.Add(time.Duration(k) * c.Unit.nominal())
	case Day:
		d += k
	case Week:
		d += 7 * k
	default:
		first := time.Date(y, m+time.Month(k*c.Unit.months()), 1, 0, 0, 0, 0, time.UTC)
		y, m = first.Year(), first.Month()
		d = min(d, first.AddDate(0, 1, -1).Day())
	}
	return wallTime(y, m, d, c.Start)
}

// wallTime is the instant at which clocks in start's zone show that date at
// start's time of day: the first of two when the hour is repeated, and the end
// of the gap when the hour is skipped.
func wallTime(y int, m time.Month, d int, start time.Time) time.Time {
	zone := start.Location()
	hour, minute, second := start.Clock()
	t := time.Date(y, m, d, hour, minute, second, 0, zone)
	if h, mi, s := t.Clock(); h != hour || mi != minute || s != second {
		return skippedHourEnd(t)
	}
	began, _ := t.ZoneBounds()
	if began.IsZero() {
		return t
	}
	_, offset := t.Zone()
	_, before := began.Add(-1).Zone()
	if earlier := t.Add(time.Duration(offset-before) * time.Second); earlier.Before(began) && earlier.Before(t) {
		return earlier
	}
	return t
}

// skippedHourEnd is the transition next to t, which time.Date made from a wall
// time that does not exist.
func skippedHourEnd(t time.Time) time.Time {
	began, ends := t.ZoneBounds()
	if !began.IsZero() && t.Sub(began) < 24*time.Hour && (ends.IsZero() || t.Sub(began) < ends.Sub(t)) {
		return began
	}
	return ends
}

// FormatDuration writes a duration in the largest unit that divides it: 5m,
// 1h, 3d, 30d; whole weeks stay days.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d != 0 && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d != 0 && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d != 0 && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}
