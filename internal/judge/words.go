package judge

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func backReason(e MetricEvidence) string {
	on := ""
	if e.Metric != "" {
		on = " on " + e.Metric
	}
	return fmt.Sprintf("Went back: E = %s ≥ %s (α = %s)%s: canary %s, baseline %s",
		number(e.EValue), number(1/e.Alpha), percent(e.Alpha), on, ofRequests(e.Canary), ofRequests(e.Baseline))
}

func onReason(d Decision, limiting int) string {
	e := d.Evidence[limiting]
	atStake := e.AtStake
	if e.NeededExcess > 0 && atStake > e.Allowed {
		atStake = e.Allowed // a weight below the ceiling was chosen so
	}
	return fmt.Sprintf("Going on to %s: excess on %s at most %s after %s, so at worst %s more bad requests of %s allowed",
		percent(d.Weight), e.Metric, percent(e.ExcessUpper), requestsSeen(e.Canary), number(atStake), number(e.Allowed))
}

func earlyReason(d Decision) string {
	if len(d.Evidence) == 0 {
		return "Held: the step's minimum time ends in " + duration(d.Wait)
	}
	return fmt.Sprintf("Held: %s so far, the step's minimum time ends in %s", requestsSeen(d.Evidence[0].Canary), duration(d.Wait))
}

func holdReason(d Decision, limiting int) string {
	if limiting < 0 {
		return "Held: no metric to judge by"
	}
	e := d.Evidence[limiting]
	s := "Held: " + requestsSeen(e.Canary) + " so far, "
	switch {
	case e.Allowed == 0:
		return s + "but no budget of " + e.Metric + " is left to spend on this change"
	case d.Wait == 0:
		return s + "no verdict in sight at the present traffic"
	default:
		return s + "about " + duration(d.Wait) + " to a verdict"
	}
}

// doubtReason says what speaks against a canary that has not been found worse.
func doubtReason(d Decision, e MetricEvidence) string {
	s := fmt.Sprintf("Held: the canary looks worse on %s, %s against %s on the baseline, but that is not settled: E = %s of %s",
		e.Metric, ofRequests(e.Canary), ofRequests(e.Baseline), number(e.EValue), number(1/e.Alpha))
	if d.Wait > 0 {
		s += ", about " + duration(d.Wait) + " to a verdict if it stays so"
	}
	return s
}

// requestsSeen is "41 clean requests" or "3 of 410 requests bad".
func requestsSeen(c Count) string {
	switch {
	case c.Requests == 0:
		return "no canary requests"
	case c.Requests == 1 && c.Bad == 0:
		return "1 clean request"
	case c.Bad == 0:
		return number(float64(c.Requests)) + " clean requests"
	default:
		return ofRequests(c) + " on the canary"
	}
}

func ofRequests(c Count) string {
	return number(float64(c.Bad)) + " of " + number(float64(c.Requests)) + " bad"
}

// percent is a ratio with two significant digits: 0.62 %, 25 %.
func percent(ratio float64) string {
	x := ratio * 100
	digits := 0
	if x != 0 && math.Abs(x) < 9.95 {
		digits = min(4, 1-int(math.Floor(math.Log10(math.Abs(x)))))
	}
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s + " %"
}

// number is a count with thousands set off, or a large one as a power of ten.
func number(x float64) string {
	if math.Abs(x) >= 1e15 {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	if math.Abs(x) < 10 && x != math.Trunc(x) {
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	s := strconv.FormatFloat(math.Abs(x), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if x <= -0.5 {
		s = "-" + s
	}
	return s
}

// duration is a span of time in one unit: 40 s, 6 min, 3 h, 3 d.
func duration(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
		from time.Duration
	}{
		{24 * time.Hour, "d", 48 * time.Hour},
		{time.Hour, "h", 2 * time.Hour},
		{time.Minute, "min", 90 * time.Second},
	}
	for _, u := range units {
		if d >= u.from {
			return fmt.Sprintf("%.0f %s", math.Ceil(float64(d)/float64(u.size)-0.05), u.name)
		}
	}
	return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds()))
}
