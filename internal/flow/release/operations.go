package release

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Desk is where people look at releases, approve them and propose others.
type Desk struct {
	Log    event.Log
	Reader projection.Reader
	Sync   func(ctx context.Context) error
}

// ListInput bounds a list of releases.
type ListInput struct {
	Change string `json:"change" doc:"of this change only"`
	After  string `json:"after" doc:"cursor from the page before"`
	Limit  int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// ShowInput names a release.
type ShowInput struct {
	Release string `json:"release" arg:"1" doc:"name of the release, such as checkout-3f2a91c-prod"`
}

// Releases is a page of releases, newest first.
type Releases operation.Page[Release]

// Header names the columns of the list.
func (Releases) Header() []string {
	return []string{"RELEASE", "KIND", "REVISION", "PROPOSED", "AUTHOR", "ROLLOUTS", "OUTCOME"}
}

// Rows are the list's lines; -o json has everything.
func (l Releases) Rows() [][]string {
	var out [][]string
	for _, r := range l.Items {
		outcome := r.Outcome
		switch {
		case outcome == "" && len(r.Rollouts) > 0:
			outcome = "moving"
		case outcome == "":
			outcome = "not started"
		}
		out = append(out, []string{r.Release, r.Kind, r.Revision, r.ProposedAt.Local().Format("2006-01-02 15:04"), r.Author, strconv.Itoa(len(r.Rollouts)), outcome})
	}
	return out
}

// Detail is a release with the gate of its newest action.
type Detail struct {
	Release
	Action *action.Action `json:"action,omitempty"`
}

// Tell is the release and its gate, clause by clause.
func (d Detail) Tell() string {
	s := fmt.Sprintf("%s: %s %s to %s", d.Service, d.Kind, d.Revision, d.Environment)
	if d.Action == nil {
		return s
	}
	s += ", " + string(d.Action.Phase)
	if d.Action.Gate == nil {
		return s
	}
	for _, c := range d.Action.Gate.Clauses {
		s += fmt.Sprintf("\n  %-4s  %-13s %s", c.Verdict, c.Name, c.Detail)
		if c.Unblock != "" {
			s += "\n        " + strings.Repeat(" ", 14) + c.Unblock
		}
	}
	return s
}

// ProposeInput says what to release again, or to go back to.
type ProposeInput struct {
	Service     string `json:"service" arg:"1" doc:"service"`
	Environment string `json:"environment" required:"true" doc:"environment"`
	Revision    string `json:"revision" doc:"revision to go back to; default: the one that served before"`
	Reason      string `json:"reason" required:"true" doc:"why, for the record"`
}

// PlaceInput names a revision in its place.
type PlaceInput struct {
	Service     string `json:"service" arg:"1" doc:"service"`
	Environment string `json:"environment" required:"true" doc:"environment"`
	Revision    string `json:"revision" required:"true" doc:"revision in quarantine"`
	Reason      string `json:"reason" required:"true" doc:"why it may be tried again, for the record"`
}

// AnswerInput answers an action that waits for people.
type AnswerInput struct {
	Action string `json:"action" arg:"1" doc:"identifier of the action"`
	Reason string `json:"reason" required:"true" doc:"why, for the record"`
}

// Operations are what users can do with releases.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, Releases]{
			Noun: "release", Verb: "list", Summary: "List releases, newest first", Role: operation.Viewer, Handle: d.list,
		}),
		operation.Define(operation.Spec[ShowInput, Detail]{
			Noun: "release", Verb: "show", Summary: "Show one release and its gate, clause by clause", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Detail, error) {
				return Show(ctx, operation.Reader(ctx, d.Reader), in.Release)
			},
		}),
		operation.Define(operation.Spec[ProposeInput, Detail]{
			Noun: "release", Verb: "rollback", Summary: "Go back to a revision that served before",
			Help: "A rollback passes freezes and needs no evidence: what it goes back to has served.\n\n  flyball release rollback checkout --environment prod --reason 'INC-14: search is empty'",
			Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in ProposeInput) (operation.Scope, error) {
				return d.place(ctx, in.Service, in.Environment)
			},
			Handle: d.rollback,
		}),
		operation.Define(operation.Spec[PlaceInput, Place]{
			Noun: "release", Verb: "unquarantine", Summary: "Let a revision that went back be tried again",
			Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in PlaceInput) (operation.Scope, error) {
				return d.place(ctx, in.Service, in.Environment)
			},
			Handle: d.unquarantine,
		}),
		d.answer("approve", "Agree that an action runs", action.EventApproved),
		d.answer("reject", "Refuse an action for good", action.EventRejected),
		operation.Define(operation.Spec[ActionListInput, operation.Page[action.Action]]{
			Noun: "action", Verb: "list", Summary: "List actions: what Flyball does to the world, or waits to do", Role: operation.Viewer, Handle: d.actions,
		}),
	}
}

// ActionListInput bounds a list of actions.
type ActionListInput struct {
	Phase   string `json:"phase" enum:"proposed,blocked,awaiting approval,allowed,running,succeeded,failed,rejected,superseded" doc:"in this phase only"`
	Subject string `json:"subject" doc:"of this subject only, such as rollout/checkout-3f2a91c-prod-1"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

func (d *Desk) actions(ctx context.Context, _ operation.Caller, in ActionListInput) (operation.Page[action.Action], error) {
	f := projection.Filter{Index: "open", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 50, 500), Newest: true}
	switch {
	case in.Subject != "":
		f.Index, f.Value = "subject", in.Subject
	case in.Phase != "":
		f.Index, f.Value = "phase", in.Phase
	}
	items, next, err := projection.List[action.Action](ctx, operation.Reader(ctx, d.Reader), action.ProjectionName, f)
	return operation.Page[action.Action]{Items: items, Next: next}, err
}

func (d *Desk) list(ctx context.Context, _ operation.Caller, in ListInput) (Releases, error) {
	f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 50, 500), Newest: true}
	if in.Change != "" {
		f.Index, f.Value = "change", in.Change
	}
	items, next, err := projection.List[Release](ctx, operation.Reader(ctx, d.Reader), ProjectionName, f)
	return Releases{Items: items, Next: next}, err
}

// Show reads a release with its newest rollout.start action.
func Show(ctx context.Context, r projection.Reader, name string) (Detail, error) {
	rel, ok, err := projection.Get[Release](ctx, r, ProjectionName, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "release.show", "there is no release named %q", name).WithNext("flyball release list shows the releases")
	}
	if err != nil {
		return Detail{}, err
	}
	out := Detail{Release: rel}
	list, _, err := projection.List[action.Action](ctx, r, action.ProjectionName, projection.Filter{Index: "subject", Value: "release/" + name, Limit: 1, Newest: true})
	if len(list) > 0 {
		out.Action = &list[0]
	}
	return out, err
}

func (d *Desk) place(ctx context.Context, service, environment string) (operation.Scope, error) {
	s, err := catalog.GetService(ctx, d.Reader, service)
	return operation.Scope{Team: s.Team, Environment: environment}, err
}

func (d *Desk) rollback(ctx context.Context, caller operation.Caller, in ProposeInput) (Detail, error) {
	place, err := GetPlace(ctx, d.Reader, in.Service, in.Environment)
	if err != nil {
		return Detail{}, err
	}
	var to *Running
	for i, p := range place.Previous {
		if in.Revision == "" || p.Revision == in.Revision {
			to = &place.Previous[i]
			break
		}
	}
	if to == nil {
		return Detail{}, problem.New(problem.NotFound, "release.rollback", "no earlier revision %s of %s has served in %s", in.Revision, in.Service, in.Environment)
	}
	c, _, err := change.Get(ctx, d.Reader, to.Change)
	if err != nil {
		return Detail{}, err
	}
	p := Proposed{
		Release: to.Change + "-" + in.Environment, Change: to.Change, Service: in.Service, Team: c.Team, Environment: in.Environment,
		Commit: to.Commit, Digest: to.Digest, Revision: to.Revision, Kind: KindRollback, Author: c.Author,
	}
	version, err := d.Log.Version(ctx, "release/"+p.Release)
	if err != nil {
		return Detail{}, err
	}
	a := start(p)
	a.ID, a.Reason = fmt.Sprintf("release/%s@%d!rollback", p.Release, version+1), in.Reason
	_, err = d.Log.Append(ctx, event.Batch{Stream: "release/" + p.Release, Expect: version, Drafts: []event.Draft{
		{ID: a.ID + "#proposed", Type: EventProposed, Subject: "release/" + p.Release, Actor: caller.Name, Cause: operation.CallID(ctx), Data: p},
		{ID: a.ID, Type: action.EventProposed, Subject: a.Subject, Actor: caller.Name, Cause: a.ID + "#proposed", Data: a},
	}})
	if err == nil {
		err = d.Sync(ctx)
	}
	if err != nil {
		return Detail{}, err
	}
	return Show(ctx, d.Reader, p.Release)
}

func (d *Desk) unquarantine(ctx context.Context, caller operation.Caller, in PlaceInput) (Place, error) {
	place, err := GetPlace(ctx, d.Reader, in.Service, in.Environment)
	if err != nil {
		return place, err
	}
	if _, bad := place.Quarantine[in.Revision]; !bad {
		return place, problem.New(problem.NotFound, "release.unquarantine", "revision %s of %s is not in quarantine in %s", in.Revision, in.Service, in.Environment)
	}
	_, err = d.Log.Append(ctx, event.Batch{Stream: "place/" + PlaceKey(in.Service, in.Environment), Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: EventQuarantineLifted, Actor: caller.Name, Data: Lifted{Service: in.Service, Environment: in.Environment, Revision: in.Revision, Reason: in.Reason},
	}}})
	if err == nil {
		err = d.Sync(ctx)
	}
	if err != nil {
		return place, err
	}
	return GetPlace(ctx, d.Reader, in.Service, in.Environment)
}

func (d *Desk) answer(verb, summary, typ string) operation.Operation {
	return operation.Define(operation.Spec[AnswerInput, action.Action]{
		Noun: "action", Verb: verb, Summary: summary, Role: operation.Operator, Write: true,
		Scope: func(ctx context.Context, in AnswerInput) (operation.Scope, error) {
			a, err := d.action(ctx, in.Action)
			p := proposedOf(a)
			return operation.Scope{Team: p.Team, Environment: p.Environment}, err
		},
		Handle: func(ctx context.Context, caller operation.Caller, in AnswerInput) (action.Action, error) {
			a, err := d.action(ctx, in.Action)
			if err != nil {
				return a, err
			}
			if !a.Phase.Pending() {
				return a, problem.New(problem.Conflict, "action."+verb, "action %s is %s and waits for nobody", a.ID, a.Phase)
			}
			_, err = d.Log.Append(ctx, event.Batch{Stream: "action/" + a.ID, Expect: event.AnyVersion, Drafts: []event.Draft{{
				Type: typ, Subject: a.Subject, Actor: caller.Name, Cause: a.ID, Data: action.Answer{ID: a.ID, Reason: in.Reason},
			}}})
			if err == nil {
				err = d.Sync(ctx)
			}
			if err != nil {
				return a, err
			}
			return d.action(ctx, in.Action)
		},
	})
}

func (d *Desk) action(ctx context.Context, id string) (action.Action, error) {
	a, ok, err := projection.Get[action.Action](ctx, d.Reader, action.ProjectionName, id)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "action.show", "there is no action %q", id).WithNext("flyball action list shows those that wait")
	}
	return a, err
}
