package maintenance_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

var update = flag.Bool("update", false, "write what came out into the archives")

// matcher stands for the alerts' own check.
func matcher(text string) error {
	if !strings.Contains(text, "=") || strings.Contains(text, "(") {
		return fmt.Errorf("%q is not a matcher", text)
	}
	return nil
}

func kinds() *resource.Registry {
	return resource.NewRegistry(append(catalog.Kinds(), maintenance.Kinds(matcher)...)...)
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

const declared = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {}
---
apiVersion: flyball.dev/v1
kind: Team
metadata: {name: search}
spec: {}
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
kind: Service
metadata: {name: checkout}
spec: {team: payments, run: x}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: find}
spec: {team: search, run: x}
---
apiVersion: flyball.dev/v1
kind: MaintenanceWindow
metadata: {name: nights}
spec:
  title: Night batch
  reason: the batch
  teams: [payments]
  environments: [prod]
  timeZone: Europe/Berlin
  hours: [{days: [mon-fri], from: "22:00", to: "02:00"}]
  public: true
  text: Payments may be slow at night.
---
apiVersion: flyball.dev/v1
kind: MaintenanceWindow
metadata: {name: disks}
spec: {reason: disks, matchers: ['alertname=~"Disk.*"'], from: 2026-11-04, to: 2026-11-06}
`

type room struct {
	*maintenance.Desk
	t     *testing.T
	clock *clock.Virtual
}

func newRoom(t *testing.T) room {
	c := clock.NewVirtual(time.Date(2026, 11, 4, 12, 0, 0, 0, time.UTC)) // a Wednesday
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	states := projection.NewRunner(store.Log(), store.States(), maintenance.Projection(), catalog.Projection())
	set, findings := resource.Load(kinds(), map[string][]byte{"a.yaml": []byte(declared)})
	if set == nil {
		t.Fatal(findings)
	}
	for _, o := range set.All() {
		spec, err := json.Marshal(o.Spec)
		if err != nil {
			t.Fatal(err)
		}
		d := event.Draft{Type: resource.EventApplied, Subject: o.Key(), Actor: "user:ana", Time: c.Now(),
			Data: resource.Applied{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: spec, File: "flyball/a.yaml"}}
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: "resources", Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := states.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return room{&maintenance.Desk{
		Log: store.Log(), Reader: store.States(), Clock: c, Sync: states.CatchUp, Matcher: matcher,
		Objectives: func(service, environment string) []string {
			return []string{service + "." + environment + ".availability"}
		},
	}, t, c}
}

var (
	operator = operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Operator, Team: "payments"}}}
	stranger = operation.Caller{Name: "user:mal", Grants: []operation.Grant{{Role: operation.Viewer}, {Role: operation.Operator, Team: "search"}}}
)

func (r room) call(name string, who operation.Caller, input string) (any, error) {
	r.t.Helper()
	for _, o := range r.Operations() {
		if o.Name() == name {
			in := o.NewInput()
			if err := json.Unmarshal([]byte(input), in); err != nil {
				r.t.Fatal(err)
			}
			return o.Call(r.t.Context(), who, in)
		}
	}
	r.t.Fatalf("no operation %s", name)
	return nil, nil
}

func (r room) active(service, environment string) string {
	r.t.Helper()
	on, err := maintenance.Active(r.t.Context(), r.Reader, service, environment, r.clock.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, o := range on {
		names = append(names, o.Window+" until "+o.End.Format("15:04"))
	}
	return strings.Join(names, ", ")
}

func (r room) list(input string) string {
	r.t.Helper()
	out, err := r.call("maintenance.list", stranger, input)
	if err != nil {
		return string(problem.KindOf(err))
	}
	var lines []string
	for _, o := range out.(maintenance.Occurrences).Items {
		lines = append(lines, fmt.Sprintf("%s %s %s-%s", o.Window, o.State, o.Start.Format("Jan 2 15:04"), o.End.Format("Jan 2 15:04")))
	}
	if next := out.(maintenance.Occurrences).Next; next != "" {
		lines = append(lines, "next "+next)
	}
	return strings.Join(lines, "; ")
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestDeclared(t *testing.T) {
	r := newRoom(t)
	equal(t, "by day", r.active("checkout", "prod"), "")
	equal(t, "this week", r.list(`{"from":"2026-11-04T00:00:00Z","to":"2026-11-05T12:00:00Z"}`),
		"nights over Nov 3 21:00-Nov 4 01:00; disks active Nov 4 00:00-Nov 6 00:00; nights scheduled Nov 4 21:00-Nov 5 01:00")
	equal(t, "one page", r.list(`{"from":"2026-11-04T00:00:00Z","limit":1}`), "nights over Nov 3 21:00-Nov 4 01:00; next 20261103T210000Z-nights")
	equal(t, "the next", r.list(`{"from":"2026-11-04T00:00:00Z","limit":1,"after":"20261103T210000Z-nights"}`), "disks active Nov 4 00:00-Nov 6 00:00; next 20261104T000000Z-disks")
	equal(t, "of a service", r.list(`{"service":"find","from":"2026-11-04T00:00:00Z"}`), "")
	equal(t, "of a service's team", r.list(`{"service":"checkout","from":"2026-11-04T00:00:00Z","to":"2026-11-05T00:00:00Z","state":"scheduled"}`), "nights scheduled Nov 4 21:00-Nov 5 01:00")
	equal(t, "elsewhere", r.list(`{"service":"checkout","environment":"staging"}`), "")
	equal(t, "backwards", r.list(`{"from":"2026-11-04T00:00:00Z","to":"2026-11-03T00:00:00Z"}`), "invalid")
	r.clock.AdvanceTo(time.Date(2026, 11, 4, 23, 30, 0, 0, time.UTC))
	equal(t, "at night", r.active("checkout", "prod"), "nights until 01:00")
	equal(t, "at night, elsewhere", r.active("checkout", "staging"), "")
	equal(t, "at night, another team", r.active("find", "prod"), "")
	if _, err := r.call("maintenance.end", stranger, `{"window":"nights"}`); problem.KindOf(err) != problem.Denied {
		t.Errorf("a stranger ended the window of another team: %v", err)
	}
	if _, err := r.call("maintenance.end", operator, `{"window":"nights","reason":"done early"}`); err != nil {
		t.Fatal(err)
	}
	equal(t, "ended", r.active("checkout", "prod"), "")
	equal(t, "ended early", r.list(`{"service":"checkout","from":"2026-11-04T12:00:00Z","to":"2026-11-06T00:00:00Z"}`),
		"nights over Nov 4 21:00-Nov 4 23:30; nights scheduled Nov 5 21:00-Nov 6 01:00")
	if _, err := r.call("maintenance.end", operator, `{"window":"nights"}`); err != nil {
		t.Fatal(err)
	}
	equal(t, "called off", r.list(`{"service":"checkout","from":"2026-11-05T00:00:00Z","to":"2026-11-07T00:00:00Z"}`), "nights scheduled Nov 6 21:00-Nov 7 01:00")
}

func TestSchedule(t *testing.T) {
	r := newRoom(t)
	changed := 0
	r.Changed = func() { changed++ }
	for input, want := range map[string]problem.Kind{
		`{"window":"move","reason":"x","service":["find"]}`:                                     problem.Denied, // of another team
		`{"window":"move","reason":"x","matcher":["a=b"]}`:                                      problem.Denied, // everybody's
		`{"window":"move","reason":"x","service":["checkout","find"]}`:                          problem.Denied,
		`{"window":"Move","reason":"x","service":["checkout"]}`:                                 problem.Invalid,
		`{"window":"move","reason":"x","service":["checkout"],"duration":"soon"}`:               problem.Invalid,
		`{"window":"move","reason":"x","service":["checkout"],"ends":"2026-11-04T11:00:00Z"}`:   problem.Invalid,
		`{"window":"move","reason":"x","service":["checkout"],"starts":"2026-11-01T11:00:00Z"}`: problem.Invalid, // over
		`{"window":"move","reason":"x","service":["checkout"],"starts":"2030-11-01T11:00:00Z"}`: problem.Invalid,
		`{"window":"move","reason":"x","service":["checkout"],"text":"for nobody"}`:             problem.Invalid,
		`{"window":"move","reason":"x","service":["checkout"],"matcher":["("]}`:                 problem.Invalid,
		`{"window":"nights","reason":"x","service":["checkout"]}`:                               problem.Conflict,
		`{"window":"move","reason":"x","service":["checkout"],"environment":["moon"]}`:          problem.NotFound,
	} {
		if _, err := r.call("maintenance.schedule", operator, input); problem.KindOf(err) != want {
			t.Errorf("%s: %v, want %s", input, err, want)
		}
	}
	if changed != 0 {
		t.Errorf("what was refused changed something")
	}
	out, err := r.call("maintenance.schedule", operator, `{"window":"move","reason":"racks","service":["checkout"],"environment":["prod"],"duration":"2h","public":true,"text":"Slow."}`)
	if err != nil || changed != 1 {
		t.Fatal(err, changed)
	}
	o := out.(maintenance.Occurrence)
	equal(t, "scheduled", fmt.Sprint(o.State, " ", o.End.Sub(o.Start), " ", o.By, " ", o.What()), "active 2h0m0s user:ana checkout in prod")
	equal(t, "on", r.active("checkout", "prod"), "move until 14:00")
	if _, err := r.call("maintenance.schedule", operator, `{"window":"move","reason":"racks","service":["checkout"]}`); problem.KindOf(err) != problem.Conflict {
		t.Errorf("two windows of one name: %v", err)
	}
	r.Alerts = func(_ context.Context, w maintenance.Window) ([]maintenance.Alert, error) {
		return []maintenance.Alert{{Alert: "a/1", Service: "checkout", Environment: "prod", Urgency: "page", What: w.Name}}, nil
	}
	shown, err := r.call("maintenance.preview", stranger, `{"window":"move"}`)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "preview", shown.(maintenance.Preview).Tell(),
		"services: 1\n  checkout\nobjectives whose alerts would page nobody: 1\n  checkout.prod.availability\nalerts that fire now: 1\n  checkout in prod: move (page)")
	shown, err = r.call("maintenance.preview", stranger, `{"team":["payments","search"]}`)
	if err != nil {
		t.Fatal(err)
	}
	if p := shown.(maintenance.Preview); len(p.Services) != 2 || len(p.Warnings) != 1 {
		t.Errorf("a window over everything previews as %+v", p)
	}
	r.clock.Advance(time.Hour)
	if _, err := r.call("maintenance.end", operator, `{"window":"move"}`); err != nil {
		t.Fatal(err)
	}
	equal(t, "ended", r.active("checkout", "prod"), "")
	if _, err := r.call("maintenance.end", operator, `{"window":"move"}`); problem.KindOf(err) != problem.Conflict {
		t.Errorf("ended twice: %v", err)
	}
	r.clock.Advance(2 * time.Hour)
	if _, err := r.call("maintenance.show", operator, `{"window":"move"}`); problem.KindOf(err) != problem.NotFound {
		t.Errorf("over, but %v", err)
	}
	if _, err := r.call("maintenance.schedule", operator, `{"window":"move","reason":"again","service":["checkout"]}`); err != nil {
		t.Errorf("the name of a window that is over: %v", err)
	}
	equal(t, "again", r.active("checkout", "prod"), "move until 16:00")
}

// Weekly hours equal what a calendar says minute by minute, over the days on
// which clocks change; where they differ a window is longer, never shorter.
func TestHours(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			from, length, day := rng.IntN(24*60), 30+rng.IntN(8*60), time.Weekday(rng.IntN(7))
			text := fmt.Sprintf("apiVersion: flyball.dev/v1\nkind: MaintenanceWindow\nmetadata: {name: w}\nspec: {reason: x, matchers: [a=b], timeZone: %s, hours: [{days: [%s], from: %q, to: %q}]}\n",
				zone, strings.ToLower(day.String()), wall(from), wall((from+length)%(24*60)))
			set, findings := resource.Load(kinds(), map[string][]byte{"a.yaml": []byte(text)})
			if set == nil {
				t.Fatal(findings)
			}
			spec, _ := resource.Specs[maintenance.WindowSpec](set, maintenance.KindWindow)
			w := maintenance.Window{Name: "w", Spec: spec[0]}
			for _, around := range []time.Time{date(2026, 3, 6), date(2026, 3, 27), date(2026, 4, 3), date(2026, 10, 2), date(2026, 10, 23), date(2026, 10, 30)} {
				for m := range 4 * 24 * 4 {
					at := around.Add(time.Duration(m) * 15 * time.Minute)
					_, on := w.At(at)
					if meant := inHours(at.In(loc), day, from, length); meant && !on {
						t.Fatalf("%s: off at %s\n%s", zone, at.In(loc), text)
					} else if on && !meant && !inHours(at.Add(-time.Hour).In(loc), day, from, length) && !inHours(at.Add(time.Hour).In(loc), day, from, length) {
						t.Fatalf("%s: on at %s\n%s", zone, at.In(loc), text)
					}
				}
			}
		}
	}
}

func inHours(at time.Time, day time.Weekday, from, length int) bool {
	minute := at.Hour()*60 + at.Minute()
	today := at.Weekday() == day && minute >= from && minute < from+length
	yesterday := at.Weekday() == (day+1)%7 && minute < from+length-24*60
	return today || yesterday
}

func wall(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
