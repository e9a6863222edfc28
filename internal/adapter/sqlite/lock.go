package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// lock takes the exclusive lock of a database, which ends with the process
// however it ends. The file stays: removing it would let two processes each
// lock a file of that name.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem.New(problem.Unavailable, "store.open", "the lock of the database cannot be taken: %w", err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, problem.New(problem.Unavailable, "store.open", "locking %s: %w", f.Name(), err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 100))
		return nil, problem.New(problem.Conflict, "store.open", "%s is in use by another Flyball server (%s)", path, strings.TrimSpace(string(holder))).
			WithNext("stop that server, or give this one a data directory of its own")
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "process %d\n", os.Getpid())
	}
	if err != nil {
		_ = f.Close()
		return nil, problem.New(problem.Unavailable, "store.open", "writing %s: %w", f.Name(), err)
	}
	return f, nil
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
