package app

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// A chore is what an App does again and again, whether or not anything
// happened.
type chore struct {
	name     string
	interval time.Duration
	run      func(ctx context.Context) error
}

func (a *App) chores() []chore {
	return []chore{
		{"signals", time.Second, a.collect},
		{"sources", 2 * time.Second, a.feeder.Tend},
		{"canary leases", 4 * time.Second, a.refresh},
		{"branches", 2 * time.Second, a.poll},
		{"alerts", 5 * time.Second, a.intake.Tend},
		{"scrape targets", 2 * time.Second, a.scrape},
		{"probes", time.Second, a.parts.probes.Tend},
		{"pruning", time.Hour, a.prune},
		{"subscriptions", time.Hour, a.parts.pages.Tend},
		{"checkpoints", time.Minute, a.checkpoint},
	}
}

// checkpoint keeps the sums of objectives that were not kept for a while: those
// that were just loaded soon, all of them now and then.
func (a *App) checkpoint(ctx context.Context) error {
	return a.watcher.Checkpoint(ctx, checkpointEvery)
}

// How often sums of objectives are kept, and how long that may take at the end.
const (
	checkpointEvery = 5 * time.Minute
	checkpointLast  = 10 * time.Second
)

// lastCheckpoint keeps them for whoever starts next.
func (a *App) lastCheckpoint() {
	ctx, cancel := context.WithTimeout(context.Background(), checkpointLast)
	defer cancel()
	keep := func(ctx context.Context) error { return a.watcher.Checkpoint(ctx, time.Minute) }
	if err := a.leading(keep)(ctx); err != nil {
		a.cfg.Logger.Warn("the sums of objectives could not be kept; the next start takes longer", "error", err)
	}
}

// Start gets the App ready to be driven by Tick, in place of Run: it takes the
// server's lease, folds, and looks at everything that is active. It does not
// wait: a lease that somebody else holds is a conflict.
//
// A simulation drives an App by Start and Tick alone, in its own goroutine and
// on its own clock, so that the same seed gives the same history.
func (a *App) Start(ctx context.Context) error {
	a.stepped = true
	if err := a.lead(ctx); err != nil {
		return err
	}
	if err := a.sync(ctx); err != nil {
		return err
	}
	if err := a.watcher.Declare(ctx, a.cfg.Clock.Now()); err != nil {
		return err
	}
	if err := a.intake.Load(ctx); err != nil {
		return err
	}
	head, err := a.log.Head(ctx)
	if err != nil {
		return err
	}
	a.declared = head.Position
	a.due = map[string]time.Time{"lease": a.cfg.Clock.Now().Add(leaseTTL / 4)}
	return a.controls.Start(ctx)
}

// Tick does everything that is due now, and returns when nothing is. Its error
// is that of Run: the server cannot go on. What can be tried again is logged.
func (a *App) Tick(ctx context.Context) error {
	for _, c := range a.chores() {
		if !a.isDue(c.name, c.interval) {
			continue
		}
		if err := a.leading(c.run)(ctx); err != nil && ctx.Err() == nil {
			a.cfg.Logger.Warn("trying again", "part", c.name, "error", err)
		}
	}
	var err error
	if a.declared, err = a.redeclare(ctx, a.declared); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := a.controls.Poll(ctx); err != nil {
			return err
		}
		if did, _ := a.controls.Step(ctx); !did {
			break
		}
	}
	if err := a.sync(ctx); err != nil {
		return err
	}
	if a.isDue("lease", leaseTTL/4) {
		return a.keepLease(ctx)
	}
	return nil
}

// leading has a chore wait while the lease may be somebody else's. What
// controllers do is fenced by the lease's epoch; writes of counts are not, and a
// server that was suspended must not put its old sums over those of the one
// that has taken over meanwhile.
func (a *App) leading(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if a.cfg.Clock.Now().UnixNano() >= a.leadsUntil.Load() {
			return nil
		}
		return run(ctx)
	}
}

// isDue reports whether a chore is to be done now, and notes when it is next.
func (a *App) isDue(name string, interval time.Duration) bool {
	now := a.cfg.Clock.Now()
	if now.Before(a.due[name]) {
		return false
	}
	a.due[name] = now.Add(interval)
	return true
}

// Objectives is the measured state of every objective.
func (a *App) Objectives() []slo.Snapshot { return a.watcher.Snapshots("", "") }
