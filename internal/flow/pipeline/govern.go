package pipeline

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/flow/artifact"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Govern is the pure decision about one run: what has ended becomes facts, and
// what can be done next becomes facts and actions.
func Govern(v control.View[State], now time.Time) control.Plan {
	s := v.State
	if s.Start != nil {
		return control.Plan{
			Verdict: "start", Rule: "push", Cause: s.Cause, Reason: "a change was pushed: " + s.Start.Change.Subject,
			Facts: []event.Draft{{Type: EventStarted, Data: *s.Start}},
		}
	}
	if s.Run == nil || s.Run.Phase != Running {
		return control.Plan{}
	}
	g := &governor{view: v, state: s, run: *s.Run, plan: control.Plan{Verdict: "run", Rule: "graph"}}
	g.endings()
	admission := Admit(append(g.run.Claims(), s.Others...))
	for _, c := range admission.Cancel {
		if c.Run == g.run.ID && g.run.Cancelled == "" {
			g.fact(event.Draft{Type: EventCancelled, Data: Cancelled{Reason: "a newer run in concurrency group " + c.Group + " takes its place"}})
		}
	}
	for _, o := range Decide(View{Run: g.run, Slots: MaxParallel - s.Busy, Granted: admission.For(g.run.ID)}) {
		g.order(o)
	}
	if len(g.plan.Facts)+len(g.plan.Actions) == 0 {
		return control.Plan{Wake: now.Add(stepTick)}
	}
	g.plan.Wake = now.Add(stepTick)
	return g.plan
}

type governor struct {
	view  control.View[State]
	state State
	run   Run
	plan  control.Plan
}

// fact plans a fact and goes on as if it had been recorded.
func (g *governor) fact(d event.Draft) {
	g.plan.Facts = append(g.plan.Facts, d)
	raw, err := json.Marshal(d.Data)
	if err != nil {
		panic("pipeline: a fact cannot be written as JSON: " + err.Error())
	}
	if g.run, err = g.run.Apply(event.Event{Type: d.Type, Data: raw}); err != nil {
		panic("pipeline: a fact cannot be read back: " + err.Error())
	}
}

// endings turns what has ended outside into facts.
func (g *governor) endings() {
	var observed []Observed
	g.view.Reading("steps", &observed)
	for _, o := range observed {
		if !o.Known || !o.Status.Ended() {
			continue
		}
		end := StepEnded{Job: o.Job, Step: o.Step, End: o.Status.End, ExitCode: o.Status.ExitCode, Detail: o.Status.Detail, Seconds: o.Seconds, Outputs: o.Outputs}
		if o.Status.Signal != "" {
			end.Detail = o.Status.Signal
		}
		if o.Error != "" && o.Status.Succeeded() {
			end.End, end.Detail = workload.EndStartFailed, o.Error
		}
		g.fact(event.Draft{Type: EventStepEnded, Data: end})
	}
	for _, id := range g.run.Spec.Order() {
		job := g.run.Jobs[id]
		for n, step := range job.Steps {
			if a := g.state.Acts[slotOf(g.run.ID, "step", id, n)]; step.Phase == Running && (a.Phase == action.Failed || a.Phase == action.Rejected) {
				g.fact(event.Draft{Type: EventStepEnded, Data: StepEnded{Job: id, Step: n, End: workload.EndStartFailed, Detail: a.Error}})
			}
		}
		if job.Phase == Packing && job.Digest == "" && job.PackError == "" {
			g.packed(id, g.state.Acts[slotOf(g.run.ID, "pack", id, 0)])
		}
	}
}

func (g *governor) packed(id string, a Acts) {
	switch a.Phase {
	case action.Succeeded:
		var out BuildOutput
		if err := json.Unmarshal(a.Output, &out); err != nil {
			a.Error = err.Error()
		}
		g.fact(event.Draft{Type: EventJobPacked, Data: JobPacked{Job: id, Digest: out.Digest, Error: a.Error}})
	case action.Failed, action.Rejected:
		g.fact(event.Draft{Type: EventJobPacked, Data: JobPacked{Job: id, Error: a.Error}})
	}
}

// order turns one order into its fact and its action.
func (g *governor) order(o Order) {
	if typ, data := o.Fact(); typ != "" {
		g.fact(event.Draft{Type: typ, Data: data})
	}
	subject := ProjectionName + "/" + g.run.ID
	switch o.Kind {
	case OrderStartStep:
		g.plan.Reason = "start " + o.Job + ": " + g.run.Spec.Jobs[o.Job].Steps[o.Step].Title()
		g.plan.Actions = append(g.plan.Actions, action.Proposal{
			Type: ActionStep, Subject: subject, Slot: slotOf(g.run.ID, "step", o.Job, o.Step), Reason: g.plan.Reason,
			Params: action.Params(StepParams{Run: g.run.ID, Change: g.run.Change, Order: o}),
		})
	case OrderCancelStep:
		slot := slotOf(g.run.ID, "cancel", o.Job, o.Step)
		if _, asked := g.state.Acts[slot]; asked {
			return
		}
		g.plan.Reason = "cancel: " + o.Reason
		g.plan.Actions = append(g.plan.Actions, action.Proposal{
			Type: ActionCancel, Subject: subject, Slot: slot, Reason: o.Reason,
			Params: action.Params(StepParams{Run: g.run.ID, Change: g.run.Change, Order: o}),
		})
	case OrderPack:
		g.plan.Reason = "make the artifact of " + o.Job
		g.plan.Actions = append(g.plan.Actions, action.Proposal{
			Type: ActionBuild, Subject: subject, Slot: slotOf(g.run.ID, "pack", o.Job, 0), Reason: g.plan.Reason,
			Params: action.Params(StepParams{Run: g.run.ID, Change: g.run.Change, Order: o}),
		})
	case OrderEndJob:
		g.plan.Reason = fmt.Sprintf("%s: %s %s", o.Job, o.Result, o.Reason)
	case OrderEndRun:
		g.plan.Verdict, g.plan.Reason = string(o.Result), or(o.Reason, "every job succeeded")
		g.built(o)
	}
}

// built records the artifact of a run that passed: from here on it may be
// released.
func (g *governor) built(o Order) {
	if o.Result != Success || o.Digest == "" {
		return
	}
	c := g.run.Change
	b := artifact.Built{
		Change: c.Name, Run: g.run.ID, Service: c.Service, Team: g.state.Team, Commit: c.Commit,
		Digest: o.Digest, Revision: artifact.Revision(c.Commit, o.Digest),
	}
	for _, id := range g.run.Spec.Order() {
		var out BuildOutput
		if a := g.state.Acts[slotOf(g.run.ID, "pack", id, 0)]; json.Unmarshal(a.Output, &out) == nil && out.Digest == o.Digest {
			b.Size = out.Size
		}
	}
	g.plan.Facts = append(g.plan.Facts, event.Draft{Type: artifact.EventBuilt, Subject: artifact.Subject(c.Service, o.Digest), Data: b})
}
