package slo

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// house is a store with one service in two environments, and a watcher.
type house struct {
	*Watcher
	t      *testing.T
	clock  *clock.Virtual
	store  *memory.Store
	runner *projection.Runner
	woken  map[string]int
}

func newHouse(t *testing.T, now time.Time) *house {
	t.Helper()
	h := &house{t: t, clock: clock.NewVirtual(now), woken: map[string]int{}}
	h.store = memory.New(memory.Options{Clock: h.clock})
	t.Cleanup(func() { h.store.Close() })
	h.runner = projection.NewRunner(h.store.Log(), h.store.States(), Projection(), catalog.Projection())
	h.restart()
	h.apply(catalog.KindService, "checkout", catalog.ServiceSpec{Team: "payments", Run: "x"})
	h.apply(catalog.KindEnvironment, "staging", catalog.EnvironmentSpec{})
	h.apply(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{After: "staging"})
	return h
}

// restart is a server that was killed and begins again.
func (h *house) restart() {
	h.t.Helper()
	engine, err := NewEngine(time.Minute, h.clock.Now())
	h.ok(err)
	h.Watcher = NewWatcher(engine, Setup{
		Reader: h.store.States(), Slots: NewSlots(h.store.Blobs()), Wake: func(key string) { h.woken[key]++ },
		Minutes: func(context.Context, string, string, time.Time, time.Time, func(time.Time, int64, int64, map[int64]int64)) error {
			return nil
		},
	})
	h.declare()
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) declare() {
	h.t.Helper()
	h.ok(h.runner.CatchUp(h.t.Context()))
	h.ok(h.Declare(h.t.Context(), h.clock.Now()))
}

func (h *house) apply(kind, name string, spec any) {
	h.t.Helper()
	b, err := json.Marshal(spec)
	h.ok(err)
	h.applied(resource.Applied{APIVersion: resource.APIVersion, Kind: kind, Metadata: resource.Metadata{Name: name}, Spec: b})
}

func (h *house) applied(a resource.Applied) {
	h.t.Helper()
	_, err := h.store.Log().Append(h.t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{
		{Type: resource.EventApplied, Subject: resource.Key(a.Kind, a.Metadata.Name), Actor: "user:ana", Data: a}}})
	h.ok(err)
}

// slo applies an OpenSLO document.
func (h *house) slo(name, text string) {
	h.t.Helper()
	b, err := json.Marshal(resource.Document{Line: 1})
	h.ok(err)
	h.applied(resource.Applied{APIVersion: "openslo/v1", Kind: "SLO", Metadata: resource.Metadata{Name: name}, Spec: b, Text: text, File: name + ".yaml"})
	h.declare()
}

// queried is an objective on counters in Prometheus.
func queried(name, service, target, window, annotations, query string) string {
	return fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata:
  name: %s
  annotations: {flyball.dev/events-per-day: "1440000"%s}
spec:
  service: %s
  budgetingMethod: Occurrences
  timeWindow: [{duration: %s, isRolling: true}]
  indicator:
    metadata: {name: answered}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: prometheus, spec: {query: 'good%s'}}}
        total: {metricSource: {type: prometheus, spec: {query: 'total%s'}}}
  objectives: [{target: %s}]
`, name, annotations, service, window, query, query, target)
}

// fed is the one indicator that has to be fed.
func (h *house) fed() Fed {
	h.t.Helper()
	fed, err := h.Indicators(h.t.Context())
	h.ok(err)
	if len(fed) != 1 {
		h.t.Fatalf("%d indicators want to be fed, want 1", len(fed))
	}
	return fed[0]
}

func (h *house) shown(key string) Snapshot {
	h.t.Helper()
	s, err := h.Snapshot(key)
	h.ok(err)
	return s
}

// pass moves time.
func (h *house) pass(d time.Duration) {
	h.clock.Advance(d)
	h.Tick(h.clock.Now())
}

func TestRecordCountsForEveryObjective(t *testing.T) {
	h := newHouse(t, march)
	h.slo("answers", queried("answers", "checkout", "0.99", "30d", "", ""))
	h.slo("week", queried("week", "checkout", "0.999", "7d", "", ""))
	h.slo("beside", queried("beside", "elsewhere", "0.9", "7d", "", ""))
	f := h.fed()
	if len(f.Objectives) != 3 || !f.From.Equal(march.Add(-30*day)) || !f.Until.IsZero() {
		t.Fatalf("fed %+v", f)
	}
	keys := []string{"checkout.prod.answers", "checkout.prod.week", "elsewhere.prod.beside"}
	h.pass(time.Hour)
	record := func(at time.Time, good, total int64) {
		t.Helper()
		h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: []Counted{{Slots: []Slot{{at, good, total}}}}, Until: at.Add(time.Minute)}))
	}
	record(march, 90, 100)
	record(march, 95, 100) // read again, and corrected
	record(march.Add(-6*day), 100, 100)
	for _, restarted := range []bool{false, true} {
		if restarted {
			h.restart()
		}
		for _, key := range keys {
			if s := h.shown(key); s.Good != 195 || s.Total != 200 || s.Known != 2 {
				t.Errorf("%s has %v of %v in %d slots, restarted %v", key, s.Good, s.Total, s.Known, restarted)
			}
		}
	}
	if f := h.fed(); !f.Until.Equal(march.Add(-6*day + time.Minute)) {
		t.Errorf("watermark %v", f.Until)
	}
	// Another target and window: nothing is lost, and nothing has to be read again.
	h.slo("answers", queried("answers", "checkout", "0.5", "90d", "", ""))
	if s := h.shown(keys[0]); s.Total != 200 || s.Objective.Target.String() != "0.5" || h.fed().Until.IsZero() {
		t.Errorf("after a change of the target: %v events", s.Total)
	}
	// Another query: what was counted is of something else.
	h.slo("answers", queried("answers", "checkout", "0.5", "90d", "", "{code=~\"5..\"}"))
	if s := h.shown(keys[0]); s.Total != 0 {
		t.Errorf("after a change of the query: %v events", s.Total)
	}
	err := h.Record(t.Context(), Recording{Indicator: "nobody's", Counts: []Counted{{Slots: []Slot{{march, 1, 1}}}}})
	if problem.KindOf(err) != problem.NotFound {
		t.Errorf("an indicator of nobody: %v", err)
	}
}

func TestGroupsAddUpAndOverflow(t *testing.T) {
	h := newHouse(t, march.Add(time.Hour))
	h.slo("answers", queried("answers", "checkout", "0.9", "30d", `, flyball.dev/group-by: "route, method", flyball.dev/max-groups: "2"`, ""))
	f := h.fed()
	var counts []Counted
	for i := range 5 {
		counts = append(counts, Counted{Labels: map[string]string{"route": fmt.Sprint("/", i), "method": "GET"}, Slots: []Slot{{march, int64(i), 10}}})
	}
	h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: counts}))
	h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: counts})) // again
	for _, restarted := range []bool{false, true} {
		if restarted {
			h.restart()
		}
		if s := h.shown("checkout.prod.answers"); s.Good != 10 || s.Total != 50 || s.Known != 1 {
			t.Errorf("the whole has %v of %v in %d slots", s.Good, s.Total, s.Known)
		}
		for group, good := range map[string]float64{"route=/0,method=GET": 0, "route=/1,method=GET": 1, "(other)": 9} {
			if s := h.shown("checkout.prod.answers{" + group + "}"); s.Good != good {
				t.Errorf("%s has %v good", group, s.Good)
			}
		}
	}
	// A group that is not read again is gone from that minute.
	h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: counts[:1]}))
	if s := h.shown("checkout.prod.answers"); s.Good != 0 || s.Total != 10 {
		t.Errorf("the whole has %v of %v", s.Good, s.Total)
	}
}
