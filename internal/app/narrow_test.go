package app

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/flow/artifact"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// running is a runtime in which one instance of each service runs.
type running struct{ workload.Runtime }

func (running) Observe(_ context.Context, service, environment string) ([]workload.Status, error) {
	var out []workload.Status
	for _, s := range []string{"cart", "vault"} {
		out = append(out, workload.Status{Ref: workload.Ref{Service: s, Environment: "prod", Revision: s + "-1"}, Instances: []workload.Instance{{ID: "0-1"}}})
	}
	return out, nil
}

func (running) Output(_ context.Context, ref workload.Ref, _ string, _ int64, _ int) (workload.Chunk, error) {
	return workload.Chunk{Data: []byte(ref.Service + " says hello")}, nil
}

// twoTeams is an app in which cart of team shop and vault of team bank went the
// same way.
func twoTeams(t *testing.T) *App {
	t.Helper()
	c := clock.NewVirtual(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC))
	store := memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { store.Close() })
	a, err := New(Config{Clock: c}, Ports{Store: store, Runtime: running{}})
	if err != nil {
		t.Fatal(err)
	}
	record := func(stream string, d event.Draft) {
		t.Helper()
		d.Actor = "system"
		if _, err := store.Log().Append(t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
			t.Fatal(err)
		}
	}
	declare := func(kind, name string, spec any) {
		b, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		record("resources", event.Draft{Type: resource.EventApplied, Subject: resource.Key(kind, name),
			Data: resource.Applied{APIVersion: resource.APIVersion, Kind: kind, Metadata: resource.Metadata{Name: name}, Spec: b}})
	}
	declare(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{Delivery: "approval", Approvals: 1})
	for service, team := range map[string]string{"cart": "shop", "vault": "bank"} {
		declare(catalog.KindTeam, team, catalog.TeamSpec{})
		declare(catalog.KindService, service, catalog.ServiceSpec{Team: team, Run: "x", Objectives: catalog.Objectives{Availability: 99.9, Window: 28 * 24 * time.Hour}})
		name := service + "-3f2a91c"
		p := release.Proposed{Release: name + "-prod", Change: name, Service: service, Team: team, Environment: "prod", Commit: "3f2a91c", Revision: service + "-1", Kind: release.KindDeploy}
		record("change/"+name, event.Draft{Type: change.EventPushed, Data: change.Pushed{Change: name, Service: service, Team: team, Commit: "3f2a91c", Commits: []change.Commit{{Subject: "secret of " + service}}}})
		record("artifact/"+name, event.Draft{Type: artifact.EventBuilt, Data: artifact.Built{Change: name, Service: service, Team: team}})
		record("release/"+p.Release, event.Draft{Type: release.EventProposed, Data: p})
		record("release/"+p.Release, event.Draft{ID: "a-" + service, Type: action.EventProposed, Data: action.Proposal{ID: "a-" + service, Type: release.ActionStart, Subject: "release/" + p.Release, Params: action.Params(p)}})
		record("rollout/"+name+"-prod-1", event.Draft{Type: rollout.EventStarted, Data: rollout.Started{Rollout: name + "-prod-1", Release: p.Release, Change: name, Service: service, Team: team, Environment: "prod", Revision: service + "-1"}})
		place := incident.Place{Incident: "inc-" + service, Service: service, Team: team, Environment: "prod"}
		record("incident/inc-"+service, event.Draft{Type: incident.EventOpened, Data: incident.Opened{Place: place, Severity: 2, Title: service + " hurts"}})
	}
	if err := a.projections.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.watcher.Declare(t.Context(), c.Now()); err != nil {
		t.Fatal(err)
	}
	return a
}

// A token of one team gets that team's rows of every list and nothing of
// others, and may ask for what is its own.
func TestATeamSeesItsOwn(t *testing.T) {
	a := twoTeams(t)
	shop := operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Developer, Team: "shop"}}}
	staging := operation.Caller{Name: "user:ben", Grants: []operation.Grant{{Role: operation.Viewer, Team: "shop", Environment: "staging"}}}
	ask := func(o operation.Operation, c operation.Caller, service string) (string, error) {
		in := o.NewInput()
		named := map[string]string{"change": service + "-3f2a91c", "pipeline": service + "-3f2a91c-r1", "release": service + "-3f2a91c-prod", "rollout": service + "-3f2a91c-prod-1",
			"artifact": service + "-3f2a91c", "incident": "inc-" + service, "slo": service + ".prod.availability", "budget": service, "logs": service, "alert": service}[o.Noun]
		if args := o.Args(); len(args) > 0 {
			raw, _ := json.Marshal(map[string]string{args[0].Name: named})
			if err := json.Unmarshal(raw, in); err != nil {
				t.Fatal(err)
			}
		}
		out, err := o.Call(t.Context(), c, in)
		raw, _ := json.Marshal(out)
		return string(raw), err
	}
	// Of these both teams have something.
	filled := []string{"change.list", "artifact.list", "release.list", "rollout.list", "action.list", "service.list", "status.show", "top.list", "slo.list", "budget.list", "incident.list"}
	known := 0
	for _, o := range a.Operations {
		if !slices.Contains(narrowed, o.Name()) {
			continue
		}
		known++
		if o.Verb == "list" || o.Noun == "status" {
			got, err := ask(o, shop, "")
			if err != nil || strings.Contains(got, "vault") || strings.Contains(got, "bank") {
				t.Errorf("%s shows of others: %s, %v", o.Name(), got, err)
			}
			if slices.Contains(filled, o.Name()) && !strings.Contains(got, "cart") {
				t.Errorf("%s does not show the team its own: %s", o.Name(), got)
			}
			if got, err := ask(o, staging, ""); err != nil || strings.Contains(got, "prod") {
				t.Errorf("%s shows of another environment: %s, %v", o.Name(), got, err)
			}
			continue
		}
		if got, err := ask(o, shop, "vault"); err == nil && strings.Contains(got, "vault") {
			t.Errorf("%s shows what is of others: %s", o.Name(), got)
		}
		if slices.Contains([]string{"change.show", "release.show", "rollout.show", "incident.show", "slo.show", "budget.show", "logs.show"}, o.Name()) {
			if got, err := ask(o, shop, "cart"); err != nil || !strings.Contains(got, "cart") {
				t.Errorf("%s: %s, %v", o.Name(), got, err)
			}
		}
	}
	if known != len(narrowed) {
		t.Errorf("%d of the %d operations named exist", known, len(narrowed))
	}
}

// What is not narrowed stays closed to those who may not see everything.
func TestWhatCannotBeNarrowedIsRefused(t *testing.T) {
	a := twoTeams(t)
	shop := operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Viewer, Team: "shop"}}}
	for _, name := range []string{"event.list", "why.show", "resource.list", "dora.show"} {
		o := byName(a.Operations, name)
		in := o.NewInput()
		if args := o.Args(); len(args) > 0 {
			raw, _ := json.Marshal(map[string]string{args[0].Name: "rollout/vault-3f2a91c-prod-1"})
			if err := json.Unmarshal(raw, in); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := o.Call(t.Context(), shop, in); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}
