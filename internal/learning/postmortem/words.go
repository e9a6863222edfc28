package postmortem

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// moment is a time as the text has it.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// span is a length of time in one unit, two where the second still matters.
func span(d time.Duration) string {
	if d < 0 {
		return "0 s"
	}
	d = d.Round(time.Second)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d", d.Round(24*time.Hour)/(24*time.Hour))
}

// soon is a short time in words.
func soon(d time.Duration) string {
	if d < time.Second {
		return "at once"
	}
	return "within " + span(d)
}

// percent writes a ratio: whole per cents, with a decimal below ten.
func percent(ratio float64) string {
	p := ratio * 100
	digits := 0
	if math.Abs(p) < 10 && p != math.Trunc(p) {
		digits = 1
	}
	return strconv.FormatFloat(p, 'f', digits, 64) + " %"
}

// plural is a number with its noun.
func plural(n float64, noun string) string {
	s := strconv.FormatFloat(n, 'f', -1, 64)
	if n != math.Trunc(n) {
		s = strconv.FormatFloat(n, 'f', 1, 64)
	}
	if n == 1 {
		return s + " " + noun
	}
	return s + " " + noun + "s"
}

// listed are names in one line, "none" without any.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
