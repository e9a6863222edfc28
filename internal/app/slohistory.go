package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flyball-dev/flyball/internal/adapter/prometheus/embedded"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/query"
	"github.com/flyball-dev/flyball/internal/adapter/prometheus/remote"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/feed"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// history is where a command takes recorded counts from: a file of counts or of
// samples, or a server with the HTTP API of Prometheus.
type history struct {
	data, openmetrics, prometheus string
	from, until                   string
}

func (h *history) flags(f *pflag.FlagSet) {
	f.StringVar(&h.data, "data", "", "CSV file: time,good,total")
	f.StringVar(&h.openmetrics, "openmetrics", "", "OpenMetrics file: samples with their times, counted by the objective's queries")
	h.remote(f)
	f.StringVar(&h.from, "from", "", "with --openmetrics or --prometheus: count from here, RFC 3339 (default: the objective's window before --until)")
	f.StringVar(&h.until, "until", "", "with --openmetrics or --prometheus: count until here, RFC 3339 (default: the last sample; now)")
}

func (h *history) remote(f *pflag.FlagSet) {
	f.StringVar(&h.prometheus, "prometheus", "", "address of a Prometheus, Thanos, Mimir or VictoriaMetrics; a token is taken from FLYBALL_PROMETHEUS_TOKEN")
}

// series is the history of an objective.
func (h *history) series(cmd *cobra.Command, o *slo.Objective) (*slo.Series, error) {
	given := 0
	for _, from := range []string{h.data, h.openmetrics, h.prometheus} {
		if from != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, cli.Usage("keep one", "more than one of --data, --openmetrics and --prometheus is given")
	case h.prometheus != "":
		client, err := h.client()
		if err != nil {
			return nil, err
		}
		defer client.Close()
		return h.counted(cmd, o, client, h.prometheus, clock.Wall().Now())
	case h.openmetrics != "":
		return h.imported(cmd, o)
	case given == 0:
		return nil, cli.Usage("add --data FILE.csv, --openmetrics FILE or --prometheus URL", "there is no history to read")
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
func (h *history) span(window time.Duration, now time.Time) (from, until time.Time, err error) {
	until = now
	if h.until != "" {
		if until, err = time.Parse(time.RFC3339, h.until); err != nil {
			return from, until, cli.Usage("write it as 2026-10-14T12:00:00Z", "--until %q is not an RFC 3339 time", h.until)
		}
	}
	until = until.UTC().Truncate(metric.SlotWidth)
	from = until.Add(-window)
	if h.from != "" {
		if from, err = time.Parse(time.RFC3339, h.from); err != nil {
			return from, until, cli.Usage("write it as 2026-10-14T12:00:00Z", "--from %q is not an RFC 3339 time", h.from)
		}
	}
	from = from.UTC().Truncate(metric.SlotWidth)
	if !from.Before(until) || until.Sub(from) > 400*24*time.Hour {
		return from, until, cli.Usage("give at most 400 days", "there is no time between %s and %s, or too much", from.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return from, until, nil
}

// imported is the history that the samples of a file tell: they are put into a
// metrics store of their own, which is then asked like any other.
func (h *history) imported(cmd *cobra.Command, o *slo.Objective) (_ *slo.Series, err error) {
	f, err := os.Open(h.openmetrics)
	if err != nil {
		return nil, problem.New(problem.NotFound, "slo.replay", "%w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, embedded.MaxImport+1))
	if err != nil {
		return nil, err
	}
	if len(text) > embedded.MaxImport {
		return nil, problem.New(problem.Invalid, "slo.replay", "%s has more than %d MiB", h.openmetrics, embedded.MaxImport>>20).
			WithNext("write blocks with promtool tsdb create-blocks-from openmetrics, and ask a Prometheus over them: --prometheus URL")
	}
	dir, err := os.MkdirTemp("", "flyball-openmetrics-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	first, last, err := embedded.Import(cmd.Context(), dir, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.openmetrics, err)
	}
	store := embedded.New(embedded.Options{Dir: dir, Retention: 100 * 365 * 24 * time.Hour, MaxBytes: 1 << 40, Logger: slog.New(slog.DiscardHandler)})
	defer func() { err = errors.Join(err, store.Close()) }()
	if begin := first.Truncate(metric.SlotWidth); h.from == "" && begin.After(last.Add(-o.Window.Nominal())) {
		h.from = begin.Format(time.RFC3339)
	}
	// The last minute is whole once its end has come.
	return h.counted(cmd, o, store, h.openmetrics, last.Add(metric.SlotWidth))
}

// counted is the history as an engine's samples tell it, by the counting that
// feeds live objectives.
func (h *history) counted(cmd *cobra.Command, o *slo.Objective, engine metric.Engine, name string, now time.Time) (*slo.Series, error) {
	from, until, err := h.span(o.Window.Nominal(), now)
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
		if err := countInto(cmd.Context(), query.NewCounter(engine), indicator, span, series, func(code, text string) {
			if !said[code] {
				said[code] = true
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", o.ID(), text)
			}
		}); err != nil {
			return nil, err
		}
	}
	if series.Len() == 0 {
		return nil, problem.New(problem.NotFound, "slo.replay", "%s has no counts of %s between %s and %s", name, o.ID(), from.Format(time.RFC3339), until.Format(time.RFC3339)).
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

// asked is an objective's indicator in the words of the port, as live ones are.
func asked(o *slo.Objective) (metric.Indicator, error) {
	if !feed.Ours(o.Indicator) {
		return metric.Indicator{}, problem.New(problem.Invalid, "slo.replay", "objective %s is counted by Flyball's own proxy, not by a Prometheus", o.ID()).
			WithNext("write the indicator's queries in PromQL")
	}
	return feed.Indicator(o.Indicator, nil), nil
}
