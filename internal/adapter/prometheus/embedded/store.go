package embedded

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/metric"
)

// Options say where a Store keeps what, and how much of it.
type Options struct {
	Dir       string        // made when the store opens
	Retention time.Duration // how long samples are kept; default 30 days
	MaxBytes  int64         // of blocks and log on disk, the oldest go first; default 2 GB
	Limits    Limits        // zero fields: the defaults
	Clock     clock.Clock   // nil: the wall's
	Logger    *slog.Logger  // nil: slog.Default
	// Sockets are addresses (host:port) that stand for unix sockets, for scraping
	// programs of ours.
	Sockets map[string]string
	// Own are targets that are scraped whenever the store is open.
	Own []metric.Job
}

// Limits bound what others can take.
type Limits struct {
	Queries      int           // at once; others wait. 4
	QueryTime    time.Duration // of one query, waiting included; 30 s
	QuerySamples int           // that a query may hold in memory; 5,000,000 (16 bytes each)
	Writes       int           // requests at once; others are told to come back. 4
	Body         int64         // bytes of a written body as sent; 16 MiB
	Decompressed int64         // bytes of it decompressed; 64 MiB
	Series       uint64        // in the head of the store; writes are refused beyond. 500,000
}

func (l Limits) filled() Limits {
	l.Queries = or(l.Queries, 4)
	l.QueryTime = or(l.QueryTime, 30*time.Second)
	l.QuerySamples = or(l.QuerySamples, 5_000_000)
	l.Writes = or(l.Writes, 4)
	l.Body = or(l.Body, 16<<20)
	l.Decompressed = or(l.Decompressed, 64<<20)
	l.Series = or(l.Series, 500_000)
	return l
}

func or[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}

// Store is the embedded metrics store. It is safe for concurrent use.
type Store struct {
	o       Options
	queries *turns
	writes  chan struct{}

	mu       sync.Mutex
	closed   bool
	open     *opened    // nil until needed
	applying sync.Mutex // one change of the targets at a time
	scraper  *scraper
}

// opened is what exists once the store is open.
type opened struct {
	db          *tsdb.DB
	engine      *promql.Engine
	remoteWrite http.Handler
}

// New makes a store; nothing is read, written or started before the first use.
func New(o Options) *Store {
	o.Retention = or(o.Retention, 30*24*time.Hour)
	o.MaxBytes = or(o.MaxBytes, 2<<30)
	o.Limits = o.Limits.filled()
	if o.Clock == nil {
		o.Clock = clock.Wall()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Store{o: o, queries: newTurns(o.Limits.Queries), writes: make(chan struct{}, o.Limits.Writes)}
}

// Open opens the store unless it is. A store that is damaged beyond what can be
// cut off its log is problem.Unavailable, now and at each later try.
func (s *Store) Open() error {
	_, err := s.use()
	return err
}

func (s *Store) use() (*opened, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, problem.New(problem.Unavailable, "metrics.open", "the server is stopping")
	}
	if s.open != nil {
		return s.open, nil
	}
	// What the directory holds is for the server's user alone.
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return nil, problem.New(problem.Unavailable, "metrics.open", "the directory of metrics cannot be made: %w", err)
	}
	registry := prometheus.NewRegistry()
	db, err := tsdb.Open(s.o.Dir, s.o.Logger, registry, s.tsdbOptions(), nil)
	if err != nil {
		return nil, problem.New(problem.Unavailable, "metrics.open", "the store of metrics in %s cannot be opened: %w", s.o.Dir, err).
			WithNext("move the damaged part that the message names out of the directory; what it held is lost to queries, the rest is served")
	}
	scraper, err := newScraper(s.o, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	o := &opened{db: db, engine: s.engine()}
	o.remoteWrite = newRemoteWrite(o)
	s.open, s.scraper = o, scraper
	return o, nil
}

// tsdbOptions are Prometheus' defaults, made smaller where a small store would
// pay for a large one: buffers, stripes and segments.
func (s *Store) tsdbOptions() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = s.o.Retention.Milliseconds()
	o.MaxBytes = s.o.MaxBytes
	o.MaxBlockDuration = max(o.MinBlockDuration, min(31*24*time.Hour, s.o.Retention/10).Milliseconds())
	o.NoLockfile = true // the server holds a lock on its state directory
	o.WALCompression = compression.Snappy
	o.WALSegmentSize = 16 << 20
	o.StripeSize = 512
	o.HeadChunksWriteBufferSize = 256 << 10
	o.OutOfOrderTimeWindow = lateness.Milliseconds()
	return o
}

// lateness is how much older than the newest sample of its series a written
// sample may be.
const lateness = time.Hour

func (s *Store) engine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: s.o.Logger, MaxSamples: s.o.Limits.QuerySamples, Timeout: s.o.Limits.QueryTime, ActiveQueryTracker: s.queries,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: parser.NewParser(parser.Options{}),
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})
}

// Close ends scraping and closes the store; it does not open again.
func (s *Store) Close() error {
	s.mu.Lock()
	o, sc := s.open, s.scraper
	s.closed, s.open = true, nil
	s.mu.Unlock()
	if o == nil {
		return nil
	}
	sc.stop()
	return errors.Join(o.engine.Close(), o.db.Close())
}

// Holds tells what the store holds; nothing while it is not open.
func (s *Store) Holds() (series uint64, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return 0, 0
	}
	head := s.open.db.Head()
	bytes = head.Size()
	for _, b := range s.open.db.Blocks() {
		bytes += b.Size()
	}
	return head.NumSeries(), bytes
}

// querier reads the samples of a time range, both ends included, in Unix
// milliseconds.
func (o *opened) querier(from, until int64) (storage.Querier, error) {
	q, err := o.db.Querier(from, until)
	if err != nil {
		return nil, problem.New(problem.Unavailable, "metrics.query", "the store cannot be read: %w", err)
	}
	return q, nil
}

// turns lets a number of queries run at once; it is a promql.QueryTracker.
type turns struct{ free chan struct{} }

func newTurns(n int) *turns { return &turns{free: make(chan struct{}, n)} }

func (t *turns) GetMaxConcurrent() int { return cap(t.free) }

func (t *turns) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case t.free <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (t *turns) Delete(int) { <-t.free }

func (t *turns) Close() error { return nil }
