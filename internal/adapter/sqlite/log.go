package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
)

type eventLog struct{ s *Store }

// pollEvery is how often a read-only store looks for new events.
const pollEvery = 50 * time.Millisecond

// columns are what scan reads. The header's texts come as one, which is a good
// deal cheaper than one by one; none of them holds a NUL.
const columns = "position, version, time, recorded, concat_ws(char(0), stream, id, source, type, subject, actor, cause), data, seal"

func scan(e *event.Event, row []driver.Value) error {
	*e = event.Event{
		Position: row[0].(int64), Version: row[1].(int64),
		Time: time.UnixMicro(row[2].(int64)).UTC(), Recorded: time.UnixMicro(row[3].(int64)).UTC(),
		Data: bytesOf(row[5]), Erased: row[5] == nil,
	}
	rest, ok := row[4].(string), true
	for _, field := range []*string{&e.Stream, &e.ID, &e.Source, &e.Type, &e.Subject, &e.Actor} {
		if *field, rest, ok = strings.Cut(rest, "\x00"); !ok {
			return damaged(e.Position, "its header")
		}
	}
	e.Cause = rest
	seal := bytesOf(row[6])
	if len(seal) < 2*sha256.Size {
		return damaged(e.Position, "its seal")
	}
	e.Digest, e.Hash = seal[:sha256.Size:sha256.Size], seal[sha256.Size:2*sha256.Size:2*sha256.Size]
	if len(seal) > 2*sha256.Size {
		e.Salt = seal[2*sha256.Size:]
	}
	return nil
}

func damaged(position int64, what string) error {
	return problem.New(problem.Internal, "event.read", "log corrupted at position %d: %s is damaged", position, what).
		WithNext("restore the log from a backup taken before this position; everything before it is intact")
}

func eachEvent(ctx context.Context, c *conn, f func(event.Event) error, text string, args ...any) error {
	return c.query(ctx, func(row []driver.Value) error {
		var e event.Event
		if err := scan(&e, row); err != nil {
			return err
		}
		return f(e)
	}, text, args...)
}

// Append seals the batch here and has the sequencer place it.
func (l eventLog) Append(ctx context.Context, b event.Batch) ([]event.Event, error) {
	sealed, err := event.Seal(b)
	if err != nil {
		return nil, err
	}
	var out []event.Event
	err = l.s.write(ctx, "event.append", func(w *writer) (err error) {
		out, err = w.append(b, sealed)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (w *writer) append(b event.Batch, sealed []event.Event) ([]event.Event, error) {
	out := slices.Clone(sealed)
	fresh, err := w.known(out)
	if err != nil || fresh == 0 {
		return out, err
	}
	version, err := w.admit(b)
	if err != nil {
		return nil, err
	}
	now := w.store.options.Clock.Now()
	if now.Before(w.recorded) {
		now = w.recorded
	}
	for i, e := range out {
		switch {
		case e.Position > 0:
			continue
		case e.ID != "":
			if first := slices.IndexFunc(out[:i], func(o event.Event) bool { return o.ID == e.ID && o.Source == e.Source }); first >= 0 {
				out[i] = out[first]
				continue
			}
		}
		version++
		e = e.Place(w.head.Position+1, version, now, w.head.Hash)
		if err := w.insert(e); err != nil {
			return nil, err
		}
		out[i], w.head, w.recorded = e, event.Head{Position: e.Position, Hash: e.Hash}, e.Recorded
	}
	if len(w.versions) >= maxVersions {
		clear(w.versions)
	}
	w.versions[b.Stream] = version
	return out, nil
}

// known puts recorded events in the place of those whose identity they have,
// and counts the rest.
func (w *writer) known(batch []event.Event) (fresh int, err error) {
	for i, e := range batch {
		fresh++
		if e.ID == "" {
			continue
		}
		err := eachEvent(context.Background(), w.conn, func(old event.Event) error {
			batch[i] = old
			fresh--
			return nil
		}, "SELECT "+columns+" FROM event WHERE source = ? AND id = ?", e.Source, e.ID)
		if err != nil {
			return 0, err
		}
	}
	return fresh, nil
}

// admit checks the lease's epoch and the stream's version, which it returns.
func (w *writer) admit(b event.Batch) (int64, error) {
	if b.Lease.Name != "" {
		epoch, err := w.conn.number("SELECT epoch FROM lease WHERE name = ?", b.Lease.Name)
		if err != nil {
			return 0, err
		}
		if epoch != b.Lease.Epoch {
			return 0, store.StaleLease(b.Lease, epoch)
		}
	}
	version, ok := w.versions[b.Stream]
	if !ok {
		var err error
		if version, err = streamVersion(w.conn, b.Stream); err != nil {
			return 0, err
		}
	}
	if b.Expect != event.AnyVersion && b.Expect != version {
		return 0, store.StaleVersion(b.Stream, version, b.Expect)
	}
	return version, nil
}

func streamVersion(c *conn, stream string) (int64, error) {
	return c.number("SELECT max(version) FROM event WHERE stream = ?", stream)
}

func (w *writer) insert(e event.Event) error {
	seal := make([]byte, 0, 2*sha256.Size+len(e.Salt))
	seal = append(append(append(seal, e.Digest...), e.Hash...), e.Salt...)
	return w.conn.exec("INSERT INTO event (position, stream, version, id, source, type, subject, time, recorded, actor, cause, data, seal) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
		e.Position, e.Stream, e.Version, e.ID, e.Source, e.Type, e.Subject,
		e.Time.UnixMicro(), e.Recorded.UnixMicro(), e.Actor, e.Cause, []byte(e.Data), seal)
}

func (l eventLog) Head(ctx context.Context) (event.Head, error) {
	if l.s.options.ReadOnly {
		var h event.Head
		err := l.s.reading(ctx, "event.head", func(c *conn) (err error) {
			h, err = storedHead(c)
			return err
		})
		return h, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.head, ctx.Err()
}

func (l eventLog) Version(ctx context.Context, stream string) (v int64, err error) {
	err = l.s.reading(ctx, "event.version", func(c *conn) error {
		v, err = streamVersion(c, stream)
		return err
	})
	return v, err
}

func (l eventLog) Wait(ctx context.Context, after int64) error {
	if l.s.options.ReadOnly {
		return l.poll(ctx, after)
	}
	for {
		l.s.mu.Lock()
		head, moved := l.s.head, l.s.moved
		l.s.mu.Unlock()
		if err := ctx.Err(); err != nil || head.Position > after {
			return err
		}
		select {
		case <-moved:
		case <-l.s.gone:
			return errClosed("event.wait")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poll waits for what another process writes.
func (l eventLog) poll(ctx context.Context, after int64) error {
	for {
		head, err := l.Head(ctx)
		if err != nil || head.Position > after {
			return err
		}
		if err := clock.Sleep(ctx, l.s.options.Clock, pollEvery); err != nil {
			return err
		}
	}
}

// Erase overwrites payload and salt, then empties the WAL, where older copies
// of the page may be.
func (l eventLog) Erase(ctx context.Context, position int64, actor, reason string) error {
	return l.s.write(ctx, "event.erase", func(w *writer) error {
		var found []event.Event
		err := eachEvent(context.Background(), w.conn, func(e event.Event) error {
			found = append(found, e)
			return nil
		}, "SELECT "+columns+" FROM event WHERE position = ?", position)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return store.NoEvent(position)
		}
		if found[0].Erased {
			return nil
		}
		b := store.ErasureBatch(found[0], actor, reason)
		sealed, err := event.Seal(b)
		if err != nil {
			return err
		}
		if _, err := w.append(b, sealed); err != nil {
			return err
		}
		return w.conn.exec("UPDATE event SET data = NULL, seal = substr(seal, 1, 64) WHERE position = ?", position)
	}, (*writer).truncate)
}

// Read picks the index that fits the query best.
func (l eventLog) Read(ctx context.Context, q event.Query) (out []event.Event, err error) {
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	q.After = max(q.After, 0)
	err = l.s.reading(ctx, "event.read", func(c *conn) error {
		out, err = read(ctx, c, q)
		return err
	})
	return out, err
}

func read(ctx context.Context, c *conn, q event.Query) ([]event.Event, error) {
	until, err := end(c, q)
	if err != nil || q.After >= until {
		return nil, err
	}
	if q.ID != "" {
		text, args := "SELECT "+columns+" FROM event WHERE source = 'flyball' AND id = ? AND position > ? AND position <= ?", []any{q.ID, q.After, until}
		if q.Stream != "" {
			text, args = text+" AND stream = ?", append(args, q.Stream)
		}
		if q.Subject != "" {
			text, args = text+" AND subject = ?", append(args, q.Subject)
		}
		return collect(ctx, c, q, 1, text, args...)
	}
	if len(q.Types) > 0 && q.Stream == "" && q.Subject == "" {
		types, err := concrete(ctx, c, q.Types)
		if err != nil || len(types) == 0 {
			return nil, err
		}
		if len(types) <= maxMerged {
			text, args := merged(types, q, until)
			return collect(ctx, c, q, 0, text, args...)
		}
	}
	if q.Stream == "" && q.Subject == "" {
		return scanAll(ctx, c, q, until)
	}
	if q.Stream == "" {
		return collect(ctx, c, q, q.Limit, "SELECT "+columns+" FROM event INDEXED BY event_subject"+
			" WHERE subject = ? AND position > ? AND position <= ? ORDER BY position", q.Subject, q.After, until)
	}
	text, args := "SELECT "+columns+" FROM event INDEXED BY event_version WHERE stream = ? AND position > ? AND position <= ?", []any{q.Stream, q.After, until}
	if q.Subject != "" {
		text, args = text+" AND subject = ?", append(args, q.Subject)
	}
	return collect(ctx, c, q, q.Limit, text+" ORDER BY version", args...)
}

// end is the last position a query may return.
func end(c *conn, q event.Query) (int64, error) {
	until, err := c.number("SELECT max(position) FROM event")
	if err != nil {
		return 0, err
	}
	if q.Until > 0 {
		until = min(until, q.Until)
	}
	if q.RecordedBy.IsZero() {
		return until, nil
	}
	// Recorded never decreases: bisect.
	by := q.RecordedBy.UnixMicro()
	low := int64(0)
	for low < until {
		middle := low + (until-low+1)/2
		recorded, err := c.number("SELECT recorded FROM event WHERE position = ?", middle)
		if err != nil {
			return 0, err
		}
		if recorded <= by {
			low = middle
		} else {
			until = middle - 1
		}
	}
	return low, nil
}

// errEnough ends a query that has found what it wants.
var errEnough = errors.New("enough was found")

// collect gathers the events of a query whose type matches, at most limit when
// that is positive.
func collect(ctx context.Context, c *conn, q event.Query, limit int, text string, args ...any) ([]event.Event, error) {
	var out []event.Event
	if len(q.Types) == 0 {
		out = make([]event.Event, 0, min(q.Limit, 20_000))
	}
	err := c.query(ctx, func(row []driver.Value) error {
		out = append(out, event.Event{})
		e := &out[len(out)-1]
		if err := scan(e, row); err != nil {
			return err
		}
		if !event.Matches(q.Types, e.Type) {
			out = out[:len(out)-1]
		} else if limit > 0 && len(out) == limit {
			return errEnough
		}
		return nil
	}, text, args...)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

func scanAll(ctx context.Context, c *conn, q event.Query, until int64) ([]event.Event, error) {
	return collect(ctx, c, q, q.Limit, "SELECT "+columns+" FROM event WHERE position > ? AND position <= ? ORDER BY position", q.After, until)
}

// maxMerged is the most types that are read from their index each and merged;
// with more, reading everything is no worse.
const maxMerged = 60

// merged reads several types in order of position.
func merged(types []string, q event.Query, until int64) (string, []any) {
	const one = "SELECT position AS at FROM event INDEXED BY event_type WHERE type = ? AND position > ? AND position <= ?"
	var args []any
	for _, t := range types {
		args = append(args, t, q.After, until)
	}
	positions := strings.Repeat(one+" UNION ALL ", len(types)-1) + one + " ORDER BY at LIMIT ?"
	return "SELECT " + columns + " FROM (" + positions + ") CROSS JOIN event ON position = at ORDER BY at", append(args, int64(q.Limit))
}

// concrete resolves prefixes to the types there are.
func concrete(ctx context.Context, c *conn, wanted []string) ([]string, error) {
	var out []string
	for _, w := range wanted {
		prefix, isPrefix := strings.CutSuffix(w, ".")
		if !isPrefix {
			out = append(out, w)
			continue
		}
		err := c.query(ctx, func(row []driver.Value) error {
			out = append(out, row[0].(string))
			return nil
		}, `WITH RECURSIVE t(x) AS (
			SELECT min(type) FROM event WHERE type >= ?1 AND type < ?2
			UNION ALL
			SELECT (SELECT min(type) FROM event WHERE type > t.x AND type < ?2) FROM t WHERE t.x IS NOT NULL
		) SELECT x FROM t WHERE x IS NOT NULL`, w, prefix+"/") // "/" follows "."
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
