package slo

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Bounds on the data that is read from a file.
const (
	maxRows         = 20_000_000
	maxDataFindings = 20
)

// csvReader reads slots from CSV and gathers what is wrong with them.
type csvReader struct {
	file     string
	csv      *csv.Reader
	columns  [3]int // of time, good, total
	rows     []csvRow
	findings []problem.Finding
	errors   int
	rounded  bool
}

type csvRow struct {
	at          time.Time
	good, total int64
	line        int
}

// ReadCSV reads a history from CSV with the columns time, good and total: one
// row for each slot, in order of time, RFC 3339 or Unix seconds. The width of
// the slots is the shortest distance between rows; a missing row, or one with
// empty counts, is a gap. Counts that are not whole are rounded, with a
// warning. Findings carry line and column; with an error there is no Series.
func ReadCSV(file string, r io.Reader) (*Series, []problem.Finding, error) {
	c := &csvReader{file: file, csv: csv.NewReader(r), columns: [3]int{0, 1, 2}}
	c.csv.ReuseRecord, c.csv.FieldsPerRecord, c.csv.TrimLeadingSpace, c.csv.Comment = true, -1, true, '#'
	c.readRows()
	series := c.series()
	if c.errors > 0 {
		return nil, c.findings, (&problem.Error{Kind: problem.Invalid, Op: "slo.data", Message: "the data is not valid", Findings: c.findings}).
			WithNext("write one row per slot: time,good,total with 0 ≤ good ≤ total")
	}
	return series, c.findings, nil
}

func (c *csvReader) report(severity string, line, column int, code, format string, args ...any) {
	if severity == "error" {
		c.errors++
	}
	if len(c.findings) < maxDataFindings {
		c.findings = append(c.findings, problem.Finding{File: c.file, Line: line, Column: column, Severity: severity, Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

func (c *csvReader) readRows() {
	for first := true; ; first = false {
		record, err := c.csv.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var parse *csv.ParseError
			line, column := 1, 1
			if errors.As(err, &parse) {
				line, column, err = parse.Line, max(parse.Column, 1), parse.Err
			}
			c.report("error", line, column, "csv-syntax", "this is not CSV: %v", err)
			return
		}
		if first && c.header(record) {
			continue
		}
		if len(c.rows) == maxRows {
			c.report("error", c.line(0), 1, "too-large", "more than %d rows; use wider slots", maxRows)
			return
		}
		if c.row(record); c.errors >= maxDataFindings {
			return
		}
	}
	if len(c.rows) == 0 && c.errors == 0 {
		c.report("error", 1, 1, "no-data", "there are no rows; write time,good,total and a row for each slot")
	}
}

func (c *csvReader) line(field int) int {
	line, _ := c.csv.FieldPos(field)
	return line
}

// header takes the order of columns from the first row, if that is a header.
func (c *csvReader) header(record []string) bool {
	if _, err := parseTime(strings.TrimPrefix(record[0], "\ufeff")); err == nil {
		return false
	}
	found := map[string]int{}
	for i, name := range record {
		found[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))] = i
	}
	for i, name := range []string{"time", "good", "total"} {
		column, ok := found[name]
		if !ok {
			c.report("error", c.line(0), 1, "no-column", "there is no column %q; the first row must be time,good,total", name)
		}
		c.columns[i] = column
	}
	return true
}

func (c *csvReader) row(record []string) {
	for _, column := range c.columns {
		if column >= len(record) {
			c.report("error", c.line(0), 1, "no-column", "%d fields where time, good and total are expected", len(record))
			return
		}
	}
	line, column := c.csv.FieldPos(c.columns[0])
	at, err := parseTime(record[c.columns[0]])
	if err != nil {
		c.report("error", line, column, "bad-time", "%v", err)
		return
	}
	if n := len(c.rows); n > 0 && !at.After(c.rows[n-1].at) {
		if last := c.rows[n-1]; at.Equal(last.at) {
			c.report("error", line, column, "duplicate-slot", "%s has a row already, in line %d; keep one", record[c.columns[0]], last.line)
		} else {
			c.report("error", line, column, "time-backwards", "%s is before the row above it: the clock ran backwards, or rows are not sorted by time", record[c.columns[0]])
		}
		return
	}
	if strings.TrimSpace(record[c.columns[1]]) == "" && strings.TrimSpace(record[c.columns[2]]) == "" {
		return // a gap, said so
	}
	good, okGood := c.count(record, c.columns[1], "good")
	total, okTotal := c.count(record, c.columns[2], "total")
	if !okGood || !okTotal {
		return
	}
	if good > total {
		line, column := c.csv.FieldPos(c.columns[1])
		c.report("error", line, column, "good-exceeds-total", "good %s is more than total %s", record[c.columns[1]], record[c.columns[2]])
		return
	}
	c.rows = append(c.rows, csvRow{at, good, total, line})
}

// count reads a number of events, rounded to a whole one.
func (c *csvReader) count(record []string, i int, name string) (int64, bool) {
	text := strings.TrimSpace(record[i])
	line, column := c.csv.FieldPos(i)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 && n <= maxCount {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || f != f:
		c.report("error", line, column, "not-a-number", "%s is %q, which is no number; leave both counts empty for a gap", name, clip(text, 40))
		return 0, false
	case f < 0:
		c.report("error", line, column, "negative-count", "%s is %s; counts start at 0 (a counter that was reset must be turned into increases first)", name, clip(text, 40))
		return 0, false
	case f > maxCount:
		c.report("error", line, column, "too-large", "%s is %s, more than %.0e", name, clip(text, 40), float64(maxCount))
		return 0, false
	}
	n := int64(f + 0.5)
	if float64(n) != f && !c.rounded {
		c.rounded = true
		c.report("warning", line, column, "rounded", "%s is %s: counts are whole events and are rounded to the nearest", name, clip(text, 40))
	}
	return n, true
}

// maxCount bounds a slot, so that sums over years fit 64 bits.
const maxCount = 1e12

// parseTime reads RFC 3339, or Unix time in seconds.
func parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		if t.Year() < 1970 || t.Year() > 2200 {
			return time.Time{}, fmt.Errorf("%q is not between 1970 and 2200", clip(text, 40))
		}
		return t.UTC(), nil
	}
	d, err := ParseDecimal(text)
	switch {
	case err != nil && strings.Trim(text, "0123456789.") == "" && len(text) > 11:
		return time.Time{}, fmt.Errorf("%q is no time in seconds; Unix time must not be in milliseconds", clip(text, 40))
	case err != nil, text == "":
		return time.Time{}, fmt.Errorf("%q is no time; write RFC 3339, such as 2026-01-02T15:04:05Z, or Unix seconds", clip(text, 40))
	case d < 0 || d > 7_258_118_400*One:
		return time.Time{}, fmt.Errorf("%q is not between 1970 and 2200", clip(text, 40))
	}
	return time.Unix(0, int64(d)).UTC(), nil
}

// series puts the rows on a grid of the shortest distance between them.
func (c *csvReader) series() *Series {
	if c.errors > 0 || len(c.rows) == 0 {
		return nil
	}
	width := time.Duration(0)
	for i := 1; i < len(c.rows); i++ {
		if d := c.rows[i].at.Sub(c.rows[i-1].at); width == 0 || d < width {
			width = d
		}
	}
	if width == 0 {
		width = time.Minute
	}
	first := c.rows[0].at
	s := NewSeries(width, time.Duration(first.UnixNano()%int64(width)))
	for _, row := range c.rows {
		if row.at.Sub(first)%width != 0 {
			c.report("error", row.line, 1, "off-grid", "%s is not a whole number of slots of %s after the first row; write times at even distances",
				row.at.Format(time.RFC3339Nano), width)
			return nil
		}
		if err := s.Add(row.at, row.good, row.total); err != nil {
			c.report("error", row.line, 1, "good-exceeds-total", "%v", err)
			return nil
		}
	}
	return s
}
