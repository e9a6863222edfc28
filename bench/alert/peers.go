package main

import (
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
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/flyball-dev/flyball/bench/stage"
)

// sink is the receiver of both servers' webhooks.
type sink struct {
	listener net.Listener
	server   *http.Server

	mu     sync.Mutex
	seen   map[string]time.Time // when a group's first message came
	ids    map[string]int       // messages by group and id
	counts map[string]int       // messages by group
	moved  chan struct{}
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{listener: l, seen: map[string]time.Time{}, ids: map[string]int{}, counts: map[string]int{}, moved: make(chan struct{}, 1)}
	s.server = &http.Server{Handler: s}
	go s.server.Serve(l)
	return s, nil
}

func (s *sink) url() string { return "http://" + s.listener.Addr().String() }
func (s *sink) close()      { s.server.Close() }

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(r.Body)
	var message struct {
		Data        struct{ Service string } `json:"data"`
		GroupLabels struct{ Service string } `json:"groupLabels"`
	}
	if err != nil || json.Unmarshal(body, &message) != nil {
		http.Error(w, "cannot be read", http.StatusBadRequest)
		return
	}
	group := message.Data.Service + message.GroupLabels.Service
	s.mu.Lock()
	if _, ok := s.seen[group]; !ok {
		s.seen[group] = now
	}
	s.counts[group]++
	s.ids[group+" "+r.Header.Get("webhook-id")]++
	s.mu.Unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

func (s *sink) groups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// wait waits until so many groups have been heard of.
func (s *sink) wait(ctx context.Context, n int) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for s.groups() < n {
		select {
		case <-s.moved:
		case <-limit.C:
			return fmt.Errorf("%d of %d groups were told within %s", s.groups(), n, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *sink) first(group string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[group]
}

// times is how long after an instant groups were heard of first.
func (s *sink) times(start time.Time) (first, median, last time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []time.Duration
	for _, at := range s.seen {
		all = append(all, at.Sub(start))
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	return all[0], all[len(all)/2], all[len(all)-1]
}

// duplicates are messages that say nothing new: raw, all beyond the first of a
// group; by id, those left when each id counts once.
func (s *sink) duplicates() (raw, byID int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.counts {
		raw += n - 1
	}
	return raw, len(s.ids) - len(s.counts)
}

// ours is Flyball as users get it.
type ours struct {
	*stage.Stage
	ctx context.Context
}

func flyball(ctx context.Context, s *sink) (peer, error) {
	st, err := stage.New(ctx)
	if err != nil {
		return nil, err
	}
	team := fmt.Sprintf("apiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: ops}\nspec: {page: [{url: %q}]}\n", s.url())
	environment := "---\n{apiVersion: flyball.dev/v1, kind: Environment, metadata: {name: prod}, spec: {delivery: automatic}}\n"
	if err := st.Commit(ctx, "on call", map[string]string{"flyball/team.yaml": team + environment}); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if _, err := st.Up(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &ours{st, ctx}, nil
}

func (*ours) name() string      { return "flyball" }
func (o *ours) address() string { return o.Address() }
func (o *ours) pid() int        { return o.Pid() }
func (o *ours) close() error    { return errors.Join(o.Down(o.ctx), o.Close()) }

// kill ends the server without warning and starts it again.
func (o *ours) kill(ctx context.Context) error {
	if err := syscall.Kill(o.Pid(), syscall.SIGKILL); err != nil {
		return err
	}
	_ = o.Stop() // it is gone: what is left is to take note
	_, err := o.Up(ctx)
	return err
}

// firing counts the alerts that fire.
func (o *ours) firing() (int, error) {
	res, err := client.Get("http://" + o.address() + "/api/v2/alerts")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var list []struct{}
	err = json.NewDecoder(res.Body).Decode(&list)
	return len(list), err
}

// theirs is Debian's Alertmanager.
type theirs struct {
	cmd  *exec.Cmd
	addr string
	dir  string
}

func alertmanager(ctx context.Context, s *sink) (peer, error) {
	dir, err := os.MkdirTemp("", "flyball-bench-alert-")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "alertmanager.yml")
	text := fmt.Sprintf("route: {receiver: sink, group_by: [service], group_wait: 0s, group_interval: 1m, repeat_interval: 4h}\n"+
		"receivers: [{name: sink, webhook_configs: [{url: %q, send_resolved: false, max_alerts: 1}]}]\n", s.url())
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &theirs{addr: l.Addr().String(), dir: dir}
	if err := l.Close(); err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, "prometheus-alertmanager", "--config.file", config, "--storage.path", filepath.Join(dir, "data"),
		"--web.listen-address", p.addr, "--cluster.listen-address", "", "--log.level", "error")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	err = stage.Until(ctx, func() (bool, error) {
		res, err := client.Get("http://" + p.addr + "/-/ready")
		if err != nil {
			return false, nil
		}
		return res.StatusCode == http.StatusOK, res.Body.Close()
	})
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (*theirs) name() string      { return "alertmanager" }
func (p *theirs) address() string { return p.addr }
func (p *theirs) pid() int        { return p.cmd.Process.Pid }

func (p *theirs) close() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	return errors.Join(err, os.RemoveAll(p.dir))
}
