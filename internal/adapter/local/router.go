package local

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/agent/contract"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/measure"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// Router is traffic.Router: the agent's proxy.
type Router struct{ client *Client }

var _ traffic.Router = Router{}

// NewRouter splits requests on the client's agent.
func NewRouter(c *Client) Router { return Router{c} }

// Shift implements traffic.Router.
func (r Router) Shift(ctx context.Context, split traffic.Split) error {
	const op = "traffic.shift"
	if err := split.Validate(); err != nil {
		return problem.New(problem.Invalid, op, "%w", err)
	}
	var present bool
	err := r.client.update(ctx, op, func(d *contract.Document) error {
		i := route(d, split.Service, split.Environment)
		present = i >= 0 && same(d.Routes[i].Split, split)
		switch {
		case present:
		case i >= 0:
			d.Routes[i] = contract.Route{Split: split, Issued: d.Generation}
		default:
			d.Routes = append(d.Routes, contract.Route{Split: split, Issued: d.Generation})
		}
		return nil
	})
	if err != nil || !present || split.Lease == 0 {
		return err
	}
	// The same split again renews its lease, or revives it when it has lapsed.
	if err := r.Refresh(ctx, split.Service, split.Environment); problem.KindOf(err) != problem.Conflict {
		return err
	}
	return r.client.update(ctx, op, func(d *contract.Document) error {
		if i := route(d, split.Service, split.Environment); i >= 0 && same(d.Routes[i].Split, split) {
			d.Routes[i].Issued = d.Generation
		}
		return nil
	})
}

// Refresh implements traffic.Router.
func (r Router) Refresh(ctx context.Context, service, environment string) error {
	in := contract.Refresh{Epoch: r.client.epoch(), Service: service, Environment: environment}
	return r.client.do(ctx, "traffic.refresh", http.MethodPost, "/refresh", in, nil)
}

// Remove implements traffic.Router.
func (r Router) Remove(ctx context.Context, service, environment string) error {
	return r.client.update(ctx, "traffic.remove", func(d *contract.Document) error {
		if i := route(d, service, environment); i >= 0 {
			d.Routes = slices.Delete(d.Routes, i, i+1)
		}
		return nil
	})
}

// Observe implements traffic.Router.
func (r Router) Observe(ctx context.Context, service, environment string) ([]traffic.Observation, error) {
	o, err := r.client.Observed(ctx, service, environment)
	return o.Routes, err
}

// Capabilities implements traffic.Router.
func (Router) Capabilities() traffic.Capabilities {
	return traffic.Capabilities{
		Name: "local", Leases: true, MinStep: 1, BinWidth: time.Second, CountsRouted: true, InFlightKnown: true,
	}
}

func route(d *contract.Document, service, environment string) int {
	return slices.IndexFunc(d.Routes, func(r contract.Route) bool { return r.Service == service && r.Environment == environment })
}

// same compares what is written: nil and empty lists are the same.
func same(a, b traffic.Split) bool {
	x, xerr := json.Marshal(a)
	y, yerr := json.Marshal(b)
	return xerr == nil && yerr == nil && string(x) == string(y)
}

// Source is measure.Source: what the agent's proxy counted.
type Source struct{ client *Client }

var _ measure.Source = Source{}

// NewSource reads the counts of the client's agent.
func NewSource(c *Client) Source { return Source{c} }

// Bins implements measure.Source.
func (s Source) Bins(ctx context.Context, after int64, max int) (measure.Page, error) {
	var page measure.Page
	return page, s.client.do(ctx, "measure.bins", http.MethodGet, fmt.Sprintf("/bins?after=%d&max=%d", after, max), nil, &page)
}

// Ack implements measure.Source.
func (s Source) Ack(ctx context.Context, seq int64) error {
	return s.client.do(ctx, "measure.ack", http.MethodPost, "/bins/ack", contract.Ack{Seq: seq}, nil)
}
