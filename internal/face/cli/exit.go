package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// The exit codes.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitUsage       = 2   // the command line is wrong
	ExitBlocked     = 3   // policy says no, for now
	ExitNotMet      = 4   // the answer is no: a threshold is not met, a log is not sound
	ExitInterrupted = 130 // 128 + SIGINT
)

// ErrNotMet ends a command whose output answers no; the output has said so.
var ErrNotMet = errors.New("not met")

// ErrBlocked ends a command whose output says that policy forbids what was
// asked about; the output has said so.
var ErrBlocked = errors.New("blocked")

var errInterrupted = errors.New("interrupted")

// usageError is a mistake in the command line.
type usageError struct{ err *problem.Error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usage(next, format string, args ...any) error {
	return usageError{problem.New(problem.Invalid, "cli", format, args...).WithNext("%s", next)}
}

// Usage is an error in the command line, for hand-written commands.
func Usage(next, format string, args ...any) error { return usage(next, format, args...) }

// ExitCode maps an error to the process's exit code. It is the only place that
// does.
func ExitCode(err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errInterrupted):
		return ExitInterrupted
	case errors.Is(err, ErrNotMet):
		return ExitNotMet
	case errors.As(err, &wrong):
		return ExitUsage
	case errors.Is(err, ErrBlocked), problem.KindOf(err) == problem.Blocked:
		return ExitBlocked
	}
	return ExitError
}

// report says what went wrong and what to do next.
func report(w io.Writer, err error) {
	if err == nil || errors.Is(err, ErrNotMet) || errors.Is(err, ErrBlocked) {
		return
	}
	if errors.Is(err, errInterrupted) {
		fmt.Fprintln(w, "interrupted")
		return
	}
	fmt.Fprintln(w, "flyball: "+clean(err.Error()))
	next := problem.NextOf(err)
	if next == "" {
		var known *problem.Error
		if next = "flyball --help"; errors.As(err, &known) && known.Kind != problem.Internal {
			next = api.Describe(err).Next
		}
	}
	fmt.Fprintln(w, "next: "+clean(next))
}

// clean keeps what others wrote from steering the terminal: control characters
// but for new lines and tabs become visible.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// unknownFlag turns a flag error into a usage error, with the flag most likely
// meant.
func unknownFlag(cmd *cobra.Command, err error) error {
	next := cmd.CommandPath() + " --help says what it takes"
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		var names []string
		add := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if near := input.Nearest(missing.GetSpecifiedName(), names); near != "" {
			next = "did you mean --" + near
		}
	}
	return usage(next, "%s", err)
}
