package sqlite

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

const (
	maxGroup    = 256                  // writes that share a commit
	maxPatience = 5 * time.Millisecond // with writers that have not come back
	maxVersions = 1 << 16              // streams whose version is kept in memory
)

// job is one write. It checks first and changes after: an error that is not
// the database's leaves nothing behind, so that others can share its commit.
// It may be run again when the commit failed.
type job struct {
	ctx   context.Context
	op    string
	run   func(w *writer) error
	after func(w *writer) error // once it is committed; may be nil
	done  chan error
}

// write hands a job to the sequencer and waits for its commit.
func (s *Store) write(ctx context.Context, op string, run, after func(w *writer) error) error {
	if s.options.ReadOnly {
		return problem.New(problem.Denied, op, "the database was opened for reading only")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{ctx: ctx, op: op, run: run, after: after, done: make(chan error, 1)}
	select {
	case s.jobs <- j:
	case <-s.gone:
		return errClosed(op)
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-j.done:
		return translate(op, err)
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		// It may have been answered before the sequencer ended.
		select {
		case err := <-j.done:
			return translate(op, err)
		default:
			return errClosed(op)
		}
	}
}

// writer owns the connection that writes. What it remembers is what the
// present transaction sees, and is forgotten when that is rolled back.
type writer struct {
	store    *Store
	conn     *conn
	head     event.Head
	recorded time.Time        // of the event at head
	versions map[string]int64 // of streams
	expected int              // jobs served by the commit before, or waiting since
	took     time.Duration    // by that commit
	broken   bool             // the connection must be made anew
}

func (w *writer) connect() error {
	c, err := connect(w.store.path, false, writerPragmas...)
	w.conn = c
	return err
}

// reload reads what the writer remembers.
func (w *writer) reload() error {
	head, err := storedHead(w.conn)
	if err != nil {
		return err
	}
	micros, err := w.conn.number("SELECT recorded FROM event WHERE position = ?", head.Position)
	if err != nil {
		return err
	}
	w.head, w.recorded, w.versions = head, time.UnixMicro(micros).UTC(), map[string]int64{}
	return nil
}

// sequence runs jobs until the store is closed.
func (w *writer) sequence() {
	defer close(w.store.ended)
	defer func() {
		if w.conn != nil {
			w.store.closed = w.conn.close()
		}
	}()
	group := make([]*job, 0, maxGroup)
	for {
		select {
		case j := <-w.store.jobs:
			group = w.serve(append(group[:0], j))
			w.expected = len(group) + len(w.store.jobs)
		case <-w.store.gone:
			return
		}
	}
}

// company gives the next job that is to share the commit of n others, nil when
// it should not wait any longer. The writers that the commit before has woken
// are about to come back: for those a group waits a fraction of the time that
// a commit takes, which sharing one saves.
func (w *writer) company(n int, patience <-chan time.Time) *job {
	for range 3 {
		select {
		case j := <-w.store.jobs:
			return j
		default:
			runtime.Gosched()
		}
	}
	if n >= w.expected {
		return nil
	}
	select {
	case j := <-w.store.jobs:
		return j
	case <-patience:
		return nil
	}
}

// serve commits a group with whoever joins it, answers, and returns all of
// them. When the database refuses the group, each job is tried alone, so that
// only those it concerns fail.
func (w *writer) serve(group []*job) []*job {
	began := clock.Wall().Now()
	group, errs, err := w.commit(group, true)
	w.took = clock.Wall().Now().Sub(began)
	if err == nil {
		w.answer(group, errs)
		return group
	}
	for _, j := range group {
		if len(group) > 1 {
			_, errs, err = w.commit([]*job{j}, false)
		}
		if err != nil {
			j.done <- err
			continue
		}
		w.answer([]*job{j}, errs)
	}
	return group
}

func (w *writer) answer(group []*job, errs []error) {
	w.store.publish(w.head)
	for i, j := range group {
		if errs[i] == nil && j.after != nil {
			errs[i] = j.after(w)
		}
		j.done <- errs[i]
	}
}

// commit runs a group in one transaction, and whoever else comes meanwhile
// when it is open to others: jobs that arrive while earlier ones are inserted
// cost no time of their own. errs are the refusals of single jobs; an error of
// the transaction concerns all.
func (w *writer) commit(group []*job, open bool) (all []*job, errs []error, err error) {
	if err := w.mend(); err != nil {
		return group, nil, err
	}
	if err := w.conn.exec("BEGIN IMMEDIATE"); err != nil {
		w.broken = true
		return group, nil, err
	}
	patience := clock.Wall().NewTimer(min(w.took/4, maxPatience))
	defer patience.Stop()
	before := w.head.Position
	for i := 0; i < len(group); i++ {
		j := group[i]
		refusal := j.ctx.Err()
		if refusal == nil {
			if refusal = j.run(w); fromDatabase(refusal) {
				return group, nil, w.rollback(refusal)
			}
		}
		errs = append(errs, refusal)
		if i+1 < len(group) || !open || len(group) >= maxGroup {
			continue
		}
		if next := w.company(len(group), patience.C()); next != nil {
			group = append(group, next)
		}
	}
	if w.head.Position > before {
		err = w.conn.exec("UPDATE head SET position = ?, hash = ?", w.head.Position, w.head.Hash)
	}
	if err == nil {
		err = w.conn.exec("COMMIT")
	}
	if err != nil {
		return group, nil, w.rollback(err)
	}
	return group, errs, nil
}

// rollback forgets the transaction. The connection is made anew before the
// next one: what a failed write has left in its cache is not to be trusted.
func (w *writer) rollback(cause error) error {
	_ = w.conn.exec("ROLLBACK") // a full disk has rolled back already
	w.broken = true
	return cause
}

func (w *writer) mend() error {
	if !w.broken {
		return nil
	}
	if w.conn != nil {
		_ = w.conn.close()
		w.conn = nil
	}
	if err := w.connect(); err != nil {
		return err
	}
	if err := w.reload(); err != nil {
		return err
	}
	w.broken = false
	return nil
}

// fromDatabase tells an error of the database from a refusal.
func fromDatabase(err error) bool {
	var p *problem.Error
	return err != nil && !errors.As(err, &p)
}

// truncate moves everything from the WAL into the database and empties the
// WAL, so that no copy of what was overwritten is left there.
func (w *writer) truncate() error {
	for range 10 {
		row, err := w.conn.first("PRAGMA wal_checkpoint(TRUNCATE)")
		if err != nil {
			return err
		}
		if row != nil && row[0].(int64) == 0 {
			return nil
		}
	}
	return problem.New(problem.Unavailable, "event.erase", "erased, but a reader still holds the file that has a copy").
		WithNext("erase again once long-running readers (flyball event verify-file) have ended")
}
