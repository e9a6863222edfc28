package problem

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestError(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}
	for _, test := range []struct {
		err  error
		text string
		kind Kind
		next string
	}{
		{nil, "", "", ""},
		{errors.New("plain"), "plain", Internal, ""},
		{New(Invalid, "op", "bad %d", 7), "bad 7", Invalid, ""},
		{New(NotFound, "op", "no repository: %w", cause).WithNext("make one in %s", "x"), "no repository: open x: file does not exist", NotFound, "make one in x"},
		{fmt.Errorf("outer: %w", New(Blocked, "op", "frozen").WithNext("wait")), "outer: frozen", Blocked, "wait"},
		{New(Unavailable, "op", "outer: %w", New(Conflict, "op", "inner").WithNext("look")), "outer: inner", Unavailable, "look"},
		{errors.Join(errors.New("plain"), New(Denied, "op", "no").WithNext("ask")), "plain\nno", Denied, "ask"},
		{&Error{Kind: Invalid, Message: "two things", Err: errors.New("cause"), Findings: []Finding{
			{File: "a.yaml", Line: 3, Column: 5, Field: "spec.steps[2]", Message: "not a number", Severity: "error"},
			{Message: "odd", Severity: "warning"},
		}}, "two things\na.yaml:3:5: spec.steps[2]: not a number\nwarning: odd: cause", Invalid, ""},
		{&Error{Kind: Internal, Message: "x"}, "x", Internal, ""},
	} {
		if test.err != nil && test.err.Error() != test.text {
			t.Errorf("text %q, want %q", test.err.Error(), test.text)
		}
		if got := KindOf(test.err); got != test.kind {
			t.Errorf("%v: kind %q, want %q", test.err, got, test.kind)
		}
		if got := NextOf(test.err); got != test.next {
			t.Errorf("%v: next %q, want %q", test.err, got, test.next)
		}
	}
}

func TestCauseStaysReachable(t *testing.T) {
	err := fmt.Errorf("x: %w", New(NotFound, "op", "no repository: %w", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}))
	var path *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) || path.Path != "x" {
		t.Fatalf("the cause of %v is out of reach", err)
	}
}
