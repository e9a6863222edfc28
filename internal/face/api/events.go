package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Record is an event as it is shown: without what only proves the chain.
type Record struct {
	Position int64           `json:"position" doc:"place in the log, from 1, gap-free"`
	Recorded time.Time       `json:"recorded" doc:"when Flyball knew"`
	Time     time.Time       `json:"time" doc:"when it happened"`
	Type     string          `json:"type" doc:"noun and past participle, such as rollout.stepped"`
	Subject  string          `json:"subject" doc:"what it is about"`
	Actor    string          `json:"actor" doc:"who did it"`
	Stream   string          `json:"stream" table:"-" doc:"unit of concurrency"`
	Version  int64           `json:"version" table:"-" doc:"place in the stream, from 1"`
	ID       string          `json:"id" table:"-" doc:"unique within source"`
	Source   string          `json:"source" table:"-" doc:"who says so"`
	Cause    string          `json:"cause,omitempty" table:"-" doc:"id of the event that led to it"`
	Data     json.RawMessage `json:"data,omitempty" doc:"payload; absent when erased"`
	Erased   bool            `json:"erased,omitempty" table:"-" doc:"the payload was removed on request"`
}

func recordOf(e event.Event) Record {
	return Record{Position: e.Position, Stream: e.Stream, Version: e.Version, ID: e.ID, Source: e.Source, Type: e.Type,
		Subject: e.Subject, Time: e.Time, Recorded: e.Recorded, Actor: e.Actor, Cause: e.Cause, Data: e.Data, Erased: e.Erased}
}

// EventOperations are the operations on the log itself.
func EventOperations(s store.Store) []operation.Operation {
	return []operation.Operation{listEvents(s.Log()), showEvent(s.Log()), verifyEvents(s), eraseEvent(s.Log())}
}

// ListEvents is the input of event.list.
type ListEvents struct {
	Types   []string `json:"types" doc:"event types, or prefixes that end in a dot such as rollout."`
	Subject string   `json:"subject" doc:"what the events are about, such as rollout/checkout-3f2a91c-prod-1"`
	Stream  string   `json:"stream" doc:"only this stream"`
	Last    int64    `json:"last" doc:"only among this many of the newest events"`
	After   string   `json:"after" doc:"cursor: the log position to start behind"`
	Limit   int      `json:"limit" doc:"at most this many, 100 by default"`
}

func listEvents(log event.Log) operation.Operation {
	return operation.Define(operation.Spec[ListEvents, operation.Page[Record]]{
		Noun: "event", Verb: "list", Summary: "List recorded events, oldest first", Role: operation.Viewer,
		Help: "flyball event list --types rollout. --last 1000\nflyball event list --subject release/checkout-3f2a91c-prod",
		Handle: func(ctx context.Context, _ operation.Caller, in ListEvents) (out operation.Page[Record], err error) {
			q := event.Query{Types: in.Types, Subject: in.Subject, Stream: in.Stream, Limit: or(in.Limit, 100)}
			if in.After != "" {
				if q.After, err = strconv.ParseInt(in.After, 10, 64); err != nil || q.After < 0 {
					return out, problem.New(problem.Invalid, "event.list", "after is %q, which is not a log position", clip(in.After)).WithNext("use the next of the page before")
				}
			}
			head, err := log.Head(ctx)
			if err != nil {
				return out, err
			}
			if in.Last > 0 {
				q.After = max(q.After, head.Position-in.Last)
			}
			q.RecordedBy, _ = operation.At(ctx)
			events, err := log.Read(ctx, q)
			for _, e := range events {
				out.Items = append(out.Items, recordOf(e))
			}
			if len(events) == q.Limit {
				out.Next = strconv.FormatInt(events[len(events)-1].Position, 10)
			}
			return out, err
		},
	})
}

// ShowEvent is the input of event.show.
type ShowEvent struct {
	Position int64 `json:"position" arg:"1" doc:"log position"`
}

func showEvent(log event.Log) operation.Operation {
	return operation.Define(operation.Spec[ShowEvent, event.Event]{
		Noun: "event", Verb: "show", Summary: "Show one event with its place in the chain", Role: operation.Viewer,
		Handle: func(ctx context.Context, _ operation.Caller, in ShowEvent) (event.Event, error) {
			q := event.Query{After: in.Position - 1, Until: in.Position, Limit: 1}
			q.RecordedBy, _ = operation.At(ctx)
			events, err := log.Read(ctx, q)
			if err == nil && (in.Position < 1 || len(events) == 0) {
				err = problem.New(problem.NotFound, "event.show", "there is no event at position %d", in.Position).WithNext("flyball event list --last 20 shows the newest")
			}
			if err != nil {
				return event.Event{}, err
			}
			return events[0], nil
		},
	})
}

// Verification is the output of event.verify.
type Verification struct {
	Sound  bool   `json:"sound" doc:"every event fits the chain"`
	Events int64  `json:"events" doc:"how many were checked and fit"`
	Erased int64  `json:"erased" doc:"of those, how many are without their payload"`
	Head   string `json:"head" doc:"hash of the last of them, hexadecimal: keep it elsewhere to prove the log later"`
	Fault  string `json:"fault,omitempty" doc:"the position that does not fit, and why"`
}

// Met makes the command fail when the log is not sound.
func (v Verification) Met() bool { return v.Sound }

// Tell says it in a sentence.
func (v Verification) Tell() string {
	if v.Sound {
		return fmt.Sprintf("Sound: %d events, each fits the chain.\nHead  %s", v.Events, v.Head)
	}
	return fmt.Sprintf("Not sound: %s.\n%d events were checked before.", v.Fault, v.Events)
}

func verifyEvents(s store.Store) operation.Operation {
	return operation.Define(operation.Spec[struct{}, Verification]{
		Noun: "event", Verb: "verify", Summary: "Check that no recorded event was changed, removed or inserted", Role: operation.Viewer,
		Help: "Recomputes the hash chain over the whole log. Exits with 4 when it does not hold.",
		Handle: func(ctx context.Context, _ operation.Caller, _ struct{}) (Verification, error) {
			report, err := s.Verify(ctx, nil)
			v := Verification{Sound: err == nil, Events: report.Events, Erased: report.Erased, Head: hex.EncodeToString(report.Head.Hash)}
			var e *problem.Error
			if errors.As(err, &e) && e.Kind == problem.Internal {
				v.Fault, err = e.Message, nil // what was asked for, not a failure to answer
			}
			return v, err
		},
	})
}

// EraseEvent is the input of event.erase.
type EraseEvent struct {
	Position int64  `json:"position" arg:"1" doc:"log position"`
	Reason   string `json:"reason" required:"true" doc:"why the payload must go; recorded"`
}

// Erased is the output of event.erase.
type Erased struct {
	Position int64 `json:"position" doc:"log position of the event whose payload is gone"`
}

// Tell says it in a sentence.
func (e Erased) Tell() string {
	return fmt.Sprintf("Erased the payload of event %d. The chain still verifies.", e.Position)
}

func eraseEvent(log event.Log) operation.Operation {
	return operation.Define(operation.Spec[EraseEvent, Erased]{
		Noun: "event", Verb: "erase", Summary: "Remove one event's payload for good, such as a leaked secret", Role: operation.Admin, Write: true,
		Help: "The event itself and the chain stay; who erased it and why is recorded.\n\nflyball event erase 4711 --reason \"password in a commit message\"",
		Handle: func(ctx context.Context, c operation.Caller, in EraseEvent) (Erased, error) {
			return Erased{Position: in.Position}, log.Erase(ctx, in.Position, c.Name, in.Reason)
		},
	})
}
