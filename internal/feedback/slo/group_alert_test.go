package slo

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Groups alert where that is asked for: each by its name, once for a severity,
// no more than the bound at once, the same ones while they fire; and they
// resolve by themselves.
func TestGroupsAlert(t *testing.T) {
	h := newHouse(t, march)
	const key = "checkout.prod.answers"
	h.slo("answers", queried("answers", "checkout", "0.999", "30d", `, flyball.dev/group-by: route, flyball.dev/group-alerts: "true"`, ""))
	f := h.fed()
	// minute is one minute in which so many of forty routes fail every tenth
	// request: which alerts begin and end with it.
	minute := func(failing int) (fired, resolved []AlertChanged) {
		t.Helper()
		var counts []Counted
		for i := range 40 {
			good := int64(100)
			if i < failing {
				good = 90
			}
			counts = append(counts, Counted{Labels: map[string]string{"route": fmt.Sprintf("/%02d", i)}, Slots: []Slot{{h.clock.Now(), good, 100}}})
		}
		h.ok(h.Record(t.Context(), Recording{Indicator: f.ID, Counts: counts}))
		h.pass(time.Minute)
		reading, err := h.Source(t.Context(), control.Request{Args: map[string]string{"key": key}}, h.clock.Now())
		h.ok(err)
		reading.Name = "objective"
		state, _, err := projection.Get[Status](t.Context(), h.store.States(), ProjectionName, key)
		h.ok(err)
		for _, d := range Decide(control.View[Status]{State: state, Readings: []control.Reading{reading}}, h.clock.Now()).Facts {
			d.Subject, d.Actor = "objective/"+key, "controller:objective"
			_, err := h.store.Log().Append(t.Context(), event.Batch{Stream: d.Subject, Expect: event.AnyVersion, Drafts: []event.Draft{d}})
			h.ok(err)
			if changed, is := d.Data.(AlertChanged); is && d.Type == EventAlertFired {
				fired = append(fired, changed)
			} else if is {
				resolved = append(resolved, changed)
			}
		}
		h.ok(h.runner.CatchUp(t.Context()))
		return fired, resolved
	}
	groups := func(list []AlertChanged) map[string]int {
		out := map[string]int{}
		for _, a := range list {
			if a.Group != "" {
				out[a.Group+" "+a.Severity]++
			}
		}
		return out
	}
	said := map[string]int{}
	note := func(failing, minutes int) {
		t.Helper()
		for range minutes {
			fired, resolved := minute(failing)
			for g, n := range groups(fired) {
				if said[g] += n; said[g] != 1 {
					t.Fatalf("%s fires %d times at once", g, said[g])
				}
			}
			for g, n := range groups(resolved) {
				if said[g] -= n; said[g] != 0 {
					t.Fatalf("%s is resolved and did not fire", g)
				}
				delete(said, g)
			}
			for _, a := range fired {
				if a.Group != "" && (!strings.HasPrefix(a.Explanation, a.Group+": ") || !strings.Contains(a.Alert, key+"{"+a.Group+"}")) {
					t.Fatalf("it does not name its group: %+v", a)
				}
			}
			if len(said) > maxGroupAlerts {
				t.Fatalf("%d alerts of groups at once", len(said))
			}
		}
	}
	note(0, 90)
	if len(said) != 0 {
		t.Fatalf("healthy groups fire: %v", said)
	}
	h.woken = map[string]int{}
	note(1, 10)
	if want := map[string]int{"route=/00 page": 1, "route=/00 ticket": 1}; !maps.Equal(said, want) || h.woken[key] == 0 {
		t.Fatalf("one group fails: %v, want %v; woken %d times", said, want, h.woken[key])
	}
	note(30, 30)
	if len(said) != maxGroupAlerts || said["route=/00 page"] != 1 {
		t.Errorf("thirty groups fail: %d are said, of at most %d: %v", len(said), maxGroupAlerts, said)
	}
	detail, err := h.call("slo.show", map[string]any{"objective": key})
	h.ok(err)
	if text := detail.(Detail).Tell(); !strings.Contains(text, "firing: page") {
		t.Errorf("show does not say which groups fire:\n%s", text)
	}
	note(0, 420)
	for g := range said {
		if strings.HasSuffix(g, "page") {
			t.Errorf("after seven good hours %s fires still", g)
		}
	}
}

// Without being asked for, groups have no alerts; Pyrra's groups have, as there.
func TestGroupAlertsAreAskedFor(t *testing.T) {
	o := &Objective{Name: "a", GroupBy: []string{"route"}, AlertPolicies: DefaultPolicies(Occurrences)}
	if g := o.group("route=/a"); len(g.AlertPolicies) != 0 {
		t.Error("a group alerts unasked")
	}
	defs := Decode(File{Name: "a.yaml", Data: []byte(`apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: api}
spec:
  target: "99"
  window: 4w
  indicator: {ratio: {errors: {metric: 'http_requests_total{code=~"5.."}'}, total: {metric: http_requests_total}, grouping: [route]}}
`)})
	if len(defs.Objectives) != 1 || !defs.Objectives[0].GroupAlerts || len(defs.Objectives[0].group("route=/a").AlertPolicies) != 4 {
		t.Errorf("%+v, %v", defs.Objectives, defs.Findings)
	}
	defs = Decode(File{Name: "b.yaml", Data: []byte(queried("a", "s", "0.99", "30d", `, flyball.dev/group-alerts: "true"`, "sum(rate(x[5m]))"))})
	if defs.Err() == nil || defs.Findings[0].Code != "no-groups" {
		t.Errorf("without groups: %v", defs.Findings)
	}
}

// Others' words for urgency are read as page or ticket; a word that is neither
// is warned of.
func TestSeverities(t *testing.T) {
	for word, want := range map[string]string{"page": "page", "Critical": "page", "P1": "page", "ticket": "ticket", "warning": "ticket", "low": "ticket", "mauve": "mauve"} {
		text := strings.Replace(queried("a", "s", "0.99", "30d", "", "sum(rate(x[5m]))"), "  objectives:",
			"  alertPolicies: [{metadata: {name: p}, spec: {conditions: [{metadata: {name: c}, spec: {severity: "+word+", condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h}}}]}}]\n  objectives:", 1)
		defs := Decode(File{Name: "a.yaml", Data: []byte(text)})
		if len(defs.Objectives) != 1 || defs.Objectives[0].AlertPolicies[0].Severity != want {
			t.Errorf("%s: %+v %v", word, defs.Objectives, defs.Findings)
		}
		if warned := len(defs.Findings) > 0 && defs.Findings[0].Code == "unknown-severity"; warned != (word == "mauve") {
			t.Errorf("%s: %v", word, defs.Findings)
		}
	}
}
