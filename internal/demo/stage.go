package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// stage is the world of the story while it is told.
type stage struct {
	Options
	dir       string
	listen    string // of API and pages
	traffic   string // of the proxy
	signIn    string
	repo      *repository
	inventory string // its address
	pager     *pager
	client    *client
	visitors  *visitors
	ana, dana *person

	server *process
	stock  *process // the inventory, nil while it is stopped
	faults []guilt
}

// host is where the shop answers.
const host = "shop.localhost"

// setUp makes the directory, the repository and the inventory, and starts
// Flyball.
func (s *stage) setUp(ctx context.Context) error {
	addresses, err := freeAddresses(3)
	if err != nil {
		return err
	}
	s.listen, s.traffic, s.inventory = or(s.Listen, addresses[0]), or(s.Traffic, addresses[1]), addresses[2]
	if s.pager, err = newPager(s.Clock); err != nil {
		return err
	}
	service := strings.NewReplacer("127.0.0.1:7690", s.inventory, "127.0.0.1:7691", s.pager.addr, "150/s", fmt.Sprintf("%g/s", s.Rate))
	if s.repo, err = newRepository(ctx, s.dir, service); err != nil {
		return err
	}
	s.client = &client{clock: s.Clock, exe: s.Executable, url: "http://" + s.listen, dir: s.repo.origin, http: &http.Client{}}
	s.visitors = newVisitors(s.Clock, s.traffic, host, s.Rate)
	if err := s.buildInventory(ctx); err != nil {
		return err
	}
	if err := s.startInventory(ctx); err != nil {
		return err
	}
	if err := s.lendBuildCache(ctx); err != nil {
		return err
	}
	if err := s.startServer(ctx); err != nil {
		return err
	}
	if s.ana, err = s.client.hire(ctx, "ana", "developer", "shop"); err != nil {
		return err
	}
	s.dana, err = s.client.hire(ctx, "dana", "operator", "")
	return err
}

// freeAddresses finds addresses on this machine that nothing listens at.
func freeAddresses(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only when all are found, so that they differ
		out = append(out, l.Addr().String())
	}
	return out, nil
}

func (s *stage) logs(name string) string { return filepath.Join(s.dir, "logs", name+".log") }

// startServer runs flyball up in the repository and waits until it answers.
func (s *stage) startServer(ctx context.Context) error {
	var err error
	s.server, err = startProcess(s.logs("server"), s.repo.origin, environment("SHOP_PAGE_SECRET="+s.pager.secret()),
		s.Executable, "up", "--listen", s.listen, "--traffic", s.traffic)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = until(ctx, s.Clock, func() bool { return s.server.ended() != nil || s.serverIsUp(ctx) })
	return errors.Join(s.server.ended(), err)
}

// serverIsUp reports whether the server that was started last is ready.
func (s *stage) serverIsUp(ctx context.Context) bool {
	state := filepath.Join(s.repo.origin, ".flyball")
	raw, err := os.ReadFile(filepath.Join(state, "server.json"))
	var server struct {
		Pid int `json:"pid"`
	}
	if err != nil || json.Unmarshal(raw, &server) != nil || server.Pid != s.server.pid() {
		return false
	}
	token, err := os.ReadFile(filepath.Join(state, "token"))
	if err != nil {
		return false
	}
	s.signIn = s.client.url + "/sign-in#" + string(token)
	var any json.RawMessage
	return s.client.get(ctx, "/services", &any) == nil
}

func (s *stage) buildInventory(ctx context.Context) error {
	source := filepath.Join(s.dir, "inventory")
	if err := copySource("inventory", source, strings.NewReplacer()); err != nil {
		return err
	}
	return s.command(ctx, source, "go", "build", "-o", "inventory", ".")
}

// lendBuildCache lets the shop be built with this user's Go build cache. Flyball
// gives each service a cache of its own, which would be empty: the first build
// would compile the standard library.
func (s *stage) lendBuildCache(ctx context.Context) error {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	dir := filepath.Join(s.repo.origin, ".flyball", "cache", "shop")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Symlink(strings.TrimSpace(string(cache)), filepath.Join(dir, "go-build"))
}

// command runs a program to its end; its output is only shown when it fails.
func (s *stage) command(ctx context.Context, dir string, args ...string) error {
	p, err := startProcess(s.logs(filepath.Base(args[0])), dir, environment(), args...)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w:\n%s", strings.Join(args, " "), p.err, lastLines(p.log, 20))
	}
	return nil
}

func (s *stage) startInventory(ctx context.Context) error {
	dir := filepath.Join(s.dir, "inventory")
	p, err := startProcess(s.logs("inventory"), dir, environment("LISTEN="+s.inventory), filepath.Join(dir, "inventory"))
	if err != nil {
		return err
	}
	s.stock = p
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = until(ctx, s.Clock, func() bool {
		if p.ended() != nil {
			return true
		}
		resp, err := s.client.http.Get("http://" + s.inventory + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return errors.Join(p.ended(), err)
}

func (s *stage) stopInventory() {
	s.stock.kill()
	s.stock = nil
}

// tearDown ends everything that was started.
func (s *stage) tearDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var err error
	if s.server != nil {
		s.server.end(ctx)
		err = s.client.as(ctx, nil, nil, "down")
	}
	if s.stock != nil {
		s.stock.kill()
	}
	if s.pager != nil {
		s.pager.close()
	}
	return err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// pass lets time go by.
func (s *stage) pass(ctx context.Context, d time.Duration) error {
	return clock.Sleep(ctx, s.Clock, d)
}
