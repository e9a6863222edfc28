package proxy

import (
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// farFuture is a steady instant after everything.
const farFuture = math.MaxInt64

// builder makes a table out of a Table, taking over what is the same.
type builder struct {
	p         *Proxy
	arms      map[*arm]bool
	endpoints map[endpointKey]*endpoint
}

func (b *builder) table(t Table) *table {
	out := &table{hosts: map[string][]*route{}}
	out.unrouted = b.arm(b.meter("", ""), "", DefaultLimit, nil)
	for _, r := range t.Routes {
		rt := b.route(r.withDefaults())
		if r.Host == "" {
			out.any = append(out.any, rt)
			continue
		}
		host := strings.ToLower(strings.TrimSuffix(r.Host, "."))
		out.hosts[host] = append(out.hosts[host], rt)
	}
	slices.SortStableFunc(out.any, bySpecificity)
	for _, routes := range out.hosts {
		slices.SortStableFunc(routes, bySpecificity)
	}
	return out
}

func (b *builder) route(r Route) *route {
	m := b.meter(r.Service, r.Environment)
	rt := &route{prefix: r.PathPrefix, timeout: r.Timeout, self: b.arm(m, "", r.Limit, r.Thresholds)}
	backends := make([]*backend, len(r.Backends))
	weights := make([]int, len(r.Backends))
	stable := -1
	for i, want := range r.Backends {
		backends[i] = &backend{arm: b.arm(m, want.Revision, r.Limit, r.Thresholds), protocol: want.Protocol}
		weights[i] = want.Weight
		for _, address := range want.Endpoints {
			e := b.endpoint(endpointKey{r.Service, r.Environment, want.Revision, address})
			backends[i].endpoints = append(backends[i].endpoints, e)
		}
		if want.Stable {
			stable = i
		}
	}
	rt.choices = share(backends, weights, stable)
	return rt
}

func (b *builder) meter(service, environment string) *meter {
	key := total{service: service, environment: environment}
	m := b.p.meters[key]
	if m == nil {
		m = &meter{service: service, environment: environment, ticker: b.p.ticker, shards: b.p.shards}
		b.p.meters[key] = m
	}
	return m
}

func (b *builder) arm(m *meter, revision string, limit time.Duration, thresholds []time.Duration) *arm {
	a := m.arm(revision, limit, thresholds)
	b.arms[a] = true
	return a
}

func (b *builder) endpoint(key endpointKey) *endpoint {
	if e := b.endpoints[key]; e != nil {
		return e // another route to the same instance
	}
	e := b.p.endpoints[key]
	if e == nil {
		e = &endpoint{key: key, h1: b.p.transport(false), h2: b.p.transport(true)}
	}
	b.endpoints[key] = e
	return e
}

// transport makes the connections to one instance.
func (p *Proxy) transport(h2c bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2c)
	protocols.SetUnencryptedHTTP2(h2c)
	dialer := &net.Dialer{Timeout: p.cfg.DialTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext: dialer.DialContext, Protocols: protocols, DisableCompression: true,
		MaxIdleConnsPerHost: 1024, IdleConnTimeout: p.cfg.BackendIdle,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: int64(p.cfg.MaxHeaderBytes),
	}
}
