// Package problem is how Flyball fails: an error that says what kind it is,
// which operation met it, what is wrong in a person's words, and what to do
// next. The API maps a kind to an RFC 9457 problem, the CLI to an exit code,
// in one place each.
package problem

import (
	"errors"
	"fmt"
	"time"
)

// Kind classifies an error by what its receiver can do about it.
type Kind string

// The kinds of error.
const (
	Invalid     Kind = "invalid"     // the request is wrong; the same request will fail again
	NotFound    Kind = "notfound"    // the thing named does not exist
	Conflict    Kind = "conflict"    // it changed meanwhile, or it exists already; look again
	Denied      Kind = "denied"      // the caller is unknown or lacks the permission
	Blocked     Kind = "blocked"     // policy says no, for now; the message says what unblocks it
	Unavailable Kind = "unavailable" // overloaded or not reachable; the same request may succeed later
	Internal    Kind = "internal"    // a fault of ours
)

// Error is an error with a kind, a place and advice.
type Error struct {
	Kind       Kind
	Op         string        // operation or function that failed, such as "rollout.promote"
	Message    string        // what is wrong, for a person
	Next       string        // what to do next; may be empty
	RetryAfter time.Duration // for Unavailable: when to try again; 0 is unknown
	Findings   []Finding     // for Invalid: each place that is wrong
	Err        error         // the cause, if any
}

// Finding is one thing wrong in one place of an input.
type Finding struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`   // from 1
	Column   int    `json:"column,omitempty"` // from 1
	Field    string `json:"field,omitempty"`  // such as spec.steps[2].weight
	Severity string `json:"severity"`         // error or warning
	Code     string `json:"code"`             // stable, such as unknown-field
	Message  string `json:"message"`
}

// String is the finding in the form editors understand: file:line:column: text.
func (f Finding) String() string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	s := f.Message
	if f.Field != "" {
		s = f.Field + ": " + s
	}
	if at != "" {
		s = at + ": " + s
	}
	if f.Severity == "warning" {
		s = "warning: " + s
	}
	return s
}

// Error is the message, its findings and the cause, without the advice.
func (e *Error) Error() string {
	s := e.Message
	for _, f := range e.Findings {
		s += "\n" + f.String()
	}
	if e.Err == nil {
		return s
	}
	if cause := e.Err.Error(); cause != "" {
		s += ": " + cause
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind; format and args make its message. A %w verb
// keeps the cause reachable by errors.Is and errors.As.
func New(kind Kind, op, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Op: op, Message: wrapped.Error()}
	if cause := errors.Unwrap(wrapped); cause != nil {
		e.Err = quiet{cause}
	}
	return e
}

// WithNext adds advice: what the receiver should do next.
func (e *Error) WithNext(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// KindOf is the kind of the first *Error in err's chain, Internal for any
// other error, and empty for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// NextOf is the first advice in err's tree, in the order of errors.As.
func NextOf(err error) string {
	if e, ok := err.(*Error); ok && e.Next != "" {
		return e.Next
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		return NextOf(wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			if next := NextOf(inner); next != "" {
				return next
			}
		}
	}
	return ""
}

// quiet keeps a cause in the chain whose text the message already carries.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }
