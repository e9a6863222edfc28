package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// roleDiskFull makes this test binary, run again, fill the directory it names.
const roleDiskFull = "FLYBALL_TEST_DISK_FULL"

// TestDiskFull runs in a child with a small file system of its own.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(roleDiskFull); dir != "" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=6m"); err != nil {
			fmt.Println("cannot mount:", err)
			return
		}
		diskFull(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), roleDiskFull+"="+tempDir(t))
	cmd.SysProcAttr = ownMounts()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || bytes.Contains(out, []byte("cannot mount")) {
		t.Skipf("this machine gives a test no file system of its own: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func diskFull(t *testing.T, dir string) {
	ctx := context.Background()
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "flyball.db"), Options{})
	acknowledged := map[int64]string{}
	var mu sync.Mutex
	round := func(each int) (refused int) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for range each {
					events, err := s.Log().Append(ctx, event.Batch{Stream: fmt.Sprintf("w/%d", w), Expect: event.AnyVersion, Drafts: []event.Draft{draft("", 20_000)}})
					mu.Lock()
					switch {
					case err == nil:
						acknowledged[events[0].Position] = events[0].ID
					case problem.KindOf(err) == problem.Unavailable && problem.NextOf(err) != "":
						refused++
					default:
						t.Errorf("append: %v", err)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return refused
	}
	for n := 0; round(5) == 0; n++ {
		if n == 100 {
			t.Fatal("the disk never filled up")
		}
	}
	check := func() {
		t.Helper()
		if _, err := s.Verify(ctx, nil); err != nil {
			t.Fatal(err)
		}
		stored := readAll(t, s)
		if len(stored) != len(acknowledged) {
			t.Fatalf("%d events stored, %d acknowledged", len(stored), len(acknowledged))
		}
		for p, id := range acknowledged {
			if stored[p-1].ID != id {
				t.Fatalf("position %d was acknowledged as %s, is %s", p, id, stored[p-1].ID)
			}
		}
	}
	check()
	full := len(acknowledged)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if refused := round(3); refused > 0 || len(acknowledged) != full+24 {
		t.Fatalf("with space again, %d appends were refused", refused)
	}
	check()
	t.Logf("full after %d events, %d in the end", full, len(acknowledged))
}

// ownMounts lets a child mount file systems that only it sees.
func ownMounts() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}
