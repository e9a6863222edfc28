package app_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const replayPeople = `---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: ana}, spec: {contacts: [{url: "PAGER"}]}}
---
{apiVersion: flyball.dev/v1, kind: Person, metadata: {name: ben}, spec: {contacts: [{url: "PAGER"}]}}
---
{apiVersion: flyball.dev/v1, kind: EscalationPolicy, metadata: {name: owners}, spec: {steps: [{notify: [{person: ana}], wait: 24h}], lastResort: [{person: ben}]}}
`

// The pages that were sent are played again from the record: the same ones with
// the same configuration, others with another.
func TestOncallReplay(t *testing.T) {
	pager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer pager.Close()
	y := newYard(t)
	y.declare("  run: sleep 3600\n", strings.ReplaceAll(replayPeople, "PAGER", pager.URL))
	y.write("flyball/service.yaml", strings.Replace(y.read("flyball/service.yaml"), "metadata: {name: owners}, spec: {}", "metadata: {name: owners}, spec: {escalation: owners}", 1))
	y.commit("page by a policy")
	y.up()
	res, err := http.Post("http://"+y.listen+"/v2/alerts", "application/json", strings.NewReader(`{"message":"it hurts","alias":"a","details":{"service":"web"}}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	paged := y.event("incident.paged")
	var name string
	name, _ = paged["incident"].(string)
	if out, errs, code := y.run("incident", "ack", name, "--reason", "looking"); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	out, errs, code := y.run("oncall", "replay")
	if code != 0 {
		t.Fatal(errs)
	}
	y.says(out, "1 page recorded, 1 rehearsed, 1 the same", "ana")
	y.write("proposed.yaml", `{apiVersion: flyball.dev/v1, kind: EscalationPolicy, metadata: {name: owners}, spec: {steps: [{notify: [{person: ben}], wait: 24h}], lastResort: [{person: ana}]}}`)
	out, errs, code = y.run("oncall", "replay", "proposed.yaml")
	if code != 0 {
		t.Fatal(errs)
	}
	y.says(out, "1 page recorded, 1 rehearsed, 0 the same", "moves", "ben instead of ana")
	y.write("proposed.yaml", `{apiVersion: flyball.dev/v1, kind: EscalationPolicy, metadata: {name: owners}, spec: {steps: [{notify: [{person: nobody-known, schedule: x}]}]}}`)
	if _, errs, code = y.run("oncall", "replay", "proposed.yaml"); code == 0 {
		t.Error("a wrong file was replayed")
	}
	y.says(errs, "proposed.yaml:1:", "a target is one of person, schedule")
	// A route that takes the alert for a ticket leaves nobody paged; one that
	// sends it elsewhere has others paged.
	y.write("proposed.yaml", `{apiVersion: flyball.dev/v1, kind: AlertRoute, metadata: {name: quiet}, spec: {rules: [{name: all, match: 'service.name == "web"', severity: ticket}]}}`)
	out, errs, code = y.run("oncall", "replay", "proposed.yaml")
	if code != 0 {
		t.Fatal(errs)
	}
	y.says(out, "1 page recorded, 0 rehearsed", "vanishes", "ana")
	y.write("proposed.yaml", `{apiVersion: flyball.dev/v1, kind: AlertRoute, metadata: {name: other}, spec: {rules: [{name: all, match: 'service.name == "web"', policy: ben}]}}
---
{apiVersion: flyball.dev/v1, kind: EscalationPolicy, metadata: {name: ben}, spec: {steps: [{notify: [{person: ben}], wait: 24h}], lastResort: [{person: ana}]}}`)
	out, errs, code = y.run("oncall", "replay", "proposed.yaml")
	if code != 0 {
		t.Fatal(errs)
	}
	y.says(out, "moves", "ben instead of ana")
}
