package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// A small subject with one operation of every sort.

type widget struct {
	Name   string    `json:"name" doc:"its name"`
	Size   int       `json:"size" doc:"in mm"`
	Tags   []string  `json:"tags"`
	Made   time.Time `json:"made"`
	Secret string    `json:"-"`
}

type listWidgets struct {
	Team  string        `json:"team" doc:"only of this team"`
	Tags  []string      `json:"tags" doc:"with all of these"`
	Older time.Duration `json:"older" doc:"at least this old"`
	Limit int           `json:"limit" doc:"at most this many"`
	After string        `json:"after" doc:"cursor"`
}

type showWidget struct {
	Widget string `json:"widget" arg:"1" doc:"its name"`
}

type makeWidget struct {
	Widget  string        `json:"widget" arg:"1" doc:"its name"`
	Size    int           `json:"size" required:"true" doc:"in mm"`
	Colour  string        `json:"colour" enum:"red,blue" doc:"its colour"`
	Expires time.Duration `json:"expires" doc:"how long it lasts"`
	Key     string        `json:"key" secret:"true" doc:"opens it"`
}

type minted struct {
	Token string `json:"token" secret:"true"`
}

type fixture struct {
	t     *testing.T
	store *memory.Store
	api   *api.API
	url   string
	logs  *syncBuffer

	mu   sync.Mutex
	made int
	hold chan struct{} // when set, make waits for it
	slow io.ReadCloser // output of widget.logs
}

func (f *fixture) operations() []operation.Operation {
	team := func(_ context.Context, in makeWidget) (operation.Scope, error) {
		return operation.Scope{Team: strings.SplitN(in.Widget, "-", 2)[0]}, nil
	}
	return []operation.Operation{
		operation.Define(operation.Spec[listWidgets, operation.Page[widget]]{Noun: "widget", Verb: "list", Summary: "List widgets", Role: operation.Viewer,
			Handle: func(_ context.Context, _ operation.Caller, in listWidgets) (operation.Page[widget], error) {
				if in.Team == "nobody" {
					return operation.Page[widget]{}, nil
				}
				return operation.Page[widget]{Items: []widget{{Name: in.Team, Size: in.Limit, Tags: in.Tags}}, Next: in.Older.String()}, nil
			}}),
		operation.Define(operation.Spec[showWidget, widget]{Noun: "widget", Verb: "show", Summary: "Show a widget", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in showWidget) (widget, error) {
				at, _ := operation.At(ctx)
				return widget{Name: in.Widget, Made: at}, raise(in.Widget)
			}}),
		operation.Define(operation.Spec[makeWidget, widget]{Noun: "widget", Verb: "make", Summary: "Make a widget", Role: operation.Operator, Write: true, Scope: team,
			Handle: func(ctx context.Context, c operation.Caller, in makeWidget) (widget, error) {
				f.mu.Lock()
				f.made++
				n, hold := f.made, f.hold
				f.mu.Unlock()
				if hold != nil {
					<-hold
				}
				if in.Size == 13 {
					return widget{}, problem.New(problem.Unavailable, "widget.make", "the press is cold")
				}
				return widget{Name: in.Widget, Size: n}, raise(in.Widget)
			}}),
		operation.Define(operation.Spec[struct{}, minted]{Noun: "widget", Verb: "mint", Summary: "Mint a token", Role: operation.Admin, Write: true,
			Handle: func(context.Context, operation.Caller, struct{}) (minted, error) { return minted{"s3cret"}, nil }}),
		operation.Define(operation.Spec[showWidget, io.ReadCloser]{Noun: "widget", Verb: "logs", Summary: "Print what it says", Role: operation.Viewer, Stream: true,
			Handle: func(context.Context, operation.Caller, showWidget) (io.ReadCloser, error) { return f.slow, nil }}),
		operation.Define(operation.Spec[showWidget, widget]{Noun: "widget", Verb: "measure", Summary: "Measure in process", Role: operation.Viewer, Local: true,
			Handle: func(context.Context, operation.Caller, showWidget) (widget, error) { return widget{}, nil }}),
	}
}

// raise fails in the way a widget's name asks for.
func raise(name string) error {
	switch kind, found := strings.CutPrefix(name, "fail-"); {
	case kind == "panic":
		panic("secret detail")
	case kind == "plain":
		return errors.New("dial 10.0.0.3: secret detail")
	case found:
		err := problem.New(problem.Kind(kind), "widget.show", "it is %s: %w", kind, io.ErrUnexpectedEOF).WithNext("turn it over")
		err.Findings = []problem.Finding{{Field: "size", Severity: "error", Code: "range", Message: "too big"}}
		err.RetryAfter = 90 * time.Second
		return err
	}
	return nil
}

type tokens map[string]operation.Caller

func (t tokens) Authenticate(_ context.Context, bearer string) (operation.Caller, error) {
	if bearer == "broken-store" {
		return operation.Caller{}, problem.New(problem.Unavailable, "access", "the store is away")
	}
	c, ok := t[bearer]
	if !ok {
		return c, problem.New(problem.Denied, "access.authenticate", "the token is not known, expired or revoked")
	}
	return c, nil
}

func grant(name string, grants ...operation.Grant) operation.Caller {
	return operation.Caller{Name: name, Grants: grants}
}

var known = tokens{
	"admin":   grant("user:ada", operation.Grant{Role: operation.Admin}),
	"op":      grant("user:olga", operation.Grant{Role: operation.Operator}),
	"op-team": grant("user:tim", operation.Grant{Role: operation.Operator, Team: "pay"}),
	"dev":     grant("user:dan", operation.Grant{Role: operation.Developer}),
	"view":    grant("user:vic", operation.Grant{Role: operation.Viewer}),
	"none":    grant("user:nil"),
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func start(t *testing.T, change ...func(*api.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, store: memory.New(memory.Options{}), logs: &syncBuffer{}}
	o := api.Options{
		Operations: append(f.operations(), api.EventOperations(f.store)...), Log: f.store.Log(), Authenticator: known, Version: "1.2.3",
		Hosts: []string{"flyball.example"}, Logger: slog.New(slog.NewTextHandler(f.logs, nil)),
		Past: func(context.Context, time.Time) (projection.Reader, error) { return f.store.States(), nil },
	}
	for _, c := range change {
		c(&o)
	}
	a, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.api = a
	s := httptest.NewUnstartedServer(nil)
	s.Config = a.Server("", a.Guard(a))
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(a.Close)
	f.url = s.URL
	return f
}

type reply struct {
	status  int
	body    string
	header  http.Header
	problem api.Problem
}

// do sends a request; each header is "Name: value".
func (f *fixture) do(method, path, body string, headers ...string) reply {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	r := reply{status: res.StatusCode, body: string(raw), header: res.Header}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(raw, &r.problem); err != nil {
			f.t.Fatalf("problem of %s %s: %v\n%s", method, path, err, raw)
		}
		if r.problem.Status != r.status {
			f.t.Errorf("%s %s: status %d, in the problem %d", method, path, r.status, r.problem.Status)
		}
	} else if r.status >= 400 && method != http.MethodHead {
		f.t.Errorf("%s %s: status %d without a problem: %s", method, path, r.status, raw)
	}
	return r
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// calls are the recorded operation.called events.
func (f *fixture) calls() []api.Called {
	f.t.Helper()
	events, err := f.store.Log().Read(f.t.Context(), event.Query{Types: []string{api.EventCalled}})
	if err != nil {
		f.t.Fatal(err)
	}
	var out []api.Called
	for _, e := range events {
		c, err := event.Decode[api.Called](e)
		if err != nil {
			f.t.Fatal(err)
		}
		if e.Actor != c.Caller {
			f.t.Errorf("actor %q, caller %q", e.Actor, c.Caller)
		}
		out = append(out, c)
	}
	return out
}

func TestReadsDecodePathQueryAndMoment(t *testing.T) {
	f := start(t)
	for path, want := range map[string]string{
		"/api/v1/widgets?team=pay&tags=a,b&tags=c&older=90m&limit=7": `{"items":[{"name":"pay","size":7,"tags":["a","b","c"],"made":"0001-01-01T00:00:00Z"}],"next":"1h30m0s"}`,
		"/api/v1/widgets?team=nobody":                                `{"items":[]}`,
		"/api/v1/widgets/a%2Fb?at=2026-11-21T09:30:00Z":              `{"name":"a/b","size":0,"tags":[],"made":"2026-11-21T09:30:00Z"}`,
	} {
		if r := f.do("GET", path, ""); r.status != 200 || strings.TrimSpace(r.body) != want {
			t.Errorf("GET %s: %d %s\nwant %s", path, r.status, r.body, want)
		}
	}
	if r := f.do("HEAD", "/api/v1/widgets/a", ""); r.status != 200 || r.body != "" {
		t.Errorf("HEAD: %d %q", r.status, r.body)
	}
}

func TestBadInputIsNamed(t *testing.T) {
	f := start(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		field, message     string
	}{
		{"GET", "/api/v1/widgets?taem=x", "", 422, "taem", "did you mean team?"},
		{"GET", "/api/v1/widgets?limit=many", "", 422, "limit", `"many" is not a whole number`},
		{"GET", "/api/v1/widgets?limit=1001", "", 422, "limit", "between 0 (the default) and 1000"},
		{"GET", "/api/v1/widgets?limit=-1", "", 422, "limit", "between 0"},
		{"GET", "/api/v1/widgets?limit=1&limit=2", "", 422, "limit", "takes one value, not 2"},
		{"GET", "/api/v1/widgets?older=5", "", 422, "older", "write it like 90s"},
		{"GET", "/api/v1/widgets?team=%zz", "", 422, "", "query cannot be read"},
		{"GET", "/api/v1/widgets/a?widget=b", "", 422, "", "part of the path"},
		{"GET", "/api/v1/widgets/a?at=yesterday", "", 422, "", `at is "yesterday"`},
		{"POST", "/api/v1/widgets/pay-1/make", `{"size":"big"}`, 422, "size", "must be a whole number, not a JSON string"},
		{"POST", "/api/v1/widgets/pay-1/make", `{"sizes":1}`, 422, "sizes", "did you mean size?"},
		{"POST", "/api/v1/widgets/pay-1/make", `{}`, 422, "size", "is required: in mm"},
		{"POST", "/api/v1/widgets/pay-1/make", ``, 422, "size", "is required: in mm"},
		{"POST", "/api/v1/widgets/pay-1/make", `{"size":1,"colour":"pink"}`, 422, "colour", "one of red, blue"},
		{"POST", "/api/v1/widgets/pay-1/make", `{"size":1,"expires":"soon"}`, 422, "expires", "not a duration"},
		{"POST", "/api/v1/widgets/pay-1/make", `{"size":1,"widget":"x"}`, 422, "", "part of the path"},
		{"POST", "/api/v1/widgets/pay-1/make", `[1]`, 422, "", "one JSON object"},
		{"POST", "/api/v1/widgets/pay-1/make", `{"size":1}{}`, 422, "", "one JSON object"},
		{"POST", "/api/v1/widgets/pay-1/make", `null`, 422, "", "one JSON object"},
		{"POST", "/api/v1/widgets/pay-1/make?size=1", `{}`, 422, "", "not the query"},
		{"POST", "/api/v1/widgets/pay-1", `{}`, 405, "", "not a method"},
		{"GET", "/api/v1/widgets/pay-1/make", ``, 405, "", "not a method"},
		{"GET", "/api/v1/gadgets", "", 404, "", "nothing at /api/v1/gadgets"},
		{"GET", "/api/v1/widgets/a/measure", "", 404, "", "nothing at"},
	} {
		r := f.do(c.method, c.path, c.body, bearer("admin"))
		text := r.problem.Detail
		if c.field != "" {
			for _, finding := range r.problem.Findings {
				if finding.Field == c.field {
					text = finding.Message
				}
			}
		}
		if r.status != c.status || !strings.Contains(text, c.message) {
			t.Errorf("%s %s %s: %d %q %v\nwant %d %s: %s", c.method, c.path, c.body, r.status, r.problem.Detail, r.problem.Findings, c.status, c.field, c.message)
		}
		if r.problem.Next == "" {
			t.Errorf("%s %s %s says nothing about what to do next", c.method, c.path, c.body)
		}
	}
	if n := len(f.calls()); n != 3 { // those that could be decoded: twice without a size, once pink
		t.Errorf("%d calls are recorded", n)
	}
	if f.made != 0 {
		t.Errorf("%d widgets were made from bad input", f.made)
	}
}

func TestProblems(t *testing.T) {
	f := start(t)
	for kind, status := range map[string]int{"invalid": 422, "notfound": 404, "conflict": 409, "denied": 403, "blocked": 423, "unavailable": 503} {
		r := f.do("GET", "/api/v1/widgets/fail-"+kind, "")
		p := r.problem
		if r.status != status || string(p.Kind) != kind || p.Type != "urn:flyball:problem:"+kind || p.Detail != "it is "+kind+": unexpected EOF" ||
			p.Next != "turn it over" || len(p.Findings) != 1 || p.Operation != "widget.show" || p.Title == "" {
			t.Errorf("%s: %d %+v", kind, r.status, p)
		}
		if got := r.header.Get("Retry-After"); (kind == "unavailable") != (got == "90") {
			t.Errorf("%s: Retry-After %q", kind, got)
		}
		if err := p.Err(); problem.KindOf(err) != problem.Kind(kind) || problem.NextOf(err) != "turn it over" {
			t.Errorf("%s comes back as %v", kind, err)
		}
	}
	for _, name := range []string{"fail-internal", "fail-plain", "fail-panic"} {
		r := f.do("GET", "/api/v1/widgets/"+name, "")
		if r.status != 500 || strings.Contains(r.body, "secret") || strings.Contains(r.body, "EOF") || r.problem.Instance == "" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if !strings.Contains(f.logs.String(), r.problem.Instance) {
			t.Errorf("%s: the reference %s is not in the log", name, r.problem.Instance)
		}
	}
	if !strings.Contains(f.logs.String(), "dial 10.0.0.3") {
		t.Error("the log does not hold the cause of an internal error")
	}
}

func TestNewRefusesTwoOperationsOnOneRoute(t *testing.T) {
	f := &fixture{}
	ops := f.operations()
	if _, err := api.New(api.Options{Log: memory.New(memory.Options{}).Log(), Operations: append(ops, ops[0])}); err == nil || !strings.Contains(err.Error(), "share the route") {
		t.Errorf("got %v", err)
	}
}

func TestStream(t *testing.T) {
	f := start(t)
	read, write := io.Pipe()
	f.slow = read
	res, err := http.Get(f.url + "/api/v1/widgets/a/logs")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 100)
	for i := range 3 { // each write arrives while the stream is open
		line := fmt.Sprintf("line %d\n", i)
		go write.Write([]byte(line))
		n, err := io.ReadFull(res.Body, buf[:len(line)])
		if err != nil || string(buf[:n]) != line {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	write.CloseWithError(errors.New("disk gone"))
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("a stream that broke off looks complete to the client")
	}

	read, write = io.Pipe()
	f.slow = read
	res, err = http.Get(f.url + "/api/v1/widgets/a/logs")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close() // the client leaves
	if _, err := write.Write([]byte("x")); err != io.ErrClosedPipe {
		for err == nil {
			_, err = write.Write([]byte("x"))
		}
	}
}
