package probe

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	port "github.com/flyball-dev/flyball/internal/port/probe"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Objectives is what is fed: the objectives' watcher.
type Objectives interface {
	Indicators(ctx context.Context) ([]slo.Fed, error)
	Record(ctx context.Context, recordings ...slo.Recording) error
}

// Desk runs the probes and answers for them.
type Desk struct {
	Reader     projection.Reader
	Blobs      store.Blobs
	Prober     port.Prober // nil: this server probes nothing
	Objectives Objectives
	Clock      clock.Clock

	mu      sync.Mutex
	under   int // runs under way
	probes  map[string]*state
	arrived []run // to be kept

	// Of Tend's goroutine.
	asked time.Time       // when the indicators were asked for last
	dirty map[string]bool // probes with runs that are kept and not fed
	fed   map[string]bool // indicators that were fed since the start
}

// state is a probe as it is now.
type state struct {
	spec    Spec
	next    time.Time
	running bool
	recent  []run // newest last
}

// run is one run of a probe.
type run struct {
	name    string
	at      time.Time // when it began
	outcome port.Outcome
	unmade  bool // it could not be made; the outcome's reason says why
}

const (
	maxUnder  = 64 // runs at once; beyond that a run is not made
	maxRecent = 50
)

// Tend starts the runs that are due, keeps those that ended, and feeds the
// objectives. It does not wait for runs; it is for one goroutine.
func (d *Desk) Tend(ctx context.Context) error {
	if d.Prober == nil {
		return nil
	}
	now := d.Clock.Now()
	if err := d.declare(ctx, now); err != nil {
		return err
	}
	d.start(ctx, now)
	return errors.Join(d.settle(ctx), d.feed(ctx, now))
}

// declare brings the probes in line with what is declared.
func (d *Desk) declare(ctx context.Context, now time.Time) error {
	specs, entries, err := catalog.List[Spec](ctx, d.Reader, KindProbe)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.probes == nil {
		d.probes, d.dirty, d.fed = map[string]*state{}, map[string]bool{}, map[string]bool{}
	}
	wanted := map[string]bool{}
	for i, e := range entries {
		name := e.Metadata.Name
		wanted[name] = true
		p := d.probes[name]
		if p == nil {
			p = &state{next: first(name, now, specs[i].Interval)}
			d.probes[name] = p
		} else if p.spec.Interval != specs[i].Interval {
			p.next = first(name, now, specs[i].Interval)
		}
		p.spec = specs[i]
	}
	maps.DeleteFunc(d.probes, func(name string, _ *state) bool { return !wanted[name] })
	return nil
}

// first is when a probe runs first: soon, and not together with all others.
func first(name string, now time.Time, interval time.Duration) time.Time {
	h := fnv.New64a()
	h.Write([]byte(name))
	return now.Add(time.Duration(h.Sum64() % uint64(min(interval, 5*time.Second))))
}

// start starts the runs that are due.
func (d *Desk) start(ctx context.Context, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.probes)) {
		p := d.probes[name]
		if now.Before(p.next) || p.running {
			continue
		}
		// A clock that jumped leaves a gap, not a burst.
		for !p.next.After(now) {
			p.next = p.next.Add(max(p.spec.Interval, now.Sub(p.next).Truncate(p.spec.Interval)))
		}
		if d.under >= maxUnder {
			d.end(p, run{name: name, at: now, unmade: true, outcome: port.Outcome{Reason: "too many probes are under way"}})
			continue
		}
		p.running = true
		d.under++
		spec := p.spec
		go func() {
			r := d.ask(ctx, name, &spec, now)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.under--
			p.running = false
			if ctx.Err() == nil {
				d.end(p, r)
			}
		}()
	}
}

// ask makes one run.
func (d *Desk) ask(ctx context.Context, name string, s *Spec, now time.Time) run {
	out, err := d.Prober.Probe(ctx, s.Check())
	if err != nil {
		return run{name: name, at: now, unmade: true, outcome: port.Outcome{Reason: err.Error(), CertificateDays: -1}}
	}
	if s.Slow > 0 && out.Good && out.Took > s.Slow {
		out.Good, out.Reason = false, "it took "+out.Took.Round(time.Millisecond).String()+", longer than "+s.Slow.String()
	}
	return run{name: name, at: now, outcome: out}
}

// end notes a run; d.mu is held.
func (d *Desk) end(p *state, r run) {
	p.recent = append(p.recent, r)
	p.recent = p.recent[max(0, len(p.recent)-maxRecent):]
	d.arrived = append(d.arrived, r)
}

// settle keeps the runs that ended. Runs that cannot be stored are tried again.
func (d *Desk) settle(ctx context.Context) error {
	d.mu.Lock()
	runs := d.arrived
	d.arrived = nil
	d.mu.Unlock()
	if len(runs) == 0 {
		return nil
	}
	if err := d.keep(ctx, runs); err != nil {
		d.mu.Lock()
		d.arrived = append(runs, d.arrived...)
		d.mu.Unlock()
		return err
	}
	for _, r := range runs {
		d.dirty[r.name] = true
	}
	return nil
}
