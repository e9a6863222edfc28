package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// TaskAddInput adds a task.
type TaskAddInput struct {
	Incident string        `json:"incident" arg:"1" doc:"name of the incident"`
	Text     string        `json:"text" arg:"2" doc:"what is to be done, at most 500 characters"`
	Owner    string        `json:"owner" doc:"who does it (default: nobody yet)"`
	Due      time.Duration `json:"due" doc:"in how long, 1m to 720h (default: no time)"`
}

// TaskDoneInput ends a task.
type TaskDoneInput struct {
	Incident string `json:"incident" arg:"1" doc:"name of the incident"`
	Task     string `json:"task" arg:"2" doc:"name of the task, such as t1"`
	Reason   string `json:"reason" doc:"what came of it"`
}

// TaskListInput bounds a list of tasks.
type TaskListInput struct {
	Incident string `json:"incident" doc:"of this incident, done or not (default: what is to do in all open ones)"`
	After    string `json:"after" doc:"cursor from the page before"`
	Limit    int    `json:"limit" doc:"at most this many, 1 to 500 (default 100)"`
}

// ListedTask is a task with its incident.
type ListedTask struct {
	Place
	Task
}

// Header names the columns of a list of tasks.
func (t ListedTask) Header() []string {
	return []string{"INCIDENT", "TASK", "STATE", "OWNER", "DUE", "WHAT"}
}

// Rows is the task as a line of a list.
func (t ListedTask) Rows() [][]string {
	state, due := "to do", "–"
	if !t.DoneAt.IsZero() {
		state = "done"
	}
	if !t.Due.IsZero() {
		due = stamp(t.Due)
	}
	return [][]string{{t.Incident, t.Task.Task, state, cmp.Or(t.Owner, "nobody yet"), due, t.Text}}
}

// String is the task in one line.
func (t Task) String() string {
	s := fmt.Sprintf("%s: %s (%s", t.Task, t.Text, cmp.Or(t.Owner, "nobody yet"))
	switch {
	case !t.DoneAt.IsZero():
		s += ", done"
	case !t.Due.IsZero():
		s += ", due " + stamp(t.Due)
	}
	return s + ")"
}

const maxTaskText = 500 // characters

func (n *Incidents) tasking() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[TaskAddInput, Incident]{
			Noun: "task", Verb: "add", Summary: "Add something to do to an incident", Role: operation.Developer, Write: true,
			Help:   "  flyball task add inc-checkout-20261102t120300 'drain the second region' --owner ben --due 15m",
			Scope:  func(ctx context.Context, in TaskAddInput) (operation.Scope, error) { return n.scope(ctx, in.Incident) },
			Handle: n.addTask,
		}),
		operation.Define(operation.Spec[TaskDoneInput, Incident]{
			Noun: "task", Verb: "done", Summary: "Say that a task of an incident is done", Role: operation.Developer, Write: true,
			Help:   "  flyball task done inc-checkout-20261102t120300 t1 --reason 'drained, errors fell by half'",
			Scope:  func(ctx context.Context, in TaskDoneInput) (operation.Scope, error) { return n.scope(ctx, in.Incident) },
			Handle: n.doneTask,
		}),
		operation.Define(operation.Spec[TaskListInput, operation.Page[ListedTask]]{
			Noun: "task", Verb: "list", Summary: "List the tasks of an incident, or what is to do in all that are open", Role: operation.Viewer,
			Handle: n.listTasks,
		}),
	}
}

func (n *Incidents) addTask(ctx context.Context, caller operation.Caller, in TaskAddInput) (Incident, error) {
	i, version, err := n.open(ctx, "task.add", in.Incident)
	if err != nil {
		return i, err
	}
	switch {
	case len(i.Tasks) >= maxTasks:
		return i, problem.New(problem.Conflict, "task.add", "%s has %d tasks", in.Incident, maxTasks).WithNext("put what is left into one of them")
	case in.Text == "" || len([]rune(in.Text)) > maxTaskText:
		return i, problem.New(problem.Invalid, "task.add", "a task has a text of at most %d characters", maxTaskText)
	case in.Owner != "" && !plainName(in.Owner):
		return i, problem.New(problem.Invalid, "task.add", "an owner's name is at most %d printable characters", maxName)
	case in.Due != 0 && (in.Due < time.Minute || in.Due > 720*time.Hour):
		return i, problem.New(problem.Invalid, "task.add", "due is %s; it must be between 1m and 720h", in.Due)
	}
	t := TaskAdded{Place: i.Place, Task: "t" + strconv.Itoa(len(i.Tasks)+1), Text: in.Text, Owner: in.Owner}
	if in.Due != 0 {
		t.Due = n.Clock.Now().Add(in.Due).UTC().Truncate(time.Second)
	}
	return n.record(ctx, caller, version, i.Place.Incident, i.stream(), EventTaskAdded, t)
}

// doneTask ends a task; also one of an incident that is over.
func (n *Incidents) doneTask(ctx context.Context, caller operation.Caller, in TaskDoneInput) (Incident, error) {
	i, version, err := n.current(ctx, in.Incident)
	if err != nil {
		return i, err
	}
	at := slices.IndexFunc(i.Tasks, func(t Task) bool { return t.Task == in.Task })
	if at < 0 {
		return i, problem.New(problem.NotFound, "task.done", "%s has no task %q", in.Incident, in.Task).
			WithNext("flyball task list --incident %s shows them", in.Incident)
	}
	if !i.Tasks[at].DoneAt.IsZero() {
		return i, nil // it is done already
	}
	return n.record(ctx, caller, version, i.Place.Incident, i.stream(), EventTaskDone, TaskDone{Place: i.Place, Task: in.Task, Reason: in.Reason})
}

// listTasks lists the tasks of one incident whole, or goes through the open
// ones, page by page of incidents.
func (n *Incidents) listTasks(ctx context.Context, _ operation.Caller, in TaskListInput) (operation.Page[ListedTask], error) {
	out := operation.Page[ListedTask]{Items: []ListedTask{}}
	r := operation.Reader(ctx, n.Reader)
	limit := operation.Limit(in.Limit, 100, 500)
	if in.Incident != "" {
		i, ok, err := Get(ctx, r, in.Incident)
		if err == nil && !ok {
			err = missing(in.Incident)
		}
		skip, _ := strconv.Atoi(in.After)
		for at := max(0, skip); at < len(i.Tasks) && len(out.Items) < limit; at++ {
			out.Items = append(out.Items, ListedTask{i.Place, i.Tasks[at]})
		}
		if end := max(0, skip) + len(out.Items); end < len(i.Tasks) {
			out.Next = strconv.Itoa(end)
		}
		return out, err
	}
	// The cursor is that of the incident before, and how many tasks of the next
	// one were given already.
	before, given, _ := strings.Cut(in.After, "#")
	skip, _ := strconv.Atoi(given)
	for range maxLooked {
		open, next, err := projection.List[Incident](ctx, r, ProjectionName, projection.Filter{Index: "state", Value: "open", After: before, Limit: 1, Newest: true})
		if err != nil || len(open) == 0 {
			return out, err
		}
		for at, t := range open[0].Tasks {
			if at < skip || !t.DoneAt.IsZero() {
				continue
			}
			if len(out.Items) == limit {
				out.Next = before + "#" + strconv.Itoa(at)
				return out, nil
			}
			out.Items = append(out.Items, ListedTask{open[0].Place, t})
		}
		if skip, before = 0, next; next == "" {
			return out, nil
		}
	}
	out.Next = before
	return out, nil
}

// maxLooked bounds the incidents looked at for one page of tasks.
const maxLooked = 200
