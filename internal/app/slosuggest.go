package app

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// suggested is what slo suggest prints.
type suggested struct {
	Items []slo.Suggestion `json:"items"`
}

func sloSuggest() *cobra.Command {
	var from history
	var o slo.SuggestOptions
	c := &cobra.Command{
		Use: "suggest --prometheus URL", Short: "Propose objectives for the metrics of a Prometheus; needs no server", Args: cobra.NoArgs,
		Long: "Looks for request counters with a status, histograms of durations, gRPC, probes, and\nthe names that ingresses and meshes use. Prints OpenSLO, ready to apply, with a\nreason above each; -o json has the numbers.\n\n  flyball slo suggest --prometheus http://localhost:9090 > objectives.yaml\n  flyball slo replay --objective objectives.yaml --name NAME --prometheus http://localhost:9090",
		RunE: func(cmd *cobra.Command, _ []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			if from.prometheus == "" {
				return cli.Usage("add --prometheus http://localhost:9090", "--prometheus is missing: the server to look at")
			}
			client, err := from.client()
			if err != nil {
				return err
			}
			defer client.Close()
			if o.Now = clock.Wall().Now(); from.until != "" {
				if _, o.Now, err = from.span(0x7fffffff, clock.Wall().Now()); err != nil {
					return err
				}
			}
			list, err := slo.Suggest(cmd.Context(), client, o)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return problem.New(problem.NotFound, "slo.suggest", "no metric of %s is one that an objective is usually made of", from.prometheus).
					WithNext("write the queries yourself: docs/slo.md; or look further back with --days")
			}
			if session.Format != "table" {
				return session.Print(suggested{list})
			}
			return writeSuggestions(session.Out, list)
		},
	}
	f := c.Flags()
	from.remote(f)
	f.StringVar(&from.until, "until", "", "look back from here, RFC 3339 (default: now)")
	f.IntVar(&o.Days, "days", 7, "how many days to look back, 1 to 90")
	f.IntVar(&o.Limit, "limit", 20, "at most this many, those with most events first")
	return c
}

func writeSuggestions(w io.Writer, list []slo.Suggestion) error {
	for i, s := range list {
		if i > 0 {
			fmt.Fprintln(w, "---")
		}
		if _, err := fmt.Fprintf(w, "# %s: %s\n%s", s.Objective, strings.ReplaceAll(s.Why, "\n", " "), s.Document); err != nil {
			return err
		}
	}
	return nil
}
