// Package store is the port to where Flyball keeps what it knows: the log of
// events, the states folded from it, the leases that fence writers, and blobs
// for signals that are not events (counted bins, SLO slots).
//
// Adapters: internal/adapter/sqlite (one machine, one server per file) and
// internal/adapter/memory (simulation, and states as of a past moment). Every
// adapter passes the suite in storetest. Nothing in the contract assumes that
// there is one writing process.
package store

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Store is one database. Implementations are safe for concurrent use. What a
// method has returned without an error is durable.
type Store interface {
	Log() event.Log
	States() projection.Store
	Leases() Leases
	Blobs() Blobs
	// Verify checks the whole chain. An error names the first position that
	// does not fit. progress, when given, is called now and then with the
	// events checked and the events there are.
	Verify(ctx context.Context, progress func(done, total int64)) (Report, error)
	Close() error
}

// Report says what a verification went through.
type Report struct {
	Head   event.Head `json:"head"`
	Events int64      `json:"events"` // checked
	Erased int64      `json:"erased"` // of those, without their payload
}

// Leases name who may act. A lease is held until it is released or its time is
// up; its epoch fences appends (event.Batch), so that a holder that was
// suspended and does not know it lost the lease can do no harm.
type Leases interface {
	// Acquire grants the lease when it is free, expired, or held by the same
	// holder, and returns its epoch. A new holder always gets a larger epoch
	// than any before; the same holder keeps its own. It fails with
	// problem.Conflict, naming the holder and until when, otherwise.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (epoch int64, err error)
	// Renew prolongs a lease; it fails with problem.Conflict when the lease was
	// released or granted to somebody else since.
	Renew(ctx context.Context, name, holder string, epoch int64, ttl time.Duration) error
	// Release frees a lease; nothing happens when it is not held.
	Release(ctx context.Context, name, holder string, epoch int64) error
}

// BlobWrite is one chunk to store.
type BlobWrite struct {
	Series string    // such as "bins/checkout/42"
	Start  time.Time // to the microsecond; with Series, identifies the chunk
	Data   []byte
	Remove bool // the chunk is removed instead; nothing happens when there is none
}

// Blob is one stored chunk.
type Blob struct {
	Start time.Time
	Data  []byte
}

// Bounds on blobs.
const (
	MaxBlob   = 1 << 20 // bytes of one chunk
	MaxWrites = 1 << 12 // chunks in one Put
)

// Blobs keeps chunks of signals by series and start time.
type Blobs interface {
	// Put stores chunks, in place of those with the same series and start, or
	// removes them, in order, and sets cursors, in one transaction: a source that counts what it delivered
	// is neither lost nor counted twice.
	Put(ctx context.Context, writes []BlobWrite, cursors map[string]int64) error
	// Range returns the chunks that start in [from, to), in order of start.
	Range(ctx context.Context, series string, from, to time.Time) ([]Blob, error)
	// Series lists names with a prefix, after the one given, in order; at most
	// limit, 0 is 1,000.
	Series(ctx context.Context, prefix, after string, limit int) ([]string, error)
	// Cursor is what Put last set for the name, 0 without.
	Cursor(ctx context.Context, name string) (int64, error)
	// Prune removes the chunks of series with a prefix that start before an
	// instant, and says how many.
	Prune(ctx context.Context, prefix string, before time.Time) (int, error)
}
