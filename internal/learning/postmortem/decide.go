package postmortem

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// State is what the controller decides from.
type State struct {
	Postmortem
	Policy     Policy `json:"policy"`
	PolicyName string `json:"policy_name"`
}

// The controller's name, and that of its reading.
const (
	controllerName = "postmortem"
	SourceName     = "story"
)

const (
	// remindEvery is how long after a reminder the next one follows.
	remindEvery  = 7 * 24 * time.Hour
	maxReminders = 8
	// bygone is the age from which on an incident is not asked about any more,
	// such as those that were resolved before Flyball asked at all.
	bygone = 28 * 24 * time.Hour
)

// Controller asks for postmortems and reminds of them. It is keyed by the
// postmortem's name.
func Controller() control.Controller[State] {
	return control.Controller[State]{
		Name: controllerName,
		Wakes: func(e event.Event) []string {
			if e.Type != incidentResolved && !(strings.HasPrefix(e.Type, "postmortem.") && !strings.Contains(e.Type, ".item_")) {
				return nil
			}
			p, err := event.Decode[Place](e)
			if err != nil || p.Incident == "" {
				return nil
			}
			return []string{Name(p.Incident)}
		},
		Active: active,
		Load:   load,
		Needs: func(_ string, s State, now time.Time) []control.Request {
			if !s.unassessed(now) {
				return nil
			}
			return []control.Request{{Name: SourceName, Source: SourceName, Args: s.Place}}
		},
		Decide: Decide,
	}
}

func active(ctx context.Context, r projection.Reader) (keys []string, err error) {
	f := projection.Filter{Index: "open", Value: "yes", Limit: projection.MaxPage}
	for {
		page, err := r.List(ctx, ProjectionName, f)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			keys = append(keys, row.Key)
		}
		if page.Next == "" {
			return keys, nil
		}
		f.After = page.Next
	}
}

func load(ctx context.Context, r projection.Reader, key string) (s State, err error) {
	if s.Postmortem, _, err = projection.Get[Postmortem](ctx, r, ProjectionName, key); err != nil {
		return s, err
	}
	s.Policy, s.PolicyName, err = policyOf(ctx, r, s.Team)
	return s, err
}

// unassessed reports whether the policy has yet to be asked.
func (s State) unassessed(now time.Time) bool {
	return !s.Trouble.Resolved.IsZero() && s.Required == nil && s.Excused == "" && now.Sub(s.Trouble.Resolved) < bygone
}

// Decide asks for a postmortem once an incident is resolved, with a draft, and
// reminds while it is overdue.
func Decide(v control.View[State], now time.Time) control.Plan {
	s := v.State
	switch {
	case s.Trouble.Resolved.IsZero():
		return control.Plan{}
	case s.unassessed(now):
		var story Story
		if _, ok := v.Reading(SourceName, &story); !ok {
			return control.Plan{}
		}
		return s.assess(story)
	case s.Required == nil && s.Excused == "" && s.State == "":
		return control.Plan{
			Verdict: "excused", Rule: "age", Reason: "it was resolved " + span(now.Sub(s.Trouble.Resolved)) + " before this was asked",
			Facts: []event.Draft{{Type: EventExcused, Subject: s.subject(), Data: Excused{Place: s.Place, Reason: "it was resolved on " + day(s.Trouble.Resolved) + ", before this was asked"}}},
		}
	case s.waits():
		return s.remind(now)
	}
	return control.Plan{}
}

func (p Place) subject() string { return "postmortem/" + p.Postmortem }

// assess asks the policy. A draft that somebody began on their own is kept.
func (s State) assess(story Story) control.Plan {
	t := s.Trouble
	rule, reason := s.Policy.requires(t, story.Costs)
	evidence := map[string]any{"policy": s.PolicyName, "severity": t.Severity, "hurt_seconds": t.hurt().Seconds(), "costs": story.Costs}
	if rule == "" {
		reason = s.Policy.spares(t, story.Costs)
		return control.Plan{Verdict: "excused", Rule: s.PolicyName, Reason: reason, Evidence: evidence,
			Facts: []event.Draft{{Type: EventExcused, Subject: s.subject(), Data: Excused{Place: s.Place, Policy: s.PolicyName, Reason: reason}}}}
	}
	due := t.Resolved.Add(s.Policy.Due)
	required := Required{Place: s.Place, Title: t.Title, Severity: t.Severity, Policy: s.PolicyName, Rule: rule, Reason: reason, Due: due, Reviewers: s.Policy.Reviewers}
	plan := control.Plan{Verdict: "required", Rule: rule, Reason: reason, Evidence: evidence, Wake: due,
		Facts: []event.Draft{{Type: EventRequired, Subject: s.subject(), Data: required}}}
	if s.Version == 0 {
		plan.Facts = append(plan.Facts, event.Draft{Type: EventDrafted, Subject: s.subject(), Data: Draft(s.Place, t, story, false)})
	}
	return plan
}

func (s State) remind(now time.Time) control.Plan {
	next := s.Required.Due
	if n := len(s.Reminded); n > 0 {
		next = s.Reminded[n-1].Add(remindEvery)
	}
	switch {
	case len(s.Reminded) >= maxReminders:
		return control.Plan{}
	case now.Before(next):
		return control.Plan{Wake: next}
	}
	reason := fmt.Sprintf("it was due for review on %s, %s ago", day(s.Required.Due), span(now.Sub(s.Required.Due)))
	if now.Sub(s.Required.Due) < time.Minute {
		reason = "it is due for review now"
	}
	return control.Plan{
		Verdict: "overdue", Rule: s.Required.Policy, Reason: reason, Wake: now.Add(remindEvery),
		Facts: []event.Draft{{Type: EventOverdue, Subject: s.subject(), Data: Overdue{Place: s.Place, Due: s.Required.Due, Times: len(s.Reminded) + 1, Reason: reason}}},
	}
}

// Teller tells what other rooms know of an incident: its timeline and what it
// spent of the budgets. The moment is that of ctx.
type Teller func(ctx context.Context, incident string) (Story, error)

// Source gives the controller an incident's story, with the persons in it.
func Source(r projection.Reader, tell Teller) control.Source {
	return func(ctx context.Context, q control.Request, now time.Time) (control.Reading, error) {
		place, ok := q.Args.(Place)
		if !ok {
			return control.Reading{}, problem.New(problem.Internal, "postmortem.story", "arguments are a %T", q.Args)
		}
		p, _, err := projection.Get[Postmortem](ctx, r, ProjectionName, place.Postmortem)
		if err != nil {
			return control.Reading{}, err
		}
		story, err := compose(ctx, r, tell, p)
		if err != nil {
			return control.Reading{}, err
		}
		data, err := json.Marshal(story)
		return control.Reading{From: p.Trouble.Began, To: now, Complete: true, Data: data}, err
	}
}

// compose is an incident's story, bounded and with its cast.
func compose(ctx context.Context, r projection.Reader, tell Teller, p Postmortem) (Story, error) {
	story, err := tell(ctx, p.Incident)
	if err != nil {
		return story, err
	}
	if n := len(story.Entries); n > MaxEntries {
		story.More += n - MaxEntries
		story.Entries = story.Entries[:MaxEntries]
	}
	for i, e := range story.Entries {
		story.Entries[i].Text = clip(e.Text, maxLine)
	}
	known, err := people(ctx, r)
	texts := []string{p.Trouble.Title, p.Trouble.Resolution}
	for _, l := range p.Trouble.Links {
		texts = append(texts, l.Text)
	}
	story.Cast = within(cast(p.Place, p.Trouble, story.Entries, known), story.Entries, texts...)
	return story, err
}
