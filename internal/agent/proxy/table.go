package proxy

import (
	"cmp"
	"fmt"
	"math/bits"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Weights are in basis points: the weights of a route add up to FullWeight.
const FullWeight = 10_000

// What a route gets where it says nothing, and the bounds of what it may say.
const (
	DefaultTimeout = 30 * time.Second
	DefaultLimit   = 5 * time.Second
	maxTimeout     = time.Hour
	maxRoutes      = 10_000
	maxBackends    = 100
	maxEndpoints   = 1_000
	maxThresholds  = 16
	maxName        = 253
)

// Table is the complete routing wanted. It is applied whole or not at all.
type Table struct {
	Routes []Route `json:"routes"`
}

// Route sends the requests of a host and path to the revisions of one service
// in one environment. An exact host is preferred to any host, then the longest
// path prefix wins. All routes of one service and environment agree on Limit
// and Thresholds, because they are counted together.
type Route struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Host        string `json:"host,omitempty"`       // without port; "" is any host
	PathPrefix  string `json:"pathPrefix,omitempty"` // whole segments: /api matches /api and /api/x, not /apix; "" is /

	// Timeout ends a request with 504 (default 30 s). It does not apply to
	// WebSocket, server-sent events and gRPC once their headers are there.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Limit is when an unfinished request counts as bad (default 5 s, or the
	// longest threshold if that is longer; never longer than Timeout).
	Limit time.Duration `json:"limit,omitempty"`
	// Thresholds of latency objectives, none longer than Limit: requests
	// slower than each are counted exactly.
	Thresholds []time.Duration `json:"thresholds,omitempty"`

	Backends []Backend `json:"backends"`
}

// Backend is one revision and its ready instances. The share of a revision
// without ready instances goes to the stable revision, or in proportion to the
// others.
type Backend struct {
	Revision  string   `json:"revision"`
	Weight    int      `json:"weight"`              // basis points
	Endpoints []string `json:"endpoints,omitempty"` // host:port, ready ones only
	Stable    bool     `json:"stable,omitempty"`    // at most one of a route
	Protocol  string   `json:"protocol,omitempty"`  // ProtocolHTTP1, ProtocolH2C; "" is HTTP/1.1, and HTTP/2 for gRPC
}

// What an instance speaks.
const (
	ProtocolHTTP1 = "http1"
	ProtocolH2C   = "h2c" // HTTP/2 without TLS, with prior knowledge
)

// Validate reports everything that is wrong with a table, as one invalid
// problem with a finding per place.
func (t Table) Validate() error {
	c := &checker{}
	if len(t.Routes) > maxRoutes {
		c.add("routes", "too-many", "%d routes, at most %d are possible", len(t.Routes), maxRoutes)
		return c.err()
	}
	type place struct{ host, prefix string }
	type service struct{ service, environment string }
	places, counted := map[place]int{}, map[service]int{}
	for i, r := range t.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		c.route(at, r)
		r = r.withDefaults()
		here := place{strings.ToLower(r.Host), r.PathPrefix}
		if j, ok := places[here]; ok {
			c.add(at, "duplicate", "host %q with path %q is routed by routes[%d] already", r.Host, r.PathPrefix, j)
		}
		places[here] = i
		s := service{r.Service, r.Environment}
		if j, ok := counted[s]; ok {
			o := t.Routes[j].withDefaults()
			if o.Limit != r.Limit || !slices.Equal(o.Thresholds, r.Thresholds) {
				c.add(at, "disagrees", "limit or thresholds differ from routes[%d] of the same service and environment", j)
			}
		} else {
			counted[s] = i
		}
	}
	return c.err()
}

type checker struct{ findings []problem.Finding }

func (c *checker) add(field, code, format string, args ...any) {
	c.findings = append(c.findings, problem.Finding{Field: field, Severity: "error", Code: code, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	if len(c.findings) == 0 {
		return nil
	}
	e := problem.New(problem.Invalid, "proxy.apply", "the routing table is not valid; the present one stays")
	e.Findings = c.findings
	return e
}

func (c *checker) name(field, v string) {
	switch {
	case v == "":
		c.add(field, "missing", "must be given")
	case len(v) > maxName:
		c.add(field, "too-long", "is %d bytes long, at most %d are possible", len(v), maxName)
	case strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }):
		c.add(field, "bad-character", "%q has a control character", v)
	}
}

func (c *checker) route(at string, r Route) {
	c.name(at+".service", r.Service)
	c.name(at+".environment", r.Environment)
	if strings.ContainsAny(r.Host, ":/ \t\r\n") || len(r.Host) > maxName {
		c.add(at+".host", "bad-host", "%q must be a host name without port, or empty for any", r.Host)
	}
	if p := r.PathPrefix; p != "" && p[0] != '/' {
		c.add(at+".pathPrefix", "bad-path", "%q must begin with /", p)
	}
	c.times(at, r)
	if len(r.Backends) > maxBackends {
		c.add(at+".backends", "too-many", "%d revisions, at most %d are possible", len(r.Backends), maxBackends)
		return
	}
	total, stable := 0, 0
	revisions, owners := map[string]bool{}, map[string]string{}
	for i, b := range r.Backends {
		here := fmt.Sprintf("%s.backends[%d]", at, i)
		c.backend(here, b, owners)
		if revisions[b.Revision] {
			c.add(here+".revision", "duplicate", "revision %q is listed twice", b.Revision)
		}
		revisions[b.Revision] = true
		if b.Weight >= 0 && b.Weight <= FullWeight {
			total += b.Weight
		}
		if b.Stable {
			stable++
		}
	}
	if len(r.Backends) > 0 && total != FullWeight {
		c.add(at+".backends", "bad-weights", "weights add up to %d, must be %d", total, FullWeight)
	}
	if stable > 1 {
		c.add(at+".backends", "two-stable", "%d revisions are stable, at most one can be", stable)
	}
}

func (c *checker) times(at string, r Route) {
	if r.Timeout < 0 || r.Timeout > maxTimeout {
		c.add(at+".timeout", "out-of-range", "%v must be between 0 and %v", r.Timeout, maxTimeout)
		return
	}
	if r.Limit < 0 {
		c.add(at+".limit", "out-of-range", "%v must not be negative", r.Limit)
		return
	}
	if len(r.Thresholds) > maxThresholds {
		c.add(at+".thresholds", "too-many", "%d thresholds, at most %d are possible", len(r.Thresholds), maxThresholds)
	}
	d := r.withDefaults()
	if d.Limit > d.Timeout {
		c.add(at+".limit", "out-of-range", "%v is longer than the timeout of %v", d.Limit, d.Timeout)
	}
	for i, t := range r.Thresholds {
		if t <= 0 || t > d.Limit {
			c.add(fmt.Sprintf("%s.thresholds[%d]", at, i), "out-of-range", "%v must be more than 0 and at most the limit of %v", t, d.Limit)
		}
	}
}

func (c *checker) backend(at string, b Backend, owners map[string]string) {
	c.name(at+".revision", b.Revision)
	if b.Weight < 0 || b.Weight > FullWeight {
		c.add(at+".weight", "out-of-range", "%d must be between 0 and %d basis points", b.Weight, FullWeight)
	}
	if b.Protocol != "" && b.Protocol != ProtocolHTTP1 && b.Protocol != ProtocolH2C {
		c.add(at+".protocol", "unknown", "%q must be %s or %s, or empty", b.Protocol, ProtocolHTTP1, ProtocolH2C)
	}
	if len(b.Endpoints) > maxEndpoints {
		c.add(at+".endpoints", "too-many", "%d endpoints, at most %d are possible", len(b.Endpoints), maxEndpoints)
		return
	}
	for i, e := range b.Endpoints {
		here := fmt.Sprintf("%s.endpoints[%d]", at, i)
		host, port, err := net.SplitHostPort(e)
		n, perr := strconv.ParseUint(port, 10, 16)
		if err != nil || perr != nil || n == 0 || host == "" || strings.ContainsAny(e, "/@?# \t\r\n") {
			c.add(here, "bad-endpoint", "%q must be host:port", e)
		}
		if owner, ok := owners[e]; ok {
			c.add(here, "duplicate", "%q is listed under revision %q already", e, owner)
		}
		owners[e] = b.Revision
	}
}

func (r Route) withDefaults() Route {
	if r.PathPrefix == "" {
		r.PathPrefix = "/"
	}
	if len(r.PathPrefix) > 1 {
		r.PathPrefix = strings.TrimRight(r.PathPrefix, "/")
		if r.PathPrefix == "" {
			r.PathPrefix = "/"
		}
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	if r.Limit == 0 {
		r.Limit = DefaultLimit
		for _, t := range r.Thresholds {
			r.Limit = max(r.Limit, t)
		}
		r.Limit = min(r.Limit, r.Timeout)
	}
	return r
}

// table is a Table made ready for the hot path. It is never changed.
type table struct {
	hosts    map[string][]*route // by host, longest prefix first
	any      []*route
	unrouted *arm
}

type route struct {
	prefix  string
	timeout time.Duration
	self    *arm // what the proxy answers itself for this service
	choices []choice
}

// choice is a revision with the end of its share of [0, FullWeight).
type choice struct {
	end     uint64
	backend *backend
}

// match finds the route of a request, or nil.
func (t *table) match(host, path string) *route {
	if len(t.hosts) > 0 {
		if rt := longest(t.hosts[hostname(host)], path); rt != nil {
			return rt
		}
	}
	return longest(t.any, path)
}

func longest(routes []*route, path string) *route {
	for _, rt := range routes {
		if rt.prefix == "/" || strings.HasPrefix(path, rt.prefix) &&
			(len(path) == len(rt.prefix) || path[len(rt.prefix)] == '/') {
			return rt
		}
	}
	return nil
}

// hostname is a Host header without port and trailing dot, in lower case.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// choose picks a revision by weight with 64 random bits; nil without any. The
// product's high word is uniform over [0, FullWeight) to within 2^-50.
func (rt *route) choose(random uint64) *backend {
	point, _ := bits.Mul64(random, FullWeight)
	for i := range rt.choices {
		if point < rt.choices[i].end {
			return rt.choices[i].backend
		}
	}
	return nil
}

// share divides FullWeight among the backends that have endpoints.
func share(all []*backend, weights []int, stable int) []choice {
	live := make([]int, len(all))
	sum := 0
	for i, b := range all {
		if len(b.endpoints) > 0 {
			live[i] = weights[i]
			sum += weights[i]
		}
	}
	if lost := FullWeight - sum; lost > 0 && stable >= 0 && len(all[stable].endpoints) > 0 {
		live[stable] += lost
		sum = FullWeight
	}
	if sum == 0 {
		return nil
	}
	var choices []choice
	point := 0
	for i, b := range all {
		if live[i] == 0 {
			continue
		}
		point += live[i]
		// Where no stable revision takes the lost share, the rest is stretched
		// over it; the last end is FullWeight exactly.
		choices = append(choices, choice{uint64(point) * FullWeight / uint64(sum), b})
	}
	return choices
}

// bySpecificity sorts routes so that the first that matches is the right one.
func bySpecificity(a, b *route) int { return cmp.Compare(len(b.prefix), len(a.prefix)) }
