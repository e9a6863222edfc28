package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/feed"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/image"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/probe"
	"github.com/flyball-dev/flyball/internal/port/repository"
	"github.com/flyball-dev/flyball/internal/port/site"
	"github.com/flyball-dev/flyball/internal/port/store"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Ports are the adapters an App runs on.
type Ports struct {
	Store    store.Store
	Reader   projection.Reader // of the folded states; nil: the store's own
	Runtime  workload.Runtime
	Router   traffic.Router
	Measures measure.Source
	Steps    workload.Steps
	Images   image.Store
	Notifier notify.Notifier
	Sites    site.Host    // where status pages are written to; may be nil
	Prober   probe.Prober // may be nil
	Metrics  Metrics      // the server's own metrics store; may be nil
	// Engine is a metrics server somewhere else; nil: none is asked.
	Engine func(feed.Connection) (slo.Metrics, error)
	// Open opens the repository a service file names.
	Open func(ctx context.Context, path string) (repository.Repository, error)
}

// Config says how an App runs.
type Config struct {
	State     string      // directory of what is kept, absolute
	Resources string      // directory of resources in a service's repository; default flyball
	Web       string      // address of the pages, for links in messages
	ActKey    channel.Key // signs links in messages that acknowledge and resolve; without it there are none
	PushKey   string      // public key that browsers sign up for push with, base64url; empty: they cannot
	Hosts     []string    // names the server may be addressed by, besides addresses and localhost
	Holder    string      // who this server is, among those that share a store
	// Prometheus is the address of the metrics server that is asked when an
	// objective names none; empty is the server's own store.
	Prometheus string
	Metrics    MetricsKept // bounds of the metrics store
	Clock      clock.Clock
	Logger     *slog.Logger
	// Heartbeat is an address elsewhere that is told every HeartbeatEvery that the
	// server is well; it is a secret. Empty: none is.
	Heartbeat      string
	HeartbeatEvery time.Duration
	// Claim is called with each new epoch of the server's lease, before
	// anything is decided under it; may be nil.
	Claim func(ctx context.Context, epoch int64) error
}

// App is the house at work.
type App struct {
	cfg   Config
	ports Ports
	log   event.Log

	projections *projection.Runner // what decisions are made from
	shown       *projection.Runner // what only people look at
	controls    *control.Runner
	executor    *control.Executor
	collector   *signal.Collector
	engine      *slo.Engine
	watcher     *slo.Watcher
	feeder      *feed.Feeder
	intake      *alert.Intake
	env         *control.Env
	parts       parts
	epoch       atomic.Int64
	pulsed      atomic.Int64       // Unix nanoseconds: when a processor had its turn last
	leadsUntil  atomic.Int64       // Unix nanoseconds, by the wall: a suspended machine's other clocks may stand still
	polled      map[string]watched // by service: what its branch was at when poll pushed it last
	Operations  []operation.Operation

	// Of an App that is driven by Tick.
	stepped  bool
	declared int64                // position up to which declarations were followed
	due      map[string]time.Time // next time of each chore
}

// The lease under which one server decides.
const (
	leaseName = "server"
	leaseTTL  = 10 * time.Second
)

// New puts an App together; nothing runs yet.
func New(cfg Config, ports Ports) (*App, error) {
	if cfg.Resources == "" {
		cfg.Resources = "flyball"
	}
	a := &App{cfg: cfg, ports: ports, log: ports.Store.Log(), polled: map[string]watched{}}
	decided, shown := Projections(), shown()
	decided = slices.DeleteFunc(decided, func(p *projection.Projection) bool {
		return slices.ContainsFunc(shown, func(s *projection.Projection) bool { return s.Name == p.Name })
	})
	a.projections = projection.NewRunner(a.log, ports.Store.States(), decided...)
	a.shown = projection.NewRunner(a.log, ports.Store.States(), shown...)
	reader := ports.Reader
	if reader == nil {
		reader = ports.Store.States()
	}
	a.env = &control.Env{
		Log: a.log, Reader: reader, Sync: a.sync, Until: a.until,
		Lease: func() event.Lease { return event.Lease{Name: leaseName, Epoch: a.epoch.Load()} },
		Now:   cfg.Clock.Now,
	}
	a.collector = signal.NewCollector(ports.Measures, ports.Store.Blobs(), a.observe)
	var err error
	if a.engine, err = slo.NewEngine(time.Minute, cfg.Clock.Now()); err != nil {
		return nil, err
	}
	a.watcher = slo.NewWatcher(a.engine, slo.Setup{Reader: a.env.Reader, Incidents: incident.Reported(a.env.Reader), Minutes: a.minutes, Slots: slo.NewSlots(ports.Store.Blobs()),
		Log: a.log, Sync: a.sync, Clock: cfg.Clock,
		Origin: func(indicator string) (slo.Origin, bool) { return a.feeder.Origin(indicator) },
		Wake:   func(key string) { a.controls.Wake("objective", key) }})
	a.feeder = &feed.Feeder{Watcher: a.watcher, Reader: a.env.Reader, Blobs: ports.Store.Blobs(), Clock: cfg.Clock, Open: a.counter, Metrics: a.metricsOf,
		Own: feed.Connection{Name: feed.Default, URL: cfg.Prometheus}}
	if cfg.Prometheus == "" {
		a.feeder.Own.Name = feed.BuiltIn
	}
	a.intake = &alert.Intake{Log: a.log, Reader: a.env.Reader, Clock: cfg.Clock, Sync: a.sync, KeepUp: a.keepUp}
	a.env.Sources = a.sources()
	a.assemble()
	return a, nil
}

// sync waits until what is read includes the end of the log.
func (a *App) sync(ctx context.Context) error {
	if a.stepped {
		return errors.Join(a.projections.CatchUp(ctx), a.shown.CatchUp(ctx))
	}
	head, err := a.log.Head(ctx)
	if err != nil {
		return err
	}
	return a.Sync(ctx, head.Position)
}

// until waits until what decisions read includes a position of the log.
func (a *App) until(ctx context.Context, position int64) error {
	if a.stepped {
		// No more than was asked for: a simulation finds who relies on more.
		return a.projections.CatchUpTo(ctx, max(position, 1))
	}
	return a.projections.Sync(ctx, position)
}

// mayLag is how many events decisions may be behind while alerts are taken.
const mayLag = 20_000

// keepUp waits until decisions are not far behind what is recorded.
func (a *App) keepUp(ctx context.Context) error {
	head, err := a.log.Head(ctx)
	if err != nil || a.stepped {
		return err
	}
	return a.projections.Sync(ctx, head.Position-mayLag)
}

// Sync waits until what is read includes a position of the log.
func (a *App) Sync(ctx context.Context, position int64) error {
	return errors.Join(a.projections.Sync(ctx, position), a.shown.Sync(ctx, position))
}

// Reader reads the present states.
func (a *App) Reader() projection.Reader { return a.env.Reader }

// Past reads the states as recorded by a moment, folded anew from the log.
func (a *App) Past(ctx context.Context, at time.Time) (projection.Reader, error) {
	past := memory.New(memory.Options{Clock: a.cfg.Clock})
	err := projection.Rebuild(ctx, a.log, past.States(), event.Query{RecordedBy: at}, Projections()...)
	return past.States(), err
}

// Run runs everything until ctx is done or a part fails for good.
func (a *App) Run(ctx context.Context, ready func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := a.acquire(ctx); err != nil {
		return err
	}
	defer a.release()
	defer a.lastCheckpoint()
	var wg sync.WaitGroup
	defer wg.Wait()
	part := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	part("projections", a.folding(a.projections))
	part("shown projections", a.folding(a.shown))
	if err := a.sync(ctx); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if err := a.watcher.Declare(ctx, a.cfg.Clock.Now()); err != nil {
		return err
	}
	if err := a.intake.Load(ctx); err != nil {
		return err
	}
	part("lease", a.renew)
	part("objectives", a.followDeclarations)
	for _, c := range a.chores() {
		part(c.name, a.every(c.interval, a.leading(c.run)))
	}
	a.env.Shown = a.projections.Position
	part("controllers", a.controls.Run)
	part("pulse", a.beat)
	if a.cfg.Heartbeat != "" {
		part("heartbeat", a.every(max(a.cfg.HeartbeatEvery, time.Second), a.heartbeat))
	}
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// folding keeps states up to date. A store that is full or busy is tried again;
// anything else that stops a fold stops the server.
func (a *App) folding(r *projection.Runner) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			err := r.Run(ctx)
			if ctx.Err() != nil || problem.KindOf(err) != problem.Unavailable {
				return err
			}
			a.cfg.Logger.Warn("the states cannot be stored, trying again", "error", err)
			if err := clock.Sleep(ctx, a.cfg.Clock, time.Second); err != nil {
				return err
			}
		}
	}
}

// acquire waits for the lease: a server that was killed holds it for a while.
func (a *App) acquire(ctx context.Context) error {
	for {
		err := a.lead(ctx)
		if problem.KindOf(err) != problem.Conflict || a.epoch.Load() > 0 {
			return err
		}
		a.cfg.Logger.Info("waiting for the server lease", "reason", err)
		if err := clock.Sleep(ctx, a.cfg.Clock, time.Second); err != nil {
			return err
		}
	}
}

// lead takes the lease and claims what is written under it.
func (a *App) lead(ctx context.Context) error {
	asked := a.cfg.Clock.Now()
	epoch, err := a.ports.Store.Leases().Acquire(ctx, leaseName, a.cfg.Holder, leaseTTL)
	if err != nil {
		return err
	}
	a.epoch.Store(epoch)
	a.leadsUntil.Store(asked.Add(leaseTTL).UnixNano())
	if a.cfg.Claim != nil {
		return a.cfg.Claim(ctx, epoch)
	}
	return nil
}

func (a *App) renew(ctx context.Context) error {
	for {
		if err := clock.Sleep(ctx, a.cfg.Clock, leaseTTL/4); err != nil {
			return err
		}
		if err := a.keepLease(ctx); err != nil {
			return err
		}
	}
}

func (a *App) keepLease(ctx context.Context) error {
	asked := a.cfg.Clock.Now()
	err := a.ports.Store.Leases().Renew(ctx, leaseName, a.cfg.Holder, a.epoch.Load(), leaseTTL)
	switch problem.KindOf(err) {
	case "":
		a.leadsUntil.Store(asked.Add(leaseTTL).UnixNano())
	case problem.Conflict:
		return fmt.Errorf("another server has taken over: %w", err)
	default:
		a.cfg.Logger.Warn("the server lease could not be renewed, trying again", "error", err)
	}
	return nil
}

func (a *App) release() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.ports.Store.Leases().Release(ctx, leaseName, a.cfg.Holder, a.epoch.Load()); err != nil {
		a.cfg.Logger.Warn("the server lease could not be released; it runs out by itself", "error", err)
	}
}

// every runs a part again and again. A failure is told and tried again; a part
// that should end the process is not run by every.
func (a *App) every(interval time.Duration, run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		last := ""
		for {
			err := run(ctx)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err == nil:
				last = ""
			case err.Error() != last:
				last = err.Error()
				a.cfg.Logger.Warn("trying again", "error", err)
			}
			if err := clock.Sleep(ctx, a.cfg.Clock, interval); err != nil {
				return err
			}
		}
	}
}

// unpack makes an image's files available under the state directory.
func (a *App) unpack(ctx context.Context, digest string) (string, error) {
	dir := filepath.Join(a.cfg.State, "images", digest[len("sha256:"):])
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	return dir, a.ports.Images.Unpack(ctx, digest, dir)
}
