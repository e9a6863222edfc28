package statuspage

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/status"
)

// clockTime is a moment as people of the page's zone read it.
func clockTime(s sheet, t time.Time) string { return t.In(s.Zone).Format("2 Jan 2006, 15:04 MST") }

// readable is a day as people write it.
func readable(date string) string {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return t.Format("2 Jan 2006")
}

// overall is the page's one sentence.
func overall(v status.View) string {
	switch v.Overall {
	case status.Major:
		return "There is a major outage."
	case status.Partial:
		return "There is a partial outage."
	case status.Degraded:
		return "Some of it is slower or less reliable than usual."
	case status.Maintained:
		return "Maintenance is under way."
	}
	return "Everything is operational."
}

// icon repeats a state's word as a shape.
func icon(s status.State) string {
	switch s {
	case status.Degraded:
		return "◐"
	case status.Partial:
		return "◑"
	case status.Major:
		return "✕"
	case status.Maintained:
		return "⚒"
	}
	return "✓"
}

// percent is a share without rounding it up: what is not all is not 100 %.
func percent(ratio float64) string {
	return strconv.FormatFloat(math.Floor(ratio*1e5+1e-6)/1e3, 'f', -1, 64) + " %"
}

// share is good of total as people read it.
func share(good, total int64) string {
	if total <= 0 {
		return "no data"
	}
	if good < total {
		return percent(min(float64(good)/float64(total), 0.99999))
	}
	return "100 %"
}

// missed counts the days of a mark.
func missed(u *status.Uptime, mark string) (n int) {
	for _, d := range u.Days {
		if string(d.Mark) == mark {
			n++
		}
	}
	return n
}

// count is a number with its thousands apart.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// paragraphs splits a text at empty lines.
func paragraphs(text string) (out []string) {
	for p := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// heights tell marks apart without colour.
var heights = map[status.Mark]int{status.Met: 32, status.Missed: 22, status.Outage: 12, status.NoData: 3}

var classes = map[status.Mark]string{status.Met: "met", status.Missed: "missed", status.Outage: "outage", status.NoData: "nodata"}

// bars draws the days. All that is written into it is numbers and fixed words.
func bars(u *status.Uptime) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="days" viewBox="0 0 %d 32" preserveAspectRatio="none" aria-hidden="true">`, 5*len(u.Days))
	for i, d := range u.Days {
		h := heights[d.Mark]
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="4" height="%d"><title>%s: %s</title></rect>`, classes[d.Mark], 5*i, 32-h, h, readable(d.Date), share(d.Good, d.Total))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
