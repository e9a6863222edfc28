package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net/url"

	driversqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// conn is one connection with its prepared statements. It is used by one
// goroutine at a time.
type conn struct {
	raw   driver.Conn
	stmts map[string]statement
	args  []driver.NamedValue
	row   []driver.Value
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// connect opens a connection and sets it up.
func connect(path string, readOnly bool, pragmas ...string) (*conn, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	if readOnly {
		u.RawQuery = "mode=ro"
	}
	connector, err := driversqlite.NewConnector(u.String())
	if err != nil {
		return nil, translate("store.open", err)
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return nil, translate("store.open", err)
	}
	c := &conn{raw: raw, stmts: map[string]statement{}}
	for _, p := range pragmas {
		if err := c.run("PRAGMA " + p); err != nil {
			_ = c.close()
			return nil, translate("store.open", err)
		}
	}
	return c, nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.Close()
	}
	c.stmts = nil
	return c.raw.Close()
}

// prepare returns the statement for a text, of which there are few.
func (c *conn) prepare(text string) (statement, error) {
	if s, ok := c.stmts[text]; ok {
		return s, nil
	}
	raw, err := c.raw.Prepare(text)
	if err != nil {
		return nil, err
	}
	s, ok := raw.(statement)
	if !ok {
		return nil, errors.New("the SQLite driver's statements take no context")
	}
	c.stmts[text] = s
	return s, nil
}

// bind wants int64, string, []byte or nil.
func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

// exec runs a statement that returns nothing.
func (c *conn) exec(text string, args ...any) error {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(context.Background(), c.bind(args))
	return err
}

// run executes a text once, without keeping it: pragmas and migrations.
func (c *conn) run(text string) error {
	_, err := c.raw.(driver.ExecerContext).ExecContext(context.Background(), text, nil)
	return err
}

// query calls each with every row; what it is given is its to keep, but for
// the slice itself. The context is looked at between rows: a query is never
// interrupted.
func (c *conn) query(ctx context.Context, each func(row []driver.Value) error, text string, args ...any) (err error) {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	if n := len(rows.Columns()); cap(c.row) < n {
		c.row = make([]driver.Value, n)
	} else {
		c.row = c.row[:n]
	}
	for n := 0; ; n++ {
		if n%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := rows.Next(c.row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(c.row); err != nil {
			return err
		}
	}
}

// first returns the first row of a query, nil without one.
func (c *conn) first(text string, args ...any) (first []driver.Value, err error) {
	err = c.query(context.Background(), func(row []driver.Value) error {
		if first == nil {
			first = append([]driver.Value{}, row...)
		}
		return nil
	}, text, args...)
	return first, err
}

// number returns the first column of the first row, 0 without one.
func (c *conn) number(text string, args ...any) (int64, error) {
	row, err := c.first(text, args...)
	if err != nil || row == nil || row[0] == nil {
		return 0, err
	}
	return row[0].(int64), nil
}

// bytesOf is a blob column, which the driver gives as nil when it is empty.
func bytesOf(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}

// translate turns the driver's error into one that says what to do.
func translate(op string, err error) error {
	var e *driversqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return problem.New(problem.Unavailable, op, "the disk is full, nothing was recorded: %w", err).
			WithNext("free some space; the same request then succeeds")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL:
		return problem.New(problem.Unavailable, op, "the database cannot be used: %w", err).
			WithNext("check the disk and the permissions of the database file and its directory")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return problem.New(problem.Internal, op, "the database file is damaged: %w", err).
			WithNext("run flyball event verify-file to see which events are intact, and restore the file from a backup")
	}
	return problem.New(problem.Internal, op, "the database refused: %w", err)
}
