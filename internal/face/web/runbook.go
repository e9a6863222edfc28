package web

import (
	"fmt"

	"github.com/flyball-dev/flyball/internal/feedback/runbook"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

type runbookListBody struct {
	Lead  string
	Items []runbook.Listed
	Runs  []runbook.Run // newest first
	Next  string
}

func (s *site) runbookList(v *visit) (page, error) {
	var b runbookListBody
	listed, _, err := call[operation.Page[runbook.Listed]](s, v, "runbook.list", nil)
	if err != nil {
		return page{}, err
	}
	b.Items = listed.Items
	runs, _, err := call[operation.Page[runbook.Run]](s, v, "runbook.runs", func(in any) error {
		in.(*runbook.RunsInput).After = v.URL.Query().Get("after")
		return nil
	})
	b.Runs, b.Next = runs.Items, runs.Next
	moving, saved := 0, 0.0
	for _, r := range b.Runs {
		if r.State == runbook.StateRunning {
			moving++
		}
	}
	for _, l := range b.Items {
		saved += l.Saved
	}
	b.Lead = "No runbook is gone through."
	if moving > 0 {
		b.Lead = plural(moving, "runbook is gone through", "runbooks are gone through") + "."
	}
	if saved > 0 {
		b.Lead += " Those that run by themselves have saved people " + span(seconds(saved)) + "."
	}
	return page{Template: "runbooks", Title: "Runbooks", Section: "incidents", Body: b, Live: "runbook.,resource."}, err
}

// runbookShown is one run as a page shows it, by itself or in its incident.
type runbookShown struct {
	runbook.Progress
	Lines      []runbookLine
	MayDo      bool // say that a step is done, or end the run
	MayApprove bool
}

// runbookLine is one step of a run.
type runbookLine struct {
	runbook.Step
	Number int
	State  string
	Result runbook.Result
	What   string
	Waits  string
}

func (s *site) runbookRun(v *visit) (page, error) {
	name := v.PathValue("name")
	b, err := s.shownRun(v, name)
	if err != nil {
		return page{}, err
	}
	return page{Template: "runbook", Title: name, Section: "incidents", Body: b, Live: "runbook.,action."}, nil
}

func (s *site) shownRun(v *visit, name string) (runbookShown, error) {
	p, _, err := call[runbook.Progress](s, v, "runbook.progress", func(in any) error {
		in.(*runbook.RunInput).Run = name
		return nil
	})
	b := runbookShown{Progress: p}
	if err != nil {
		return b, err
	}
	for i, step := range p.Steps {
		line := runbookLine{Step: step, Number: i + 1, State: "waiting", What: step.Command}
		if step.Operation != "" {
			line.What = step.Operation
		}
		switch {
		case i < len(p.Results):
			line.State, line.Result = p.Results[i].Outcome, p.Results[i]
		case i+1 == p.Current:
			line.State, line.Waits = "running", p.Waits
			if p.Approve != "" {
				line.State = "awaiting approval"
			} else if step.Text != "" {
				line.State = "asked"
			}
		}
		b.Lines = append(b.Lines, line)
	}
	running := p.State == runbook.StateRunning
	b.MayDo = running && s.may(v, "runbook.done", p.Team, p.Environment)
	b.MayApprove = running && p.Approve != "" && s.may(v, "action.approve", p.Team, p.Environment)
	return b, nil
}

// Lead says in a sentence how far the run is.
func (r runbookShown) Lead() string {
	switch {
	case r.State != runbook.StateRunning:
		return fmt.Sprintf("%s: %s after %s.", r.Title, word(r.State), span(r.EndedAt.Sub(r.StartedAt)))
	case r.Current == 0:
		return r.Title + ": every step is over."
	}
	return fmt.Sprintf("%s: step %d of %d, %s.", r.Title, r.Current, len(r.Steps), r.Steps[r.Current-1].Name)
}

// runbooks are what an incident's page shows of them: the runs for it, and
// those that may be begun.
type runbooks struct {
	Shown []runbookShown
	Offer []runbook.Listed
	Place runbook.Place
}

func (s *site) runbooksOf(v *visit, p runbook.Place, open bool) (runbooks, error) {
	out := runbooks{Place: p}
	runs, _, err := call[operation.Page[runbook.Run]](s, v, "runbook.runs", func(in any) error {
		in.(*runbook.RunsInput).Incident = p.Incident
		in.(*runbook.RunsInput).Limit = 10
		return nil
	})
	if err != nil {
		return out, err
	}
	gone := map[string]bool{}
	for _, r := range runs.Items {
		shown, err := s.shownRun(v, r.Place.Run)
		if err != nil {
			return out, err
		}
		out.Shown = append(out.Shown, shown)
		gone[r.Runbook] = gone[r.Runbook] || r.State == runbook.StateRunning
	}
	if !open || !s.may(v, "runbook.start", p.Team, p.Environment) {
		return out, nil
	}
	listed, _, err := call[operation.Page[runbook.Listed]](s, v, "runbook.list", func(in any) error {
		in.(*runbook.ListInput).Service = p.Service
		return nil
	})
	for _, l := range listed.Items {
		if !gone[l.Name] {
			out.Offer = append(out.Offer, l)
		}
	}
	return out, err
}
