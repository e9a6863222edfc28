package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Verb is the first argument of the binary that makes it a supervisor; the
// second is the run's directory. Whoever uses this package must hand such
// command lines to Main before doing anything else: every run costs one such
// process.
const Verb = "supervise"

// startLimit is how long a supervisor may take to report that it is in charge.
const startLimit = 20 * time.Second

// Start runs spec in dir, which it makes (mode 0700). It returns when a
// supervisor has taken charge, durably. Repeated with the same spec it does
// nothing while that lives or when the run has ended, except that a lost run
// with a restart policy is started again; with another spec it is ErrOtherSpec,
// and an invalid problem with one that cannot be run.
func Start(ctx context.Context, dir string, spec Spec) error {
	spec = spec.withDefaults()
	if err := spec.validate(); err != nil {
		return problem.New(problem.Invalid, "supervise.start", "cannot be run: %w", err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := putSpec(dir, spec); err != nil {
		return err
	}
	if s, err := Observe(dir); err != nil || settled(s, spec) {
		return err
	}
	if err := launch(ctx, dir); err != nil {
		return err
	}
	s, err := Observe(dir)
	if err == nil && !settled(s, spec) {
		err = fmt.Errorf("supervise %s: the supervisor did not start%s", dir, supervisorLog(dir))
	}
	return err
}

// settled reports whether nobody needs to start the run.
func settled(s Status, spec Spec) bool {
	switch s.State {
	case Pending:
		return false
	case Lost:
		return spec.Restart == nil
	}
	return true
}

// launch executes a supervisor and waits until it has taken charge or ended.
func launch(ctx context.Context, dir string) error {
	exe, err := self()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "supervisor.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(exe, Verb, dir)
	cmd.Args[0] = "flyball"
	cmd.Dir = "/"
	// One small heap, and collected early: there is one such process per run.
	cmd.Env = append(inherited(), "GOMAXPROCS=1", "GOGC=50", "GOMEMLIMIT=24MiB", readyEnv+"=3")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{tell} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("supervise %s: %w", dir, err)
	}
	go cmd.Wait() // so that it is no zombie if it ends before us

	ctx, stop := context.WithTimeout(ctx, startLimit)
	defer stop()
	defer context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) })()
	_, err = ready.Read(make([]byte, 1))
	if err == nil || errors.Is(err, io.EOF) { // EOF: it ended; the caller looks why
		return nil
	}
	return fmt.Errorf("supervise %s: waiting for the supervisor: %w", dir, errors.Join(err, ctx.Err()))
}

// inherited is the part of our environment that a supervisor gets, and hands to
// a command whose spec does not set it.
func inherited() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return []string{"PATH=" + path}
}

// Cancel asks the run in dir to end, and returns when the wish is durable. A run
// that has ended is left as it is; the first reason is kept.
func Cancel(dir, reason string) error {
	s, err := Observe(dir)
	if err != nil || s.State == Exited {
		return err
	}
	if last, err := readStatus(dir); err == nil && s.State == Lost {
		killLeftovers(last)
	}
	path := filepath.Join(dir, "cancel")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := writeAtomic(dir, "cancel", []byte(reason)); err != nil {
			return err
		}
	}
	holder, err := lockHolder(dir)
	if err != nil || holder == 0 {
		return err
	}
	// The supervisor also looks for the file now and then, should this be missed.
	if err := unix.Kill(holder, unix.SIGUSR1); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

// ErrLive is returned by Remove for a run that has not ended.
var ErrLive = errors.New("the run has not ended")

// Remove deletes an ended run and its output. What a lost one left running is
// killed first.
func Remove(dir string) error {
	s, err := Observe(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(dir)
	}
	if err != nil {
		return err
	}
	if !s.Ended() && s.State != Pending {
		return ErrLive
	}
	if last, err := readStatus(dir); err == nil && !last.Ended() {
		killLeftovers(last)
	}
	return os.RemoveAll(dir)
}

// Wait observes the run until it has ended or ctx is done.
func Wait(ctx context.Context, clk clock.Clock, dir string) (Status, error) {
	for {
		s, err := Observe(dir)
		if err != nil || s.Ended() {
			return s, err
		}
		if err := clock.Sleep(ctx, clk, 50*time.Millisecond); err != nil {
			return s, err
		}
	}
}

// supervisorLog is the end of what the supervisor itself complained about.
func supervisorLog(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, "supervisor.log"))
	if err != nil || len(data) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(data[max(0, len(data)-2000):]))
}
