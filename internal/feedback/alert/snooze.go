package alert

import (
	"context"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// snoozed is what holds a snoozed alert back, among silences and windows.
const snoozed = "snooze"

// Bounds of a snooze.
const (
	usualSnooze = 30 * time.Minute
	maxSnooze   = 24 * time.Hour
)

// SnoozeInput holds one alert back for a while.
type SnoozeInput struct {
	Alert  string        `json:"alert" arg:"1" doc:"identifier of the alert, as the list shows it"`
	For    time.Duration `json:"for" doc:"how long, 1m to 24h (default 30m); after that it pages again if it still fires"`
	Reason string        `json:"reason" doc:"why, for the record"`
}

// AcknowledgeInput says that somebody has seen an alert.
type AcknowledgeInput struct {
	Alert  string `json:"alert" arg:"1" doc:"identifier of the alert, as the list shows it"`
	Reason string `json:"reason" doc:"a note for the record"`
}

// Said is what a person did about an alert: it says all that is known of it.
type Said struct {
	Fired
	Objective string `json:"objective,omitempty"`
}

func (i *Intake) answering() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[SnoozeInput, Alert]{
			Noun: "alert", Verb: "snooze", Summary: "Hold one alert back for a while; then it pages again if it still fires", Role: operation.Developer, Write: true,
			Help:  "  flyball alert snooze prometheus/8f2c11aa90b3d4e7 --for 30m --reason 'the restore takes that long'",
			Scope: func(ctx context.Context, in SnoozeInput) (operation.Scope, error) { return i.scope(ctx, in.Alert) },
			Handle: func(ctx context.Context, c operation.Caller, in SnoozeInput) (Alert, error) {
				if in.For == 0 {
					in.For = usualSnooze
				}
				if in.For < time.Minute || in.For > maxSnooze {
					return Alert{}, problem.New(problem.Invalid, "alert.snooze", "for is %s; it must be between 1m and 24h", in.For)
				}
				until := i.Clock.Now().Add(in.For).UTC().Truncate(time.Second)
				return i.answer(ctx, c.Name, in.Alert, EventSnoozed, func(f Fired) Fired {
					f.SnoozedUntil, f.Reason, f.Severity = until, in.Reason, None
					f.Suppressed = append([]string{snoozed}, f.Suppressed...)
					return f
				})
			},
		}),
		operation.Define(operation.Spec[AcknowledgeInput, Alert]{
			Noun: "alert", Verb: "acknowledge", Summary: "Say that somebody has seen an alert; it silences nothing", Role: operation.Developer, Write: true,
			Help:  "The pages of its incident stop with flyball incident acknowledge.",
			Scope: func(ctx context.Context, in AcknowledgeInput) (operation.Scope, error) { return i.scope(ctx, in.Alert) },
			Handle: func(ctx context.Context, c operation.Caller, in AcknowledgeInput) (Alert, error) {
				return i.answer(ctx, c.Name, in.Alert, EventAcknowledged, func(f Fired) Fired {
					f.Reason = in.Reason
					return f
				})
			},
		}),
	}
}

func (i *Intake) get(ctx context.Context, r projection.Reader, id string) (Alert, error) {
	a, ok, err := projection.Get[Alert](ctx, r, ProjectionName, id)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "alert.show", "there is no alert %q", clip(id, 100)).WithNext("flyball alert list shows the alerts")
	}
	return a, err
}

func (i *Intake) scope(ctx context.Context, id string) (operation.Scope, error) {
	a, err := i.get(ctx, i.Reader, id)
	return operation.Scope{Team: a.Team, Environment: a.Environment}, err
}

// answer records what a person does about an alert that fires.
func (i *Intake) answer(ctx context.Context, actor, id, typ string, change func(Fired) Fired) (Alert, error) {
	if err := i.Sync(ctx); err != nil {
		return Alert{}, err
	}
	a, err := i.get(ctx, i.Reader, id)
	if err != nil {
		return a, err
	}
	over := problem.New(problem.Conflict, "alert.answer", "%s does not fire any more", clip(id, 100))
	if a.Integration == "" { // an objective's: its engine has it, and its incident pages
		if a.State == StateResolved {
			return a, over
		}
		a.Urgency = first(a.Urgency, a.Severity)
		said := Said{Fired: change(a.Fired), Objective: a.Objective}
		if err := i.append1(ctx, event.AnyVersion, "objective/"+a.Objective, typ, actor, said); err != nil {
			return a, err
		}
		return i.get(ctx, i.Reader, id)
	}
	for {
		done := make(chan struct{})
		s, behind := i.answerLive(id, actor, typ, done, change)
		switch {
		case behind != nil:
			select {
			case <-behind:
				continue
			case <-ctx.Done():
				return a, ctx.Err()
			}
		case s == nil:
			return a, over
		}
		if err := i.record(ctx, Integration{Name: a.Integration}, []step{*s}, done); err != nil {
			return a, err
		}
		if err := i.Sync(ctx); err != nil {
			return a, err
		}
		return i.get(ctx, i.Reader, id)
	}
}

// answerLive marks an alert that fires as being recorded until done is closed;
// nil when it does not fire. behind is closed when somebody else is done with recording it.
func (i *Intake) answerLive(id, actor, typ string, done chan struct{}, change func(Fired) Fired) (s *step, behind chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.live[id]
	switch {
	case l == nil:
		return nil, nil
	case l.pending != nil:
		return nil, l.pending
	}
	s = &step{fired: change(l.fired), event: typ, actor: actor, before: l}
	i.put(id, &live{fired: s.fired, updated: l.updated, acked: l.acked || typ == EventAcknowledged, pending: done})
	return s, nil
}
