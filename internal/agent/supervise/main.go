package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

const (
	readyEnv   = "FLYBALL_READY_FD" // names the descriptor on which Start waits for us to take charge
	cancelPoll = 2 * time.Second    // how often the cancel file is looked for, should the signal be lost
	groupPoll  = 50 * time.Millisecond
	drainLimit = 5 * time.Second // for output still in the pipe once the command has ended
)

// Main is the supervisor process: it runs the spec in dir to its end and
// returns the exit code of the supervisor itself, 0 unless it failed.
func Main(dir string) int {
	// The kernel kills the command with the thread that made it (see attributes),
	// so that thread must last as long as the process.
	runtime.LockOSThread()
	s := &supervisor{
		dir:     dir,
		clk:     clock.Wall(),
		child:   make(chan os.Signal, 1),
		cancels: make(chan os.Signal, 4),
	}
	// Before the lock: whoever sees the lock may signal its holder.
	signal.Notify(s.child, unix.SIGCHLD)
	signal.Notify(s.cancels, unix.SIGUSR1, unix.SIGTERM)
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	if err := s.run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s supervise: %v\n", s.clk.Now().Format(time.RFC3339), err)
		return 1
	}
	return 0
}

type supervisor struct {
	dir     string
	lock    *os.File
	spec    Spec
	status  Status
	clk     clock.Clock
	child   chan os.Signal // a process ended
	cancels chan os.Signal // perhaps a wish to end
	ending  string         // why the command is being ended, one of the End constants
	detail  string
	output  *outputWriter
}

func (s *supervisor) run() error {
	ours, err := s.takeCharge()
	if err != nil || !ours {
		return err
	}
	if !s.spec.LeaveOrphans {
		if err := adoptOrphans(); err != nil {
			fmt.Fprintln(os.Stderr, "supervise:", err) // only containment of runaways suffers
		}
	}
	if s.output, err = openOutput(s.dir, s.spec.Output); err != nil {
		return err
	}
	for {
		s.runOnce()
		if s.spec.Restart == nil || s.ending == EndCancelled {
			return s.finish()
		}
		s.waitBackoff()
		if s.ending == EndCancelled {
			s.status.End, s.status.Detail = EndCancelled, s.detail
			return s.finish()
		}
		s.status.Restarts++
	}
}

// takeCharge locks the run and tells Start; false when there is nothing to do.
func (s *supervisor) takeCharge() (bool, error) {
	lock, err := acquire(s.dir)
	if err != nil || lock == nil {
		return false, err
	}
	s.lock = lock // or the garbage collector would close it
	if s.spec, err = readSpec(s.dir); err != nil {
		return false, err
	}
	last, err := readStatus(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	case last.State == Exited:
		return false, nil
	default: // an earlier supervisor died
		killLeftovers(last)
		if s.spec.Restart == nil {
			last.State, last.End, last.Pid, last.PidStart = Lost, EndLost, 0, ""
			last.Detail = lostDetail
			return false, writeStatus(s.dir, last)
		}
		s.status.Restarts = last.Restarts + 1
	}
	s.status.State, s.status.Supervisor = Starting, os.Getpid()
	if err := writeStatus(s.dir, s.status); err != nil {
		return false, err
	}
	return true, tellStarter()
}

// tellStarter lets Start return. Nobody listening is no error.
func tellStarter() error {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	if err != nil {
		return nil // started by hand
	}
	f := os.NewFile(uintptr(fd), "ready")
	f.Write([]byte{1})
	return f.Close()
}

// runOnce runs the command from start to end and records how it went.
func (s *supervisor) runOnce() {
	s.status.NextStart, s.status.Finished = time.Time{}, time.Time{}
	s.status.End, s.status.Signal, s.status.Detail, s.status.ExitCode = "", "", "", 0
	s.status.Started = s.clk.Now()
	if s.lookForCancel(); s.ending != "" {
		s.ended(EndCancelled)
		return
	}
	p, err := s.spawn()
	if err != nil {
		s.status.Detail = err.Error()
		s.ended(EndStartFailed)
		return
	}
	s.status.State, s.status.Pid, s.status.PidStart = Running, p.pid, startToken(p.pid)
	s.record()
	how := s.await(p)
	end := EndExited
	switch {
	case s.ending != "":
		end = s.ending
	case how.Signaled():
		end = EndSignalled
	}
	if how.Signaled() {
		s.status.Signal = unix.SignalName(how.Signal())
	} else {
		s.status.ExitCode = how.ExitStatus()
	}
	if s.ending == EndTimeLimit {
		s.ending = "" // of this start only
	}
	s.ended(end)
}

func (s *supervisor) ended(end string) {
	s.status.End, s.status.Finished, s.status.Pid, s.status.PidStart = end, s.clk.Now(), 0, ""
	if s.detail != "" {
		s.status.Detail = s.detail
		s.detail = ""
	}
}

// await sees the command to its end, ending it when it must.
func (s *supervisor) await(p *process) unix.WaitStatus {
	limit := s.timer(s.spec.TimeLimit)
	poll := s.clk.NewTimer(cancelPoll)
	defer func() { poll.Stop() }()
	var grace <-chan time.Time
	var how unix.WaitStatus
	over, killed := false, false
	for {
		if ws, done := p.reap(); done {
			how, over = ws, true
		}
		// A shell may die of SIGTERM at once while what it runs still drains: the
		// grace is the whole group's.
		if over && (grace == nil || killed || !p.groupAlive()) {
			p.cleanUp(s.clk)
			return how
		}
		select {
		case <-s.child:
		case sig := <-s.cancels:
			s.heed(sig)
		case <-poll.C():
			s.lookForCancel()
			poll = s.clk.NewTimer(pollEvery(over))
		case <-limit:
			limit = nil
			if s.ending == "" {
				s.ending, s.detail = EndTimeLimit, fmt.Sprintf("ran longer than %s", s.spec.TimeLimit)
			}
		case <-grace:
			p.signal(unix.SIGKILL)
			killed = true
		}
		if s.ending != "" && grace == nil {
			p.signal(unix.SIGTERM)
			grace = s.timer(max(s.spec.Grace, time.Millisecond))
			poll.Stop()
			poll = s.clk.NewTimer(groupPoll)
		}
	}
}

// pollEvery is how soon to look again: soon when only the rest of the group is
// waited for, of whose end nobody tells us on every system.
func pollEvery(over bool) time.Duration {
	if over {
		return groupPoll
	}
	return cancelPoll
}

// timer fires once after d, or never for 0.
func (s *supervisor) timer(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return s.clk.NewTimer(d).C()
}

// heed acts on a signal: SIGUSR1 says that there is a cancel file, SIGTERM that
// the machine shuts down.
func (s *supervisor) heed(sig os.Signal) {
	s.lookForCancel()
	if sig == unix.SIGTERM && s.ending != EndCancelled {
		s.ending, s.detail = EndCancelled, "the supervisor was told to end (SIGTERM)"
	}
}

// lookForCancel reads the cancel file.
func (s *supervisor) lookForCancel() {
	reason, err := os.ReadFile(filepath.Join(s.dir, "cancel"))
	if err == nil && s.ending != EndCancelled {
		s.ending, s.detail = EndCancelled, string(reason)
	}
}

// waitBackoff waits until the next start is due or the run is cancelled.
func (s *supervisor) waitBackoff() {
	if s.status.Finished.Sub(s.status.Started) >= s.spec.Restart.Healthy {
		s.status.Failures = 0
	}
	s.status.Failures++
	wait := s.spec.Restart.backoff(s.status.Failures)
	s.status.State, s.status.NextStart = Backoff, s.clk.Now().Add(wait)
	s.record()
	due := s.timer(wait)
	poll := s.clk.NewTimer(cancelPoll)
	defer func() { poll.Stop() }()
	for s.ending != EndCancelled {
		select {
		case <-due:
			return
		case sig := <-s.cancels:
			s.heed(sig)
		case <-s.child:
			reapStrays()
		case <-poll.C():
			s.lookForCancel()
			poll = s.clk.NewTimer(cancelPoll)
		}
	}
}

// finish records the end of the run, however long the disk takes to accept it:
// until then the run counts as live.
func (s *supervisor) finish() error {
	s.status.State, s.status.NextStart = Exited, time.Time{}
	os.RemoveAll(filepath.Join(s.dir, "tmp"))
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := writeStatus(s.dir, s.status)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return err // without its directory nobody wants to know
		}
		fmt.Fprintln(os.Stderr, "supervise: recording the end:", err)
		<-s.timer(wait)
	}
}

// record writes a status that is not the last one; if the disk refuses, the
// next one will do.
func (s *supervisor) record() {
	if err := writeStatus(s.dir, s.status); err != nil {
		fmt.Fprintln(os.Stderr, "supervise: recording the status:", err)
	}
}
