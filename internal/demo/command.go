package demo

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// Tell is the report in lines. The steps have been shown already.
func (r Report) Tell() string {
	var b strings.Builder
	if r.OK {
		fmt.Fprintf(&b, "Everything went as expected, in %.0f s.\n", r.Seconds)
	} else {
		fmt.Fprintf(&b, "Not as expected: %s\n", r.Error)
	}
	b.WriteString(r.Requests.Tell())
	if !r.OK {
		fmt.Fprintf(&b, "\nlogs and state are kept in %s", r.Dir)
	}
	return b.String()
}

// Command is flyball demo.
func Command() *cobra.Command {
	o := Options{Clock: clock.Wall()}
	c := &cobra.Command{
		Use: "demo", Short: "See it all on a small shop with visitors of its own", Args: cobra.NoArgs,
		Long: `Delivers a small shop with Flyball while visitors come: a good change is promoted
step by step, bad ones are taken back, the server is killed, a dependency fails
until the error budget is spent, a change is blocked, and a fix gets through.
Everything is done as a user would do it, and every request is accounted for.
Needs go and git. Stays up until Ctrl-C; with --once it ends by itself. The exit
code is 4 when something expected did not happen.

  flyball demo
  flyball demo --once -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			if o.Executable, err = os.Executable(); err != nil {
				return err
			}
			o.Progress, o.Terminal, o.Told = cmd.ErrOrStderr(), session.Talks, func(r Report) error { return session.Print(r) }
			if err = Run(cmd.Context(), o); errors.Is(err, ErrUnexpected) {
				return cli.ErrNotMet // the report has said what
			}
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&o.Once, "once", false, "end when the story is told")
	f.StringVar(&o.Dir, "dir", "", "keep everything in this directory (default: a temporary one, removed if all went well)")
	f.StringVar(&o.Listen, "listen", "", "address of API and pages (default: a free port of 127.0.0.1)")
	f.StringVar(&o.Traffic, "traffic", "", "address at which the shop answers (default: a free port of 127.0.0.1)")
	f.Float64Var(&o.Rate, "rate", 200, "visitors' requests per second")
	return c
}
