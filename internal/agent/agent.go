package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/proxy"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Config is what an agent needs to know.
type Config struct {
	Dir         string // absolute; made if missing
	ProxyListen string // address for requests, such as 127.0.0.1:8080
	AdminSocket string // path of the unix socket; empty: agent.sock in Dir
	Clock       clock.Clock
	Log         *slog.Logger
	Build       string // names the program, so that one left over from an older one is noticed; empty: the file it was started from
}

// build names the program that runs.
func (c Config) build() string {
	if c.Build != "" {
		return c.Build
	}
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(exe)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
}

// socket is the path of the admin socket.
func (c Config) socket() string { return cmp.Or(c.AdminSocket, filepath.Join(c.Dir, "agent.sock")) }

const (
	listenPatience = 5 * time.Second  // for the address of an agent that is just ending
	shutdownLimit  = 30 * time.Second // for requests in flight when the agent is told to end
)

type agent struct {
	cfg    Config
	clk    clock.Clock
	log    *slog.Logger
	proxy  *proxy.Proxy
	kicked chan struct{} // the loop should come

	mu          sync.Mutex // everything below
	store       *store
	leases      *leases
	instances   []*instance
	applied     proxy.Table
	portRetries map[workload.Ref]int
	trouble     map[workload.Ref]string // why a revision has no instances
}

// Run is an agent, until ctx is done. What it started keeps running after it.
// The error is a conflict when another agent works in the directory.
func Run(ctx context.Context, cfg Config) error {
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	a, err := newAgent(cfg)
	if err != nil {
		return err
	}
	requests, err := listen(ctx, cfg.Clock, cfg.ProxyListen)
	if err != nil {
		return errors.Join(err, a.proxy.Close())
	}
	admin, err := listenUnix(cfg.socket())
	if err != nil {
		return errors.Join(err, requests.Close(), a.proxy.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a.mu.Lock()
	a.step(ctx, a.clk.Now()) // what runs already is in the table before the first request
	a.mu.Unlock()
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 2)
	go func() { failed <- a.proxy.Serve(requests) }()
	go func() { failed <- server.Serve(admin) }()
	loop := make(chan struct{})
	go func() { defer close(loop); a.reconcile(ctx) }()
	a.log.Info("agent serves", "proxy", requests.Addr().String(), "admin", cfg.socket(), "generation", a.store.doc.Generation)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
		stop()
	}
	<-loop
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	shutdown := a.proxy.Shutdown(limit)
	if errors.Is(shutdown, context.DeadlineExceeded) {
		a.log.Warn("requests cut at the end", "after", shutdownLimit)
		shutdown = nil
	}
	a.mu.Lock()
	for _, l := range a.leases.byKey {
		l.halt()
	}
	a.mu.Unlock()
	return errors.Join(err, shutdown, server.Close())
}

func newAgent(cfg Config) (*agent, error) {
	a := &agent{
		cfg: cfg, clk: cfg.Clock, log: cfg.Log,
		kicked:      make(chan struct{}, 1),
		portRetries: map[workload.Ref]int{},
		trouble:     map[workload.Ref]string{},
	}
	var err error
	if a.store, err = openStore(cfg.Dir); err != nil {
		return nil, err
	}
	if a.leases, err = openLeases(cfg.Dir, a.clk, a.lapse); err != nil {
		return nil, err
	}
	if err := a.adopt(a.clk.Now()); err != nil {
		return nil, err
	}
	a.proxy, err = proxy.New(proxy.Config{Clock: a.clk, Logger: a.log, Spool: filepath.Join(cfg.Dir, "bins.spool")})
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leases.follow(a.store.doc)
	if err := a.leases.save(true); err != nil {
		a.log.Warn("leases not saved", "err", err)
	}
	return a, nil
}

// kick makes the loop come soon.
func (a *agent) kick() {
	select {
	case a.kicked <- struct{}{}:
	default:
	}
}

// lockDir keeps a second agent out until the file is closed.
func lockDir(dir string) (*os.File, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("agent directory %q is not absolute", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "agent.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, problem.New(problem.Conflict, "agent.start", "another agent works in %s", dir).
			WithNext("use that one, or end it first")
	}
	return f, nil
}

// listen waits a moment for an address in use: an agent that was just killed may
// still be holding it.
func listen(ctx context.Context, clk clock.Clock, address string) (net.Listener, error) {
	for waited := time.Duration(0); ; waited += 50 * time.Millisecond {
		l, err := net.Listen("tcp", address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || waited >= listenPatience {
			return l, err
		}
		if err := clock.Sleep(ctx, clk, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// listenUnix makes the admin socket, for our user alone. The directory's lock is
// held, so what is there is left over.
func listenUnix(path string) (net.Listener, error) {
	const longest = 103 // what sockaddr_un holds everywhere
	if len(path) > longest {
		return nil, fmt.Errorf("admin socket %s: the path has %d bytes, at most %d are possible", path, len(path), longest)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
