package agent

import (
	"reflect"
	"sort"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/agent/proxy"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// effective is how a route's requests are shared now.
func effective(r contract.Route, lapsed bool) []traffic.Share {
	if lapsed {
		return []traffic.Share{{Revision: r.Stable, Weight: traffic.Whole}}
	}
	return r.Shares
}

// table is the routing that a document asks for. Without ready instances and
// leases (both nil) it serves to check the document.
func (a *agent) table(doc contract.Document, ready map[workload.Ref][]string, leases *leases) proxy.Table {
	var t proxy.Table
	for _, r := range doc.Routes {
		route := proxy.Route{
			Service: r.Service, Environment: r.Environment, Host: r.Host, PathPrefix: r.PathPrefix,
			Timeout: r.Timeout, Limit: r.Limit, Thresholds: r.Thresholds,
		}
		lapsed := leases != nil && leases.lapsed(r.Key())
		for _, s := range effective(r, lapsed) {
			ref := workload.Ref{Service: r.Service, Environment: r.Environment, Revision: s.Revision}
			route.Backends = append(route.Backends, proxy.Backend{
				Revision: s.Revision, Weight: s.Weight, Endpoints: ready[ref], Stable: s.Revision == r.Stable,
			})
		}
		t.Routes = append(t.Routes, route)
	}
	return t
}

// ready lists the addresses that may get requests, by revision.
func (a *agent) ready() map[workload.Ref][]string {
	ready := map[workload.Ref][]string{}
	for _, i := range a.instances {
		if i.state == workload.Ready {
			ready[i.Ref] = append(ready[i.Ref], i.address())
		}
	}
	for _, addresses := range ready {
		sort.Strings(addresses)
	}
	return ready
}

// route makes the proxy's table the one that is right now.
func (a *agent) route() {
	t := a.table(a.store.doc, a.ready(), a.leases)
	if reflect.DeepEqual(t, a.applied) {
		return
	}
	if err := a.proxy.Apply(t); err != nil {
		a.log.Error("routing not applied; the present one stays", "err", err)
		return
	}
	a.applied = t
}
