package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Hook is an operation as a webhook of Flagger asks it: by POST of
// {name, namespace, phase, checksum, metadata}, where a status of 200 to 202
// means go and any other means not now (fluxcd/flagger, pkg/controller/webhook.go).
//
// The operation's input is taken from the query of the webhook's address, then
// from the metadata, whose values are texts as in a query. An operation that
// changes something is not to be a hook's.
type Hook struct {
	Path      string // such as /api/v1/gate
	Operation operation.Operation
	// Name is the input field that is the canary's name unless sent otherwise;
	// empty for none.
	Name string
	// Goes says whether an output means go, and if not why, for people.
	Goes func(out any) (ok bool, reason string)
}

// payload is what Flagger posts.
type payload struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Phase     string            `json:"phase"`
	Checksum  string            `json:"checksum"`
	Metadata  map[string]string `json:"metadata"`
}

// flagger recognizes a webhook's payload by what it always has.
func flagger(raw []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return false
	}
	_, name := members["name"]
	_, phase := members["phase"]
	_, namespace := members["namespace"]
	return name && phase && namespace
}

// hook answers a webhook at a path of its own.
func (a *API) hook(h Hook) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := a.posted(w, r, h.Operation)
		if err == nil {
			err = a.confirm(w, r, h, raw)
		}
		if err != nil {
			a.Problem(w, r, err)
		}
	})
}

// confirm answers what a webhook posted: with the operation's output when it
// means go, else with 423 and the reason.
func (a *API) confirm(w http.ResponseWriter, r *http.Request, h Hook, raw []byte) error {
	caller, err := a.asker(r)
	if err != nil {
		return err
	}
	in, err := h.input(r.URL, raw)
	if err != nil {
		return err
	}
	out, err := a.Invoke(r.Context(), Call{Operation: h.Operation, Caller: caller, Input: in})
	if err != nil {
		return err
	}
	if ok, reason := h.Goes(out.Output); !ok {
		return problem.New(problem.Blocked, h.Operation.Name(), "%s", reason).WithNext("nothing: it is asked again")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(out.Body)
	return nil
}

// asker is who sent a webhook. Flagger sends no header of its own, so the token
// may be the password of the webhook's address: https://flagger:TOKEN@host/….
func (a *API) asker(r *http.Request) (operation.Caller, error) {
	if _, token, ok := r.BasicAuth(); ok {
		return a.authenticate(r, token)
	}
	return a.caller(r, true)
}

// input fills the operation's input from a webhook.
func (h Hook) input(u *url.URL, raw []byte) (any, error) {
	var p payload
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, problem.New(problem.Invalid, h.Operation.Name(), "the body must be a webhook's: {name, namespace, phase, checksum, metadata}%s", detail(err)).
				WithNext("docs/gate.md has a Canary to copy")
		}
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, problem.New(problem.Invalid, h.Operation.Name(), "the query cannot be read: %w", err)
	}
	for name, value := range p.Metadata {
		values.Set(name, value)
	}
	if h.Name != "" && values.Get(h.Name) == "" && p.Name != "" {
		values.Set(h.Name, p.Name)
	}
	in := h.Operation.NewInput()
	return in, input.Values(h.Operation, in, values)
}

func detail(err error) string { return fmt.Sprintf(" (%v)", err) }
