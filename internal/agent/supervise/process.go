package supervise

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// process is the running command.
type process struct {
	pid    int
	output *os.File      // our end of its standard output and error
	copied chan struct{} // closed when all output is kept
}

// spawn executes the command in its own process group.
func (s *supervisor) spawn() (*process, error) {
	env, err := s.environment()
	if err != nil {
		return nil, err
	}
	argv, err := s.arguments(env)
	if err != nil {
		return nil, err
	}
	path, err := lookUp(argv[0], env["PATH"])
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Dir:   s.spec.Dir,
		Env:   list(env),
		Files: []uintptr{null.Fd(), w.Fd(), w.Fd()},
		Sys:   attributes(),
	})
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("cannot run %s in %s: %w", path, s.spec.Dir, err)
	}
	p := &process{pid: pid, output: r, copied: make(chan struct{})}
	go func() {
		defer close(p.copied)
		io.CopyBuffer(struct{ io.Writer }{s.output}, struct{ io.Reader }{r}, make([]byte, 32<<10))
	}()
	return p, nil
}

// environment is the spec's, with PATH, HOME and TMPDIR where it has none.
func (s *supervisor) environment() (map[string]string, error) {
	env := map[string]string{"PATH": os.Getenv("PATH")}
	for name, dir := range map[string]string{"HOME": "home", "TMPDIR": "tmp"} {
		if _, set := s.spec.Env[name]; set {
			continue
		}
		env[name] = filepath.Join(s.dir, dir)
		if err := os.MkdirAll(env[name], 0o700); err != nil {
			return nil, err
		}
	}
	for k, v := range s.spec.Env {
		env[k] = v
	}
	return env, nil
}

// arguments are the command's, or those of a shell with the script in a file: a
// script may be longer than an argument can be.
func (s *supervisor) arguments(env map[string]string) ([]string, error) {
	if s.spec.Shell == "" {
		return s.spec.Command, nil
	}
	script := filepath.Join(s.dir, "script.sh")
	if err := os.WriteFile(script, []byte(s.spec.Shell), 0o600); err != nil {
		return nil, err
	}
	shell := "bash"
	if _, err := lookUp(shell, env["PATH"]); err != nil {
		shell = "sh"
	}
	return []string{shell, "-e", script}, nil
}

// lookUp finds a program as execvp(3) would, in the command's PATH rather than
// ours. A program with a slash is relative to the working directory.
func lookUp(program, path string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, dir := range filepath.SplitList(path) {
		candidate := filepath.Join(dir, program)
		info, err := os.Stat(candidate)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%s: %w (PATH is %s)", program, exec.ErrNotFound, path)
}

func list(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}

// signal reaches the command's whole group.
func (p *process) signal(sig unix.Signal) { unix.Kill(-p.pid, sig) }

func (p *process) groupAlive() bool { return unix.Kill(-p.pid, 0) == nil }

// reap collects every ended child, orphans we were given included, and reports
// the command's end if it was among them.
func (p *process) reap() (how unix.WaitStatus, done bool) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid == 0 {
			return how, done
		}
		if pid == p.pid {
			how, done = ws, true
		}
	}
}

func reapStrays() { (&process{pid: -1}).reap() }

// cleanUp kills what the command left behind and waits for its last output.
func (p *process) cleanUp(clk clock.Clock) {
	p.signal(unix.SIGKILL)
	killOrphans(clk)
	limit := clk.NewTimer(drainLimit)
	defer limit.Stop()
	select {
	case <-p.copied:
	case <-limit.C(): // somebody out of reach holds the pipe
	}
	p.output.Close()
	<-p.copied
}
