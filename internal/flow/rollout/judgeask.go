package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// mostPosted bounds the bins of one question.
const mostPosted = 20_000

// Court judges canaries that others run, from counts that are handed in or that
// a metrics engine has. It remembers nothing: every question is about all
// counts since the canary began.
type Court struct {
	Clock clock.Clock
	// Counter is what counts on a metrics source: one that is declared, or the
	// server's own for an empty name. Nil knows none.
	Counter func(ctx context.Context, source string) (metric.Counter, error)
}

// Bounds on the time that a question in PromQL is about.
const (
	defaultAsked = time.Hour
	mostAsked    = 7*24*time.Hour - 3*time.Hour
)

// Moment is a time in RFC 3339 or Unix seconds.
type Moment struct{ time.Time }

// UnmarshalJSON reads a text or a number.
func (m *Moment) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &m.Time); err == nil {
		return nil // its range is checked with the bin's other numbers
	}
	at, err := parseMoment(strings.Trim(string(b), `"`))
	m.Time = time.UnixMicro(at).UTC()
	return err
}

// PostedBin is what both arms received from a moment until the next bin's.
type PostedBin struct {
	Time     Moment      `json:"time"`
	Baseline judge.Count `json:"baseline"`
	Canary   judge.Count `json:"canary"`
}

// AskInput is a canary to be judged.
type AskInput struct {
	Bins []PostedBin `json:"bins" doc:"counts: time (RFC 3339 or Unix seconds), baseline and canary, each {requests, bad}; at most 20000"`
	CSV  string      `json:"csv" doc:"the same as CSV: time,revision,requests,bad"`

	Source        string        `json:"source" doc:"metrics source that the expressions below are about: a DataSource declared in git (default: the only one, or the server's own store)"`
	BaselineTotal string        `json:"baseline_total" doc:"PromQL: the baseline's requests, a counter such as sum(http_requests_total{pod=~\"shop-1.*\"})"`
	BaselineBad   string        `json:"baseline_bad" doc:"PromQL: those of them that were bad"`
	CanaryTotal   string        `json:"canary_total" doc:"PromQL: the canary's requests"`
	CanaryBad     string        `json:"canary_bad" doc:"PromQL: those of them that were bad"`
	Window        time.Duration `json:"window" doc:"how far back to count, at least to the canary's beginning; at most 165h (default 1h)"`

	Alpha     float64       `json:"alpha" doc:"chance of taking an equal canary back, 0 to 1 (default 0.01)"`
	Tolerance float64       `json:"tolerance" doc:"excess bad ratio that is acceptable, 0 to 1 (default 0.01)"`
	WarmUp    time.Duration `json:"warm_up" doc:"time after the canary's first request that is not held against it (default 1m, negative for none)"`
}

// Ruling is the verdict on a canary, and what it rests on.
type Ruling struct {
	Verdict   judge.Verdict `json:"verdict" doc:"back, on or hold"`
	Reason    string        `json:"reason"`
	EValue    float64       `json:"e_value"` // at most 1e300
	Alpha     float64       `json:"alpha"`   // back when e_value has reached 1/alpha
	Tolerance float64       `json:"tolerance"`
	Excess    Excess        `json:"excess"`
	Baseline  judge.Count   `json:"baseline"`
	Canary    judge.Count   `json:"canary"`
	DecidedAt *time.Time    `json:"decided_at"` // the first crossing for back, else the end of the last bin; null without counts
	Bins      int           `json:"bins"`
	Notes     []string      `json:"notes,omitempty"` // what is wrong with the data of a metrics source
}

// Excess is the canary's bad ratio minus the baseline's, with an interval that
// holds at all times together with error alpha.
type Excess struct {
	Estimate float64 `json:"estimate"`
	Lower    float64 `json:"lower"`
	Upper    float64 `json:"upper"`
}

func (c *Court) ask(ctx context.Context, _ operation.Caller, in AskInput) (Ruling, error) {
	given := 0
	for _, is := range []bool{len(in.Bins) > 0, in.CSV != "", in.expressions() != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return Ruling{}, problem.New(problem.Invalid, "judge.show", "a canary is judged by bins, by csv or by four expressions: one of them").
			WithNext(`send {"bins": [{"time": "2026-11-21T09:30:00Z", "baseline": {"requests": 100, "bad": 0}, "canary": {"requests": 10, "bad": 0}}]}`)
	}
	opts := JudgeOptions{Alpha: in.Alpha, Tolerance: in.Tolerance, WarmUp: in.WarmUp}
	if in.CSV != "" {
		return judgePosted("csv", opts, func(f *judgeFile) error { return f.read(strings.NewReader(in.CSV)) })
	}
	if in.expressions() != nil {
		bins, notes, err := c.count(ctx, in)
		if err != nil {
			return Ruling{}, err
		}
		ruling, err := judgePosted("the counts", opts, func(f *judgeFile) error { return f.post(bins) })
		ruling.Notes = notes
		return ruling, err
	}
	if len(in.Bins) > mostPosted {
		return Ruling{}, problem.New(problem.Invalid, "judge.show", "%d bins; at most %d", len(in.Bins), mostPosted).WithNext("send wider bins")
	}
	return judgePosted("bins", opts, func(f *judgeFile) error { return f.post(in.Bins) })
}

// judgePosted is JudgeCSV with another way to read.
func judgePosted(name string, opts JudgeOptions, read func(*judgeFile) error) (Ruling, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return Ruling{}, err
	}
	f := judgeFile{name: name, config: judge.Config{Alpha: opts.Alpha, WarmUp: max(0, opts.WarmUp)}}
	if err := read(&f); err != nil {
		return Ruling{}, err
	}
	f.state = f.config.Flush(f.state)
	c := f.config.Conclude(f.state, opts.Tolerance)
	j := Ruling{
		Verdict: c.Verdict, Reason: c.Reason, EValue: c.Evidence.EValue, Alpha: opts.Alpha, Tolerance: opts.Tolerance,
		Excess:   Excess{c.Evidence.Excess, c.Evidence.ExcessLower, c.Evidence.ExcessUpper},
		Baseline: c.Evidence.Baseline, Canary: c.Evidence.Canary, Bins: f.bins,
	}
	if !c.At.IsZero() {
		j.DecidedAt = &c.At
	}
	return j, nil
}

// post folds posted bins as if they were rows, whose line is the bin's number.
func (f *judgeFile) post(bins []PostedBin) error {
	seen := map[int64]int{}
	for i, b := range bins {
		at := b.Time.UnixMicro()
		if b.Time.Unix() < 0 || b.Time.Unix() > latestUnix {
			return f.badBin(i, "time: is missing, or not between the years 1970 and 9999; write RFC 3339 or Unix seconds")
		}
		if before, twice := seen[at]; twice {
			return f.badBin(i, "time: bins[%d] has this time already", before)
		}
		seen[at] = i
		for _, arm := range []struct {
			name   string
			canary bool
			count  judge.Count
		}{{"baseline", false, b.Baseline}, {"canary", true, b.Canary}} {
			n := arm.count
			if n.Requests < 0 || n.Bad < 0 || n.Bad > n.Requests || n.Requests > mostRequests {
				return f.badBin(i, "%s: %d bad of %d requests; 0 ≤ bad ≤ requests ≤ %d", arm.name, n.Bad, n.Requests, int64(mostRequests))
			}
			f.rows = append(f.rows, judgeRow{at: at, line: i + 1, canary: arm.canary, count: n})
		}
	}
	return f.fold(len(f.rows))
}

func (f *judgeFile) badBin(i int, format string, args ...any) error {
	e := problem.New(problem.Invalid, "judge.show", "the counts cannot be judged").WithNext("correct the bin and ask again; docs/judge.md describes them")
	e.Findings = []problem.Finding{{Field: fmt.Sprintf("bins[%d]", i), Severity: "error", Code: "bad-bin", Message: fmt.Sprintf(format, args...)}}
	return e
}

// Tell is verdict, reason and numbers.
func (j Ruling) Tell() string {
	return fmt.Sprintf("%s: %s\nE = %.4g of %.4g needed for back; excess of the bad ratio %.4g (%.4g to %.4g), on below %.4g",
		j.Verdict, j.Reason, j.EValue, 1/max(j.Alpha, 1e-300), j.Excess.Estimate, j.Excess.Lower, j.Excess.Upper, j.Tolerance)
}

// MarshalJSON writes RFC 3339.
func (m Moment) MarshalJSON() ([]byte, error) { return json.Marshal(m.Time) }
