package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// statuses maps each kind of error to its HTTP status. It is the only place
// that does; a caller who is not known at all gets 401 instead of 403, and the
// limits of HTTP itself (405, 408, 413, 415, 421, 429) are set where they bite.
var statuses = map[problem.Kind]struct {
	status int
	title  string
	next   string // advice for an error that has none of its own
}{
	problem.Invalid:     {http.StatusUnprocessableEntity, "The request is not right", "correct what is named and send it again"},
	problem.NotFound:    {http.StatusNotFound, "Not found", "check the name; the list of its kind shows what there is"},
	problem.Conflict:    {http.StatusConflict, "It changed meanwhile, or exists already", "look at its present state, then decide again"},
	problem.Denied:      {http.StatusForbidden, "Not permitted", "ask someone who has the role, or use a token that has it"},
	problem.Blocked:     {http.StatusLocked, "Blocked by policy for now", "wait until the policy allows it, or have it overridden by someone who may"},
	problem.Unavailable: {http.StatusServiceUnavailable, "Not available at the moment", "try again in a moment"},
	problem.Internal:    {http.StatusInternalServerError, "A fault in Flyball", "look for the reference in the server's log, and report it"},
}

// Problem is the body of every error, an RFC 9457 problem. Its type is
// urn:flyball:problem:KIND.
type Problem struct {
	Type       string            `json:"type" doc:"urn:flyball:problem: and the kind"`
	Title      string            `json:"title" doc:"the kind in words"`
	Status     int               `json:"status" doc:"the HTTP status"`
	Detail     string            `json:"detail" doc:"what is wrong, for a person"`
	Instance   string            `json:"instance,omitempty" doc:"for a fault: its reference in the server's log"`
	Kind       problem.Kind      `json:"kind" doc:"invalid, notfound, conflict, denied, blocked, unavailable or internal"`
	Operation  string            `json:"operation,omitempty" doc:"the operation that failed"`
	Next       string            `json:"next,omitempty" doc:"what to do next"`
	RetryAfter float64           `json:"retry_after_seconds,omitempty" doc:"when trying again may help"`
	Findings   []problem.Finding `json:"findings,omitempty" doc:"each place that is wrong"`
}

// Err is the error a client of the API returns for the problem.
func (p Problem) Err() *problem.Error {
	e := &problem.Error{Kind: p.Kind, Op: p.Operation, Message: p.Detail, Next: p.Next, Findings: p.Findings}
	e.RetryAfter = time.Duration(p.RetryAfter * float64(time.Second))
	if p.Instance != "" {
		e.Message += " (reference " + p.Instance + ")"
	}
	return e
}

// statusError is an error with a status more exact than its kind's.
type statusError struct {
	status int
	error
}

func (e statusError) Unwrap() error { return e.error }

// WithStatus is an error that is answered with a status of its own.
func WithStatus(status int, err error) error { return statusError{status, err} }

// Status is the HTTP status of an error.
func Status(err error) int {
	var exact statusError
	if errors.As(err, &exact) {
		return exact.status
	}
	return statuses[problem.KindOf(translate(err))].status
}

// translate gives errors of the standard library their kind.
func translate(err error) error {
	var known *problem.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &known):
	case errors.As(err, &large):
		return WithStatus(http.StatusRequestEntityTooLarge, problem.New(problem.Invalid, "api", "the body is larger than %d bytes", large.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return WithStatus(http.StatusRequestTimeout, problem.New(problem.Unavailable, "api", "the body did not arrive in time"))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem.New(problem.Unavailable, "api", "the request ran out of time").WithNext("try again")
	}
	return err
}

// Describe is the problem an error is answered with. An internal error keeps
// its text to itself.
func Describe(err error) Problem {
	err = translate(err)
	kind := problem.KindOf(err)
	p := Problem{Type: "urn:flyball:problem:" + string(kind), Title: statuses[kind].title, Status: Status(err), Kind: kind, Next: or(problem.NextOf(err), statuses[kind].next)}
	var e *problem.Error
	if kind == problem.Internal || !errors.As(err, &e) {
		p.Detail = "the request failed by a fault of the server"
		p.Next = statuses[problem.Internal].next
		return p
	}
	p.Operation, p.Findings = e.Op, e.Findings
	plain := *e
	plain.Findings = nil
	p.Detail = plain.Error()
	if kind == problem.Unavailable {
		p.RetryAfter = max(1, math.Ceil(e.RetryAfter.Seconds()))
	}
	return p
}

// Problem answers a request with an error.
func (a *API) Problem(w http.ResponseWriter, r *http.Request, err error) {
	p := Describe(err)
	switch {
	case p.Kind == problem.Internal:
		p.Instance = rand.Text()[:12]
		a.o.Logger.Error("request failed", "reference", p.Instance, "method", r.Method, "path", r.URL.Path, "error", err)
	case p.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="flyball"`)
	case p.Status == http.StatusRequestTimeout, p.Status == http.StatusRequestEntityTooLarge:
		w.Header().Set("Connection", "close")
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter)))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}
