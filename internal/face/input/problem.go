package input

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// decoding collects what is wrong with an input.
type decoding struct{ findings []problem.Finding }

func (d *decoding) wrong(field, format string, args ...any) {
	d.add(field, "value", fmt.Sprintf(format, args...))
}

func (d *decoding) add(field, code, message string) {
	if len(d.findings) < 50 { // enough to act on; a hostile body has more
		d.findings = append(d.findings, problem.Finding{Field: clip(field), Severity: "error", Code: code, Message: message})
	}
}

func (d *decoding) unknown(name string, fields map[string]operation.Field) {
	message := "is not a field of this operation"
	if near := Nearest(name, sorted(fields)); near != "" {
		message += "; did you mean " + near + "?"
	} else if len(fields) > 0 {
		message += "; it has " + strings.Join(sorted(fields), ", ")
	}
	d.add(name, "unknown-field", message)
}

// limit bounds the conventional page size.
func (d *decoding) limit(op operation.Operation, in any) {
	for _, f := range operation.Fields(op.Input) {
		if v := reflect.ValueOf(in).Elem().FieldByIndex(f.Index); f.Name == "limit" && v.CanInt() && (v.Int() < 0 || v.Int() > MaxPage) {
			d.wrong("limit", "must be between 0 (the default) and %d", MaxPage)
		}
	}
}

func (d *decoding) problem(op operation.Operation) error {
	if len(d.findings) == 0 {
		return nil
	}
	err := problem.New(problem.Invalid, op.Name(), "the input of %s %s is not right", op.Noun, op.Verb).
		WithNext("flyball %s %s --help says what it takes", op.Noun, op.Verb)
	err.Findings = d.findings
	return err
}

func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

// Nearest is the candidate that a misspelt word most likely meant, or empty:
// at most about a third of it may differ (see distance).
func Nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", (len(word)+2)/3+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts insertions, deletions, substitutions and swaps of neighbours
// (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
