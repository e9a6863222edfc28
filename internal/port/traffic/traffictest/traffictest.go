// Package traffictest is the conformance suite of port traffic: what every
// adapter must do, tried with real requests.
package traffictest

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/traffic"
)

// patience is how long an asynchronous effect may take.
const patience = 30 * time.Second

// Router is a router under test.
type Router struct {
	traffic.Router
	// Make has a ready revision of the service shop in production.
	Make func(t *testing.T, revision string)
	// Send sends n requests for a host and path and counts which revision
	// answered each; requests that no revision answered count under "".
	Send func(t *testing.T, host, path string, n int) map[string]int
}

// RunRouter tries a router; make gives one without routes for each test.
func RunRouter(t *testing.T, make func(t *testing.T) Router) {
	for name, test := range map[string]func(*testing.T, Router){
		"shares":                        shares,
		"shifts back and forth":         shifts,
		"host and path":                 places,
		"unrefreshed lease lapses":      lapses,
		"refreshed lease holds":         holds,
		"other wishes renew nothing":    renewsNothing,
		"same split again renews":       renews,
		"new split after a lapse":       revives,
		"removes":                       removes,
		"lists what matches":            lists,
		"refuses what is invalid":       refuses,
		"stable without weight is kept": keepsStable,
	} {
		t.Run(name, func(t *testing.T) {
			r := make(t)
			if c := r.Capabilities(); !c.Leases && leaseTests[name] {
				t.Skipf("%s has no leases", c.Name)
			}
			test(t, r)
		})
	}
}

var leaseTests = map[string]bool{
	"unrefreshed lease lapses": true, "refreshed lease holds": true, "other wishes renew nothing": true,
	"same split again renews": true, "new split after a lapse": true,
}

// split shares the traffic of shop between a stable revision and a canary.
func split(canary int) traffic.Split {
	return traffic.Split{
		Service: "shop", Environment: "production", Stable: "stable",
		Shares: []traffic.Share{{Revision: "stable", Weight: traffic.Whole - canary}, {Revision: "canary", Weight: canary}},
	}
}

func (r Router) both(t *testing.T) {
	r.Make(t, "stable")
	r.Make(t, "canary")
}

func (r Router) shift(t *testing.T, s traffic.Split) {
	t.Helper()
	if err := r.Shift(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func (r Router) one(t *testing.T) traffic.Observation {
	t.Helper()
	list, err := r.Observe(t.Context(), "shop", "production")
	if err != nil || len(list) != 1 {
		t.Fatalf("observed %+v, %v; want one route", list, err)
	}
	return list[0]
}

func (r Router) until(t *testing.T, what string, ok func(traffic.Observation) bool) traffic.Observation {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for {
		o := r.one(t)
		if ok(o) {
			return o
		}
		if clock.Sleep(ctx, clock.Wall(), 10*time.Millisecond) != nil {
			t.Fatalf("not %s within %s: %+v", what, patience, o)
		}
	}
}

// expect checks shares in percent, to within five standard deviations.
func (r Router) expect(t *testing.T, host, path string, percent map[string]float64) {
	t.Helper()
	const n = 1000
	got := r.Send(t, host, path, n)
	sum := 0.0
	for revision, p := range percent {
		want := p / 100 * n
		slack := 5 * math.Sqrt(want*(1-p/100))
		if math.Abs(float64(got[revision])-want) > slack {
			t.Errorf("%s%s: %d of %d requests reached %q, want %.0f ± %.0f", host, path, got[revision], n, revision, want, slack)
		}
		sum += p
	}
	for revision, k := range got {
		if _, expected := percent[revision]; !expected {
			t.Errorf("%s%s: %d requests reached %q, want none", host, path, k, revision)
		}
	}
}

func shares(t *testing.T, r Router) {
	r.both(t)
	for _, canary := range []int{0, 1000, 5000, traffic.Whole} {
		r.shift(t, split(canary))
		want := map[string]float64{"stable": 100 - float64(canary)/100, "canary": float64(canary) / 100}
		r.expect(t, "any.example", "/", want)
		o := r.one(t)
		if fmt.Sprint(o.Effective) != fmt.Sprint(split(canary).Shares) || o.Lapsed || !o.LeaseEnds.IsZero() {
			t.Errorf("observed %+v", o)
		}
	}
}

func shifts(t *testing.T, r Router) {
	r.both(t)
	for i := range 10 {
		canary := i % 2 * traffic.Whole
		r.shift(t, split(canary))
		want := "stable"
		if canary > 0 {
			want = "canary"
		}
		if got := r.Send(t, "x", "/", 20); got[want] != 20 {
			t.Fatalf("shift %d: %v, want all at %s at once", i, got, want)
		}
	}
}

func places(t *testing.T, r Router) {
	r.both(t)
	s := split(0)
	s.Host, s.PathPrefix = "shop.example", "/api"
	r.shift(t, s)
	for _, c := range []struct {
		host, path, want string
	}{
		{"shop.example", "/api", "stable"}, {"shop.example", "/api/orders", "stable"}, {"SHOP.example", "/api/", "stable"},
		{"shop.example", "/apis", ""}, {"shop.example", "/", ""}, {"other.example", "/api", ""},
	} {
		if got := r.Send(t, c.host, c.path, 1); got[c.want] != 1 {
			t.Errorf("%s%s: %v, want %q", c.host, c.path, got, c.want)
		}
	}
}

func lapses(t *testing.T, r Router) {
	r.both(t)
	s := split(5000)
	s.Lease = 500 * time.Millisecond
	r.shift(t, s)
	if o := r.one(t); o.LeaseEnds.IsZero() {
		t.Errorf("observed %+v, want an end of the lease", o)
	}
	o := r.until(t, "lapsed", func(o traffic.Observation) bool { return o.Lapsed })
	if o.LapsedAt.IsZero() || fmt.Sprint(o.Effective) != "[{stable 10000}]" || fmt.Sprint(o.Shares) != fmt.Sprint(s.Shares) {
		t.Errorf("observed %+v, want everything on stable and what was asked for", o)
	}
	r.expect(t, "x", "/", map[string]float64{"stable": 100})
	if err := r.Refresh(t.Context(), "shop", "production"); problem.KindOf(err) != problem.Conflict {
		t.Errorf("refreshing a lapsed lease: %v, want conflict", err)
	}
}

func holds(t *testing.T, r Router) {
	r.both(t)
	s := split(5000)
	s.Lease = time.Second
	r.shift(t, s)
	began := clock.Wall().Now()
	for clock.Wall().Now().Sub(began) < 3*s.Lease {
		if err := r.Refresh(t.Context(), "shop", "production"); err != nil {
			t.Fatal(err)
		}
		if err := clock.Sleep(t.Context(), clock.Wall(), s.Lease/10); err != nil {
			t.Fatal(err)
		}
	}
	if o := r.one(t); o.Lapsed {
		t.Errorf("lapsed at %s although refreshed", o.LapsedAt)
	}
	r.shift(t, split(0))
	if err := r.Refresh(t.Context(), "shop", "production"); err != nil {
		t.Errorf("refreshing without a lease: %v", err)
	}
	if err := r.Refresh(t.Context(), "no", "route"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("refreshing no route: %v, want notfound", err)
	}
}

// What is written about something else must not keep a canary alive.
func renewsNothing(t *testing.T, r Router) {
	r.both(t)
	s := split(5000)
	s.Lease = time.Minute
	r.shift(t, s)
	ends := r.one(t).LeaseEnds
	r.Make(t, "third")
	if got := r.one(t).LeaseEnds; !got.Equal(ends) {
		t.Errorf("another revision moved the end of the lease from %s to %s", ends, got)
	}
}

func renews(t *testing.T, r Router) {
	r.both(t)
	s := split(5000)
	s.Lease = time.Minute
	r.shift(t, s)
	before := r.one(t)
	r.shift(t, s)
	if after := r.one(t); !after.LeaseEnds.After(before.LeaseEnds) {
		t.Errorf("lease ends at %s, then %s", before.LeaseEnds, after.LeaseEnds)
	}
}

func revives(t *testing.T, r Router) {
	r.both(t)
	s := split(5000)
	s.Lease = 200 * time.Millisecond
	r.shift(t, s)
	r.until(t, "lapsed", func(o traffic.Observation) bool { return o.Lapsed })
	r.shift(t, s) // the same one: a decision all the same
	r.until(t, "lapsed again", func(o traffic.Observation) bool { return o.Lapsed })
	s.Lease = time.Minute
	r.shift(t, s)
	if o := r.one(t); o.Lapsed || !o.LapsedAt.IsZero() {
		t.Errorf("observed %+v after a new shift", o)
	}
	r.expect(t, "x", "/", map[string]float64{"stable": 50, "canary": 50})
}

func removes(t *testing.T, r Router) {
	r.both(t)
	r.shift(t, split(0))
	for range 2 {
		if err := r.Remove(t.Context(), "shop", "production"); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Send(t, "x", "/", 3); got[""] != 3 {
		t.Errorf("without a route: %v", got)
	}
	if list, err := r.Observe(t.Context(), "", ""); err != nil || len(list) != 0 {
		t.Errorf("observed %+v, %v", list, err)
	}
}

func lists(t *testing.T, r Router) {
	r.both(t)
	r.shift(t, split(0))
	for _, c := range []struct {
		service, environment string
		want                 int
	}{{"", "", 1}, {"shop", "", 1}, {"", "production", 1}, {"shop", "staging", 0}, {"cart", "", 0}} {
		list, err := r.Observe(t.Context(), c.service, c.environment)
		if err != nil || len(list) != c.want {
			t.Errorf("%q/%q: %d routes, %v; want %d", c.service, c.environment, len(list), err, c.want)
		}
	}
}

func refuses(t *testing.T, r Router) {
	r.both(t)
	r.shift(t, split(0))
	for name, spoil := range map[string]func(*traffic.Split){
		"weights":            func(s *traffic.Split) { s.Shares[0].Weight = 1 },
		"negative":           func(s *traffic.Split) { s.Shares[0].Weight, s.Shares[1].Weight = -1, traffic.Whole+1 },
		"twice":              func(s *traffic.Split) { s.Shares[1].Revision = "stable" },
		"no stable":          func(s *traffic.Split) { s.Stable = "other" },
		"unknown revision":   func(s *traffic.Split) { s.Shares[1] = traffic.Share{Revision: "unknown", Weight: s.Shares[1].Weight} },
		"host with port":     func(s *traffic.Split) { s.Host = "a:80" },
		"relative path":      func(s *traffic.Split) { s.PathPrefix = "api" },
		"limit over timeout": func(s *traffic.Split) { s.Timeout, s.Limit = time.Second, time.Minute },
		"threshold order":    func(s *traffic.Split) { s.Thresholds = []time.Duration{2, 1} },
	} {
		s := split(3000)
		spoil(&s)
		if err := r.Shift(t.Context(), s); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if o := r.one(t); fmt.Sprint(o.Effective) != fmt.Sprint(split(0).Shares) {
		t.Errorf("a refused shift changed the split to %+v", o.Effective)
	}
}

func keepsStable(t *testing.T, r Router) {
	r.both(t)
	s := split(traffic.Whole)
	s.Lease = 300 * time.Millisecond
	if !r.Capabilities().Leases {
		s.Lease = 0
	}
	r.shift(t, s)
	if s.Lease > 0 {
		r.until(t, "lapsed", func(o traffic.Observation) bool { return o.Lapsed })
		r.expect(t, "x", "/", map[string]float64{"stable": 100})
	}
}
