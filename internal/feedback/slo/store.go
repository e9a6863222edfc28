package slo

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// SlotStore keeps what the engine must not lose: the slots of every objective
// for the whole retention, and checkpoints that make a restart quick. Forms are
// opaque. Implementations are safe for concurrent use, and return only when
// what they were given is durable.
type SlotStore interface {
	// SaveChunks writes chunks, each replacing the one of the same objective and
	// start; all of them or none.
	SaveChunks(ctx context.Context, chunks []Chunk) error
	// LoadChunks gives the chunks of an objective that start in [from, to), oldest
	// first; it stops at the first error of yield and returns it.
	LoadChunks(ctx context.Context, id string, from, to time.Time, yield func(Chunk) error) error
	// DropChunks removes an objective's chunks that start before a time.
	DropChunks(ctx context.Context, id string, before time.Time) error
	// SaveCheckpoints replaces the checkpoints of objectives.
	SaveCheckpoints(ctx context.Context, checkpoints []Checkpoint) error
	// LoadCheckpoints gives every objective's last checkpoint, in any order.
	LoadCheckpoints(ctx context.Context, yield func(Checkpoint) error) error
}

// Chunk is the encoded slots of one objective that begin within one ChunkWidth.
type Chunk struct {
	ID    string
	Start time.Time // a multiple of ChunkWidth, UTC
	Data  []byte
}

// ChunkWidth is the time that one chunk holds: a day, of which one-minute
// slots take about four kilobytes.
const ChunkWidth = 24 * time.Hour

// Checkpoint is the live state of one objective.
type Checkpoint struct {
	ID   string
	Data []byte
}

// Chunks cuts a history into chunks.
func Chunks(id string, events *Series) []Chunk {
	var out []Chunk
	first, end := events.Bounds()
	for start := first.Truncate(ChunkWidth); start.Before(end); start = start.Add(ChunkWidth) {
		if part := events.Between(start, start.Add(ChunkWidth)); part.Len() > 0 {
			out = append(out, Chunk{ID: id, Start: start, Data: part.Encode()})
		}
	}
	return out
}

// LoadSeries is an objective's stored slots that begin in [from, to). Without
// any it is empty, of slots of width.
func LoadSeries(ctx context.Context, store SlotStore, id string, from, to time.Time, width time.Duration) (*Series, error) {
	var out *Series
	err := store.LoadChunks(ctx, id, from.UTC().Truncate(ChunkWidth), to, func(c Chunk) error {
		part, err := DecodeSeries(c.Data)
		if err != nil {
			return problem.New(problem.Internal, "slo.load", "%s: the slots of %s: %w", id, c.Start.Format(time.DateOnly), err).
				WithNext("restore the slots from a backup, or back-fill them from their source")
		}
		if out == nil {
			out = part
			return nil
		}
		return out.Merge(part)
	})
	switch {
	case err != nil:
		return nil, err
	case out == nil:
		return NewSeries(width, 0), nil
	}
	return out.Between(from, to), nil
}
