package workloadtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// RunSteps tries an adapter of workload.Steps; make gives an empty one for each
// test. Steps run POSIX shell scripts in /.
func RunSteps(t *testing.T, make func(t *testing.T) workload.Steps) {
	for name, test := range map[string]func(*testing.T, workload.Steps){
		"ends":                   stepEnds,
		"runs once":              stepRunsOnce,
		"is cancelled":           stepCancelled,
		"runs out of time":       stepTimeLimit,
		"has a clean start":      stepEnvironment,
		"may print much":         stepPrintsMuch,
		"is removed":             stepRemoved,
		"has an unusual id":      stepIDs,
		"is refused if invalid":  stepInvalid,
		"is not found if absent": stepAbsent,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func start(t *testing.T, s workload.Steps, id string, spec workload.StepSpec) {
	t.Helper()
	spec.Dir = "/"
	if err := s.Start(t.Context(), id, spec); err != nil {
		t.Fatal(err)
	}
}

func stepEnd(t *testing.T, s workload.Steps, id string) (status workload.StepStatus) {
	t.Helper()
	eventually(t, func() (string, bool) {
		var err error
		status, err = s.Observe(t.Context(), id)
		return fmt.Sprintf("%+v, %v", status, err), err == nil && status.Ended()
	})
	return status
}

// awaitRunning waits until a step is said to run: it may have printed before.
func awaitRunning(t *testing.T, s workload.Steps, id string) {
	t.Helper()
	eventually(t, func() (string, bool) {
		got, err := s.Observe(t.Context(), id)
		return fmt.Sprintf("%+v, %v", got, err), err == nil && got.State == workload.StepRunning && got.Pid != 0
	})
}

func stepOutput(t *testing.T, s workload.Steps, id string) string {
	t.Helper()
	var b bytes.Buffer
	for offset := int64(0); ; {
		c, err := s.Output(t.Context(), id, offset, 0)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(c.Data)
		if c.End || len(c.Data) == 0 {
			return b.String()
		}
		offset = c.Next
	}
}

func awaitOutput(t *testing.T, s workload.Steps, id, want string) {
	t.Helper()
	eventually(t, func() (string, bool) {
		got := stepOutput(t, s, id)
		return got, strings.Contains(got, want)
	})
}

func stepEnds(t *testing.T, s workload.Steps) {
	for _, c := range []struct {
		script, end, signal string
		code                int
		ok                  bool
	}{
		{"echo fine", workload.EndExited, "", 0, true},
		{"echo bad >&2; exit 7", workload.EndExited, "", 7, false},
		{"false; echo not reached", workload.EndExited, "", 1, false},
		{"kill -ABRT $$", workload.EndSignalled, "SIGABRT", 0, false},
	} {
		start(t, s, c.script, workload.StepSpec{Shell: c.script})
		got := stepEnd(t, s, c.script)
		if got.State != workload.StepExited || got.End != c.end || got.ExitCode != c.code || got.Signal != c.signal || got.Succeeded() != c.ok {
			t.Errorf("%s: %+v", c.script, got)
		}
		if got.Started.IsZero() || got.Finished.Before(got.Started) || got.ID != c.script {
			t.Errorf("%s: %+v", c.script, got)
		}
	}
	if out := stepOutput(t, s, "echo bad >&2; exit 7"); out != "bad\n" {
		t.Errorf("printed %q", out)
	}
	start(t, s, "none", workload.StepSpec{Command: []string{"/no/such/program"}})
	if got := stepEnd(t, s, "none"); got.End != workload.EndStartFailed || got.Detail == "" {
		t.Errorf("no such program: %+v", got)
	}
}

func stepRunsOnce(t *testing.T, s workload.Steps) {
	spec := workload.StepSpec{Shell: "echo run"}
	start(t, s, "a", spec)
	start(t, s, "a", spec)
	stepEnd(t, s, "a")
	start(t, s, "a", spec)
	if out := stepOutput(t, s, "a"); out != "run\n" {
		t.Errorf("printed %q, want one run", out)
	}
	spec.Dir, spec.Shell = "/", "echo other"
	if err := s.Start(t.Context(), "a", spec); problem.KindOf(err) != problem.Conflict {
		t.Errorf("another spec under the same id: %v, want conflict", err)
	}
}

func stepCancelled(t *testing.T, s workload.Steps) {
	start(t, s, "a", workload.StepSpec{Shell: "trap '' TERM; echo begun; while :; do sleep 0.1; done", Grace: 100 * time.Millisecond})
	awaitOutput(t, s, "a", "begun")
	awaitRunning(t, s, "a")
	for range 2 {
		if err := s.Cancel(t.Context(), "a", "superseded"); err != nil {
			t.Fatal(err)
		}
	}
	if got := stepEnd(t, s, "a"); got.End != workload.EndCancelled || got.Detail != "superseded" || got.Signal != "SIGKILL" {
		t.Errorf("got %+v, want cancelled with the reason, by SIGKILL", got)
	}
	if err := s.Cancel(t.Context(), "a", "again"); err != nil {
		t.Errorf("cancelling an ended step: %v", err)
	}
}

func stepTimeLimit(t *testing.T, s workload.Steps) {
	start(t, s, "a", workload.StepSpec{Shell: "sleep 1000", TimeLimit: 200 * time.Millisecond})
	if got := stepEnd(t, s, "a"); got.End != workload.EndTimeLimit || got.Succeeded() {
		t.Errorf("got %+v, want time-limit", got)
	}
}

func stepEnvironment(t *testing.T, s workload.Steps) {
	t.Setenv("LEAKED", "secret")
	start(t, s, "a", workload.StepSpec{Shell: `echo "$GIVEN|$LEAKED|${PATH:+path}|${HOME:+home}|${TMPDIR:+tmp}"; read x || echo no input; echo > "$TMPDIR/x"; echo > "$HOME/x"`,
		Env: map[string]string{"GIVEN": "here"}})
	stepEnd(t, s, "a")
	if out := stepOutput(t, s, "a"); out != "here||path|home|tmp\nno input\n" {
		t.Errorf("printed %q", out)
	}
}

func stepPrintsMuch(t *testing.T, s workload.Steps) {
	const limit = 1 << 20
	start(t, s, "a", workload.StepSpec{OutputLimit: limit, Shell: "echo the beginning; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end"})
	got := stepEnd(t, s, "a")
	if got.OutputBytes != 20000000+23 || got.Dropped < got.OutputBytes-limit || got.Dropped > got.OutputBytes-limit/4 {
		t.Errorf("printed %d bytes, dropped %d", got.OutputBytes, got.Dropped)
	}
	out := stepOutput(t, s, "a")
	if !strings.HasPrefix(out, "the beginning\n") || !strings.HasSuffix(out, "\nthe end\n") || int64(len(out)) != got.OutputBytes-got.Dropped {
		t.Errorf("kept %d bytes from %.20q", len(out), out)
	}
	var dropped int64
	for offset := int64(0); ; {
		c, err := s.Output(t.Context(), "a", offset, 0)
		if err != nil {
			t.Fatal(err)
		}
		dropped, offset = dropped+c.Dropped, c.Next
		if c.End {
			break
		}
	}
	if dropped != got.Dropped {
		t.Errorf("the reader is told of %d dropped bytes, want %d", dropped, got.Dropped)
	}
}

func stepRemoved(t *testing.T, s workload.Steps) {
	start(t, s, "a", workload.StepSpec{Shell: "sleep 1000"})
	if err := s.Remove(t.Context(), "a"); problem.KindOf(err) != problem.Conflict {
		t.Errorf("removing a live step: %v, want conflict", err)
	}
	if err := s.Cancel(t.Context(), "a", "test"); err != nil {
		t.Fatal(err)
	}
	stepEnd(t, s, "a")
	for range 2 {
		if err := s.Remove(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Observe(t.Context(), "a"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("observing a removed step: %v, want notfound", err)
	}
}

func stepIDs(t *testing.T, s workload.Steps) {
	ids := []string{"run/7/build/0", "run/7/build", "..", "a b\n", "ü", strings.Repeat("/", 200), strings.Repeat("/", 199)}
	for i, id := range ids {
		start(t, s, id, workload.StepSpec{Shell: fmt.Sprint("exit ", i)})
	}
	for i, id := range ids {
		if got := stepEnd(t, s, id); got.ExitCode != i || got.ID != id {
			t.Errorf("id %.20q: %+v, want exit code %d", id, got, i)
		}
	}
}

func stepInvalid(t *testing.T, s workload.Steps) {
	for _, c := range []struct {
		id   string
		spec workload.StepSpec
	}{
		{"", workload.StepSpec{Shell: "x", Dir: "/"}},
		{strings.Repeat("x", 201), workload.StepSpec{Shell: "x", Dir: "/"}},
		{"nul\x00", workload.StepSpec{Shell: "x", Dir: "/"}},
		{"nothing", workload.StepSpec{Dir: "/"}},
		{"both", workload.StepSpec{Shell: "x", Command: []string{"x"}, Dir: "/"}},
		{"relative", workload.StepSpec{Shell: "x", Dir: "here"}},
	} {
		if err := s.Start(t.Context(), c.id, c.spec); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%.20q: %v, want invalid", c.id, err)
		}
	}
}

func stepAbsent(t *testing.T, s workload.Steps) {
	_, observed := s.Observe(t.Context(), "a")
	_, read := s.Output(t.Context(), "a", 0, 0)
	for _, err := range []error{observed, read, s.Cancel(t.Context(), "a", "test")} {
		if problem.KindOf(err) != problem.NotFound {
			t.Errorf("%v, want notfound", err)
		}
	}
}
