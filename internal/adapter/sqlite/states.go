package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"slices"

	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/store"
)

type states struct{ s *Store }

// stored is a row of table projection; a zero id when there is none.
type stored struct{ id, version, cursor int64 }

func lookup(c *conn, name string) (stored, error) {
	row, err := c.first("SELECT id, version, cursor FROM projection WHERE name = ?", name)
	if err != nil || row == nil {
		return stored{}, err
	}
	return stored{row[0].(int64), row[1].(int64), row[2].(int64)}, nil
}

func (t states) Cursor(ctx context.Context, name string, version int) (int64, error) {
	var p stored
	err := t.s.reading(ctx, "projection.cursor", func(c *conn) (err error) {
		p, err = lookup(c, name)
		return err
	})
	if err != nil || p.id > 0 && p.version == int64(version) {
		return p.cursor, err
	}
	var cursor int64
	err = t.s.write(ctx, "projection.cursor", func(w *writer) error {
		p, err := lookup(w.conn, name)
		if err != nil || p.id > 0 && p.version == int64(version) {
			cursor = p.cursor
			return err
		}
		if err := w.drop(p.id); err != nil {
			return err
		}
		cursor = 0
		return w.conn.exec("INSERT INTO projection (name, version, cursor) VALUES (?, ?, 0)", name, int64(version))
	}, nil)
	if err != nil {
		return 0, err
	}
	return cursor, nil
}

// drop removes a projection with its states.
func (w *writer) drop(id int64) error {
	for _, text := range []string{"DELETE FROM state WHERE projection = ?", "DELETE FROM state_index WHERE projection = ?", "DELETE FROM projection WHERE id = ?"} {
		if err := w.conn.exec(text, id); err != nil {
			return err
		}
	}
	return nil
}

func (t states) Load(ctx context.Context, name string, keys []string) (map[string][]byte, error) {
	out := make(map[string][]byte, len(keys))
	err := t.s.reading(ctx, "projection.load", func(c *conn) error {
		p, err := lookup(c, name)
		if err != nil || p.id == 0 {
			return err
		}
		for _, k := range keys {
			err := c.query(ctx, func(row []driver.Value) error {
				out[k] = bytesOf(row[0])
				return nil
			}, "SELECT state FROM state WHERE projection = ? AND key = ?", p.id, k)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func (t states) Save(ctx context.Context, name string, m projection.Move, rows []projection.Row) error {
	return t.s.write(ctx, "projection.save", func(w *writer) error {
		p, err := lookup(w.conn, name)
		if err != nil {
			return err
		}
		if p.id == 0 || p.version != int64(m.Version) || p.cursor != m.From {
			return store.Outrun(name, m, int(p.version), p.cursor)
		}
		for _, row := range rows {
			if err := w.put(p.id, row); err != nil {
				return err
			}
		}
		return w.conn.exec("UPDATE projection SET cursor = ? WHERE id = ?", m.To, p.id)
	}, nil)
}

// put stores a state and, where they changed, its indexes.
func (w *writer) put(id int64, row projection.Row) error {
	state := row.State
	if state == nil {
		state = []byte{}
	}
	indexes := "[]"
	if len(row.Indexes) > 0 {
		b, err := json.Marshal(row.Indexes)
		if err != nil {
			return err
		}
		indexes = string(b)
	}
	old, err := w.conn.first("SELECT indexes FROM state WHERE projection = ? AND key = ?", id, row.Key)
	if err != nil {
		return err
	}
	if old == nil {
		err = w.conn.exec("INSERT INTO state (projection, key, state, indexes) VALUES (?, ?, ?, ?)", id, row.Key, state, indexes)
	} else {
		err = w.conn.exec("UPDATE state SET state = ?, indexes = ? WHERE projection = ? AND key = ?", state, indexes, id, row.Key)
	}
	if err != nil || old != nil && old[0] == indexes {
		return err
	}
	return w.reindex(id, row, old)
}

func (w *writer) reindex(id int64, row projection.Row, old []driver.Value) error {
	var before []projection.Index
	if old != nil {
		if err := json.Unmarshal([]byte(old[0].(string)), &before); err != nil {
			return err
		}
	}
	for _, i := range before {
		if slices.Contains(row.Indexes, i) {
			continue
		}
		err := w.conn.exec("DELETE FROM state_index WHERE projection = ? AND name = ? AND value = ? AND sort = ? AND key = ?", id, i.Name, i.Value, i.Sort, row.Key)
		if err != nil {
			return err
		}
	}
	for _, i := range row.Indexes {
		if slices.Contains(before, i) {
			continue
		}
		err := w.conn.exec("INSERT OR IGNORE INTO state_index (projection, name, value, sort, key) VALUES (?, ?, ?, ?, ?)", id, i.Name, i.Value, i.Sort, row.Key)
		if err != nil {
			return err
		}
	}
	return nil
}

func (t states) List(ctx context.Context, name string, f projection.Filter) (page projection.Page, err error) {
	var after store.Place
	if f.After != "" {
		if after, err = store.ParsePlace(f.After); err != nil {
			return page, err
		}
	}
	limit := store.PageLimit(f)
	err = t.s.reading(ctx, "projection.list", func(c *conn) error {
		p, err := lookup(c, name)
		if err != nil || p.id == 0 {
			return err
		}
		text, args := listing(p.id, f, after)
		var last store.Place
		return c.query(ctx, func(row []driver.Value) error {
			if len(page.Rows) == limit {
				page.Next = last.String()
				return nil
			}
			last = store.Place{Sort: row[0].(string), Key: row[1].(string)}
			page.Rows = append(page.Rows, projection.Row{Key: last.Key, State: bytesOf(row[2])})
			return nil
		}, text, append(args, int64(limit)+1)...)
	})
	return page, err
}

// listing is the query of a page: sort, key and state.
func listing(id int64, f projection.Filter, after store.Place) (string, []any) {
	direction, beyond := "", ">"
	if f.Newest {
		direction, beyond = " DESC", "<"
	}
	if f.Index == "" {
		text, args := "SELECT '', key, state FROM state WHERE projection = ?", []any{id}
		if f.After != "" {
			text, args = text+" AND key "+beyond+" ?", append(args, after.Key)
		}
		return text + " ORDER BY key" + direction + " LIMIT ?", args
	}
	text := "SELECT i.sort, i.key, s.state FROM state_index AS i CROSS JOIN state AS s ON s.projection = i.projection AND s.key = i.key" +
		" WHERE i.projection = ? AND i.name = ? AND i.value = ?"
	args := []any{id, f.Index, f.Value}
	if f.After != "" {
		text, args = text+" AND (i.sort, i.key) "+beyond+" (?, ?)", append(args, after.Sort, after.Key)
	}
	return text + " ORDER BY i.sort" + direction + ", i.key" + direction + " LIMIT ?", args
}

// Replace also empties the WAL: it is how an erased payload leaves the states.
func (t states) Replace(ctx context.Context, name, by string) error {
	return t.s.write(ctx, "projection.replace", func(w *writer) error {
		fresh, err := lookup(w.conn, by)
		if err != nil {
			return err
		}
		if fresh.id == 0 {
			return store.Outrun(by, projection.Move{}, 0, 0)
		}
		old, err := lookup(w.conn, name)
		if err != nil {
			return err
		}
		if err := w.drop(old.id); err != nil {
			return err
		}
		return w.conn.exec("UPDATE projection SET name = ? WHERE id = ?", name, fresh.id)
	}, (*writer).truncate)
}
