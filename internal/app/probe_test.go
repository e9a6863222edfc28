package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	prober "github.com/flyball-dev/flyball/internal/adapter/probe"
	"github.com/flyball-dev/flyball/internal/feedback/probe"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

const probed = good + `---
apiVersion: flyball.dev/v1
kind: Probe
metadata: {name: home}
spec:
  service: checkout
  environment: prod
  interval: 30s
  http: {url: "SERVER"}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: home}
spec:
  service: checkout
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    metadata: {name: home}
    spec:
      ratioMetric:
        good:  {metricSource: {type: probe, spec: {probe: home}}}
        total: {metricSource: {type: probe, spec: {probe: home}}}
  objectives: [{displayName: home, target: 0.99}]
`

// probing is an app whose only traffic is a probe of a real server.
type probing struct {
	*App
	t      *testing.T
	clock  *clock.Virtual
	broken *atomic.Bool
}

func startProbing(t *testing.T) *probing {
	t.Helper()
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(server.Close)
	clk := clock.NewVirtual(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	st := memory.New(memory.Options{Clock: clk})
	// The answers are timed by the wall, when they are asked for by the virtual clock.
	a, err := New(Config{Clock: clk, Logger: slog.New(slog.DiscardHandler)}, Ports{Store: st, Prober: prober.New(clock.Wall())})
	if err != nil {
		t.Fatal(err)
	}
	a.stepped = true
	ctx := context.Background()
	if err := a.lead(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(ctx, "user:ana", "flyball", "c1", map[string][]byte{"flyball/all.yaml": []byte(strings.Replace(probed, "SERVER", server.URL, 1))}); err != nil {
		t.Fatal(err)
	}
	if err := a.sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.watcher.Declare(ctx, clk.Now()); err != nil {
		t.Fatal(err)
	}
	if err := a.parts.probes.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	return &probing{a, t, clk, &broken}
}

// after lets a time pass and waits until the probes that are due have run.
func (p *probing) after(d time.Duration, runs int) {
	p.t.Helper()
	p.clock.Advance(d)
	p.watcher.Tick(p.clock.Now())
	for range 1500 {
		if err := p.parts.probes.Tend(context.Background()); err != nil {
			p.t.Fatal(err)
		}
		if len(p.show().Runs) == runs {
			if err := p.parts.probes.Tend(context.Background()); err != nil { // what ended since is kept
				p.t.Fatal(err)
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Fatalf("after 30 s there are not %d runs but %d", runs, len(p.show().Runs))
}

func (p *probing) show() probe.Detail {
	p.t.Helper()
	out, err := byName(p.Operations, "probe.show").Call(context.Background(), operation.Caller{Name: "ana", Grants: []operation.Grant{{Role: operation.Viewer}}}, &probe.ShowInput{Probe: "home"})
	if err != nil {
		p.t.Fatal(err)
	}
	return out.(probe.Detail)
}

// Each run of a probe is one good or bad event of the objective that is about
// it; time in which nothing ran is a gap.
func TestProbesFeedObjectives(t *testing.T) {
	p := startProbing(t)
	p.after(5*time.Second, 1) // the first run is within five seconds
	p.after(30*time.Second, 2)
	p.broken.Store(true)
	p.after(30*time.Second, 3)
	p.broken.Store(false)
	p.after(time.Hour, 4) // a server that was down catches up with nothing
	d := p.show()
	if d.State != "good" || d.Day != (probe.Tally{Runs: 4, Bad: 1}) || d.Runs[1].State != "bad" || d.Runs[1].Reason != "the answer is 502 Bad Gateway" {
		t.Errorf("the probe is %+v", d)
	}
	s, err := p.watcher.Snapshot("checkout.prod.home")
	if err != nil {
		t.Fatal(err)
	}
	if s.Total != 4 || s.Total-s.Good != 1 {
		t.Errorf("the objective counts %v bad of %v, want 1 of 4", s.Total-s.Good, s.Total)
	}
}

// A probe can be run by hand, by who may, and that is not counted.
func TestProbeByHand(t *testing.T) {
	p := startProbing(t)
	run := byName(p.Operations, "probe.run")
	viewer := operation.Caller{Name: "eve", Grants: []operation.Grant{{Role: operation.Viewer}}}
	if _, err := run.Call(context.Background(), viewer, &probe.ShowInput{Probe: "home"}); err == nil {
		t.Error("a viewer runs a probe")
	}
	owner := operation.Caller{Name: "ana", Grants: []operation.Grant{{Role: operation.Developer, Team: "payments"}}}
	out, err := run.Call(context.Background(), owner, &probe.ShowInput{Probe: "home"})
	if err != nil || out.(probe.Run).State != "good" || out.(probe.Run).Answer != "200 OK" {
		t.Errorf("got %+v, %v", out, err)
	}
	if d := p.show(); d.Month != (probe.Tally{}) || d.State != "new" {
		t.Errorf("a run by hand was counted: %+v", d)
	}
}
