package app

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/remote"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// history is where a command takes recorded counts from: a file, or a server
// with the HTTP API of Prometheus.
type history struct {
	data, prometheus string
	from, until      string
}

func (h *history) flags(f *pflag.FlagSet) {
	f.StringVar(&h.data, "data", "", "CSV file: time,good,total")
	h.remote(f)
	f.StringVar(&h.from, "from", "", "with --prometheus: count from here, RFC 3339 (default: the objective's window before --until)")
	f.StringVar(&h.until, "until", "", "with --prometheus: count until here, RFC 3339 (default: now)")
}

func (h *history) remote(f *pflag.FlagSet) {
	f.StringVar(&h.prometheus, "prometheus", "", "address of a Prometheus, Thanos, Mimir or VictoriaMetrics; a token is taken from FLYBALL_PROMETHEUS_TOKEN")
}

// series is the history of an objective.
func (h *history) series(cmd *cobra.Command, o *slo.Objective) (*slo.Series, error) {
	switch {
	case h.data != "" && h.prometheus != "":
		return nil, cli.Usage("remove one", "both --data and --prometheus are given")
	case h.prometheus != "":
		return h.counted(cmd, o)
	case h.data == "":
		return nil, cli.Usage("add --data FILE.csv, or --prometheus URL", "there is no history to read")
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

// replay replays the objective of a name, or a composite over its parts.
func (h *history) replay(cmd *cobra.Command, defs *slo.Definitions, name string, at time.Time) (*slo.Report, error) {
	c, parts, composite := slo.Composed(defs.Objectives, name)
	if !composite {
		o, err := defs.Find(name)
		if err != nil {
			return nil, err
		}
		series, err := h.series(cmd, o)
		if err != nil {
			return nil, err
		}
		return slo.Replay(o, series, at)
	}
	files := map[string]string{}
	for _, pair := range strings.Split(h.data, ",") {
		part, file, _ := strings.Cut(pair, "=")
		files[part] = file
	}
	events := make([]*slo.Series, len(parts))
	for i, o := range parts {
		of := *h
		if h.data != "" {
			if of.data = files[o.Name]; of.data == "" {
				return nil, cli.Usage("write --data "+o.Name+"=FILE.csv, with a comma between parts", "there is no data for %s, a part of the composite %s", o.Name, c.Name)
			}
		}
		var err error
		if events[i], err = of.series(cmd, o); err != nil {
			return nil, err
		}
	}
	return slo.ReplayComposite(c, parts, events, at)
}

// tokenVariable holds the token for a metrics server that a command asks.
const tokenVariable = "FLYBALL_PROMETHEUS_TOKEN"

// client asks the metrics server.
func (h *history) client() (*remote.Client, error) {
	cfg := remote.Config{URL: h.prometheus, Clock: clock.Wall(), UserAgent: "flyball/" + Version(), Secret: os.LookupEnv}
	if os.Getenv(tokenVariable) != "" {
		cfg.BearerSecret = tokenVariable
	}
	return remote.New(cfg)
}

// span is the minutes asked for.
func (h *history) span(window time.Duration) (from, until, now time.Time, err error) {
	now = clock.Wall().Now()
	until = now
	if h.until != "" {
		if until, err = time.Parse(time.RFC3339, h.until); err != nil {
			return from, until, now, cli.Usage("write it as 2026-10-14T12:00:00Z", "--until %q is not an RFC 3339 time", h.until)
		}
	}
	until = until.UTC().Truncate(metric.SlotWidth)
	from = until.Add(-window)
	if h.from != "" {
		if from, err = time.Parse(time.RFC3339, h.from); err != nil {
			return from, until, now, cli.Usage("write it as 2026-10-14T12:00:00Z", "--from %q is not an RFC 3339 time", h.from)
		}
	}
	from = from.UTC().Truncate(metric.SlotWidth)
	if !from.Before(until) || until.Sub(from) > 400*24*time.Hour {
		return from, until, now, cli.Usage("give at most 400 days", "there is no time between %s and %s, or too much", from.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return from, until, now, nil
}

// counted is the history as the server's samples tell it, by the counting that
// feeds live objectives.
func (h *history) counted(cmd *cobra.Command, o *slo.Objective) (*slo.Series, error) {
	client, err := h.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	from, until, now, err := h.span(o.Window.Nominal())
	if err != nil {
		return nil, err
	}
	indicator, err := asked(o)
	if err != nil {
		return nil, err
	}
	series := slo.NewSeries(metric.SlotWidth, 0)
	said := map[string]bool{}
	for begin := from; begin.Before(until); begin = begin.Add(query.MaxSpan) {
		span := metric.Span{From: begin, Until: earlier(begin.Add(query.MaxSpan), until), Now: now}
		if err := countInto(cmd.Context(), query.NewCounter(client), indicator, span, series, func(code, text string) {
			if !said[code] {
				said[code] = true
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", o.ID(), text)
			}
		}); err != nil {
			return nil, err
		}
	}
	if series.Len() == 0 {
		return nil, problem.New(problem.NotFound, "slo.replay", "%s has no counts of %s between %s and %s", h.prometheus, o.ID(), from.Format(time.RFC3339), until.Format(time.RFC3339)).
			WithNext("try the indicator's queries there, or another --from and --until")
	}
	return series, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// countInto adds a span's minutes of all groups to a series.
func countInto(ctx context.Context, c metric.Counter, i metric.Indicator, span metric.Span, to *slo.Series, tell func(code, text string)) error {
	counts, err := c.Count(ctx, []metric.Indicator{i}, span)
	if err != nil {
		return err
	}
	if counts[0].Err != nil {
		return counts[0].Err
	}
	for _, f := range counts[0].Findings {
		tell(f.Code, f.Message)
	}
	for _, g := range counts[0].Groups {
		for _, s := range g.Slots {
			if err := to.Add(time.UnixMilli(s.At), s.Good, s.Total); err != nil {
				return err
			}
		}
	}
	return nil
}

// asked is an objective's indicator in the words of the port.
func asked(o *slo.Objective) (metric.Indicator, error) {
	i := o.Indicator
	text := func(s *slo.Source) string {
		if s == nil {
			return ""
		}
		return s.Query
	}
	out := metric.Indicator{
		Good: text(i.Good), Bad: text(i.Bad), Total: text(i.Total), Value: text(i.Value), Failures: i.Failures,
		Op: string(i.Op), Threshold: i.Threshold.Float64(), Counter: i.Counter, Sum: i.Kind == slo.Ratio,
	}
	switch {
	case i.Kind == slo.Ratio:
		out.Kind = metric.Ratio
	case i.Kind == slo.Raw:
		out.Kind = metric.Share
	case i.Kind == slo.Threshold:
		out.Kind = metric.Measured
	case i.Kind == slo.Latency && i.Value != nil:
		out.Kind = metric.Faster
	default:
		return out, problem.New(problem.Invalid, "slo.replay", "objective %s is counted by Flyball's own proxy, not by a Prometheus", o.ID()).
			WithNext("write the indicator's queries in PromQL")
	}
	return out, nil
}
