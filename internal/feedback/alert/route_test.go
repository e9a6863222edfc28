package alert_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var update = flag.Bool("update", false, "write what came out into the archives")

func kinds() *resource.Registry {
	return resource.NewRegistry(slices.Concat(catalog.Kinds(), oncall.Kinds(), alert.Kinds())...)
}

// TestBad reads files that must be refused, with every message they must get.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) == 0 {
		t.Fatal("no archives")
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, findings := resource.Load(kinds(), map[string][]byte{a.Files[0].Name: a.Files[0].Data})
		var b strings.Builder
		for _, f := range findings {
			fmt.Fprintln(&b, f)
		}
		if *update {
			a.Files[1].Data = []byte(b.String())
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got, want := b.String(), string(a.Files[1].Data); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

const routes = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {page: [{url: "https://pager.example/payments"}]}
---
apiVersion: flyball.dev/v1
kind: Team
metadata: {name: dba}
spec: {escalation: dba}
---
apiVersion: flyball.dev/v1
kind: EscalationPolicy
metadata: {name: dba}
spec: {steps: [{notify: [{person: dora}]}], lastResort: [{person: dora}]}
---
apiVersion: flyball.dev/v1
kind: EscalationPolicy
metadata: {name: nights}
spec: {steps: [{notify: [{person: noor}]}], lastResort: [{person: noor}]}
---
apiVersion: flyball.dev/v1
kind: Person
metadata: {name: dora}
spec: {contacts: [{url: "https://pager.example/dora"}]}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: database}
spec: {team: dba, run: x, runbook: "https://runbooks.example/db"}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: checkout}
spec: {team: payments, run: x}
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: staging}
spec: {}
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: prod}
spec: {after: staging}
---
apiVersion: flyball.dev/v1
kind: AlertRoute
metadata: {name: a-last}
spec:
  order: 200
  rules:
    - {name: rest, match: "true", groupBy: [alertname, service]}
---
apiVersion: flyball.dev/v1
kind: AlertRoute
metadata: {name: base}
spec:
  rules:
    - {name: quiet staging, match: environment == "staging", severity: none}
    - {name: at night, match: now.getHours("Europe/Berlin") >= 22 && service.team == "payments", policy: nights, continue: true}
    - {name: disks, match: 'labels.alertname.startsWith("Disk") && labels[?"job"].orValue("") == "postgres"', service: database}
    - {name: storage people, match: 'annotations.owner == "storage"', team: dba, severity: ticket}
    - {name: broken, match: '1 / int(labels.zero) == 1'}
`

// declare applies resources to the house.
func (h *house) declare(text string) {
	h.t.Helper()
	set, findings := resource.Load(kinds(), map[string][]byte{"a.yaml": []byte(text)})
	if err := resource.Refuse("test", findings); err != nil {
		h.t.Fatal(err, findings)
	}
	for _, o := range set.All() {
		spec, err := json.Marshal(o.Spec)
		h.ok(err)
		_, err = h.Log.Append(h.t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{{
			Type: resource.EventApplied, Subject: o.Key(), Actor: "user:ana",
			Data: resource.Applied{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: spec}}}})
		h.ok(err)
	}
	h.ok(h.Sync(h.t.Context()))
	h.WindowsChanged()
}

func TestRoute(t *testing.T) {
	h := newHouse(t)
	h.declare(routes)
	for labels, want := range map[string]string{
		"alertname=Down,service=checkout":                  "checkout.prod payments page  [a-last/rest] alertname=Down,service=checkout",
		"alertname=Down,service=checkout,env=staging":      "checkout.staging payments none  [base/quiet staging] ",
		"alertname=DiskFull,job=postgres,service=checkout": "database.prod dba page  [base/disks] ",
		"alertname=DiskFull,service=checkout":              "checkout.prod payments page  [a-last/rest] alertname=DiskFull,service=checkout",
		"service=checkout,zero=0":                          "checkout.prod payments page  [a-last/rest] alertname=,service=checkout base/broken",
	} {
		h.equal(labels, h.home(labels, ""), want)
	}
	h.equal("by annotation", h.home("alertname=Slow,service=checkout", "storage"), "checkout.prod dba ticket team dba [base/storage people] ")
	h.clock.AdvanceTo(noon.Add(10 * time.Hour)) // 23:00 in Berlin
	h.equal("at night", h.home("alertname=Late,service=checkout", ""), "checkout.prod payments page policy nights [base/at night a-last/rest] alertname=Late,service=checkout")
	h.equal("at night, of others", h.home("alertname=Late,service=database", ""), "database.prod dba page  [a-last/rest] alertname=Late,service=database")
	h.equal("its runbook", h.fired("alertname=Late,service=database").Runbook, "https://runbooks.example/db")
}

// home is where an alert goes, in a line.
func (h *house) home(labels, owner string) string {
	h.t.Helper()
	r := alert.Report{Labels: map[string]string{}, Summary: labels + owner, EndsAt: h.clock.Now().Add(time.Hour)}
	for _, pair := range strings.Split(labels, ",") {
		name, value, _ := strings.Cut(pair, "=")
		r.Labels[name] = value
	}
	if owner != "" {
		r.Annotations = map[string]string{"owner": owner}
	}
	h.take(r)
	f := h.fired(labels + owner)
	via := ""
	if f.Route == nil {
		return fmt.Sprintf("%s.%s %s %s", f.Service, f.Environment, f.Team, f.Severity)
	}
	if f.Route.Team != "" {
		via = "team " + f.Route.Team
	}
	if f.Route.Policy != "" {
		via = "policy " + f.Route.Policy
	}
	var notes string
	for _, n := range f.Route.Notes {
		notes += " " + strings.SplitN(n, ":", 2)[0]
	}
	return fmt.Sprintf("%s.%s %s %s %s %v %s%s", f.Service, f.Environment, f.Team, f.Severity, via, f.Route.Rules, f.GroupKey(), notes)
}

func (h *house) fired(what string) alert.Fired {
	h.t.Helper()
	for _, f := range h.Firing() {
		if f.Explanation == what {
			return f.Fired
		}
	}
	h.t.Fatalf("%s does not fire", what)
	return alert.Fired{}
}

func TestAskRoute(t *testing.T) {
	h := newHouse(t)
	h.declare(routes)
	out, err := h.ask("alert.route", chief, `{"labels":["alertname=DiskFull","job=postgres"],"severity":"page"}`)
	h.ok(err)
	h.equal("explained", out.(alert.RouteAnswer).Tell(), `no   base/quiet staging: environment == "staging"
no   base/at night: now.getHours("Europe/Berlin") >= 22 && service.team == "payments"
yes  base/disks: labels.alertname.startsWith("Disk") && labels[?"job"].orValue("") == "postgres"
database in prod, page, team dba, policy dba
dora first: step 1 of dba`)
	out, err = h.ask("alert.route", chief, `{"labels":["service=checkout"]}`)
	h.ok(err)
	if a := out.(alert.RouteAnswer); a.Reason != "team payments has no escalation policy: its 1 webhooks are called" || !strings.Contains(a.Asked[3].Note, "no such key") {
		t.Errorf("%+v", a)
	}
	if _, err := h.ask("alert.route", chief, `{"labels":["service"]}`); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a label without a value: %v", err)
	}
}

var (
	chief    = operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Admin}}}
	stranger = operation.Caller{Name: "user:mal", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Operator, Team: "search"}}}
)

func (h *house) ask(name string, who operation.Caller, input string) (any, error) {
	h.t.Helper()
	for _, o := range h.Operations() {
		if o.Name() == name {
			in := o.NewInput()
			h.ok(json.Unmarshal([]byte(input), in))
			return o.Call(h.t.Context(), who, in)
		}
	}
	h.t.Fatalf("no operation %s", name)
	return nil, nil
}

// A snoozed alert is held back for its time, whatever its sender repeats, and
// pages again after; an acknowledged one is not held back.
func TestSnooze(t *testing.T) {
	h := newHouse(t)
	down := alert.Report{Labels: map[string]string{"alertname": "Down", "service": "checkout"}, Summary: "down", EndsAt: noon.Add(3 * time.Hour)}
	h.equal("fired", h.take(down), "fired page checkout.prod down")
	id := h.fired("down").Alert
	h.ok(h.Sync(t.Context()))
	if _, err := h.ask("alert.snooze", stranger, fmt.Sprintf(`{"alert":%q}`, id)); problem.KindOf(err) != problem.Denied {
		t.Errorf("a stranger snoozed it: %v", err)
	}
	for _, bad := range []string{`{"alert":%q,"for":1000000000}`, `{"alert":%q,"for":90000000000000}`} {
		if _, err := h.ask("alert.snooze", chief, fmt.Sprintf(bad, id)); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := h.ask("alert.snooze", chief, `{"alert":"prometheus/none"}`); problem.KindOf(err) != problem.NotFound {
		t.Errorf("an alert that is not there: %v", err)
	}
	out, err := h.ask("alert.acknowledge", chief, fmt.Sprintf(`{"alert":%q}`, id))
	h.ok(err)
	if a := out.(alert.Alert); a.State != alert.StateAcknowledged || a.Severity != alert.Page {
		t.Errorf("acknowledged: %+v", a)
	}
	out, err = h.ask("alert.snooze", chief, fmt.Sprintf(`{"alert":%q,"reason":"restoring"}`, id))
	h.ok(err)
	if a := out.(alert.Alert); a.Severity != alert.None || a.Urgency != alert.Page || !a.SnoozedUntil.Equal(noon.Add(30*time.Minute)) || a.Reason != "restoring" {
		t.Errorf("snoozed: %+v", a)
	}
	h.clock.Advance(29 * time.Minute)
	h.equal("said again", h.take(down), "")
	h.equal("meanwhile", h.tend(), "")
	h.ok(h.store.Close())
	h.open() // the server starts again
	h.ok(h.Load(t.Context()))
	h.equal("after a restart", h.tend(), "")
	h.clock.Advance(time.Minute)
	h.equal("over", h.tend(), "fired page checkout.prod down")
	h.equal("once", h.tend(), "")
	h.clock.Advance(3 * time.Hour)
	h.equal("ended", h.tend(), "resolved page checkout.prod down")
	if _, err := h.ask("alert.snooze", chief, fmt.Sprintf(`{"alert":%q}`, id)); problem.KindOf(err) != problem.Conflict {
		t.Errorf("an alert that is over: %v", err)
	}
}

// An objective's alert is snoozed for those who look at it; its engine goes on.
func TestSnoozeObjective(t *testing.T) {
	h := newHouse(t)
	data := json.RawMessage(`{"alert":"o1","objective":"checkout.prod.availability","service":"checkout","team":"payments","environment":"prod","severity":"page","explanation":"burning"}`)
	_, err := h.Log.Append(t.Context(), event.Batch{Stream: "objective/checkout.prod.availability", Expect: event.AnyVersion, Drafts: []event.Draft{{Type: alert.EventFired, Actor: "controller:objective", Data: data}}})
	h.ok(err)
	out, err := h.ask("alert.snooze", chief, `{"alert":"o1","for":3600000000000}`)
	h.ok(err)
	if a := out.(alert.Alert); a.Objective == "" || a.Severity != alert.None || a.Urgency != alert.Page {
		t.Errorf("snoozed: %+v", a)
	}
	h.clock.Advance(time.Hour)
	out, err = h.ask("alert.show", chief, `{"alert":"o1"}`)
	h.ok(err)
	if a := out.(alert.Alert); a.Severity != alert.Page || len(a.Suppressed) > 0 {
		t.Errorf("an hour later: %+v", a)
	}
}

// Alerts that lack something are listed.
func TestFindings(t *testing.T) {
	h := newHouse(t)
	for name, labels := range map[string]map[string]string{"owned": {"service": "checkout"}, "nobody's": {"service": "elsewhere"}} {
		h.take(alert.Report{Labels: labels, Summary: name, EndsAt: noon.Add(time.Hour), Runbook: map[string]string{"owned": "https://runbooks.example/x"}[name]})
	}
	h.ok(h.Sync(t.Context()))
	out, err := h.ask("alert.list", chief, `{"findings":true}`)
	h.ok(err)
	list := out.(alert.Alerts)
	if len(list.Items) != 1 || list.Items[0].Explanation != "nobody's" || list.Rows()[0][1] != "firing, no runbook" {
		t.Errorf("findings: %+v", list.Rows())
	}
}
