// Package operation declares what a user can do, once.
//
// An Operation has a noun and a verb, typed input and output with documented
// fields, a permission and a handler. The HTTP route and its OpenAPI entry, the
// CLI command, the web form and the permission check are all made from that
// one declaration (internal/face/api, cli and web); a test proves that they
// agree for every operation.
package operation

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Role orders what a caller may do: each includes those before it.
type Role int

// The roles.
const (
	Nobody    Role = iota
	Viewer         // read everything
	Developer      // push, retry, cancel, pause and abort what the team delivers
	Operator       // approve, promote, override freezes, mark fixes, declare and resolve
	Admin          // tokens, resources, erasure
)

var roleNames = []string{"nobody", "viewer", "developer", "operator", "admin"}

// String is the role's name.
func (r Role) String() string { return roleNames[r] }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	for i, n := range roleNames {
		if n == s && i > 0 {
			return Role(i), nil
		}
	}
	return Nobody, problem.New(problem.Invalid, "operation.role", "%q is not a role", s).WithNext("use viewer, developer, operator or admin")
}

// MarshalText writes the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the role's name.
func (r *Role) UnmarshalText(b []byte) (err error) { *r, err = ParseRole(string(b)); return err }

// Scope is where an operation acts. An empty field means everywhere, and then
// only a grant for everywhere will do.
type Scope struct {
	Team        string `json:"team,omitempty"`
	Environment string `json:"environment,omitempty"`
}

// Grant gives a role in a scope; an empty field of the scope covers all.
type Grant struct {
	Role        Role   `json:"role"`
	Team        string `json:"team,omitempty"`
	Environment string `json:"environment,omitempty"`
}

// Caller is who asks.
type Caller struct {
	Name   string // such as "user:ana" or "token:ci"; recorded as the actor
	Grants []Grant
}

// May reports whether a grant of the caller covers role and scope.
func (c Caller) May(role Role, at Scope) bool {
	for _, g := range c.Grants {
		if g.Role >= role && covers(g.Team, at.Team) && covers(g.Environment, at.Environment) {
			return true
		}
	}
	return false
}

func covers(granted, wanted string) bool { return granted == "" || granted == wanted }

// Operation is one thing a user can do. Make one with Define.
type Operation struct {
	Noun    string // resource in the singular, such as "rollout"
	Verb    string // such as "list", "show", "promote"
	Summary string // one line
	Help    string // paragraphs, with examples; may be empty
	Role    Role   // least role in the operation's scope
	Write   bool   // changes something: POST, audited, idempotent by key
	Ask     bool   // a question too large for a query: POST, though it changes nothing
	Local   bool   // pure: needs no server; the CLI runs it in process
	Stream  bool   // the output is an io.ReadCloser of text, which ends when its context does
	Input   reflect.Type
	Output  reflect.Type

	scope    func(context.Context, any) (Scope, error)
	handle   Handler
	narrowed bool
}

// Handler acts on an input, a pointer to the operation's input type, for a
// caller whose permission has been checked.
type Handler func(ctx context.Context, caller Caller, in any) (any, error)

// Wrap puts a handler around the operation's own, inside the permission check.
func (o Operation) Wrap(around func(Handler) Handler) Operation {
	o.handle = around(o.handle)
	return o
}

// Narrowed lets a caller ask whose grants do not cover everything: what the
// handler gives goes through narrow first, which leaves out what the caller may
// not see, or refuses.
func (o Operation) Narrowed(narrow func(ctx context.Context, c Caller, out any) (any, error)) Operation {
	o.narrowed = true
	return o.Wrap(func(next Handler) Handler {
		return func(ctx context.Context, c Caller, in any) (any, error) {
			out, err := next(ctx, c, in)
			if err != nil || c.May(o.Role, Scope{}) {
				return out, err
			}
			return narrow(ctx, c, out)
		}
	})
}

// Spec is the typed declaration of an operation. Field tags of I:
//
//	json:"name"      name in JSON, query and flags
//	arg:"1"          positional argument of the command; the first is part of the path
//	in:"query"       an argument that is no part of the path all the same
//	doc:"…"          what it means, with unit
//	required:"true"  must not be empty
//	enum:"a,b"       the values allowed
//	secret:"true"    never recorded, logged or kept (also on fields of O)
//
// Convention: a list takes limit and after and returns a Page. The names at,
// watch, output, server, token and help are the faces' own.
type Spec[I, O any] struct {
	Noun, Verb, Summary, Help string
	Role                      Role
	Write, Ask, Local, Stream bool
	// Scope says where the input acts; nil means everywhere.
	Scope  func(ctx context.Context, in I) (Scope, error)
	Handle func(ctx context.Context, caller Caller, in I) (O, error)
}

// Define makes an Operation.
func Define[I, O any](s Spec[I, O]) Operation {
	return Operation{
		Noun: s.Noun, Verb: s.Verb, Summary: s.Summary, Help: s.Help,
		Role: s.Role, Write: s.Write, Ask: s.Ask, Local: s.Local, Stream: s.Stream,
		Input: reflect.TypeFor[I](), Output: reflect.TypeFor[O](),
		scope: func(ctx context.Context, in any) (Scope, error) {
			if s.Scope == nil {
				return Scope{}, nil
			}
			return s.Scope(ctx, *in.(*I))
		},
		handle: func(ctx context.Context, c Caller, in any) (any, error) { return s.Handle(ctx, c, *in.(*I)) },
	}
}

// Name is noun and verb, such as "rollout.promote".
func (o Operation) Name() string { return o.Noun + "." + o.Verb }

// Collection reports whether the operation is about all of its noun rather
// than one named thing: its input has no positional argument.
func (o Operation) Collection() bool { return len(o.Args()) == 0 }

// Route is the operation's method and path under /api/v1: list and show read
// the noun, other verbs are a last path element.
func (o Operation) Route() (method, path string) {
	method, path = "GET", "/api/v1/"+Plural(o.Noun)
	if o.Body() {
		method = "POST"
	}
	if name := o.InPath(); name != "" {
		path += "/{" + name + "}"
	}
	if o.Verb != "list" && o.Verb != "show" {
		path += "/" + o.Verb
	}
	return method, path
}

// Body reports whether the input is sent as a JSON body instead of a query.
func (o Operation) Body() bool { return o.Write || o.Ask }

// InPath names the argument that is part of the path; empty without one.
func (o Operation) InPath() string {
	if args := o.Args(); len(args) > 0 && !args[0].InQuery {
		return args[0].Name
	}
	return ""
}

// Plural is how a noun stands in paths.
func Plural(noun string) string {
	switch {
	case strings.HasSuffix(noun, "s"), noun == "dora", noun == "why", noun == "gate", noun == "judge":
		return noun
	case strings.HasSuffix(noun, "y"):
		return strings.TrimSuffix(noun, "y") + "ies"
	}
	return noun + "s"
}

// NewInput makes an empty input for decoding into.
func (o Operation) NewInput() any { return reflect.New(o.Input).Interface() }

// Call checks input and permission, then acts. in is a pointer from NewInput.
func (o Operation) Call(ctx context.Context, c Caller, in any) (any, error) {
	if err := o.Check(in); err != nil {
		return nil, err
	}
	if err := o.permit(ctx, c, in); err != nil {
		return nil, err
	}
	return o.handle(ctx, c, in)
}

// permit looks up the scope only for a caller whose answer depends on it, so
// that nobody else learns from it what exists.
func (o Operation) permit(ctx context.Context, c Caller, in any) error {
	if c.May(o.Role, Scope{}) {
		return nil
	}
	if !slices.ContainsFunc(c.Grants, func(g Grant) bool { return g.Role >= o.Role }) {
		return o.denied(c, Scope{})
	}
	if o.narrowed {
		return nil
	}
	at, err := o.scope(ctx, in)
	if err == nil && !c.May(o.Role, at) {
		err = o.denied(c, at)
	}
	return err
}

func (o Operation) denied(c Caller, at Scope) error {
	where := "everywhere"
	if at.Team != "" || at.Environment != "" {
		where = strings.TrimSpace(fmt.Sprintf("in %s %s", at.Team, at.Environment))
	}
	who := c.Name
	if who == "" {
		who = "nobody (no token was sent)"
	}
	return problem.New(problem.Denied, o.Name(), "%s needs the role %s %s; the caller is %s", o.Name(), o.Role, where, who).
		WithNext("use a token that has it: flyball token create --role %s", o.Role)
}

// Field documents one field of an input or output.
type Field struct {
	Name     string
	Doc      string
	Type     reflect.Type
	Index    []int
	Arg      int  // place among the positional arguments, from 1; 0 is a flag
	InQuery  bool // an argument that is no part of the path
	Required bool
	Secret   bool
	Enum     []string
}

// Fields lists a struct type's documented fields in order.
func Fields(t reflect.Type) []Field {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []Field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" || name == "" {
			continue
		}
		field := Field{Name: name, Doc: f.Tag.Get("doc"), Type: f.Type, Index: f.Index, Required: f.Tag.Get("required") == "true", Secret: f.Tag.Get("secret") == "true", InQuery: f.Tag.Get("in") == "query"}
		if a := f.Tag.Get("arg"); a != "" {
			field.Arg = int(a[0] - '0')
			field.Required = field.Required || f.Tag.Get("required") != "false"
		}
		if e := f.Tag.Get("enum"); e != "" {
			field.Enum = strings.Split(e, ",")
		}
		out = append(out, field)
	}
	return out
}

// Args are the positional arguments in order; the first is part of the path.
func (o Operation) Args() []Field {
	var out []Field
	for _, f := range Fields(o.Input) {
		if f.Arg > 0 {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b Field) int { return a.Arg - b.Arg })
	return out
}

// Check reports everything that the tags of the input forbid, at once. in is a
// pointer from NewInput.
func (o Operation) Check(in any) error {
	v := reflect.ValueOf(in).Elem()
	var wrong []problem.Finding
	for _, f := range Fields(o.Input) {
		fv := v.FieldByIndex(f.Index)
		switch {
		case f.Required && fv.IsZero():
			wrong = append(wrong, problem.Finding{Field: f.Name, Severity: "error", Code: "required", Message: "is required: " + f.Doc})
		case len(f.Enum) > 0 && !fv.IsZero() && !slices.Contains(f.Enum, fmt.Sprint(fv.Interface())):
			wrong = append(wrong, problem.Finding{Field: f.Name, Severity: "error", Code: "enum",
				Message: fmt.Sprintf("is %q; it must be one of %s", fmt.Sprint(fv.Interface()), strings.Join(f.Enum, ", "))})
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	err := problem.New(problem.Invalid, o.Name(), "the input of %s %s is not right", o.Noun, o.Verb).
		WithNext("flyball %s %s --help says what it takes", o.Noun, o.Verb)
	err.Findings = wrong
	return err
}
