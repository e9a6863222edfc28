package oncall

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	// Schedules are right wherever Flyball runs, also where the machine has no zones.
	_ "time/tzdata"
)

// Zone is the name of a time zone of the IANA database, such as Europe/Berlin.
type Zone string

var zones sync.Map // of *time.Location by name; as many as there are zones

// Location is the zone's rules; UTC for an empty name.
func (z Zone) Location() (*time.Location, error) {
	if loc, ok := zones.Load(z); ok {
		return loc.(*time.Location), nil
	}
	if z == "Local" {
		return nil, fmt.Errorf("the zone Local is another one on every machine; name one such as Europe/Berlin")
	}
	loc, err := time.LoadLocation(string(z))
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone; name one of the IANA database, such as Europe/Berlin", string(z))
	}
	zones.Store(z, loc)
	return loc, nil
}

// UnmarshalText reads the name of a zone that exists.
func (z *Zone) UnmarshalText(b []byte) error {
	*z = Zone(b)
	_, err := z.Location()
	return err
}

// Wall is what a clock on the wall shows: a date and a time without a zone. It
// is written 2026-01-05T09:00, or 2026-01-05 for midnight.
type Wall struct{ t time.Time } // in UTC, for the arithmetic

var wallLayouts = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02"}

// IsZero reports whether nothing was written.
func (w Wall) IsZero() bool { return w.t.IsZero() }

// String is the date and time as written.
func (w Wall) String() string { return w.t.Format("2006-01-02T15:04:05") }

// MarshalText writes the date and time.
func (w Wall) MarshalText() ([]byte, error) {
	if w.IsZero() {
		return nil, nil
	}
	return []byte(w.String()), nil
}

// UnmarshalText reads 2026-01-05T09:00, with seconds, or a date alone.
func (w *Wall) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	for _, layout := range wallLayouts {
		if t, err := time.Parse(layout, string(b)); err == nil && inRange(t) {
			w.t = t
			return nil
		}
	}
	return fmt.Errorf("%q is not a local time; write it as 2026-01-05T09:00, without a zone", b)
}

// inRange keeps arithmetic on seconds far from its ends.
func inRange(t time.Time) bool { return t.Year() >= 1800 && t.Year() <= 3000 }

func (w Wall) seconds() int64 { return w.t.Unix() }

// Point is a moment written as local time, which its schedule's zone decides,
// or as an instant of RFC 3339.
type Point struct {
	Wall    Wall
	Instant time.Time
}

// IsZero reports whether nothing was written.
func (p Point) IsZero() bool { return p.Wall.IsZero() && p.Instant.IsZero() }

// In is the moment as instants in a zone: the first and the last it can be, which
// differ when clocks change.
func (p Point) In(zone Zone) (first, last time.Time, err error) {
	loc, err := zone.Location()
	if err != nil {
		return first, last, err
	}
	first, last = p.instants(loc)
	return first, last, nil
}

// MarshalText writes the moment as it was given.
func (p Point) MarshalText() ([]byte, error) {
	if !p.Instant.IsZero() {
		return []byte(p.Instant.UTC().Format(time.RFC3339)), nil
	}
	return p.Wall.MarshalText()
}

// UnmarshalText reads a local time or an instant.
func (p *Point) UnmarshalText(b []byte) error {
	if t, err := time.Parse(time.RFC3339, string(b)); err == nil && inRange(t) {
		p.Instant = t.UTC()
		return nil
	}
	if p.Wall.UnmarshalText(b) != nil {
		return fmt.Errorf("%q is no moment; write 2026-12-24T09:00 for the schedule's time zone, or 2026-12-24T09:00:00Z", b)
	}
	return nil
}

// Date is a day, written 2026-06-30.
type Date struct{ t time.Time }

// IsZero reports whether nothing was written.
func (d Date) IsZero() bool { return d.t.IsZero() }

// MarshalText writes the day.
func (d Date) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.t.Format(time.DateOnly)), nil
}

// UnmarshalText reads 2026-06-30.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil || !inRange(t) {
		return fmt.Errorf("%q is not a day; write it as 2026-06-30", b)
	}
	d.t = t
	return nil
}

// Length is how long a turn of a rotation lasts on the wall clock: 12 hours are
// twelve on its dial, also in a night that has eleven.
type Length struct {
	N    int
	Unit Unit
}

// Unit is what a rotation counts in.
type Unit string

// The units.
const (
	Hour  Unit = "hour"
	Day   Unit = "day"
	Week  Unit = "week"
	Month Unit = "month"
)

var (
	lengthPattern = regexp.MustCompile(`^([0-9]{1,5})?\s*([a-z]+)$`)
	units         = map[string]Unit{
		"h": Hour, "hour": Hour, "hours": Hour, "d": Day, "day": Day, "days": Day, "daily": Day,
		"w": Week, "week": Week, "weeks": Week, "weekly": Week, "mo": Month, "month": Month, "months": Month, "monthly": Month,
	}
)

// IsZero reports whether nothing was written.
func (l Length) IsZero() bool { return l.N == 0 }

// String is the length as people write it.
func (l Length) String() string {
	if l.N == 1 {
		return "1 " + string(l.Unit)
	}
	return strconv.Itoa(l.N) + " " + string(l.Unit) + "s"
}

// MarshalText writes the length.
func (l Length) MarshalText() ([]byte, error) {
	if l.IsZero() {
		return nil, nil
	}
	return []byte(l.String()), nil
}

// UnmarshalText reads 12 hours, 1d, 2 weeks, 1 month, daily, weekly or monthly.
func (l *Length) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	m := lengthPattern.FindStringSubmatch(strings.ToLower(strings.TrimSpace(string(b))))
	if m == nil || units[m[2]] == "" || m[1] == "" && !strings.HasSuffix(m[2], "ly") && len(m[2]) < 3 {
		return fmt.Errorf("%q is not how long a turn lasts; write it as 12 hours, 1 day, 2 weeks or 1 month", b)
	}
	n := 1
	if m[1] != "" {
		n, _ = strconv.Atoi(m[1])
	}
	if n < 1 || n > 10_000 {
		return fmt.Errorf("%q: a turn lasts between 1 and 10,000 of its unit", b)
	}
	*l = Length{n, units[m[2]]}
	return nil
}

// TimeOfDay is minutes since midnight, written 09:00; 24:00 is the day's end.
type TimeOfDay int

// MarshalText writes the time of day.
func (t TimeOfDay) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%02d:%02d", int(t)/60, int(t)%60), nil
}

// UnmarshalText reads 09:00 or 24:00.
func (t *TimeOfDay) UnmarshalText(b []byte) error {
	if string(b) == "24:00" {
		*t = 24 * 60
		return nil
	}
	at, err := time.Parse("15:04", string(b))
	if err != nil {
		return fmt.Errorf("%q is not a time of day; write it as 09:00", b)
	}
	*t = TimeOfDay(at.Hour()*60 + at.Minute())
	return nil
}

// Days is weekdays, written mon or mon-fri.
type Days uint8 // bit 0 is Sunday, as in time.Weekday

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func weekday(s string) (int, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	for i, name := range weekdays {
		if s == name || s == strings.ToLower(time.Weekday(i).String()) {
			return i, true
		}
	}
	return 0, false
}

// MarshalText writes a day or a range of days.
func (d Days) MarshalText() ([]byte, error) {
	for from := range 7 {
		for n := range 7 {
			if span(from, (from+n)%7) == d {
				if n == 0 {
					return []byte(weekdays[from]), nil
				}
				return []byte(weekdays[from] + "-" + weekdays[(from+n)%7]), nil
			}
		}
	}
	return nil, fmt.Errorf("days %07b are no range", d)
}

// UnmarshalText reads mon, Monday, mon-fri or fri-mon.
func (d *Days) UnmarshalText(b []byte) error {
	from, to, ranged := strings.Cut(string(b), "-")
	first, ok := weekday(from)
	last, ok2 := first, true
	if ranged {
		last, ok2 = weekday(to)
	}
	if !ok || !ok2 {
		return fmt.Errorf("%q are no weekdays; write mon, or mon-fri", b)
	}
	*d = span(first, last)
	return nil
}

func span(first, last int) (d Days) {
	for i := first; ; i = (i + 1) % 7 {
		d |= 1 << i
		if i == last {
			return d
		}
	}
}
