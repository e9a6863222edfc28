package runbook

import (
	"context"
	"fmt"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Progress is a run with what its current step waits for.
type Progress struct {
	Run
	Current int    `json:"current" doc:"the step that is gone through now, from 1; 0 when the run is over"`
	Waits   string `json:"waits,omitempty" doc:"what the current step waits for"`
	Approve string `json:"approve,omitempty" doc:"identifier of the action that waits for an operator's approval"`
}

func (l *Library) progress(ctx context.Context, _ operation.Caller, in RunInput) (Progress, error) {
	return Follow(ctx, operation.Reader(ctx, l.Reader), in.Run)
}

// Follow reads a run with what it waits for.
func Follow(ctx context.Context, r projection.Reader, name string) (Progress, error) {
	run, err := (&Library{}).get(ctx, r, name)
	out := Progress{Run: run}
	if err != nil || run.State != StateRunning {
		return out, err
	}
	if out.Current = run.current(); out.Current == 0 {
		return out, nil
	}
	step := run.Steps[out.Current-1]
	if !step.acts() {
		out.Waits = "a person who does it, and says so: flyball runbook done " + name
		return out, nil
	}
	a, ok, err := projection.Get[action.Action](ctx, r, action.ProjectionName, actID(run.Place, out.Current))
	switch {
	case err != nil || !ok:
		out.Waits = "to be taken up"
	case a.Phase == action.Awaiting:
		out.Waits, out.Approve = "an operator: flyball action approve "+a.ID+" --reason …", a.ID
	case a.Phase == action.Succeeded || a.Phase == action.Running || a.Phase == action.Allowed:
		out.Waits = "it runs, for at most " + brief(step.Limit.Seconds())
		if step.Operation != "" {
			out.Waits = "it runs"
		}
	default:
		out.Waits = string(a.Phase)
	}
	return out, err
}

// Tell is the run, step by step.
func (p Progress) Tell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s\n", p.Place.Run, p.State, p.Title)
	fmt.Fprintf(&b, "%s in %s; began %s by %s: %s\n", p.Service, p.Environment, stamp(p.StartedAt), p.By, p.Reason)
	if p.Incident != "" {
		fmt.Fprintf(&b, "for %s\n", p.Incident)
	}
	for i, s := range p.Steps {
		mark, more := " ", ""
		switch {
		case i < len(p.Results):
			r := p.Results[i]
			mark, more = r.Outcome, fmt.Sprintf("  %s by %s", stamp(r.At), r.By)
			if r.Reason != "" {
				more += ": " + r.Reason
			}
		case i+1 == p.Current:
			mark, more = "now", "  waits for "+p.Waits
		}
		fmt.Fprintf(&b, "  %-7s %d. %s%s\n", mark, i+1, s.Name, more)
		for line := range strings.Lines(s.what()) {
			fmt.Fprintf(&b, "            %s\n", strings.TrimRight(line, "\n"))
		}
	}
	if p.Ending != "" {
		fmt.Fprintf(&b, "%s %s: %s\n", p.State, stamp(p.EndedAt), p.Ending)
	}
	if p.Saved > 0 {
		fmt.Fprintf(&b, "saved a person %s\n", brief(p.Saved))
	}
	return b.String()
}

// what is the step itself, as a person reads it.
func (s Step) what() string {
	switch {
	case s.Command != "":
		return "$ " + strings.TrimSpace(s.Command)
	case s.Operation != "":
		return "flyball " + strings.ReplaceAll(s.Operation, ".", " ")
	}
	return s.Text
}
