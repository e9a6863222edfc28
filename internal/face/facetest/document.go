package facetest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// entry is the part of an OpenAPI operation that a declaration decides.
type entry struct {
	OperationID string `json:"operationId"`
	Role        string `json:"x-flyball-role"`
	Parameters  []struct {
		Name     string `json:"name"`
		In       string `json:"in"`
		Required bool   `json:"required"`
		Doc      string `json:"description"`
	} `json:"parameters"`
	RequestBody struct {
		Content map[string]struct {
			Schema struct {
				Properties map[string]struct {
					Description string `json:"description"`
				} `json:"properties"`
				Required []string `json:"required"`
			} `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
}

func entries(t testing.TB, raw []byte) map[string]entry {
	t.Helper()
	var doc struct{ Paths map[string]map[string]entry }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]entry{}
	for path, methods := range doc.Paths {
		for method, e := range methods {
			out[strings.ToUpper(method)+" "+path] = e
		}
	}
	return out
}

// documented checks an operation's entry in the OpenAPI document.
func documented(t testing.TB, op operation.Operation, entries map[string]entry) {
	t.Helper()
	method, path := op.Route()
	e, ok := entries[method+" "+path]
	if op.Local {
		if ok && e.OperationID == op.Name() {
			t.Error("a local operation is in the OpenAPI document")
		}
		return
	}
	if !ok || e.OperationID != op.Name() || e.Role != op.Role.String() {
		t.Errorf("%s %s is documented as %q for the role %q", method, path, e.OperationID, e.Role)
		return
	}
	got := map[string]string{}
	for _, p := range e.Parameters {
		if p.Name != "" {
			got[p.Name] = fmt.Sprint(p.In, p.Required, p.Doc)
		}
	}
	body := e.RequestBody.Content["application/json"].Schema
	for name, p := range body.Properties {
		got[name] = fmt.Sprint("body", slices.Contains(body.Required, name), p.Description)
	}
	want := map[string]string{}
	for _, f := range operation.Fields(op.Input) {
		in := "query"
		switch {
		case f.Name == op.InPath():
			in = "path"
		case op.Body():
			in = "body"
		}
		want[f.Name] = fmt.Sprint(in, f.Required, f.Doc)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("documented %v\ndeclared   %v", got, want)
	}
}

// Document checks that raw is a well-formed OpenAPI 3.1 document: required
// members, templated paths, unique operation ids, references that resolve, and
// schemas made of JSON Schema's own words (OpenAPI Specification 3.1.1).
func Document(t testing.TB, raw []byte) {
	t.Helper()
	c := &checker{t: t, ids: map[string]string{}}
	if err := json.Unmarshal(raw, &c.doc); err != nil {
		t.Fatal(err)
	}
	if v, _ := c.doc["openapi"].(string); !regexp.MustCompile(`^3\.1\.\d+$`).MatchString(v) {
		t.Errorf("openapi is %q", v)
	}
	info := c.object("info", c.doc["info"], "title", "version")
	for _, name := range []string{"title", "version"} {
		if s, _ := info[name].(string); s == "" {
			t.Errorf("info.%s is missing", name)
		}
	}
	c.members("", c.doc, "openapi", "info", "servers", "paths", "components", "security", "tags", "externalDocs")
	for path, item := range c.object("paths", c.doc["paths"]) {
		if !strings.HasPrefix(path, "/") {
			t.Errorf("path %q does not begin with a slash", path)
		}
		for method, op := range c.object(path, item) {
			if !slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}, method) {
				t.Errorf("%s: %q is not a method", path, method)
			}
			c.operation(path, method+" "+path, c.object(method+" "+path, op, "responses"))
		}
	}
	components := c.object("components", c.doc["components"])
	for name, s := range c.object("schemas", components["schemas"]) {
		if !regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(name) {
			t.Errorf("component %q has a name that is not allowed", name)
		}
		c.schema("schemas."+name, s)
	}
	for name, r := range c.object("responses", components["responses"]) {
		c.response("responses."+name, r)
	}
	for name, p := range c.object("parameters", components["parameters"]) {
		c.parameter("parameters."+name, p)
	}
}

type checker struct {
	t   testing.TB
	doc map[string]any
	ids map[string]string
}

// object is v as an object that has the members needed.
func (c *checker) object(at string, v any, needed ...string) map[string]any {
	o, ok := v.(map[string]any)
	if !ok {
		c.t.Errorf("%s must be an object, not %T", at, v)
	}
	for _, n := range needed {
		if o[n] == nil {
			c.t.Errorf("%s has no %s", at, n)
		}
	}
	return o
}

func (c *checker) members(at string, o map[string]any, allowed ...string) {
	for name := range o {
		if !slices.Contains(allowed, name) && !strings.HasPrefix(name, "x-") {
			c.t.Errorf("%s has a member %q that OpenAPI does not know", at, name)
		}
	}
}

func (c *checker) operation(path, at string, op map[string]any) {
	c.members(at, op, "tags", "summary", "description", "externalDocs", "operationId", "parameters", "requestBody", "responses", "callbacks", "deprecated", "security", "servers")
	id, _ := op["operationId"].(string)
	if c.ids[id] != "" || id == "" {
		c.t.Errorf("%s has the operationId %q, as has %s", at, id, c.ids[id])
	}
	c.ids[id] = at
	seen := map[string]bool{}
	for _, p := range list(op["parameters"]) {
		p := c.parameter(at, p)
		key := fmt.Sprint(p["in"], " ", p["name"])
		if seen[key] {
			c.t.Errorf("%s has the parameter %s twice", at, key)
		}
		seen[key] = true
	}
	for _, m := range regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(path, -1) {
		if !seen["path "+m[1]] {
			c.t.Errorf("%s does not describe its path parameter %s", at, m[1])
		}
		delete(seen, "path "+m[1])
	}
	for key := range seen {
		if strings.HasPrefix(key, "path ") {
			c.t.Errorf("%s describes a %s that its path has not", at, key)
		}
	}
	if body, ok := op["requestBody"]; ok {
		c.content(at+" requestBody", c.object(at, body, "content")["content"])
	}
	for status, r := range c.object(at, op["responses"]) {
		if !regexp.MustCompile(`^([1-5]\d\d|default)$`).MatchString(status) {
			c.t.Errorf("%s answers %q", at, status)
		}
		c.response(at+" "+status, r)
	}
	schemes := c.object("components", c.object("components", c.doc["components"])["securitySchemes"])
	for _, s := range list(op["security"]) {
		for name := range c.object(at, s) {
			if schemes[name] == nil {
				c.t.Errorf("%s needs the unknown security scheme %s", at, name)
			}
		}
	}
}

func list(v any) []any { l, _ := v.([]any); return l }

// resolve follows a reference.
func (c *checker) resolve(at string, v any) map[string]any {
	o := c.object(at, v)
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	var target any = c.doc
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := target.(map[string]any)
		target = m[part]
	}
	if target == nil {
		c.t.Errorf("%s refers to %s, which is not there", at, ref)
	}
	return c.object(ref, target)
}

func (c *checker) parameter(at string, v any) map[string]any {
	p := c.resolve(at, v)
	c.members(at, p, "name", "in", "description", "required", "deprecated", "schema", "style", "explode", "example", "examples")
	in, _ := p["in"].(string)
	if name, _ := p["name"].(string); name == "" || !slices.Contains([]string{"path", "query", "header", "cookie"}, in) {
		c.t.Errorf("%s: a parameter named %q in %q", at, name, in)
	}
	if in == "path" && p["required"] != true {
		c.t.Errorf("%s: the path parameter %v must be required", at, p["name"])
	}
	c.schema(at+" "+fmt.Sprint(p["name"]), p["schema"])
	return p
}

func (c *checker) response(at string, v any) {
	r := c.resolve(at, v)
	if s, _ := r["description"].(string); s == "" {
		c.t.Errorf("%s: a response without description", at)
	}
	if content, ok := r["content"]; ok {
		c.content(at, content)
	}
}

func (c *checker) content(at string, v any) {
	for media, m := range c.object(at, v) {
		if !strings.Contains(media, "/") {
			c.t.Errorf("%s: %q is not a media type", at, media)
		}
		c.schema(at, c.object(at, m, "schema")["schema"])
	}
}

func (c *checker) schema(at string, v any) {
	s := c.object(at, v)
	c.members(at, s, "$ref", "type", "format", "description", "properties", "required", "items", "additionalProperties", "anyOf", "enum",
		"minimum", "maximum", "maxLength", "contentEncoding", "examples", "writeOnly")
	if s["$ref"] != nil {
		c.resolve(at, s)
	}
	if typ, ok := s["type"]; ok && !slices.Contains([]any{"string", "integer", "number", "boolean", "object", "array", "null"}, typ) {
		c.t.Errorf("%s has the type %v", at, typ)
	}
	if s["type"] == "array" && s["items"] == nil {
		c.t.Errorf("%s is an array of nothing", at)
	}
	properties := map[string]any{}
	if s["properties"] != nil {
		properties = c.object(at, s["properties"])
	}
	for _, name := range list(s["required"]) {
		if properties[fmt.Sprint(name)] == nil {
			c.t.Errorf("%s requires %v, which it has not", at, name)
		}
	}
	for name, p := range properties {
		c.schema(at+"."+name, p)
	}
	for _, inner := range []any{s["items"], s["additionalProperties"]} {
		if m, ok := inner.(map[string]any); ok {
			c.schema(at, m)
		}
	}
	for _, one := range list(s["anyOf"]) {
		c.schema(at, one)
	}
	if e, ok := s["enum"]; ok && len(list(e)) == 0 {
		c.t.Errorf("%s has an empty enum", at)
	}
}
