// Package stage sets Flyball up for a measurement: the program built from this
// tree, a git repository in a temporary directory, a server and an agent on
// addresses of their own, and requests that keep coming whatever is answered.
//
// What is measured is the product as users get it. Nothing here reaches into it
// except by its command line, its API, its proxy and its files.
package stage

import (
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
	"syscall"
	"time"
)

// Stage is one Flyball with a repository of its own.
type Stage struct {
	Binary  string   // the flyball program
	Repo    string   // the git repository it runs in
	Traffic string   // address of the proxy
	Flags   []string // more of them for flyball up

	dir    string
	listen string
	server *exec.Cmd
	said   *output
	gone   chan error // the server's end
}

// New builds the program and makes a repository without commits.
func New(ctx context.Context) (*Stage, error) {
	dir, err := os.MkdirTemp("", "flyball-bench-")
	if err != nil {
		return nil, err
	}
	s := &Stage{dir: dir, Binary: filepath.Join(dir, "flyball"), Repo: filepath.Join(dir, "repo")}
	for _, addr := range []*string{&s.listen, &s.Traffic} {
		if *addr, err = freeAddress(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if err := command(ctx, "", "go", "build", "-o", s.Binary, "github.com/flyball-dev/flyball/cmd/flyball"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := command(ctx, "", "git", "init", "--quiet", "--initial-branch", "main", s.Repo); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// freeAddress finds an address nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// State is the server's directory.
func (s *Stage) State() string { return filepath.Join(s.Repo, ".flyball") }

// command runs a program to its end and tells what it printed if it fails.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// Commit writes files into the repository and commits them.
func (s *Stage) Commit(ctx context.Context, subject string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(s.Repo, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		if err := command(ctx, s.Repo, "git", "add", name); err != nil {
			return err
		}
	}
	return command(ctx, s.Repo, "git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "--quiet", "-m", subject)
}

// Up starts server and agent and returns once the server says that it is up,
// with the time since it was executed.
func (s *Stage) Up(ctx context.Context) (time.Duration, error) {
	s.server = exec.Command(s.Binary, append([]string{"up", "--listen", s.listen, "--traffic", s.Traffic}, s.Flags...)...)
	s.server.Dir = s.Repo
	s.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.said = &output{wanted: "Flyball is up", seen: make(chan struct{})}
	s.server.Stderr = s.said
	start := time.Now()
	if err := s.server.Start(); err != nil {
		return 0, err
	}
	s.gone = make(chan error, 1)
	go func() { s.gone <- s.server.Wait() }()
	select {
	case <-s.said.seen:
		return time.Since(start), nil
	case err := <-s.gone:
		s.server = nil
		return 0, fmt.Errorf("flyball up: %w\n%s", err, s.said)
	case <-ctx.Done():
		return 0, errors.Join(ctx.Err(), s.Stop())
	}
}

// Pid is the server's process.
func (s *Stage) Pid() int { return s.server.Process.Pid }

// Stop ends the server; the agent and what it runs stay.
func (s *Stage) Stop() error {
	if s.server == nil {
		return nil
	}
	defer func() { s.server = nil }()
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.gone:
		return nil
	case <-time.After(20 * time.Second):
		err := s.server.Process.Kill()
		<-s.gone
		return errors.Join(errors.New("flyball up did not end within 20 s of SIGTERM"), err)
	}
}

// Close ends everything that was started and removes the directory.
func (s *Stage) Close() error {
	err := s.Stop()
	if _, e := os.Stat(filepath.Join(s.State(), "flyball.db")); e == nil {
		err = errors.Join(err, command(context.Background(), s.Repo, s.Binary, "down"))
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Get asks the API and decodes the answer.
func (s *Stage) Get(ctx context.Context, path string, out any) error {
	token, err := os.ReadFile(filepath.Join(s.State(), "token"))
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.listen+"/api/v1"+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // as far as it came
		return fmt.Errorf("GET %s: %s %s", path, resp.Status, text)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Until asks again and again until done says so.
func Until(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// output keeps what a process says and tells when something wanted was said.
type output struct {
	wanted string
	seen   chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	told bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text.Len() < 1<<20 {
		o.text.Write(p)
	}
	if !o.told && strings.Contains(o.text.String(), o.wanted) {
		o.told = true
		close(o.seen)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Down ends the server, the agent and what it runs.
func (s *Stage) Down(ctx context.Context) error {
	return errors.Join(s.Stop(), command(ctx, s.Repo, s.Binary, "down"))
}

// Address is where API and pages are.
func (s *Stage) Address() string { return s.listen }
