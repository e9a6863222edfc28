package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

const (
	writers  = 64
	rawBatch = 64
)

// appends compares appends by 64 writers, one event each and every one durable
// before it is acknowledged, with inserts of the same rows in transactions of
// 64 by database/sql, into the same tables with the same settings.
func appends(ctx context.Context, out io.Writer, dir string, rows, rounds int) error {
	recorded, err := records(ctx, rows)
	if err != nil {
		return err
	}
	var ours, raw, wide []time.Duration
	for round := range rounds {
		for _, side := range []struct {
			into *[]time.Duration
			run  func(path string) (time.Duration, error)
		}{
			{&raw, func(p string) (time.Duration, error) { return rawInserts(ctx, p, recorded, 1) }},
			{&ours, func(p string) (time.Duration, error) { return storeAppends(ctx, p, rows) }},
			{&wide, func(p string) (time.Duration, error) { return rawInserts(ctx, p, recorded, 16) }},
		} {
			d, err := side.run(filepath.Join(dir, fmt.Sprintf("append-%d-%d.db", round, len(ours)+len(raw)+len(wide))))
			if err != nil {
				return err
			}
			*side.into = append(*side.into, d)
		}
	}
	mine := perSecond(rows, median(ours))
	for _, peer := range []struct {
		name string
		d    []time.Duration
	}{{"raw inserts, 64 a commit", raw}, {"raw inserts, 64 a commit, 16 a statement", wide}} {
		theirs := perSecond(rows, median(peer.d))
		fmt.Fprintf(out, "durable appends, %d writers\t%.0f/s\t%s: %.0f/s\t%.0f %%\n", writers, mine, peer.name, theirs, 100*mine/theirs)
	}
	return nil
}

type payload struct {
	Revision string `json:"revision"`
	Requests int    `json:"requests"`
	Bad      int    `json:"bad"`
	Note     string `json:"note"`
}

var note = strings.Repeat("lorem ipsum ", 36)

// draft is an event with a payload of 500 bytes.
func draft(i int) event.Draft {
	return event.Draft{
		Type: fmt.Sprintf("rollout.kind%d", i%10), Subject: fmt.Sprintf("service/%d", i%1000), Actor: "controller:rollout", Cause: "some-earlier-event",
		Data: payload{Revision: fmt.Sprintf("r%06d", i), Requests: i, Bad: i % 7, Note: note},
	}
}

func stream(i int) string { return fmt.Sprintf("rollout/%d", i%500) }

func records(ctx context.Context, rows int) ([]event.Event, error) {
	log := memory.New(memory.Options{}).Log()
	var all []event.Event
	for i := range rows {
		d := draft(i)
		d.ID = event.Event{}.Place(0, 0, time.Now(), nil).ID // of the same shape as the store's own
		e, err := log.Append(ctx, event.Batch{Stream: stream(i), Expect: event.AnyVersion, Drafts: []event.Draft{d}})
		if err != nil {
			return nil, err
		}
		all = append(all, e...)
	}
	return all, nil
}

func storeAppends(ctx context.Context, path string, rows int) (time.Duration, error) {
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var next atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	start := time.Now()
	for range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < rows; i = int(next.Add(1)) - 1 {
				b := event.Batch{Stream: stream(i), Expect: event.AnyVersion, Drafts: []event.Draft{draft(i)}}
				if _, err := s.Log().Append(ctx, b); err != nil {
					failed.Store(err)
					return
				}
			}
		})
	}
	wg.Wait()
	d := time.Since(start)
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return d, nil
}

// rawInserts opens the store once, for its tables, and then fills the table of
// events past it.
func rawInserts(ctx context.Context, path string, events []event.Event, perStatement int) (time.Duration, error) {
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return 0, err
	}
	if err := s.Close(); err != nil {
		return 0, err
	}
	dsn := "file:" + path + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)" +
		"&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-16384)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	row := "(?" + strings.Repeat(",?", 12) + ")"
	stmt, err := db.PrepareContext(ctx, "INSERT INTO event VALUES "+row+strings.Repeat(","+row, perStatement-1))
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	start := time.Now()
	for first := 0; first+rawBatch <= len(events); first += rawBatch {
		if err := rawCommit(ctx, db, stmt, events[first:first+rawBatch], perStatement); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

func rawCommit(ctx context.Context, db *sql.DB, stmt *sql.Stmt, events []event.Event, perStatement int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert := tx.StmtContext(ctx, stmt)
	for len(events) > 0 {
		var args []any
		for _, e := range events[:perStatement] {
			seal := append(append(append([]byte{}, e.Digest...), e.Hash...), e.Salt...)
			args = append(args, e.Position, e.Stream, e.Version, e.ID, e.Source, e.Type, e.Subject,
				e.Time.UnixMicro(), e.Recorded.UnixMicro(), e.Actor, e.Cause, []byte(e.Data), seal)
		}
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			return err
		}
		events = events[perStatement:]
	}
	return tx.Commit()
}
