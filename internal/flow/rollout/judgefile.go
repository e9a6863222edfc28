package rollout

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Limits and defaults of a recorded canary.
const (
	judgeHeader      = "time,revision,requests,bad"
	reorderRows      = 1 << 20 // rows that wait to be sorted; half of them is how late a row may be
	foldBins         = 1 << 10 // bins given to the judge at once
	longestLine      = 1 << 12 // bytes
	mostRequests     = 1 << 40 // in one row
	latestUnix       = 253402300799
	defaultWarmUp    = time.Minute
	defaultTolerance = 0.01
)

// JudgeOptions say how a recorded canary is judged. The zero value is the
// default.
type JudgeOptions struct {
	Alpha     float64       // chance of sending an equal canary back, 0 to 1; 0 means 0.01
	Tolerance float64       // excess bad ratio that is acceptable, 0 to 1; 0 means 0.01
	WarmUp    time.Duration // see [judge.Config]; 0 means a minute, negative means none
}

// FileVerdict is the verdict on one recorded canary.
type FileVerdict struct {
	File           string        `json:"file"`
	Verdict        judge.Verdict `json:"verdict"`
	DecidedAt      *time.Time    `json:"decided_at"` // the first crossing for back, else the end of the last bin; null without rows
	EValue         float64       `json:"e_value"`    // at most 1e300
	Alpha          float64       `json:"alpha"`
	ExcessUpper    float64       `json:"excess_upper"` // of the canary's bad ratio over the baseline's, at all times with error alpha/2
	CanaryRequests int64         `json:"canary_requests"`
	CanaryBad      int64         `json:"canary_bad"`
	Reason         string        `json:"reason"`
}

// JudgeCSV judges a recorded canary by the function that judges live ones. The
// CSV has the header time,revision,requests,bad and one row per arm and bin:
// time is the bin's start in RFC 3339 or Unix seconds, revision is baseline or
// canary, a missing arm had no requests. The width of a bin is the smallest
// distance between two times. Rows may come in any order, as long as none is
// more than a million rows late. name is used in messages and in the result.
//
// Errors are [problem.Invalid], with file, line and column in their findings.
func JudgeCSV(name string, r io.Reader, opts JudgeOptions) (FileVerdict, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return FileVerdict{}, err
	}
	f := judgeFile{name: name, config: judge.Config{Alpha: opts.Alpha, WarmUp: max(0, opts.WarmUp)}}
	if err := f.read(r); err != nil {
		return FileVerdict{}, err
	}
	f.state = f.config.Flush(f.state)
	c := f.config.Conclude(f.state, opts.Tolerance)
	v := FileVerdict{
		File: name, Verdict: c.Verdict, EValue: c.Evidence.EValue, Alpha: opts.Alpha,
		ExcessUpper:    c.Evidence.ExcessUpper,
		CanaryRequests: c.Evidence.Canary.Requests, CanaryBad: c.Evidence.Canary.Bad,
		Reason: c.Reason,
	}
	if !c.At.IsZero() {
		v.DecidedAt = &c.At
	}
	return v, nil
}

func (o JudgeOptions) withDefaults() (JudgeOptions, error) {
	if o.Alpha == 0 {
		o.Alpha = judge.DefaultAlpha
	}
	if o.Tolerance == 0 {
		o.Tolerance = defaultTolerance
	}
	if o.WarmUp == 0 {
		o.WarmUp = defaultWarmUp
	}
	for _, x := range []struct {
		name  string
		value float64
	}{{"alpha", o.Alpha}, {"tolerance", o.Tolerance}} {
		if !(x.value > 0 && x.value < 1) {
			return o, problem.New(problem.Invalid, "rollout.judge", "%s is %v, want a number between 0 and 1", x.name, x.value).
				WithNext("give a ratio, such as 0.01 for 1 %%")
		}
	}
	return o, nil
}

// judgeRow is one row, compact, because up to a million wait to be sorted.
type judgeRow struct {
	at     int64 // microseconds since 1970
	line   int
	canary bool
	count  judge.Count
}

// judgeFile folds rows into a judge's state while it reads.
type judgeFile struct {
	name   string
	config judge.Config
	state  judge.State
	rows   []judgeRow // not folded yet
	width  time.Duration
	folded int64 // all rows before this time are folded; microseconds
	bins   int   // folded
}

func (f *judgeFile) read(r io.Reader) error {
	in := csv.NewReader(&lineLimit{in: r})
	in.ReuseRecord, in.FieldsPerRecord = true, -1
	header, err := in.Read()
	if err == io.EOF {
		return f.bad(1, 1, "no header; want %s", judgeHeader)
	} else if err != nil {
		return f.unreadable(err)
	}
	if err := f.header(header); err != nil {
		return err
	}
	for {
		record, err := in.Read()
		if err == io.EOF {
			return f.fold(len(f.rows))
		} else if err != nil {
			return f.unreadable(err)
		}
		row, err := f.row(in, record)
		if err != nil {
			return err
		}
		f.rows = append(f.rows, row)
		if len(f.rows) >= reorderRows {
			if err := f.fold(reorderRows / 2); err != nil {
				return err
			}
		}
	}
}

func (f *judgeFile) header(got []string) error {
	want := strings.Split(judgeHeader, ",")
	for i, w := range want {
		if i >= len(got) || strings.TrimSpace(strings.TrimPrefix(got[i], "\ufeff")) != w {
			return f.bad(1, 1, "the header is %q, want %s", clip(strings.Join(got, ",")), judgeHeader)
		}
	}
	if len(got) != len(want) {
		return f.bad(1, 1, "the header has %d columns, want %s", len(got), judgeHeader)
	}
	return nil
}

func (f *judgeFile) row(in *csv.Reader, record []string) (judgeRow, error) {
	line, _ := in.FieldPos(0)
	row := judgeRow{line: line}
	if len(record) != 4 {
		return row, f.bad(line, 1, "%d fields, want 4: %s", len(record), judgeHeader)
	}
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
	}
	var errs [4]error
	row.at, errs[0] = parseMoment(record[0])
	row.canary, errs[1] = parseRevision(record[1])
	row.count.Requests, errs[2] = parseCount(record[2])
	row.count.Bad, errs[3] = parseCount(record[3])
	for i, err := range errs {
		if err != nil {
			line, column := in.FieldPos(i)
			return row, f.bad(line, column, "%s: %v", strings.Split(judgeHeader, ",")[i], err)
		}
	}
	line, column := in.FieldPos(3)
	if row.count.Bad > row.count.Requests {
		return row, f.bad(line, column, "bad: %d of only %d requests", row.count.Bad, row.count.Requests)
	}
	if row.at < f.folded {
		return row, f.bad(row.line, 1, "time: more than %d rows late, or there twice", reorderRows/2)
	}
	return row, nil
}

// fold sorts what waits and gives the judge the earliest n rows, and those of
// the same time as the last of them.
func (f *judgeFile) fold(n int) error {
	slices.SortFunc(f.rows, func(a, b judgeRow) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.line, b.line))
	})
	for n > 0 && n < len(f.rows) && f.rows[n].at == f.rows[n-1].at {
		n++
	}
	if f.width == 0 {
		f.width = binWidth(f.rows)
	}
	bins := make([]judge.Bin, 0, foldBins)
	for i := 0; i < n; {
		bin, rows, err := f.bin(f.rows[i:n])
		if err != nil {
			return err
		}
		if bins = append(bins, bin); len(bins) == foldBins {
			f.state, bins = f.config.Advance(f.state, bins...), bins[:0]
		}
		i += rows
		f.bins++
	}
	f.state = f.config.Advance(f.state, bins...)
	if n > 0 {
		f.folded = f.rows[n-1].at + 1
	}
	f.rows = slices.Delete(f.rows, 0, n)
	return nil
}

// bin is made of the first rows, which have the same time; n says how many.
func (f *judgeFile) bin(rows []judgeRow) (bin judge.Bin, n int, err error) {
	bin = judge.Bin{Time: time.UnixMicro(rows[0].at).UTC(), Width: f.width}
	lines := map[bool]int{}
	for n < len(rows) && rows[n].at == rows[0].at {
		row := rows[n]
		if before := lines[row.canary]; before > 0 {
			return bin, n, f.bad(row.line, 1, "line %d already has this time and revision", before)
		}
		lines[row.canary] = row.line
		if row.canary {
			bin.Canary = row.count
		} else {
			bin.Baseline = row.count
		}
		n++
	}
	return bin, n, nil
}

// binWidth is the smallest distance between two times of sorted rows.
func binWidth(rows []judgeRow) time.Duration {
	least := int64(math.MaxInt64)
	for i := 1; i < len(rows); i++ {
		if d := rows[i].at - rows[i-1].at; d > 0 {
			least = min(least, d)
		}
	}
	if least > math.MaxInt64/int64(time.Microsecond) {
		return judge.DefaultBinWidth
	}
	return time.Duration(least) * time.Microsecond
}

// parseMoment reads RFC 3339 or Unix seconds, perhaps with a fraction, as
// microseconds since 1970.
func parseMoment(s string) (int64, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if t.Unix() < 0 || t.Unix() > latestUnix {
			return 0, fmt.Errorf("%q is not between the years 1970 and 9999", clip(s))
		}
		return t.UnixMicro(), nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.ContainsAny(s, "xX_") {
		return 0, fmt.Errorf("%q is neither RFC 3339 nor Unix seconds", clip(s))
	}
	if !(x >= 0 && x <= latestUnix) {
		return 0, fmt.Errorf("%q is not between the years 1970 and 9999", clip(s))
	}
	return int64(math.Round(x * 1e6)), nil
}

func parseRevision(s string) (canary bool, err error) {
	switch s {
	case "baseline":
		return false, nil
	case "canary":
		return true, nil
	}
	return false, fmt.Errorf("%q, want baseline or canary", clip(s))
}

// parseCount reads a whole number; 12.0 is one too, as many exporters write it.
func parseCount(s string) (int64, error) {
	x, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || math.IsInf(x, 0) || x != math.Trunc(x) || strings.ContainsAny(s, "xX_"):
		return 0, fmt.Errorf("%q is not a whole number", clip(s))
	case x < 0:
		return 0, fmt.Errorf("%q is negative", clip(s))
	case x > mostRequests:
		return 0, fmt.Errorf("%q is more than %d, the most one row may have", clip(s), int64(mostRequests))
	}
	return int64(x), nil
}

func (f *judgeFile) bad(line, column int, format string, args ...any) error {
	e := problem.New(problem.Invalid, "rollout.judge", "%s cannot be judged", f.name).
		WithNext("correct the row and run the command again; docs/judge.md describes the columns")
	e.Findings = []problem.Finding{{
		File: f.name, Line: line, Column: column, Severity: "error", Code: "bad-row", Message: fmt.Sprintf(format, args...),
	}}
	return e
}

func (f *judgeFile) unreadable(err error) error {
	var long longLine
	if errors.As(err, &long) {
		return f.bad(int(long), 1, "the line is longer than %d bytes", longestLine)
	}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return f.bad(parse.Line, max(parse.Column, 1), "%v", parse.Err)
	}
	return problem.New(problem.Unavailable, "rollout.judge", "%s cannot be read: %w", f.name, err)
}

// longLine is the number of a line that is too long.
type longLine int

func (l longLine) Error() string { return fmt.Sprintf("line %d is too long", int(l)) }

// lineLimit passes a reader on until a line is too long, so that hostile input
// cannot fill the memory.
type lineLimit struct {
	in     io.Reader
	lines  int // complete ones
	length int // of the present one
}

func (l *lineLimit) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	for i, c := range p[:n] {
		l.length++
		if c == '\n' {
			l.lines, l.length = l.lines+1, 0
		}
		if l.length > longestLine {
			return i, longLine(l.lines + 1)
		}
	}
	return n, err
}

// clip shortens what a message quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
