package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Verb is the first argument of the binary that makes it an agent. Whoever uses
// Spawn must hand such command lines to Main, and those of supervise.Verb to
// supervise.Main.
const Verb = "agent"

const (
	spawnLimit   = 15 * time.Second
	adminTimeout = 2 * time.Second // of one question to the admin socket
	runHistory   = 3               // ended runs of the agent whose log is kept
)

// Main is the agent process; args follow the verb. It returns the exit code.
func Main(args []string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	flags := flag.NewFlagSet(Verb, flag.ContinueOnError)
	cfg := Config{Clock: clock.Wall(), Log: log}
	flags.StringVar(&cfg.Dir, "dir", "", "directory of the agent's state (absolute)")
	flags.StringVar(&cfg.ProxyListen, "listen", "127.0.0.1:8080", "address for requests")
	flags.StringVar(&cfg.AdminSocket, "admin", "", "path of the admin socket (default agent.sock in -dir)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, cfg); err != nil {
		log.Error("agent ended", "err", err, "next", problem.NextOf(err))
		return 1
	}
	return 0
}

// Spawn makes sure that an agent runs with this configuration, and returns when
// it serves. It runs under a supervisor: it outlives the caller and is restarted
// when it crashes. One that runs already with the same addresses is left as it
// is, and Log told when it is of another build; with other addresses it is
// replaced, while what it started keeps running.
func Spawn(ctx context.Context, cfg Config) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	spec := supervise.Spec{
		Command: []string{exe, Verb, "-dir", cfg.Dir, "-listen", cfg.ProxyListen, "-admin", cfg.socket()},
		Dir:     "/", Grace: shutdownLimit + 10*time.Second,
		Restart:      &supervise.Restart{Min: 100 * time.Millisecond, Max: 10 * time.Second},
		LeaveOrphans: true, // the supervisors of its instances
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "runs"), 0o700); err != nil {
		return err
	}
	n, live, err := latestRun(cfg.Dir)
	if err != nil {
		return err
	}
	if live {
		err := supervise.Start(ctx, runDir(cfg.Dir, n), spec)
		if !errors.Is(err, supervise.ErrOtherSpec) {
			err = errors.Join(err, awaitHealthy(ctx, cfg, runDir(cfg.Dir, n)))
			noticeOther(cfg)
			return err
		}
		if err := endRun(ctx, cfg, n, "replaced by one with another configuration"); err != nil {
			return err
		}
	}
	if !live && healthy(cfg) == nil {
		noticeOther(cfg)
		return nil // somebody runs one in the foreground
	}
	if err := vacant(cfg.ProxyListen); err != nil {
		return err
	}
	if err := supervise.Start(ctx, runDir(cfg.Dir, n+1), spec); err != nil {
		return err
	}
	if err := awaitHealthy(ctx, cfg, runDir(cfg.Dir, n+1)); err != nil {
		return errors.Join(err, supervise.Cancel(runDir(cfg.Dir, n+1), "did not come up"))
	}
	for old := n + 1 - runHistory; old > 0 && supervise.Remove(runDir(cfg.Dir, old)) == nil; old-- {
		if _, err := os.Stat(runDir(cfg.Dir, old-1)); err != nil {
			break
		}
	}
	return nil
}

// vacant makes sure, before an agent is started in vain, that it can listen.
func vacant(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return problem.New(problem.Unavailable, "agent.spawn", "requests cannot be served at %s: %w", address, err).
			WithNext("end what uses it, or choose another address with --traffic")
	}
	return l.Close()
}

// Stop ends the agent that Spawn started, if there is one, and returns when it
// has ended. What it started keeps running: to end that too, first make the
// desired document empty and wait until nothing is observed.
func Stop(ctx context.Context, cfg Config) error {
	n, live, err := latestRun(cfg.Dir)
	if err != nil || !live {
		return err
	}
	return endRun(ctx, cfg, n, "told to end")
}

func endRun(ctx context.Context, cfg Config, n int, reason string) error {
	if err := supervise.Cancel(runDir(cfg.Dir, n), reason); err != nil {
		return err
	}
	_, err := supervise.Wait(ctx, cfg.Clock, runDir(cfg.Dir, n))
	return err
}

func runDir(dir string, n int) string { return filepath.Join(dir, "runs", strconv.Itoa(n)) }

// latestRun is the number of the agent's latest run, 0 without one, and whether
// it can still be used.
func latestRun(dir string) (n int, live bool, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, false, err
	}
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) == 0 {
		return 0, false, nil
	}
	sort.Ints(numbers)
	n = numbers[len(numbers)-1]
	s, err := supervise.Observe(runDir(dir, n))
	if errors.Is(err, fs.ErrNotExist) {
		return n, false, nil
	}
	return n, err == nil && s.State != supervise.Exited, err
}

// awaitHealthy waits until the agent answers, and tells what it printed if it
// does not.
func awaitHealthy(ctx context.Context, cfg Config, run string) error {
	ctx, stop := context.WithTimeout(ctx, spawnLimit)
	defer stop()
	for {
		err := healthy(cfg)
		if err == nil {
			return nil
		}
		s, observed := supervise.Observe(run)
		hopeless := observed == nil && (s.Ended() || s.CrashLoop())
		if !hopeless && clock.Sleep(ctx, cfg.Clock, 20*time.Millisecond) == nil {
			continue
		}
		tail := ""
		if chunk, err := supervise.Read(run, -2000, 0); err == nil {
			tail = string(chunk.Data)
		}
		return problem.New(problem.Unavailable, "agent.spawn", "the agent does not come up: %s", fmt.Sprintf("%v\n%s", err, tail)).
			WithNext("see %s for what it printed", filepath.Join(run, "output.log"))
	}
}

// noticeOther says so when the agent that runs is of another build than the
// program that needs it.
func noticeOther(cfg Config) {
	if h, err := condition(cfg); err == nil && h.Build != cfg.build() && cfg.Log != nil {
		cfg.Log.Warn("the agent was started by another build of flyball and goes on serving as it is",
			"agent", cmp.Or(h.Build, "older than this note"), "this", cfg.build(), "next", "to replace it: flyball down && flyball up, which interrupts the services for a moment")
	}
}

// healthy is nil when an agent answers on the admin socket.
func healthy(cfg Config) error {
	_, err := condition(cfg)
	return err
}

// condition is what an agent says of itself. One of an older build has less to say.
func condition(cfg Config) (health, error) {
	var h health
	client := &http.Client{Timeout: adminTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", cfg.socket())
		},
	}}
	resp, err := client.Get("http://agent/healthz")
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&h)
	return h, nil
}
