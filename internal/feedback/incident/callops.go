package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/feedback/support"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// SendInput pages people by hand.
type SendInput struct {
	Whom    string `json:"whom" arg:"1" in:"query" doc:"a service, a team or a person"`
	Message string `json:"message" required:"true" doc:"what they are wanted for, at most 500 characters; they read it"`
}

// CallInput names a page by hand.
type CallInput struct {
	Page string `json:"page" arg:"1" doc:"name of the page"`
}

// AnswerInput answers a page by hand.
type AnswerInput struct {
	Page   string `json:"page" arg:"1" doc:"name of the page"`
	Reason string `json:"reason" doc:"a few words for whoever asked"`
}

// CallListInput bounds a list of pages by hand.
type CallListInput struct {
	After string `json:"after" doc:"cursor from the page before"`
	Limit int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// Header names the columns of a list of pages by hand.
func (c Call) Header() []string {
	return []string{"PAGE", "STATE", "FOR", "BY", "AT", "PAGED", "MESSAGE"}
}

// Rows is the page as a line of a list.
func (c Call) Rows() [][]string {
	return [][]string{{c.Page, c.State, cmp.Or(c.Service, c.Person, c.Team), c.By, stamp(c.At), strings.Join(c.People, " "), c.Message}}
}

func (n *Incidents) calling() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[SendInput, Call]{
			Noun: "page", Verb: "send", Summary: "Page people by hand, by the escalation policy of a service or team, or one person", Role: operation.Developer, Write: true,
			Help: "  flyball page send checkout --message 'the bank calls: their side changes at noon'\n  flyball page send ana --message 'please look at region b'\n" +
				"It opens no incident: declare one when users are hurt. The pages go on by the policy until somebody answers with flyball page ack.",
			Scope: func(ctx context.Context, in SendInput) (operation.Scope, error) {
				c, err := n.wanted(ctx, in.Whom)
				return operation.Scope{Team: c.Team}, err
			},
			Handle: n.send,
		}),
		operation.Define(operation.Spec[CallListInput, operation.Page[Call]]{
			Noun: "page", Verb: "list", Summary: "List pages by hand, newest first", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in CallListInput) (operation.Page[Call], error) {
				f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 50, 500), Newest: true}
				items, next, err := projection.List[Call](ctx, operation.Reader(ctx, n.Reader), callName, f)
				return operation.Page[Call]{Items: items, Next: next}, err
			},
		}),
		operation.Define(operation.Spec[CallInput, Call]{
			Noun: "page", Verb: "show", Summary: "Show a page by hand: who was paged, and who answered", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in CallInput) (Call, error) {
				return getCall(ctx, operation.Reader(ctx, n.Reader), in.Page)
			},
		}),
		operation.Define(operation.Spec[AnswerInput, Call]{
			Noun: "page", Verb: "ack", Summary: "Answer a page by hand: nobody else is paged", Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in AnswerInput) (operation.Scope, error) {
				c, err := getCall(ctx, n.Reader, in.Page)
				return operation.Scope{Team: c.Team}, err
			},
			Handle: n.answer,
		}),
	}
}

func getCall(ctx context.Context, r projection.Reader, name string) (Call, error) {
	c, ok, err := projection.Get[Call](ctx, r, callName, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "page", "there is no page named %q", name).WithNext("flyball page list shows them")
	}
	return c, err
}

// wanted finds what a name means: a service, whose incident may be open, a team
// or a person.
func (n *Incidents) wanted(ctx context.Context, whom string) (c Called, err error) {
	missing := func(err error) bool { return problem.KindOf(err) == problem.NotFound }
	service, err := catalog.GetService(ctx, n.Reader, whom)
	switch {
	case err == nil:
		c.Service, c.Team = whom, service.Team
		err = n.served(ctx, &c)
	case missing(err):
		c.Team = whom
	}
	if err != nil && !missing(err) {
		return c, err
	}
	team, err := catalog.GetTeam(ctx, n.Reader, c.Team)
	if err == nil || c.Service != "" && missing(err) {
		c.Policy = team.Escalation
		return c, nil
	}
	if _, _, err := catalog.Get[oncall.PersonSpec](ctx, n.Reader, oncall.KindPerson, whom); err != nil {
		if missing(err) {
			err = problem.New(problem.NotFound, "page.send", "there is no service, team or person named %q", whom).WithNext("flyball oncall who says who is on call")
		}
		return c, err
	}
	c.Person = whom
	c.Team, err = n.teamOf(ctx, whom)
	return c, err
}

// served adds who is on call for a service where its users are, and the incident
// that is open for it there.
func (n *Incidents) served(ctx context.Context, c *Called) error {
	environments, err := catalog.Environments(ctx, n.Reader)
	if err != nil || len(environments) == 0 {
		return err
	}
	users := environments[len(environments)-1].Name
	holder, err := support.Holder(ctx, n.Reader, c.Service, users)
	if err != nil {
		return err
	}
	c.Team = cmp.Or(holder, c.Team)
	d, _, err := projection.Get[Desk](ctx, n.Reader, deskName, Key(c.Service, users))
	if d.Open != nil {
		c.Incident = d.Open.Place.Incident
		if d.Open.Into != nil {
			c.Incident = d.Open.Into.Incident
		}
	}
	return err
}

// teamOf is the first team that has somebody, by name.
func (n *Incidents) teamOf(ctx context.Context, person string) (string, error) {
	teams, entries, err := catalog.List[catalog.TeamSpec](ctx, n.Reader, catalog.KindTeam)
	for i, t := range teams {
		if slices.ContainsFunc(t.Members, func(m string) bool { return catalog.ParseMember(m).Name == person }) {
			return entries[i].Metadata.Name, err
		}
	}
	return "", err
}

func (n *Incidents) send(ctx context.Context, caller operation.Caller, in SendInput) (Call, error) {
	if in.Message == "" || len([]rune(in.Message)) > maxTaskText {
		return Call{}, problem.New(problem.Invalid, "page.send", "a message has at most %d characters", maxTaskText)
	}
	if err := n.Sync(ctx); err != nil {
		return Call{}, err
	}
	c, err := n.wanted(ctx, in.Whom)
	if err != nil {
		return Call{}, err
	}
	now := n.Clock.Now()
	c.Message = in.Message
	c.Page = plainID("page-", in.Whom) + "-" + now.UTC().Format("20060102t150405")
	return n.told(ctx, caller, 0, c.Page, EventCalled, c, now)
}

func (n *Incidents) answer(ctx context.Context, caller operation.Caller, in AnswerInput) (Call, error) {
	if err := n.Sync(ctx); err != nil {
		return Call{}, err
	}
	c, err := getCall(ctx, n.Reader, in.Page)
	if err != nil || c.State == StateAcknowledged {
		return c, err
	}
	version, err := n.Log.Version(ctx, "page/"+in.Page)
	if err != nil {
		return c, err
	}
	return n.told(ctx, caller, version, in.Page, EventAnswered, Answered{Page: in.Page, Reason: in.Reason}, n.Clock.Now())
}

// told records a fact about a page by hand.
func (n *Incidents) told(ctx context.Context, caller operation.Caller, version int64, name, typ string, data any, now time.Time) (Call, error) {
	_, err := n.Log.Append(ctx, event.Batch{Stream: "page/" + name, Expect: version, Drafts: []event.Draft{{
		ID: operation.FactID(ctx, typ), Type: typ, Subject: "page/" + name, Time: now, Actor: caller.Name, Cause: operation.CallID(ctx), Data: data,
	}}})
	if err != nil {
		return Call{}, fmt.Errorf("page %s: %w", name, err)
	}
	if err := n.Sync(ctx); err != nil {
		return Call{}, err
	}
	return getCall(ctx, n.Reader, name)
}
