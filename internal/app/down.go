package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/agent"
	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Ended is what flyball down has ended.
type Ended struct {
	Server    bool `json:"server"`
	Agent     bool `json:"agent"`
	Instances int  `json:"instances"`
	Steps     int  `json:"steps"`
}

// Tell is what was ended, in a line.
func (e Ended) Tell() string {
	server, agent := "no server ran", "no agent ran"
	if e.Server {
		server = "server ended"
	}
	if e.Agent {
		agent = "agent ended"
	}
	return fmt.Sprintf("%s, %s, %d instances and %d steps ended; flyball up brings the services back", server, agent, e.Instances, e.Steps)
}

// DownOptions says what to end.
type DownOptions struct {
	State string // directory of what is kept, absolute
	Clock clock.Clock
}

// RunDown ends everything that flyball up started in a state directory: the
// server, the agent, which finishes the requests it has, and then what the
// agent supervised. What should run stays written down, so that the next
// flyball up brings it back.
func RunDown(ctx context.Context, o DownOptions) (Ended, error) {
	var e Ended
	if _, err := os.Stat(filepath.Join(o.State, "flyball.db")); errors.Is(err, fs.ErrNotExist) {
		return e, problem.New(problem.NotFound, "down", "%s holds no state of Flyball", o.State).WithNext("name the directory that flyball up was started in")
	}
	var err error
	if e.Server, err = o.endServer(ctx); err != nil {
		return e, err
	}
	config := agent.Config{Dir: filepath.Join(o.State, "agent"), Clock: o.Clock}
	_, err = os.Stat(filepath.Join(config.Dir, "agent.sock"))
	e.Agent = err == nil
	if err := agent.Stop(ctx, config); err != nil {
		return e, fmt.Errorf("ending the agent: %w", err)
	}
	if e.Instances, err = o.end(ctx, filepath.Join(config.Dir, "instances", "*", "*", "*", "*")); err != nil {
		return e, fmt.Errorf("ending the instances: %w", err)
	}
	if e.Steps, err = o.end(ctx, filepath.Join(o.State, "steps", "*")); err != nil {
		return e, fmt.Errorf("ending the steps: %w", err)
	}
	return e, nil
}

// endServer asks the server to end and waits until its database is free.
func (o DownOptions) endServer(ctx context.Context) (was bool, err error) {
	for {
		st, err := sqlite.Open(ctx, filepath.Join(o.State, "flyball.db"), sqlite.Options{Clock: o.Clock})
		if err == nil {
			return was, st.Close()
		}
		if problem.KindOf(err) != problem.Conflict {
			return was, err
		}
		// The database is locked, so the process in server.json lives.
		if !was {
			if err := o.signalServer(); err != nil {
				return was, err
			}
			was = true
		}
		if err := clock.Sleep(ctx, o.Clock, 50*time.Millisecond); err != nil {
			return was, problem.New(problem.Unavailable, "down", "the server does not end: %w", err)
		}
	}
}

func (o DownOptions) signalServer() error {
	raw, err := os.ReadFile(filepath.Join(o.State, "server.json"))
	if err != nil {
		return problem.New(problem.Unavailable, "down", "a server is starting, or did not say how to reach it: %w", err).WithNext("end it with Ctrl-C where it was started")
	}
	var s Server
	if err := json.Unmarshal(raw, &s); err != nil || s.Pid <= 1 {
		return problem.New(problem.Invalid, "down", "server.json names no process").WithNext("end the server with Ctrl-C where it was started")
	}
	return syscall.Kill(s.Pid, syscall.SIGTERM)
}

// end cancels the supervised runs that a pattern names and waits for them.
func (o DownOptions) end(ctx context.Context, pattern string) (int, error) {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return 0, err
	}
	var live []string
	for _, dir := range dirs {
		s, err := supervise.Observe(dir)
		if err != nil || s.Ended() {
			continue
		}
		if err := supervise.Cancel(dir, "flyball down"); err != nil {
			return 0, err
		}
		live = append(live, dir)
	}
	for _, dir := range live {
		if _, err := supervise.Wait(ctx, o.Clock, dir); err != nil {
			return 0, err
		}
	}
	return len(live), nil
}

func downCommand() *cobra.Command {
	var state string
	var limit time.Duration
	c := &cobra.Command{
		Use: "down [DIRECTORY]", Short: "End server, agent and services", Args: cobra.MaximumNArgs(1),
		Long: `Ends what flyball up started in a repository, by default in the current
directory: the server, the agent, which first finishes the requests it has, and
the services. flyball up brings them back as they were.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			repository := "."
			if len(args) == 1 {
				repository = args[0]
			}
			if state, err = filepath.Abs(or(state, filepath.Join(repository, ".flyball"))); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), limit)
			defer cancel()
			ended, err := RunDown(ctx, DownOptions{State: state, Clock: clock.Wall()})
			if err != nil {
				return err
			}
			return session.Print(ended)
		},
	}
	c.Flags().StringVar(&state, "state", "", "directory of what is kept (default DIRECTORY/.flyball)")
	c.Flags().DurationVar(&limit, "limit", 90*time.Second, "how long to wait")
	return c
}
