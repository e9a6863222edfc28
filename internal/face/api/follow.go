package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Filter selects what /events sends.
type Filter struct {
	Types   []string `json:"types" doc:"event types, or prefixes that end in a dot such as rollout.; all by default"`
	Subject string   `json:"subject" doc:"what the events are about, such as rollout/checkout-3f2a91c-prod-1"`
	After   *int64   `json:"after" doc:"log position to start behind; by default only what is yet to come"`
}

// following decodes the query of /events as if it were an operation.
var following = operation.Define(operation.Spec[Filter, struct{}]{Noun: "event", Verb: "follow", Role: operation.Viewer})

// follow sends events as they are recorded (server-sent events, WHATWG HTML
// § 9.2). A message's id is its log position, so Last-Event-ID resumes exactly:
// no event twice, none left out. Where a filter passes over events, the signs
// of life move the id along, so that resuming is cheap.
func (a *API) follow(w http.ResponseWriter, r *http.Request) {
	if err := a.feed(w, r); err != nil {
		a.Problem(w, r, err)
	}
}

func (a *API) feed(w http.ResponseWriter, r *http.Request) error {
	caller, err := a.Caller(r)
	if err != nil {
		return err
	}
	if !caller.May(operation.Viewer, operation.Scope{}) {
		return problem.New(problem.Denied, "event.follow", "following events needs the role viewer everywhere; the caller is %s", caller.Name).
			WithNext("use a token that has it")
	}
	in := new(Filter)
	if err := input.Values(following, in, r.URL.Query()); err != nil {
		return err
	}
	after, err := a.start(r, in)
	if err != nil {
		return err
	}
	leave, err := a.gate.stream(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := a.untilClosed(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	to := a.flushing(w)
	if _, err := fmt.Fprintf(to, "retry: 2000\nid: %d\n\n", after); err != nil {
		return nil
	}
	q := event.Query{After: after, Types: in.Types, Subject: in.Subject}
	for ctx.Err() == nil {
		if q.After, err = a.send(ctx, to, q); err != nil {
			break
		}
		if err = a.wait(ctx, to, q.After); err != nil {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		a.o.Logger.Debug("an event stream broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// start is the position a client has seen already.
func (a *API) start(r *http.Request, in *Filter) (int64, error) {
	head, err := a.o.Log.Head(r.Context())
	if err != nil {
		return 0, err
	}
	after := head.Position
	if in.After != nil {
		after = *in.After
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if after, err = strconv.ParseInt(last, 10, 64); err != nil {
			return 0, problem.New(problem.Invalid, "event.follow", "Last-Event-ID is %q, which is not a log position", clip(last))
		}
	}
	if after < 0 || after > head.Position {
		return 0, problem.New(problem.Conflict, "event.follow", "position %d is not in this log, which ends at %d", after, head.Position).
			WithNext("start again without Last-Event-ID: the log may have been restored from a backup")
	}
	return after, nil
}

// send writes all that matches and is recorded by now, and gives the position
// up to which the client has been told.
func (a *API) send(ctx context.Context, to interface{ Write([]byte) (int, error) }, q event.Query) (int64, error) {
	head, err := a.o.Log.Head(ctx)
	if err != nil {
		return q.After, err
	}
	q.Until, q.Limit = head.Position, 500
	for q.After < q.Until {
		events, err := a.o.Log.Read(ctx, q)
		if err != nil {
			return q.After, err
		}
		var text bytes.Buffer
		for _, e := range events {
			data, err := json.Marshal(recordOf(e))
			if err != nil {
				return q.After, err
			}
			fmt.Fprintf(&text, "id: %d\ndata: %s\n\n", e.Position, data)
			q.After = e.Position
		}
		if len(events) < q.Limit {
			q.After = q.Until
		}
		if _, err := to.Write(text.Bytes()); err != nil {
			return q.After, err
		}
	}
	return q.After, nil
}

// wait returns once there is more to send; meanwhile it gives signs of life.
func (a *API) wait(ctx context.Context, to interface{ Write([]byte) (int, error) }, after int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	more := make(chan error, 1)
	go func() { more <- a.o.Log.Wait(ctx, after) }()
	for {
		beat := a.o.Clock.NewTimer(a.o.Limits.Heartbeat)
		select {
		case err := <-more:
			beat.Stop()
			return err
		case <-beat.C():
			if _, err := fmt.Fprintf(to, ": still here\nid: %d\n\n", after); err != nil {
				cancel()
				<-more
				return err
			}
		}
	}
}
