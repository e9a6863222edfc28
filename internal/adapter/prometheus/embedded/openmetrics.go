package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// MaxImport is how many bytes of OpenMetrics are read at once.
const MaxImport = 512 << 20

// importBatch is how many samples share a commit.
const importBatch = 10_000

// Import writes the samples of an OpenMetrics text (OpenMetrics 1.0; every
// sample with its time, as promtool's back-filling wants them) as one block into
// a store's directory, which no store has open, and tells the span they cover.
// A text that is not right is refused whole.
func Import(ctx context.Context, dir string, text []byte) (first, last time.Time, err error) {
	low, high, err := each(text, func(labels.Labels, int64, float64) error { return nil })
	if err != nil {
		return first, last, err
	}
	if low > high {
		return first, last, problem.New(problem.Invalid, "metric.import", "the text has no samples").WithNext("write samples with their times, such as x_total{a=\"b\"} 5 1790000000")
	}
	// A block's writer takes what is at most half its width old.
	width := 2*(high-low) + time.Hour.Milliseconds()
	w, err := tsdb.NewBlockWriter(slog.New(slog.NewTextHandler(io.Discard, nil)), dir, width)
	if err != nil {
		return first, last, err
	}
	err = fill(ctx, w, text)
	if err == nil {
		_, err = w.Flush(ctx)
	}
	return time.UnixMilli(low).UTC(), time.UnixMilli(high).UTC(), errors.Join(err, w.Close())
}

func fill(ctx context.Context, w *tsdb.BlockWriter, text []byte) error {
	app, pending := w.Appender(ctx), 0
	type place struct {
		ref  storage.SeriesRef
		last int64
	}
	places := map[string]place{}
	_, _, err := each(text, func(l labels.Labels, at int64, v float64) error {
		key := l.String()
		p, known := places[key]
		if known && at <= p.last {
			// The store would drop it without a word.
			return problem.New(problem.Invalid, "metric.import", "%s: the sample at %s does not come in order of time", key, time.UnixMilli(at).UTC().Format(time.RFC3339)).
				WithNext("give the samples of each series once, oldest first")
		}
		ref, err := app.Append(p.ref, l, at, v)
		if err != nil {
			return problem.New(problem.Invalid, "metric.import", "%s at %s: %w", key, time.UnixMilli(at).UTC().Format(time.RFC3339), err)
		}
		places[key] = place{ref, at}
		if pending++; pending%importBatch == 0 {
			err = app.Commit()
			app = w.Appender(ctx)
		}
		return err
	})
	if err != nil {
		return errors.Join(err, app.Rollback())
	}
	return app.Commit()
}

// each goes through the samples of a text and tells the first and last time.
func each(text []byte, sample func(l labels.Labels, at int64, v float64) error) (low, high int64, err error) {
	low, high = math.MaxInt64, math.MinInt64
	p := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable())
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return low, high, nil
		}
		if err != nil {
			return low, high, problem.New(problem.Invalid, "metric.import", "the text is not OpenMetrics: %w", err).
				WithNext("end it with # EOF; promtool check metrics says more")
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, at, v := p.Series()
		var l labels.Labels
		p.Labels(&l)
		if at == nil {
			return low, high, problem.New(problem.Invalid, "metric.import", "%s has a sample without a time", l).WithNext("write the time in seconds after the value")
		}
		low, high = min(low, *at), max(high, *at)
		if err := sample(l, *at, v); err != nil {
			return low, high, err
		}
	}
}
