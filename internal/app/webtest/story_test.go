package webtest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/app"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/flow/artifact"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// ending is the moment at which the story stops and the pages are looked at.
var ending = time.Date(2026, 11, 20, 14, 32, 0, 0, time.UTC)

var company = `apiVersion: flyball.dev/v1
kind: Team
metadata: {name: payments}
spec:
  page: [{url: https://pager.example/payments}]
---
apiVersion: flyball.dev/v1
kind: Team
metadata: {name: discovery}
spec:
  page: [{url: https://pager.example/discovery}]
---
apiVersion: flyball.dev/v1
kind: Environment
metadata: {name: prod}
spec:
  rollout: {steps: [5%, 25%, 50%], stepDuration: 1m}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: checkout}
spec:
  team: payments
  description: takes carts to orders
  build: go build -o bin/checkout .
  files: [bin/checkout]
  run: bin/checkout
  instances: 3
  traffic: 30/s
  objectives: {availability: 99.9%, sla: 99.5%, latency: 99% < 300ms, window: 7d}
  dependsOn: [accounts, search]
  runbook: https://runbooks.example/checkout
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: accounts}
spec:
  team: payments
  description: who somebody is
  run: bin/accounts
  traffic: 8/s
  objectives: {availability: 99.9%, window: 7d}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: search}
spec:
  team: discovery
  description: finds products
  run: bin/search
  traffic: 12/s
  objectives: {availability: 99.9%, latency: 99% < 200ms, window: 7d}
---
apiVersion: flyball.dev/v1
kind: Service
metadata: {name: mail}
spec:
  team: discovery
  description: writes to customers
  run: bin/mail
  traffic: 3/s
  objectives: {availability: 99.5%, window: 7d}
---
apiVersion: flyball.dev/v1
kind: Runbook
metadata: {name: index-node}
spec:
  title: An index node is sick
  team: discovery
  steps:
    - {name: look, text: "Which node answers 503? flyball logs search"}
    - {name: fail over, command: "searchctl failover --to standby"}
    - {name: say so, operation: incident.note, input: {incident: "${incident}", text: failover has begun}, approval: none}
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: payments}
spec:
  team: payments
  timeZone: Europe/Berlin
  layers:
    - {name: weekly, start: 2026-11-02T09:00, every: 1 week, members: [ana, ben, dana]}
    - {name: office hours, start: 2026-11-02T09:00, every: 1 day, members: [cem, eva], restrictions: [{days: [mon-fri], from: "09:00", to: "15:00"}]}
---
apiVersion: flyball.dev/v1
kind: EscalationPolicy
metadata: {name: payments}
spec:
  description: whoever is on call, then the team's second
  repeat: 1
  steps:
    - {notify: [{schedule: payments}], wait: 5m}
    - {notify: [{schedule: nights}, {person: ana}], wait: 10m}
  lastResort: [{webhook: "https://wall.example/hook"}]
---
apiVersion: flyball.dev/v1
kind: Person
metadata: {name: ana}
spec: {contacts: [{url: "https://pager.example/ana"}]}
---
apiVersion: flyball.dev/v1
kind: Schedule
metadata: {name: nights}
spec:
  timeZone: America/New_York
  mayBeEmpty: true
  layers: [{name: nights, start: 2026-11-02, every: 1 day, members: [li, kim], restrictions: [{from: "20:00", to: "06:00"}]}]
` + publicPage

// story tells what happened, step by step.
type story struct {
	*house
	ctx     context.Context
	counted time.Time // requests up to here have arrived
}

// tell makes a house with two weeks behind it: changes that went to everybody,
// one that failed requests, one that was slow, an outage with its incident, a
// blocked release and a canary on its way.
func tell(t testing.TB) *house {
	s := &story{house: newHouse(t, ending.AddDate(0, 0, -15)), ctx: context.Background(), counted: ending.AddDate(0, 0, -15)}
	ms := func(n int64) int64 { return n * int64(time.Millisecond) }
	*s.world = world{
		shares: map[string]int{}, splits: map[string][]traffic.Share{}, rates: map[string]float64{"checkout": 30, "accounts": 8, "search": 12, "mail": 3},
		base: map[string]float64{"checkout": 0.0003, "accounts": 0.0004, "search": 0.0002, "mail": 0.0003},
		slow: map[string]int64{"checkout": ms(300), "search": ms(200)}, defects: map[string]defect{},
		trouble: []trouble{
			{"accounts", s.before(30 * time.Hour), s.before(29*time.Hour + 15*time.Minute), 0.1, 0},
			{"checkout", s.before(4*24*time.Hour + 2*time.Hour), s.before(4*24*time.Hour + 1*time.Hour), 0.01, 0},
			{"search", s.before(41 * time.Minute), ending.Add(time.Hour), 0.27, 0.1},
		},
	}
	applier := &catalog.Applier{Log: s.store.Log(), Reader: s.store.States(), Sync: s.sync, Registry: app.Kinds()}
	_, err := applier.Apply(s.ctx, "user:ana", "flyball", commit("company"), map[string][]byte{"flyball/company.yaml": []byte(company)})
	s.do(err)
	s.do(s.watcher.Declare(s.ctx, s.clock.Now()))
	s.do(s.controls.Start(s.ctx))
	s.past()
	s.today()
	s.open()
	return s.house
}

func (s *story) before(d time.Duration) time.Time { return ending.Add(-d) }

// past is everything up to this morning.
func (s *story) past() {
	const day = 24 * time.Hour
	s.ship("checkout", "first version", "ana", 0, defect{})
	s.ship("accounts", "first version", "bo", 0, defect{})
	s.ship("search", "first version", "dana", 0, defect{})
	s.ship("mail", "first version", "eli", 0, defect{})
	for i, c := range []struct {
		service, subject, author string
		ago                      time.Duration
		wrong                    defect
	}{
		{"checkout", "show the delivery date", "ana", 13 * day, defect{}},
		{"search", "rank by stock", "dana", 12 * day, defect{}},
		{"checkout", "retry the payment gateway once", "bo", 10 * day, defect{}},
		{"mail", "plain text beside HTML", "eli", 9 * day, defect{}},
		{"accounts", "sessions last thirty days", "bo", 8 * day, defect{}},
		{"checkout", "cache carts in redis", "ana", 6 * day, defect{errors: 0.03}},
		{"checkout", "cache carts in redis, with a timeout", "ana", 5*day + 20*time.Hour, defect{}},
		{"search", "suggest while typing", "li", 4 * day, defect{slow: 0.05}},
		{"search", "suggest while typing, from memory", "li", 3 * day, defect{}},
		{"mail", "one mail per order", "eli", 2*day + 3*time.Hour, defect{}},
		{"checkout", "price in the customer’s currency", "bo", 22 * time.Hour, defect{}},
	} {
		s.until(s.before(c.ago + time.Duration(i)*7*time.Minute))
		s.ship(c.service, c.subject, c.author, 40*time.Minute, c.wrong)
		s.resolve("the revision before serves everybody again")
	}
	s.until(s.before(25 * time.Hour))
	s.resolve("the session store answers again")
	s.writeUp()
	s.override("mail", "the newsletter must go out today", 3*time.Hour)
}

// today is the outage, the people who look after it, and what moves.
func (s *story) today() {
	s.until(s.before(62 * time.Minute))
	s.ship("search", "larger index pages", "li", 26*time.Hour, defect{})
	s.until(s.before(38 * time.Minute))
	s.fine(s.before(32 * time.Minute))
	i := s.newestIncident()
	s.say(i, incident.EventAcknowledged, "dana", "")
	s.runbook(i)
	s.statusPage(i)
	s.until(s.before(27 * time.Minute))
	s.say(i, incident.EventNoted, "dana", "the index node answers 503 to one request in four; failing over")
	s.push("search", "drop the second index", "li", time.Hour)
	s.push("accounts", "shorter names for cookies", "bo", 3*time.Hour)
	s.override("mail", "INC: customers wait for their receipts", 2*time.Hour)
	s.until(s.before(20 * time.Minute))
	s.say(i, incident.EventNoted, "li", "failover has begun, the new node copies 40 GB")
	s.until(s.before(5 * time.Minute))
	s.fine(s.before(3*time.Minute + 30*time.Second))
	s.push("checkout", "gift cards", "ana", 19*time.Hour)
	s.fine(ending)
}

// runbook is gone through for an incident, up to a command that nobody has
// agreed to yet.
func (s *story) runbook(i incident.Incident) {
	key := runbook.Key(i.Service, i.Environment)
	spec, _, err := catalog.Get[runbook.Spec](s.ctx, s.store.States(), runbook.Kind, "index-node")
	s.do(err)
	p := runbook.Place{Run: runbook.RunName("index-node", i.Service, i.Environment, s.clock.Now()), Runbook: "index-node", Service: i.Service, Team: i.Team, Environment: i.Environment, Incident: i.Place.Incident}
	s.append("runbook/"+key, event.Draft{Type: runbook.EventStarted, Subject: "incident/" + p.Incident, Actor: "user:dana", Data: runbook.Started{Place: p, Title: spec.Title, Steps: spec.Steps, Reason: "one node answers 503"}})
	s.append("runbook/"+key, event.Draft{Type: runbook.EventStepped, Subject: "incident/" + p.Incident, Actor: "user:dana", Data: runbook.Stepped{Place: p, Step: 1, Name: "look", Outcome: runbook.OutcomeDone, Reason: "node 3", Text: "index-node: step 1, look, done: node 3"}})
	params := action.Params(runbook.Params{Place: p, Number: 2, Step: spec.Steps[1]})
	act := action.Proposal{ID: "runbook-" + p.Run + "-step2", Type: runbook.ActionCommand, Subject: "runbook/" + key + "/" + p.Run, Reason: "An index node is sick, step 2: fail over", Params: params}
	gated, _ := runbook.Gate(control.GateInput{Action: action.Action{Proposal: act}}, s.clock.Now())
	gated.ID = act.ID
	s.append("runbook/"+key, event.Draft{Type: action.EventProposed, Subject: act.Subject, Actor: "controller:runbook", Data: act})
	s.append("action/"+act.ID, event.Draft{Type: action.EventGated, Subject: act.Subject, Actor: "controller:action", Data: gated})
}

// until lets time pass in minutes, five at a time.
func (s *story) until(at time.Time) { s.pass(at, 5*time.Minute) }

// fine lets time pass in seconds, as fast as the controllers look.
func (s *story) fine(at time.Time) { s.pass(at, time.Second) }

func (s *story) pass(at time.Time, step time.Duration) {
	for s.clock.Now().Before(at) {
		to := s.clock.Now().Add(step)
		s.clock.AdvanceTo(to)
		for ; !s.counted.Add(time.Minute).After(to); s.counted = s.counted.Add(time.Minute) {
			s.world.pass(s.counted, s.counted.Add(time.Minute))
			_, err := s.collector.Pull(s.ctx)
			s.do(err)
			s.watcher.Tick(to)
		}
		s.settle()
	}
}

// settle has the controllers do what is due.
func (s *story) settle() {
	for range 10_000 {
		s.do(s.controls.Poll(s.ctx))
		if did, _ := s.controls.Step(s.ctx); !did {
			return
		}
	}
	s.t.Fatal("the controllers do not come to rest")
}

func commit(subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return hex.EncodeToString(sum[:20])
}

func revision(sha string) string {
	sum := sha256.Sum256([]byte(sha[:7]))
	return artifact.Revision(sha, "sha256:"+hex.EncodeToString(sum[:]))
}

// ship pushes a change and follows its rollout to the end.
func (s *story) ship(service, subject, author string, age time.Duration, wrong defect) {
	s.t.Helper()
	name := s.push(service, subject, author, age)
	s.world.defects[name[len(name)-7:]] = wrong
	limit := s.clock.Now().Add(40 * time.Minute)
	for s.clock.Now().Before(limit) {
		s.fine(s.clock.Now().Add(time.Second))
		r, ok, err := rollout.Get(s.ctx, s.store.States(), name+"-prod-1")
		s.do(err)
		if ok && r.Phase == rollout.PhaseFinished {
			return
		}
	}
	s.t.Fatalf("the rollout of %s has not finished", name)
}

// push records a change, its run and its artifact.
func (s *story) push(service, subject, author string, age time.Duration) string {
	sha := commit(service + subject)
	name := change.Name(service, sha)
	team := map[string]string{"checkout": "payments", "accounts": "payments"}[service]
	if team == "" {
		team = "discovery"
	}
	now := s.clock.Now()
	pushed := change.Pushed{Change: name, Service: service, Team: team, Repository: ".", Branch: "main", Commit: sha,
		Commits: []change.Commit{{SHA: sha, Author: author, Email: author + "@example.org", Authored: now.Add(-age), Committed: now.Add(-age / 2), Subject: subject}},
		Files:   1 + len(subject)%7, Insertions: 11 * len(subject) % 240, Deletions: 7 * len(subject) % 90}
	last, _, err := projection.Get[change.Branch](s.ctx, s.store.States(), "branch", service)
	s.do(err)
	pushed.Previous = last.Commit
	cause := s.append("change/"+name, event.Draft{Type: change.EventPushed, Actor: "user:" + author, Data: pushed})
	s.build(pushed, author, cause)
	return name
}

// build records the run of a change, and what it made.
func (s *story) build(c change.Pushed, author, cause string) {
	run := pipeline.RunName(c.Change, 1)
	spec := pipeline.Spec{Jobs: map[string]pipeline.Job{"build": {Steps: []pipeline.Step{{Name: "test", Run: "go test ./..."}, {Name: "build", Run: "go build"}}}}}
	fact := func(typ string, data any) {
		cause = s.append("pipeline/"+run, event.Draft{Type: typ, Subject: "pipeline/" + run, Actor: "controller:pipeline", Cause: cause, Data: data})
	}
	s.fine(s.clock.Now().Add(2 * time.Second))
	fact(pipeline.EventStarted, pipeline.Started{Run: run, Change: pipeline.Change{Name: c.Change, Service: c.Service, Commit: c.Commit, Subject: c.Commits[0].Subject, Author: author}, Spec: spec})
	fact(pipeline.EventJobStarted, pipeline.JobStarted{Job: "build"})
	for i, took := range []time.Duration{38 * time.Second, 21 * time.Second} {
		fact(pipeline.EventStepStarted, pipeline.StepStarted{Job: "build", Step: i, Seconds: 600})
		s.fine(s.clock.Now().Add(took))
		fact(pipeline.EventStepEnded, pipeline.StepEnded{Job: "build", Step: i, End: workload.EndExited, Seconds: took.Seconds()})
	}
	fact(pipeline.EventJobEnded, pipeline.JobEnded{Job: "build", Result: pipeline.Success})
	sum := sha256.Sum256([]byte(c.Commit[:7]))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	fact(pipeline.EventEnded, pipeline.Ended{Result: pipeline.Success, Digest: digest})
	s.append(artifact.Subject(c.Service, digest), event.Draft{Type: artifact.EventBuilt, Actor: "controller:pipeline", Cause: cause,
		Subject: artifact.Subject(c.Service, digest), Data: artifact.Built{Change: c.Change, Run: run, Service: c.Service, Team: c.Team, Commit: c.Commit, Digest: digest, Revision: artifact.Revision(c.Commit, digest), Size: 7_340_032}})
}

func (s *story) append(stream string, d event.Draft) string {
	s.t.Helper()
	d.Time = s.clock.Now()
	if d.Subject == "" {
		d.Subject = stream
	}
	events, err := s.store.Log().Append(s.ctx, event.Batch{Stream: stream, Expect: event.AnyVersion, Drafts: []event.Draft{d}})
	s.do(err)
	s.settle()
	return events[0].ID
}

func (s *story) override(service, reason string, lasting time.Duration) {
	s.append("override/"+policy.Key(service, "prod"), event.Draft{Type: policy.EventOverridden, Actor: "user:dana",
		Data: policy.Overridden{Service: service, Environment: "prod", Rule: policy.RuleFreeze, Reason: reason, Expires: s.clock.Now().Add(lasting)}})
}

func (s *story) newestIncident() incident.Incident {
	s.t.Helper()
	list, _, err := projection.List[incident.Incident](s.ctx, s.store.States(), incident.ProjectionName, projection.Filter{Index: "service", Value: "search", Newest: true, Limit: 1})
	s.do(err)
	if len(list) == 0 {
		s.t.Fatal("the outage opened no incident")
	}
	return list[0]
}

// resolve ends every incident that is open.
func (s *story) resolve(how string) {
	list, _, err := projection.List[incident.Incident](s.ctx, s.store.States(), incident.ProjectionName, projection.Filter{Index: "state", Value: "open"})
	s.do(err)
	for _, i := range list {
		s.until(s.clock.Now().Add(20 * time.Minute))
		s.say(i, incident.EventResolved, "dana", how)
	}
}

// writeUp has people write in the postmortem of the outage of accounts.
func (s *story) writeUp() {
	list, _, err := projection.List[postmortem.Postmortem](s.ctx, s.store.States(), postmortem.ProjectionName, projection.Filter{Index: "service", Value: "accounts", Limit: 1})
	s.do(err)
	if len(list) == 0 {
		s.t.Fatal("the outage of accounts asked for no postmortem")
	}
	place := list[0].Place
	write := func(by, typ string, data any) {
		s.append("postmortem/"+place.Postmortem, event.Draft{Type: typ, Actor: "user:" + by, Data: data})
	}
	edit := func(by, section, text string) {
		write(by, postmortem.EventEdited, postmortem.Edited{Place: place, Written: postmortem.Written{Section: section, Text: text}, Version: 2})
	}
	edit("bo", postmortem.SectionLessons, "A session store that is full refuses writes and says nothing about it.\n\n- Its memory was never an objective, so nobody looked at `used_memory`.\n- The page named the symptom; dana found the cause in six minutes.")
	edit("bo", postmortem.SectionLucky, "It was not a Friday evening: half as many people would have been there.")
	write("bo", postmortem.EventTagged, postmortem.Tagged{Place: place, Factors: []string{"dependency", "missing-limit"}})
	item := func(n, title, kind, owner string, due time.Duration) {
		write("bo", postmortem.EventItemAdded, postmortem.Item{Place: place, Item: place.Postmortem + "-" + n, Title: title, Kind: kind, Owner: owner, Due: s.clock.Now().Add(due)})
	}
	item("1", "Give the session store an objective for its memory", "detect", "payments", 9*24*time.Hour)
	item("2", "Tell customers sooner: a template for the first update", "process", "dana", 12*time.Hour)
	item("3", "Refuse new sessions before the store is full", "prevent", "bo", 5*24*time.Hour)
	write("bo", postmortem.EventItemClosed, postmortem.Closed{Place: place, Item: place.Postmortem + "-3",
		Evidence: &postmortem.Evidence{Kind: "change", Change: "accounts-6a0c1d2", Text: "the change accounts-6a0c1d2 is on main: refuse sessions above 90 % of the memory"}})
}

func (s *story) say(i incident.Incident, typ, by, text string) {
	s.append("incident/"+incident.Key(i.Service, i.Environment), event.Draft{Type: typ, Subject: "incident/" + i.Place.Incident, Actor: "user:" + by, Data: incident.Said{Place: i.Place, Reason: text}})
}

func TestStory(t *testing.T) {
	h := storied(t)
	ctx := context.Background()
	head, err := h.store.Log().Head(ctx)
	h.do(err)
	t.Log("events:", head.Position)
	list, _, err := projection.List[rollout.Rollout](ctx, h.store.States(), rollout.ProjectionName, projection.Filter{Index: "all", Value: "yes", Limit: 100})
	h.do(err)
	for _, r := range list {
		t.Log(r.StartedAt, r.Rollout, r.Phase, r.Outcome, r.Weight, r.FinishedAt.Sub(r.StartedAt), r.Reason)
	}
	for _, phase := range []string{"blocked", "awaiting approval", "running", "proposed", "failed"} {
		actions, _, err := projection.List[action.Action](ctx, h.store.States(), action.ProjectionName, projection.Filter{Index: "phase", Value: phase, Limit: 100})
		h.do(err)
		for _, a := range actions {
			t.Log(a.Phase, a.ID, a.Type, a.Gate.Reason)
		}
	}
	for _, o := range h.watcher.Snapshots("", "") {
		t.Log(o.ID, o.Budget.RemainingRatio, o.BurnOver(time.Hour), o.Firing("page") != nil, o.Forecast.At)
	}
}

// noteOf is a note that somebody else adds to the newest incident.
func noteOf(s *story, text string) event.Draft {
	i := s.newestIncident()
	return event.Draft{Type: incident.EventNoted, Subject: "incident/" + i.Place.Incident, Actor: "user:li", Data: incident.Said{Place: i.Place, Reason: text}}
}
