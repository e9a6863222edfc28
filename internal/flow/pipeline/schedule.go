package pipeline

import (
	"encoding/json"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// View is what a run's next orders are decided from.
type View struct {
	Run     Run
	Slots   int             // jobs that may start now, beside those that run
	Granted map[string]bool // jobs, or "" for the run, that Admit let into their group
}

// OrderKind says what an Order is.
type OrderKind string

// The kinds of order. StartStep, CancelStep and Pack act on the world; all but
// CancelStep are also facts.
const (
	OrderStartJob   OrderKind = "start-job"
	OrderStartStep  OrderKind = "start-step"
	OrderSkipStep   OrderKind = "skip-step"
	OrderCancelStep OrderKind = "cancel-step"
	OrderPack       OrderKind = "pack"
	OrderEndJob     OrderKind = "end-job"
	OrderEndRun     OrderKind = "end-run"
)

// Order is one thing to do for a run.
type Order struct {
	Kind    OrderKind         `json:"kind"`
	Job     string            `json:"job,omitempty"`
	Step    int               `json:"step,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	Result  Result            `json:"result,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`
	Digest  string            `json:"digest,omitempty"` // end-run: of the artifact
	Files   []string          `json:"files,omitempty"`  // pack: which

	// Of a step to start. Limit is to be enforced where it runs.
	Script  string        `json:"script,omitempty"`
	Command []string      `json:"command,omitempty"` // nil: the default shell runs Script
	Dir     string        `json:"dir,omitempty"`     // within the checkout
	Env     Environment   `json:"env,omitzero"`
	Limit   time.Duration `json:"limit_ns,omitempty"`
}

// Fact is the event that an order is: its type and payload. CancelStep is none.
func (o Order) Fact() (typ string, data any) {
	switch o.Kind {
	case OrderStartJob:
		return EventJobStarted, JobStarted{Job: o.Job}
	case OrderStartStep:
		return EventStepStarted, StepStarted{Job: o.Job, Step: o.Step, Seconds: o.Limit.Seconds()}
	case OrderSkipStep:
		return EventStepSkipped, StepSkipped{Job: o.Job, Step: o.Step, Reason: o.Reason, Result: o.Result}
	case OrderPack:
		return EventJobPacking, JobPacking{Job: o.Job, Files: o.Files}
	case OrderEndJob:
		return EventJobEnded, JobEnded{Job: o.Job, Result: o.Result, Reason: o.Reason, Outputs: o.Outputs}
	case OrderEndRun:
		return EventEnded, Ended{Result: o.Result, Reason: o.Reason, Digest: o.Digest}
	}
	return "", nil
}

// Decide says all that can be done for a run now. It is pure, and deciding
// again after its orders became facts gives nothing but cancellations of what
// still runs, which are harmless to repeat.
func Decide(v View) []Order {
	if v.Run.Phase != Running {
		return nil
	}
	d := &decision{run: v.Run, slots: v.Slots, granted: v.Granted}
	order := v.Run.Spec.Order()
	for grew := true; grew; {
		before := len(d.plan)
		for _, id := range order {
			d.job(id)
		}
		grew = len(d.plan) > before
	}
	d.cancel(order)
	d.end(order)
	return d.plan
}

type decision struct {
	run     Run // with the plan so far applied
	slots   int
	granted map[string]bool
	plan    []Order
}

// add plans an order and goes on as if it had been recorded.
func (d *decision) add(o Order) {
	d.plan = append(d.plan, o)
	typ, data := o.Fact()
	raw, err := json.Marshal(data)
	if err != nil {
		panic("pipeline: a fact cannot be written as JSON: " + err.Error())
	}
	if d.run, err = d.run.Apply(event.Event{Type: typ, Data: raw}); err != nil {
		panic("pipeline: a fact cannot be read back: " + err.Error())
	}
}

// job plans what one job can do next, until it must wait.
func (d *decision) job(id string) {
	switch d.run.Jobs[id].Phase {
	case Waiting:
		d.startJob(id)
	case Packing:
		d.endPacking(id)
	}
	for d.run.Jobs[id].Phase == Running && d.step(id) {
	}
}

func (d *decision) startJob(id string) {
	for _, n := range d.run.Spec.Jobs[id].Needs {
		if d.run.Jobs[n].Phase != Done {
			return
		}
	}
	holds, err := d.run.jobHolds(id)
	if err != nil {
		d.endJob(id, Failure, "if: "+err.Error())
		return
	}
	if !holds {
		d.endJob(id, d.notRun(), d.whyNot(id))
		return
	}
	group, err := d.run.group(id)
	if err != nil {
		d.endJob(id, Failure, err.Error())
		return
	}
	admitted := (group == "" || d.granted[id]) && (d.run.Spec.Concurrency == nil || d.granted[""])
	if admitted && d.slots > 0 {
		d.slots--
		d.add(Order{Kind: OrderStartJob, Job: id})
	}
}

// notRun is the result of what is left out: cancelled if the run was.
func (d *decision) notRun() Result {
	if d.run.Cancelled != "" {
		return CancelledResult
	}
	return Skipped
}

// whyNot says why a job's condition does not hold.
func (d *decision) whyNot(id string) string {
	if d.run.Cancelled != "" {
		return d.run.Cancelled
	}
	for _, n := range d.run.Spec.Jobs[id].Needs {
		if r := d.run.Jobs[n].Result; r != Success {
			return "needs " + n + ", which ended with " + string(r)
		}
	}
	if cond := d.run.Spec.Jobs[id].If; cond != "" {
		return "if: " + cond + " is false"
	}
	return "a job before it failed"
}

func (d *decision) endJob(id string, result Result, reason string) {
	d.add(Order{Kind: OrderEndJob, Job: id, Result: result, Reason: reason})
}

// step plans a running job's next step or its end and reports whether there may
// be more to plan.
func (d *decision) step(id string) bool {
	states := d.run.Jobs[id].Steps
	for n, s := range states {
		switch s.Phase {
		case Running:
			return false
		case Waiting:
			if left := d.run.left(id); left <= 0 {
				d.endJob(id, Failure, "timed out after "+d.run.Spec.Jobs[id].Limit().String())
			} else {
				d.startStep(id, n, left)
			}
			return true
		}
	}
	d.finish(id)
	return true
}

func (d *decision) startStep(id string, n int, left time.Duration) {
	skip := func(result Result, reason string) {
		d.add(Order{Kind: OrderSkipStep, Job: id, Step: n, Result: result, Reason: reason})
	}
	holds, err := d.run.stepHolds(id, n)
	if err != nil {
		skip(Failure, "if: "+err.Error())
		return
	}
	step := d.run.Spec.Jobs[id].Steps[n]
	if !holds {
		switch {
		case d.run.Jobs[id].Cancelled != "":
			skip(CancelledResult, d.run.Cancelled)
		case step.If != "":
			skip(Skipped, "if: "+step.If+" is false")
		default:
			skip(Skipped, "a step before it failed")
		}
		return
	}
	script, env, err := d.run.command(id, n)
	if err != nil {
		skip(Failure, err.Error())
		return
	}
	d.add(Order{
		Kind: OrderStartStep, Job: id, Step: n, Script: script, Command: step.Command(script),
		Dir: step.WorkingDirectory, Env: env, Limit: min(step.Limit(), left),
	})
}

// finish ends a job whose steps have all ended, or has its artifact made.
func (d *decision) finish(id string) {
	result, reason := Success, ""
	for n, s := range d.run.Jobs[id].Steps {
		if s.Conclusion == Failure {
			result, reason = Failure, d.run.Spec.Jobs[id].Steps[n].Title()+": "+s.Reason
			break
		}
		if s.Conclusion == CancelledResult && result == Success {
			result, reason = CancelledResult, or(d.run.Cancelled, s.Reason)
		}
	}
	if result == Failure && d.run.left(id) <= 0 {
		reason = "timed out after " + d.run.Spec.Jobs[id].Limit().String()
	}
	if a := d.run.Spec.Jobs[id].Artifact; a != nil && result == Success {
		d.add(Order{Kind: OrderPack, Job: id, Files: a.Files})
		return
	}
	d.conclude(id, result, reason)
}

// conclude ends a job with its outputs.
func (d *decision) conclude(id string, result Result, reason string) {
	outputs, err := d.run.outputs(id)
	if err != nil && result == Success {
		result, reason = Failure, err.Error()
	}
	d.add(Order{Kind: OrderEndJob, Job: id, Result: result, Reason: reason, Outputs: outputs})
}

func (d *decision) endPacking(id string) {
	switch j := d.run.Jobs[id]; {
	case j.PackError != "":
		d.conclude(id, Failure, "artifact: "+j.PackError)
	case j.Digest != "":
		d.conclude(id, Success, "")
	}
}

// cancel stops the steps of cancelled jobs, but none that is to run even so:
// always() or cancelled().
func (d *decision) cancel(order []string) {
	for _, id := range order {
		if d.run.Jobs[id].Cancelled == "" || d.run.Jobs[id].Phase != Running {
			continue
		}
		for n, s := range d.run.Jobs[id].Steps {
			if s.Phase != Running {
				continue
			}
			if keep, err := d.run.stepHolds(id, n); err != nil || !keep {
				d.plan = append(d.plan, Order{Kind: OrderCancelStep, Job: id, Step: n, Reason: d.run.Cancelled})
			}
		}
	}
}

// end ends the run once all its jobs have.
func (d *decision) end(order []string) {
	o := Order{Kind: OrderEndRun, Result: Success}
	for _, id := range order {
		j := d.run.Jobs[id]
		if j.Phase != Done {
			return
		}
		switch {
		case j.Result == Failure && o.Result != Failure:
			o.Result, o.Reason = Failure, d.run.Spec.Jobs[id].Title(id)+": "+j.Reason
		case j.Result == CancelledResult && o.Result == Success:
			o.Result, o.Reason = CancelledResult, or(d.run.Cancelled, j.Reason)
		}
		o.Digest = or(o.Digest, j.Digest)
	}
	if o.Result != Success {
		o.Digest = ""
	}
	d.add(o)
}
