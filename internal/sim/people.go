package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// people push, look, intervene and approve. They use the operations that every
// face offers, and what fails because a server is gone they do again later.
type people struct {
	w         *world
	r         *rand.Rand
	acts      []act
	pushes    int
	answering bool // somebody answers what is asked
}

// act is something a person means to do.
type act struct {
	second int
	what   string
	target string
}

func newPeople(w *world, seed uint64) *people {
	p := &people{w: w, r: rand.New(rand.NewPCG(seed, 4))}
	for i, s := range w.company.services {
		p.plan(4+i, "push", s.name)
		for range 1 + p.r.IntN(2) {
			p.plan(12+p.r.IntN(w.company.busy-15), "push", s.name)
		}
	}
	if p.r.IntN(3) == 0 { // somebody insists
		for i := range 3 {
			p.plan(w.company.busy-15+20*i, "rollback", w.company.services[0].name)
		}
	}
	for range p.r.IntN(6) {
		what := pick(p.r, "pause", "resume", "promote", "abort", "rollback", "mark", "override", "unquarantine", "ack", "resolve", "cancel", "restart", "reject")
		p.plan(10+p.r.IntN(w.company.busy-10), what, "")
	}
	return p
}

func (p *people) plan(second int, what, target string) {
	p.acts = append(p.acts, act{second, what, target})
}

// tick does what is due, while a server is up.
func (p *people) tick() {
	due := func(a act) bool { return a.second <= p.w.second }
	for p.w.server != nil && slices.ContainsFunc(p.acts, due) {
		i := slices.IndexFunc(p.acts, due)
		a := p.acts[i]
		p.acts = slices.Delete(p.acts, i, i+1)
		p.do(a)
	}
	if p.w.server == nil {
		return
	}
	if p.w.second%7 == 0 || p.answering {
		p.approve()
	}
	if p.answering {
		p.answer()
	}
	if p.w.settled && len(p.acts) == 0 && p.w.second%5 == 0 {
		p.do(act{what: "resume"}) // nothing stays paused
	}
}

// meddle does a thing in the very moment in which a controller decides.
func (p *people) meddle() {
	p.do(act{p.w.second, pick(p.r, "pause", "resume", "promote", "abort", "ack"), ""})
}

func (p *people) do(a act) {
	switch a.what {
	case "push":
		p.push(a.target)
	case "pause", "promote", "abort":
		if all := p.moving(); len(all) > 0 {
			p.call("rollout."+a.what, reasoned("rollout", all[p.r.IntN(len(all))].Rollout), a)
		}
	case "resume":
		for _, r := range p.moving() {
			if r.Paused != nil {
				p.call("rollout.resume", reasoned("rollout", r.Rollout), a)
			}
		}
	case "ack", "resolve":
		if open := p.openIncidents(); len(open) > 0 {
			p.call("incident."+a.what, reasoned("incident", open[0]), a)
		}
	case "cancel":
		if runs := list[pipeline.Run](p, pipeline.ProjectionName, "active", "yes"); len(runs) > 0 {
			p.call("pipeline.cancel", reasoned("run", runs[0].ID), a)
		}
	case "reject":
		if waiting := p.waiting(); len(waiting) > 0 {
			p.call("action.reject", reasoned("action", waiting[0].ID), a)
		}
	default:
		p.doAt(a)
	}
}

// doAt does what concerns a service where its users are.
func (p *people) doAt(a act) {
	s := a.target
	if s == "" {
		s = p.w.company.services[p.r.IntN(len(p.w.company.services))].name
	}
	environment := p.w.company.environments[len(p.w.company.environments)-1]
	in := reasoned("service", s)
	in["environment"] = environment
	switch a.what {
	case "rollback":
		p.call("release.rollback", in, a)
	case "override":
		p.call("override.grant", in, a)
	case "restart":
		p.call("service.restart", in, a)
	case "unquarantine":
		here := read[release.Place](p, release.PlaceName, release.PlaceKey(s, environment))
		if bad := sortedKeys(here.Quarantine); len(bad) > 0 {
			in["revision"] = bad[0]
			p.call("release.unquarantine", in, a)
		}
	case "mark":
		if k := p.w.shop.repos[s].commits; len(k) > 0 {
			in := reasoned("change", s+"-"+k[len(k)-1].SHA[:7])
			in["as"] = "fix"
			p.call("change.mark", in, a)
		}
	}
}

// reasoned is an input that names something and says why.
func reasoned(field, name string) map[string]any {
	return map[string]any{field: name, "reason": "because"}
}

// push commits a change and tells the server, or leaves it to the poll.
func (p *people) push(service string) {
	r := p.w.shop.repos[service]
	p.pushes++
	if len(r.commits) > 1 && p.r.IntN(8) == 0 { // a force-push
		last := r.commits[len(r.commits)-1]
		r.lost = map[string]bool{last.SHA: true}
		r.commits = r.commits[:len(r.commits)-1]
		p.w.tracef("people force-push %s over %s", service, last.SHA[:7])
	}
	k := r.commit(p.pushes, pick(p.r, "ana", "ben"), p.drawConduct(len(r.commits) == 0))
	p.w.tracef("people push %s %s: %s", service, k.SHA[:7], k.Subject)
	if p.r.IntN(2) == 0 {
		p.call("change.push", map[string]any{"service": service}, act{p.w.second, "hook", service})
	}
}

func (p *people) drawConduct(first bool) conduct {
	c := conduct{kind: "good", readyAfter: 1 + p.r.IntN(5), buildTime: p.r.IntN(4)}
	if c.stale = p.r.IntN(3) == 0; first {
		return c
	}
	switch n := p.r.IntN(100); {
	case n < 45:
	case n < 60:
		c.kind, c.errors = "errors", pick(p.r, 0.4, 0.7, 1)
	case n < 72:
		c.kind, c.slow = "slow", pick(p.r, 0.4, 0.9)
	case n < 80:
		c.kind, c.hang = "hang", pick(p.r, 0.4, 1.0)
	case n < 84:
		c.kind, c.neverReady = "never ready", true
	case n < 90:
		c.kind, c.crashLoop = "crash loop", true
	default:
		c.kind, c.breaks = "broken build", pick(p.r, "make build", "make test")
	}
	return c
}

// approve is an operator who goes through what waits for people.
func (p *people) approve() {
	for _, v := range p.waiting() {
		if p.answering || p.r.IntN(4) > 0 {
			p.call("action.approve", reasoned("action", v.ID), act{})
		}
	}
}

func (p *people) waiting() []action.Action {
	return list[action.Action](p, action.ProjectionName, "phase", string(action.Awaiting))
}

// answer ends what waits for an answer: asked rollouts go back, releases that
// stay blocked are rejected.
func (p *people) answer() {
	for _, r := range p.moving() {
		if r.Asked && r.Abort == nil && r.Phase != rollout.PhaseGoingBack {
			p.call("rollout.abort", reasoned("rollout", r.Rollout), act{})
		}
	}
}

func (p *people) moving() []rollout.Rollout {
	return list[rollout.Rollout](p, rollout.ProjectionName, "moving", "yes")
}

func (p *people) openIncidents() []string {
	var out []string
	for _, i := range list[struct {
		Incident string `json:"incident"`
	}](p, "incident", "state", "open") {
		out = append(out, i.Incident)
	}
	return out
}

// blocked reports whether an action waits for its gate.
func (p *people) blocked() bool {
	return len(list[action.Action](p, action.ProjectionName, "phase", string(action.Blocked))) > 0
}

// nothingMoves reports whether all that was begun is done. What is asked may
// wait when unanswered is true; what a gate blocks may wait in any case.
func (p *people) nothingMoves(unanswered bool) bool {
	if p.w.server == nil || p.w.former != nil || len(p.acts) > 0 || p.w.plane.down() {
		return false
	}
	for _, r := range p.moving() {
		if !unanswered || !r.Asked {
			return false
		}
	}
	for _, a := range list[action.Action](p, action.ProjectionName, "open", "yes") {
		if a.Phase != action.Blocked && (!unanswered || a.Phase != action.Awaiting) {
			return false
		}
	}
	return len(list[pipeline.Run](p, pipeline.ProjectionName, "active", "yes")) == 0
}

// checkAsked looks at what is still moving although nobody kept it from ending.
func (p *people) checkAsked() {
	for _, r := range p.moving() {
		if !r.Asked {
			p.w.violated(ruleEnds, "%s is %s since second %.0f, at %d basis points, and nobody was asked: %s",
				r.Rollout, r.Phase, r.StartedAt.Sub(start).Seconds(), r.Weight, r.Reason)
		}
	}
}

// call has somebody do an operation. One that a crash came between is done
// again later.
func (p *people) call(name string, in map[string]any, again act) {
	s := p.w.server
	if s == nil {
		return
	}
	i := slices.IndexFunc(s.app.Operations, func(o operation.Operation) bool { return o.Name() == name })
	if i < 0 {
		panic("sim: there is no operation " + name)
	}
	o := s.app.Operations[i]
	input := o.NewInput()
	text, err := json.Marshal(in)
	if err == nil {
		err = json.Unmarshal(text, input)
	}
	if err != nil {
		panic("sim: input of " + name + ": " + err.Error())
	}
	caller := operation.Caller{Name: "user:olga", Grants: []operation.Grant{{Role: operation.Admin}}}
	run := func(ctx context.Context) error {
		_, err := o.Call(ctx, caller, input)
		p.w.tracef("people %s %s: %v", name, text, err)
		return err
	}
	if p.w.acting == s { // in the middle of its own work
		_ = run(s.ctx) // what fails is told in the trace, and not done again
		return
	}
	failed := error(nil)
	p.w.act(s, func(ctx context.Context) error {
		failed = run(ctx)
		return nil
	})
	switch problem.KindOf(failed) {
	case problem.Internal:
		if !s.dead {
			p.w.violated(ruleServes, "%s fails: %v", name, failed)
		}
	}
	if s.dead && again.what != "" && again.what != "hook" {
		again.second = p.w.second + 10
		p.acts = append(p.acts, again)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// list reads states by an index, as the store has them.
func list[S any](p *people, name, index, value string) []S {
	states, _, err := projection.List[S](context.Background(), p.w.keeper.entry.States(), name, projection.Filter{Index: index, Value: value, Limit: 1000})
	if err != nil {
		panic(fmt.Sprintf("sim: states of %s cannot be read: %v", name, err))
	}
	return states
}

// read reads one state, zero when there is none.
func read[S any](p *people, name, key string) S {
	s, _, err := projection.Get[S](context.Background(), p.w.keeper.entry.States(), name, key)
	if err != nil {
		panic(fmt.Sprintf("sim: state %s of %s cannot be read: %v", key, name, err))
	}
	return s
}

// pager is whoever receives messages, and drops those it has seen.
type pager struct {
	w        *world
	accepted map[string]int // deliveries by message
}

type notifier struct{ s *server }

var _ notify.Notifier = notifier{}

// Send delivers, or fails before or after it has.
func (n notifier) Send(_ context.Context, m notify.Message) (notify.Receipt, error) {
	err := n.s.effect("notify.send", false, func() error {
		p := n.s.w.pager
		flaky := n.s.w.chaos.breaks() && n.s.w.chaos.r.IntN(4) == 0
		if flaky && n.s.w.chaos.r.IntN(2) == 0 {
			return problem.New(problem.Unavailable, "notify.send", "the receiver does not answer")
		}
		p.accepted[m.ID]++
		n.s.w.tracef("pager  gets %s", m.ID)
		if flaky {
			return problem.New(problem.Unavailable, "notify.send", "the answer was lost")
		}
		return nil
	})
	return notify.Receipt{Status: 204}, err
}
