package postmortem

import (
	"context"
	"slices"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// needed is how many approvals publication takes.
func (p Postmortem) needed() int { return max(1, p.Reviewers) }

func (d *Desk) submit(ctx context.Context, caller operation.Caller, in NameInput) (Document, error) {
	return d.step(ctx, caller, in.Postmortem, EventSubmitted, func(p Postmortem) (any, error) {
		if p.State != StateDraft {
			return nil, p.not("postmortem.submit", "is no draft", "flyball postmortem show %s tells what comes next")
		}
		var missing []problem.Finding
		for _, name := range []string{SectionSummary, SectionLessons} {
			if p.Section(name).Text == "" {
				missing = append(missing, problem.Finding{Field: name, Severity: "error", Code: "empty", Message: "is empty: " + heading(name).Hint})
			}
		}
		if len(missing) > 0 {
			err := problem.New(problem.Invalid, "postmortem.submit", "%s is not ready for review", p.Postmortem).
				WithNext("write it: flyball postmortem edit %s --section %s --text …", p.Postmortem, missing[0].Field)
			err.Findings = missing
			return nil, err
		}
		return Reviewed{Place: p.Place, Version: p.Version}, nil
	})
}

func heading(section string) Heading {
	for _, h := range Headings {
		if h.Section == section {
			return h
		}
	}
	return Heading{Section: section, Title: section}
}

func (d *Desk) approve(ctx context.Context, caller operation.Caller, in NameInput) (Document, error) {
	return d.step(ctx, caller, in.Postmortem, EventApproved, func(p Postmortem) (any, error) {
		if p.State != StateReview {
			return nil, p.not("postmortem.approve", "is not in review", "flyball postmortem submit %s gives it to review")
		}
		if slices.ContainsFunc(p.Approvals, func(a Approval) bool { return a.By == caller.Name }) {
			return nil, nil // once is enough
		}
		wrote := slices.Contains(p.Authors, caller.Name) || p.SubmittedBy == caller.Name
		if n, err := d.members(ctx, p.Team); err != nil {
			return nil, err
		} else if wrote && n > 1 {
			return nil, problem.New(problem.Blocked, "postmortem.approve", "%s has written in %s, and the team %s has %d members", caller.Name, p.Postmortem, p.Team, n).
				WithNext("ask somebody who has not written in it")
		}
		return Reviewed{Place: p.Place, Version: p.Version}, nil
	})
}

func (d *Desk) publish(ctx context.Context, caller operation.Caller, in NameInput) (Document, error) {
	return d.step(ctx, caller, in.Postmortem, EventPublished, func(p Postmortem) (any, error) {
		if p.State != StateReview {
			return nil, p.not("postmortem.publish", "is not in review", "flyball postmortem submit %s gives it to review")
		}
		if have := len(p.Approvals); have < p.needed() {
			return nil, problem.New(problem.Blocked, "postmortem.publish", "%s has %s of its present text, and needs %d", p.Postmortem, plural(float64(have), "approval"), p.needed()).
				WithNext("somebody who has not written in it approves it: flyball postmortem approve %s", p.Postmortem)
		}
		return Reviewed{Place: p.Place, Version: p.Version, Edition: p.Edition + 1}, nil
	})
}

func (d *Desk) reopen(ctx context.Context, caller operation.Caller, in ReasonInput) (Document, error) {
	return d.step(ctx, caller, in.Postmortem, EventReopened, func(p Postmortem) (any, error) {
		if p.State != StateReview && p.State != StatePublished {
			return nil, p.not("postmortem.reopen", "is neither in review nor published", "flyball postmortem edit %s --section … --text … writes in it")
		}
		return Reviewed{Place: p.Place, Version: p.Version, Reason: in.Reason}, nil
	})
}

func (d *Desk) excuse(ctx context.Context, caller operation.Caller, in ReasonInput) (Document, error) {
	return d.step(ctx, caller, in.Postmortem, EventExcused, func(p Postmortem) (any, error) {
		if p.State != StateRequired && p.State != StateDraft || p.Edition > 0 {
			return nil, p.not("postmortem.excuse", "is "+told(p.State)+": there is nothing to excuse", "flyball postmortem show %s has it")
		}
		return Excused{Place: p.Place, Reason: in.Reason}, nil
	})
}

// not says that a postmortem is in another state than a step needs.
func (p Postmortem) not(op, what, next string) error {
	return problem.New(problem.Conflict, op, "%s %s; it is %s", p.Postmortem, what, told(p.State)).WithNext(next, p.Postmortem)
}

// step records one step of the review.
func (d *Desk) step(ctx context.Context, caller operation.Caller, name, typ string, decide func(p Postmortem) (any, error)) (Document, error) {
	p, _, err := d.change(ctx, caller, name, func(p Postmortem) (string, any, error) {
		if p.State == "" {
			_, err := Get(ctx, d.Reader, name)
			return "", nil, err
		}
		data, err := decide(p)
		return typ, data, err
	})
	if err != nil {
		return Document{}, err
	}
	return d.document(ctx, p)
}
