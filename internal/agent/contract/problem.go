package contract

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// wire is a problem as the agent writes it (RFC 9457, with kind and next).
type wire struct {
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail"`
	Kind   problem.Kind `json:"kind"`
	Next   string       `json:"next,omitempty"`
}

var statuses = map[problem.Kind]int{
	problem.Invalid:     http.StatusBadRequest,
	problem.NotFound:    http.StatusNotFound,
	problem.Conflict:    http.StatusConflict,
	problem.Denied:      http.StatusForbidden,
	problem.Blocked:     http.StatusConflict,
	problem.Unavailable: http.StatusServiceUnavailable,
	problem.Internal:    http.StatusInternalServerError,
}

// WriteProblem answers a request with err.
func WriteProblem(w http.ResponseWriter, err error) {
	kind := problem.KindOf(err)
	status := statuses[kind]
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(wire{
		Title: http.StatusText(status), Status: status, Detail: err.Error(), Kind: kind, Next: problem.NextOf(err),
	})
}

// ReadProblem is the error that a response with a status of 400 or above says.
func ReadProblem(op string, r *http.Response) error {
	var p wire
	data, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err == nil && p.Kind == "" {
		err = errors.New("the answer is no problem document")
	}
	if err != nil {
		return problem.New(problem.Internal, op, "the agent answered %s: %w", r.Status, err)
	}
	e := problem.New(p.Kind, op, "%s", p.Detail)
	e.Next = p.Next
	return e
}
