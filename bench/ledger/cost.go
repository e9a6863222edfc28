package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/port/measure"
)

// feed gives a world's minutes as a data plane would.
type feed struct {
	bins  []measure.Bin
	acked int64
}

func (f *feed) Bins(_ context.Context, after int64, limit int) (measure.Page, error) {
	from := int(max(after, f.acked))
	to := min(len(f.bins), from+limit)
	return measure.Page{Bins: f.bins[from:to], More: to < len(f.bins)}, nil
}

func (f *feed) Ack(_ context.Context, seq int64) error { f.acked = seq; return nil }

// cost measures what it takes to show one ledger from a store on disk.
func cost(days int) error {
	w := newWorld(1, days)
	w.everything()
	w.bursts(0.3)
	w.run()
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(context.Background(), filepath.Join(dir, "flyball.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	f := &feed{}
	for _, m := range w.arms {
		for _, a := range m.Arms {
			f.bins = append(f.bins, measure.Bin{Seq: int64(len(f.bins) + 1), Service: "shop", Environment: "prod", Revision: a.Revision,
				Time: m.Time, Width: time.Minute, Requests: a.Total, Errors: a.Bad})
		}
	}
	ctx := context.Background()
	c := signal.NewCollector(f, store.Blobs(), func([]measure.Bin) {})
	if _, err := c.Pull(ctx); err != nil {
		return err
	}
	best := [2]time.Duration{time.Hour, time.Hour}
	for range 7 {
		took, err := once(ctx, c, w, days)
		if err != nil {
			return err
		}
		for i := range best {
			best[i] = min(best[i], took[i])
		}
	}
	fmt.Printf("One ledger of %d days and %d before it, %d causes, from SQLite: %.0f ms (reading %.0f, attribution %.0f), the best of 7.\n",
		days, w.history/1440, len(w.causes), ms(best[0]+best[1]), ms(best[0]), ms(best[1]))
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// once shows a ledger and says what its two parts took.
func once(ctx context.Context, c *signal.Collector, w *world, days int) (took [2]time.Duration, err error) {
	began := time.Now()
	minutes, revisions, err := c.History(ctx, "shop", "prod", at(0), at(w.minutes))
	if err != nil {
		return took, err
	}
	read := time.Now()
	raw := slo.NewSeries(time.Minute, 0)
	for _, m := range minutes {
		if err := raw.Add(m.Time, m.Requests-m.Bad, m.Requests); err != nil {
			return took, err
		}
	}
	var arms []budget.Minute
	for _, m := range revisions {
		if last := len(arms) - 1; last < 0 || !arms[last].Time.Equal(m.Time) {
			arms = append(arms, budget.Minute{Time: m.Time})
		}
		last := &arms[len(arms)-1]
		last.Arms = append(last.Arms, budget.Arm{Revision: m.Revision, Total: m.Requests, Bad: m.Bad})
	}
	o, err := objective(days)
	if err != nil {
		return took, err
	}
	l, err := budget.Book(budget.Entry{Objective: o, Raw: raw, Arms: arms, Causes: w.causes, Now: at(w.minutes)})
	if err == nil && len(l.Shares) < 4 {
		err = fmt.Errorf("the ledger has %d shares, and should have more", len(l.Shares))
	}
	return [2]time.Duration{read.Sub(began), time.Since(read)}, err
}
