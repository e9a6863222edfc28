package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// drawSpec is any pipeline of up to six jobs.
func drawSpec(t *rapid.T) pipeline.Spec {
	spec := pipeline.Spec{Jobs: map[string]pipeline.Job{}}
	cond := rapid.SampledFrom([]string{"", "", "always()", "failure()", "cancelled()", "env.X == 'y'"})
	spec.Env = map[string]string{"X": rapid.SampledFrom([]string{"y", "n"}).Draw(t, "X")}
	for i := range rapid.IntRange(1, 6).Draw(t, "jobs") {
		job := pipeline.Job{If: cond.Draw(t, "if")}
		for k := range i {
			if rapid.IntRange(0, 2).Draw(t, "needs") == 0 {
				job.Needs = append(job.Needs, fmt.Sprintf("j%d", k))
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			job.Steps = append(job.Steps, pipeline.Step{Run: "x", If: cond.Draw(t, "if"), ContinueOnError: rapid.Bool().Draw(t, "continue")})
		}
		if rapid.IntRange(0, 3).Draw(t, "deploys") == 0 {
			job.Environment = "prod"
		}
		spec.Jobs[fmt.Sprintf("j%d", i)] = job
	}
	return spec
}

// Whatever the graph, the outcomes, their order and a cancellation at any
// moment: every run ends, no step starts twice or before its time, slots are
// kept, deployments are not cancelled, and the result is what its jobs say.
func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spec := drawSpec(rt)
		var f findings
		if spec.Check(&f); len(f.errors) > 0 {
			rt.Fatalf("invalid: %v", f.errors)
		}
		r := newRun(t, spec)
		slots := rapid.IntRange(1, 3).Draw(rt, "slots")
		cancelAt := rapid.IntRange(-1, 15).Draw(rt, "cancel")
		started := map[string]bool{}
		running := []string{} // "job step"
		for turn := 0; r.Phase != pipeline.Done; turn++ {
			if turn > 100 {
				rt.Fatalf("the run does not end: %+v", r.Jobs)
			}
			if turn == cancelAt {
				r.record(pipeline.EventCancelled, pipeline.Cancelled{Reason: "stop"})
			}
			active := 0
			for _, j := range r.Jobs {
				if j.Phase == pipeline.Running {
					active++
				}
			}
			for _, o := range r.decide(slots - active) {
				at := fmt.Sprintf("%s %d", o.Job, o.Step)
				switch o.Kind {
				case pipeline.OrderStartStep:
					checkStart(rt, r, o, started[at])
					started[at] = true
					running = append(running, at)
				case pipeline.OrderCancelStep:
					if spec.Jobs[o.Job].Environment != "" {
						rt.Fatalf("deployment %s is cancelled", at)
					}
				}
			}
			jobs := map[string]bool{}
			for _, at := range running {
				job, _, _ := strings.Cut(at, " ")
				jobs[job] = true
			}
			if len(jobs) > slots || len(jobs) < len(running) {
				rt.Fatalf("%d slots, running: %v", slots, running)
			}
			if len(running) > 0 {
				i := rapid.IntRange(0, len(running)-1).Draw(rt, "ends")
				e := pipeline.StepEnded{End: workload.EndExited, Seconds: 1}
				fmt.Sscanf(running[i], "%s %d", &e.Job, &e.Step)
				e.ExitCode = rapid.SampledFrom([]int{0, 0, 1}).Draw(rt, "exit")
				if r.Jobs[e.Job].Cancelled != "" && rapid.Bool().Draw(rt, "in time") {
					e.End = workload.EndCancelled
				}
				r.record(pipeline.EventStepEnded, e)
				running = slices.Delete(running, i, i+1)
			}
		}
		checkEnd(rt, r, running)
	})
}

func checkStart(t *rapid.T, r *run, o pipeline.Order, twice bool) {
	if twice {
		t.Fatalf("step %s %d starts twice", o.Job, o.Step)
	}
	for _, n := range r.Spec.Jobs[o.Job].Needs {
		if r.Jobs[n].Phase != pipeline.Done {
			t.Fatalf("job %s starts before %s has ended", o.Job, n)
		}
	}
	for k := range o.Step {
		if r.Jobs[o.Job].Steps[k].Phase != pipeline.Done {
			t.Fatalf("step %s %d starts before step %d has ended", o.Job, o.Step, k)
		}
	}
	if o.Limit <= 0 || o.Limit > time.Hour {
		t.Fatalf("step %s %d may take %s", o.Job, o.Step, o.Limit)
	}
}

func checkEnd(t *rapid.T, r *run, running []string) {
	if len(running) > 0 {
		t.Fatalf("the run ended while %v ran", running)
	}
	want := pipeline.Success
	for _, id := range jobIDs(r.Spec) {
		switch j := r.Jobs[id]; {
		case j.Phase != pipeline.Done:
			t.Fatalf("the run ended before job %s", id)
		case j.Result == pipeline.Failure:
			want = pipeline.Failure
		case j.Result == pipeline.CancelledResult && want == pipeline.Success:
			want = pipeline.CancelledResult
		}
	}
	if r.Result != want {
		t.Fatalf("result %s, jobs say %s", r.Result, want)
	}
}

func claim(run string, minute int, flags string) pipeline.Claim {
	return pipeline.Claim{Run: run, Job: "deploy", Group: "prod", Since: began.Add(time.Duration(minute) * time.Minute),
		CancelInProgress: strings.Contains(flags, "c"), Holds: strings.Contains(flags, "h"), Deploys: strings.Contains(flags, "d")}
}

func TestAdmit(t *testing.T) {
	for name, test := range map[string]struct {
		claims          []pipeline.Claim
		granted, cancel string
	}{
		"first come":                     {[]pipeline.Claim{claim("b", 2, ""), claim("a", 1, "")}, "a", ""},
		"queue behind the holder":        {[]pipeline.Claim{claim("a", 1, ""), claim("b", 2, "h")}, "b", ""},
		"newer takes the place":          {[]pipeline.Claim{claim("a", 1, "ch"), claim("b", 2, "c"), claim("c", 3, "c")}, "", "a b"},
		"newer, none holds":              {[]pipeline.Claim{claim("a", 1, "c"), claim("b", 2, "c")}, "b", "a"},
		"a deployment is left alone":     {[]pipeline.Claim{claim("a", 1, "cdh"), claim("b", 2, "cd"), claim("c", 3, "cd")}, "a", "b"},
		"deployments queue":              {[]pipeline.Claim{claim("a", 1, "dh"), claim("b", 2, "d"), claim("c", 3, "d")}, "a", ""},
		"the same moment: by name":       {[]pipeline.Claim{claim("b", 1, ""), claim("a", 1, "")}, "a", ""},
		"only the older ones make place": {[]pipeline.Claim{claim("a", 1, "c"), claim("b", 2, "")}, "a", ""},
	} {
		var granted, cancel []string
		a := pipeline.Admit(test.claims)
		for _, c := range a.Granted {
			granted = append(granted, c.Run)
		}
		for _, c := range a.Cancel {
			cancel = append(cancel, c.Run)
		}
		if strings.Join(granted, " ") != test.granted || strings.Join(cancel, " ") != test.cancel {
			t.Errorf("%s: granted %v, cancel %v, want %q and %q", name, granted, cancel, test.granted, test.cancel)
		}
	}
}

// Two runs of one pipeline: the deployments go one after another.
func TestClaims(t *testing.T) {
	spec := pipeline.Spec{Jobs: map[string]pipeline.Job{
		"build":  {Steps: []pipeline.Step{{Run: "x"}}},
		"deploy": {Needs: pipeline.Names{"build"}, Environment: "prod", Concurrency: &pipeline.Concurrency{Group: "to-${{ change.branch }}"}, Steps: []pipeline.Step{{Run: "y"}}},
	}}
	a, b := newRun(t, spec), newRun(t, spec)
	b.ID, b.Started = "checkout-8", began.Add(time.Minute)
	decide := func(r *run) []pipeline.Order {
		g := pipeline.Admit(append(a.Claims(), b.Claims()...)).For(r.ID)
		orders := pipeline.Decide(pipeline.View{Run: r.Run, Slots: 4, Granted: g})
		for _, o := range orders {
			typ, data := o.Fact()
			r.record(typ, data)
		}
		return orders
	}
	if len(a.Claims()) != 0 {
		t.Errorf("claims before the job could start: %v", a.Claims())
	}
	for _, r := range []*run{a, b} {
		decide(r)
		r.happen("exit build 0 0")
		decide(r)
	}
	if a.Jobs["deploy"].Phase != pipeline.Waiting {
		t.Error("a job started before it was let into its group")
	}
	if c := a.Claims(); len(c) != 1 || c[0].Group != "job/to-main" || !c[0].Deploys {
		t.Errorf("claims = %+v", c)
	}
	decide(b)
	if b.Jobs["deploy"].Phase != pipeline.Waiting {
		t.Error("the later deployment started first")
	}
	decide(a)
	a.happen("exit deploy 0 0") // and not yet recorded that the job has ended
	decide(b)
	if b.Jobs["deploy"].Phase != pipeline.Waiting {
		t.Error("two deployments at once")
	}
	decide(a)
	decide(b)
	if b.Jobs["deploy"].Phase != pipeline.Running {
		t.Errorf("the second deployment waits on: %+v", b.Jobs["deploy"])
	}
}
