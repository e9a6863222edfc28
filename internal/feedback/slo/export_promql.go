package slo

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// counting is an expression of counters, cut where a range goes in.
type counting struct {
	parts  []string // around the ranges, whose text is written between them
	rates  bool     // it is per second, so a count is its value times the range
	groups []string // labels by which it is added up
}

// count is the events of the last so much time.
func (c counting) count(window time.Duration) string {
	body := strings.Join(c.parts, promDuration(window))
	if len(c.groups) > 0 {
		body = "sum by (" + strings.Join(c.groups, ", ") + ") (" + body + ")"
	} else {
		body = "sum(" + body + ")"
	}
	if c.rates {
		body = fmt.Sprintf("%s * %d", body, int64(window/time.Second))
	}
	return body
}

// promDuration writes a duration as every version of Prometheus reads it.
func promDuration(d time.Duration) string {
	if d%time.Second != 0 {
		return fmt.Sprintf("%dms", d/time.Millisecond)
	}
	return FormatDuration(d)
}

// notVectors are words of PromQL that name no metric, and those that a list of
// labels follows.
var (
	notVectors = []string{"and", "or", "unless", "bool", "atan2", "inf", "nan", "start", "end"}
	labelLists = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
)

// parseCounting finds the selectors of an expression: a selector with a range
// gets another range, an instant one becomes increase over the range. It is no
// parser of PromQL: what it leaves alone is for Prometheus to judge.
func parseCounting(query string, counter bool, groups []string) (counting, error) {
	c := counting{groups: groups}
	query = strings.NewReplacer("{{.window}}", "5m", "{{ .window }}", "5m").Replace(strings.TrimSpace(query))
	var text strings.Builder
	increases := false
	rest := query
	for rest != "" {
		r := rune(rest[0])
		switch {
		case r == '"' || r == '\'' || r == '`':
			n := quotedLength(rest)
			text.WriteString(rest[:n])
			rest = rest[n:]
		case r == '{' || isNameStart(r):
			word, after := cutName(rest)
			next := strings.TrimLeft(after, " \t\n")
			lower := strings.ToLower(word)
			switch {
			case slices.Contains(labelLists, lower):
				text.WriteString(word)
				rest = copyParenthesis(&text, after)
				continue
			case lower == "offset" || word != "" && (strings.HasPrefix(next, "(") || aggregates(next)), slices.Contains(notVectors, lower):
				if lower == "offset" {
					return c, exportRefused("the query %q looks back with offset", clip(query, 120))
				}
				c.rates = c.rates || lower == "rate" || lower == "irate"
				increases = increases || lower == "increase"
				text.WriteString(word)
				rest = after
				continue
			}
			selector, after := cutSelector(word, after)
			rest = after
			if ranged := strings.TrimLeft(rest, " \t\n"); strings.HasPrefix(ranged, "[") {
				end := strings.IndexByte(ranged, ']')
				if end < 0 || strings.Contains(ranged[:end], ":") {
					return c, exportRefused("the query %q has a range or a subquery that cannot be exchanged", clip(query, 120))
				}
				c.parts = append(c.parts, text.String()+selector+"[")
				text.Reset()
				text.WriteString("]")
				rest = ranged[end+1:]
				continue
			}
			if !counter && !counterName(word) {
				return c, exportRefused("%s in the query %q is no counter, so there is nothing to add up over a window", selector, clip(query, 120))
			}
			increases = true
			c.parts = append(c.parts, text.String()+"increase("+selector+"[")
			text.Reset()
			text.WriteString("])")
		case unicode.IsDigit(r) || r == '.':
			n := strings.IndexFunc(rest, func(r rune) bool { return !unicode.IsDigit(r) && !unicode.IsLetter(r) && r != '.' })
			if n < 0 {
				n = len(rest)
			}
			text.WriteString(rest[:n])
			rest = rest[n:]
		case r == '@' || r == '#' || r == '[':
			return c, exportRefused("the query %q has %q, which cannot be exchanged", clip(query, 120), string(r))
		default:
			text.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	if len(c.parts) == 0 {
		return c, exportRefused("the query %q selects no counter", clip(query, 120))
	}
	c.parts = append(c.parts, text.String())
	c.rates = c.rates && !increases
	return c, nil
}

func exportRefused(format string, args ...any) error {
	return problem.New(problem.Invalid, "slo.export", format, args...).
		WithNext("write the indicator as counters: good (or bad) and total, such as sum(http_requests_total)")
}

func counterName(metric string) bool {
	for _, suffix := range []string{"_total", "_count", "_bucket"} {
		if strings.HasSuffix(metric, suffix) {
			return true
		}
	}
	return false
}

func isNameStart(r rune) bool { return r == '_' || r == ':' || unicode.IsLetter(r) }

func cutName(s string) (name, rest string) {
	n := strings.IndexFunc(s, func(r rune) bool { return !isNameStart(r) && !unicode.IsDigit(r) })
	if n < 0 {
		n = len(s)
	}
	return s[:n], s[n:]
}

// cutSelector is a metric's name with its matchers.
func cutSelector(name, rest string) (selector, after string) {
	trimmed := strings.TrimLeft(rest, " \t\n")
	if !strings.HasPrefix(trimmed, "{") {
		return name, rest
	}
	for i := 1; i < len(trimmed); i++ {
		switch trimmed[i] {
		case '"', '\'', '`':
			i += quotedLength(trimmed[i:]) - 1
		case '}':
			return name + trimmed[:i+1], trimmed[i+1:]
		}
	}
	return name + trimmed, ""
}

// aggregates reports whether what follows a word makes it an aggregation.
func aggregates(next string) bool {
	word, after := cutName(next)
	word = strings.ToLower(word)
	return (word == "by" || word == "without") && strings.HasPrefix(strings.TrimLeft(after, " \t\n"), "(")
}

// copyParenthesis copies a list of labels in parentheses, if one follows.
func copyParenthesis(to *strings.Builder, s string) (rest string) {
	trimmed := strings.TrimLeft(s, " \t\n")
	end := strings.IndexByte(trimmed, ')')
	if !strings.HasPrefix(trimmed, "(") || end < 0 {
		return s
	}
	to.WriteString(" " + trimmed[:end+1])
	return trimmed[end+1:]
}

// quotedLength is how long the string is that s begins with.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] != '`':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return len(s)
}
