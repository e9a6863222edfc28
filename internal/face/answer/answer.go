// Package answer is what people say to a page where they read it: a link in a
// mail, a button in a chat, a key of a telephone. Each carries a permission that
// this server has signed (package channel's Act); this package checks it and
// calls the operation in the person's name. The faces web and ingest hear the
// answers.
package answer

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Desk hears answers.
type Desk struct {
	API        *api.API
	Operations []operation.Operation
	Reader     projection.Reader
	Key        channel.Key
	Clock      clock.Clock
}

// Answer is a permission with what it is about, as it stands now.
type Answer struct {
	channel.Act
	Of    incident.Incident
	Said  string // why there is nothing to do: it was done before
	By    string // how it was given, for the record, such as "a link in a message"
	token string
}

// Open checks a permission. It fails with problem.Denied for one that this
// server has not given, or whose person is not declared any more, and with
// problem.Blocked for one that has expired.
func (d *Desk) Open(ctx context.Context, token string) (Answer, error) {
	act, err := d.Key.Open(token, d.Clock.Now())
	if err != nil {
		return Answer{}, err
	}
	return d.look(ctx, Answer{Act: act, token: token})
}

// look finds what an answer is about and whether it was given before.
func (d *Desk) look(ctx context.Context, a Answer) (Answer, error) {
	i, ok, err := incident.Get(ctx, d.Reader, a.Incident)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "answer", "there is no incident named %q", a.Incident)
	}
	if err != nil {
		return a, err
	}
	a.Of, a.Said = i, ""
	switch {
	case i.State == incident.StateResolved:
		a.Said = fmt.Sprintf("It was resolved by %s at %s.", i.ResolvedBy, i.ResolvedAt.UTC().Format("15:04 MST on 2 January"))
	case a.Does == channel.Acknowledge && i.AcknowledgedBy == "user:"+a.Person:
		a.Said = fmt.Sprintf("You have it since %s.", i.AcknowledgedAt.UTC().Format("15:04 MST on 2 January"))
	}
	return a, nil
}

// Do gives the answer in the person's name, once; what was said before is said
// again.
func (d *Desk) Do(ctx context.Context, a Answer) (Answer, error) {
	if a.Person == "" {
		return a, problem.New(problem.Denied, "answer", "this permission names nobody").WithNext("open the incident's page and sign in")
	}
	if a.Said != "" {
		return a, nil
	}
	if _, _, err := catalog.Get[oncall.PersonSpec](ctx, d.Reader, oncall.KindPerson, a.Person); err != nil {
		if problem.KindOf(err) == problem.NotFound {
			err = problem.New(problem.Denied, "answer", "%s is not declared any more", a.Person)
		}
		return a, err
	}
	name := "incident.ack"
	if a.Does == channel.Resolve {
		name = "incident.resolve"
	}
	op, err := d.operation(name)
	if err != nil {
		return a, err
	}
	in := op.NewInput()
	if err := input.Values(op, in, map[string][]string{"incident": {a.Incident}, "reason": {"by " + a.By}}); err != nil {
		return a, err
	}
	sum := sha256.Sum256([]byte(a.token))
	_, err = d.API.Invoke(ctx, api.Call{
		Operation: op, Input: in, Key: fmt.Sprintf("answer-%x", sum[:16]),
		Caller: operation.Caller{Name: "user:" + a.Person, Grants: []operation.Grant{{Role: operation.Developer, Team: a.Of.Team, Environment: a.Of.Environment}}},
	})
	if err != nil {
		return a, err
	}
	return d.look(ctx, a)
}

func (d *Desk) operation(name string) (operation.Operation, error) {
	for _, o := range d.Operations {
		if o.Name() == name {
			return o, nil
		}
	}
	return operation.Operation{}, problem.New(problem.Internal, "answer", "there is no operation %s", name)
}

// As gives an answer in the name of whoever has an address of a channel among
// their contacts: in a room, the permission names nobody.
func (d *Desk) As(ctx context.Context, a Answer, name, address string) (Answer, error) {
	specs, entries, err := catalog.List[oncall.PersonSpec](ctx, d.Reader, oncall.KindPerson)
	if err != nil {
		return a, err
	}
	for i, p := range specs {
		for _, k := range p.Contacts {
			if k.Channel == name && k.To == address {
				a.Person = entries[i].Metadata.Name
				return d.look(ctx, a)
			}
		}
	}
	if a.Person == "" {
		return a, problem.New(problem.Denied, "answer", "no Person has %s of %s among their contacts", address, name).
			WithNext("add it to yours: {channel: %s, to: %s}", name, address)
	}
	return a, nil
}
