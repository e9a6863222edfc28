package budget_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/budget"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// shop is a store with a service that depends on another, and minutes as the
// test counts them.
type shop struct {
	*budget.Books
	t      *testing.T
	clock  *clock.Virtual
	states projection.Store
	raw    *slo.Series
	arms   []budget.Minute
}

func newShop(t *testing.T) *shop {
	c := clock.NewVirtual(begin)
	var st store.Store = memory.New(memory.Options{Clock: c})
	t.Cleanup(func() { st.Close() })
	runner := projection.NewRunner(st.Log(), st.States(), budget.Projection(), catalog.Projection(), slo.AdjustmentProjection())
	s := &shop{t: t, clock: c, states: st.States(), raw: slo.NewSeries(time.Minute, 0)}
	o := objective(t, 28*24*time.Hour)
	s.Books = &budget.Books{
		Log: st.Log(), Reader: st.States(), Clock: c, Sync: runner.CatchUp,
		Objectives: func(service, environment string) []*slo.Objective {
			if (service == "" || service == "shop") && (environment == "" || environment == "prod") {
				return []*slo.Objective{o}
			}
			return nil
		},
		Counts: func(_ context.Context, _ *slo.Objective, from, until time.Time) (*slo.Series, []budget.Minute, error) {
			return s.raw.Between(from, until), s.arms, nil
		},
	}
	s.apply(catalog.KindService, "shop", catalog.ServiceSpec{Team: "sales", Run: "x", DependsOn: []string{"stock"}})
	s.apply(catalog.KindService, "stock", catalog.ServiceSpec{Team: "store", Run: "x"})
	s.apply(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{Delivery: "automatic"})
	return s
}

func (s *shop) apply(kind, name string, spec any) {
	b, err := json.Marshal(spec)
	if err != nil {
		s.t.Fatal(err)
	}
	a := resource.Applied{APIVersion: resource.APIVersion, Kind: kind, Metadata: resource.Metadata{Name: name}, Spec: b, Commit: "c0ffee"}
	s.record("resources", resource.EventApplied, resource.Key(kind, name), a)
}

func (s *shop) record(stream, typ, subject string, data any) {
	s.t.Helper()
	d := event.Draft{Type: typ, Subject: subject, Time: s.clock.Now(), Actor: "user:ana", Data: data}
	if _, err := s.Log.Append(s.t.Context(), event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Sync(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// fact records a fact of another room about the shop, or about another service.
func (s *shop) fact(typ string, data map[string]any) {
	s.t.Helper()
	for k, v := range map[string]any{"service": "shop", "team": "sales", "environment": "prod"} {
		if data[k] == nil {
			data[k] = v
		}
	}
	s.record("facts/"+typ, typ, "", data)
}

// serve counts minutes of 1,000 requests: a revision with its share and bad
// events a minute.
func (s *shop) serve(minutes int, arms ...budget.Arm) {
	s.t.Helper()
	for range minutes {
		m := budget.Minute{Time: s.clock.Now(), Arms: arms}
		total, bad := int64(0), int64(0)
		for _, a := range arms {
			total, bad = total+a.Total, bad+a.Bad
		}
		if err := s.raw.Add(m.Time, total-bad, total); err != nil {
			s.t.Fatal(err)
		}
		s.arms = append(s.arms, m)
		s.clock.Advance(time.Minute)
	}
}

var ana = operation.Caller{Name: "user:ana", Grants: []operation.Grant{{Role: operation.Developer}}}

func (s *shop) call(name string, input map[string]any) (any, error) {
	s.t.Helper()
	for _, o := range s.Operations() {
		if o.Name() != name {
			continue
		}
		b, err := json.Marshal(input)
		if err != nil {
			s.t.Fatal(err)
		}
		in := o.NewInput()
		if err := json.Unmarshal(b, in); err != nil {
			s.t.Fatal(err)
		}
		return o.Call(s.t.Context(), ana, in)
	}
	s.t.Fatalf("there is no operation %s", name)
	return nil, nil
}

func (s *shop) ledger() budget.Ledger {
	s.t.Helper()
	out, err := s.call("budget.show", map[string]any{"service": "shop"})
	if err != nil {
		s.t.Fatal(err)
	}
	items := out.(budget.Report).Items
	if len(items) != 1 {
		s.t.Fatalf("%d ledgers, want 1", len(items))
	}
	return items[0]
}

func share(l budget.Ledger, kind, name string) budget.Share {
	for _, s := range l.Shares {
		if s.Kind == kind && s.Name == name {
			return s
		}
	}
	return budget.Share{}
}

// A canary fails while the service it depends on is down: what both revisions
// fail alike is the dependency's, what the canary fails beyond is the change's.
func TestBadChangeDuringAnOutage(t *testing.T) {
	s := newShop(t)
	stable, canary := "aaaaaaa-000000", "bbbbbbb-000000"
	old := map[string]any{"rollout": "shop-aaaaaaa-prod-1", "change": "shop-aaaaaaa", "revision": stable}
	s.fact("rollout.started", old)
	s.fact("rollout.promoted", old)
	s.serve(24*60, budget.Arm{Revision: stable, Total: 1000, Bad: 1})
	next := map[string]any{"rollout": "shop-bbbbbbb-prod-1", "change": "shop-bbbbbbb", "revision": canary}
	s.fact("rollout.started", next)
	s.serve(10, budget.Arm{Revision: stable, Total: 900, Bad: 1}, budget.Arm{Revision: canary, Total: 100, Bad: 20})
	s.fact("alert.fired", map[string]any{"service": "stock", "alert": "a1", "objective": "stock.prod.availability", "severity": "page", "fired": s.clock.Now()})
	s.serve(10, budget.Arm{Revision: stable, Total: 900, Bad: 90}, budget.Arm{Revision: canary, Total: 100, Bad: 30})
	s.fact("rollout.rolled_back", next)
	s.serve(10, budget.Arm{Revision: stable, Total: 1000, Bad: 100})
	s.fact("alert.resolved", map[string]any{"service": "stock", "alert": "a1", "objective": "stock.prod.availability", "severity": "page", "resolved": s.clock.Now()})
	s.serve(60, budget.Arm{Revision: stable, Total: 1000, Bad: 1})

	l := s.ledger()
	change, stock := share(l, budget.KindChange, "shop-bbbbbbb"), share(l, budget.KindDependency, "stock")
	if change.Bad < 395 || change.Bad > 405 || change.Method != budget.Measured {
		t.Errorf("the change is charged with %+v, want about 400, measured", change)
	}
	if stock.Bad < 1965 || stock.Bad > 1995 || stock.Method != budget.Inferred {
		t.Errorf("the outage is charged with %+v, want about 1,980, inferred", stock)
	}
	if got := l.Spenders(2); !strings.HasPrefix(got, "dependency stock (51 %), background") {
		t.Errorf("spent by %q", got)
	}
	if !strings.Contains(change.Evidence, "500 bad of 2,000 while the other revisions had 910 bad of 18,000") {
		t.Errorf("evidence %q", change.Evidence)
	}
	if change.Link != "/rollouts/shop-bbbbbbb-prod-1" || stock.Link != "/objectives/stock.prod.availability" {
		t.Errorf("links %q and %q", change.Link, stock.Link)
	}
	s.rebuilds()
}

// rebuilds tests that folding everything from scratch gives the same records.
func (s *shop) rebuilds() {
	s.t.Helper()
	again := memory.New(memory.Options{Clock: s.clock})
	defer again.Close()
	if err := projection.Rebuild(s.t.Context(), s.Log, again.States(), event.Query{}, budget.Projection()); err != nil {
		s.t.Fatal(err)
	}
	was, err := s.states.List(s.t.Context(), budget.ProjectionName, projection.Filter{})
	if err != nil {
		s.t.Fatal(err)
	}
	is, err := again.States().List(s.t.Context(), budget.ProjectionName, projection.Filter{})
	if err != nil || len(is.Rows) != len(was.Rows) || len(is.Rows) == 0 {
		s.t.Fatalf("%d records, %v; want %d", len(is.Rows), err, len(was.Rows))
	}
	for i := range is.Rows {
		if is.Rows[i].Key != was.Rows[i].Key || !bytes.Equal(is.Rows[i].State, was.Rows[i].State) {
			s.t.Errorf("%s: %s, folded one by one %s", is.Rows[i].Key, is.Rows[i].State, was.Rows[i].State)
		}
	}
}

// What is excluded counts in the raw account and not in the adjusted one.
func TestExclusions(t *testing.T) {
	s := newShop(t)
	arm := func(bad int64) budget.Arm { return budget.Arm{Revision: "aaaaaaa-000000", Total: 1000, Bad: bad} }
	s.serve(24*60, arm(1))
	from := s.clock.Now()
	s.serve(20, arm(51))
	s.serve(60, arm(1))
	if _, err := s.call("budget.link", map[string]any{"service": "shop", "environment": "prod", "kind": "maintenance", "name": "disks", "from": from, "to": from.Add(20 * time.Minute), "reason": "new disks"}); err != nil {
		t.Fatal(err)
	}
	s.record("objective/shop.prod.availability", slo.EventExcluded, "objective/shop.prod.availability",
		slo.Adjusted{Objective: "shop.prod.availability", Service: "shop", From: from, To: from.Add(10 * time.Minute), Reason: "announced"})
	l := s.ledger()
	disks := share(l, budget.KindMaintenance, "disks")
	if l.Raw.Bad != 2520 || l.Adjusted.Bad != 2010 || disks.Raw < 995 || disks.Raw > 1005 || disks.Bad < 495 || disks.Bad > 505 {
		t.Errorf("raw %d, adjusted %d, of the maintenance %d and %d; want 2520, 2010, about 1000 and 500", l.Raw.Bad, l.Adjusted.Bad, disks.Raw, disks.Bad)
	}
	if !strings.Contains(l.Tell(), "with what is excluded: 2,520 spent") {
		t.Errorf("in words: %s", l.Tell())
	}
}

// A link is charged from when it is recorded until it is taken back, which the
// log keeps, and so does the ledger of the moment between.
func TestLinkAndUnlink(t *testing.T) {
	s := newShop(t)
	arm := func(bad int64) budget.Arm { return budget.Arm{Revision: "aaaaaaa-000000", Total: 1000, Bad: bad} }
	s.serve(24*60, arm(1))
	from := s.clock.Now()
	s.serve(20, arm(51))
	to := s.clock.Now()
	s.serve(60, arm(1))
	if l := s.ledger(); len(l.Shares) != 1 || l.Shares[0].Kind != budget.KindBackground || l.Shares[0].Ratio != 1 {
		t.Fatalf("without causes all is background: %+v", l.Shares)
	}
	in := map[string]any{"service": "shop", "environment": "prod", "kind": "flag", "name": "new-search", "from": from, "reason": "10 % of users"}
	if _, err := s.call("budget.link", in); err != nil {
		t.Fatal(err)
	}
	in["to"], in["reason"] = to, "taken back"
	out, err := s.call("budget.link", in)
	if err != nil {
		t.Fatal(err)
	}
	link := out.(budget.Linked).Link
	if want := "shop.prod.flag-new-search-20261102T000000"; link != want {
		t.Errorf("link %q, want %q", link, want)
	}
	flag := share(s.ledger(), budget.KindFlag, "new-search")
	if flag.Bad < 995 || flag.Bad > 1005 || flag.Title != "taken back" || !flag.To.Equal(to) {
		t.Errorf("the flag is charged with %+v, want about 1,000", flag)
	}
	page, err := s.call("budget.list", map[string]any{})
	if err != nil || len(page.(operation.Page[budget.Row]).Items) != 1 || !strings.HasPrefix(page.(operation.Page[budget.Row]).Items[0].Spenders, "background (60 %), flag new-search (40 %)") {
		t.Errorf("list %+v, %v", page, err)
	}
	if _, err := s.call("budget.unlink", map[string]any{"link": link, "reason": "it was another flag"}); err != nil {
		t.Fatal(err)
	}
	if l := s.ledger(); share(l, budget.KindFlag, "new-search").Bad != 0 {
		t.Errorf("after unlink: %+v", l.Shares)
	}
	s.rebuilds()
}

func TestLinksThatAreRefused(t *testing.T) {
	s := newShop(t)
	good := map[string]any{"service": "shop", "environment": "prod", "kind": "flag", "name": "x", "reason": "y"}
	for field, c := range map[string]struct {
		value any
		kind  problem.Kind
		says  string
	}{
		"service":     {"nobody", problem.NotFound, `no service named "nobody"`},
		"environment": {"nowhere", problem.NotFound, `no environment named "nowhere"`},
		"kind":        {"sunspots", problem.Invalid, "must be one of flag, experiment, dependency, maintenance"},
		"name":        {"New Search!", problem.Invalid, `"New Search!" is no name`},
		"to":          {begin.Add(-time.Hour), problem.Invalid, "before it begins"},
		"from":        {begin.AddDate(-2, 0, 0), problem.Invalid, "within 400 days"},
		"reason":      {strings.Repeat("x", 1001), problem.Invalid, "longer than 1,000"},
	} {
		in := map[string]any{}
		for k, v := range good {
			in[k] = v
		}
		in[field] = c.value
		_, err := s.call("budget.link", in)
		if problem.KindOf(err) != c.kind || !strings.Contains(describe(err), c.says) {
			t.Errorf("%s %v: %v, want %q", field, c.value, describe(err), c.says)
		}
	}
	if _, err := s.call("budget.unlink", map[string]any{"link": "nothing", "reason": "x"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("unlinking nothing: %v", err)
	}
	if _, err := s.call("budget.show", map[string]any{"service": "shop", "objective": "latency"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("an objective that is not there: %v", err)
	}
}

// describe is an error with its findings.
func describe(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if p := (&problem.Error{}); errors.As(err, &p) {
		for _, f := range p.Findings {
			text += "\n" + f.String()
		}
	}
	return text
}

// A reading of budgets says who spent those that are spent, and leaves the rest
// as it was measured.
func TestReadingSaysWhoSpentIt(t *testing.T) {
	s := newShop(t)
	s.serve(24*60, budget.Arm{Revision: "aaaaaaa-000000", Total: 1000, Bad: 20})
	measured := `{"objectives":[{"key":"shop.prod.availability","remaining":-1.0,"burn_1h":2.0},{"key":"shop.prod.latency","remaining":0.5}]}`
	source := s.Source(func(context.Context, control.Request, time.Time) (control.Reading, error) {
		return control.Reading{Complete: true, Data: json.RawMessage(measured)}, nil
	})
	r, err := source(t.Context(), control.Request{Args: map[string]string{"service": "shop", "environment": "prod"}}, s.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"objectives":[{"burn_1h":2.0,"key":"shop.prod.availability","remaining":-1.0,"spent_by":"background (100 %)"},{"key":"shop.prod.latency","remaining":0.5}]}`
	if string(r.Data) != want || !r.Complete {
		t.Errorf("reading %s, want %s", r.Data, want)
	}
	measured = `{"objectives":null}`
	if r, err = source(t.Context(), control.Request{}, s.clock.Now()); err != nil || string(r.Data) != measured {
		t.Errorf("reading %s, %v", r.Data, err)
	}
}

// An incident costs what went wrong beyond the usual while it lasted, whoever is
// charged, and what the change failed that it is put down to.
func TestWhatAnIncidentCost(t *testing.T) {
	s := newShop(t)
	arm := func(revision string, total, bad int64) budget.Arm {
		return budget.Arm{Revision: revision, Total: total, Bad: bad}
	}
	s.serve(24*60, arm("aaaaaaa-000000", 1000, 1))
	next := map[string]any{"rollout": "shop-bbbbbbb-prod-1", "change": "shop-bbbbbbb", "revision": "bbbbbbb-000000"}
	s.fact("rollout.started", next)
	s.serve(10, arm("aaaaaaa-000000", 900, 1), arm("bbbbbbb-000000", 100, 20))
	s.fact("rollout.rolled_back", next)
	s.fact("incident.opened", map[string]any{"incident": "inc-1", "title": "it went back", "kind": "rollback", "change": "shop-bbbbbbb", "began": s.clock.Now()})
	s.serve(30, arm("aaaaaaa-000000", 1000, 1))
	s.fact("incident.resolved", map[string]any{"incident": "inc-1"})
	s.serve(30, arm("aaaaaaa-000000", 1000, 1))
	costs, err := s.Incident(t.Context(), "shop", "prod", "inc-1")
	if err != nil || len(costs) != 1 || costs[0].Objective != "shop.prod.availability" {
		t.Fatalf("costs %+v, %v", costs, err)
	}
	if c := costs[0]; c.Bad != 199 || len(c.Causes) != 1 || c.Causes[0] != (budget.ImpactPart{Kind: budget.KindChange, Name: "shop-bbbbbbb", Bad: 199}) {
		t.Errorf("cost %+v, want 199, all the change's", c)
	}
	if got := costs[0].String(); got != "shop.prod.availability: 199 bad, 0.05 % of the budget, by change shop-bbbbbbb (199)" {
		t.Errorf("in words: %q", got)
	}
	if share(s.ledger(), budget.KindIncident, "inc-1").Bad != 0 {
		t.Error("the incident is charged with what the change did")
	}
}

// A service that others deliver has no entry in the catalog, and a budget all
// the same.
func TestServiceThatIsOnlyWatched(t *testing.T) {
	s := newShop(t)
	s.serve(60, budget.Arm{Revision: "a", Total: 100, Bad: 1})
	declared := s.Books.Objectives
	s.Books.Objectives = func(service, environment string) []*slo.Objective {
		if service == "elsewhere" {
			service = "shop"
		}
		return declared(service, environment)
	}
	for _, environment := range []string{"", "prod"} {
		out, err := s.call("budget.show", map[string]any{"service": "elsewhere", "environment": environment})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out.(budget.Report).Items); n != 1 {
			t.Errorf("in %q: %d ledgers, want 1", environment, n)
		}
	}
	if _, err := s.call("budget.show", map[string]any{"service": "nobody"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a service that nobody measures: %v", err)
	}
}
