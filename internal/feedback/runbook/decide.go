package runbook

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

const (
	// commandTick is between looks at a command that runs.
	commandTick = 500 * time.Millisecond
	// burnTick is between looks at the burn rate while it may stop a run.
	burnTick = 15 * time.Second
	// fresh is how long after something happened a runbook still answers it.
	fresh = 15 * time.Minute
	// abandoned is how long a run waits for people.
	abandoned = 24 * time.Hour
)

// Decide begins the runbooks that what happened calls for, within their limits,
// and takes every open run one move further.
func Decide(v control.View[State], now time.Time) control.Plan {
	d := decision{State: v.State, now: now, burns: burns(v)}
	v.Reading(readCommands, &d.commands)
	for _, o := range d.Runs {
		d.advance(o)
	}
	for _, r := range d.Runbooks {
		d.trigger(r)
	}
	return d.plan
}

type decision struct {
	State
	now      time.Time
	commands statuses
	burns    float64
	plan     control.Plan
}

// burns is the highest burn rate over an hour of the place's objectives.
func burns(v control.View[State]) (most float64) {
	var assessed policy.Assessment
	v.Reading(readBudget, &assessed)
	for _, o := range assessed.Inputs.Objectives {
		most = max(most, o.Burn1h)
	}
	return most
}

// fact records something about a run, in the timeline of its incident.
func (d *decision) fact(typ string, p Place, data any) {
	d.plan.Facts = append(d.plan.Facts, event.Draft{Type: typ, Subject: about(p), Data: data})
}

func about(p Place) string {
	if p.Incident != "" {
		return "incident/" + p.Incident
	}
	return subject(p)
}

func (d *decision) because(verdict, rule, cause, format string, args ...any) {
	if d.plan.Verdict == "" {
		d.plan.Verdict, d.plan.Rule, d.plan.Cause, d.plan.Reason = verdict, rule, cause, fmt.Sprintf(format, args...)
	}
}

func (d *decision) wake(at time.Time) {
	if d.plan.Wake.IsZero() || at.Before(d.plan.Wake) {
		d.plan.Wake = at
	}
}

// advance takes a run one move further, or waits.
func (d *decision) advance(o Open) {
	if why := d.mustStop(o); why != "" {
		d.stop(o, why)
		return
	}
	if last := len(o.Results) - 1; last >= 0 && o.Results[last].Outcome == OutcomeFailed && o.Steps[last].OnFailure == FailureStop {
		d.finish(o, OutcomeFailed, fmt.Sprintf("step %d, %s, failed: %s", last+1, o.Steps[last].Name, o.Results[last].Reason))
		return
	}
	n := o.current()
	if n == 0 {
		d.finish(o, OutcomeDone, "every step is over")
		return
	}
	d.wake(o.StartedAt.Add(abandoned))
	if o.Automatic != nil && o.Automatic.StopAtBurn > 0 {
		d.wake(d.now.Add(burnTick))
	}
	switch step := o.Steps[n-1]; {
	case !step.acts(): // a person says when it is done
	case o.Act == nil:
		d.propose(o, n)
	case o.Act.Phase == action.Failed:
		d.step(o, n, OutcomeFailed, o.Act.Error, 0)
	case o.Act.Phase == action.Rejected:
		d.step(o, n, OutcomeFailed, "an operator refused it", 0)
	case o.Act.Phase == action.Succeeded && step.Operation != "":
		d.step(o, n, OutcomeDone, step.Operation+" was called", 0)
	case o.Act.Phase == action.Succeeded:
		d.watch(o, n)
	}
}

// mustStop says why a run has to end before its time.
func (d *decision) mustStop(o Open) string {
	switch limit := o.Automatic; {
	case o.Stopping != "":
		return o.Stopping
	case o.current() == 0:
		return ""
	case o.Incident != "" && d.Incident != o.Incident:
		return o.Incident + " is resolved"
	case limit != nil && limit.StopAtBurn > 0 && d.burns > limit.StopAtBurn:
		return fmt.Sprintf("the budget burns at %.1f×, above %.1f×: a person has to look", d.burns, limit.StopAtBurn)
	case d.now.Sub(o.StartedAt) >= abandoned:
		return "nobody has gone on with it for a day"
	}
	return ""
}

// watch looks whether the command has ended.
func (d *decision) watch(o Open, n int) {
	s, known := d.commands[o.Run.Run]
	if !known || !s.Ended() {
		d.wake(d.now.Add(commandTick))
		return
	}
	seconds := s.Finished.Sub(s.Started).Seconds()
	if s.Succeeded() {
		d.step(o, n, OutcomeDone, "it took "+brief(seconds), seconds)
		return
	}
	d.step(o, n, OutcomeFailed, ended(s, o.Steps[n-1]), seconds)
}

func ended(s workload.StepStatus, step Step) string {
	switch s.End {
	case workload.EndExited:
		return fmt.Sprintf("exit status %d", s.ExitCode)
	case workload.EndTimeLimit:
		return "killed after its limit of " + brief(step.Limit.Seconds())
	case workload.EndSignalled:
		return "killed by " + s.Signal
	}
	if s.Detail != "" {
		return s.End + ": " + s.Detail
	}
	return s.End
}

func (d *decision) step(o Open, n int, outcome, reason string, seconds float64) {
	name := o.Steps[n-1].Name
	d.fact(EventStepped, o.Place, Stepped{Place: o.Place, Step: n, Name: name, Outcome: outcome, Reason: reason, Text: stepText(o.Place, n, name, outcome, reason), Seconds: seconds})
	d.because("step", outcome, o.Event, "%s, step %d (%s): %s", o.Run.Run, n, name, reason)
}

// stepText is the line that a step leaves in a timeline.
func stepText(p Place, n int, name, outcome, reason string) string {
	text := fmt.Sprintf("%s: step %d, %s, %s", p.Runbook, n, name, outcome)
	if reason != "" {
		text += ": " + reason
	}
	return text
}

func (d *decision) propose(o Open, n int) {
	step := o.Steps[n-1]
	typ := ActionCommand
	if step.Operation != "" {
		typ = ActionOperation
	}
	d.plan.Actions = append(d.plan.Actions, action.Proposal{
		ID: actID(o.Place, n), Type: typ, Subject: subject(o.Place), Slot: subject(o.Place),
		Reason: fmt.Sprintf("%s, step %d: %s", o.Title, n, step.Name), Params: action.Params(Params{Place: o.Place, Number: n, Step: step}),
	})
	d.because("step", "next", o.Event, "%s goes on with step %d, %s", o.Run.Run, n, step.Name)
}

// stop ends a run before its time. What waits for approval is superseded by the
// cancellation, what runs is cancelled.
func (d *decision) stop(o Open, why string) {
	if n := o.current(); n > 0 && o.Act != nil {
		d.plan.Actions = append(d.plan.Actions, action.Proposal{
			ID: actID(o.Place, n) + "-cancel", Type: ActionCancel, Subject: subject(o.Place), Slot: subject(o.Place),
			Reason: why, Params: action.Params(Params{Place: o.Place, Number: n, Step: o.Steps[n-1]}),
		})
	}
	d.finish(o, OutcomeStopped, why)
}

func (d *decision) finish(o Open, outcome, why string) {
	f := Finished{Place: o.Place, Outcome: outcome, Reason: fmt.Sprintf("%s: %s", o.Runbook, why), Seconds: d.now.Sub(o.StartedAt).Seconds(), Automatic: o.Automatic != nil}
	if f.Automatic && outcome == OutcomeDone {
		f.SavedSeconds = cmp.Or(o.Automatic.Saves.Seconds(), o.ByHand)
	}
	d.fact(EventFinished, o.Place, f)
	d.because("finish", outcome, o.Event, "%s is %s: %s", o.Run.Run, outcome, why)
}

// trigger begins a runbook by itself when something happened that it is for.
func (d *decision) trigger(r Declared) {
	h, ok := d.calls(r)
	if !ok || slices.ContainsFunc(d.Runs, func(o Open) bool { return o.Runbook == r.Name }) {
		return
	}
	p := Place{
		Run: RunName(r.Name, d.Service, d.Environment, d.now), Runbook: r.Name, Service: d.Service, Team: d.Team, Environment: d.Environment,
		Incident: d.Incident, Rollout: d.Rollout,
	}
	var lately []Begun
	for _, b := range d.Begun {
		if b.Runbook == r.Name && d.now.Sub(b.At) < time.Hour {
			lately = append(lately, b)
		}
	}
	if len(lately) >= r.Automatic.PerHour {
		until := lately[len(lately)-r.Automatic.PerHour].At.Add(time.Hour)
		why := fmt.Sprintf("%s does not begin by itself: %d of at most %d an hour have, and it may again at %s", r.Name, len(lately), r.Automatic.PerHour, until.UTC().Format("15:04 MST"))
		d.fact(EventHeldBack, p, HeldBack{Place: p, Trigger: h.Event, Reason: why, Until: until})
		d.because("hold", "perHour", h.Event, "%s", why)
		return
	}
	d.fact(EventStarted, p, Started{
		Place: p, Title: r.Title, Commit: r.Commit, Steps: r.Steps, Automatic: r.Automatic, Trigger: h.Event,
		Reason: fmt.Sprintf("%s begins by itself: %s", r.Name, h.Text),
	})
	d.because("start", "when", h.Event, "%s begins by itself: %s, and %s", p.Run, h.Text, r.Automatic.When)
}

// calls finds the newest thing that happened, has not been answered yet and
// calls for a runbook.
func (d *decision) calls(r Declared) (Happening, bool) {
	for _, h := range slices.Backward(d.Happened) {
		if h.Position <= d.Through[r.Name] || d.now.Sub(h.At) > fresh {
			continue
		}
		ok, err := Happened.Holds(r.Automatic.When, map[string]any{
			"service": d.Service, "environment": d.Environment, "team": d.Team, "severity": int64(d.Severity),
			"kind": h.Kind, "alert": h.Alert, "objective": h.Objective, "rollout": h.Rollout, "text": h.Text,
		})
		if ok && err == nil {
			return h, true
		}
	}
	return Happening{}, false
}

// RunName is the name of a run: RUNBOOK-SERVICE-ENVIRONMENT-TIME.
func RunName(runbook, service, environment string, now time.Time) string {
	return fmt.Sprintf("%s-%s-%s-%s", runbook, service, environment, now.UTC().Format("20060102t150405"))
}

// actID is the same for the same step of the same run.
func actID(p Place, n int) string { return fmt.Sprintf("runbook-%s-step%d", p.Run, n) }

// commandID is what a step's command runs as.
func commandID(run string, n int) string { return fmt.Sprintf("runbook/%s/%d", run, n) }
