// Package agenttest lends tests a real agent, real supervisors and small
// programs to run, all of them the test binary itself under another first
// argument. A test package that uses it calls Run in its TestMain.
package agenttest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/agent"
	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/workload/workloadtest"
)

const serviceVerb = "agenttest-service"

// Run is the body of TestMain: it is what the command line asks for, or the
// tests.
func Run(m *testing.M) int {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case supervise.Verb:
			return supervise.Main(os.Args[2])
		case agent.Verb:
			return agent.Main(os.Args[2:])
		case serviceVerb:
			return service(workloadtest.Behaviour(os.Args[2]))
		}
	}
	return m.Run()
}

// Service is a command that behaves so. It answers GET /pid with its process id,
// GET /slow after half a second, GET /fail with status 500, and says its
// revision in the header Revision. On SIGTERM it finishes its requests, unless
// the variable ABRUPT is set.
func Service(b workloadtest.Behaviour) []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{exe, serviceVerb, string(b)}
}

func service(b workloadtest.Behaviour) int {
	fmt.Println("begun")
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	switch b {
	case workloadtest.Crashes:
		fmt.Println("out of luck")
		return 3
	case workloadtest.Deaf:
		<-terminated
		return 0
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Revision", os.Getenv("FLYBALL_REVISION"))
		if b == workloadtest.Unready {
			fmt.Println("not yet")
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "hello\n")
	})
	mux.HandleFunc("/pid", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "failed", 500) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		if clock.Sleep(r.Context(), clock.Wall(), 500*time.Millisecond) == nil {
			w.Header().Set("Revision", os.Getenv("FLYBALL_REVISION"))
			io.WriteString(w, "slow\n")
		}
	})
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	for {
		select {
		case err := <-failed:
			fmt.Println(err)
			return 1
		case <-terminated:
			if b == workloadtest.IgnoresTerm {
				continue
			}
			fmt.Println("shutting down")
			if os.Getenv("ABRUPT") != "" {
				return 0
			}
			server.Shutdown(context.Background())
			return 0
		}
	}
}

// Agent is an agent process for one test.
type Agent struct {
	agent.Config
	cmd *exec.Cmd
}

// New makes an agent's configuration, in a directory that is emptied, with all
// that runs in it ended, when the test is over. Short of Spawn or Launch,
// nothing runs.
func New(t testing.TB) *Agent {
	t.Helper()
	dir, err := os.MkdirTemp("", "flyball") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{Config: agent.Config{Dir: dir, ProxyListen: freeAddress(t), Clock: clock.Wall(), Log: slog.New(slog.DiscardHandler)}}
	a.AdminSocket = filepath.Join(dir, "agent.sock")
	t.Cleanup(func() { a.clear(t) })
	return a
}

// freeAddress is a loopback address that was free a moment ago.
func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Spawn starts the agent as the server would.
func Spawn(t testing.TB) *Agent {
	t.Helper()
	a := New(t)
	if err := agent.Spawn(t.Context(), a.Config); err != nil {
		t.Fatal(err)
	}
	return a
}

// Launch starts the agent as a child of the test, without a supervisor, to be
// killed at will.
func (a *Agent) Launch(t testing.TB) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a.cmd = exec.Command(exe, agent.Verb, "-dir", a.Dir, "-listen", a.ProxyListen, "-admin", a.AdminSocket)
	log, err := os.OpenFile(filepath.Join(a.Dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	for {
		conn, err := net.Dial("unix", a.AdminSocket)
		if err == nil {
			conn.Close()
			return
		}
		if clock.Sleep(ctx, a.Clock, 5*time.Millisecond) != nil {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the agent does not come up: %v\n%s", err, text)
		}
	}
}

// Kill ends a launched agent with SIGKILL.
func (a *Agent) Kill() {
	a.cmd.Process.Kill()
	a.cmd.Wait()
	a.cmd = nil
}

// URL of the proxy.
func (a *Agent) URL() string { return "http://" + a.ProxyListen }

// clear ends the agent and everything it started.
func (a *Agent) clear(t testing.TB) {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	if a.cmd != nil {
		a.Kill()
	}
	if err := agent.Stop(ctx, a.Config); err != nil {
		t.Errorf("stopping the agent: %v", err)
	}
	runs, _ := filepath.Glob(filepath.Join(a.Dir, "instances", "*", "*", "*", "*", "spec.json"))
	for _, run := range runs {
		supervise.Cancel(filepath.Dir(run), "test over")
	}
	for _, run := range runs {
		if s, err := supervise.Wait(ctx, a.Clock, filepath.Dir(run)); err != nil {
			t.Errorf("ending an instance: %+v, %v", s, err)
		}
	}
	if t.Failed() {
		logs, _ := filepath.Glob(filepath.Join(a.Dir, "runs", "*", "output.log"))
		for _, file := range append(logs, filepath.Join(a.Dir, "log")) {
			if text, err := os.ReadFile(file); err == nil {
				t.Logf("agent's log:\n%s", text)
			}
		}
	}
	if err := os.RemoveAll(a.Dir); err != nil {
		t.Error(err)
	}
}
