package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// serve answers one operation's route.
func (a *API) serve(op operation.Operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := a.answer
		if h, ok := a.hooks[r.URL.Path]; ok && op.Ask {
			answer = func(w http.ResponseWriter, r *http.Request, op operation.Operation) error {
				return a.either(w, r, op, h)
			}
		}
		if err := answer(w, r, op); err != nil {
			a.Problem(w, r, err)
		}
	})
}

// either answers a question or the webhook that shares its route.
func (a *API) either(w http.ResponseWriter, r *http.Request, op operation.Operation, h Hook) error {
	raw, err := a.posted(w, r, op)
	if err != nil {
		return err
	}
	if flagger(raw) {
		return a.confirm(w, r, h, raw)
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	return a.answer(w, r, op)
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, op operation.Operation) error {
	c := Call{Operation: op, Input: op.NewInput()}
	var err error
	if c.Caller, err = a.caller(r, !op.Write); err != nil {
		return err
	}
	ctx := r.Context()
	if op.Write {
		if c.Key, err = key(r); err != nil {
			return err
		}
	}
	if op.Body() {
		err = a.body(w, r, c)
	} else {
		ctx, err = a.query(ctx, r, c)
	}
	if err != nil {
		return err
	}
	if op.Stream {
		return a.stream(ctx, w, c)
	}
	out, err := a.Invoke(ctx, c)
	if err != nil {
		return err
	}
	if out.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(out.Body)
	return nil
}

// body reads a write's input: the path and a JSON object.
func (a *API) body(w http.ResponseWriter, r *http.Request, c Call) error {
	if r.URL.RawQuery != "" {
		return problem.New(problem.Invalid, c.Operation.Name(), "%s takes its input from the body, not the query", c.Operation.Name()).WithNext("send a JSON object")
	}
	raw, err := a.posted(w, r, c.Operation)
	if err != nil {
		return err
	}
	if err := input.JSON(c.Operation, c.Input, raw); err != nil {
		return err
	}
	return pathArgument(r, c)
}

// posted is a request's body, which is JSON or empty. A page elsewhere cannot
// send that type without asking first (CORS), so it cannot act for a reader of
// this machine.
func (a *API) posted(w http.ResponseWriter, r *http.Request, op operation.Operation) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.o.Limits.Body))
	if err != nil {
		return nil, err
	}
	if typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); len(raw) > 0 && (err != nil || typ != "application/json") {
		return nil, WithStatus(http.StatusUnsupportedMediaType, problem.New(problem.Invalid, op.Name(), "the body's Content-Type must be application/json").
			WithNext("send a JSON object with that header"))
	}
	return raw, nil
}

// query reads a read's input: the path, the query and the moment asked for.
func (a *API) query(ctx context.Context, r *http.Request, c Call) (context.Context, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return ctx, problem.New(problem.Invalid, c.Operation.Name(), "the query cannot be read: %w", err)
	}
	at := values.Get("at")
	delete(values, "at")
	if err := input.Values(c.Operation, c.Input, values); err != nil {
		return ctx, err
	}
	if err := pathArgument(r, c); err != nil {
		return ctx, err
	}
	return a.AsOf(ctx, at)
}

// pathArgument fills the argument that is part of the path, and only there.
func pathArgument(r *http.Request, c Call) error {
	args := c.Operation.Args()
	if c.Operation.InPath() == "" {
		return nil
	}
	if !reflect.ValueOf(c.Input).Elem().FieldByIndex(args[0].Index).IsZero() {
		return problem.New(problem.Invalid, c.Operation.Name(), "%s is part of the path and must not be sent besides", args[0].Name).WithNext("leave it out")
	}
	if err := input.Set(c.Input, args[0], []string{r.PathValue(args[0].Name)}); err != nil {
		return problem.New(problem.Invalid, c.Operation.Name(), "%s: %w", args[0].Name, err)
	}
	return nil
}

// AsOf has the reads under ctx see the facts recorded by a moment, given as
// RFC 3339; empty is the present.
func (a *API) AsOf(ctx context.Context, at string) (context.Context, error) {
	if at == "" {
		return ctx, nil
	}
	moment, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return ctx, problem.New(problem.Invalid, "api.at", "at is %q, which is not a time", clip(at)).WithNext("write it like 2026-11-21T09:30:00Z")
	}
	if a.o.Past == nil {
		return ctx, problem.New(problem.Invalid, "api.at", "this server cannot look back").WithNext("leave out at")
	}
	past, err := a.o.Past(ctx, moment)
	if err != nil {
		return ctx, err
	}
	return operation.WithReader(operation.WithAt(ctx, moment), past), nil
}

// stream answers with text as it comes, until its end, the client's, or ours.
func (a *API) stream(ctx context.Context, w http.ResponseWriter, c Call) error {
	leave, err := a.gate.stream(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := a.untilClosed(ctx)
	defer cancel()
	out, err := a.Invoke(ctx, c)
	if err != nil {
		return err
	}
	text, ok := out.Output.(io.ReadCloser)
	if !ok {
		return fmt.Errorf("%s is a stream, but its output is a %T", c.Operation.Name(), out.Output)
	}
	defer text.Close()
	defer context.AfterFunc(ctx, func() { text.Close() })()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	to := a.flushing(w)
	to.Write(nil)
	if _, err := io.CopyBuffer(to, struct{ io.Reader }{text}, make([]byte, 32<<10)); err != nil && ctx.Err() == nil {
		a.o.Logger.Warn("a stream broke off", "operation", c.Operation.Name(), "error", err)
		panic(http.ErrAbortHandler) // so that the client sees it is not the end
	}
	return nil
}

func (a *API) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.closed, cancel)
	return ctx, func() { stop(); cancel() }
}

// flushing writes through to the client at once, each write within its limit.
func (a *API) flushing(w http.ResponseWriter) io.Writer {
	return flusher{w, http.NewResponseController(w), a.o.Limits.Write}
}

type flusher struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	limit time.Duration
}

func (f flusher) Write(p []byte) (int, error) {
	f.c.SetWriteDeadline(clock.Wall().Now().Add(f.limit))
	n, err := f.w.Write(p)
	if err == nil {
		err = f.c.Flush()
	}
	return n, err
}
