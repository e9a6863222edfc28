package alert_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/store"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// house is an intake over a real SQLite file.
type house struct {
	*alert.Intake
	t     *testing.T
	clock *clock.Virtual
	store store.Store
	path  string
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, clock: clock.NewVirtual(noon), path: filepath.Join(t.TempDir(), "flyball.db")}
	h.open()
	t.Cleanup(func() { h.store.Close() })
	for kind, specs := range map[string]map[string]any{
		catalog.KindService:     {"checkout": catalog.ServiceSpec{Team: "payments", Run: "x"}},
		catalog.KindEnvironment: {"prod": catalog.EnvironmentSpec{Delivery: "automatic"}},
	} {
		for name, spec := range specs {
			b, err := json.Marshal(spec)
			h.ok(err)
			_, err = h.Log.Append(t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{{
				Type: resource.EventApplied, Subject: resource.Key(kind, name), Actor: "user:ana",
				Data: resource.Applied{APIVersion: resource.APIVersion, Kind: kind, Metadata: resource.Metadata{Name: name}, Spec: b, Commit: "c0ffee"}}}})
			h.ok(err)
		}
	}
	h.ok(h.Load(t.Context()))
	return h
}

// open is what a server does when it starts.
func (h *house) open() {
	s, err := sqlite.Open(h.t.Context(), h.path, sqlite.Options{Clock: h.clock})
	h.ok(err)
	h.store = s
	runner := projection.NewRunner(s.Log(), s.States(), append(alert.Projections(), catalog.Projection(), maintenance.Projection())...)
	h.Intake = &alert.Intake{Log: s.Log(), Reader: s.States(), Clock: h.clock, Sync: runner.CatchUp}
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// take reports, and says what was recorded for it.
func (h *house) take(reports ...alert.Report) string {
	h.t.Helper()
	before, err := h.Log.Head(h.t.Context())
	h.ok(err)
	_, err = h.Take(h.t.Context(), prometheus, reports)
	h.ok(err)
	return h.since(before.Position)
}

func (h *house) tend() string {
	h.t.Helper()
	before, err := h.Log.Head(h.t.Context())
	h.ok(err)
	h.ok(h.Tend(h.t.Context()))
	return h.since(before.Position)
}

func (h *house) since(position int64) string {
	h.t.Helper()
	events, err := h.Log.Read(h.t.Context(), event.Query{After: position, Types: []string{"alert."}})
	h.ok(err)
	var out []string
	for _, e := range events {
		f, err := event.Decode[alert.Fired](e)
		h.ok(err)
		out = append(out, fmt.Sprintf("%s %s %s.%s %s", strings.TrimPrefix(e.Type, "alert."), f.Severity, f.Service, f.Environment, f.Explanation))
	}
	return strings.Join(out, "; ")
}

func (h *house) equal(what, got, want string) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

var prometheus = alert.Integration{Name: "prometheus", Team: "platform"}

func slow(ends time.Time) alert.Report {
	return alert.Report{Labels: map[string]string{"alertname": "Slow", "service": "checkout", "severity": "critical"},
		Annotations: map[string]string{"summary": "checkout is slow"}, StartsAt: noon, EndsAt: ends}
}

func resolved() alert.Report {
	r := slow(time.Time{})
	r.Act = alert.Resolve
	return r
}

func TestAnAlertIsToldOnce(t *testing.T) {
	h := newHouse(t)
	h.equal("first", h.take(slow(noon.Add(4*time.Minute))), "fired page checkout.prod checkout is slow")
	h.clock.Advance(time.Minute)
	h.equal("again", h.take(slow(noon.Add(5*time.Minute))), "")
	h.clock.Advance(3*time.Minute + 30*time.Second)
	h.equal("still said", h.tend(), "")
	h.equal("over", h.take(resolved()), "resolved page checkout.prod checkout is slow")
	h.equal("over twice", h.take(resolved()), "")
	h.equal("back", h.take(slow(noon.Add(9*time.Minute))), "fired page checkout.prod checkout is slow")
}

func TestAnAlertThatIsNotRepeatedEnds(t *testing.T) {
	h := newHouse(t)
	h.take(slow(noon.Add(4 * time.Minute)))
	h.clock.Advance(4*time.Minute - time.Second)
	h.equal("before its end", h.tend(), "")
	h.clock.Advance(time.Second)
	h.equal("at its end", h.tend(), "resolved page checkout.prod checkout is slow")
	h.equal("once", h.tend(), "")
}

// What a server knew before it stopped still fires after, with time for its
// sender to say so again.
func TestARestartResolvesNothing(t *testing.T) {
	h := newHouse(t)
	h.take(slow(noon.Add(4 * time.Minute)))
	h.ok(h.store.Close())
	h.clock.Advance(time.Hour)
	h.open()
	if _, err := h.Take(t.Context(), prometheus, []alert.Report{slow(noon)}); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("before it is loaded, the intake says %v; want unavailable", err)
	}
	h.ok(h.Load(t.Context()))
	h.equal("just started", h.tend(), "")
	h.equal("said again", h.take(slow(h.clock.Now().Add(4*time.Minute))), "")
	h.clock.Advance(alert.ResolveTimeout)
	h.equal("not said again", h.tend(), "resolved page checkout.prod checkout is slow")
}

func TestASilenceHoldsBackAndThenPages(t *testing.T) {
	h := newHouse(t)
	m, err := alert.ParseMatcher(`alertname=~"Sl.*"`)
	h.ok(err)
	_, err = h.Silence(t.Context(), "user:ana", alert.Silence{Matchers: []alert.Matcher{m}, StartsAt: noon, EndsAt: noon.Add(10 * time.Minute), Comment: "moving disks"})
	h.ok(err)
	h.equal("silenced", h.take(slow(noon.Add(time.Hour))), "fired none checkout.prod checkout is slow")
	h.clock.Advance(9 * time.Minute)
	h.equal("still", h.tend(), "")
	h.ok(h.store.Close()) // a silence outlives the server
	h.open()
	h.ok(h.Load(t.Context()))
	h.equal("still, after a restart", h.tend(), "")
	h.clock.Advance(time.Minute)
	h.equal("the silence is over", h.tend(), "fired page checkout.prod checkout is slow")
}

func TestAHeartbeatThatIsMissing(t *testing.T) {
	h := newHouse(t)
	created := h.call("integration", "create", &alert.CreateInput{Integration: "backup", Team: "platform", Heartbeat: "1h"}).(alert.CreatedIntegration)
	in, err := h.Authenticate(t.Context(), created.Key)
	h.ok(err)
	h.clock.Advance(50 * time.Minute)
	h.ok(h.Beat(t.Context(), in))
	h.clock.Advance(59 * time.Minute)
	h.equal("in time", h.tend(), "")
	h.clock.Advance(time.Minute)
	h.equal("silent", h.tend(), "fired page backup.prod heartbeat backup has been silent since 2026-11-02T12:50:00Z")
	h.equal("once", h.tend(), "")
	before, _ := h.Log.Head(t.Context())
	h.ok(h.Beat(t.Context(), in))
	h.equal("back", h.since(before.Position), "resolved page backup.prod heartbeat backup has been silent since 2026-11-02T12:50:00Z")
	if _, err := h.Authenticate(t.Context(), created.Key[:31]+"x"); problem.KindOf(err) != problem.Denied {
		t.Errorf("a wrong key gives %v", err)
	}
	h.call("integration", "revoke", &alert.RevokeInput{Integration: "backup", Reason: "gone"})
	if _, err := h.Authenticate(t.Context(), created.Key); problem.KindOf(err) != problem.Denied {
		t.Errorf("a revoked key gives %v", err)
	}
}

// Many senders at once: each alert is recorded once, and one that resolves in
// the same request as it fires does both.
func TestConcurrentSenders(t *testing.T) {
	h := newHouse(t)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			var reports []alert.Report
			for n := range 50 {
				reports = append(reports, alert.Report{Labels: map[string]string{"alertname": fmt.Sprint("A", n)}, StartsAt: noon})
			}
			if _, err := h.Take(t.Context(), prometheus, reports); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(h.since(0), "fired"); n != 50 {
		t.Errorf("%d alerts were recorded, want 50", n)
	}
	h.equal("both", h.take(slow(time.Time{}), resolved()), "fired page checkout.prod checkout is slow; resolved page checkout.prod checkout is slow")
}

// The same key from two integrations is two alerts.
func TestIntegrationsDoNotMix(t *testing.T) {
	h := newHouse(t)
	r := alert.Report{Key: "disk", Summary: "disk full"}
	for _, name := range []string{"a", "b"} {
		taken, err := h.Take(t.Context(), alert.Integration{Name: name}, []alert.Report{r})
		h.ok(err)
		if taken.Fired != 1 {
			t.Errorf("%s: %+v, want one fired", name, taken)
		}
	}
	if n := len(h.Firing()); n != 2 {
		t.Errorf("%d alerts fire, want 2", n)
	}
}

// A report that cannot be recorded is new again when it is sent again.
func TestAFailureLosesNothing(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Take(ctx, prometheus, []alert.Report{{Key: "x", Labels: map[string]string{"alertname": "X"}}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that it was cancelled", err)
	}
	if n := len(h.Firing()); n != 0 {
		t.Errorf("%d alerts fire although none was recorded", n)
	}
	h.equal("again", h.take(alert.Report{Key: "x", Labels: map[string]string{"alertname": "X"}}), "fired page prometheus.prod X")
}

func (h *house) call(noun, verb string, in any) any {
	h.t.Helper()
	for _, op := range h.Operations() {
		if op.Noun == noun && op.Verb == verb {
			out, err := op.Call(h.t.Context(), admin, in)
			h.ok(err)
			return out
		}
	}
	h.t.Fatalf("there is no operation %s %s", noun, verb)
	return nil
}
