package agent

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/agent/supervise"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

const (
	busyTick = 50 * time.Millisecond  // while something is on its way
	idleTick = 500 * time.Millisecond // how late a crash may be noticed; the proxy notices at once

	// A never-ready instance that crashed this often in a row is failed without
	// waiting for its deadline.
	hopeless = 5
	// How many ports of one revision may turn out to be taken in a row.
	maxPortRetries = 10
)

// reconcile brings what runs to what is wanted until ctx is done.
func (a *agent) reconcile(ctx context.Context) {
	for ctx.Err() == nil {
		a.mu.Lock()
		busy := a.step(ctx, a.clk.Now())
		a.mu.Unlock()
		tick := idleTick
		if busy {
			tick = busyTick
		}
		timer := a.clk.NewTimer(tick)
		select {
		case <-timer.C():
		case <-a.kicked:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// step is one round: look, staff, route, drain. It reports whether it should
// come again soon. The order matters: an instance leaves the table before it is
// asked whether it is idle.
func (a *agent) step(ctx context.Context, now time.Time) (busy bool) {
	for _, i := range a.instances {
		a.look(ctx, i, now)
	}
	a.staff(now)
	a.route()
	left := a.instances[:0:0]
	var gone []*instance
	for _, i := range a.instances {
		if i.draining() && a.drain(i, now) {
			gone = append(gone, i)
			continue
		}
		left = append(left, i)
		busy = busy || i.state != workload.Ready
	}
	a.instances = left
	for _, i := range gone {
		a.prune(i.Service, i.Environment)
	}
	return busy
}

// look observes one instance and moves it along.
func (a *agent) look(ctx context.Context, i *instance, now time.Time) {
	if !i.launched {
		if !i.launching && !i.draining() && !now.Before(i.nextProbe) {
			a.launch(ctx, i)
		}
		a.unready(i, now)
		return
	}
	run, err := supervise.Observe(i.dir)
	if err != nil {
		i.complaint = "cannot be observed: " + err.Error()
		a.unready(i, now)
		return
	}
	i.run = run
	if i.draining() {
		return
	}
	switch {
	case i.proved():
		delete(a.portRetries, i.Ref)
		i.enter(workload.Ready, "", now)
		return
	case run.State == supervise.Lost:
		i.launched = false // the next look starts a new supervisor
	case run.State == supervise.Exited:
		a.retire(i, "its supervisor was ended: "+run.Detail, now)
		return
	case run.State == supervise.Running && !i.probing && !now.Before(i.nextProbe):
		a.probe(ctx, i)
	}
	a.unready(i, now)
	a.contest(i, now)
}

// unready is the state of a wanted instance that does not serve.
func (a *agent) unready(i *instance, now time.Time) {
	if i.draining() {
		return
	}
	if i.state == workload.Ready {
		i.quest = now // it has to prove itself anew
	}
	late := now.Sub(i.quest) >= i.Readiness.Deadline
	switch {
	case late || i.run.Failures >= hopeless:
		if i.state != workload.Failed || i.blamed != i.run.Restarts {
			i.blamed = i.run.Restarts
			i.enter(workload.Failed, i.why(now), now)
			a.log.Warn("instance failed", "instance", i.Ref.String()+"/"+i.id(), "reason", i.reason)
		}
	case !i.launched && i.complaint == "":
		i.enter(workload.Pending, "", now)
	default:
		reason := i.complaint
		if i.run.State == supervise.Backoff {
			reason = i.why(now)
		}
		i.enter(workload.Starting, reason, now)
	}
}

// contest gives an instance up whose port somebody else took between its
// assignment and its start; another one with another port replaces it.
func (a *agent) contest(i *instance, now time.Time) {
	waiting := i.run.State == supervise.Backoff && i.run.NextStart.Sub(now) > 100*time.Millisecond
	if !i.foreign && (!waiting || i.contested == i.run.Restarts+1) {
		return
	}
	i.contested = i.run.Restarts + 1 // once for each crash
	if !i.foreign && portFree(i.Port) {
		return
	}
	if a.portRetries[i.Ref] >= maxPortRetries {
		return
	}
	a.portRetries[i.Ref]++
	a.log.Info("port taken by another process; trying another one", "instance", i.Ref.String()+"/"+i.id(), "port", i.Port)
	a.retire(i, "its port was taken by another process", now)
}

// retire makes an instance unwanted.
func (a *agent) retire(i *instance, reason string, now time.Time) {
	if !i.draining() {
		i.drained = now
		i.enter(workload.Draining, reason, now)
	}
}

// staff starts what is missing and retires what is too much.
func (a *agent) staff(now time.Time) {
	byRef := map[workload.Ref][]*instance{}
	for _, i := range a.instances {
		if !i.draining() {
			byRef[i.Ref] = append(byRef[i.Ref], i)
		}
	}
	for _, w := range a.store.doc.Revisions {
		w.Revision = w.Revision.WithDefaults()
		a.staffRevision(w, byRef[w.Ref], now)
		delete(byRef, w.Ref)
	}
	for _, unwanted := range byRef {
		for _, i := range unwanted {
			a.retire(i, "no longer wanted", now)
		}
	}
}

// staffRevision fills the slots of one revision. Instances made from something
// else (another token, another command) are replaced one after another, each
// when its successor is ready.
func (a *agent) staffRevision(w contract.Wanted, have []*instance, now time.Time) {
	want := fingerprint(w.Revision, w.Restart)
	current := make([]*instance, w.Instances)
	predecessors := make([][]*instance, w.Instances)
	settling, replacing := 0, false
	for _, i := range have {
		switch {
		case i.Slot >= w.Instances:
			a.retire(i, "fewer instances are wanted", now)
		case i.print() != want || current[i.Slot] != nil:
			predecessors[i.Slot] = append(predecessors[i.Slot], i)
			replacing = true
		default:
			current[i.Slot] = i
			if i.state != workload.Ready {
				settling++
			}
		}
	}
	for slot, i := range current {
		if i != nil && i.state == workload.Ready {
			for _, p := range predecessors[slot] {
				a.retire(p, "replaced by "+i.id(), now)
			}
		}
		if i != nil || replacing && settling > 0 {
			continue
		}
		if err := a.create(w, slot, now); err != nil {
			a.log.Error("no instance made", "revision", w.Ref.String(), "err", err)
			a.trouble[w.Ref] = err.Error()
			return
		}
		settling++
	}
	delete(a.trouble, w.Ref)
}

// drain ends an instance that has nothing left to do or has taken too long; true
// when it is gone.
func (a *agent) drain(i *instance, now time.Time) bool {
	switch {
	case i.launching:
		return false
	case !i.launched && i.run.State != supervise.Lost:
		return true // was never started
	case i.run.Ended():
		if i.run.State == supervise.Lost {
			supervise.Cancel(i.dir, i.reason) // kills what it may have left
		}
		return true
	case i.ended:
		return false
	case !a.proxy.EndpointDrained(i.address()) && now.Sub(i.drained) < i.Grace:
		return false
	}
	if err := supervise.Cancel(i.dir, i.reason); err != nil {
		a.log.Warn("instance not ended yet", "instance", i.Ref.String()+"/"+i.id(), "err", err)
		return false
	}
	i.ended = true
	return false
}

// put changes what is wanted.
func (a *agent) put(doc contract.Document) error {
	if err := doc.Validate(); err != nil {
		return problem.New(problem.Invalid, "agent.desired", "the document is not valid: %w", err)
	}
	if err := a.table(doc, nil, nil).Validate(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	changed, err := a.store.put(doc)
	if err != nil || !changed {
		return err
	}
	a.leases.follow(doc)
	if err := a.leases.save(true); err != nil {
		a.log.Warn("leases not saved; they begin anew if the agent restarts now", "err", err)
	}
	a.staff(a.clk.Now()) // what is unwanted loses its traffic before we answer
	a.route()
	a.kick()
	return nil
}

// refresh renews the lease of a route.
func (a *agent) refresh(r contract.Refresh) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Epoch < a.store.doc.Epoch {
		return problem.New(problem.Conflict, "agent.refresh", "epoch %d is over; epoch %d is in effect", r.Epoch, a.store.doc.Epoch)
	}
	for _, route := range a.store.doc.Routes {
		if route.Key() == (contract.Key{Service: r.Service, Environment: r.Environment}) {
			return a.leases.refresh(route)
		}
	}
	return problem.New(problem.NotFound, "agent.refresh", "%s/%s has no route", r.Service, r.Environment)
}

// lapse is called when a lease has run out.
func (a *agent) lapse(l *lease, wait chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.leases.lapse(l, wait) {
		return
	}
	a.log.Warn("lease lapsed; all traffic goes to the stable revision", "service", l.Service, "environment", l.Environment)
	a.route()
	if err := a.leases.save(true); err != nil {
		a.log.Warn("lapse not saved; it will be repeated if the agent restarts", "err", err)
	}
}
