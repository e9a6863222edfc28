package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// dependencyStopped ends the inventory until the shop's budget is spent.
func (t *teller) dependencyStopped(ctx context.Context, s *Step) (string, error) {
	t.faults = append(t.faults, guilt{name: s.Name, dependency: true, from: t.Clock.Now().Add(-time.Second)})
	fault := &t.faults[len(t.faults)-1]
	t.stopInventory()
	b, err := t.availability(ctx, func(b budget) bool { return b.Level == "exhausted" })
	if back := t.startInventory(ctx); err == nil {
		err = back
	}
	if err != nil {
		return "", err
	}
	fault.to = t.Clock.Now()
	if t.incident, err = t.openIncident(ctx, 2); err != nil {
		return "", err
	}
	s.Detail = fmt.Sprintf("%s: %.1f %% left; %s", b.Objective, 100*b.Remaining, t.incident)
	return "budget exhausted, incident opened, page delivered", nil
}

// blocked pushes the fix, which nobody has yet said to be one.
func (t *teller) blocked(ctx context.Context, s *Step) (string, error) {
	var err error
	if t.fix, err = t.deliver(ctx, "6-without-stock"); err != nil {
		return "", err
	}
	r, err := t.released(ctx, t.fix, func(r release) bool { return len(r.Rollouts) > 0 || r.Action != nil && r.Action.Gate != nil })
	if err != nil {
		return "", err
	}
	if len(r.Rollouts) > 0 || r.Action.Phase != "blocked" {
		return "not blocked: " + r.Action.Phase, nil
	}
	s.Detail = r.Action.Gate.Reason
	for _, c := range r.Action.Gate.Clauses {
		if c.Name == "error budget" && c.Verdict == "fail" && strings.Contains(c.Detail, "shop.prod.availability") && c.Unblock != "" {
			return "blocked by the error budget", nil
		}
	}
	return "blocked otherwise", nil
}

// denied has ana try what only an operator may.
func (t *teller) denied(ctx context.Context, s *Step) (string, error) {
	for _, args := range [][]string{
		{"override", "grant", "shop", "--environment=prod", "--reason=it is urgent"},
		{"change", "mark", t.fix, "--as=fix", "--reason=it is urgent"},
	} {
		err := t.client.as(ctx, t.ana, nil, args...)
		var no refusal
		if !errors.As(err, &no) {
			return fmt.Sprintf("ana may %s %s", args[0], args[1]), err
		}
		if s.Detail = no.message; !strings.Contains(no.message, "operator") {
			return no.message, nil
		}
	}
	return "denied", nil
}

// overridden has dana let the fix through.
func (t *teller) overridden(ctx context.Context, s *Step) (string, error) {
	err := t.client.as(ctx, t.dana, nil, "override", "grant", "shop", "--environment=prod", "--for=1h", "--reason="+t.incident+": this is the fix")
	if err != nil {
		return "", err
	}
	return t.follow(ctx, s, t.fix)
}

// stoppedAgain shows that the fix is one.
func (t *teller) stoppedAgain(ctx context.Context, s *Step) (string, error) {
	before := t.visitors.tally()
	t.stopInventory()
	err := t.pass(ctx, 3*time.Second)
	if err = errors.Join(err, t.startInventory(ctx)); err != nil {
		return "", err
	}
	after := t.visitors.tally()
	s.Detail = fmt.Sprintf("%d requests meanwhile", after.total-before.total)
	if n := len(after.failures) - len(before.failures); n > 0 {
		return fmt.Sprintf("%d requests failed", n), nil
	}
	return "no request failed", nil
}
