package incident_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// The simulation: services that hurt again and again, people who answer or do
// not, pagers that fail, and a server that crashes before and after any write.
// What must have been paged is worked out here from the policy in words, hour by
// hour, and shares nothing with what is tested.

const simulatedResources = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec: {escalation: payments}
---
apiVersion: flyball.dev/v1
kind: EscalationPolicy
metadata: {name: payments}
spec:
  repeat: 1
  steps:
    - {notify: [{schedule: hours}], wait: 5m}
    - {notify: [{schedule: odd}], wait: 5m}
    - {notify: [{person: p3}, {schedule: hours}], wait: 10m}
  lastResort: [{person: p4}]
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: hours}
spec: {timeZone: UTC, layers: [{name: l, start: 2026-11-01, every: 1 hour, members: [p0, p1, p2]}]}
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: odd}
spec: {timeZone: UTC, layers: [{name: l, start: 2026-11-01, every: 2 hours, members: [p3, nobody]}]}
`

// expected lists the pages of an incident that opened and ended at moments, as
// STEP/ATTEMPT/PERSON; step 0 is the last resort.
func expected(opened, ended time.Time) (out []string) {
	at := opened
	for attempt := 1; attempt <= 2; attempt++ {
		for step := 1; step <= 3; step++ {
			hour := int(at.Sub(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)) / time.Hour)
			onDuty := fmt.Sprint("p", hour%3)
			var who []string
			wait := 5 * time.Minute
			switch step {
			case 1:
				who = []string{onDuty}
			case 2:
				if hour/2%2 == 0 {
					who = []string{"p3"}
				} else {
					wait = 0 // nobody has a contact: skipped at once
				}
			case 3:
				who, wait = []string{"p3", onDuty}, 10*time.Minute
			}
			if !at.Before(ended) {
				return out
			}
			for _, p := range who {
				out = append(out, fmt.Sprintf("%d/%d/%s", step, attempt, p))
			}
			at = at.Add(wait)
		}
	}
	if at.Before(ended) {
		out = append(out, "0/1/p4")
	}
	return out
}

var errCrashed = errors.New("the server crashed")

// mortal is a log whose server may die before or after any write.
type mortal struct {
	event.Log
	r    *rand.Rand
	dead bool
}

func (m *mortal) Append(ctx context.Context, b event.Batch) ([]event.Event, error) {
	if m.dead || m.r.IntN(50) == 0 {
		m.dead = true
		return nil, errCrashed
	}
	out, err := m.Log.Append(ctx, b)
	if err == nil && m.r.IntN(50) == 0 {
		m.dead = true
		return nil, errCrashed
	}
	return out, err
}

// flakyPager delivers, fails, or delivers and says that it failed.
type flakyPager struct {
	s *simulation
}

func (p flakyPager) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	s := p.s
	if s.server.log.dead {
		return notify.Receipt{}, errCrashed
	}
	if s.r.IntN(10) == 0 {
		return notify.Receipt{}, problem.New(problem.Unavailable, "pager", "busy")
	}
	s.raw++
	if s.delivered[m.ID] == 0 {
		var body struct{ Data incident.PageData }
		if err := json.Unmarshal(m.Body, &body); err != nil {
			s.t.Fatal(err)
		}
		d := body.Data
		k := fmt.Sprintf("%s %d/%d/%s", d.Incident, d.Paged.Step, d.Paged.Attempt, d.Paged.Person)
		if before := s.pages[k]; before != "" {
			s.t.Errorf("%s was paged as %s and as %s", k, before, m.ID)
		}
		s.pages[k] = m.ID
	}
	s.delivered[m.ID]++
	if s.r.IntN(10) == 0 {
		return notify.Receipt{}, problem.New(problem.Unavailable, "pager", "no answer")
	}
	return notify.Receipt{Status: 202}, nil
}

type simulation struct {
	t         *testing.T
	r         *rand.Rand
	clock     *clock.Virtual
	store     *memory.Store
	server    *simServer
	acts      []simAct
	delivered map[string]int
	pages     map[string]string // identifier by incident, step, attempt and person
	raw       int
	crashes   int
	ended     map[string]time.Time // when an incident was answered or resolved
}

// simServer is one life of the server.
type simServer struct {
	log    *mortal
	desk   *incident.Incidents
	states *projection.Runner
	runner *control.Runner
}

// simAct is something that happens at a moment.
type simAct struct {
	at   time.Time
	what func() error
}

func (s *simulation) boot() {
	s.t.Helper()
	log := &mortal{Log: s.store.Log(), r: s.r}
	states := projection.NewRunner(log, s.store.States(), projections()...)
	env := &control.Env{
		Log: log, Reader: s.store.States(), Sources: map[string]control.Source{oncall.SourceName: oncall.Source(s.store.States())},
		Lease: func() event.Lease { return event.Lease{} }, Now: s.clock.Now, Sync: states.CatchUp,
		Until: func(ctx context.Context, position int64) error { return states.CatchUpTo(ctx, max(position, 1)) },
	}
	s.server = &simServer{
		log: log, states: states,
		desk: &incident.Incidents{Log: log, Reader: s.store.States(), Clock: s.clock, Sync: states.CatchUp},
		runner: control.NewRunner(env, s.clock, slog.New(slog.NewTextHandler(io.Discard, nil)),
			control.Bind(incident.Controller()), control.NewExecutor(s.store.States(), incident.PageTypes(&channel.Post{Notifier: flakyPager{s}, Clock: s.clock})...)),
	}
	if err := s.server.runner.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// settle does all that is due, through as many crashes as it takes.
func (s *simulation) settle() time.Duration {
	for {
		err := s.server.runner.Poll(s.t.Context())
		did, until := s.server.runner.Step(s.t.Context())
		switch {
		case s.server.log.dead:
			s.crashes++
			s.boot()
		case err != nil:
			s.t.Fatal(err)
		case !did:
			return until
		}
	}
}

func (s *simulation) plan(at time.Time, what func() error) {
	s.acts = append(s.acts, simAct{at, what})
	slices.SortStableFunc(s.acts, func(a, b simAct) int { return a.at.Compare(b.at) })
}

// run goes from one thing to the next until nobody does anything any more.
func (s *simulation) run() {
	for s.settle(); len(s.acts) > 0; {
		until := s.settle()
		next := s.acts[0]
		if wake := s.clock.Now().Add(until); wake.Before(next.at) {
			s.clock.AdvanceTo(wake)
			continue
		}
		if next.at.After(s.clock.Now()) {
			s.clock.AdvanceTo(next.at)
			s.settle()
		}
		s.acts = s.acts[1:]
		err := next.what()
		if s.server.log.dead {
			s.crashes++
			s.boot()
		}
		if errors.Is(err, errCrashed) {
			s.plan(s.clock.Now(), next.what) // they try again
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
	end := s.clock.Now().Add(3 * time.Hour) // pages that are still under way
	for s.clock.Now().Before(end) {
		s.clock.Advance(min(max(s.settle(), time.Second), time.Minute))
	}
}

// hurt opens one incident of a service after another.
func (s *simulation) hurt(service string, n int) {
	if n == 0 {
		return
	}
	at := s.clock.Now().Add(time.Minute + time.Duration(s.r.IntN(7200))*time.Second).Truncate(time.Second)
	alert := fmt.Sprint(service, "-", n)
	s.plan(at, func() error {
		data := fmt.Sprintf(`{"alert":%q,"objective":%q,"service":%q,"team":"payments","environment":"prod","severity":"page","explanation":"burning"}`, alert, service+".prod.availability", service)
		_, err := s.store.Log().Append(s.t.Context(), event.Batch{Stream: "objective/" + service, Expect: event.AnyVersion, Drafts: []event.Draft{{
			ID: alert, Type: "alert.fired", Actor: "controller:x", Time: at, Data: json.RawMessage(data),
		}}})
		name := incident.Name(service, "prod", true, "", at)
		// Answers never come in the very second of a page: waits are whole minutes.
		answer := at.Add(time.Duration(s.r.IntN(50))*time.Minute + 30*time.Second)
		resolved := at.Add(55*time.Minute + 30*time.Second)
		s.ended[name] = resolved
		if s.r.IntN(3) > 0 {
			s.ended[name] = answer
			s.plan(answer, func() error { return s.say("incident.ack", name) })
		}
		s.plan(resolved, func() error {
			err := s.say("incident.resolve", name)
			if err == nil {
				s.hurt(service, n-1)
			}
			return err
		})
		return err
	})
}

func (s *simulation) say(verb, name string) error {
	for _, o := range s.server.desk.Operations() {
		if o.Name() != verb {
			continue
		}
		in := o.NewInput()
		if err := json.Unmarshal(fmt.Appendf(nil, `{"incident":%q,"reason":"known","anyway":true}`, name), in); err != nil {
			return err
		}
		_, err := o.Call(s.t.Context(), operation.Caller{Name: "user:ben", Grants: []operation.Grant{{Role: operation.Admin}}}, in)
		if problem.KindOf(err) == problem.Conflict && verb == "incident.resolve" {
			return nil // it was recorded before the server crashed
		}
		return err
	}
	return nil
}

// TestSimulation: nobody unpaged, nobody paged twice for one step, in worlds of
// some hundred incidents each. FLYBALL_SIM_INCIDENTS sets how many there are in
// all: 10,000 are a minute's work for two processors.
func TestSimulation(t *testing.T) {
	const each = 250
	total := 500
	if n, err := strconv.Atoi(os.Getenv("FLYBALL_SIM_INCIDENTS")); err == nil {
		total = n
	}
	var incidents, crashes, pages, deliveries atomic.Int64
	t.Run("worlds", func(t *testing.T) {
		for seed := range max(1, total/each) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				s := simulate(t, uint64(seed), min(each, total))
				incidents.Add(int64(len(s.ended)))
				crashes.Add(int64(s.crashes))
				pages.Add(int64(len(s.pages)))
				deliveries.Add(int64(s.raw))
			})
		}
	})
	t.Logf("%d incidents, %d crashes, %d pages, %d deliveries of them", incidents.Load(), crashes.Load(), pages.Load(), deliveries.Load())
}

// simulate lets a world go through so many incidents, and checks who was paged.
func simulate(t *testing.T, seed uint64, total int) *simulation {
	const services = 20
	c := clock.NewVirtual(start)
	s := &simulation{
		t: t, r: rand.New(rand.NewPCG(seed, 2026)), clock: c, store: memory.New(memory.Options{Clock: c}),
		delivered: map[string]int{}, pages: map[string]string{}, ended: map[string]time.Time{},
	}
	defer s.store.Close()
	s.boot()
	r := &room{t: t, clock: c, store: s.store, states: projection.NewRunner(s.store.Log(), s.store.States(), projections()...), control: s.server.runner}
	r.Incidents = &incident.Incidents{Log: s.store.Log(), Reader: s.store.States(), Clock: c, Sync: r.states.CatchUp}
	var people strings.Builder
	for i := range 5 {
		fmt.Fprintf(&people, "---\napiVersion: flyball.dev/v1\nkind: Person\nmetadata: {name: p%d}\nspec: {contacts: [{url: \"https://pager.example/p%d\"}]}\n", i, i)
	}
	r.apply(catalog.KindEnvironment, "prod", catalog.EnvironmentSpec{Delivery: "automatic"})
	for i := range services {
		r.apply(catalog.KindService, fmt.Sprint("s", i), catalog.ServiceSpec{Team: "payments", Run: "x"})
	}
	r.declareQuietly([]byte(simulatedResources + people.String()))
	for i := range services {
		n := total / services
		if i < total%services {
			n++
		}
		s.hurt(fmt.Sprint("s", i), n)
	}
	s.run()
	s.check(total)
	return s
}

// check compares who was paged with who should have been.
func (s *simulation) check(total int) {
	t := s.t
	want := map[string]bool{}
	for name, ended := range s.ended {
		opened, err := time.Parse("20060102t150405", name[strings.LastIndex(name, "-")+1:])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range expected(opened, ended) {
			want[name+" "+p] = true
		}
	}
	var wrong []string
	for k := range want {
		if s.pages[k] == "" {
			wrong = append(wrong, k+": unpaged")
		}
	}
	for k := range s.pages {
		if !want[k] {
			wrong = append(wrong, k+": paged without reason")
		}
	}
	slices.SortFunc(wrong, cmp.Compare)
	for _, w := range wrong[:min(len(wrong), 20)] {
		t.Error(w)
	}
	if len(s.ended) != total || s.crashes < total/3 || len(s.pages) < total {
		t.Errorf("%d incidents, %d crashes, %d pages: too few to prove anything", len(s.ended), s.crashes, len(s.pages))
	}
}
