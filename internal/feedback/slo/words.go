package slo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Scaled is a count for people: whole below ten thousand (with a decimal where
// there is one), else three digits and a unit: 9,999 is 9999, 78,184,558 is
// 78.2 M.
func Scaled(n float64) string {
	size := math.Abs(n)
	if size < 9999.5 {
		return strings.TrimSuffix(strconv.FormatFloat(n, 'f', 1, 64), ".0")
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e3, "k"}, {1e6, "M"}, {1e9, "G"}, {1e12, "T"}} {
		x := size / u.size
		if x >= 999.5 && u.name != "T" {
			continue
		}
		digits := max(0, 2-int(math.Floor(math.Log10(math.Max(x, 1)))))
		return strconv.FormatFloat(n/u.size, 'f', digits, 64) + " " + u.name
	}
	return ""
}

// when is a moment for people, to the minute.
func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// minute is an RFC 3339 time to the minute; other text is left as it is.
func minute(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return when(t)
}

// plural is a number with its noun, in the plural unless it is one.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// InWords is a span of time for people, in one unit or two: 38 s, 6 min, 1 h,
// 2 h 5 min, 2 d 2 h.
func InWords(d time.Duration) string {
	if d < 10*time.Second {
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	}
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		if i == len(units)-1 {
			return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
		}
		small := units[i+1]
		d = d.Round(small.size)
		out := fmt.Sprintf("%d %s", d/u.size, u.name)
		if rest := d % u.size / small.size; rest > 0 {
			out += fmt.Sprintf(" %d %s", rest, small.name)
		}
		return out
	}
	return "0 s"
}
