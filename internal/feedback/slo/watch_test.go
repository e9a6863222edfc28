package slo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// house is a store with one service in two environments, and a watcher.
type house struct {
	*Watcher
	t      testing.TB
	clock  *clock.Virtual
	store  *memory.Store
	runner *projection.Runner
	woken  map[string]int
}

func newHouse(t testing.TB, now time.Time) *house {
	t.Helper()
	h := &house{t: t, clock: clock.NewVirtual(now), woken: map[string]int{}}
	h.store = memory.New(memory.Options{Clock: h.clock})
	t.Cleanup(func() { h.store.Close() })
	h.runner = projection.NewRunner(h.store.Log(), h.store.States(), Projection(), AdjustmentProjection(), catalog.Projection())
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
		Reader: h.store.States(), Slots: NewSlots(h.store.Blobs()),
		Log: h.store.Log(), Sync: h.runner.CatchUp, Clock: h.clock, Wake: func(key string) { h.woken[key]++ },
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

// call calls an operation.
func (h *house) call(name string, input map[string]any) (any, error) {
	h.t.Helper()
	for _, o := range h.Operations() {
		if o.Name() == name {
			in := o.NewInput()
			b, err := json.Marshal(input)
			h.ok(err)
			h.ok(json.Unmarshal(b, in))
			return o.Call(h.t.Context(), operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Operator}}}, in)
		}
	}
	h.t.Fatalf("there is no operation %s", name)
	return nil, nil
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
	if len(f.Objectives) != 3 || !f.From.Equal(march.Add(-30*day-2*time.Hour)) || !f.Until.IsZero() {
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
	detail, err := h.call("slo.show", map[string]any{"objective": "checkout.prod.answers"})
	h.ok(err)
	if text := detail.(Detail).Tell(); strings.Count(text, "\n  group ") != 3 || !strings.Contains(text, "{(other)}") {
		t.Errorf("show does not have its groups:\n%s", text)
	}
	page, err := h.call("slo.list", map[string]any{"of": "checkout.prod.answers", "sort": "burn", "limit": 2})
	h.ok(err)
	if rows := page.(Rows); len(rows.Items) != 2 || rows.Next == "" || rows.Items[0].Objective != "checkout.prod.answers{route=/0,method=GET}" || rows.Items[0].Team != "payments" {
		t.Errorf("groups listed: %+v", rows)
	}
	// A group that is not read again is gone from that minute.
	h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: counts[:1]}))
	if s := h.shown("checkout.prod.answers"); s.Good != 0 || s.Total != 10 {
		t.Errorf("the whole has %v of %v", s.Good, s.Total)
	}
}

func TestExclusionsAndCorrections(t *testing.T) {
	h := newHouse(t, march)
	key := "checkout.prod.answers"
	h.slo("answers", queried("answers", "checkout", "0.99", "30d", "", ""))
	h.apply(catalog.KindService, "checkout", catalog.ServiceSpec{Team: "payments", Run: "x", Objectives: catalog.Objectives{Availability: 99, Window: 30 * day}})
	h.declare()
	f := h.fed()
	minute := func(i int) time.Time { return march.Add(time.Duration(i) * time.Minute) }
	count := func(i int) {
		t.Helper()
		h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: []Counted{{Slots: []Slot{{minute(i), 90, 100}}}}}))
		h.ok(h.Feed(t.Context(), func() error { return h.Count("checkout", "prod", minute(i), 100, 10, nil) }))
	}
	for i := range 60 {
		h.pass(time.Minute)
		count(i)
	}
	at := func(i int) string { return minute(i).Format(time.RFC3339) }
	call := func(name string, input map[string]any) AdjustmentPage {
		t.Helper()
		input["objective"], input["reason"] = key, "it was announced"
		out, err := h.call(name, input)
		h.ok(err)
		return out.(AdjustmentPage)
	}
	want := func(bad, total, raw float64) {
		t.Helper()
		for _, restarted := range []bool{false, true} {
			if restarted {
				h.restart()
			}
			s := h.shown(key)
			rawBad := s.Total - s.Good
			if s.Raw != nil {
				rawBad = s.Raw.Total - s.Raw.Good
			}
			if s.Total-s.Good != bad || s.Total != total || rawBad != raw {
				t.Errorf("%v bad of %v, raw %v; want %v of %v, raw %v; restarted %v", s.Total-s.Good, s.Total, rawBad, bad, total, raw, restarted)
			}
		}
	}
	want(600, 6000, 600)
	out := call("slo.exclude", map[string]any{"from": at(10), "to": at(20)})
	if len(out.Items) != 1 || out.Items[0].BadRemoved != 100 || out.Items[0].Author != "user:ana" {
		t.Errorf("excluded: %+v", out)
	}
	want(500, 5000, 600)
	call("slo.correct", map[string]any{"from": at(15), "to": at(31), "bad": 35})
	want(465, 5000, 600)
	// Maintenance that goes on: what comes in does not count, late as it may be.
	ahead := call("slo.exclude", map[string]any{"from": at(60), "to": at(70)})
	for i := 60; i < 75; i++ {
		h.pass(time.Minute)
		count(i)
	}
	want(515, 5500, 750)
	h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: []Counted{{Slots: []Slot{{minute(20), 0, 100}, {minute(62), 0, 100}}}}}))
	want(515+90, 5500, 750+180) // minute 20 is under the correction, which has had its 35
	detail, err := h.call("slo.show", map[string]any{"objective": key})
	h.ok(err)
	if text := detail.(Detail).Tell(); !strings.Contains(text, "by user:ana: it was announced") || !strings.Contains(text, "930 of") {
		t.Errorf("show does not say what was left out:\n%s", text)
	}
	call("slo.lift", map[string]any{"adjustment": ahead.Items[0].ID})
	if _, err := h.call("slo.lift", map[string]any{"objective": key, "adjustment": ahead.Items[0].ID, "reason": "x"}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("lifted twice: %v", err)
	}
	want(605+100+90, 6500, 930)
	for name, input := range map[string]map[string]any{
		"backwards": {"from": at(20), "to": at(10), "reason": "x"},
		"no reason": {"from": at(10), "to": at(20), "reason": " "},
		"not yet":   {"from": at(10), "to": at(1000), "reason": "x", "bad": 1},
		"years":     {"from": at(-1000000), "to": at(20), "reason": "x"},
		"negative":  {"from": at(10), "to": at(20), "reason": "x", "bad": -1},
	} {
		input["objective"] = key
		if _, err := h.call("slo.correct", input); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// All objectives of a place at once; the proxy's too.
	page, err := h.call("slo.exclude", map[string]any{"objective": "checkout.prod", "from": at(0), "to": at(75), "reason": "a drill"})
	h.ok(err)
	if n := len(page.(AdjustmentPage).Items); n != 2 {
		t.Errorf("%d objectives excluded, want 2", n)
	}
	want(0, 0, 930)
}

func TestAgreementHasAMargin(t *testing.T) {
	h := newHouse(t, march)
	h.apply(catalog.KindService, "checkout", catalog.ServiceSpec{Team: "payments", Run: "x",
		Objectives: catalog.Objectives{Availability: 99.9, SLA: 99.5, Window: 30 * day}})
	h.declare()
	count := func(bad int64) {
		t.Helper()
		h.pass(time.Minute)
		h.ok(h.Feed(t.Context(), func() error { return h.Count("checkout", "prod", h.clock.Now().Add(-time.Minute), 1000, bad, nil) }))
	}
	for range 100 {
		count(2)
	}
	a := h.shown("checkout.prod.availability").Agreement
	// 43,200 minutes of 1,000: the objective allows 43,200, the SLA 216,000.
	if a.Margin.String() != "172800" || a.Left.String() != "215800" || a.Broken || a.Breaks != "" {
		t.Errorf("agreement: %+v", a)
	}
	for range 400 {
		count(1000)
	}
	if a := h.shown("checkout.prod.availability").Agreement; !a.Broken || a.Breaks == "" || !strings.Contains(a.String(), "broken since") {
		t.Errorf("agreement: %s", a)
	}
}

// A server's clock that runs backwards is said where the numbers are, until it
// is where it was.
func TestClockBackwardsIsSaid(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := newHouse(t, now)
	h.slo("answered", queried("answered", "checkout", "0.999", "30d", "", "sum(rate(requests_total[5m]))"))
	said := func() string {
		t.Helper()
		d, err := h.show(t.Context(), "checkout.prod.answered")
		h.ok(err)
		if len(d.Findings) == 0 {
			return ""
		}
		if !strings.Contains(d.Tell(), d.Findings[0].Message) {
			t.Errorf("not told:\n%s", d.Tell())
		}
		return d.Findings[0].Code
	}
	for _, step := range []struct {
		to   time.Time
		want string
	}{{now.Add(time.Hour), ""}, {now.Add(59 * time.Minute), ""}, {now, "clock-backwards"}, {now.Add(61 * time.Minute), ""}} {
		h.Tick(step.to)
		if got := said(); got != step.want {
			t.Errorf("at %s: %q, want %q", step.to, got, step.want)
		}
	}
}
