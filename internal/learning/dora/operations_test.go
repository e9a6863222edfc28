package dora_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/learning/dora"
)

var update = flag.Bool("update", false, "write what came out into the scenarios")

// room is the projections over a store in memory.
type room struct {
	*dora.Insight
	t     *testing.T
	clock *clock.Virtual
	log   event.Log
	sync  *projection.Runner
}

func newRoom(t *testing.T, now time.Time) *room {
	c := clock.NewVirtual(now)
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	r := &room{t: t, clock: c, log: store.Log(), sync: projection.NewRunner(store.Log(), store.States(), append(dora.Projections(), catalog.Projection())...)}
	r.Insight = &dora.Insight{Reader: store.States(), Clock: c}
	for name, spec := range map[string]any{
		"service/checkout":    catalog.ServiceSpec{Team: "payments", Run: "x"},
		"service/search":      catalog.ServiceSpec{Team: "search", Run: "x"},
		"environment/staging": catalog.EnvironmentSpec{Delivery: "automatic"},
		"environment/prod":    catalog.EnvironmentSpec{Delivery: "automatic", After: "staging"},
	} {
		b, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		kind, n, _ := strings.Cut(name, "/")
		r.record(event.Draft{Type: resource.EventApplied, Subject: name, Actor: "user:ana", Data: resource.Applied{Kind: kind, Metadata: resource.Metadata{Name: n}, Spec: b}})
	}
	return r
}

func (r *room) record(d event.Draft) {
	r.t.Helper()
	if _, err := r.log.Append(r.t.Context(), event.Batch{Stream: "x", Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.sync.CatchUp(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// play records lines of "TIME TYPE ACTOR {data}".
func (r *room) play(lines string) {
	r.t.Helper()
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.SplitN(strings.TrimSpace(line), " ", 4)
		at, err := time.Parse(time.RFC3339, f[0])
		if err != nil || len(f) != 4 || !json.Valid([]byte(f[3])) {
			r.t.Fatalf("%s: %v", line, err)
		}
		r.record(event.Draft{Type: f[1], Time: at, Actor: f[2], Data: json.RawMessage(f[3])})
	}
}

func (r *room) show(input string) (dora.Report, error) {
	r.t.Helper()
	o := r.Operations()[0]
	in := o.NewInput()
	if err := json.Unmarshal([]byte(input), in); err != nil {
		r.t.Fatal(err)
	}
	out, err := o.Call(r.t.Context(), operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Viewer}}}, in)
	if err != nil {
		return dora.Report{}, err
	}
	return out.(dora.Report), nil
}

// TestScenarios runs testdata/*.txtar: events as they were recorded, what is
// asked, and what is told.
func TestScenarios(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) == 0 {
		t.Fatal("no scenarios")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := newRoom(t, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
			r.play(string(a.Files[0].Data))
			report, err := r.show(string(a.Files[1].Data))
			if err != nil {
				t.Fatal(err)
			}
			r.rebuild()
			got := report.Tell()
			for _, s := range report.Services {
				got += fmt.Sprintf("= %s: %d deployments, fail rate of %v, recovery of %v\n", s.Service, s.Numbers.Deployments, s.Numbers.ChangeFailRate.Of, s.Numbers.Recovery.Of)
			}
			if want := string(a.Files[2].Data); got == want {
				return
			} else if !*update {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			a.Files[2].Data = []byte(got)
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// rebuild folds from scratch and compares.
func (r *room) rebuild() {
	r.t.Helper()
	again := memory.New(memory.Options{Clock: r.clock})
	defer again.Close()
	if err := projection.Rebuild(r.t.Context(), r.log, again.States(), event.Query{}, dora.Projections()...); err != nil {
		r.t.Fatal(err)
	}
	for _, p := range dora.Projections() {
		a, err := r.Reader.List(r.t.Context(), p.Name, projection.Filter{Limit: 1000})
		if err != nil {
			r.t.Fatal(err)
		}
		b, err := again.States().List(r.t.Context(), p.Name, projection.Filter{Limit: 1000})
		if err != nil {
			r.t.Fatal(err)
		}
		if x, y := fmt.Sprintf("%s", a.Rows), fmt.Sprintf("%s", b.Rows); x != y {
			r.t.Errorf("%s: folded one by one\n%s\nfrom scratch\n%s", p.Name, x, y)
		}
	}
}

func TestShowRefuses(t *testing.T) {
	r := newRoom(t, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
	for input, want := range map[string]string{
		`{"zone": "Mars/Olympus"}`:         "is not a time zone",
		`{"zone": "Local"}`:                "is not a time zone",
		`{"days": -1}`:                     "days is -1",
		`{"days": 99999}`:                  "days is 99999",
		`{"bands": "best"}`:                "no set of bands",
		`{"from": "2026-12-24T00:00:00Z"}`: "ends (2026-11-30T00:00:00Z) before it begins",
	} {
		if _, err := r.show(input); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", input, err, want)
		}
	}
}

// TestNothingYet: no facts give no numbers, not zeros that look like facts.
func TestNothingYet(t *testing.T) {
	r := newRoom(t, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
	report, err := r.show(`{}`)
	if err != nil {
		t.Fatal(err)
	}
	n := report.Numbers
	for name, v := range map[string]dora.Number{"frequency": n.DeploymentFrequency, "lead": n.LeadTime, "fail rate": n.ChangeFailRate, "recovery": n.Recovery} {
		if v.Value != nil || v.Band != nil || v.Note == "" || v.N != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if report.Environment != "prod" {
		t.Errorf("the default environment is %s", report.Environment)
	}
	if b, err := json.Marshal(report); err != nil || !strings.Contains(string(b), `"value":null`) || strings.Contains(string(b), `"of":null`) {
		t.Errorf("JSON: %s, %v", b, err)
	}
}
