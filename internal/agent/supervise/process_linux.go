package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// self is the running executable, even after its file was replaced.
func self() (string, error) { return "/proc/self/exe", nil }

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// adoptOrphans makes descendants whose parent has ended our children, wherever
// their process group or session (prctl(2), PR_SET_CHILD_SUBREAPER).
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopting orphans: %w", err)
	}
	return nil
}

// killOrphans kills our children, then theirs as they become ours, until none
// is left or one resists (in an uninterruptible system call) for drainLimit.
func killOrphans(clk clock.Clock) {
	me := os.Getpid()
	for began := clk.Now(); clk.Now().Sub(began) < drainLimit; <-clk.NewTimer(2 * time.Millisecond).C() {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err == unix.ECHILD {
				return
			}
			if pid <= 0 && err != unix.EINTR {
				break
			}
		}
		for _, p := range processes() {
			if p.parent == me {
				unix.Kill(p.pid, unix.SIGKILL)
			}
		}
	}
}

// killLeftovers kills what a dead supervisor's command left in its group. The
// kernel gives out no process id that still names a group or session, so a match
// of both within one boot is ours.
func killLeftovers(s Status) {
	boot, _, _ := strings.Cut(s.PidStart, ":")
	if s.Pid == 0 || boot != bootID() {
		return
	}
	for _, p := range processes() {
		if p.group == s.Pid && p.session == s.Supervisor {
			unix.Kill(p.pid, unix.SIGKILL)
		}
	}
}

// startToken names this life of a process id: boot and clock ticks since.
func startToken(pid int) string {
	p, err := readProcess(pid)
	if err != nil {
		return ""
	}
	return bootID() + ":" + p.start
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}

// processInfo is what proc_pid_stat(5) tells.
type processInfo struct {
	pid, parent, group, session int
	start                       string
}

func processes() []processInfo {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []processInfo
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil {
			all = append(all, p)
		}
	}
	return all
}

func readProcess(pid int) (processInfo, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processInfo{}, err
	}
	// The second field, in parentheses, may contain anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return processInfo{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	p := processInfo{pid: pid, start: fields[19]}
	for i, to := range []*int{&p.parent, &p.group, &p.session} {
		if *to, err = strconv.Atoi(fields[i+1]); err != nil {
			return p, err
		}
	}
	return p, nil
}

// OwnsPort reports whether a process of the run listens on a TCP port, on any
// address; known is false where that cannot be told. Without it, whoever else
// took the port could pass for the run.
func (s Status) OwnsPort(port int) (owned, known bool) {
	sockets := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil && file == "/proc/net/tcp" {
			return false, false
		}
		for _, inode := range listeners(string(data), port) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	for _, p := range processes() {
		if p.session != s.Supervisor {
			continue
		}
		dir := fmt.Sprintf("/proc/%d/fd", p.pid)
		fds, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrPermission) {
			return false, false // it changed its user
		}
		for _, fd := range fds {
			if to, err := os.Readlink(dir + "/" + fd.Name()); err == nil && sockets[to] {
				return true, true
			}
		}
	}
	return false, true
}

// listeners finds the inodes of sockets that listen on a port, in the format of
// /proc/net/tcp (proc_net(5)): "sl local remote st … inode".
func listeners(table string, port int) []string {
	const listening = "0A"
	suffix := fmt.Sprintf(":%04X", port)
	var inodes []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], suffix) {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}
