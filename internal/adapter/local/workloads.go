package local

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Workloads is workload.Runtime: supervised processes on this host.
type Workloads struct{ client *Client }

var _ workload.Runtime = Workloads{}

// NewWorkloads runs revisions on the client's agent.
func NewWorkloads(c *Client) Workloads { return Workloads{c} }

func escape(s string) string { return url.QueryEscape(s) }

// Ensure implements workload.Runtime.
func (w Workloads) Ensure(ctx context.Context, r workload.Revision) error {
	const op = "workload.ensure"
	if err := r.Validate(); err != nil {
		return problem.New(problem.Invalid, op, "%w", err)
	}
	return w.client.update(ctx, op, func(d *contract.Document) error {
		if i := find(d, r.Ref); i >= 0 {
			d.Revisions[i].Revision = r
		} else {
			d.Revisions = append(d.Revisions, contract.Wanted{Revision: r})
		}
		return nil
	})
}

// Remove implements workload.Runtime.
func (w Workloads) Remove(ctx context.Context, ref workload.Ref) error {
	const op = "workload.remove"
	return w.client.update(ctx, op, func(d *contract.Document) error {
		i := find(d, ref)
		if i < 0 {
			return nil
		}
		for _, r := range d.Routes {
			if r.Service != ref.Service || r.Environment != ref.Environment {
				continue
			}
			for _, s := range r.Shares {
				if s.Revision == ref.Revision && (s.Weight > 0 || r.Stable == ref.Revision) {
					return problem.New(problem.Conflict, op, "%s has %d basis points of traffic or is its stable revision", ref, s.Weight).
						WithNext("shift its traffic to another revision first")
				}
			}
		}
		d.Revisions = slices.Delete(d.Revisions, i, i+1)
		return nil
	})
}

// Observe implements workload.Runtime.
func (w Workloads) Observe(ctx context.Context, service, environment string) ([]workload.Status, error) {
	o, err := w.client.Observed(ctx, service, environment)
	return o.Workloads, err
}

// Restart implements workload.Runtime.
func (w Workloads) Restart(ctx context.Context, ref workload.Ref, token string) error {
	const op = "workload.restart"
	return w.client.update(ctx, op, func(d *contract.Document) error {
		i := find(d, ref)
		if i < 0 {
			return problem.New(problem.NotFound, op, "%s is not wanted, so there is nothing to restart", ref)
		}
		d.Revisions[i].Restart = token
		return nil
	})
}

// Output implements workload.Runtime.
func (w Workloads) Output(ctx context.Context, ref workload.Ref, instance string, offset int64, limit int) (workload.Chunk, error) {
	var c workload.Chunk
	query := fmt.Sprintf("?service=%s&environment=%s&revision=%s&instance=%s&offset=%d&limit=%d",
		escape(ref.Service), escape(ref.Environment), escape(ref.Revision), escape(instance), offset, limit)
	return c, w.client.do(ctx, "workload.output", http.MethodGet, "/output"+query, nil, &c)
}

// Capabilities implements workload.Runtime.
func (Workloads) Capabilities() workload.Capabilities {
	return workload.Capabilities{Name: "local", Isolation: "process"}
}

func find(d *contract.Document, ref workload.Ref) int {
	return slices.IndexFunc(d.Revisions, func(w contract.Wanted) bool { return w.Ref == ref })
}
