package app

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/feed"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// sloSuggest looks at a Prometheus by itself, or has the server look at its own
// store or at one of its sources.
func sloSuggest(ops []operation.Operation) *cobra.Command {
	var from history
	var o slo.SuggestOptions
	var source string
	c := &cobra.Command{
		Use: "suggest [--prometheus URL]", Short: "Propose objectives for the metrics of a Prometheus, or of the server's own store", Args: cobra.NoArgs,
		Long: "Looks for request counters with a status, histograms of durations, gRPC, probes, and\nthe names that ingresses and meshes use. Prints OpenSLO, ready to apply, with a\nreason above each; -o json has the numbers.\n\nWithout --prometheus the server looks: at the source that objectives are counted on\nwhich name none, or at that of --source.\n\n  flyball slo suggest --prometheus http://localhost:9090 > objectives.yaml\n  flyball slo replay --objective objectives.yaml --name NAME --prometheus http://localhost:9090",
		RunE: func(cmd *cobra.Command, _ []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			if from.prometheus == "" {
				return askForSuggestions(cmd, session, byName(ops, "slo.suggest"), feed.SuggestInput{Source: source, Days: o.Days, Limit: o.Limit}, from.until)
			}
			if source != "" {
				return cli.Usage("keep one", "--source is one of the server's; --prometheus is asked without a server")
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
				return slo.NothingToSuggest(from.prometheus)
			}
			return session.Print(slo.Suggestions{Items: list})
		},
	}
	f := c.Flags()
	from.remote(f)
	f.StringVar(&source, "source", "", "have the server look at this DataSource; built-in is its own metrics store")
	f.StringVar(&from.until, "until", "", "look back from here, RFC 3339 (default: now)")
	f.IntVar(&o.Days, "days", 7, "how many days to look back, 1 to 90")
	f.IntVar(&o.Limit, "limit", 20, "at most this many, those with most events first")
	return c
}

// askForSuggestions has the server look.
func askForSuggestions(cmd *cobra.Command, session *cli.Session, op operation.Operation, in feed.SuggestInput, until string) (err error) {
	if until != "" {
		if in.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return cli.Usage("write it as 2026-10-14T12:00:00Z", "--until %q is not an RFC 3339 time", until)
		}
	}
	raw, err := session.Call(cmd.Context(), op, &in)
	if err != nil {
		return err
	}
	return session.Show(op, raw)
}
