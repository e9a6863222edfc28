// Package memory keeps a store in memory, for simulation and for states as of
// a past moment. It passes the same suite as the durable adapters, and can
// crash on demand, which loses whatever was not acknowledged.
package memory

import (
	"context"
	"sync"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Point is a moment around a write at which a crash may strike.
type Point struct {
	Op      string // append, erase, save, lease or put
	Durable bool   // false: before anything is written; true: written, not yet acknowledged
}

// Options of a store. The zero Options are ready to use.
type Options struct {
	Clock clock.Clock // nil is the wall clock
	// Crash is asked at every point of every write; true makes the store crash
	// there. It is called one at a time and must not use the store.
	Crash func(Point) bool
	// LoseLast plants a bug for tests that must find it: so many of the newest
	// appends are acknowledged before they are durable, and lost by a crash.
	LoseLast int
}

// Store is a handle on a database in memory.
type Store struct {
	db      *database
	options Options
	gone    chan struct{} // closed when the handle is of no more use
}

// New makes an empty database and a handle on it.
func New(o Options) *Store {
	db := &database{
		ids: map[identity]int64{}, streams: map[string][]int64{}, subjects: map[string][]int64{},
		moved: make(chan struct{}), states: map[string]*fold{}, leases: map[string]lease{},
		blobs: map[string][]store.Blob{}, cursors: map[string]int64{},
	}
	return db.handle(o)
}

func (db *database) handle(o Options) *Store {
	if o.Clock == nil {
		o.Clock = clock.Wall()
	}
	return &Store{db: db, options: o, gone: make(chan struct{})}
}

// Another is a second handle on the same database, as a second server has.
func (s *Store) Another() *Store { return s.db.handle(s.options) }

// Crash makes every present and later use of the handle fail, and returns a
// new one on what was durable. A handle that has crashed already, at a Point,
// gives its successor.
func (s *Store) Crash() *Store {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.die()
	if s.options.LoseLast > 0 {
		s.db.lose(s.options.LoseLast)
	}
	return s.db.handle(s.options)
}

// Close ends the handle; others on the same database go on.
func (s *Store) Close() error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.die()
	return nil
}

// die wants the lock held.
func (s *Store) die() {
	if !s.dead() {
		close(s.gone)
	}
}

func (s *Store) dead() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// Log is the chain of events.
func (s *Store) Log() event.Log { return log{s} }

// States keeps what projections fold.
func (s *Store) States() projection.Store { return states{s} }

// Leases fence writers.
func (s *Store) Leases() store.Leases { return leases{s} }

// Blobs keeps signals.
func (s *Store) Blobs() store.Blobs { return blobs{s} }

// Verify checks the whole chain.
func (s *Store) Verify(ctx context.Context, progress func(done, total int64)) (store.Report, error) {
	head, err := s.Log().Head(ctx)
	if err != nil {
		return store.Report{}, err
	}
	return store.VerifyLog(ctx, s.Log(), head, progress)
}

// database is what handles share. A write checks first and changes after, so
// that it is atomic without a journal.
type database struct {
	mu sync.Mutex

	events   []event.Event
	batches  []int // length of each append, kept for lose
	ids      map[identity]int64
	streams  map[string][]int64 // positions
	subjects map[string][]int64 // positions
	moved    chan struct{}      // closed and replaced by every append

	states  map[string]*fold
	leases  map[string]lease
	blobs   map[string][]store.Blob // in order of start
	cursors map[string]int64        // of blobs
}

type identity struct{ source, id string }

// write runs f with the lock held, between the points of a crash.
func (s *Store) write(ctx context.Context, op string, f func(db *database) error) error {
	return s.read(ctx, func(db *database) error {
		if s.crashes(Point{Op: op}) {
			return crashed()
		}
		if err := f(db); err != nil {
			return err
		}
		if s.crashes(Point{Op: op, Durable: true}) {
			return crashed()
		}
		return nil
	})
}

func (s *Store) crashes(p Point) bool {
	if s.options.Crash == nil || !s.options.Crash(p) {
		return false
	}
	s.die()
	return true
}

// read runs f with the lock held.
func (s *Store) read(ctx context.Context, f func(db *database) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.dead() {
		return crashed()
	}
	return f(s.db)
}

func crashed() error {
	return problem.New(problem.Unavailable, "store", "the store is closed")
}
