package agent

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/flyball-dev/flyball/internal/port/workload"
)

// metrics is the proxy's OpenMetrics exposition with the instances added.
func (a *agent) metrics() http.Handler {
	requests := a.proxy.Metrics()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part := &page{header: http.Header{}}
		requests.ServeHTTP(part, r)
		for k, v := range part.header {
			w.Header()[k] = v
		}
		w.Header().Del("Content-Length")
		text, _ := bytes.CutSuffix(part.body.Bytes(), []byte("# EOF\n"))
		// The scraper may be gone; there is nobody else to tell.
		_, _ = w.Write(text)
		_, _ = w.Write(a.instanceMetrics())
		_, _ = w.Write([]byte("# EOF\n"))
	})
}

// instanceMetrics needs no escaping: names are checked by workload.ValidateName.
func (a *agent) instanceMetrics() []byte {
	type key struct {
		ref   workload.Ref
		state workload.State
	}
	counts, restarts := map[key]int{}, map[workload.Ref]int{}
	var order []key
	o := a.observe("", "")
	for _, s := range o.Workloads {
		for _, i := range s.Instances {
			k := key{s.Ref, i.State}
			if counts[k] == 0 {
				order = append(order, k)
			}
			counts[k]++
			restarts[s.Ref] += i.Restarts
		}
	}
	var b bytes.Buffer
	b.WriteString("# TYPE flyball_agent_generation gauge\n# HELP flyball_agent_generation Generation of the desired document in effect.\n")
	fmt.Fprintf(&b, "flyball_agent_generation %d\n", o.Generation)
	b.WriteString("# TYPE flyball_instances gauge\n# HELP flyball_instances Instances by state.\n")
	for _, k := range order {
		fmt.Fprintf(&b, "flyball_instances{service=%q,environment=%q,revision=%q,state=%q} %d\n",
			k.ref.Service, k.ref.Environment, k.ref.Revision, string(k.state), counts[k])
	}
	b.WriteString("# TYPE flyball_instance_restarts gauge\n# HELP flyball_instance_restarts Restarts of the instances that run now.\n")
	for _, s := range o.Workloads {
		fmt.Fprintf(&b, "flyball_instance_restarts{service=%q,environment=%q,revision=%q} %d\n",
			s.Service, s.Environment, s.Ref.Revision, restarts[s.Ref])
	}
	return b.Bytes()
}

// page is a response in memory.
type page struct {
	header http.Header
	body   bytes.Buffer
}

func (p *page) Header() http.Header         { return p.header }
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }
func (p *page) WriteHeader(int)             {}
