package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// folding fills a log, opens it, and folds all of it on one core: reading,
// decoding, applying and saving.
func folding(ctx context.Context, out io.Writer, path string, events int) error {
	if err := fill(ctx, path, events); err != nil {
		return err
	}
	start := time.Now()
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	opened := time.Since(start)
	fmt.Fprintf(out, "open a log of %d events\t%.0f ms\taim: 1000 ms\t%.0f %%\n", events, opened.Seconds()*1e3, 100*opened.Seconds())

	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	read, err := clocked(func() error { return readAll(ctx, s) })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "read %d events, one core\t%.1f s (CPU %.1f s)\t\t\n", events, read.wall.Seconds(), read.cpu.Seconds())
	folded, err := clocked(func() error { return projection.NewRunner(s.Log(), s.States(), services()).CatchUp(ctx) })
	if err != nil {
		return err
	}
	aim := 10 * float64(events) / 1e6
	fmt.Fprintf(out, "fold %d events of 500 bytes, one core\t%.1f s (CPU %.1f s)\taim: CPU %.0f s\t%.0f %%\n",
		events, folded.wall.Seconds(), folded.cpu.Seconds(), aim, 100*folded.cpu.Seconds()/aim)
	verified, err := clocked(func() error { _, err := s.Verify(ctx, nil); return err })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "verify %d events, one core\t%.1f s (CPU %.1f s)\t\t\n", events, verified.wall.Seconds(), verified.cpu.Seconds())
	return check(ctx, s, events)
}

func fill(ctx context.Context, path string, events int) error {
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for i := 0; i < events; {
		b := event.Batch{Stream: stream(i / 1000), Expect: event.AnyVersion}
		for ; len(b.Drafts) < 1000 && i < events; i++ {
			b.Drafts = append(b.Drafts, draft(i))
		}
		if _, err := s.Log().Append(ctx, b); err != nil {
			return err
		}
	}
	return s.Close()
}

func readAll(ctx context.Context, s *sqlite.Store) error {
	for after := int64(0); ; {
		events, err := s.Log().Read(ctx, event.Query{After: after, Limit: 2000})
		if err != nil || len(events) == 0 {
			return err
		}
		after = events[len(events)-1].Position
	}
}

type service struct {
	Revision string    `json:"revision"`
	Events   int       `json:"events"`
	Requests int       `json:"requests"`
	Bad      int       `json:"bad"`
	Last     time.Time `json:"last"`
}

func services() *projection.Projection {
	return projection.Define(projection.Fold[service]{
		Name: "service", Version: 1, Types: []string{"rollout."},
		Keys: func(e event.Event) []string { return []string{e.Subject} },
		Apply: func(_ string, s service, e event.Event) (service, error) {
			p, err := event.Decode[payload](e)
			s.Revision, s.Last = p.Revision, e.Time
			s.Events, s.Requests, s.Bad = s.Events+1, s.Requests+p.Requests, s.Bad+p.Bad
			return s, err
		},
		Indexes: func(_ string, s service) []projection.Index {
			return []projection.Index{{Name: "all", Value: "yes", Sort: s.Last.Format(time.RFC3339Nano)}}
		},
	})
}

// check recomputes what was folded.
func check(ctx context.Context, s *sqlite.Store, events int) error {
	list, _, err := projection.List[service](ctx, s.States(), "service", projection.Filter{Limit: projection.MaxPage})
	if err != nil {
		return err
	}
	total, requests := 0, 0
	for _, s := range list {
		total += s.Events
		requests += s.Requests
	}
	if total != events || requests != events*(events-1)/2 {
		return fmt.Errorf("folded %d events with %d requests, want %d with %d", total, requests, events, events*(events-1)/2)
	}
	return nil
}

type timing struct{ wall, cpu time.Duration }

func clocked(f func() error) (timing, error) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return timing{}, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return timing{}, err
	}
	wall := time.Since(start)
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return timing{}, err
	}
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	return timing{wall, cpu}, nil
}
