package sim

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/app"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/repository"
	"github.com/flyball-dev/flyball/internal/port/store"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// server is one process: an App with its own handle on the store.
type server struct {
	w      *world
	name   string
	app    *app.App
	handle *memory.Store
	ctx    context.Context
	cancel context.CancelFunc
	epoch  atomic.Int64
	dead   bool
}

// boot starts a server on what the store kept. While somebody else's lease
// has not run out, it is tried again.
func (w *world) boot() {
	w.servers++
	holder := "server"
	if w.chaos.otherHost() {
		holder = fmt.Sprintf("server-%d", w.servers)
	}
	s := &server{w: w, name: holder, handle: w.keeper.open()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	bug := w.bug
	ports := app.Ports{
		Store: keptStore{Store: around(bug.Store, store.Store(s.handle)), keeper: w.keeper}, Reader: around(bug.Reader, projection.Reader(s.handle.States())),
		Runtime: workloads{s}, Router: around(bug.Router, traffic.Router(router{s})), Measures: around(bug.Measures, measure.Source(counts{s})),
		Steps: steps{s}, Images: images{s}, Notifier: around(bug.Notifier, notify.Notifier(notifier{s})),
		Open: func(_ context.Context, path string) (repository.Repository, error) { return w.shop.open(path) },
	}
	cfg := app.Config{
		State: w.options.State, Holder: holder, Clock: w.clock, Logger: w.logger,
		Claim: func(_ context.Context, epoch int64) error {
			s.epoch.Store(epoch)
			return s.write("claim", func() error { return nil })
		},
	}
	a, err := app.New(cfg, ports)
	if err != nil {
		panic("sim: an App cannot be made: " + err.Error())
	}
	s.app = a
	w.server = s
	w.act(s, func(ctx context.Context) error {
		err := a.Start(ctx)
		if err == nil && w.servers == 1 {
			err = w.company.found(ctx, a)
		}
		return err
	})
	if w.server == s {
		w.chaos.away = false
		w.tracef("server %s is up, epoch %d", holder, s.epoch.Load())
	}
}

// act runs a server's code. A server that crashed in it is gone afterwards; one
// that cannot go on ends itself.
func (w *world) act(s *server, run func(ctx context.Context) error) {
	before := w.acting
	w.acting = s
	err := run(s.ctx)
	w.acting = before
	switch {
	case s.dead:
		w.tracef("chaos  %s crashed", s.name)
		w.result.Crashes++
		w.gone(s)
	case err != nil:
		w.tracef("server %s ends: %v", s.name, err)
		if problem.KindOf(err) != problem.Conflict && problem.KindOf(err) != problem.Unavailable {
			w.violated(ruleServes, "the server ended: %v", err)
		}
		w.gone(s)
	}
}

// gone takes a server that ended out of the world. The store has lost what
// was not acknowledged.
func (w *world) gone(s *server) {
	s.cancel()
	w.keeper.crash(s)
	if w.former == s {
		w.former = nil
		return
	}
	w.server = nil
	w.upAt = w.second + w.chaos.downtime()
}

// crash ends the server in the middle of what it is doing.
func (s *server) crash() error {
	s.dead = true
	s.cancel()
	return problem.New(problem.Unavailable, "sim", "the server crashed")
}

// effect runs what a server does to the outside, between the points at which
// it, or the agent it talks to, may crash.
func (s *server) effect(op string, agent bool, do func() error) error {
	if s.dead {
		return problem.New(problem.Unavailable, op, "the server is gone")
	}
	p := s.w.plane
	if agent && p.down() {
		return problem.New(problem.Unavailable, op, "the agent does not answer")
	}
	point := s.w.chaos.around(op, agent)
	switch point {
	case serverBefore:
		return s.crash()
	case serverHeld:
		s.w.chaos.away = true
		p.held = append(p.held, held{second: s.w.second + 12 + s.w.chaos.r.IntN(20), op: op, do: do})
		return s.crash()
	case agentBefore:
		p.crash()
		return problem.New(problem.Unavailable, op, "the agent died before it did it")
	}
	err := do()
	switch point {
	case serverAfter:
		return s.crash()
	case agentAfter:
		p.crash()
		return problem.New(problem.Unavailable, op, "the agent died before it said so")
	}
	return err
}

// write changes the agent's desired state under the server's epoch.
func (s *server) write(op string, do func() error) error {
	return s.effect(op, true, func() error {
		if err := s.w.plane.claim(op, s.epoch.Load()); err != nil {
			return err
		}
		return do()
	})
}
