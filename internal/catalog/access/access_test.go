package access_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog/access"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

func desk(t *testing.T) (*access.Desk, *clock.Virtual, event.Log) {
	t.Helper()
	c := clock.NewVirtual(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	st := memory.New(memory.Options{Clock: c})
	fold := projection.NewRunner(st.Log(), st.States(), access.Projection())
	return &access.Desk{Log: st.Log(), Reader: st.States(), Now: c.Now, Sync: fold.CatchUp}, c, st.Log()
}

func TestTokenLife(t *testing.T) {
	d, c, log := desk(t)
	grants := []operation.Grant{{Role: operation.Developer, Team: "payments"}}
	token, secret, err := d.Create(t.Context(), "user:root", "user:ana", grants, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := d.Authenticate(t.Context(), secret)
	if err != nil || caller.Name != "user:ana" {
		t.Fatalf("%+v, %v", caller, err)
	}
	if !caller.May(operation.Developer, operation.Scope{Team: "payments", Environment: "prod"}) ||
		caller.May(operation.Operator, operation.Scope{Team: "payments"}) || caller.May(operation.Developer, operation.Scope{Team: "search"}) || caller.May(operation.Viewer, operation.Scope{}) {
		t.Error("the caller may do what was not granted, or not what was")
	}
	events, err := log.Read(t.Context(), event.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if strings.Contains(string(e.Data), secret) || strings.Contains(string(e.Data), secret[len(secret)-10:]) {
			t.Error("the secret is in the log")
		}
	}
	for name, wrong := range map[string]string{
		"one character": secret[:len(secret)-1] + "!", "another token's id": "flyball_abcdefghijkl_" + secret[21:], "no prefix": secret[8:],
		"only the id": "flyball_" + token.ID + "_", "long": secret + strings.Repeat("x", 500),
	} {
		if _, err := d.Authenticate(t.Context(), wrong); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if nobody, err := d.Authenticate(t.Context(), ""); err != nil || len(nobody.Grants) != 0 {
		t.Errorf("no token: %+v, %v", nobody, err)
	}
	c.Advance(time.Hour)
	if _, err := d.Authenticate(t.Context(), secret); problem.KindOf(err) != problem.Denied {
		t.Errorf("an expired token: %v", err)
	}
}

func TestRevokeAndOperations(t *testing.T) {
	d, _, _ := desk(t)
	ops := map[string]operation.Operation{}
	for _, o := range d.Operations() {
		ops[o.Name()] = o
	}
	admin := operation.Caller{Name: "user:root", Grants: []operation.Grant{{Role: operation.Admin}}}
	teamAdmin := operation.Caller{Name: "user:lee", Grants: []operation.Grant{{Role: operation.Admin, Team: "payments"}}}
	call := func(who operation.Caller, name string, fill func(in any)) (any, error) {
		in := ops[name].NewInput()
		fill(in)
		return ops[name].Call(context.Background(), who, in)
	}
	create := func(in any) {
		*in.(*access.CreateInput) = access.CreateInput{Name: "token:ci", Role: operation.Developer}
	}
	if _, err := call(teamAdmin, "token.create", create); problem.KindOf(err) != problem.Denied {
		t.Errorf("the administrator of one team made a token for all: %v", err)
	}
	out, err := call(admin, "token.create", create)
	if err != nil {
		t.Fatal(err)
	}
	made := out.(access.Created)
	if _, err := call(admin, "token.create", func(in any) {
		*in.(*access.CreateInput) = access.CreateInput{Name: "x", Role: operation.Viewer, TTL: "soon"}
	}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("ttl soon: %v", err)
	}
	list, err := call(admin, "token.list", func(any) {})
	if err != nil || len(list.(operation.Page[access.Token]).Items) != 1 || list.(operation.Page[access.Token]).Items[0].Hash != "" {
		t.Errorf("list %+v, %v", list, err)
	}
	revoke := func(in any) { *in.(*access.RevokeInput) = access.RevokeInput{ID: made.ID, Reason: "left"} }
	if _, err := call(admin, "token.revoke", revoke); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(t.Context(), made.Secret); problem.KindOf(err) != problem.Denied {
		t.Errorf("a revoked token: %v", err)
	}
}
