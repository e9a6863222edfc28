package app

import (
	"context"
	"slices"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// foreignTool lets another incident tool act on incidents here.
type foreignTool struct{ app *App }

// Find names the incident that a tool means by a key: one of ours by its name.
func (e foreignTool) Find(ctx context.Context, key string) (string, error) {
	if err := e.app.sync(ctx); err != nil {
		return "", err
	}
	_, ok, err := incident.Get(ctx, e.app.env.Reader, key)
	if err != nil || !ok {
		return "", err
	}
	return key, nil
}

// Opened names the open incident that an alert belongs to; empty when there is
// none, or other alerts belong to it as well.
func (e foreignTool) Opened(ctx context.Context, id string) (string, error) {
	if err := e.app.sync(ctx); err != nil {
		return "", err
	}
	a, ok, err := projection.Get[alert.Alert](ctx, e.app.env.Reader, alert.ProjectionName, id)
	if err != nil || !ok {
		return "", err
	}
	open, ok, err := incident.OpenIn(ctx, e.app.env.Reader, a.Service, a.Environment)
	if err != nil || !ok || !open.Elsewhere || !slices.ContainsFunc(open.Links, func(l incident.Link) bool { return l.Alert == id }) {
		return "", err
	}
	return open.Place.Incident, nil
}

// Answer acknowledges or resolves an incident for somebody who did so at
// another tool. What was done before is done.
func (e foreignTool) Answer(ctx context.Context, by, does, name, reason string) error {
	var in any
	op := byName(e.app.Operations, "incident."+map[string]string{"acknowledge": "ack", "resolve": "resolve"}[does])
	if does == "resolve" {
		in = &incident.ResolveInput{Incident: name, Reason: reason, Anyway: true}
	} else {
		in = &incident.SayInput{Incident: name, Reason: reason}
	}
	// Whoever may act at the other tool may act here: the integration's secret
	// says that it is that tool.
	caller := operation.Caller{Name: incident.ActorPagerDuty + by, Grants: []operation.Grant{{Role: operation.Operator}}}
	for try := 1; ; try++ {
		if err := e.app.sync(ctx); err != nil {
			return err
		}
		i, _, err := incident.Get(ctx, e.app.env.Reader, name)
		if err != nil || !i.ResolvedAt.IsZero() || does != "resolve" && !i.AcknowledgedAt.IsZero() {
			return err
		}
		// The controller may record something about it at the same moment.
		if _, err = op.Call(ctx, caller, in); problem.KindOf(err) != problem.Conflict || try == answerTries {
			return err
		}
	}
}

const answerTries = 20
