package workloadtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// Behaviour of a program under test.
type Behaviour string

// The behaviours that a fixture must provide. Each prints "begun" first.
const (
	Serves      Behaviour = "serves"       // answers GET / with 200
	Unready     Behaviour = "unready"      // answers GET / with 503 and prints "not yet" each time
	Crashes     Behaviour = "crashes"      // prints "out of luck" and exits with code 3
	Deaf        Behaviour = "deaf"         // listens on nothing, lives on
	IgnoresTerm Behaviour = "ignores-term" // serves, and ignores SIGTERM
)

// Runtime is a runtime under test, with a program for each behaviour.
type Runtime struct {
	workload.Runtime
	// Revision makes a revision that behaves so: Command, Image and Dir are what
	// matters, the suite sets the rest.
	Revision func(b Behaviour) workload.Revision
}

// RunRuntime tries a runtime. make gives an empty one for each test.
func RunRuntime(t *testing.T, make func(t *testing.T) Runtime) {
	for name, test := range map[string]func(*testing.T, Runtime){
		"becomes ready":                 becomesReady,
		"ensure again changes nothing":  ensureAgain,
		"scales":                        scales,
		"removes":                       removes,
		"remove kills who ignores TERM": removesStubborn,
		"unready fails by its deadline": unreadyFails,
		"deaf fails by its deadline":    deafFails,
		"crash loop fails":              crashLoopFails,
		"restarts once for each token":  restarts,
		"lists what matches":            lists,
		"refuses what is invalid":       refuses,
		"output":                        output,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func (r Runtime) revision(name string, b Behaviour) workload.Revision {
	rev := r.Revision(b)
	rev.Ref = workload.Ref{Service: "shop", Environment: "production", Revision: name}
	rev.Instances = 1
	rev.Readiness.Path = "/"
	rev.Readiness.Interval = 20 * time.Millisecond
	rev.Grace = 500 * time.Millisecond
	return rev
}

func (r Runtime) ensure(t *testing.T, rev workload.Revision) {
	t.Helper()
	if err := r.Ensure(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
}

// status is that of a revision; false when it is not listed.
func (r Runtime) status(t *testing.T, ref workload.Ref) (workload.Status, bool) {
	t.Helper()
	list, err := r.Observe(t.Context(), ref.Service, ref.Environment)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Ref == ref {
			return s, true
		}
	}
	return workload.Status{}, false
}

// await waits until the revision satisfies the condition.
func (r Runtime) await(t *testing.T, ref workload.Ref, ok func(workload.Status) bool) (s workload.Status) {
	t.Helper()
	eventually(t, func() (string, bool) {
		var listed bool
		s, listed = r.status(t, ref)
		return fmt.Sprintf("listed %t: %+v", listed, s), listed && ok(s)
	})
	return s
}

func (r Runtime) awaitGone(t *testing.T, ref workload.Ref) {
	t.Helper()
	eventually(t, func() (string, bool) {
		s, listed := r.status(t, ref)
		return fmt.Sprintf("%+v", s), !listed
	})
}

func inState(state workload.State) func(workload.Status) bool {
	return func(s workload.Status) bool { return s.State == state }
}

func becomesReady(t *testing.T, r Runtime) {
	rev := r.revision("one", Serves)
	rev.Instances = 2
	r.ensure(t, rev)
	s := r.await(t, rev.Ref, inState(workload.Ready))
	if s.Ready != 2 || s.Wanted != 2 || len(s.Instances) != 2 {
		t.Errorf("got %+v, want two ready instances of two", s)
	}
	for _, i := range s.Instances {
		if i.State != workload.Ready || i.ID == "" || i.Restarts != 0 || i.Since.IsZero() {
			t.Errorf("instance %+v", i)
		}
	}
	if len(s.Instances) == 2 && s.Instances[0].ID == s.Instances[1].ID {
		t.Errorf("two instances with the id %s", s.Instances[0].ID)
	}
}

func ensureAgain(t *testing.T, r Runtime) {
	rev := r.revision("one", Serves)
	r.ensure(t, rev)
	before := r.await(t, rev.Ref, inState(workload.Ready))
	r.ensure(t, rev)
	r.ensure(t, rev)
	after := r.await(t, rev.Ref, inState(workload.Ready))
	if before.Instances[0].ID != after.Instances[0].ID || after.Instances[0].Restarts != 0 {
		t.Errorf("instance %+v became %+v", before.Instances[0], after.Instances[0])
	}
}

func scales(t *testing.T, r Runtime) {
	rev := r.revision("one", Serves)
	r.ensure(t, rev)
	first := r.await(t, rev.Ref, inState(workload.Ready)).Instances[0].ID
	for _, n := range []int{3, 1} {
		rev.Instances = n
		r.ensure(t, rev)
		s := r.await(t, rev.Ref, func(s workload.Status) bool { return s.Ready == n && len(s.Instances) == n })
		if s.Instances[0].ID != first {
			t.Errorf("scaling to %d replaced instance %s by %s", n, first, s.Instances[0].ID)
		}
	}
	rev.Instances = 0
	r.ensure(t, rev)
	r.await(t, rev.Ref, func(s workload.Status) bool { return len(s.Instances) == 0 })
}

func removes(t *testing.T, r Runtime) {
	rev, other := r.revision("one", Serves), r.revision("two", Serves)
	r.ensure(t, rev)
	r.ensure(t, other)
	r.await(t, rev.Ref, inState(workload.Ready))
	for range 2 { // the second is no error, whatever has become of it
		if err := r.Remove(t.Context(), rev.Ref); err != nil {
			t.Fatal(err)
		}
	}
	r.awaitGone(t, rev.Ref)
	r.await(t, other.Ref, inState(workload.Ready))
	if err := r.Remove(t.Context(), rev.Ref); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}

func removesStubborn(t *testing.T, r Runtime) {
	rev := r.revision("one", IgnoresTerm)
	r.ensure(t, rev)
	r.await(t, rev.Ref, inState(workload.Ready))
	if err := r.Remove(t.Context(), rev.Ref); err != nil {
		t.Fatal(err)
	}
	r.awaitGone(t, rev.Ref)
}

func unreadyFails(t *testing.T, r Runtime) {
	rev := r.revision("one", Unready)
	rev.Readiness.Deadline = 2 * time.Second
	r.ensure(t, rev)
	s := r.await(t, rev.Ref, inState(workload.Failed))
	if s.Ready != 0 || !strings.Contains(s.Reason, "503") || !strings.Contains(s.Reason, "not yet") {
		t.Errorf("reason %q, want the probe's answer and the last output", s.Reason)
	}
}

func deafFails(t *testing.T, r Runtime) {
	rev := r.revision("one", Deaf)
	rev.Readiness.Path = "" // a connection would do
	rev.Readiness.Deadline = 500 * time.Millisecond
	r.ensure(t, rev)
	if s := r.await(t, rev.Ref, inState(workload.Failed)); s.Reason == "" {
		t.Error("failed without a reason")
	}
}

func crashLoopFails(t *testing.T, r Runtime) {
	rev := r.revision("one", Crashes)
	rev.Readiness.Deadline = 5 * time.Second
	r.ensure(t, rev)
	s := r.await(t, rev.Ref, inState(workload.Failed))
	if !strings.Contains(s.Reason, "code 3") || !strings.Contains(s.Reason, "out of luck") {
		t.Errorf("reason %q, want the exit code and the last output", s.Reason)
	}
	if s.Instances[0].Restarts == 0 {
		t.Error("was not restarted")
	}
}

func restarts(t *testing.T, r Runtime) {
	rev := r.revision("one", Serves)
	rev.Instances = 2
	r.ensure(t, rev)
	before := ids(r.await(t, rev.Ref, inState(workload.Ready)))
	settled := func(s workload.Status) bool {
		return s.Restart == "token" && s.State == workload.Ready && len(s.Instances) == 2
	}
	if err := r.Restart(t.Context(), rev.Ref, "token"); err != nil {
		t.Fatal(err)
	}
	ready, most := 2, 0
	s := r.await(t, rev.Ref, func(s workload.Status) bool {
		ready = min(ready, s.Ready)
		wanted := 0
		for _, i := range s.Instances {
			if i.State != workload.Draining {
				wanted++
			}
		}
		most = max(most, wanted)
		return settled(s)
	})
	if ready < 2 {
		t.Errorf("only %d instances were ready meanwhile", ready)
	}
	if most > 3 {
		t.Errorf("%d instances at once, want one more than wanted at most", most)
	}
	after := ids(s)
	for id := range after {
		if before[id] {
			t.Errorf("instance %s was not replaced", id)
		}
	}
	if err := r.Restart(t.Context(), rev.Ref, "token"); err != nil {
		t.Fatal(err)
	}
	again := ids(r.await(t, rev.Ref, settled))
	if fmt.Sprint(again) != fmt.Sprint(after) {
		t.Errorf("the same token replaced %v by %v", after, again)
	}
	missing := workload.Ref{Service: "shop", Environment: "production", Revision: "none"}
	if err := r.Restart(t.Context(), missing, "token"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("restarting what is not there: %v, want notfound", err)
	}
}

func ids(s workload.Status) map[string]bool {
	m := map[string]bool{}
	for _, i := range s.Instances {
		m[i.ID] = true
	}
	return m
}

func lists(t *testing.T, r Runtime) {
	for _, ref := range []workload.Ref{{Service: "a", Environment: "x", Revision: "1"}, {Service: "a", Environment: "y", Revision: "1"}, {Service: "b", Environment: "x", Revision: "1"}} {
		rev := r.revision("1", Serves)
		rev.Ref, rev.Instances = ref, 0
		r.ensure(t, rev)
	}
	for _, c := range []struct {
		service, environment string
		want                 int
	}{{"", "", 3}, {"a", "", 2}, {"", "x", 2}, {"b", "x", 1}, {"b", "y", 0}} {
		list, err := r.Observe(t.Context(), c.service, c.environment)
		if err != nil || len(list) != c.want {
			t.Errorf("%q/%q: %d revisions, %v; want %d", c.service, c.environment, len(list), err, c.want)
		}
	}
}

func refuses(t *testing.T, r Runtime) {
	for name, spoil := range map[string]func(*workload.Revision){
		"no command":        func(r *workload.Revision) { r.Command = nil },
		"path in a name":    func(r *workload.Revision) { r.Service = "../shop" },
		"too many":          func(r *workload.Revision) { r.Instances = workload.MaxInstances + 1 },
		"negative grace":    func(r *workload.Revision) { r.Grace = -1 },
		"relative readness": func(r *workload.Revision) { r.Readiness.Path = "health" },
	} {
		rev := r.revision("one", Serves)
		spoil(&rev)
		if err := r.Ensure(t.Context(), rev); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if list, err := r.Observe(t.Context(), "", ""); err != nil || len(list) != 0 {
		t.Errorf("something is there: %+v, %v", list, err)
	}
}

func output(t *testing.T, r Runtime) {
	rev := r.revision("one", Serves)
	r.ensure(t, rev)
	id := r.await(t, rev.Ref, inState(workload.Ready)).Instances[0].ID
	c, err := r.Output(t.Context(), rev.Ref, id, 0, 5)
	if err != nil || string(c.Data) != "begun" || c.Next != 5 || c.End {
		t.Errorf("got %+v, %v", c, err)
	}
	if c, err = r.Output(t.Context(), rev.Ref, id, -6, 0); err != nil || len(c.Data) != 6 {
		t.Errorf("tail: %+v, %v", c, err)
	}
	if _, err := r.Output(t.Context(), rev.Ref, "none", 0, 0); problem.KindOf(err) != problem.NotFound {
		t.Errorf("output of no instance: %v, want notfound", err)
	}
}
