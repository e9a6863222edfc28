package facetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// recorder takes errors in place of a test.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }

func bad[I, O any](s operation.Spec[I, O]) operation.Operation {
	s.Handle = func(context.Context, operation.Caller, I) (o O, err error) { return o, nil }
	return operation.Define(s)
}

type none struct{}

func TestDeclaredFindsWhatIsWrong(t *testing.T) {
	for message, op := range map[string]operation.Operation{
		"must be lower-case words":     bad(operation.Spec[none, none]{Noun: "Widget", Verb: "make", Summary: "X", Role: operation.Viewer}),
		"must be one line that begins": bad(operation.Spec[none, none]{Noun: "widget", Verb: "count", Summary: "counts them.", Role: operation.Viewer}),
		"it names no role":             bad(operation.Spec[none, none]{Noun: "widget", Verb: "count", Summary: "X"}),
		"needs at least a developer":   bad(operation.Spec[none, none]{Noun: "widget", Verb: "make", Summary: "X", Role: operation.Viewer, Write: true}),
		"must be an io.ReadCloser":     bad(operation.Spec[none, none]{Noun: "widget", Verb: "logs", Summary: "X", Role: operation.Viewer, Stream: true}),
		"cannot be a stream or local":  bad(operation.Spec[none, none]{Noun: "widget", Verb: "make", Summary: "X", Role: operation.Admin, Write: true, Local: true}),
		"must be a struct, not string": bad(operation.Spec[string, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"field A has no json name":     bad(operation.Spec[struct{ A string }, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"is not documented": bad(operation.Spec[struct {
			A string `json:"a"`
		}, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"must be in snake_case": bad(operation.Spec[struct {
			A string `json:"someName" doc:"x"`
		}, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"name of a global flag": bad(operation.Spec[struct {
			A string `json:"token" doc:"x"`
		}, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"cannot be written in a query": bad(operation.Spec[struct {
			A map[string]string `json:"a" doc:"x"`
		}, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"numbered from 1 without gaps": bad(operation.Spec[struct {
			A string `json:"a" arg:"2" doc:"x"`
		}, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"both limit": bad(operation.Spec[struct {
			A int `json:"limit" doc:"x"`
		}, none]{Noun: "widget", Verb: "count", Summary: "X", Role: operation.Viewer}),
		"gives items and next": bad(operation.Spec[struct {
			A int    `json:"limit" doc:"x"`
			B string `json:"after" doc:"x"`
		}, none]{Noun: "widget", Verb: "list", Summary: "X", Role: operation.Viewer}),
	} {
		r := &recorder{}
		declared(r, op)
		if len(r.errors) != 1 || !strings.Contains(r.errors[0], message) {
			t.Errorf("got %q, want one: %s", r.errors, message)
		}
	}
}

func TestDocumentFindsWhatIsWrong(t *testing.T) {
	whole, err := api.Document([]operation.Operation{bad(operation.Spec[struct {
		A string `json:"a" arg:"1" doc:"x"`
	}, none]{Noun: "widget", Verb: "show", Summary: "Show it", Role: operation.Viewer})}, "1")
	if err != nil {
		t.Fatal(err)
	}
	Document(t, whole)
	for _, c := range []struct{ from, to, message string }{
		{`"openapi": "3.1.1"`, `"openapi": "3.0.0"`, "openapi is"},
		{`"title": "Flyball"`, `"title": ""`, "info.title"},
		{`/widgets/{a}`, `/widgets/{b}`, "does not describe its path parameter b"},
		{`"operationId": "event.follow"`, `"operationId": "widget.show"`, "has the operationId"},
		{`#/components/responses/problem`, `#/components/responses/gone`, "which is not there"},
		{`"type": "string"`, `"type": "text"`, "has the type text"},
		{`"token": []`, `"tokens": []`, "unknown security scheme"},
		{`"in": "path"`, `"in": "road"`, `in "road"`},
		{`"summary":`, `"sumary":`, "does not know"},
	} {
		r := &recorder{}
		Document(r, []byte(strings.Replace(string(whole), c.from, c.to, 1)))
		if !strings.Contains(strings.Join(r.errors, "\n"), c.message) {
			t.Errorf("%s → %s: got %q, want %s", c.from, c.to, r.errors, c.message)
		}
	}
}
