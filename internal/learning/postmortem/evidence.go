package postmortem

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Evidence rests on facts of other rooms, which were recorded for another
// reason: nobody can write them in order to close an item.
const (
	runStarted   = "pipeline.started"
	stepEnded    = "pipeline.step_ended"
	stepSkipped  = "pipeline.step_skipped"
	jobEnded     = "pipeline.job_ended"
	alertFired   = "alert.fired"
	changePushed = "change.pushed"
)

// unproven refuses evidence that does not check out.
func unproven(format string, args ...any) *problem.Error {
	return problem.New(problem.Blocked, "action-item.close", format, args...)
}

// spot is where in the pipelines a test ran: RUN/JOB, or RUN/JOB/STEP.
type spot struct{ run, job, step string }

func parseSpot(s string) (spot, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" || len(parts) == 3 && parts[2] == "" {
		return spot{}, problem.New(problem.Invalid, "action-item.close", "%q is no place in a run", s).
			WithNext("write RUN/JOB or RUN/JOB/STEP, such as checkout-3f2a91c-r1/build/test; flyball pipeline show RUN has them")
	}
	p := spot{run: parts[0], job: parts[1]}
	if len(parts) == 3 {
		p.step = parts[2]
	}
	return p, nil
}

func (p spot) String() string { return strings.Trim(p.run+"/"+p.job+"/"+p.step, "/") }

// test is what a run says of one of its jobs or steps.
type test struct {
	spot
	service, change, commit string
	result                  string // success, failure, skipped or cancelled; empty while it runs
	ended                   time.Time
	event                   string // ID of the fact that says so
}

// ran is the part of a run's facts that is looked at.
type ran struct {
	Change struct {
		Name    string `json:"name"`
		Service string `json:"service"`
		Commit  string `json:"commit"`
	} `json:"change"`
	Spec struct {
		Jobs map[string]struct {
			Steps []struct {
				Name string `json:"name"`
				ID   string `json:"id"`
			} `json:"steps"`
		} `json:"jobs"`
	} `json:"spec"`
	Job      string `json:"job"`
	Step     int    `json:"step"`
	End      string `json:"end"`
	ExitCode int    `json:"exit_code"`
	Result   string `json:"result"`
}

// lookUp reads how a test ended in a run.
func lookUp(ctx context.Context, log event.Log, at spot) (test, error) {
	t := test{spot: at}
	events, err := log.Read(ctx, event.Query{Subject: "pipeline/" + at.run, Types: []string{runStarted, stepEnded, stepSkipped, jobEnded}, RecordedBy: recordedBy(ctx), Limit: 5000})
	if err != nil {
		return t, err
	}
	if len(events) == 0 {
		return t, unproven("there is no run named %s", at.run).WithNext("flyball pipeline list shows the runs")
	}
	step := -1
	for _, e := range events {
		r, err := event.Decode[ran](e)
		if err != nil {
			return t, err
		}
		switch {
		case e.Type == runStarted:
			t.service, t.change, t.commit = r.Change.Service, r.Change.Name, r.Change.Commit
			if step, err = r.step(at); err != nil {
				return t, err
			}
		case r.Job != at.job:
		case at.step == "" && e.Type == jobEnded, at.step != "" && e.Type != jobEnded && r.Step == step:
			t.result, t.ended, t.event = r.outcome(), e.Time, e.ID
		}
	}
	return t, nil
}

// step is the number of the step that is meant: by name, identifier or number
// from 1.
func (r ran) step(at spot) (int, error) {
	job, ok := r.Spec.Jobs[at.job]
	if !ok {
		return 0, unproven("the run %s has no job named %s", at.run, at.job).WithNext("flyball pipeline show %s has its jobs", at.run)
	}
	if at.step == "" {
		return -1, nil
	}
	for i, s := range job.Steps {
		if s.Name == at.step || s.ID == at.step && s.ID != "" || strconv.Itoa(i+1) == at.step {
			return i, nil
		}
	}
	return 0, unproven("the job %s of the run %s has no step named %s", at.job, at.run, at.step).WithNext("flyball pipeline show %s has its steps", at.run)
}

func (r ran) outcome() string {
	switch {
	case r.Result != "":
		return r.Result
	case r.End == "exited" && r.ExitCode == 0:
		return "success"
	}
	return "failure"
}

// recordedBy is the moment asked for, zero for the present.
func recordedBy(ctx context.Context) time.Time {
	at, _ := operation.At(ctx)
	return at
}

// prove checks what an action item is closed by, and says what is missing.
func (d *Desk) prove(ctx context.Context, p Postmortem, i ActionItem, in CloseInput) (*Evidence, error) {
	given := 0
	for _, s := range []string{in.Failed + in.Passed, in.Alert, in.Change} {
		if s != "" {
			given++
		}
	}
	switch {
	case given == 0:
		return nil, unproven("%s is closed by evidence, and none is given", i.Item).
			WithNext("name a test (--failed RUN/JOB/STEP --passed RUN/JOB/STEP), an alert (--alert NAME) or a change (--change NAME); an operator may say --without-evidence REASON")
	case given > 1:
		return nil, problem.New(problem.Invalid, "action-item.close", "one kind of evidence at a time: a test, an alert or a change")
	case in.Alert != "":
		return d.proveAlert(ctx, p, i, in.Alert)
	case in.Change != "":
		return d.proveChange(ctx, p, i, in.Change)
	}
	return d.proveTest(ctx, p, in)
}

// proveTest looks for one test that failed, and later passed on another commit
// of the service.
func (d *Desk) proveTest(ctx context.Context, p Postmortem, in CloseInput) (*Evidence, error) {
	if in.Failed == "" || in.Passed == "" {
		return nil, unproven("a test shows something only if it failed before and passes after").WithNext("give both: --failed RUN/JOB/STEP and --passed RUN/JOB/STEP")
	}
	var tests [2]test
	for n, s := range []string{in.Failed, in.Passed} {
		at, err := parseSpot(s)
		if err != nil {
			return nil, err
		}
		if tests[n], err = lookUp(ctx, d.Log, at); err != nil {
			return nil, err
		}
	}
	before, after := tests[0], tests[1]
	switch {
	case before.job != after.job || before.step != after.step:
		return nil, unproven("%s and %s are not the same test", before.spot, after.spot).WithNext("name the same job and step of both runs")
	case before.service != after.service:
		return nil, unproven("the runs are of two services: %s and %s", before.service, after.service)
	case before.result != "failure":
		return nil, unproven("%s did not fail: %s", before.spot, ended(before)).WithNext("run the test without the fix once; if it passes there too, it does not test it")
	case after.result != "success":
		return nil, unproven("%s did not pass: %s", after.spot, ended(after))
	case before.commit == after.commit:
		return nil, unproven("both runs are of the commit %s: nothing was fixed between them", clip(before.commit, 7)).WithNext("name the run of the change that fixes it")
	case !before.ended.Before(after.ended):
		return nil, unproven("it passed on %s, before it failed on %s", moment(after.ended), moment(before.ended))
	case !after.ended.After(p.Trouble.Began):
		return nil, unproven("it passed on %s already, before the incident began", moment(after.ended))
	}
	name := strings.TrimPrefix(after.spot.String(), after.run+"/")
	return &Evidence{Kind: "test", Failed: before.spot.String(), Passed: after.spot.String(), Change: after.change, Commit: after.commit, Event: after.event,
		Text: fmt.Sprintf("the test %s failed in %s and passes in %s", name, before.run, after.run)}, nil
}

func ended(t test) string {
	if t.result == "" {
		return "it has not ended"
	}
	return "it ended with " + t.result
}

// fired is the part of an alert's fact that is looked at.
type fired struct {
	Alert     string            `json:"alert"`
	Objective string            `json:"objective"`
	Service   string            `json:"service"`
	Labels    map[string]string `json:"labels"`
}

// called reports whether somebody means this alert by a name: its own, its
// objective's, or the rule's of another sender.
func (f fired) called(name string) bool {
	return f.Alert == name || f.Objective == name || f.Labels["alertname"] == name
}

// proveAlert looks for an alert that fired while the failure was rehearsed. One
// that is named by the ID of its fact need not have been rehearsed.
func (d *Desk) proveAlert(ctx context.Context, p Postmortem, i ActionItem, name string) (*Evidence, error) {
	if found, err := d.Log.Read(ctx, event.Query{ID: name, Types: []string{alertFired}, Limit: 1}); err != nil {
		return nil, err
	} else if len(found) == 1 {
		return d.firing(p, i, found[0], nil)
	}
	if len(i.Rehearsals) == 0 {
		return nil, unproven("no rehearsal of %s is declared, so nothing tells whether %s would fire", i.Item, name).
			WithNext("declare one, make the failure, and close the item then: flyball action-item rehearse %s --for 30m --reason …; an alert that fired for real is named by the ID of its fact", i.Item)
	}
	after := i.Rehearsals[0].Position
	for {
		events, err := d.Log.Read(ctx, event.Query{Types: []string{alertFired}, After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			after = e.Position
			for n := range i.Rehearsals {
				r := &i.Rehearsals[n]
				if e.Time.Before(r.From) || e.Time.After(r.To) {
					continue
				}
				if f, err := event.Decode[fired](e); err == nil && f.called(name) && f.Service == p.Service {
					return d.firing(p, i, e, r)
				}
			}
		}
		if len(events) < 1000 {
			break
		}
	}
	last := i.Rehearsals[len(i.Rehearsals)-1]
	return nil, unproven("%s did not fire in a rehearsal of %s; the last was from %s to %s", name, i.Item, moment(last.From), moment(last.To)).
		WithNext("flyball alert list shows what fired; rehearse it again once the alert is mended")
}

func (d *Desk) firing(p Postmortem, i ActionItem, e event.Event, r *Rehearsal) (*Evidence, error) {
	f, err := event.Decode[fired](e)
	switch {
	case err != nil:
		return nil, err
	case f.Service != p.Service:
		return nil, unproven("the alert %s is about %s, and the incident was one of %s", f.Alert, f.Service, p.Service)
	case e.Time.Before(i.AddedAt):
		return nil, unproven("the alert %s fired on %s, before the item was written down", f.Alert, moment(e.Time)).WithNext("rehearse it: flyball action-item rehearse %s --for 30m --reason …", i.Item)
	}
	text := fmt.Sprintf("the alert %s fired on %s", cmp.Or(f.Labels["alertname"], f.Alert), moment(e.Time))
	if r != nil {
		text += ", in a rehearsal"
	}
	return &Evidence{Kind: "alert", Alert: f.Alert, Event: e.ID, Text: text}, nil
}

// merged is the part of a push that is looked at.
type merged struct {
	Service string `json:"service"`
	Branch  string `json:"branch"`
	Commit  string `json:"commit"`
	Commits []struct {
		Subject string `json:"subject"`
	} `json:"commits"`
}

// proveChange looks for a change that is on its service's watched branch.
func (d *Desk) proveChange(ctx context.Context, p Postmortem, i ActionItem, name string) (*Evidence, error) {
	events, err := d.Log.Read(ctx, event.Query{Subject: "change/" + name, Types: []string{changePushed}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, unproven("there is no change named %s", name).WithNext("flyball change list shows them; a change is known once it is on the watched branch")
	}
	e := events[0]
	m, err := event.Decode[merged](e)
	if err != nil {
		return nil, err
	}
	service, err := catalog.GetService(ctx, d.Reader, m.Service)
	if err != nil && problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	switch {
	case service.Branch != "" && m.Branch != service.Branch:
		return nil, unproven("%s is on the branch %s, and %s is delivered from %s", name, m.Branch, m.Service, service.Branch).WithNext("merge it first")
	case !e.Time.After(p.Trouble.Began):
		return nil, unproven("%s was pushed on %s, before the incident began", name, moment(e.Time))
	}
	text := fmt.Sprintf("the change %s is on %s", name, m.Branch)
	if len(m.Commits) > 0 {
		text += ": " + clip(m.Commits[0].Subject, 200)
	}
	return &Evidence{Kind: "change", Change: name, Commit: m.Commit, Event: e.ID, Text: text}, nil
}
