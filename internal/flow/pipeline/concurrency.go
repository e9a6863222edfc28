package pipeline

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Claim is a run, or one job of it, that wants to be in a concurrency group or
// is in it.
type Claim struct {
	Run              string    `json:"run"`
	Job              string    `json:"job,omitempty"` // empty: the run itself
	Group            string    `json:"group"`
	Since            time.Time `json:"since"` // when the run started
	CancelInProgress bool      `json:"cancel_in_progress,omitempty"`
	Holds            bool      `json:"holds,omitempty"`   // it has started
	Deploys          bool      `json:"deploys,omitempty"` // it must not be stopped once started
}

// Claims are the groups a run wants to be in now: its own, and those of jobs
// that run or could start.
func (r Run) Claims() []Claim {
	if r.Phase != Running {
		return nil
	}
	var out []Claim
	add := func(job string, c *Concurrency, holds, deploys bool) {
		group, err := r.group(job)
		if c == nil || err != nil || group == "" {
			return
		}
		scope := "job/"
		if job == "" {
			scope = "run/"
		}
		out = append(out, Claim{Run: r.ID, Job: job, Group: scope + group, Since: r.Started,
			CancelInProgress: c.CancelInProgress, Holds: holds, Deploys: deploys})
	}
	started := slices.ContainsFunc(r.Spec.Order(), func(id string) bool { return r.Jobs[id].Phase != Waiting })
	add("", r.Spec.Concurrency, started, false)
	for _, id := range r.Spec.Order() {
		job, state := r.Spec.Jobs[id], r.Jobs[id]
		if job.Concurrency == nil || state.Phase == Done || state.Phase == Waiting && !r.couldStart(id) {
			continue
		}
		add(id, job.Concurrency, state.Phase != Waiting, job.Environment != "")
	}
	return out
}

// couldStart reports whether only slots and groups keep a job from starting.
func (r Run) couldStart(id string) bool {
	for _, n := range r.Spec.Jobs[id].Needs {
		if r.Jobs[n].Phase != Done {
			return false
		}
	}
	holds, err := r.jobHolds(id)
	return holds && err == nil
}

// Admission is what Admit decides.
type Admission struct {
	Granted []Claim // may start, or go on
	Cancel  []Claim // make room for a newer one
}

// Admit decides who is in each group: one at a time, in the order in which
// their runs started. A newer claim with CancelInProgress takes the place of all
// older ones, except of a deployment that has started, for which it waits.
func Admit(claims []Claim) Admission {
	groups := map[string][]Claim{}
	var names []string
	for _, c := range claims {
		if groups[c.Group] == nil {
			names = append(names, c.Group)
		}
		groups[c.Group] = append(groups[c.Group], c)
	}
	slices.Sort(names)
	var a Admission
	for _, name := range names {
		a.group(groups[name])
	}
	return a
}

func (a *Admission) group(claims []Claim) {
	slices.SortStableFunc(claims, func(x, y Claim) int {
		return cmp.Or(x.Since.Compare(y.Since), strings.Compare(x.Run, y.Run), strings.Compare(x.Job, y.Job))
	})
	newest := -1 // the last that takes the place of those before it
	for i, c := range claims {
		if c.CancelInProgress {
			newest = i
		}
	}
	var holder, first *Claim
	for i := range claims {
		c := &claims[i]
		switch {
		case i < newest && !(c.Holds && c.Deploys) && c.Run != claims[newest].Run:
			a.Cancel = append(a.Cancel, *c)
			if c.Holds {
				holder = c // until it has ended
			}
		case c.Holds:
			holder = c
			a.Granted = append(a.Granted, *c)
		case first == nil:
			first = c
		}
	}
	if holder == nil && first != nil {
		a.Granted = append(a.Granted, *first)
	}
}

// For is what was granted to one run, as View wants it.
func (a Admission) For(run string) map[string]bool {
	out := map[string]bool{}
	for _, c := range a.Granted {
		if c.Run == run {
			out[c.Job] = true
		}
	}
	return out
}
