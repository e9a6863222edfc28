package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

func files(pairs ...string) map[string][]byte {
	out := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = []byte(pairs[i+1])
	}
	return out
}

const (
	team = "apiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: payments}\nspec: {members: [ana]}\n"
	svc  = "apiVersion: flyball.dev/v1\nkind: Service\nmetadata: {name: checkout}\nspec: {team: payments, run: ./checkout}\n"
	prod = "apiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: prod}\nspec: {after: stage}\n"
	stg  = "apiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: stage}\n"
)

func TestApplyIsWholeAndOnlyWhatDiffers(t *testing.T) {
	st := memory.New(memory.Options{})
	fold := projection.NewRunner(st.Log(), st.States(), catalog.Projection())
	a := &catalog.Applier{Log: st.Log(), Reader: st.States(), Sync: fold.CatchUp, Registry: resource.NewRegistry(catalog.Kinds()...)}
	ctx := t.Context()
	count := func() int64 {
		head, err := st.Log().Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return head.Position
	}
	apply := func(commit string, f map[string][]byte) catalog.Report {
		t.Helper()
		r, err := a.Apply(ctx, "user:ana", "flyball", commit, f)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	all := files("flyball/team.yaml", team, "flyball/svc.yaml", svc, "flyball/env.yaml", prod+"---\n"+stg)
	if r := apply("c1", all); len(r.Differences) != 4 || count() != 4 {
		t.Fatalf("%+v, %d events", r, count())
	}
	if r := apply("c2", all); len(r.Differences) != 0 || count() != 4 {
		t.Errorf("applying the same again changed %+v", r.Differences)
	}
	// One mistake anywhere, and nothing is applied.
	_, err := a.Apply(ctx, "user:ana", "flyball", "c3", files("flyball/team.yaml", strings.Replace(team, "ana", "lee", 1), "flyball/svc.yaml", strings.Replace(svc, "payments", "nobody", 1)))
	if problem.KindOf(err) != problem.Invalid || count() != 4 {
		t.Errorf("half applied: %v, %d events", err, count())
	}
	// An update carries its commit and the lines that differ; what is gone is
	// deleted, but not what another directory declares.
	if _, err := a.Apply(ctx, "user:ana", "elsewhere", "other", files("elsewhere/team.yaml", strings.Replace(team, "payments", "search", 1))); err != nil {
		t.Fatal(err)
	}
	delete(all, "flyball/env.yaml")
	all["flyball/team.yaml"] = []byte(strings.Replace(team, "ana", "lee", 1))
	r := apply("c4", all)
	var told []string
	for _, d := range r.Differences {
		told = append(told, d.Change+" "+d.Kind+"/"+d.Name)
	}
	if got, want := strings.Join(told, ", "), "update Team/payments, delete Environment/prod, delete Environment/stage"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if d := r.Differences[0].Text; d != "  - spec: {members: [ana]}\n  + spec: {members: [lee]}\n" {
		t.Errorf("difference:\n%s", d)
	}
	spec, entry, err := catalog.Get[catalog.TeamSpec](ctx, st.States(), catalog.KindTeam, "payments")
	if err != nil || spec.Members[0] != "lee" || entry.Commit != "c4" || entry.File != "flyball/team.yaml" {
		t.Errorf("%+v %+v %v", spec, entry, err)
	}
	if _, err := catalog.GetEnvironment(ctx, st.States(), "prod"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a deleted environment: %v", err)
	}
	events, err := st.Log().Read(ctx, event.Query{Types: []string{resource.EventDeleted}})
	if err != nil || len(events) != 2 {
		t.Errorf("%d deletions, %v", len(events), err)
	}
}

func TestEnvironmentsComeInTheOrderOfTheWay(t *testing.T) {
	st := memory.New(memory.Options{})
	fold := projection.NewRunner(st.Log(), st.States(), catalog.Projection())
	a := &catalog.Applier{Log: st.Log(), Reader: st.States(), Sync: fold.CatchUp, Registry: resource.NewRegistry(catalog.Kinds()...)}
	if _, err := a.Apply(t.Context(), "user:ana", "flyball", "", files("flyball/e.yaml", prod+"---\n"+stg)); err != nil {
		t.Fatal(err)
	}
	all, err := catalog.Environments(t.Context(), st.States())
	if err != nil || len(all) != 2 || all[0].Name != "stage" || all[1].Name != "prod" {
		t.Errorf("%+v, %v", all, err)
	}
	s := catalog.Service{Name: "checkout", ServiceSpec: catalog.ServiceSpec{Host: "checkout.localhost", Environments: []string{"prod"}}}
	if s.In("stage") || !s.In("prod") || s.HostIn("stage", false) != "checkout.stage.localhost" || s.HostIn("prod", true) != "checkout.localhost" {
		t.Error("hosts and environments of a service")
	}
}

// More than the log takes at once is applied all the same, and nothing is left.
func TestApplyMoreThanOneBatch(t *testing.T) {
	st := memory.New(memory.Options{})
	fold := projection.NewRunner(st.Log(), st.States(), catalog.Projection())
	a := &catalog.Applier{Log: st.Log(), Reader: st.States(), Sync: fold.CatchUp, Registry: resource.NewRegistry(catalog.Kinds()...)}
	var text strings.Builder
	for i := range event.MaxDrafts + 1 {
		fmt.Fprintf(&text, "---\napiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: team-%d}\nspec: {members: [ana]}\n", i)
	}
	for _, want := range []int{event.MaxDrafts + 1, 0} {
		r, err := a.Apply(t.Context(), "user:ana", "flyball", "c1", files("flyball/teams.yaml", text.String()))
		if err != nil || len(r.Differences) != want {
			t.Fatalf("%d differences, %v, want %d", len(r.Differences), err, want)
		}
	}
}
