package memory

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/port/store"
)

type blobs struct{ s *Store }

func byStart(b store.Blob, start time.Time) int { return b.Start.Compare(start) }

func (b blobs) Put(ctx context.Context, writes []store.BlobWrite, cursors map[string]int64) error {
	if err := store.CheckWrites(writes); err != nil {
		return err
	}
	return b.s.write(ctx, "put", func(db *database) error {
		for _, w := range writes {
			chunks := db.blobs[w.Series]
			blob := store.Blob{Start: w.Start.UTC().Truncate(time.Microsecond), Data: slices.Clone(w.Data)}
			i, found := slices.BinarySearchFunc(chunks, blob.Start, byStart)
			switch {
			case w.Remove && found && len(chunks) == 1:
				delete(db.blobs, w.Series)
			case w.Remove && found:
				db.blobs[w.Series] = slices.Delete(chunks, i, i+1)
			case w.Remove:
			case found:
				chunks[i] = blob
			default:
				db.blobs[w.Series] = slices.Insert(chunks, i, blob)
			}
		}
		maps.Copy(db.cursors, cursors)
		return nil
	})
}

func (b blobs) Range(ctx context.Context, series string, from, to time.Time) (out []store.Blob, err error) {
	err = b.s.read(ctx, func(db *database) error {
		chunks := db.blobs[series]
		i, _ := slices.BinarySearchFunc(chunks, from, byStart)
		j, _ := slices.BinarySearchFunc(chunks, to, byStart)
		if i < j {
			out = slices.Clone(chunks[i:j])
		}
		return nil
	})
	return out, err
}

func (b blobs) Series(ctx context.Context, prefix, after string, limit int) (out []string, err error) {
	if limit <= 0 {
		limit = 1000
	}
	err = b.s.read(ctx, func(db *database) error {
		for name := range db.blobs {
			if strings.HasPrefix(name, prefix) && name > after {
				out = append(out, name)
			}
		}
		return nil
	})
	slices.Sort(out)
	return out[:min(len(out), limit)], err
}

func (b blobs) Cursor(ctx context.Context, name string) (cursor int64, err error) {
	err = b.s.read(ctx, func(db *database) error {
		cursor = db.cursors[name]
		return nil
	})
	return cursor, err
}

func (b blobs) Prune(ctx context.Context, prefix string, before time.Time) (removed int, err error) {
	err = b.s.write(ctx, "put", func(db *database) error {
		for name, chunks := range db.blobs {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			i, _ := slices.BinarySearchFunc(chunks, before, byStart)
			removed += i
			if i == len(chunks) {
				delete(db.blobs, name)
			} else {
				db.blobs[name] = slices.Delete(chunks, 0, i)
			}
		}
		return nil
	})
	return removed, err
}
