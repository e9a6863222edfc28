package proxy

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

func TestValidate(t *testing.T) {
	good := func() Table { return one("127.0.0.1:8080") }
	for name, c := range map[string]struct {
		change func(*Route)
		want   string // "" is valid
	}{
		"as it is":              {func(*Route) {}, ""},
		"no service":            {func(r *Route) { r.Service = "" }, "routes[0].service: must be given"},
		"control character":     {func(r *Route) { r.Environment = "a\nb" }, "control character"},
		"host with port":        {func(r *Route) { r.Host = "a:80" }, "must be a host name without port"},
		"relative path":         {func(r *Route) { r.PathPrefix = "api" }, "must begin with /"},
		"weights too low":       {func(r *Route) { r.Backends[0].Weight = 9999 }, "weights add up to 9999, must be 10000"},
		"negative weight":       {func(r *Route) { r.Backends[0].Weight = -1 }, "between 0 and 10000 basis points"},
		"no backends":           {func(r *Route) { r.Backends = nil }, ""},
		"no endpoints":          {func(r *Route) { r.Backends[0].Endpoints = nil }, ""},
		"endpoint without port": {func(r *Route) { r.Backends[0].Endpoints = []string{"localhost"} }, "must be host:port"},
		"port zero":             {func(r *Route) { r.Backends[0].Endpoints = []string{"localhost:0"} }, "must be host:port"},
		"endpoint twice":        {func(r *Route) { r.Backends[0].Endpoints = []string{"a:1", "a:1"} }, "listed under revision \"v1\" already"},
		"endpoint of two": {func(r *Route) {
			r.Backends = append(r.Backends, Backend{Revision: "v2", Endpoints: []string{"127.0.0.1:8080"}})
		}, "listed under revision \"v1\" already"},
		"revision twice":       {func(r *Route) { r.Backends = append(r.Backends, Backend{Revision: "v1"}) }, "is listed twice"},
		"two stable":           {func(r *Route) { r.Backends = append(r.Backends, Backend{Revision: "v2", Stable: true}) }, "at most one can be"},
		"unknown protocol":     {func(r *Route) { r.Backends[0].Protocol = "spdy" }, "must be http1 or h2c"},
		"negative timeout":     {func(r *Route) { r.Timeout = -1 }, "must be between 0 and 1h0m0s"},
		"limit over timeout":   {func(r *Route) { r.Timeout, r.Limit = time.Second, 2*time.Second }, "2s is longer than the timeout of 1s"},
		"short timeout":        {func(r *Route) { r.Timeout = time.Second }, ""},
		"threshold over limit": {func(r *Route) { r.Limit, r.Thresholds = time.Second, []time.Duration{2 * time.Second} }, "at most the limit of 1s"},
		"long threshold":       {func(r *Route) { r.Thresholds = []time.Duration{8 * time.Second} }, ""},
		"threshold zero":       {func(r *Route) { r.Thresholds = []time.Duration{0} }, "must be more than 0"},
	} {
		table := good()
		c.change(&table.Routes[0])
		err := table.Validate()
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestValidateBetweenRoutes(t *testing.T) {
	a, b := one("127.0.0.1:1").Routes[0], one("127.0.0.1:1").Routes[0]
	a.Host, b.Host = "Shop.test", "shop.test"
	if err := (Table{Routes: []Route{a, b}}).Validate(); err == nil || !strings.Contains(err.Error(), "is routed by routes[0] already") {
		t.Errorf("same place: %v", err)
	}
	b.Host, b.Limit = "other.test", time.Second
	if err := (Table{Routes: []Route{a, b}}).Validate(); err == nil || !strings.Contains(err.Error(), "limit or thresholds differ") {
		t.Errorf("different limits of one service: %v", err)
	}
}

func TestInvalidTableChangesNothing(t *testing.T) {
	h := start(t, Config{})
	h.apply(one(revision(t, says("first"))))
	bad := one("nonsense")
	if err := h.proxy.Apply(bad); err == nil {
		t.Fatal("applied")
	}
	if status, text := h.get("/"); status != 200 || text != "first" {
		t.Errorf("got %d %q", status, text)
	}
}

func TestMatch(t *testing.T) {
	h := start(t, Config{})
	route := func(service, host, prefix string) Route {
		return Route{Service: service, Environment: "prod", Host: host, PathPrefix: prefix}
	}
	h.apply(Table{Routes: []Route{
		route("any", "", ""), route("any-api", "", "/api/"), route("shop", "shop.test", "/"),
		route("shop-api", "Shop.test", "/api"), route("shop-v2", "shop.test", "/api/v2"), route("deep", "deep.test", "/only"),
	}})
	for _, c := range [][3]string{
		{"x.test", "/", "any"}, {"x.test", "/apix", "any"}, {"x.test", "/api", "any-api"}, {"x.test", "/api/x", "any-api"},
		{"shop.test", "/", "shop"}, {"SHOP.test:8080", "/api/v1", "shop-api"}, {"shop.test.", "/api/v2/x", "shop-v2"},
		{"shop.test", "/api/v22", "shop-api"}, {"deep.test", "/only/x", "deep"}, {"deep.test", "/api", "any-api"}, {"[::1]:80", "/", "any"},
	} {
		rt := h.proxy.table.Load().match(c[0], c[1])
		if rt == nil || rt.self.meter.service != c[2] {
			t.Errorf("%s%s: got %+v, want %s", c[0], c[1], rt, c[2])
		}
	}
}

func TestShareOfRevisionsWithoutInstances(t *testing.T) {
	for _, c := range []struct {
		name    string
		weights []int
		ready   []int
		stable  int
		want    []int
	}{
		{"all ready", []int{9000, 1000}, []int{1, 1}, 0, []int{9000, 1000}},
		{"canary not ready", []int{9000, 1000}, []int{1, 0}, 0, []int{10000, 0}},
		{"stable not ready", []int{9000, 1000}, []int{0, 1}, 0, []int{0, 10000}},
		{"stable takes it", []int{5000, 3000, 2000}, []int{1, 0, 1}, 0, []int{8000, 0, 2000}},
		{"stable of weight 0 takes it", []int{0, 10000}, []int{1, 0}, 0, []int{10000, 0}},
		{"in proportion", []int{5000, 3000, 2000}, []int{0, 1, 1}, -1, []int{0, 6000, 4000}},
		{"none", []int{9000, 1000}, []int{0, 0}, 0, []int{0, 0}},
		{"weight 0 gets nothing", []int{10000, 0}, []int{0, 1}, -1, []int{0, 0}},
	} {
		all := make([]*backend, len(c.weights))
		for i, n := range c.ready {
			all[i] = &backend{endpoints: make([]*endpoint, n)}
		}
		rt := route{choices: share(all, c.weights, c.stable)}
		got := make([]int, len(all))
		last := uint64(0)
		for _, ch := range rt.choices {
			for i := range all {
				if all[i] == ch.backend {
					got[i] = int(ch.end - last)
				}
			}
			last = ch.end
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
				break
			}
		}
	}
}

// A share of w drawn n times has a standard deviation of √(n·w·(1−w)); five of
// them are left in one of two million runs.
func TestChoiceIsUnbiased(t *testing.T) {
	const n = 1_000_000
	for _, weight := range []int{1, 100, 1000, 5000, 9999} {
		canary := &backend{endpoints: make([]*endpoint, 1)}
		stable := &backend{endpoints: make([]*endpoint, 1)}
		rt := route{choices: share([]*backend{stable, canary}, []int{FullWeight - weight, weight}, 0)}
		got := 0
		for range n {
			if rt.choose(rand.Uint64()) == canary {
				got++
			}
		}
		w := float64(weight) / FullWeight
		if d := math.Abs(float64(got) - n*w); d > 5*math.Sqrt(n*w*(1-w)) {
			t.Errorf("weight %d: %d of %d", weight, got, n)
		}
	}
}

func FuzzTable(f *testing.F) {
	for _, s := range []string{
		`{"routes":[{"service":"a","environment":"b","backends":[{"revision":"v1","weight":10000,"endpoints":["127.0.0.1:80"],"stable":true}]}]}`,
		`{"routes":[{"service":"a","environment":"b","host":"h","pathPrefix":"//","timeout":5,"limit":1,"thresholds":[1],"backends":[{"revision":"v","weight":5000},{"revision":"w","weight":5000,"endpoints":["[::1]:9"]}]}]}`,
		`{"routes":[{},{}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var table Table
		if json.Unmarshal(text, &table) != nil || table.Validate() != nil {
			return
		}
		// What is valid can be built, and gives every backend its share.
		p := &Proxy{cfg: Config{}.withDefaults(), ticker: newTicker(virtual()), shards: 1,
			meters: map[total]*meter{}, endpoints: map[endpointKey]*endpoint{}}
		b := builder{p: p, arms: map[*arm]bool{}, endpoints: map[endpointKey]*endpoint{}}
		built := b.table(table)
		for _, r := range table.Routes {
			host := r.Host
			if host == "" {
				host = "nobody.invalid"
			}
			rt := built.match(host, r.PathPrefix)
			if rt == nil {
				t.Fatalf("route %q %q does not match itself", r.Host, r.PathPrefix)
			}
			if n := len(rt.choices); n > 0 && rt.choices[n-1].end != FullWeight {
				t.Fatalf("shares end at %d", rt.choices[n-1].end)
			}
		}
	})
}
