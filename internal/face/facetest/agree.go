package facetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Agree tests that the faces of every operation agree: each is declared in
// full; its entry in the OpenAPI document has its route, fields and role; the
// API calls it for who may and for nobody else; and its command sends what was
// written to the same handler and prints what the API answers. The handlers
// themselves are not called. log takes the records of the calls.
func Agree(t *testing.T, log event.Log, ops []operation.Operation) {
	t.Helper()
	t.Setenv("FLYBALL_SERVER", "")
	t.Setenv("FLYBALL_TOKEN", "")
	unique(t, ops)
	raw, err := api.Document(ops, "test")
	if err != nil {
		t.Fatal(err)
	}
	Document(t, raw)
	f := serve(t, log, ops)
	entries := entries(t, raw)
	for _, op := range f.ops {
		t.Run(op.Name(), func(t *testing.T) {
			declared(t, op)
			documented(t, op, entries)
			if t.Failed() {
				return
			}
			in := sample(t, op)
			f.permitted(t, op, in)
			f.commanded(t, op, in)
		})
	}
}

func unique(t *testing.T, ops []operation.Operation) {
	t.Helper()
	names, routes := map[string]bool{}, map[string]string{}
	for _, op := range ops {
		if names[op.Name()] {
			t.Errorf("two operations are named %s", op.Name())
		}
		names[op.Name()] = true
		method, path := op.Route()
		if route := method + " " + path; !op.Local {
			if routes[route] != "" {
				t.Errorf("%s and %s share the route %s", routes[route], op.Name(), route)
			}
			routes[route] = op.Name()
		}
	}
}

// faces is a server of the operations whose handlers only take note.
type faces struct {
	ops []operation.Operation
	url string

	mu     sync.Mutex
	called []string // inputs as JSON
}

func serve(t *testing.T, log event.Log, ops []operation.Operation) *faces {
	t.Helper()
	f := &faces{}
	for _, op := range ops {
		f.ops = append(f.ops, op.Wrap(func(operation.Handler) operation.Handler {
			return func(_ context.Context, _ operation.Caller, in any) (any, error) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.called = append(f.called, op.Name()+" "+asJSON(t, in))
				return nothing(op), nil
			}
		}))
	}
	a, err := api.New(api.Options{Operations: f.ops, Log: log, Authenticator: byRole{}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a.Guard(a))
	t.Cleanup(s.Close)
	t.Cleanup(a.Close)
	f.url = s.URL
	return f
}

// nothing is the empty output of an operation.
func nothing(op operation.Operation) any {
	if op.Stream {
		return io.NopCloser(strings.NewReader("some text\n"))
	}
	return reflect.Zero(op.Output).Interface()
}

// byRole knows the roles' names as tokens.
type byRole struct{}

func (byRole) Authenticate(_ context.Context, bearer string) (operation.Caller, error) {
	role, err := operation.ParseRole(bearer)
	if err != nil {
		return operation.Caller{}, problem.New(problem.Denied, "facetest", "the token is not known")
	}
	return operation.Caller{Name: "token:" + bearer, Grants: []operation.Grant{{Role: role}}}, nil
}

func (f *faces) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.called
	f.called = nil
	return out
}

// permitted checks who gets through to the handler over HTTP.
func (f *faces) permitted(t *testing.T, op operation.Operation, in any) {
	t.Helper()
	if op.Local {
		method, path := op.Route()
		if got := f.send(t, method, strings.ReplaceAll(path, "{", "x{"), nil, "admin"); got != http.StatusNotFound && got != http.StatusMethodNotAllowed {
			t.Errorf("a local operation is served: %s %s gives %d", method, path, got)
		}
		return
	}
	for _, token := range []string{"", "guess", "viewer", "developer", "operator", "admin"} {
		want := http.StatusOK
		role, err := operation.ParseRole(token)
		switch {
		case token == "" && !op.Write: // on this machine
			if op.Role > operation.Viewer {
				want = http.StatusForbidden
			}
		case err != nil:
			want = http.StatusUnauthorized
		case role < op.Role:
			want = http.StatusForbidden
		}
		if got := f.request(t, op, in, token); got != want {
			t.Errorf("called with token %q: %d, want %d (it needs the role %s)", token, got, want, op.Role)
		}
		if calls := f.taken(); (len(calls) == 1) != (want == http.StatusOK) || len(calls) > 1 {
			t.Errorf("called with token %q: the handler saw %q", token, calls)
		} else if len(calls) == 1 && calls[0] != op.Name()+" "+asJSON(t, in) {
			t.Errorf("sent     %s %s\nhandled  %s", op.Name(), asJSON(t, in), calls[0])
		}
	}
}

// request sends an input over HTTP as the OpenAPI document describes it.
func (f *faces) request(t *testing.T, op operation.Operation, in any, token string) int {
	t.Helper()
	method, path := op.Route()
	first := op.InPath()
	if first != "" {
		q, err := input.Query(op, in, func(f operation.Field) bool { return f.Name != first })
		if err != nil {
			t.Fatal(err)
		}
		path = strings.Replace(path, "{"+first+"}", url.PathEscape(q.Get(first)), 1)
	}
	rest := func(f operation.Field) bool { return f.Name == first }
	if op.Body() {
		members, err := input.Object(op, in, rest)
		if err != nil {
			t.Fatal(err)
		}
		return f.send(t, method, path, members, token)
	}
	query, err := input.Query(op, in, rest)
	if err != nil {
		t.Fatal(err)
	}
	return f.send(t, method, path+"?"+query.Encode(), nil, token)
}

func (f *faces) send(t *testing.T, method, path string, body map[string]json.RawMessage, token string) int {
	t.Helper()
	var content io.Reader = http.NoBody
	if body != nil {
		raw, _ := json.Marshal(body)
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// commanded checks that the operation's command reaches the handler with what was
// written, and prints what the API answers.
func (f *faces) commanded(t *testing.T, op operation.Operation, in any) {
	t.Helper()
	if !cli.Callable(op) {
		t.Logf("%s has no command of its own: it requires what only a JSON body can hold", op.Name())
		return
	}
	line := commandLine(t, op, in)
	run := func(args ...string) (string, string, int) {
		var out, talk bytes.Buffer
		args = append(slices.Clone(args), "--server", f.url, "--token", op.Role.String())
		code := cli.Main(t.Context(), cli.New(f.ops), append(args, line...), strings.NewReader(""), &out, &talk)
		return out.String(), talk.String(), code
	}
	out, talk, code := run("-o", "json")
	if code != cli.ExitOK && code != cli.ExitNotMet {
		t.Fatalf("flyball %q: exit code %d\n%s", line, code, talk)
	}
	if calls := f.taken(); len(calls) != 1 || calls[0] != op.Name()+" "+written(t, op, in) {
		t.Errorf("flyball %q\nwritten %s %s\nhandled %s", line, op.Name(), written(t, op, in), calls)
	}
	if want, err := api.Encode(nothing(op)); !op.Stream && (err != nil || compact(out) != strings.TrimSpace(string(want))) {
		t.Errorf("flyball %q -o json prints\n%s\nthe API answers\n%s", line, out, want)
	}
	if _, talk, code = run(); code != cli.ExitOK && code != cli.ExitNotMet {
		t.Errorf("flyball %q: exit code %d\n%s", line, code, talk)
	}
	f.taken()
}

func compact(text string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return text
	}
	return b.String()
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
