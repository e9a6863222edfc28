package sqlite

import (
	"context"
	"database/sql/driver"
	"time"

	"github.com/flyball-dev/flyball/internal/port/store"
)

type blobs struct{ s *Store }

func (b blobs) Put(ctx context.Context, writes []store.BlobWrite, cursors map[string]int64) error {
	if err := store.CheckWrites(writes); err != nil {
		return err
	}
	return b.s.write(ctx, "blob.put", func(w *writer) error {
		for _, c := range writes {
			if c.Remove {
				if err := w.conn.exec("DELETE FROM blob WHERE series = ? AND start = ?", c.Series, c.Start.UnixMicro()); err != nil {
					return err
				}
				continue
			}
			data := c.Data
			if data == nil {
				data = []byte{}
			}
			err := w.conn.exec("INSERT INTO blob (series, start, data) VALUES (?1, ?2, ?3) ON CONFLICT (series, start) DO UPDATE SET data = ?3",
				c.Series, c.Start.UnixMicro(), data)
			if err != nil {
				return err
			}
		}
		for name, cursor := range cursors {
			err := w.conn.exec("INSERT INTO blob_cursor (name, cursor) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET cursor = ?2", name, cursor)
			if err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// from is the first microsecond that is not before t.
func from(t time.Time) int64 { return t.Add(time.Microsecond - 1).UnixMicro() }

func (b blobs) Range(ctx context.Context, series string, first, end time.Time) (out []store.Blob, err error) {
	err = b.s.reading(ctx, "blob.range", func(c *conn) error {
		return c.query(ctx, func(row []driver.Value) error {
			out = append(out, store.Blob{Start: time.UnixMicro(row[0].(int64)).UTC(), Data: bytesOf(row[1])})
			return nil
		}, "SELECT start, data FROM blob WHERE series = ? AND start >= ? AND start < ? ORDER BY start", series, from(first), from(end))
	})
	return out, err
}

// Series skips from name to name, however many chunks each has.
func (b blobs) Series(ctx context.Context, prefix, after string, limit int) (out []string, err error) {
	if limit <= 0 {
		limit = 1000
	}
	err = b.s.reading(ctx, "blob.series", func(c *conn) error {
		out, err = seriesFrom(ctx, c, prefix, after, limit)
		return err
	})
	return out, err
}

func seriesFrom(ctx context.Context, c *conn, prefix, after string, limit int) ([]string, error) {
	var out []string
	relation, place := ">=", prefix
	if after >= prefix && after != "" {
		relation, place = ">", after
	}
	for len(out) < limit && ctx.Err() == nil {
		row, err := c.first("SELECT min(series) FROM blob WHERE series "+relation+" ?", place)
		if err != nil || row == nil || row[0] == nil {
			return out, err
		}
		name := row[0].(string)
		if len(name) < len(prefix) || name[:len(prefix)] != prefix {
			break
		}
		out = append(out, name)
		relation, place = ">", name
	}
	return out, ctx.Err()
}

func (b blobs) Cursor(ctx context.Context, name string) (cursor int64, err error) {
	err = b.s.reading(ctx, "blob.cursor", func(c *conn) error {
		cursor, err = c.number("SELECT cursor FROM blob_cursor WHERE name = ?", name)
		return err
	})
	return cursor, err
}

// Prune removes a series' chunks a thousand at a time, so that others' writes
// come in between.
func (b blobs) Prune(ctx context.Context, prefix string, before time.Time) (removed int, err error) {
	for after := ""; ; {
		names, err := b.Series(ctx, prefix, after, 100)
		if err != nil || len(names) == 0 {
			return removed, err
		}
		for _, name := range names {
			n, err := b.pruneSeries(ctx, name, before)
			removed += n
			if err != nil {
				return removed, err
			}
		}
		after = names[len(names)-1]
	}
}

func (b blobs) pruneSeries(ctx context.Context, series string, before time.Time) (removed int, err error) {
	const part = 1000
	for n := int64(part); n == part; removed += int(n) {
		err := b.s.write(ctx, "blob.prune", func(w *writer) error {
			err := w.conn.exec("DELETE FROM blob WHERE rowid IN (SELECT rowid FROM blob WHERE series = ? AND start < ? LIMIT ?)", series, from(before), int64(part))
			if err == nil {
				n, err = w.conn.number("SELECT changes()")
			}
			return err
		}, nil)
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}
