package alert_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// An integration made by an operator of one team pages nobody else: neither by
// a label, in whatever spelling, nor by its own name.
func TestConfinedIntegrations(t *testing.T) {
	h := newHouse(t)
	create := func(in alert.CreateInput, grants ...operation.Grant) (alert.CreatedIntegration, error) {
		for _, o := range h.Operations() {
			if o.Name() == "integration.create" {
				out, err := o.Call(t.Context(), operation.Caller{Name: "user:eve", Grants: grants}, &in)
				made, _ := out.(alert.CreatedIntegration)
				return made, err
			}
		}
		panic("no integration.create")
	}
	team := operation.Grant{Role: operation.Operator, Team: "finding"}
	if _, err := create(alert.CreateInput{Integration: "a", Team: "finding", Service: "checkout"}, team); problem.KindOf(err) != problem.Denied {
		t.Errorf("an integration for another team's service: %v", err)
	}
	one, err := create(alert.CreateInput{Integration: "checkout", Team: "finding"}, team)
	h.ok(err)
	all, err := create(alert.CreateInput{Integration: "central", Team: "finding"}, operation.Grant{Role: operation.Operator})
	h.ok(err)
	if !one.Confined || all.Confined {
		t.Fatalf("confined are %v and %v", one.Confined, all.Confined)
	}
	for label, want := range map[string]string{"checkout": "integration-checkout", "Checkout": "integration-checkout", "": "integration-checkout", "search": "search"} {
		before, err := h.Log.Head(t.Context())
		h.ok(err)
		_, err = h.Take(t.Context(), one.Integration, []alert.Report{{Key: "k" + label, Labels: map[string]string{"service": label, "job": "checkout"}, Summary: "eve", StartsAt: noon}})
		h.ok(err)
		h.equal("labelled "+label, h.since(before.Position), "fired page "+want+".prod eve")
	}
	before, err := h.Log.Head(t.Context())
	h.ok(err)
	_, err = h.Take(t.Context(), all.Integration, []alert.Report{slow(time.Time{})})
	h.ok(err)
	h.equal("everybody's", h.since(before.Position), "fired page checkout.prod checkout is slow")
}

// What fires is held in memory, so it is bounded in bytes too; what is resolved
// makes room.
func TestLiveAlertsAreBoundedInBytes(t *testing.T) {
	h := newHouse(t)
	h.MaxBytes = 1 << 20
	large := func(n int) alert.Report {
		r := alert.Report{Labels: map[string]string{"n": fmt.Sprint(n)}, StartsAt: noon}
		for i := range 20 {
			r.Labels[fmt.Sprint("label", i)] = strings.Repeat("x", 4096)
		}
		return r
	}
	taken := 0
	var err error
	for ; taken < 100 && err == nil; taken++ {
		_, err = h.Take(t.Context(), prometheus, []alert.Report{large(taken)})
	}
	if problem.KindOf(err) != problem.Unavailable || taken < 10 || taken > 14 {
		t.Fatalf("%d alerts of 80 kB were taken within 1 MiB: %v", taken, err)
	}
	// What is known already may be said again.
	_, err = h.Take(t.Context(), prometheus, []alert.Report{large(0)})
	h.ok(err)
	gone := large(0)
	gone.Act = alert.Resolve
	_, err = h.Take(t.Context(), prometheus, []alert.Report{gone})
	h.ok(err)
	_, err = h.Take(t.Context(), prometheus, []alert.Report{large(taken)})
	h.ok(err)
}
