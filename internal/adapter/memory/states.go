package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/store"
)

type states struct{ s *Store }

// fold is what one projection has stored.
type fold struct {
	version int
	cursor  int64
	rows    map[string]projection.Row
	lists   map[listName]*list
}

type listName struct{ index, value string }

func newFold(version int) *fold {
	return &fold{version: version, rows: map[string]projection.Row{}, lists: map[listName]*list{}}
}

func (t states) Cursor(ctx context.Context, name string, version int) (cursor int64, err error) {
	err = t.s.read(ctx, func(db *database) error {
		f := db.states[name]
		if f == nil || f.version != version {
			f = newFold(version)
			db.states[name] = f
		}
		cursor = f.cursor
		return nil
	})
	return cursor, err
}

func (t states) Load(ctx context.Context, name string, keys []string) (out map[string][]byte, err error) {
	out = make(map[string][]byte, len(keys))
	err = t.s.read(ctx, func(db *database) error {
		f := db.states[name]
		if f == nil {
			return nil
		}
		for _, k := range keys {
			if row, ok := f.rows[k]; ok {
				out[k] = row.State
			}
		}
		return nil
	})
	return out, err
}

func (t states) Save(ctx context.Context, name string, m projection.Move, rows []projection.Row) error {
	return t.s.write(ctx, "save", func(db *database) error {
		f := db.states[name]
		if f == nil {
			return store.Outrun(name, m, 0, 0)
		}
		if f.version != m.Version || f.cursor != m.From {
			return store.Outrun(name, m, f.version, f.cursor)
		}
		for _, row := range rows {
			f.put(row)
		}
		f.cursor = m.To
		return nil
	})
}

func (f *fold) put(row projection.Row) {
	old, existed := f.rows[row.Key]
	f.rows[row.Key] = row
	if !existed {
		f.list(listName{}).insert(store.Place{Key: row.Key})
	}
	if slices.Equal(old.Indexes, row.Indexes) {
		return
	}
	for _, i := range old.Indexes {
		f.list(listName{i.Name, i.Value}).remove(store.Place{Sort: i.Sort, Key: row.Key})
	}
	for _, i := range row.Indexes {
		f.list(listName{i.Name, i.Value}).insert(store.Place{Sort: i.Sort, Key: row.Key})
	}
}

func (f *fold) list(name listName) *list {
	l := f.lists[name]
	if l == nil {
		l = &list{sorted: true}
		f.lists[name] = l
	}
	return l
}

func (t states) List(ctx context.Context, name string, filter projection.Filter) (page projection.Page, err error) {
	var after store.Place
	if filter.After != "" {
		if after, err = store.ParsePlace(filter.After); err != nil {
			return page, err
		}
	}
	err = t.s.read(ctx, func(db *database) error {
		f := db.states[name]
		if f == nil {
			return nil
		}
		of := listName{filter.Index, filter.Value}
		if filter.Index == "" {
			of = listName{}
		}
		l := f.lists[of]
		if l == nil {
			return nil
		}
		places, more := l.page(after, filter.After != "", filter.Newest, store.PageLimit(filter))
		for _, p := range places {
			page.Rows = append(page.Rows, projection.Row{Key: p.Key, State: f.rows[p.Key].State})
		}
		if more {
			page.Next = places[len(places)-1].String()
		}
		return nil
	})
	return page, err
}

func (t states) Replace(ctx context.Context, name, by string) error {
	return t.s.write(ctx, "save", func(db *database) error {
		f := db.states[by]
		if f == nil {
			return store.Outrun(by, projection.Move{}, 0, 0)
		}
		db.states[name] = f
		delete(db.states, by)
		return nil
	})
}

// list holds places in order. Most arrive in order; of those that do not, a
// short list takes them at once and a long one sorts when it is next looked at.
type list struct {
	places []store.Place
	sorted bool
}

const short = 1024

func compare(a, b store.Place) int {
	return cmp.Or(strings.Compare(a.Sort, b.Sort), strings.Compare(a.Key, b.Key))
}

func (l *list) sort() {
	if !l.sorted {
		slices.SortFunc(l.places, compare)
		l.places = slices.Compact(l.places)
		l.sorted = true
	}
}

func (l *list) insert(p store.Place) {
	n := len(l.places)
	switch {
	case !l.sorted || n == 0 || compare(l.places[n-1], p) < 0:
		l.places = append(l.places, p)
	case n < short:
		i, found := slices.BinarySearchFunc(l.places, p, compare)
		if !found {
			l.places = slices.Insert(l.places, i, p)
		}
	default:
		l.places = append(l.places, p)
		l.sorted = false
	}
}

func (l *list) remove(p store.Place) {
	l.sort()
	if i, found := slices.BinarySearchFunc(l.places, p, compare); found {
		l.places = slices.Delete(l.places, i, i+1)
	}
}

// page is a part of the list in the order asked for, and whether more follows.
func (l *list) page(after store.Place, from, newest bool, limit int) (places []store.Place, more bool) {
	l.sort()
	i, found := slices.BinarySearchFunc(l.places, after, compare)
	if newest {
		if !from {
			i = len(l.places)
		}
		first := max(i-limit, 0)
		places = slices.Clone(l.places[first:i])
		slices.Reverse(places)
		return places, first > 0
	}
	if !from {
		i = 0
	} else if found {
		i++
	}
	last := min(i+limit, len(l.places))
	return slices.Clone(l.places[i:last]), last < len(l.places)
}
