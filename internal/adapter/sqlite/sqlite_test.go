package sqlite

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/store"
	"github.com/flyball-dev/flyball/internal/port/store/storetest"
)

func open(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), path, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Adapter{
		Open: func(t *testing.T, c clock.Clock) store.Store {
			return open(t, filepath.Join(tempDir(t), "flyball.db"), Options{Clock: c})
		},
		Reopen: func(t *testing.T, s store.Store, c clock.Clock) store.Store {
			// The files as they are at this moment, as a power cut leaves them.
			dir := tempDir(t)
			snapshot(t, s.(*Store).path, filepath.Join(dir, "flyball.db"))
			return open(t, filepath.Join(dir, "flyball.db"), Options{Clock: c})
		},
		Raw: func(t *testing.T, s store.Store) []byte {
			var raw []byte
			for _, suffix := range []string{"", "-wal"} {
				raw = append(raw, cat(t, s.(*Store).path+suffix)...)
			}
			return raw
		},
		Tamper: func(t *testing.T, s store.Store, position int64) {
			tamper(t, s.(*Store).path, "UPDATE event SET data = CAST('{\"text\":\"forged\"}' AS BLOB) WHERE position = ?", position)
		},
	})
}

// tempDir is a directory for one store; unlike t.TempDir's, its name says
// nothing and it may be made within rapid's repetitions.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "flyball-sqlite-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// cat reads a file from another process: closing a database file in this one
// would drop the locks SQLite holds on it (POSIX locks belong to the process).
func cat(t *testing.T, path string) []byte {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	out, err := exec.Command("cat", path).Output()
	if err != nil {
		t.Fatalf("cat %s: %v", path, err)
	}
	return out
}

func snapshot(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		if err := os.WriteFile(to+suffix, cat(t, from+suffix), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tamper changes the file behind the store's back.
func tamper(t *testing.T, path, text string, args ...any) {
	t.Helper()
	c, err := connect(path, false, pragmas...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.exec(text, args...); err != nil {
		t.Fatal(err)
	}
}
