package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// maxAnswer bounds what is kept in memory of one git answer, in bytes.
const maxAnswer = 64 << 20

// safety overrides what a repository's configuration could make git run or
// reach. safe.directory is about that same danger, which is why repositories
// of other owners can be accepted here.
var safety = []string{
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.pager=cat",
	"core.sshCommand=false",
	"core.gitProxy=",
	"core.askPass=",
	"core.alternateRefsCommand=",
	"core.quotePath=false",
	"credential.helper=",
	"gpg.program=false",
	"log.showSignature=false",
	"log.mailmap=false",
	"protocol.allow=never",
	"gc.auto=0",
	"maintenance.auto=false",
	"safe.directory=*",
}

// environment is all of git's environment: nothing is inherited but where to
// find programs and put temporary files.
func environment() []string {
	env := []string{
		"LC_ALL=C",
		"HOME=/nonexistent",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_NO_LAZY_FETCH=1",
		"GIT_ALLOW_PROTOCOL=none",
		"GIT_LITERAL_PATHSPECS=1",
	}
	for _, name := range []string{"PATH", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// command is git, ready to start in dir with the safe settings.
func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	full := make([]string, 0, 2*len(safety)+len(args))
	for _, s := range safety {
		full = append(full, "-c", s)
	}
	cmd := exec.CommandContext(ctx, "git", append(full, args...)...)
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// failure is a git command that exited with an error.
type failure struct {
	command string // such as rev-parse
	code    int
	stderr  string
}

func (f *failure) Error() string {
	if f.stderr == "" {
		return fmt.Sprintf("git %s: exit status %d", f.command, f.code)
	}
	return fmt.Sprintf("git %s: %s", f.command, f.stderr)
}

// stream starts git and lets read consume its standard output. The output that
// read leaves unread is discarded and git ended.
func stream(ctx context.Context, dir string, stdin io.Reader, args []string, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := command(ctx, dir, args...)
	cmd.Stdin = stdin
	stderr := &head{max: 4 << 10}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return startError(err)
	}
	readErr := read(out)
	if readErr != nil {
		cancel()
	}
	waitErr := cmd.Wait()
	var exit *exec.ExitError
	// A reader that met the early end of a failing git is not the cause.
	if errors.As(waitErr, &exit) && exit.ExitCode() > 0 {
		return &failure{command: verb(args), code: exit.ExitCode(), stderr: stderr.String()}
	}
	if readErr != nil {
		return readErr
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return waitErr
}

// answer is git's whole standard output.
func answer(ctx context.Context, dir string, args ...string) ([]byte, error) {
	var out []byte
	err := stream(ctx, dir, nil, args, func(r io.Reader) (err error) {
		out, err = io.ReadAll(io.LimitReader(r, maxAnswer+1))
		if err == nil && len(out) > maxAnswer {
			err = problem.New(problem.Invalid, "repository", "git %s answers with more than %d MiB", verb(args), maxAnswer>>20)
		}
		return err
	})
	return out, err
}

func startError(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return problem.New(problem.Unavailable, "repository", "the git program was not found: %w", err).
			WithNext("install git and make sure that it is in PATH")
	}
	return problem.New(problem.Unavailable, "repository", "git cannot be started: %w", err)
}

// verb is the git command among args, for messages.
func verb(args []string) string {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			return a
		}
	}
	return ""
}

// head is a writer that keeps the first max bytes.
type head struct {
	buf bytes.Buffer
	max int
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.max - h.buf.Len(); room > 0 {
		h.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string {
	return strings.ToValidUTF8(strings.TrimSpace(h.buf.String()), "\uFFFD")
}
