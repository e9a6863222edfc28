package release

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// State is what proposing the releases of one change is decided from.
type State struct {
	Delivery     Delivery              `json:"delivery"`
	Author       string                `json:"author"`
	Environments []catalog.Environment `json:"environments"` // those the service goes to, in order
}

// Controller proposes releases, keyed by change.
func Controller() control.Controller[State] {
	return control.Controller[State]{
		Name: "release",
		Wakes: func(e event.Event) []string {
			if e.Type != "artifact.built" && e.Type != "rollout.promoted" {
				return nil
			}
			return keyed(func(s subject) string { return s.Change })(e)
		},
		Active: active,
		Load:   load,
		Decide: Decide,
	}
}

// active lists the newest changes, a crash having perhaps come between an
// artifact and its proposal.
func active(ctx context.Context, r projection.Reader) ([]string, error) {
	page, err := r.List(ctx, change.ProjectionName, projection.Filter{Index: "all", Value: "yes", Limit: 200, Newest: true})
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(page.Rows))
	for i, row := range page.Rows {
		keys[i] = row.Key
	}
	return keys, nil
}

func load(ctx context.Context, r projection.Reader, key string) (State, error) {
	var s State
	var err error
	if s.Delivery, _, err = projection.Get[Delivery](ctx, r, deliveryName, key); err != nil || s.Delivery.Built == nil {
		return s, err
	}
	c, _, err := change.Get(ctx, r, key)
	if err != nil {
		return s, err
	}
	s.Author = c.Author
	service, err := catalog.GetService(ctx, r, s.Delivery.Built.Service)
	if problem.KindOf(err) == problem.NotFound {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	all, err := catalog.Environments(ctx, r)
	for _, e := range all {
		if service.In(e.Name) {
			s.Environments = append(s.Environments, e)
		}
	}
	return s, err
}

// Decide proposes a release for each environment that the change may reach now
// and was not proposed for.
func Decide(v control.View[State], _ time.Time) control.Plan {
	s := v.State
	b := s.Delivery.Built
	if b == nil {
		return control.Plan{}
	}
	plan := control.Plan{Verdict: "propose", Rule: "delivery", Cause: s.Delivery.Event}
	for _, e := range s.Environments {
		if s.Delivery.Proposed[e.Name] || e.After != "" && !s.Delivery.Promoted[e.After] {
			continue
		}
		p := Proposed{
			Release: b.Change + "-" + e.Name, Change: b.Change, Run: b.Run, Service: b.Service, Team: b.Team, Environment: e.Name,
			Commit: b.Commit, Digest: b.Digest, Revision: b.Revision, Kind: KindDeploy, Author: s.Author,
		}
		plan.Facts = append(plan.Facts, event.Draft{Type: EventProposed, Subject: "release/" + p.Release, Data: p})
		plan.Actions = append(plan.Actions, start(p))
		plan.Reason = "the artifact passed its tests and is meant for " + e.Name
	}
	if len(plan.Facts) == 0 {
		return control.Plan{}
	}
	return plan
}

func start(p Proposed) action.Proposal {
	return action.Proposal{
		Type: ActionStart, Subject: "release/" + p.Release, Slot: "deploy/" + PlaceKey(p.Service, p.Environment),
		Reason: p.Kind + " " + p.Revision + " to " + p.Environment, Params: action.Params(p),
	}
}
