package incident

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Call is a page by hand as folded.
type Call struct {
	Called
	State      string            `json:"state" doc:"open, acknowledged or unanswered"`
	By         string            `json:"by" doc:"who wants people"`
	At         time.Time         `json:"at"`
	People     []string          `json:"people,omitempty" doc:"who was paged so far"`
	Reason     string            `json:"reason,omitempty" doc:"why they"`
	AnsweredBy string            `json:"answered_by,omitempty"`
	AnsweredAt time.Time         `json:"answered_at,omitzero"`
	Escalation oncall.Escalation `json:"escalation" table:"-" doc:"how far the pages have gone"`
}

// stateUnanswered is a page of which everybody was told and nobody answered.
const stateUnanswered = "unanswered"

// callName is the projection of pages by hand, indexed by "state" (open or
// over) and "all" in order of their beginning.
const callName = "page"

func calls() *projection.Projection {
	return projection.Define(projection.Fold[Call]{
		Name: callName, Version: 1, Types: []string{"page."},
		Keys: func(e event.Event) []string {
			if a, err := event.Decode[Answered](e); err == nil && a.Page != "" {
				return []string{a.Page}
			}
			return nil
		},
		Apply: func(_ string, c Call, e event.Event) (Call, error) { return c.apply(e) },
		Indexes: func(_ string, c Call) []projection.Index {
			at, state := fmt.Sprintf("%020d", c.At.UnixMicro()), "over"
			if c.State == StateOpen {
				state = StateOpen
			}
			return []projection.Index{{Name: "state", Value: state, Sort: at}, {Name: "all", Value: "yes", Sort: at}}
		},
	})
}

func (c Call) apply(e event.Event) (Call, error) {
	switch e.Type {
	case EventCalled:
		called, err := event.Decode[Called](e)
		return Call{Called: called, State: StateOpen, By: e.Actor, At: e.Time, Escalation: oncall.Escalation{Policy: called.Policy, Due: e.Time}}, err
	case EventSent:
		s, err := event.Decode[Sent](e)
		c.Escalation, c.Reason = s.Escalation, s.Reason
		for _, p := range s.People {
			if !slices.Contains(c.People, p) {
				c.People = append(slices.Clip(c.People), p)
			}
		}
		if s.Escalation.Done && c.State == StateOpen {
			c.State = stateUnanswered
		}
		return c, err
	case EventAnswered:
		c.State, c.AnsweredBy, c.AnsweredAt, c.Escalation.Stopped = StateAcknowledged, e.Actor, e.Time, true
	}
	return c, nil
}

// CallController pages for what somebody asked by hand, until it is answered.
// It is keyed by the page's name.
func CallController() control.Controller[Call] {
	return control.Controller[Call]{
		Name: callName,
		Wakes: func(e event.Event) []string {
			if name, ok := strings.CutPrefix(e.Subject, "page/"); ok && strings.HasPrefix(e.Type, "page.") {
				return []string{name}
			}
			return nil
		},
		Active: func(ctx context.Context, r projection.Reader) (keys []string, err error) {
			for f := (projection.Filter{Index: "state", Value: StateOpen, Limit: projection.MaxPage}); ; {
				page, err := r.List(ctx, callName, f)
				if err != nil {
					return nil, err
				}
				for _, row := range page.Rows {
					keys = append(keys, row.Key)
				}
				if f.After = page.Next; page.Next == "" {
					return keys, nil
				}
			}
		},
		Load: func(ctx context.Context, r projection.Reader, key string) (Call, error) {
			c, _, err := projection.Get[Call](ctx, r, callName, key)
			return c, err
		},
		Needs: func(_ string, c Call, now time.Time) []control.Request {
			if c.State != StateOpen || now.Before(c.Escalation.Due) {
				return nil
			}
			ask := oncall.Ask{Policy: c.Policy}
			if c.Policy == "" && c.Person != "" {
				ask.Person = c.Person
			} else if c.Policy == "" {
				ask.Team = c.Team
			}
			return []control.Request{{Name: oncall.SourceName, Source: oncall.SourceName, Args: ask}}
		},
		Decide: DecideCall,
	}
}

// DecideCall pages whoever is next, if it is time and nobody has answered.
func DecideCall(v control.View[Call], now time.Time) control.Plan {
	c := v.State
	if c.State != StateOpen {
		return control.Plan{}
	}
	var standing oncall.Standing
	if _, ok := v.Reading(oncall.SourceName, &standing); !ok {
		return control.Plan{Wake: c.Escalation.Due}
	}
	next, ok, wake := oncall.Next(c.Escalation, standing, false, now)
	if !ok {
		return control.Plan{Wake: wake}
	}
	if c.Policy == "" { // there is no step, and nobody comes after
		next.Reason = strings.TrimSuffix(next.Reason, "; there is no last resort")
		if len(next.Recipients) > 0 {
			next.Reason = "asked for by name"
		}
	}
	s := Sent{Page: c.Page, Step: next.Step, Attempt: next.Attempt, Reason: next.Reason, Escalation: next.After}
	plan := control.Plan{Verdict: "page", Rule: "escalation", Wake: wake}
	for _, r := range next.Recipients {
		s.People = append(s.People, r.Name)
		p := Page{Type: PageByHand, Contacts: r.Contacts, At: now}
		if r.Person {
			p.Person = r.Name
		}
		p.Data.Place = Place{Incident: c.Incident, Service: c.Service, Team: c.Team}
		p.Data.Title, p.Data.BeganAt, p.Data.OpenedAt, p.Data.Links, p.Data.Page = c.Message, c.At, c.At, []Link{}, c.Page
		p.Data.Paged = &Summons{Person: r.Name, Via: r.Via, Policy: c.Policy, Step: s.Step, Attempt: s.Attempt, Reason: person(c.By) + " wants you"}
		step := fmt.Sprintf("step%d", s.Step)
		if s.Step == 0 {
			step = "last"
		}
		plan.Actions = append(plan.Actions, action.Proposal{
			ID: plainID(fmt.Sprintf("call-%s-%s-try%d-", c.Page, step, s.Attempt), r.Name), Type: ActionPage, Subject: "page/" + c.Page,
			Reason: "page " + r.Name + ": " + c.Message, Params: action.Params(p),
		})
	}
	plan.Reason = fmt.Sprintf("%s: %s", c.Page, s.Reason)
	plan.Facts = []event.Draft{{Type: EventSent, Subject: "page/" + c.Page, Data: s}}
	return plan
}
