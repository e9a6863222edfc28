package slo

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Deployment is a change that was released, and what became of it.
type Deployment struct {
	Time    time.Time `json:"time"`
	Change  string    `json:"change,omitempty"`
	Outcome string    `json:"outcome"` // ok, failed, or blocked: it was not released then, so nobody knows
	Kind    string    `json:"kind,omitempty"`
	Marked  string    `json:"marked,omitempty"`
}

// The outcomes of a deployment.
const (
	OutcomeOK      = "ok"
	OutcomeFailed  = "failed"
	OutcomeBlocked = "blocked"
)

// maxRecords bounds the incidents and deployments of one file, and maxRecordFile
// its size in bytes.
const (
	maxRecords    = 200_000
	maxRecordFile = 64 << 20
)

// outcomes are the words that delivery tools use.
var outcomes = map[string]string{
	"ok": OutcomeOK, "success": OutcomeOK, "succeeded": OutcomeOK, "promoted": OutcomeOK,
	"failed": OutcomeFailed, "failure": OutcomeFailed, "rolled_back": OutcomeFailed, "rollback": OutcomeFailed, "aborted": OutcomeFailed,
	"blocked": OutcomeBlocked, "": OutcomeBlocked, "unknown": OutcomeBlocked,
}

// ReadIncidents reads incidents from CSV (start,end and perhaps name) or from a
// JSON array of such objects; opened_at and resolved_at are understood too. An
// incident without an end is open: it ends never.
func ReadIncidents(file string, r io.Reader) ([]Incident, error) {
	rows, err := readRecords(file, r)
	if err != nil {
		return nil, err
	}
	var out []Incident
	for _, row := range rows {
		in := Incident{Name: row.first("name", "incident", "id")}
		if in.Start, err = row.time("start", "opened_at", "opened"); err != nil {
			return nil, err
		}
		in.End = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
		if row.first("end", "resolved_at", "resolved") != "" {
			if in.End, err = row.time("end", "resolved_at", "resolved"); err != nil {
				return nil, err
			}
		}
		if !in.End.After(in.Start) {
			return nil, row.bad("an incident ends after it starts")
		}
		out = append(out, in)
	}
	return out, nil
}

// ReadDeployments reads deployments from CSV (time,change,outcome and perhaps
// kind and marked) or from a JSON array of such objects.
func ReadDeployments(file string, r io.Reader) ([]Deployment, error) {
	rows, err := readRecords(file, r)
	if err != nil {
		return nil, err
	}
	var out []Deployment
	for _, row := range rows {
		d := Deployment{Change: row.first("change", "name", "commit"), Kind: row.first("kind"), Marked: row.first("marked")}
		if d.Time, err = row.time("time", "finished_at", "started_at"); err != nil {
			return nil, err
		}
		outcome, ok := outcomes[strings.ToLower(row.first("outcome", "result"))]
		if !ok {
			return nil, row.bad("outcome is %q; write ok, failed or blocked", clip(row.first("outcome", "result"), 40))
		}
		d.Outcome = outcome
		out = append(out, d)
	}
	return out, nil
}

// record is one row by the names of its columns.
type record struct {
	file   string
	line   int // or the number of the object, from 1
	fields map[string]string
}

func (r record) first(names ...string) string {
	for _, n := range names {
		if v := strings.TrimSpace(r.fields[n]); v != "" {
			return v
		}
	}
	return ""
}

func (r record) time(names ...string) (time.Time, error) {
	text := r.first(names...)
	t, err := parseTime(text)
	if err != nil {
		return t, r.bad("%s: %v", names[0], err)
	}
	return t, nil
}

func (r record) bad(format string, args ...any) error {
	e := problem.New(problem.Invalid, "slo.backtest", "%s cannot be read", r.file).WithNext("docs/backtest.md describes the columns")
	e.Findings = []problem.Finding{{File: r.file, Line: r.line, Column: 1, Severity: "error", Code: "bad-record", Message: fmt.Sprintf(format, args...)}}
	return e
}

func readRecords(file string, r io.Reader) ([]record, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRecordFile+1))
	if err != nil {
		return nil, problem.New(problem.Unavailable, "slo.backtest", "%s: %w", file, err)
	}
	start := record{file: file, line: 1}
	if len(data) > maxRecordFile {
		return nil, start.bad("the file is larger than %d bytes", maxRecordFile)
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff"))
	var rows []record
	if strings.HasPrefix(text, "[") {
		rows, err = jsonRecords(start, text)
	} else {
		rows, err = csvRecords(start, text)
	}
	if err == nil && len(rows) > maxRecords {
		err = start.bad("more than %d records", maxRecords)
	}
	return rows, err
}

func jsonRecords(start record, text string) ([]record, error) {
	var items []map[string]any
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		return nil, start.bad("this is no JSON array of objects: %v", err)
	}
	var rows []record
	for i, item := range items {
		row := record{file: start.file, line: i + 1, fields: map[string]string{}}
		for name, v := range item {
			switch v := v.(type) {
			case nil:
			case float64:
				row.fields[name] = fmt.Sprintf("%.3f", v)
			default:
				row.fields[name] = fmt.Sprint(v)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func csvRecords(start record, text string) ([]record, error) {
	in := csv.NewReader(strings.NewReader(text))
	in.TrimLeadingSpace, in.FieldsPerRecord = true, -1
	all, err := in.ReadAll()
	if err != nil {
		return nil, start.bad("this is not CSV: %v", err)
	}
	if len(all) == 0 {
		return nil, start.bad("there is no header")
	}
	var rows []record
	for i, values := range all[1:] {
		row := record{file: start.file, line: i + 2, fields: map[string]string{}}
		for j, name := range all[0] {
			if j < len(values) {
				row.fields[strings.ToLower(strings.TrimSpace(name))] = values[j]
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
