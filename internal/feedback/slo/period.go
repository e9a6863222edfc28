package slo

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Period is one calendar period in a named zone: a year, quarter, month or ISO
// week. It is half-open, [From, To).
type Period struct {
	Name     string // 2026, 2026-Q3, 2026-10 or 2026-W41
	Calendar Calendar
	From, To time.Time
}

var periodForm = regexp.MustCompile(`^(\d{4})(?:-(?:Q([1-4])|W(\d{2})|(\d{2})))?$`)

// ParsePeriod reads a period such as 2026, 2026-Q3, 2026-10 or 2026-W41 in a
// zone of the IANA database; empty, it is the month that contains now. Weeks
// are those of ISO 8601: they begin on Monday, and the first one of a year has
// its first Thursday.
func ParsePeriod(name, zone string, now time.Time) (Period, error) {
	if zone == "" {
		zone = "UTC"
	}
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return Period{}, problem.New(problem.Invalid, "slo.report", "zone: %q is not in the IANA time zone database", clip(zone, 60)).WithNext("use a name such as Europe/Vienna or UTC")
	}
	if name == "" {
		name = now.In(location).Format("2006-01")
	}
	m := periodForm.FindStringSubmatch(name)
	bad := problem.New(problem.Invalid, "slo.report", "period: %q is not a calendar period", clip(name, 40)).WithNext("write 2026, 2026-Q3, 2026-10 or 2026-W41")
	if m == nil {
		return Period{}, bad
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	year, unit, month, day := number(m[1]), Year, time.January, 1
	switch {
	case m[2] != "":
		unit, month = Quarter, time.Month(3*number(m[2])-2)
	case m[3] != "":
		unit = Week
		monday, ok := isoWeek(year, number(m[3]))
		if !ok {
			return Period{}, bad
		}
		year, month, day = monday.Date()
	case m[4] != "":
		if unit, month = Month, time.Month(number(m[4])); month < 1 || month > 12 {
			return Period{}, bad
		}
	}
	c := Calendar{Unit: unit, Count: 1, Start: time.Date(year, month, day, 0, 0, 0, 0, location)}
	p := Period{Name: name, Calendar: c, From: c.boundary(0), To: c.boundary(1)}
	if !p.From.Before(now) {
		return p, problem.New(problem.Invalid, "slo.report", "%s has not begun yet", name).WithNext("choose a period that began before %s", now.In(location).Format(time.DateOnly))
	}
	return p, nil
}

// isoWeek is the Monday of a week of a year.
func isoWeek(year, week int) (time.Time, bool) {
	fourth := time.Date(year, time.January, 4, 0, 0, 0, 0, time.UTC) // is in the first week
	monday := fourth.AddDate(0, 0, -int(fourth.Weekday()+6)%7+7*(week-1))
	y, w := monday.ISOWeek()
	return monday, y == year && w == week
}

// Days are the beginnings of the period's days by its own clocks, and its end.
func (p Period) Days() []time.Time {
	days := Calendar{Unit: Day, Count: 1, Start: p.Calendar.Start}
	var out []time.Time
	for k := 0; days.boundary(k).Before(p.To); k++ {
		out = append(out, days.boundary(k))
	}
	return append(out, p.To)
}

// Neighbour is the name of the period so many after (or before) this one.
func (p Period) Neighbour(n int) string {
	at := p.Calendar.boundary(n)
	switch p.Calendar.Unit {
	case Year:
		return at.Format("2006")
	case Quarter:
		return fmt.Sprintf("%d-Q%d", at.Year(), (int(at.Month())+2)/3)
	case Week:
		y, w := at.ISOWeek()
		return fmt.Sprintf("%d-W%02d", y, w)
	}
	return at.Format("2006-01")
}
