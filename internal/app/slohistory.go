package app

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// history is where a command takes recorded counts from.
type history struct{ data string }

func (h *history) flags(f *pflag.FlagSet) {
	f.StringVar(&h.data, "data", "", "CSV file: time,good,total")
}

// series is the history of an objective.
func (h *history) series(cmd *cobra.Command, _ *slo.Objective) (*slo.Series, error) {
	if h.data == "" {
		return nil, cli.Usage("add --data FILE.csv", "there is no history: --data is missing")
	}
	f, err := os.Open(h.data)
	if err != nil {
		return nil, problem.New(problem.NotFound, "slo.replay", "%w", err)
	}
	defer f.Close()
	series, warnings, err := slo.ReadCSV(h.data, f)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), w)
	}
	return series, nil
}
