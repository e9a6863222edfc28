//go:build !linux

package supervise

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// self is the running executable.
func self() (string, error) { return os.Executable() }

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// adoptOrphans has no equivalent: descendants that leave the group escape.
func adoptOrphans() error { return nil }

func killOrphans(clock.Clock) {}

// killLeftovers kills the group of a dead supervisor's command, if its leader
// is still the process that was recorded.
func killLeftovers(s Status) {
	if s.Pid != 0 && s.PidStart != "" && startToken(s.Pid) == s.PidStart {
		unix.Kill(-s.Pid, unix.SIGKILL)
	}
}

// startToken names this life of a process id: the instant it started.
func startToken(pid int) string {
	out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// OwnsPort cannot tell here.
func (s Status) OwnsPort(int) (owned, known bool) { return false, false }
