package alert_test

import (
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// What a maintenance window covers is recorded and shown and pages nobody; what
// still fires at its end pages then.
func TestMaintenance(t *testing.T) {
	h := newHouse(t)
	window := maintenance.Planned{Window: "racks", Spec: maintenance.WindowSpec{
		Reason: "racks", Services: []string{"checkout"}, Matchers: []string{`alertname=~"Disk.*"`},
		From: oncall.Point{Instant: noon}, To: oncall.Point{Instant: noon.Add(time.Hour)},
	}}
	_, err := h.Log.Append(t.Context(), event.Batch{Stream: "maintenance/racks", Expect: event.AnyVersion,
		Drafts: []event.Draft{{Type: maintenance.EventScheduled, Actor: "user:ana", Data: window}}})
	h.ok(err)
	h.ok(h.Sync(t.Context()))
	h.WindowsChanged()
	report := func(name, service string) alert.Report {
		return alert.Report{Labels: map[string]string{"alertname": name, "service": service}, Summary: name, EndsAt: noon.Add(2 * time.Hour)}
	}
	h.equal("covered", h.take(report("DiskFull", "checkout")), "fired none checkout.prod DiskFull")
	h.equal("another alert", h.take(report("Down", "checkout")), "fired page checkout.prod Down")
	h.equal("another service", h.take(report("DiskFull", "stock")), "fired page stock.prod DiskFull")
	for _, f := range h.Firing() {
		want := 0
		if f.Explanation == "DiskFull" && f.Service == "checkout" {
			want = 1
		}
		if len(f.Suppressed) != want || want == 1 && f.Suppressed[0] != "maintenance/racks" {
			t.Errorf("%s of %s is held back by %v", f.Explanation, f.Service, f.Suppressed)
		}
	}
	h.ok(h.Sync(t.Context()))
	covered, err := h.Covered(t.Context(), maintenance.Window{Name: "racks", Spec: window.Spec})
	h.ok(err)
	if len(covered) != 1 || covered[0].What != "DiskFull" || covered[0].Urgency != alert.Page {
		t.Errorf("the preview shows %+v", covered)
	}
	h.clock.Advance(30 * time.Minute)
	h.equal("meanwhile", h.tend(), "")
	h.clock.Advance(31 * time.Minute)
	h.equal("at its end", h.tend(), "fired page checkout.prod DiskFull")
}
