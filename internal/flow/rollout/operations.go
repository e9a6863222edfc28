package rollout

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Desk is where people look at rollouts and intervene.
type Desk struct {
	Log    event.Log
	Reader projection.Reader
	Sync   func(ctx context.Context) error
}

// ListInput bounds a list of rollouts.
type ListInput struct {
	Service string `json:"service" doc:"of this service only"`
	Moving  bool   `json:"moving" doc:"only those that have not finished"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// ShowInput names a rollout.
type ShowInput struct {
	Rollout string `json:"rollout" arg:"1" doc:"name of the rollout, such as checkout-3f2a91c-prod-1"`
}

// InterveneInput names a rollout and says why.
type InterveneInput struct {
	Rollout string `json:"rollout" arg:"1" doc:"name of the rollout"`
	Reason  string `json:"reason" required:"true" doc:"why, for the record"`
}

// Summary is a rollout in a list.
type Summary struct {
	Rollout     string `json:"rollout"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
	From        string `json:"from,omitempty"`
	Phase       Phase  `json:"phase"`
	Weight      int    `json:"weight"` // basis points
	Outcome     string `json:"outcome,omitempty"`
	Reason      string `json:"reason,omitempty"`
	StartedAt   string `json:"started_at"`
}

// Summaries is a page of rollouts, newest first.
type Summaries operation.Page[Summary]

// Header names the columns of the list.
func (Summaries) Header() []string {
	return []string{"ROLLOUT", "PHASE", "CANARY", "OUTCOME", "REASON"}
}

// Rows are the list's lines.
func (s Summaries) Rows() [][]string {
	var out [][]string
	for _, r := range s.Items {
		out = append(out, []string{r.Rollout, string(r.Phase), percent(r.Weight), r.Outcome, r.Reason})
	}
	return out
}

// Operations are what users can do with rollouts.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, Summaries]{
			Noun: "rollout", Verb: "list", Summary: "List rollouts, newest first", Role: operation.Viewer, Handle: d.list,
		}),
		operation.Define(operation.Spec[ShowInput, Rollout]{
			Noun: "rollout", Verb: "show", Summary: "Show one rollout: split, evidence and verdict", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Rollout, error) {
				return d.get(ctx, operation.Reader(ctx, d.Reader), in.Rollout)
			},
		}),
		d.intervene("pause", "Stop taking steps; the canary keeps its share and is still judged", operation.Developer, EventPaused),
		d.intervene("resume", "Go on after a pause", operation.Developer, EventResumed),
		d.intervene("abort", "Take the canary back now", operation.Developer, EventAbortRequested),
		d.intervene("promote", "Take the next step now, without waiting for evidence", operation.Operator, EventPromoteRequested),
	}
}

func (d *Desk) intervene(verb, summary string, role operation.Role, typ string) operation.Operation {
	return operation.Define(operation.Spec[InterveneInput, Rollout]{
		Noun: "rollout", Verb: verb, Summary: summary, Role: role, Write: true,
		Scope: func(ctx context.Context, in InterveneInput) (operation.Scope, error) {
			r, err := d.get(ctx, d.Reader, in.Rollout)
			return operation.Scope{Team: r.Team, Environment: r.Environment}, err
		},
		Handle: func(ctx context.Context, caller operation.Caller, in InterveneInput) (Rollout, error) {
			r, err := d.get(ctx, d.Reader, in.Rollout)
			if err != nil {
				return r, err
			}
			if r.Phase == PhaseFinished || r.Phase == PhaseGoingBack {
				return r, problem.New(problem.Conflict, "rollout."+verb, "rollout %s is %s (%s); there is nothing to %s", r.Rollout, r.Phase, r.Outcome, verb)
			}
			if verb == "resume" && r.Paused == nil {
				return r, problem.New(problem.Conflict, "rollout.resume", "rollout %s is not paused", r.Rollout)
			}
			_, err = d.Log.Append(ctx, event.Batch{Stream: "rollout/" + r.Rollout, Expect: event.AnyVersion,
				Drafts: []event.Draft{{Type: typ, Actor: caller.Name, Data: Ref{Rollout: r.Rollout, Reason: in.Reason}}}})
			if err == nil {
				err = d.Sync(ctx)
			}
			if err != nil {
				return r, err
			}
			return d.get(ctx, d.Reader, in.Rollout)
		},
	})
}

func (d *Desk) get(ctx context.Context, r projection.Reader, name string) (Rollout, error) {
	s, ok, err := Get(ctx, r, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "rollout.show", "there is no rollout named %q", name).WithNext("flyball rollout list shows the rollouts")
	}
	return s, err
}

func (d *Desk) list(ctx context.Context, _ operation.Caller, in ListInput) (Summaries, error) {
	f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: min(max(in.Limit, 0), 500), Newest: true}
	if f.Limit == 0 {
		f.Limit = 50
	}
	switch {
	case in.Moving:
		f.Index = "moving"
	case in.Service != "":
		f.Index, f.Value = "service", in.Service
	}
	items, next, err := projection.List[Rollout](ctx, operation.Reader(ctx, d.Reader), ProjectionName, f)
	out := Summaries{Next: next}
	for _, r := range items {
		if in.Moving && in.Service != "" && r.Service != in.Service {
			continue
		}
		out.Items = append(out.Items, r.Summary())
	}
	return out, err
}

// Summary is the rollout in a list.
func (r Rollout) Summary() Summary {
	return Summary{
		Rollout: r.Rollout, Service: r.Service, Environment: r.Environment, Revision: r.Revision, From: r.From,
		Phase: r.Phase, Weight: r.Weight, Outcome: r.Outcome, Reason: r.Reason, StartedAt: r.StartedAt.Format("2006-01-02T15:04:05Z07:00"),
	}
}

// Tell is the rollout in a few lines for a person.
func (r Rollout) Tell() string {
	s := fmt.Sprintf("%s: %s → %s in %s, canary %s, %s\n", r.Service, orDash(r.From), r.Revision, r.Environment, percent(r.Weight), r.Phase)
	if r.Outcome != "" {
		s = fmt.Sprintf("%s: %s → %s in %s, %s\n", r.Service, orDash(r.From), r.Revision, r.Environment, r.Outcome)
	}
	if r.Reason != "" {
		s += "  verdict  " + r.Reason + "\n"
	}
	for _, p := range r.Pending {
		if p.Error != "" && p.Phase != action.Failed {
			s += "  waiting  " + p.Type + ": " + p.Error + "; it is tried again\n"
		}
	}
	cfg := r.Judging()
	for _, m := range r.Metrics {
		e := cfg.Evidence(m.State)
		s += fmt.Sprintf("  %-8s E = %s of %s; canary %s of %s bad, baseline %s of %s; excess at most %s %%\n",
			m.Name, count(e.EValue), count(1/e.Alpha), count(float64(e.Canary.Bad)), count(float64(e.Canary.Requests)),
			count(float64(e.Baseline.Bad)), count(float64(e.Baseline.Requests)), strconv.FormatFloat(100*e.ExcessUpper, 'g', 3, 64))
	}
	return s + "Next: flyball why rollout/" + r.Rollout + " · flyball logs " + r.Service + " --revision " + r.Revision
}

// count is a number for people: whole, with thousands set off, a small one with
// a decimal, and only one that nobody reads digit by digit as a power of ten.
func count(x float64) string {
	switch {
	case math.Abs(x) >= 1e12:
		return strconv.FormatFloat(x, 'g', 3, 64)
	case math.Abs(x) < 100 && x != math.Trunc(x):
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
	s := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// Operations are the questions about canaries of others.
func (c *Court) Operations() []operation.Operation {
	return []operation.Operation{operation.Define(operation.Spec[AskInput, Ruling]{
		Noun: "judge", Verb: "show", Summary: "Judge a canary from its counts: back, on or hold, and why", Ask: true,
		Help: "The function that judges Flyball's own canaries, for canaries that Argo Rollouts,\nFlagger or anybody else runs. Nothing is kept: send all counts since the canary's\nbeginning each time.\n\n  flyball judge show --csv \"$(cat canary.csv)\"",
		Role: operation.Viewer, Handle: c.ask,
	})}
}
