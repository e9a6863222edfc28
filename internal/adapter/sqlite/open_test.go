package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func refuse(t *testing.T, path string, o Options, kind problem.Kind, message string) {
	t.Helper()
	s, err := Open(context.Background(), path, o)
	if err == nil {
		_ = s.Close()
	}
	if problem.KindOf(err) != kind || !strings.Contains(err.Error(), message) {
		t.Fatalf("open: %v (kind %q), want %q: %s", err, problem.KindOf(err), kind, message)
	}
}

func TestSecondServerRefused(t *testing.T) {
	dir := tempDir(t)
	path := filepath.Join(dir, "flyball.db")
	s := open(t, path, Options{})
	refuse(t, path, Options{}, problem.Conflict, fmt.Sprintf("in use by another Flyball server (process %d)", os.Getpid()))
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	refuse(t, link, Options{}, problem.Conflict, "in use by another Flyball server")
	fill(t, s, 3) // the refused one has not harmed it
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, Options{})
}

func TestSettings(t *testing.T) {
	// A commit must be fsynced before it is acknowledged: WAL with
	// synchronous=FULL (2), and what is deleted must be overwritten.
	s := open(t, filepath.Join(tempDir(t), "flyball.db"), Options{})
	got := map[string]any{}
	err := s.write(context.Background(), "test", func(w *writer) error {
		for _, p := range []string{"journal_mode", "synchronous", "secure_delete"} {
			row, err := w.conn.first("PRAGMA " + p)
			if err != nil {
				return err
			}
			got[p] = row[0]
		}
		return nil
	}, nil)
	if err != nil || got["journal_mode"] != "wal" || got["synchronous"] != int64(2) || got["secure_delete"] != int64(1) {
		t.Fatalf("settings %v, %v", got, err)
	}
}

func TestReadOnly(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(tempDir(t), "flyball.db")
	refuse(t, path, Options{ReadOnly: true}, problem.NotFound, "no database at")
	s := open(t, path, Options{})
	events := fill(t, s, 5)
	reader := open(t, path, Options{ReadOnly: true})
	woken := make(chan error, 1)
	go func() { woken <- reader.Log().Wait(ctx, 5) }()
	fill2, err := s.Log().Append(ctx, event.Batch{Stream: "t", Drafts: []event.Draft{draft("", 10)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-woken; err != nil {
		t.Fatalf("wait: %v", err)
	}
	events = append(events, fill2...)
	check := func() {
		t.Helper()
		if got := readAll(t, reader); len(got) != len(events) {
			t.Fatalf("read %d events, want %d", len(got), len(events))
		}
		if r, err := reader.Verify(ctx, nil); err != nil || r.Events != int64(len(events)) {
			t.Fatalf("verify: %+v, %v", r, err)
		}
		_, err := reader.Log().Append(ctx, event.Batch{Stream: "a", Drafts: []event.Draft{draft("", 10)}})
		if problem.KindOf(err) != problem.Denied {
			t.Fatalf("append: %v", err)
		}
		if err := reader.Log().Erase(ctx, 1, "user:ana", "x"); problem.KindOf(err) != problem.Denied {
			t.Fatalf("erase: %v", err)
		}
	}
	check()
	// Without the server, and of a server that was killed.
	killed := filepath.Join(tempDir(t), "flyball.db")
	snapshot(t, path, killed)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	reader = open(t, path, Options{ReadOnly: true})
	check()
	reader = open(t, killed, Options{ReadOnly: true})
	check()
}

func TestForeignFiles(t *testing.T) {
	dir := tempDir(t)
	foreign := filepath.Join(dir, "foreign.db")
	tamper(t, foreign, "CREATE TABLE x (y)")
	refuse(t, foreign, Options{}, problem.Invalid, "a database of another program")
	refuse(t, foreign, Options{ReadOnly: true}, problem.Invalid, "not a Flyball database")
	newer := filepath.Join(dir, "newer.db")
	if err := open(t, newer, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	tamper(t, newer, "PRAGMA user_version = 99")
	refuse(t, newer, Options{}, problem.Invalid, "schema version 99, this Flyball knows up to 1")
	refuse(t, filepath.Join(dir, "none", "x.db"), Options{}, problem.NotFound, "no directory")
	odd := filepath.Join(dir, "odd ?#%20name.db")
	fill(t, open(t, odd, Options{}), 2)
	if _, err := os.Stat(odd); err != nil {
		t.Fatalf("a file of another name was made: %v", err)
	}
}
