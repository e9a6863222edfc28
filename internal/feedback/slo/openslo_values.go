package slo

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// span of time as OpenSLO writes it: so many of one unit.
type shorthand struct {
	count int
	unit  Unit
}

var shorthandUnits = map[string]Unit{"m": Minute, "h": Hour, "d": Day, "w": Week, "M": Month, "Q": Quarter, "Y": Year}

var shorthandForm = regexp.MustCompile(`^([0-9]{1,9})([A-Za-z])$`)

// shorthand reads an OpenSLO duration-shorthand such as 5m or 4w, and the
// words for a single unit (Week) that older files use.
func (v value) shorthand() (shorthand, bool) {
	text := v.text()
	if u, ok := unitWord(text); ok {
		return shorthand{1, u}, true
	}
	parts := shorthandForm.FindStringSubmatch(text)
	if parts == nil {
		v.errorf("bad-duration", "%s is not a duration; write a number and one of m, h, d, w, M (months), Q, Y, such as 30d", v.shape())
		return shorthand{}, false
	}
	n, _ := strconv.Atoi(parts[1])
	u, ok := shorthandUnits[parts[2]]
	switch {
	case !ok:
		v.errorf("bad-duration", "%s has an unknown unit; write one of m (minutes), h, d, w, M (months), Q, Y", v.shape())
	case n == 0:
		v.errorf("zero-duration", "a duration of zero measures nothing; write 30d for a window, 1m for a slice")
		return shorthand{}, false
	case time.Duration(n) > maxWindow/u.nominal():
		v.errorf("bad-duration", "%s is longer than %s", v.shape(), FormatDuration(maxWindow))
		return shorthand{}, false
	}
	return shorthand{n, u}, ok
}

func unitWord(s string) (Unit, bool) {
	u := Unit(strings.ToLower(strings.TrimSuffix(s, "s")))
	switch u {
	case Minute, Hour, Day, Week, Month, Quarter, Year:
		return u, true
	}
	return "", false
}

func (s shorthand) duration() time.Duration { return time.Duration(s.count) * s.unit.nominal() }

// span reads a duration-shorthand as a fixed length of time; a bare number is
// minutes, as the specification has it for time slices.
func (v value) span() (time.Duration, bool) {
	if v.isScalar() && strings.Trim(v.n.Value, "0123456789.") == "" && v.n.Value != "" {
		n, ok := v.number()
		if !ok {
			return 0, false
		}
		if n <= 0 {
			v.errorf("zero-duration", "a duration of zero measures nothing; write 1m")
			return 0, false
		}
		if n > Decimal(maxWindow/time.Minute)*One {
			v.errorf("bad-duration", "%s minutes are longer than %s", n, FormatDuration(maxWindow))
			return 0, false
		}
		return time.Duration(n) * 60, true // a billionth of a minute is 60 ns
	}
	s, ok := v.shorthand()
	if !ok {
		return 0, false
	}
	if s.unit == Month {
		v.warnf("months-for-minutes", "%s is %d × 30 days: M is months; write %dm for minutes", v.n.Value, s.count, s.count)
	}
	return s.duration(), true
}

// lookback reads the windows of alert conditions, where zero means at once.
func (v value) lookback(zeroOK bool) (time.Duration, bool) {
	if text := strings.TrimRight(v.text(), "smhdw"); zeroOK && text == "0" {
		return 0, true
	}
	return v.span()
}

// window reads one time window: v1 (duration) or v1alpha (unit and count).
func (v value) window() (Window, bool) {
	o := v.object()
	length, ok := shorthand{}, false
	d := o.get("duration")
	if unit := o.get("unit"); !unit.isNull() && d.isNull() {
		length, ok = unit.shorthand()
		d = unit
		if count := o.get("count"); !count.isNull() && ok {
			n, err := strconv.Atoi(count.text())
			if err != nil || n <= 0 || n > 10_000 {
				count.errorf("zero-duration", "a window needs a count of at least 1")
				ok = false
			}
			length.count *= max(n, 1)
		}
	} else {
		d = o.need("30d, or 1M with a calendar", "duration")
		if !d.isNull() {
			length, ok = d.shorthand()
		}
		o.get("count")
	}
	calendar := o.get("calendar")
	rolling := o.get("isRolling")
	defer o.done()
	if !ok {
		return Window{}, false
	}
	if length.unit == Minute && length.count < 60 {
		d.warnf("minutes-for-months", "%s is a window of %s, because m is minutes; write %dM for months", d.n.Value, length.duration(), length.count)
	}
	switch isRolling := rolling.flag(calendar.isNull()); {
	case isRolling && !calendar.isNull():
		rolling.errorf("rolling-calendar", "a rolling window has no calendar; remove calendar, or write isRolling: false")
		return Window{}, false
	case isRolling:
		if length.unit.months() > 0 {
			d.warnf("rolling-month", "months, quarters and years have no fixed length: this window rolls over %s; write %s, or add a calendar",
				FormatDuration(length.duration()), FormatDuration(length.duration()))
		}
		return Window{Rolling: length.duration()}, true
	case calendar.isNull():
		rolling.errorf("calendar-missing", "a window that does not roll needs a calendar; add calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Zurich}, or write isRolling: true")
		return Window{}, false
	}
	start, ok := calendar.calendarStart()
	return Window{Calendar: &Calendar{Unit: length.unit, Count: length.count, Start: start}}, ok
}

// calendarStart reads the start of a calendar and its zone.
func (v value) calendarStart() (time.Time, bool) {
	o := v.object()
	defer o.done()
	zoneName := o.need("the name of a zone, such as Europe/Zurich or UTC", "timeZone")
	start := o.need("local date and time, such as 2026-01-01 00:00:00", "startTime")
	if zoneName.isNull() || start.isNull() {
		return time.Time{}, false
	}
	name := zoneName.text()
	z, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		zoneName.errorf("unknown-zone", "%s is not a zone of the IANA database; write a name such as Europe/Zurich, or UTC", zoneName.shape())
		return time.Time{}, false
	}
	text := start.text()
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, z); err == nil {
			return sane(start, t)
		}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		start.warnf("start-with-zone", "startTime is local time in timeZone: this reads as %s there; write it so", t.In(z).Format("2006-01-02 15:04:05"))
		return sane(start, t.In(z))
	}
	start.errorf("bad-time", "%s is not a date and time; write it as 2026-01-01 00:00:00", start.shape())
	return time.Time{}, false
}

// sane keeps calendar arithmetic within what nanoseconds can count.
func sane(v value, t time.Time) (time.Time, bool) {
	if t.Year() < 1970 || t.Year() > 2200 {
		v.errorf("bad-time", "a start in the year %d is not between 1970 and 2200", t.Year())
		return time.Time{}, false
	}
	return t, true
}

// target reads a share of good between 0 and 1.
func (v value) target() (Decimal, bool) {
	t, ok := v.number()
	switch {
	case !ok:
		return 0, false
	case t == One, t == 100*One:
		v.errorf("target-range", "a target of 100 %% leaves no budget: every single failure would break it; write 0.999 or less")
	case t > One && t < 100*One:
		v.errorf("target-is-percent", "%s looks like a percentage; write target: %s, or targetPercent: %s", t, t.Mul(One/100), t)
	case t <= 0, t > One:
		v.errorf("target-range", "a target of %s is not strictly between 0 and 1; write 0.999 for 99.9 %%", t)
	default:
		if t < One/2 {
			v.warnf("target-low", "a target of %s means that most may fail; write it as a share of good, such as 0.999", t.Percent())
		}
		return t, true
	}
	return 0, false
}

// percentTarget reads a target in per cent.
func (v value) percentTarget() (Decimal, bool) {
	p, ok := v.number()
	switch {
	case !ok:
		return 0, false
	case p == 100*One:
		v.errorf("target-range", "a target of 100 %% leaves no budget: every single failure would break it; write 99.99 or less")
	case p <= 0, p > 100*One:
		v.errorf("target-range", "a target of %s %% is not strictly between 0 and 100; write 99.9", p)
	case p <= One:
		v.errorf("percent-is-ratio", "%s %% looks like a share; write %s for %s %%", p, p.Mul(100*One), p.Mul(100*One))
	case p%100 != 0:
		v.errorf("not-a-number", "%s has more than seven decimals of a per cent", p)
	default:
		if p < 50*One {
			v.warnf("target-low", "a target of %s %% means that most may fail; write the share of good, such as 99.9", p)
		}
		return p / 100, true
	}
	return 0, false
}

// prometheusForm is a Prometheus duration: descending units, such as 2w or 1h30m.
var prometheusForm = regexp.MustCompile(`^(?:([0-9]{1,9})y)?(?:([0-9]{1,9})w)?(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?$`)

// prometheusDuration reads a duration as Prometheus writes it.
func (v value) prometheusDuration() (time.Duration, bool) {
	parts := prometheusForm.FindStringSubmatch(v.text())
	if parts == nil || v.text() == "" {
		v.errorf("bad-duration", "%s is not a duration; write it as Prometheus does, such as 28d or 2w", v.shape())
		return 0, false
	}
	units := []time.Duration{365 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second, time.Millisecond}
	var sum time.Duration
	for i, unit := range units {
		n, _ := strconv.Atoi("0" + parts[i+1])
		if time.Duration(n) > maxWindow/unit {
			v.errorf("bad-duration", "%s is longer than %s", v.shape(), FormatDuration(maxWindow))
			return 0, false
		}
		sum += time.Duration(n) * unit
	}
	if sum == 0 {
		v.errorf("zero-duration", "a duration of zero measures nothing; write 28d")
		return 0, false
	}
	return sum, true
}
