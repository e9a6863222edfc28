package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case Verb:
			os.Exit(Main(os.Args[2]))
		case "start-and-hang": // a starter to be killed
			if err := Start(context.Background(), os.Args[2], Spec{Shell: os.Getenv("SCRIPT"), Dir: "/"}); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println("started")
			select {}
		}
	}
	os.Exit(m.Run())
}

const patience = 20 * time.Second

// run starts spec in a fresh directory that is cancelled and gone at the end.
func run(t *testing.T, spec Spec) string {
	t.Helper()
	dir := newRun(t)
	if spec.Dir == "" {
		spec.Dir = "/"
	}
	if err := Start(t.Context(), dir, spec); err != nil {
		t.Fatal(err)
	}
	return dir
}

func newRun(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "run")
	t.Cleanup(func() {
		Cancel(dir, "test over")
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if _, err := Wait(ctx, clock.Wall(), dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("waiting for the end: %v", err)
		}
	})
	return dir
}

// until waits for a status that satisfies the condition.
func until(t *testing.T, dir string, what string, ok func(Status) bool) Status {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		s, err := Observe(dir)
		if err == nil && ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s within %s: %+v, %v; output %q", what, patience, s, err, output(t, dir))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func end(t *testing.T, dir string) Status {
	t.Helper()
	return until(t, dir, "ended", Status.Ended)
}

func output(t *testing.T, dir string) string {
	t.Helper()
	var b bytes.Buffer
	for offset := int64(0); ; {
		c, err := Read(dir, offset, 0)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(c.Data)
		if len(c.Data) == 0 {
			return b.String()
		}
		offset = c.Next
	}
}

// printed waits until the run has printed a line with the prefix and returns
// the rest of it.
func printed(t *testing.T, dir, prefix string) string {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		for line := range strings.Lines(output(t, dir)) {
			if rest, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(line, "\n") {
				return strings.TrimSpace(rest)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line %q…: %q", prefix, output(t, dir))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && unix.Kill(n, 0) == nil
}

func waitGone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(patience); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %s still lives", pid)
		}
	}
}

func TestHowCommandsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		spec Spec
		end  string
		code int
		sig  string
		out  string
	}{
		{"ok", Spec{Command: []string{"echo", "hello"}}, EndExited, 0, "", "hello\n"},
		{"code", Spec{Shell: "echo out; echo err >&2; exit 7"}, EndExited, 7, "", "out\nerr\n"},
		{"first failure ends a script", Spec{Shell: "false\necho never"}, EndExited, 1, "", ""},
		{"signal", Spec{Shell: "kill -SEGV $$"}, EndSignalled, 0, "SIGSEGV", ""},
		{"no program", Spec{Command: []string{"no-such-program"}}, EndStartFailed, 0, "", ""},
		{"no directory", Spec{Command: []string{"true"}, Dir: "/nowhere"}, EndStartFailed, 0, "", ""},
		{"time limit", Spec{Shell: "echo begun; sleep 1000", TimeLimit: 300 * time.Millisecond}, EndTimeLimit, 0, "SIGTERM", "begun\n"},
		{"working directory", Spec{Command: []string{"pwd"}, Dir: "/usr"}, EndExited, 0, "", "/usr\n"},
		{"relative program", Spec{Command: []string{"bin/env", "-i", "true"}, Dir: "/usr"}, EndExited, 0, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := run(t, c.spec)
			s := end(t, dir)
			if s.State != Exited || s.End != c.end || s.ExitCode != c.code || s.Signal != c.sig {
				t.Errorf("got %+v, want end %s, code %d, signal %q", s, c.end, c.code, c.sig)
			}
			if got := output(t, dir); got != c.out {
				t.Errorf("printed %q, want %q", got, c.out)
			}
			if c.end == EndStartFailed && s.Detail == "" {
				t.Error("no detail says why it did not start")
			}
			if s.Started.IsZero() || s.Finished.Before(s.Started) {
				t.Errorf("started %s, finished %s", s.Started, s.Finished)
			}
			if log := supervisorLog(dir); log != "" {
				t.Errorf("supervisor log%s", log)
			}
		})
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("SECRET_OF_THE_SERVER", "x")
	dir := run(t, Spec{Command: []string{"env"}, Env: map[string]string{"GIVEN": "a b", "HOME": "/given"}})
	end(t, dir)
	got := map[string]string{}
	for line := range strings.Lines(output(t, dir)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[k] = v
	}
	want := map[string]string{"GIVEN": "a b", "HOME": "/given", "PATH": os.Getenv("PATH"), "TMPDIR": filepath.Join(dir, "tmp")}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("environment is %v, want %v", got, want)
	}
}

func TestOutlivesItsStarter(t *testing.T) {
	dir := newRun(t)
	fifo := filepath.Join(t.TempDir(), "go-on")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	starter := exec.Command(os.Args[0], "start-and-hang", dir)
	starter.Env = append(os.Environ(), "SCRIPT=read x < "+fifo+"; echo got $x; exit 3")
	starter.Stderr = os.Stderr
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	starter.Process.Kill() // SIGKILL
	starter.Wait()
	if err := os.WriteFile(fifo, []byte("word\n"), 0); err != nil {
		t.Fatal(err)
	}
	if s := end(t, dir); s.End != EndExited || s.ExitCode != 3 {
		t.Errorf("got %+v, want exit code 3", s)
	}
	if got := output(t, dir); got != "got word\n" {
		t.Errorf("printed %q", got)
	}
}

func TestRacingStartsRunOnce(t *testing.T) {
	dir := newRun(t)
	mark := filepath.Join(t.TempDir(), "mark")
	spec := Spec{Shell: "echo run >> " + mark, Dir: "/"}
	var wg sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wg.Go(func() { errs[i] = Start(t.Context(), dir, spec) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	first := end(t, dir)
	if first.State != Exited {
		t.Errorf("got %+v, want exited", first)
	}
	if err := Start(t.Context(), dir, spec); err != nil {
		t.Errorf("Start of an ended run: %v", err)
	}
	// A supervisor started by a loser may still come: it must find nothing to do.
	if code := exec.Command(os.Args[0], Verb, dir).Run(); code != nil {
		t.Errorf("a late supervisor: %v", code)
	}
	if last, err := Observe(dir); err != nil || last != first {
		t.Errorf("a late supervisor made\n%+v of\n%+v, %v", last, first, err)
	}
	if data, _ := os.ReadFile(mark); string(data) != "run\n" {
		t.Errorf("ran %d times, want once", strings.Count(string(data), "run"))
	}
	spec.Shell = "echo other"
	if err := Start(t.Context(), dir, spec); !errors.Is(err, ErrOtherSpec) {
		t.Errorf("Start with another spec: %v, want ErrOtherSpec", err)
	}
}

func TestCancel(t *testing.T) {
	dir := run(t, Spec{Shell: `trap 'echo asked; exit 4' TERM; echo begun; while :; do sleep 0.05; done`, Grace: patience})
	printed(t, dir, "begun")
	for _, reason := range []string{"superseded by a newer commit", "second reason"} {
		if err := Cancel(dir, reason); err != nil {
			t.Fatal(err)
		}
	}
	s := end(t, dir)
	if s.End != EndCancelled || s.ExitCode != 4 || s.Detail != "superseded by a newer commit" {
		t.Errorf("got %+v, want cancelled for the first reason with the command's own exit code", s)
	}
	printed(t, dir, "asked")
}

func TestCancelBeforeStartRunsNothing(t *testing.T) {
	dir := newRun(t)
	spec := Spec{Command: []string{"echo", "ran"}, Dir: "/"}.withDefaults()
	os.Mkdir(dir, 0o700)
	if err := putSpec(dir, spec); err != nil {
		t.Fatal(err)
	}
	if err := Cancel(dir, "changed my mind"); err != nil {
		t.Fatal(err)
	}
	if err := Start(t.Context(), dir, spec); err != nil {
		t.Fatal(err)
	}
	if s := end(t, dir); s.End != EndCancelled || output(t, dir) != "" {
		t.Errorf("got %+v, printed %q", s, output(t, dir))
	}
}

func TestIgnoringSigtermIsKilledAfterGrace(t *testing.T) {
	dir := run(t, Spec{Shell: `trap '' TERM; sleep 1000 & echo child $!; wait; sleep 1000`, Grace: 200 * time.Millisecond})
	child := printed(t, dir, "child ")
	asked := time.Now()
	Cancel(dir, "enough")
	s := end(t, dir)
	if s.End != EndCancelled || s.Signal != "SIGKILL" {
		t.Errorf("got %+v, want cancelled by SIGKILL", s)
	}
	if waited := time.Since(asked); waited < 200*time.Millisecond {
		t.Errorf("killed after %s, before its grace of 200 ms", waited)
	}
	waitGone(t, child)
}

// The shell dies of SIGTERM; the program it started must still get its grace.
func TestGraceIsTheWholeGroups(t *testing.T) {
	dir := run(t, Spec{Grace: patience, Shell: `
		bash -c 'trap "sleep 0.3; echo drained; exit" TERM; echo begun; while :; do sleep 0.05; done' &
		wait`})
	printed(t, dir, "begun")
	Cancel(dir, "deploy")
	end(t, dir)
	if got := output(t, dir); !strings.Contains(got, "drained") {
		t.Errorf("the group's other process was not given its grace: %q", got)
	}
}

func TestRunawaysAreKilled(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("descendants outside the group are found by /proc")
	}
	dir := run(t, Spec{Shell: `sleep 1000 & echo same $!
		setsid bash -c 'sleep 1000 & echo session $!; disown' &
		sleep 0.2; exit 0`})
	same, session := printed(t, dir, "same "), printed(t, dir, "session ")
	if s := end(t, dir); s.End != EndExited || s.ExitCode != 0 {
		t.Errorf("got %+v", s)
	}
	waitGone(t, same)
	waitGone(t, session)
}

func TestCrashLoopBacksOff(t *testing.T) {
	dir := run(t, Spec{Shell: "echo try; exit 9", Restart: &Restart{Min: 10 * time.Millisecond, Max: time.Hour}})
	s := until(t, dir, "in a long back-off", func(s Status) bool {
		return s.State == Backoff && s.NextStart.Sub(s.Finished) > 300*time.Millisecond
	})
	if !s.CrashLoop() || s.ExitCode != 9 || s.End != EndExited {
		t.Errorf("got %+v, want a crash loop with exit code 9", s)
	}
	if s.Failures != s.Restarts+1 || strings.Count(output(t, dir), "try") != s.Failures {
		t.Errorf("%d failures, %d restarts, %d tries printed", s.Failures, s.Restarts, strings.Count(output(t, dir), "try"))
	}
	Cancel(dir, "stop trying")
	if s := end(t, dir); s.End != EndCancelled || s.Detail != "stop trying" {
		t.Errorf("got %+v, want cancelled", s)
	}
}

func TestBackoffIsExponentialAndBounded(t *testing.T) {
	r := Restart{Min: 250 * time.Millisecond, Max: 30 * time.Second}
	want := []time.Duration{250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000}
	for i, w := range want {
		if got := r.backoff(i + 1); got != w*time.Millisecond {
			t.Errorf("after %d failures: %s, want %s", i+1, got, w*time.Millisecond)
		}
	}
	if got := r.backoff(1_000_000); got != r.Max {
		t.Errorf("after a million failures: %s", got)
	}
}

func TestSupervisorKilled(t *testing.T) {
	kill := func(t *testing.T, dir string) (child string) {
		child = printed(t, dir, "child ")
		s := until(t, dir, "running", func(s Status) bool { return s.State == Running })
		unix.Kill(s.Supervisor, unix.SIGKILL)
		until(t, dir, "lost", func(s Status) bool { return s.State == Lost })
		return child
	}
	const script = "sleep 1000 & echo child $!; wait"
	t.Run("a step is lost, not run again", func(t *testing.T) {
		dir := run(t, Spec{Shell: script})
		child := kill(t, dir)
		if err := Start(t.Context(), dir, Spec{Shell: script, Dir: "/"}); err != nil {
			t.Fatal(err)
		}
		if s := end(t, dir); s.State != Lost || s.Detail == "" || strings.Count(output(t, dir), "child") != 1 {
			t.Errorf("got %+v, printed %q", s, output(t, dir))
		}
		if err := Remove(dir); err != nil {
			t.Fatal(err)
		}
		waitGone(t, child)
	})
	t.Run("an instance is started again", func(t *testing.T) {
		spec := Spec{Shell: script, Dir: "/", Restart: &Restart{}}
		dir := run(t, spec)
		child := kill(t, dir)
		if err := Start(t.Context(), dir, spec); err != nil {
			t.Fatal(err)
		}
		waitGone(t, child)
		s := until(t, dir, "running", func(s Status) bool { return s.State == Running })
		if s.Restarts != 1 {
			t.Errorf("%d restarts, want 1", s.Restarts)
		}
	})
}

// A status that names a process id which now belongs to somebody else must
// neither count as running nor get that process killed.
func TestRecycledPid(t *testing.T) {
	bystander := exec.Command("sleep", "1000")
	bystander.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer bystander.Wait()
	defer bystander.Process.Kill()
	dir := newRun(t)
	spec := Spec{Shell: "exit 5", Dir: "/", Restart: nil}.withDefaults()
	os.Mkdir(dir, 0o700)
	if err := putSpec(dir, spec); err != nil {
		t.Fatal(err)
	}
	pid := bystander.Process.Pid
	if startToken(pid) == "" || startToken(pid) == startToken(os.Getpid()) {
		t.Fatalf("start tokens: %q, %q", startToken(pid), startToken(os.Getpid()))
	}
	if err := writeStatus(dir, Status{State: Running, Supervisor: os.Getpid(), Pid: pid, PidStart: "another boot:1"}); err != nil {
		t.Fatal(err)
	}
	if s, err := Observe(dir); err != nil || s.State != Lost {
		t.Errorf("got %+v, %v, want lost", s, err)
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if !alive(strconv.Itoa(pid)) {
		t.Error("the bystander was killed")
	}
}

func TestOwnsPort(t *testing.T) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("whose a socket is, is read from /proc")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 to listen with")
	}
	dir := run(t, Spec{Command: []string{python, "-uc", "import socket,time\ns=socket.create_server(('127.0.0.1',0))\nprint('port',s.getsockname()[1])\ntime.sleep(1000)"}})
	port, err := strconv.Atoi(printed(t, dir, "port "))
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := until(t, dir, "running", func(s Status) bool { return s.State == Running })
	for _, c := range []struct {
		what string
		port int
		want bool
	}{{"its own", port, true}, {"ours", other.Addr().(*net.TCPAddr).Port, false}, {"nobody's", 1, false}} {
		if owned, known := s.OwnsPort(c.port); owned != c.want || !known {
			t.Errorf("%s: owned %t, known %t", c.what, owned, known)
		}
	}
}

func TestPrintingMuch(t *testing.T) {
	const limit = 8 << 20
	dir := run(t, Spec{
		Shell:  `head -c 104857600 /dev/zero | tr '\0' 'x'; echo the end`,
		Output: Output{SegmentBytes: limit / 4, Segments: 4, KeepFirst: true},
	})
	s := end(t, dir)
	if s.OutputBytes != 100<<20+8 || s.OutputDropped < s.OutputBytes-limit {
		t.Errorf("printed %d, dropped %d bytes", s.OutputBytes, s.OutputDropped)
	}
	var onDisk int64
	segments, _ := listSegments(dir)
	for _, seg := range segments {
		onDisk += seg.size
	}
	if onDisk > limit || onDisk != s.OutputBytes-s.OutputDropped {
		t.Errorf("%d bytes on disk, limit %d", onDisk, limit)
	}
	var kept, dropped, offset int64
	for {
		c, err := Read(dir, offset, 0)
		if err != nil {
			t.Fatal(err)
		}
		kept, dropped, offset = kept+int64(len(c.Data)), dropped+c.Dropped, c.Next
		if c.End {
			break
		}
	}
	if kept != onDisk || dropped != s.OutputDropped {
		t.Errorf("read %d bytes and %d dropped, want %d and %d", kept, dropped, onDisk, s.OutputDropped)
	}
	tail, err := Read(dir, -8, 0)
	if err != nil || string(tail.Data) != "the end\n" || !tail.End {
		t.Errorf("tail %q, %v", tail.Data, err)
	}
	if first, err := Read(dir, 0, 3); err != nil || string(first.Data) != "xxx" {
		t.Errorf("beginning %q, %v", first.Data, err)
	}
}

func TestFollow(t *testing.T) {
	dir := run(t, Spec{Shell: "for i in 1 2 3 4 5; do echo line $i; sleep 0.05; done",
		Output: Output{SegmentBytes: 10, Segments: 8}})
	var b bytes.Buffer
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	err := Follow(ctx, clock.Wall(), dir, 0, func(c Chunk) error { b.Write(c.Data); return nil })
	if err != nil || b.String() != "line 1\nline 2\nline 3\nline 4\nline 5\n" {
		t.Errorf("followed %q, %v", b.String(), err)
	}
}

func TestRemove(t *testing.T) {
	dir := run(t, Spec{Shell: "sleep 1000"})
	if err := Remove(dir); !errors.Is(err, ErrLive) {
		t.Errorf("Remove of a live run: %v, want ErrLive", err)
	}
	Cancel(dir, "done")
	end(t, dir)
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Observe(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Observe of nothing: %v", err)
	}
}

func TestBadSpecs(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Dir: "/"}, "exactly one of command and shell"},
		{Spec{Dir: "/", Shell: "x", Command: []string{"x"}}, "exactly one of command and shell"},
		{Spec{Dir: "here", Shell: "x"}, "not absolute"},
		{Spec{Dir: "/", Command: []string{""}}, "program is empty"},
		{Spec{Dir: "/", Shell: "x", Env: map[string]string{"A=B": ""}}, "environment variable"},
		{Spec{Dir: "/", Shell: "x\x00"}, "NUL"},
		{Spec{Dir: "/", Shell: "x", Grace: -1}, "negative"},
		{Spec{Dir: "/", Shell: "x", Output: Output{SegmentBytes: -1}}, "output"},
		{Spec{Dir: "/", Shell: "x", Restart: &Restart{Min: time.Hour}}, "restart"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := Start(t.Context(), dir, c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want …%s…", c.spec, err, c.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%+v: made a directory", c.spec)
		}
	}
}

func TestSupervisorIsSmall(t *testing.T) {
	dir := run(t, Spec{Shell: "echo up; sleep 1000"})
	printed(t, dir, "up")
	s := until(t, dir, "running", func(s Status) bool { return s.State == Running })
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Supervisor))
	if err != nil {
		t.Skip("memory is read from /proc")
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "Rss") || strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "Threads") {
			t.Log(strings.TrimSpace(line))
		}
	}
}
