package rollout

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/traffic"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

var update = flag.Bool("update", false, "write what the scenarios in testdata/scenario give")

// TestScenarios plays testdata/scenario/*.txtar: the section "started" is what
// a rollout starts with, over defaults; "script" is what happens, one thing a
// line, each at its second; "want" is every verdict that is not a hold for
// evidence, with its facts and actions, and how it ends.
//
//	0 workload starting|ready|failed REASON   what the runtime observes
//	3 users RATE BAD% SLOW% BAD% SLOW%        a second, on the baseline and on the canary
//	9 pause|resume|promote|abort REASON       what a person asks for
//	9 budget LEFT ALLOWED                     bad requests of the availability objective
//	9 agent down|up                           nothing is observed, and actions fail
//	9 actions fail|work                       actions alone fail
//	9 lapse                                   the lease of the canary's share runs out
//	9 asleep SECONDS                          the machine is, and nothing is served
//	9 restart                                 another server folds everything anew
//	60 end                                    look every second until here
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenario/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string]string{}
			for _, f := range a.Files {
				sections[f.Name] = string(f.Data)
			}
			s := newScene(t, sections["started"])
			s.play(sections["script"])
			if got := s.out.String(); got != sections["want"] && !*update {
				t.Errorf("got\n%s\nwant\n%s", got, sections["want"])
			} else if *update {
				a.Files[2].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// users is what both arms are asked and how they fare.
type users struct{ rate, baseBad, baseSlow, canaryBad, canarySlow float64 }

// scene is one rollout with a modelled outside.
type scene struct {
	t       *testing.T
	out     strings.Builder
	second  int
	skipped int // seconds of sleep
	log     []event.Event
	state   Rollout
	status  *workload.Status
	users   users
	served  users // requests and failures so far, for even spreading
	bins    []ArmsBin
	share   int // effective, basis points
	lapsed  bool
	down    bool
	failing bool // actions fail
	budget  release.Budget
	waiting []action.Proposal
}

var zero = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func (s *scene) now() time.Time { return zero.Add(time.Duration(s.second+s.skipped) * time.Second) }

func newScene(t *testing.T, started string) *scene {
	s := &scene{t: t, budget: release.Budget{Objectives: []release.BudgetLeft{{Name: "availability", Allowed: 200_000, BadLeft: 200_000}}}}
	d := Started{
		Rollout: "cart-3f2a91c-prod-1", Release: "cart-3f2a91c-prod", Change: "cart-3f2a91c", Service: "cart", Team: "shop", Environment: "prod",
		Commit: "3f2a91c", Digest: "sha256:9be01d", Revision: "new", From: "old", FromCommit: "1111111", Kind: "deploy", Strategy: StrategyCanary,
		Plan: Plan{
			Steps: []int{500, 2500, 5000}, StepSeconds: 10, DeadlineSeconds: 60, OnDeadline: "ask", Alpha: 0.01, BudgetShare: 0.02, BinSeconds: 1,
			DeclaredRate: 200, PeriodSeconds: 28 * 86400, ReadySeconds: 60,
			Objectives: []Goal{{Name: "errors", Objective: "availability", Target: 0.999}, {Name: "slow", Objective: "latency", Target: 0.99, ThresholdNS: 3e8}},
		},
		Workload: Workload{Command: []string{"bin/cart"}, Instances: 1},
	}
	if err := json.Unmarshal([]byte(started), &d); err != nil {
		t.Fatalf("started: %v", err)
	}
	s.record("started", event.Draft{Type: EventStarted, Data: d})
	return s
}

// record appends a fact and folds it.
func (s *scene) record(actor string, d event.Draft) {
	data, err := json.Marshal(d.Data)
	if err != nil {
		s.t.Fatal(err)
	}
	e := event.Event{Position: int64(len(s.log) + 1), ID: fmt.Sprint("e", len(s.log)+1), Type: d.Type, Subject: "rollout/x", Time: s.now(), Actor: actor, Data: data}
	s.log = append(s.log, e)
	if s.state, err = s.state.apply(e); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) play(script string) {
	for line := range strings.Lines(script) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		at, err := strconv.Atoi(f[0])
		if err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		for s.second < at {
			s.tick()
		}
		s.do(f[1], f[2:])
	}
	s.say("%s, canary %d basis points, %d actions waiting", strings.TrimSpace(string(s.state.Phase)+" "+s.state.Outcome), s.share, len(s.waiting))
}

func (s *scene) do(what string, args []string) {
	rest := strings.Join(args, " ")
	switch what {
	case "workload":
		s.status = &workload.Status{Ref: workload.Ref{Revision: s.state.Revision}, State: workload.State(args[0]), Reason: strings.Join(args[1:], " ")}
	case "users":
		var n [5]float64
		for i := range args {
			v, err := strconv.ParseFloat(strings.TrimSuffix(args[i], "%"), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			n[i] = v
		}
		s.users = users{n[0], n[1] / 100, n[2] / 100, n[3] / 100, n[4] / 100}
	case "pause", "resume", "promote", "abort":
		typ := map[string]string{"pause": EventPaused, "resume": EventResumed, "promote": EventPromoteRequested, "abort": EventAbortRequested}[what]
		s.record("user:ana", event.Draft{Type: typ, Data: Ref{Reason: rest}})
	case "budget":
		left, err1 := strconv.ParseFloat(args[0], 64)
		allowed, err2 := strconv.ParseFloat(args[1], 64)
		if err1 != nil || err2 != nil {
			s.t.Fatal(rest)
		}
		s.budget.Objectives[0].BadLeft, s.budget.Objectives[0].Allowed = left, allowed
	case "agent":
		s.down = args[0] == "down"
		s.failing = s.down
	case "actions":
		s.failing = args[0] == "fail"
	case "lapse":
		s.lapsed, s.share = true, 0
	case "asleep":
		n, err := strconv.Atoi(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		s.skipped += n
	case "restart":
		s.restart()
	case "end":
	default:
		s.t.Fatalf("no command %q", what)
	}
}

// restart folds everything anew, from what was written.
func (s *scene) restart() {
	live, err := json.Marshal(s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	s.state = Rollout{}
	for _, e := range s.log {
		written, err := json.Marshal(s.state)
		if err == nil {
			s.state = Rollout{}
			err = json.Unmarshal(written, &s.state)
		}
		if err == nil {
			s.state, err = s.state.apply(e)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if anew, _ := json.Marshal(s.state); string(anew) != string(live) {
		s.t.Errorf("folded anew the state is another:\n%s\n%s", anew, live)
	}
}

// tick lets a second of traffic go by and decides until nothing is left to.
func (s *scene) tick() {
	s.serve()
	s.second++
	s.work()
	for range 10 {
		before := len(s.log)
		s.decide()
		s.work()
		if len(s.log) == before {
			return
		}
	}
	s.t.Fatalf("second %d: it goes on deciding without end", s.second)
}

// serve spreads a second's requests and failures evenly.
func (s *scene) serve() {
	canary := s.users.rate * float64(s.share) / traffic.Whole
	arm := func(rate, bad, slow float64, nth float64) Counts {
		// Failures come at every (1/bad)-th request: whole numbers of an even stream.
		upTo := func(share float64) int64 { return int64((nth+rate)*share+1e-9) - int64(nth*share+1e-9) }
		return Counts{Requests: int64(nth+rate) - int64(nth), Errors: upTo(bad), Slow: []int64{upTo(slow)}}
	}
	b := ArmsBin{Time: s.now(), Baseline: arm(s.users.rate-canary, s.users.baseBad, s.users.baseSlow, s.served.rate), Canary: arm(canary, s.users.canaryBad, s.users.canarySlow, s.served.baseBad)}
	s.served.rate += s.users.rate - canary
	s.served.baseBad += canary
	s.bins = append(s.bins, b)
}

// readings answers what the controller needs, as the App's sources do.
func (s *scene) readings() []control.Reading {
	var out []control.Reading
	for _, r := range needs("x", s.state, s.now()) {
		var data any
		complete := !s.down
		switch r.Source {
		case "workload":
			list := []workload.Status{}
			if s.status != nil && !s.down {
				list = append(list, *s.status)
			}
			data = list
		case "traffic":
			data = traffic.Observation{Lapsed: s.lapsed}
		case "budget":
			data, complete = s.budget, true
		case "arms":
			args := r.Args.(ArmsArgs)
			a := Arms{From: args.From, Until: s.now(), WidthSeconds: 1, ThresholdsNS: args.Thresholds}
			for _, b := range s.bins {
				if !b.Time.Before(a.From) && b.Baseline.Requests+b.Canary.Requests > 0 {
					a.Bins = append(a.Bins, b)
				}
			}
			data = a
		}
		raw, err := json.Marshal(data)
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, control.Reading{Name: r.Name, Source: r.Source, From: s.now(), To: s.now(), Complete: complete, Data: raw})
	}
	return out
}

// decide decides once, tells what matters, and records it.
func (s *scene) decide() {
	state := s.state
	state.Trace = nil
	v := control.View[Rollout]{Key: "x", State: state, Readings: s.readings()}
	plan := Decide(v, s.now())
	s.replay(v, plan)
	if plan.Verdict == "" {
		return
	}
	if plan.Verdict != "hold" || plan.Rule != ruleEvidence {
		s.tell(plan)
	}
	for _, f := range plan.Facts {
		s.record("controller:rollout", f)
	}
	for i, p := range plan.Actions {
		p.ID = fmt.Sprintf("a%d.%d", len(s.log), i)
		s.record("controller:rollout", event.Draft{Type: action.EventProposed, Data: p})
		s.waiting = append(s.waiting, p)
	}
}

// replay recomputes the decision from what would be recorded.
func (s *scene) replay(v control.View[Rollout], plan control.Plan) {
	view, err1 := json.Marshal(v)
	was, err2 := json.Marshal(plan)
	_, same, err := Controller().Replay(control.Decision{Now: s.now(), View: view, Plan: was})
	if err1 != nil || err2 != nil || err != nil || !same {
		s.t.Errorf("second %d: %q does not come out again (%v)", s.second, plan.Reason, err)
	}
}

func (s *scene) tell(p control.Plan) {
	s.say("%s (%s): %s", p.Verdict, p.Rule, p.Reason)
	for _, f := range p.Facts {
		line := f.Type
		switch d := f.Data.(type) {
		case Stepped:
			line += fmt.Sprintf(" step %d, %d basis points", d.Step, d.Weight)
		case Ended:
			line += fmt.Sprintf(" %s %s", d.Outcome, d.Culprit)
		}
		fmt.Fprintf(&s.out, "       %s\n", strings.TrimSpace(line))
	}
	for _, a := range p.Actions {
		fmt.Fprintf(&s.out, "       → %s: %s\n", a.Type, a.Reason)
	}
}

func (s *scene) say(format string, args ...any) {
	fmt.Fprintf(&s.out, "%4d  %s\n", s.second, fmt.Sprintf(format, args...))
}

// work is the executor: of wishes in one slot only the newest is tried.
func (s *scene) work() {
	newest := map[string]string{}
	for _, p := range s.waiting {
		newest[p.Slot] = p.ID
	}
	left := s.waiting[:0:0]
	for _, p := range s.waiting {
		switch {
		case newest[p.Slot] != p.ID:
			s.record("controller:action", event.Draft{Type: action.EventSuperseded, Data: action.Ref{ID: p.ID}})
		case s.failing:
			left = append(left, p)
			if p.ID != s.tried() {
				s.record("controller:action", event.Draft{Type: action.EventAttempted, Data: action.Attempt{ID: p.ID, Attempt: 1, Error: "the agent does not answer"}})
			}
		default:
			s.effect(p)
			s.record("controller:action", event.Draft{Type: action.EventSucceeded, Data: action.Result{ID: p.ID}})
		}
	}
	s.waiting = left
}

// tried is the action that was attempted last: one failed attempt is enough to
// tell.
func (s *scene) tried() string {
	for i := len(s.log) - 1; i >= 0; i-- {
		if s.log[i].Type == action.EventAttempted {
			ref, _ := event.Decode[action.Ref](s.log[i])
			return ref.ID
		}
	}
	return ""
}

func (s *scene) effect(p action.Proposal) {
	switch p.Type {
	case ActionShift:
		var split traffic.Split
		if err := json.Unmarshal(p.Params, &split); err != nil {
			s.t.Fatal(err)
		}
		s.share, s.lapsed = 0, false
		for _, share := range split.Shares {
			if share.Revision == s.state.Revision {
				s.share = share.Weight
			}
		}
	case ActionUnroute:
		s.share = 0
	case ActionEnsure:
		if s.status == nil {
			s.status = &workload.Status{Ref: workload.Ref{Revision: s.state.Revision}, State: workload.Starting}
		}
	}
}
