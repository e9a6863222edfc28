package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What goes wrong around Flyball: each fault must be told in words that help,
// by the program itself, with real git, processes and sockets.

// limit is how long anything here may take before it counts as hanging.
const limit = 30 * time.Second

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "flyball-faults-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "flyball")
	out, err := exec.Command("go", "build", "-o", path, "github.com/flyball-dev/flyball/cmd/flyball").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if dir := os.Getenv(fileServerEnv); dir != "" {
		serveFiles(dir)
		return
	}
	code := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// yard is a repository and the flyball that runs in it.
type yard struct {
	t               *testing.T
	dir             string
	listen, traffic string
}

func newYard(t *testing.T) *yard {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	if _, err := program(); err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, dir: t.TempDir(), listen: freeAddress(t), traffic: freeAddress(t)}
	y.git("init", "--quiet", "--initial-branch", "main")
	return y
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (y *yard) git(args ...string) {
	y.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=T", "-c", "user.email=t@example.org"}, args...)...)
	cmd.Dir = y.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		y.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (y *yard) write(name, text string) {
	y.t.Helper()
	path := filepath.Join(y.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		y.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) read(name string) string {
	y.t.Helper()
	text, err := os.ReadFile(filepath.Join(y.dir, name))
	if err != nil {
		y.t.Fatal(err)
	}
	return string(text)
}

// declare commits a service with more lines of its spec, and other documents.
func (y *yard) declare(spec string, more ...string) {
	y.t.Helper()
	y.write("version.txt", "1\n")
	y.write("flyball/service.yaml", `apiVersion: flyball.dev/v1
kind: Service
metadata: {name: web}
spec:
  team: owners
  traffic: 10/s
`+spec+`---
{apiVersion: flyball.dev/v1, kind: Team, metadata: {name: owners}, spec: {}}
---
{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: prod}, spec: {delivery: automatic}}
`+strings.Join(more, ""))
	y.commit("deliver with Flyball")
}

func (y *yard) commit(subject string) {
	y.t.Helper()
	y.git("add", "-A")
	y.git("commit", "--quiet", "--message", subject)
}

func (y *yard) command(ctx context.Context, args ...string) *exec.Cmd {
	path, _ := program()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = y.dir
	cmd.Env = append(os.Environ(), "FLYBALL_TOKEN=", "FLYBALL_SERVER=")
	return cmd
}

// run runs flyball to its end.
func (y *yard) run(args ...string) (stdout, stderr string, code int) {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := y.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		y.t.Fatalf("flyball %v: %v %v\n%s", args, ctx.Err(), err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// up starts the server and ends everything with the test.
func (y *yard) up(more ...string) {
	y.t.Helper()
	cmd := y.command(context.Background(), append([]string{"up", "--listen", y.listen, "--traffic", y.traffic}, more...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		y.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() {
		if out, errs, code := y.run("down"); code != 0 {
			y.t.Errorf("flyball down: %d\n%s%s", code, out, errs)
		}
		// It was told to end; how it took that is not what is tested.
		_ = cmd.Wait()
	})
	stuck := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	text, lines := "", bufio.NewScanner(said)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Next:") {
			go io.Copy(io.Discard, said)
			return
		}
		text += lines.Text() + "\n"
	}
	y.t.Fatalf("flyball up did not come up:\n%s", text)
}

// event waits for the first event of a type and gives its data.
func (y *yard) event(typ string) map[string]any {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := y.command(ctx, "event", "tail", "--after", "0", "--types", typ, "-o", "json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		y.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	var e struct {
		Data map[string]any `json:"data"`
	}
	if err := json.NewDecoder(out).Decode(&e); err != nil {
		y.t.Fatalf("no %s: %v", typ, err)
	}
	return e.Data
}

// await watches what a command shows until it has said all of the words.
func (y *yard) await(words []string, args ...string) {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := y.command(ctx, append(args, "--watch")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		y.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	said, lines := "", bufio.NewScanner(out)
	for lines.Scan() {
		said += lines.Text() + "\n"
		missing := 0
		for _, w := range words {
			if !strings.Contains(said, w) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	y.t.Errorf("flyball %v does not say all of %q:\n%s", args, words, said)
}

// says fails the test unless text holds every one of the words.
func (y *yard) says(text string, words ...string) {
	y.t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			y.t.Errorf("does not say %q:\n%s", w, text)
		}
	}
}

func TestFaultRepositoryWithoutCommits(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.write("flyball/service.yaml", "apiVersion: flyball.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {team: owners, run: ./web}\n---\napiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: owners}\nspec: {}\n---\napiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: prod}\nspec: {}\n")
	y.up()
	_, errs, code := y.run("push")
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	y.says(errs, "no commits", "next:", "commit something")
}

func TestFaultNoRepository(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.dir = t.TempDir()
	for _, args := range [][]string{{"init"}, {"push"}} {
		_, errs, code := y.run(args...)
		if code != 1 {
			t.Errorf("flyball %v: exit code %d, want 1", args, code)
		}
		y.says(errs, "not a git repository", "next:")
	}
}

func TestFaultForcePush(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  build: 'true'\n  files: [version.txt]\n  run: sleep 600\n")
	y.up()
	y.event("change.pushed")
	y.write("version.txt", "2\n")
	y.git("add", "-A")
	y.git("commit", "--quiet", "--amend", "--message", "rewritten")
	if _, errs, code := y.run("push"); code != 0 {
		t.Fatal(errs)
	}
	y.await([]string{`"forced":true`, `"subject":"rewritten"`}, "change", "list", "-o", "json")
}

func TestFaultBuildFails(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  build: echo no rule to make it >&2; exit 3\n  files: [version.txt]\n  run: sleep 600\n")
	y.up()
	run := fmt.Sprint(y.event("pipeline.started")["run"])
	y.await([]string{"failure", "exit code 3"}, "pipeline", "list")
	y.await([]string{"not released yet", "failure", run}, "status")
	out, _, _ := y.run("pipeline", "logs", run)
	y.says(out, "no rule to make it")
}

func TestFaultBuildHangs(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  pipeline: slow\n  run: sleep 600\n", `---
apiVersion: flyball.dev/v1
kind: Pipeline
metadata: {name: slow}
spec:
  jobs:
    build:
      timeout-minutes: 0.01
      steps: [{run: sleep 600}]
`)
	y.up()
	y.await([]string{"failure", "timed out after"}, "pipeline", "list")
}

func TestFaultBuildPrintsTooMuch(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  build: echo begin; yes 0123456789abcdef | head -c 104857600; echo end of it; exit 1\n  files: [version.txt]\n  run: sleep 600\n")
	y.up()
	y.await([]string{"failure", "exit code 1"}, "pipeline", "list")
	out, _, code := y.run("pipeline", "logs", fmt.Sprint(y.event("pipeline.started")["run"]))
	if code != 0 || len(out) > 2<<20 {
		t.Errorf("exit code %d, %d bytes of output, want at most 2 MiB", code, len(out))
	}
	y.says(out[max(0, len(out)-100):], "end of it")
	kept := int64(0)
	err := filepath.Walk(filepath.Join(y.dir, ".flyball", "steps"), func(_ string, f os.FileInfo, err error) error {
		if err == nil {
			kept += f.Size()
		}
		return err
	})
	if err != nil || kept > 70<<20 {
		t.Errorf("%d MiB kept of the step, want at most 70: %v", kept>>20, err)
	}
}

func TestFaultCrashLoop(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.declare("  build: 'true'\n  files: [version.txt]\n  run: sh -c 'echo no database at db.example >&2; exit 7'\n")
	y.up()
	y.says(fmt.Sprint(y.event("rollout.finished")), "rolled_back", "exit", "7", "no database at db.example")
	y.await([]string{"nothing serves: the first revision", "rolled back: not ready", "no database at db.example"}, "status")
}

func TestFaultPortInUse(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"--listen", "--traffic"} {
		y := newYard(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		args := map[string]string{"--listen": y.listen, "--traffic": y.traffic}
		args[which] = l.Addr().String()
		_, errs, code := y.run("up", "--listen", args["--listen"], "--traffic", args["--traffic"])
		if code != 1 {
			t.Errorf("%s: exit code %d, want 1", which, code)
		}
		y.says(errs, l.Addr().String(), "in use", "next:", which)
	}
}

func TestFaultTwoServersInOneDirectory(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.up()
	for _, listen := range []string{y.listen, freeAddress(t)} {
		_, errs, code := y.run("up", "--listen", listen, "--traffic", y.traffic)
		if code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		y.says(errs, "next:")
		if listen != y.listen {
			y.says(errs, "another Flyball server", "flyball.db")
		}
	}
	if _, errs, code := y.run("status"); code != 0 {
		t.Errorf("the first server does not answer any more: %s", errs)
	}
}

func TestFaultRequests(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.up()
	token, err := os.ReadFile(filepath.Join(y.dir, ".flyball", "token"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token string
		body  io.Reader
		want  int
		words string
	}{
		"without a token": {"", strings.NewReader(`{}`), http.StatusUnauthorized, "token"},
		"a wrong token":   {"flyball_nobody_0000", strings.NewReader(`{}`), http.StatusUnauthorized, "token"},
		"too large":       {string(token), io.LimitReader(zeros{}, 64<<20), http.StatusRequestEntityTooLarge, "larger than"},
		"not JSON":        {string(token), strings.NewReader(`{"files":`), http.StatusUnprocessableEntity, "JSON"},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://"+y.listen+"/api/v1/resources/apply", c.body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := (&http.Client{Timeout: limit}).Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.want || !strings.Contains(string(text), c.words) {
			t.Errorf("%s: %s %s, want %d with %q (%v)", name, resp.Status, text, c.want, c.words, err)
		}
	}
}

// zeros is a body of spaces without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
