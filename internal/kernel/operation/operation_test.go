package operation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

type embedded struct {
	Team string `json:"team" doc:"whose"`
}

type promote struct {
	embedded
	To      string         `json:"to" arg:"2" required:"false" doc:"where to"`
	Rollout string         `json:"rollout" arg:"1" doc:"its name"`
	Reason  string         `json:"reason,omitempty" required:"true" doc:"why"`
	Speed   string         `json:"speed" enum:"slow,fast" doc:"how fast"`
	As      operation.Role `json:"as" enum:"viewer,admin"`
	Key     string         `json:"key" secret:"true"`
	Skipped string         `json:"-"`
	Plain   string
}

func define(verb string, write bool, role operation.Role) operation.Operation {
	return operation.Define(operation.Spec[promote, string]{
		Noun: "rollout", Verb: verb, Write: write, Role: role,
		Scope: func(_ context.Context, in promote) (operation.Scope, error) {
			if in.Rollout == "gone" {
				return operation.Scope{}, problem.New(problem.NotFound, "rollout", "there is no rollout gone")
			}
			return operation.Scope{Team: in.Team, Environment: in.To}, nil
		},
		Handle: func(_ context.Context, c operation.Caller, in promote) (string, error) {
			return c.Name + " promotes " + in.Rollout, nil
		},
	})
}

func TestRoutes(t *testing.T) {
	type named struct {
		Name string `json:"name" arg:"1"`
	}
	for want, op := range map[string]operation.Operation{
		"GET /api/v1/rollouts":                    operation.Define(operation.Spec[struct{}, string]{Noun: "rollout", Verb: "list"}),
		"GET /api/v1/rollouts/{name}":             operation.Define(operation.Spec[named, string]{Noun: "rollout", Verb: "show"}),
		"POST /api/v1/rollouts/{rollout}/promote": define("promote", true, operation.Operator),
		"GET /api/v1/policies":                    operation.Define(operation.Spec[struct{}, string]{Noun: "policy", Verb: "list"}),
		"GET /api/v1/status":                      operation.Define(operation.Spec[struct{}, string]{Noun: "status", Verb: "show"}),
		"GET /api/v1/why/{name}":                  operation.Define(operation.Spec[named, string]{Noun: "why", Verb: "show"}),
		"POST /api/v1/tokens/create":              operation.Define(operation.Spec[struct{}, string]{Noun: "token", Verb: "create", Write: true}),
	} {
		if method, path := op.Route(); method+" "+path != want {
			t.Errorf("%s has the route %s %s, want %s", op.Name(), method, path, want)
		}
	}
}

func TestFields(t *testing.T) {
	var got []string
	for _, f := range operation.Fields(define("promote", true, operation.Operator).Input) {
		got = append(got, fmt.Sprintf("%s %d %t %t %v %s", f.Name, f.Arg, f.Required, f.Secret, f.Enum, f.Doc))
	}
	want := "team 0 false false [] whose\nto 2 false false [] where to\nrollout 1 true false [] its name\nreason 0 true false [] why\nspeed 0 false false [slow fast] how fast\nas 0 false false [viewer admin] \nkey 0 false true [] "
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	args := define("promote", true, operation.Operator).Args()
	if len(args) != 2 || args[0].Name != "rollout" || args[1].Name != "to" {
		t.Errorf("arguments %v", args)
	}
}

func TestCheckFindsAllAtOnce(t *testing.T) {
	op := define("promote", true, operation.Operator)
	in := op.NewInput().(*promote)
	in.Speed, in.As = "medium", operation.Operator
	err := op.Check(in)
	for _, part := range []string{"rollout: is required: its name", "reason: is required: why", `speed: is "medium"; it must be one of slow, fast`, `as: is "operator"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %v", part, err)
		}
	}
	if problem.KindOf(err) != problem.Invalid || problem.NextOf(err) != "flyball rollout promote --help says what it takes" {
		t.Errorf("%s, next %q", problem.KindOf(err), problem.NextOf(err))
	}
}

// TestPermission is the matrix of grants and scopes.
func TestPermission(t *testing.T) {
	grant := func(role operation.Role, team, env string) []operation.Grant {
		return []operation.Grant{{Role: role, Team: team, Environment: env}}
	}
	for _, c := range []struct {
		grants   []operation.Grant
		team, to string
		rollout  string
		want     problem.Kind
	}{
		{nil, "pay", "prod", "r", problem.Denied},
		{grant(operation.Operator, "", ""), "pay", "prod", "r", ""},
		{grant(operation.Admin, "", ""), "pay", "prod", "r", ""},
		{grant(operation.Developer, "", ""), "pay", "prod", "r", problem.Denied},
		{grant(operation.Operator, "pay", ""), "pay", "prod", "r", ""},
		{grant(operation.Operator, "pay", "prod"), "pay", "prod", "r", ""},
		{grant(operation.Operator, "pay", "dev"), "pay", "prod", "r", problem.Denied},
		{grant(operation.Operator, "", "prod"), "pay", "prod", "r", ""},
		{grant(operation.Operator, "mail", ""), "pay", "prod", "r", problem.Denied},
		{grant(operation.Operator, "pay", ""), "", "prod", "r", problem.Denied}, // everywhere needs a grant for everywhere
		{append(grant(operation.Operator, "mail", ""), grant(operation.Operator, "pay", "")...), "pay", "prod", "r", ""},
		{append(grant(operation.Viewer, "pay", ""), grant(operation.Operator, "mail", "")...), "pay", "prod", "r", problem.Denied},
		{grant(operation.Developer, "", ""), "pay", "prod", "gone", problem.Denied}, // what exists is not told to who may not ask
		{grant(operation.Operator, "pay", ""), "pay", "prod", "gone", problem.NotFound},
	} {
		op := define("promote", true, operation.Operator)
		in := &promote{embedded: embedded{c.team}, To: c.to, Rollout: c.rollout, Reason: "x"}
		out, err := op.Call(t.Context(), operation.Caller{Name: "user:ana", Grants: c.grants}, in)
		if problem.KindOf(err) != c.want {
			t.Errorf("%+v in %s/%s: %v, want %q", c.grants, c.team, c.to, err, c.want)
		}
		if err == nil && out != "user:ana promotes r" {
			t.Errorf("got %v", out)
		}
		if c.want == problem.Denied && (!strings.Contains(err.Error(), "user:ana") || problem.NextOf(err) == "") {
			t.Errorf("denied without name or advice: %v", err)
		}
	}
}

func TestWrapIsInsideThePermission(t *testing.T) {
	inner := 0
	op := define("promote", true, operation.Operator).Wrap(func(next operation.Handler) operation.Handler {
		return func(ctx context.Context, c operation.Caller, in any) (any, error) {
			inner++
			out, err := next(ctx, c, in)
			return fmt.Sprint(out, "!"), err
		}
	})
	in := &promote{Rollout: "r", Reason: "x"}
	if _, err := op.Call(t.Context(), operation.Caller{}, in); err == nil || inner != 0 {
		t.Errorf("%v, %d calls", err, inner)
	}
	out, err := op.Call(t.Context(), operation.Caller{Name: "a", Grants: []operation.Grant{{Role: operation.Admin}}}, in)
	if err != nil || out != "a promotes r!" || inner != 1 {
		t.Errorf("%v, %v, %d calls", out, err, inner)
	}
}

func TestRoles(t *testing.T) {
	for _, name := range []string{"viewer", "developer", "operator", "admin"} {
		var r operation.Role
		if err := r.UnmarshalText([]byte(name)); err != nil || r.String() != name {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	for _, name := range []string{"", "nobody", "Admin", "root"} {
		if _, err := operation.ParseRole(name); problem.KindOf(err) != problem.Invalid || problem.NextOf(err) == "" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestContext(t *testing.T) {
	ctx := t.Context()
	if _, ok := operation.At(ctx); ok || operation.CallID(ctx) != "" || operation.Reader(ctx, nil) != nil {
		t.Error("an empty context has a moment, a call or a reader")
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ctx = operation.WithCall(operation.WithAt(ctx, at), "call-1")
	if got, ok := operation.At(ctx); !ok || !got.Equal(at) || operation.CallID(ctx) != "call-1" {
		t.Errorf("%v, %v, %q", got, ok, operation.CallID(ctx))
	}
}

func TestHandlersErrorPasses(t *testing.T) {
	broken := errors.New("broken")
	op := operation.Define(operation.Spec[struct{}, string]{Noun: "x", Verb: "y", Role: operation.Viewer,
		Handle: func(context.Context, operation.Caller, struct{}) (string, error) { return "", broken }})
	if _, err := op.Call(t.Context(), operation.Caller{Grants: []operation.Grant{{Role: operation.Viewer}}}, op.NewInput()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
