package agent

import (
	"sort"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// observe tells how everything is. Empty names match all.
func (a *agent) observe(service, environment string) contract.Observed {
	match := func(s, e string) bool {
		return (service == "" || s == service) && (environment == "" || e == environment)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	doc := a.store.doc
	o := contract.Observed{
		Epoch: doc.Epoch, Generation: doc.Generation,
		Workloads: []workload.Status{}, Routes: []traffic.Observation{},
	}
	byRef := map[workload.Ref][]*instance{}
	for _, i := range a.instances {
		if match(i.Service, i.Environment) {
			byRef[i.Ref] = append(byRef[i.Ref], i)
		}
	}
	for _, w := range doc.Revisions {
		if match(w.Service, w.Environment) {
			o.Workloads = append(o.Workloads, a.wantedStatus(w, byRef[w.Ref]))
			delete(byRef, w.Ref)
		}
	}
	for ref, is := range byRef {
		o.Workloads = append(o.Workloads, workload.Status{
			Ref: ref, State: workload.Draining, Reason: "no longer wanted", Instances: instances(is),
		})
	}
	sort.Slice(o.Workloads, func(i, j int) bool { return o.Workloads[i].Ref.String() < o.Workloads[j].Ref.String() })
	for _, r := range doc.Routes {
		if match(r.Service, r.Environment) {
			o.Routes = append(o.Routes, a.observeRoute(r))
		}
	}
	return o
}

// wantedStatus sums up the instances of a wanted revision: ready when enough
// are, else failed when one is, else on its way.
func (a *agent) wantedStatus(w contract.Wanted, is []*instance) workload.Status {
	s := workload.Status{Ref: w.Ref, Wanted: w.Instances, Instances: instances(is)}
	print, current := fingerprint(w.Revision.WithDefaults(), w.Restart), 0
	started, failed := false, ""
	for _, i := range is {
		if i.state == workload.Ready {
			s.Ready++
			if i.print() == print {
				current++
			}
		}
		started = started || i.state != workload.Pending
		if i.state == workload.Failed {
			failed = "instance " + i.id() + ": " + i.reason
		}
	}
	if current >= w.Instances {
		s.Restart = w.Restart
	}
	switch {
	case s.Ready >= w.Instances:
		s.State = workload.Ready
	case failed != "":
		s.State, s.Reason = workload.Failed, failed
	case started:
		s.State, s.Reason = workload.Starting, lastReason(is)
	default:
		s.State, s.Reason = workload.Pending, a.trouble[w.Ref]
	}
	return s
}

func lastReason(is []*instance) (reason string) {
	for _, i := range is {
		if i.reason != "" && !i.draining() {
			reason = "instance " + i.id() + ": " + i.reason
		}
	}
	return reason
}

func instances(is []*instance) []workload.Instance {
	list := make([]workload.Instance, 0, len(is))
	for _, i := range is {
		list = append(list, workload.Instance{
			ID: i.id(), State: i.state, Port: i.Port, Pid: i.run.Pid,
			Restarts: i.run.Restarts, Reason: i.reason, Since: i.since,
		})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list
}

func (a *agent) observeRoute(r contract.Route) traffic.Observation {
	o := traffic.Observation{
		Split: r.Split, Effective: effective(r, a.leases.lapsed(r.Key())),
		InFlight: map[string]int{}, Endpoints: map[string]int{},
	}
	if l := a.leases.byKey[r.Key()]; l != nil {
		o.LeaseEnds, o.Lapsed, o.LapsedAt = l.Ends, l.Lapsed, l.LapsedAt
	}
	for _, load := range a.proxy.Loads() {
		if load.Service != r.Service || load.Environment != r.Environment {
			continue
		}
		o.InFlight[load.Revision] += int(load.InFlight)
		if !load.Removed {
			o.Endpoints[load.Revision]++
		}
	}
	return o
}
