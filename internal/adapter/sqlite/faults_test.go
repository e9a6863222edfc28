package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// roleAppender makes this test binary, run again, append to the store it names.
const roleAppender = "FLYBALL_TEST_APPENDER"

func TestMain(m *testing.M) {
	if path := os.Getenv(roleAppender); path != "" {
		appendForever(path)
	}
	os.Exit(m.Run())
}

func draft(id string, size int) event.Draft {
	return event.Draft{ID: id, Type: "note.taken", Actor: "user:ana", Data: strings.Repeat("x", size)}
}

// appendForever prints the position and ID of each acknowledged event.
func appendForever(path string) {
	s, err := Open(context.Background(), path, Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				events, err := s.Log().Append(context.Background(), event.Batch{Stream: fmt.Sprintf("w/%d", w), Expect: event.AnyVersion,
					Drafts: []event.Draft{draft(id+"a", 50), draft(id+"b", 5000)}})
				mu.Lock()
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println(events[0].Position, events[0].ID, events[1].Position, events[1].ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestKilledWhileAppending(t *testing.T) {
	path := filepath.Join(tempDir(t), "flyball.db")
	acknowledged := map[int64]string{}
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleAppender+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n, enough := 0, 20+rand.IntN(200); lines.Scan(); n++ {
			var p, q int64
			var id, jd string
			if _, err := fmt.Sscan(lines.Text(), &p, &id, &q, &jd); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			acknowledged[p], acknowledged[q] = id, jd
			if n == enough {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		s := open(t, path, Options{})
		report, err := s.Verify(context.Background(), nil)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		stored := readAll(t, s)
		for p, id := range acknowledged {
			if p > int64(len(stored)) || stored[p-1].ID != id {
				t.Fatalf("round %d: position %d was acknowledged as %s and is lost; the log has %d events", round, p, id, len(stored))
			}
		}
		t.Logf("round %d: %d acknowledged, %d stored", round, len(acknowledged), report.Events)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func readAll(t *testing.T, s *Store) []event.Event {
	t.Helper()
	events, err := s.Log().Read(context.Background(), event.Query{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func fill(t *testing.T, s *Store, n int) []event.Event {
	t.Helper()
	for i := range n {
		_, err := s.Log().Append(context.Background(), event.Batch{Stream: fmt.Sprintf("s/%d", i%7), Expect: event.AnyVersion,
			Drafts: []event.Draft{draft(fmt.Sprint(i), 300+i)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return readAll(t, s)
}

func TestTornTail(t *testing.T) {
	s := open(t, filepath.Join(tempDir(t), "flyball.db"), Options{})
	events := fill(t, s, 60)
	wal := cat(t, s.path+"-wal")
	for cut := len(wal); cut > 0; cut -= 1 + rand.IntN(len(wal)/12) {
		torn := filepath.Join(tempDir(t), "flyball.db")
		snapshot(t, s.path, torn)
		tail := bytes.Clone(wal[:cut])
		if cut > 100 && cut%2 == 0 { // garbage where the last sector would be
			for i := range min(512, cut) {
				tail[len(tail)-1-i] ^= 0xa5
			}
		}
		if err := os.WriteFile(torn+"-wal", tail, 0o600); err != nil {
			t.Fatal(err)
		}
		after, err := Open(context.Background(), torn, Options{})
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(wal), err)
		}
		if _, err := after.Verify(context.Background(), nil); err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(wal), err)
		}
		kept := readAll(t, after)
		for i, e := range kept {
			if !bytes.Equal(e.Hash, events[i].Hash) {
				t.Fatalf("cut at %d: position %d is another event", cut, i+1)
			}
		}
		if _, err := after.Log().Append(context.Background(), event.Batch{Stream: "after", Drafts: []event.Draft{draft("", 10)}}); err != nil {
			t.Fatal(err)
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCorrupted(t *testing.T) {
	ctx := context.Background()
	for name, test := range map[string]struct {
		change func(t *testing.T, path string)
		opens  bool // beyond the tail that opening verifies
		want   string
	}{
		"payload in the tail": {func(t *testing.T, p string) {
			tamper(t, p, "UPDATE event SET data = CAST('\"y\"' AS BLOB) WHERE position = 1290")
		}, false, "log corrupted at position 1290"},
		"payload far back": {func(t *testing.T, p string) {
			tamper(t, p, "UPDATE event SET data = CAST('\"y\"' AS BLOB) WHERE position = 7")
		}, true, "log corrupted at position 7 "},
		"header far back": {func(t *testing.T, p string) { tamper(t, p, "UPDATE event SET actor = 'user:bob' WHERE position = 9") }, true, "log corrupted at position 9 "},
		"short seal":      {func(t *testing.T, p string) { tamper(t, p, "UPDATE event SET seal = x'00' WHERE position = 11") }, true, "log corrupted at position 11"},
		"gap":             {func(t *testing.T, p string) { tamper(t, p, "DELETE FROM event WHERE position = 20") }, true, "log corrupted at position 21"},
		"last event gone": {func(t *testing.T, p string) { tamper(t, p, "DELETE FROM event WHERE position = 1300") }, false, "log corrupted at position 1300"},
		"unexplained erasure": {func(t *testing.T, p string) {
			tamper(t, p, "UPDATE event SET data = NULL, seal = substr(seal, 1, 64) WHERE position = 5")
		}, true, "log corrupted at position 5"},
		"bytes in the file": {func(t *testing.T, p string) {
			raw, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.Index(raw, []byte(strings.Repeat("x", 300+16)))
			raw[at+8] ^= 1
			if err := os.WriteFile(p, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}, true, "log corrupted at position 1"},
		"no database": {func(t *testing.T, p string) {
			if err := os.WriteFile(p, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(tempDir(t), "flyball.db")
			s := open(t, path, Options{})
			var drafts []event.Draft
			for i := range 1300 {
				drafts = append(drafts, draft(fmt.Sprint(i), 300+i%20))
			}
			if _, err := s.Log().Append(ctx, event.Batch{Stream: "s", Drafts: drafts}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			test.change(t, path)
			s, err := Open(ctx, path, Options{})
			if err == nil {
				defer s.Close()
				if !test.opens {
					t.Fatal("it opens")
				}
				_, err = s.Verify(ctx, nil)
			} else if test.opens {
				t.Fatalf("it does not open: %v", err)
			}
			if problem.KindOf(err) != problem.Internal || !strings.Contains(err.Error(), test.want) || problem.NextOf(err) == "" {
				t.Fatalf("got %v (next: %s), want %q", err, problem.NextOf(err), test.want)
			}
		})
	}
}
