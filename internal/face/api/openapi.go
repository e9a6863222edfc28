package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Document is the OpenAPI 3.1 document of the operations that are not Local,
// in a stable order.
func Document(ops []operation.Operation, version string) ([]byte, error) {
	s := newSchemas()
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b operation.Operation) int { return strings.Compare(a.Name(), b.Name()) })
	paths := object{}
	for _, op := range ops {
		if op.Local {
			continue
		}
		method, path := op.Route()
		entry := member{strings.ToLower(method), s.operation(op)}
		if i := slices.IndexFunc(paths, func(m member) bool { return m.name == path }); i >= 0 {
			paths[i].value = append(paths[i].value.(object), entry)
			continue
		}
		paths = append(paths, member{path, object{entry}})
	}
	paths = append(paths, member{"/events", object{{"get", s.following()}}})
	slices.SortStableFunc(paths, func(a, b member) int { return strings.Compare(a.name, b.name) })
	failure := s.of(reflect.TypeFor[Problem]())
	doc := object{
		{"openapi", "3.1.1"},
		{"info", object{
			{"title", "Flyball"},
			{"version", or(version, "unreleased")},
			{"description", "Every operation of Flyball. Errors are RFC 9457 problems; lists take limit and after, and return items and next; reads take at, a moment in the past; writes take an Idempotency-Key."},
			{"license", object{{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}},
		}},
		{"servers", []any{object{{"url", "/"}}}},
		{"paths", paths},
		{"components", object{
			{"schemas", s.components},
			{"parameters", sharedParameters},
			{"responses", object{{"problem", object{
				{"description", "What is wrong, and what to do next."},
				{"content", object{{"application/problem+json", object{{"schema", failure}}}}},
			}}}},
			{"securitySchemes", object{
				{"token", object{{"type", "http"}, {"scheme", "bearer"}}},
				{"login", object{{"type", "apiKey"}, {"in", "cookie"}, {"name", CookieName}}},
			}},
		}},
	}
	raw, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, problem.New(problem.Internal, "api.document", "OpenAPI document: %w", err)
	}
	return append(raw, '\n'), nil
}

var sharedParameters = object{
	{"at", object{
		{"name", "at"}, {"in", "query"}, {"description", "answer as of this moment: from what was recorded by then"},
		{"schema", object{{"type", "string"}, {"format", "date-time"}}},
	}},
	{"idempotency_key", object{
		{"name", "Idempotency-Key"}, {"in", "header"},
		{"description", "repeating a call with the same key gives its first result and acts once"},
		{"schema", object{{"type", "string"}, {"maxLength", 255}}},
	}},
}

func ref(kind, name string) object { return object{{"$ref", "#/components/" + kind + "/" + name}} }

func (s *schemas) operation(op operation.Operation) object {
	var parameters []any
	inPath := op.InPath()
	if inPath != "" {
		parameters = append(parameters, s.parameter(op.Args()[0], "path"))
	}
	rest := slices.DeleteFunc(operation.Fields(op.Input), func(f operation.Field) bool { return f.Name == inPath })
	if op.Write {
		parameters = append(parameters, ref("parameters", "idempotency_key"))
	}
	if !op.Body() {
		for _, f := range rest {
			parameters = append(parameters, s.parameter(f, "query"))
		}
		parameters = append(parameters, ref("parameters", "at"))
	}
	out := object{
		{"operationId", op.Name()},
		{"tags", []string{op.Noun}},
		{"summary", op.Summary},
	}.with("description", op.Help).with("parameters", parameters)
	if op.Body() {
		out = append(out, member{"requestBody", s.body(rest)})
	}
	return append(out,
		member{"responses", object{{"200", s.answer(op)}, {"default", ref("responses", "problem")}}},
		member{"security", security(op)},
		member{"x-flyball-role", op.Role.String()})
}

// security says how to be known: a read on the server's own machine needs nothing.
func security(op operation.Operation) []any {
	ways := []any{object{{"token", []string{}}}, object{{"login", []string{}}}}
	if !op.Write && op.Role <= operation.Viewer {
		ways = append(ways, object{})
	}
	return ways
}

func (s *schemas) parameter(f operation.Field, in string) object {
	p := object{{"name", f.Name}, {"in", in}}.with("description", f.Doc)
	if in == "path" || f.Required {
		p = append(p, member{"required", true})
	}
	return append(p, member{"schema", s.field(f)})
}

func (s *schemas) body(fields []operation.Field) object {
	var properties object
	var required []string
	for _, f := range fields {
		properties = append(properties, member{f.Name, s.field(f).with("description", f.Doc).with("writeOnly", f.Secret)})
		if f.Required {
			required = append(required, f.Name)
		}
	}
	schema := object{{"type", "object"}}.with("properties", properties).with("required", required)
	schema = append(schema, member{"additionalProperties", false})
	return object{}.with("required", len(required) > 0).
		with("content", object{{"application/json", object{{"schema", schema}}}})
}

func (s *schemas) answer(op operation.Operation) object {
	if op.Stream {
		return object{{"description", "text as it comes"}, {"content", object{{"text/plain", object{{"schema", object{{"type", "string"}}}}}}}}
	}
	schema := s.of(op.Output)
	return object{{"description", op.Summary}, {"content", object{{"application/json", object{{"schema", schema}}}}}}
}

// following describes /events, which is no operation of its own.
func (s *schemas) following() object {
	var parameters []any
	for _, f := range operation.Fields(following.Input) {
		parameters = append(parameters, s.parameter(f, "query"))
	}
	parameters = append(parameters, object{
		{"name", "Last-Event-ID"}, {"in", "header"}, {"description", "log position of the last event seen: resumes right behind it"},
		{"schema", object{{"type", "integer"}}},
	})
	return object{
		{"operationId", "event.follow"},
		{"tags", []string{"event"}},
		{"summary", "Follow events as they are recorded"},
		{"description", "Server-sent events: the id is the log position, the data one event as event.list gives it. Comments are signs of life."},
		{"parameters", parameters},
		{"responses", object{
			{"200", object{{"description", "events, without end"}, {"content", object{{"text/event-stream", object{{"schema", object{{"type", "string"}}}}}}}}},
			{"default", ref("responses", "problem")},
		}},
		{"security", security(following)},
		{"x-flyball-role", following.Role.String()},
	}
}
