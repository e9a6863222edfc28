package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// place is a service in an environment.
type place struct{ service, environment string }

func (p place) String() string { return p.service + "." + p.environment }

// plane is the modelled data plane: what is wanted of it, durably and under an
// epoch; what runs; how traffic is shared, with leases; and what was counted.
// It outlives servers. While it is down nothing is served and nothing counted;
// what is wanted and counted stays.
type plane struct {
	w         *world
	r         *rand.Rand
	epoch     int64
	fenced    bool // older epochs are refused
	lapses    bool // leases run out
	revisions map[workload.Ref]*running
	removed   map[workload.Ref]bool
	held      []held // calls under way
	routes    map[place]*route
	downUntil int  // second
	idle      bool // no users any more
	*meter
}

// held is a call that comes late.
type held struct {
	second int
	op     string
	do     func() error
}

// running is a revision that is wanted.
type running struct {
	workload.Revision
	conduct conduct
	since   int // second
}

// route is how a place's traffic is shared.
type route struct {
	traffic.Split
	renewed  int // second at which the lease began to run
	lapsed   bool
	lapsedAt time.Time
}

func newPlane(w *world, seed uint64) *plane {
	r := rand.New(rand.NewPCG(seed, 2))
	return &plane{w: w, r: r, fenced: !w.bug.is(bugAgentEpoch), lapses: !w.bug.is(bugLease),
		revisions: map[workload.Ref]*running{}, removed: map[workload.Ref]bool{}, routes: map[place]*route{}, meter: newMeter(w, r)}
}

// claim checks the epoch of a write, and takes it over.
func (p *plane) claim(op string, epoch int64) error {
	if epoch < p.epoch {
		if p.fenced {
			return problem.New(problem.Conflict, op, "epoch %d is over; epoch %d is in effect", epoch, p.epoch)
		}
		p.w.violated(ruleEpoch, "the agent took %s under epoch %d after epoch %d", op, epoch, p.epoch)
	}
	p.epoch = max(p.epoch, epoch)
	return nil
}

func (p *plane) down() bool { return p.w.second < p.downUntil }

func (p *plane) crash() {
	if p.down() {
		return
	}
	p.w.result.AgentDowns++
	p.downUntil = p.w.second + 1 + p.w.chaos.r.IntN(25)
	p.w.tracef("chaos  the agent dies until second %d", p.downUntil)
}

// tick lets leases run out and traffic flow for one second.
func (p *plane) tick() {
	if p.down() {
		return
	}
	p.held = slices.DeleteFunc(p.held, func(h held) bool {
		if h.second > p.w.second {
			return false
		}
		err := h.do()
		p.w.tracef("agent  gets %s late: %v", h.op, err)
		return true
	})
	for _, at := range p.places() {
		rt := p.routes[at]
		if rt.Lease > 0 && !rt.lapsed && p.lapses && p.leaseOver(rt) {
			rt.lapsed, rt.lapsedAt = true, p.w.clock.Now()
			p.w.tracef("agent  the lease of %s lapsed", at)
		}
		if !p.idle {
			p.serve(at, rt)
		}
	}
	p.deliver()
}

func (p *plane) leaseOver(rt *route) bool {
	return p.w.second-rt.renewed >= int(rt.Lease/time.Second)
}

func (p *plane) places() []place {
	out := make([]place, 0, len(p.routes))
	for at := range p.routes {
		out = append(out, at)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

// effective is how traffic is shared now.
func (rt *route) effective() []traffic.Share {
	if rt.lapsed {
		return []traffic.Share{{Revision: rt.Stable, Weight: traffic.Whole}}
	}
	return rt.Shares
}

// status is how a revision is, by its conduct and the time it has had.
func (p *plane) status(r *running) workload.Status {
	s := workload.Status{Ref: r.Ref, State: workload.Starting, Wanted: r.Instances}
	age := p.w.second - r.since
	switch {
	case r.conduct.crashLoop && age >= 12:
		s.State, s.Reason = workload.Failed, "crashed 5 times: exit code 2"
	case r.conduct.crashLoop:
	case r.conduct.neverReady:
		if time.Duration(age)*time.Second >= r.Readiness.Deadline {
			s.State, s.Reason = workload.Failed, "not ready by its deadline"
		}
	case age >= r.conduct.readyAfter:
		s.State, s.Ready = workload.Ready, r.Instances
	}
	return s
}

// workloads is the plane's workloads as one server sees them.
type workloads struct{ s *server }

var _ workload.Runtime = workloads{}

func (r workloads) Ensure(_ context.Context, v workload.Revision) error {
	const op = "workload.ensure"
	if err := v.Validate(); err != nil {
		return problem.New(problem.Invalid, op, "%w", err)
	}
	return r.s.write(op, func() error {
		p := r.s.w.plane
		if old := p.revisions[v.Ref]; old != nil {
			old.Revision = v.WithDefaults()
			return nil
		}
		p.w.ensured(v)
		c := p.w.shop.conductOf(v.Image)
		c.crashLoop = c.crashLoop || c.stale && p.removed[v.Ref]
		p.revisions[v.Ref] = &running{Revision: v.WithDefaults(), conduct: c, since: p.w.second}
		return nil
	})
}

func (r workloads) Remove(_ context.Context, ref workload.Ref) error {
	const op = "workload.remove"
	return r.s.write(op, func() error {
		p := r.s.w.plane
		if rt := p.routes[place{ref.Service, ref.Environment}]; rt != nil {
			for _, s := range rt.Shares {
				if s.Revision == ref.Revision && (s.Weight > 0 || rt.Stable == ref.Revision) {
					return problem.New(problem.Conflict, op, "%s still has %d basis points of traffic", ref, s.Weight)
				}
			}
		}
		if p.removed[ref] = true; !p.w.bug.is(bugRemove) {
			delete(p.revisions, ref)
		}
		return nil
	})
}

func (r workloads) Observe(_ context.Context, service, environment string) ([]workload.Status, error) {
	var out []workload.Status
	err := r.s.effect("workload.observe", true, func() error {
		p := r.s.w.plane
		for ref, v := range p.revisions {
			if (service == "" || ref.Service == service) && (environment == "" || ref.Environment == environment) {
				out = append(out, p.status(v))
			}
		}
		return nil
	})
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out, err
}

func (r workloads) Restart(_ context.Context, ref workload.Ref, _ string) error {
	return r.s.write("workload.restart", func() error {
		if r.s.w.plane.revisions[ref] == nil {
			return problem.New(problem.NotFound, "workload.restart", "%s is not wanted", ref)
		}
		return nil
	})
}

func (workloads) Output(context.Context, workload.Ref, string, int64, int) (workload.Chunk, error) {
	return workload.Chunk{End: true}, nil
}

func (workloads) Capabilities() workload.Capabilities {
	return workload.Capabilities{Name: "sim", Isolation: "process"}
}

// router is the plane's routes as one server sees them.
type router struct{ s *server }

var _ traffic.Router = router{}

func (r router) Shift(_ context.Context, split traffic.Split) error {
	const op = "traffic.shift"
	if err := split.Validate(); err != nil {
		return problem.New(problem.Invalid, op, "%w", err)
	}
	return r.s.write(op, func() error {
		p := r.s.w.plane
		for _, s := range split.Shares {
			ref := workload.Ref{Service: split.Service, Environment: split.Environment, Revision: s.Revision}
			if p.revisions[ref] == nil && (s.Weight > 0 || s.Revision == split.Stable) {
				return problem.New(problem.Invalid, op, "%s is to get traffic but is not wanted", ref)
			}
		}
		p.w.shifted(split)
		p.routes[place{split.Service, split.Environment}] = &route{Split: split, renewed: p.w.second}
		return nil
	})
}

func (r router) Refresh(_ context.Context, service, environment string) error {
	const op = "traffic.refresh"
	return r.s.write(op, func() error {
		rt := r.s.w.plane.routes[place{service, environment}]
		switch {
		case rt == nil:
			return problem.New(problem.NotFound, op, "%s has no route", service)
		case rt.lapsed:
			return problem.New(problem.Conflict, op, "the lease of %s lapsed", service)
		}
		rt.renewed = r.s.w.second
		return nil
	})
}

func (r router) Remove(_ context.Context, service, environment string) error {
	return r.s.write("traffic.remove", func() error {
		delete(r.s.w.plane.routes, place{service, environment})
		return nil
	})
}

func (r router) Observe(_ context.Context, service, environment string) ([]traffic.Observation, error) {
	var out []traffic.Observation
	err := r.s.effect("traffic.observe", true, func() error {
		p := r.s.w.plane
		for _, at := range p.places() {
			if (service == "" || at.service == service) && (environment == "" || at.environment == environment) {
				rt := p.routes[at]
				out = append(out, traffic.Observation{Split: rt.Split, Effective: rt.effective(), Lapsed: rt.lapsed, LapsedAt: rt.lapsedAt})
			}
		}
		return nil
	})
	return out, err
}

func (router) Capabilities() traffic.Capabilities {
	return traffic.Capabilities{Name: "sim", Leases: true, MinStep: 1, BinWidth: time.Second, CountsRouted: true}
}
