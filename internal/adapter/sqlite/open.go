package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Options of a store. The zero Options are those of a server.
type Options struct {
	Clock clock.Clock // nil is the wall clock
	// ReadOnly opens the file beside the server that writes it. Nothing is
	// checked or migrated; writes fail with problem.Denied.
	ReadOnly bool
}

const (
	readers = 4    // connections for reading
	tail    = 1000 // events whose chain is verified when the file is opened

	applicationID = 0x464c5942 // "FLYB", in the file's header
)

// Of every connection; those of the writer and the readers follow.
var (
	pragmas       = []string{"busy_timeout=5000", "temp_store=MEMORY"}
	writerPragmas = append([]string{
		"journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "checkpoint_fullfsync=ON",
		// What is deleted is overwritten with zeros: erased means erased.
		"secure_delete=ON",
		"wal_autocheckpoint=4000", "journal_size_limit=67108864", "cache_size=-16384",
	}, pragmas...)
	readerPragmas = append([]string{"query_only=ON", "cache_size=-4096"}, pragmas...)
)

// Store is an open file.
type Store struct {
	path    string
	options Options
	lock    *os.File
	pool    chan *conn // readers at rest; nil entries are not connected yet
	gone    chan struct{}
	closing sync.Once
	closed  error
	ended   chan struct{} // closed when the sequencer has returned
	jobs    chan *job

	mu    sync.Mutex
	head  event.Head
	moved chan struct{} // closed and replaced when head moves
}

// Open opens the database file at path, making it when it is not there. It
// fails with problem.Conflict when another server has it open, and with
// problem.Internal when the end of the chain does not verify.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = clock.Wall()
	}
	path, err := resolve(path, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, options: o, pool: make(chan *conn, readers), gone: make(chan struct{}),
		ended: make(chan struct{}), jobs: make(chan *job, maxGroup), moved: make(chan struct{}),
	}
	for range readers {
		s.pool <- nil
	}
	if o.ReadOnly {
		close(s.ended)
		if err := s.probe(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	}
	if s.lock, err = lock(path); err != nil {
		return nil, err
	}
	w, err := s.prepare(ctx)
	if err != nil {
		close(s.ended)
		return nil, errors.Join(err, s.Close())
	}
	go w.sequence()
	return s, nil
}

// resolve follows links, so that one file has one lock.
func resolve(path string, readOnly bool) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", problem.New(problem.Invalid, "store.open", "%s: %w", path, err)
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err == nil {
		return resolved, nil
	}
	if readOnly || !errors.Is(err, fs.ErrNotExist) {
		return "", problem.New(problem.NotFound, "store.open", "no database at %s: %w", path, err).
			WithNext("start a server there first (flyball up), or name another data directory")
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", problem.New(problem.NotFound, "store.open", "no directory for %s: %w", path, err)
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// prepare connects the writer, brings the schema up to date and checks the
// end of the chain.
func (s *Store) prepare(ctx context.Context) (*writer, error) {
	w := &writer{store: s}
	if err := w.connect(); err != nil {
		return nil, err
	}
	err := migrate(w.conn)
	if err == nil {
		err = s.checkTail(ctx, w.conn)
	}
	if err == nil {
		err = w.reload()
	}
	if err != nil {
		return nil, errors.Join(translate("store.open", err), w.conn.close())
	}
	s.publish(w.head)
	return w, nil
}

//go:embed migrations
var migrations embed.FS

// migrate brings the schema to the newest version, one file at a time.
func migrate(c *conn) error {
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	if version == 0 {
		if err := claim(c); err != nil {
			return err
		}
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if version > int64(len(files)) {
		return problem.New(problem.Invalid, "store.open", "the database has schema version %d, this Flyball knows up to %d", version, len(files)).
			WithNext("use the newer Flyball that wrote it")
	}
	for _, name := range files[version:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		number, _, _ := strings.Cut(filepath.Base(name), "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return fmt.Errorf("migration %s has no number: %w", name, err)
		}
		if err := c.run(fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version=%d;\nCOMMIT", text, n)); err != nil {
			return errors.Join(err, c.run("ROLLBACK"))
		}
	}
	return nil
}

// claim marks a new file as ours and refuses somebody else's.
func claim(c *conn) error {
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	if tables > 0 {
		return problem.New(problem.Invalid, "store.open", "the file is a database of another program").
			WithNext("give Flyball a file of its own")
	}
	return c.run(fmt.Sprintf("PRAGMA application_id=%d", applicationID))
}

// probe looks whether a read-only file is one of ours.
func (s *Store) probe(ctx context.Context) error {
	return s.reading(ctx, "store.open", func(c *conn) error {
		id, err := c.number("PRAGMA application_id")
		if err == nil && id != applicationID {
			err = problem.New(problem.Invalid, "store.open", "%s is not a Flyball database", s.path)
		}
		return err
	})
}

// checkTail verifies the newest events and that they end at the head.
func (s *Store) checkTail(ctx context.Context, c *conn) error {
	head, err := storedHead(c)
	if err != nil {
		return err
	}
	last, err := c.number("SELECT max(position) FROM event")
	if err != nil {
		return err
	}
	if last != head.Position {
		return problem.New(problem.Internal, "store.open", "log corrupted at position %d: the log ends at %d, its head is at %d", min(last, head.Position)+1, last, head.Position).
			WithNext("restore the database from a backup")
	}
	var prev event.Event
	from := max(0, last-tail)
	return eachEvent(ctx, c, func(e event.Event) error {
		if e.Position > from || from == 0 {
			if err := event.Verify(e, prev.Position, prev.Hash); err != nil {
				return err
			}
		}
		if prev = e; e.Position == last && string(e.Hash) != string(head.Hash) {
			return problem.New(problem.Internal, "store.open", "log corrupted at position %d: it is not the event the head names", last).
				WithNext("restore the database from a backup")
		}
		return nil
	}, "SELECT "+columns+" FROM event WHERE position >= ? ORDER BY position", from)
}

func storedHead(c *conn) (event.Head, error) {
	row, err := c.first("SELECT position, hash FROM head")
	if err != nil || row == nil {
		return event.Head{}, errors.Join(err, errNoHead(row == nil))
	}
	return event.Head{Position: row[0].(int64), Hash: bytesOf(row[1])}, nil
}

func errNoHead(missing bool) error {
	if !missing {
		return nil
	}
	return problem.New(problem.Internal, "store.open", "log corrupted: its head is missing").WithNext("restore the database from a backup")
}

// Log is the chain of events.
func (s *Store) Log() event.Log { return eventLog{s} }

// States keeps what projections fold.
func (s *Store) States() projection.Store { return states{s} }

// Leases fence writers.
func (s *Store) Leases() store.Leases { return leases{s} }

// Blobs keeps signals.
func (s *Store) Blobs() store.Blobs { return blobs{s} }

// Verify checks the whole chain, and that no stream has a gap.
func (s *Store) Verify(ctx context.Context, progress func(done, total int64)) (store.Report, error) {
	var head event.Head
	err := s.reading(ctx, "store.verify", func(c *conn) (err error) {
		head, err = storedHead(c)
		return err
	})
	if err != nil {
		return store.Report{}, err
	}
	report, err := store.VerifyLog(ctx, s.Log(), head, progress)
	if err != nil {
		return report, err
	}
	return report, s.reading(ctx, "store.verify", func(c *conn) error {
		row, err := c.first("SELECT stream, count(*), max(version) FROM event GROUP BY stream HAVING count(*) <> max(version) LIMIT 1")
		if err != nil || row == nil {
			return err
		}
		return problem.New(problem.Internal, "store.verify", "stream %s has %d events, its last version is %d", row[0], row[1], row[2]).
			WithNext("report this as a fault of Flyball; the chain itself is intact")
	})
}

// Close waits for what is running, refuses what waits, and closes the file.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.gone)
		<-s.ended
		for range readers {
			if c := <-s.pool; c != nil {
				s.closed = errors.Join(s.closed, c.close())
			}
		}
		if s.lock != nil {
			s.closed = errors.Join(s.closed, s.lock.Close())
		}
	})
	return s.closed
}

func errClosed(op string) error {
	return problem.New(problem.Unavailable, op, "the store is closed")
}

// reading runs f on a connection of the pool.
func (s *Store) reading(ctx context.Context, op string, f func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.gone:
		return errClosed(op)
	default:
	}
	var c *conn
	select {
	case c = <-s.pool:
	case <-s.gone:
		return errClosed(op)
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.pool <- c }()
	if c == nil {
		fresh, err := connect(s.path, s.options.ReadOnly, readerPragmas...)
		if err != nil {
			return err
		}
		c = fresh
	}
	return translate(op, f(c))
}

// publish tells those who wait that the log has grown.
func (s *Store) publish(h event.Head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Position == s.head.Position {
		return
	}
	s.head = h
	close(s.moved)
	s.moved = make(chan struct{})
}
