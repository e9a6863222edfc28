// Package access keeps tokens: who may do what, per team and environment.
//
// A token is shown once, when it is created; only its SHA-256 is recorded, as
// the event access.token_created, so that access is a fold of the log like
// everything else and every grant has an author. A caller without a token is
// nobody; faces decide whether nobody on the loopback address may read.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// The facts about tokens. Their stream is access/ID.
const (
	EventTokenCreated = "access.token_created" // data is Token, hash included
	EventTokenRevoked = "access.token_revoked" // data is Ref
)

// Token is a credential as recorded: never the secret itself.
type Token struct {
	ID      string            `json:"id"`
	Name    string            `json:"name"` // who or what uses it, such as user:ana
	Hash    string            `json:"hash,omitempty"`
	Grants  []operation.Grant `json:"grants"`
	Created time.Time         `json:"created,omitzero"`
	By      string            `json:"by,omitempty"`
	Expires time.Time         `json:"expires,omitzero"` // zero: never
	Revoked time.Time         `json:"revoked,omitzero"`
}

// Ref names a token.
type Ref struct {
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"`
}

// ProjectionName is where tokens are folded, keyed by ID and indexed by "all".
const ProjectionName = "access"

// Projection folds tokens.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Token]{
		Name: ProjectionName, Version: 1, Types: []string{"access."},
		Keys: func(e event.Event) []string {
			if id, ok := strings.CutPrefix(e.Stream, "access/"); ok {
				return []string{id}
			}
			return nil
		},
		Apply: func(_ string, t Token, e event.Event) (Token, error) {
			if e.Type == EventTokenRevoked {
				t.Revoked = e.Time
				return t, nil
			}
			t, err := event.Decode[Token](e)
			t.Created, t.By = e.Time, e.Actor
			return t, err
		},
		Indexes: func(id string, _ Token) []projection.Index {
			return []projection.Index{{Name: "all", Value: "yes", Sort: id}}
		},
	})
}

// Desk creates, revokes and recognises tokens.
type Desk struct {
	Log    event.Log
	Reader projection.Reader
	Sync   func(ctx context.Context) error
	Now    func() time.Time
}

const prefix = "flyball_"

// Create records a token and returns its secret, once.
func (d *Desk) Create(ctx context.Context, actor, name string, grants []operation.Grant, ttl time.Duration) (Token, string, error) {
	t := Token{ID: strings.ToLower(rand.Text()[:12]), Name: name, Grants: grants}
	secret := prefix + t.ID + "_" + rand.Text()
	t.Hash = hash(secret)
	if ttl > 0 {
		t.Expires = d.Now().Add(ttl).UTC()
	}
	_, err := d.Log.Append(ctx, event.Batch{Stream: "access/" + t.ID, Expect: 0, Drafts: []event.Draft{{Type: EventTokenCreated, Actor: actor, Data: t}}})
	if err == nil {
		err = d.Sync(ctx)
	}
	t.Hash = ""
	return t, secret, err
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Authenticate recognises a secret. An empty one is nobody.
func (d *Desk) Authenticate(ctx context.Context, secret string) (operation.Caller, error) {
	if secret == "" {
		return operation.Caller{}, nil
	}
	unknown := problem.New(problem.Denied, "access.authenticate", "the token is not known, has expired or was revoked").
		WithNext("ask for a new one: flyball token create")
	rest, ok := strings.CutPrefix(secret, prefix)
	id, _, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || len(secret) > 200 {
		return operation.Caller{}, unknown
	}
	t, found, err := projection.Get[Token](ctx, d.Reader, ProjectionName, id)
	if err != nil {
		return operation.Caller{}, err
	}
	match := subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hash(secret))) == 1
	expired := !t.Expires.IsZero() && !d.Now().Before(t.Expires)
	if !found || !match || expired || !t.Revoked.IsZero() {
		return operation.Caller{}, unknown
	}
	return operation.Caller{Name: t.Name, Grants: t.Grants}, nil
}

// CreateInput says whom a token is for and what it may do.
type CreateInput struct {
	Name        string         `json:"name" required:"true" doc:"who or what uses it, such as user:ana or token:ci"`
	Role        operation.Role `json:"role" required:"true" doc:"viewer, developer, operator or admin"`
	Team        string         `json:"team" doc:"for this team only; empty is all teams"`
	Environment string         `json:"environment" doc:"for this environment only; empty is all"`
	TTL         string         `json:"ttl" doc:"how long it is valid, such as 720h; empty is for ever"`
}

// Created is a new token with its secret.
type Created struct {
	Token
	Secret string `json:"secret" doc:"shown this once; send it as Authorization: Bearer SECRET"`
}

// Tell is the secret and what it may do.
func (c Created) Tell() string {
	return c.Secret + "\nshown this once; use it as --token, FLYBALL_TOKEN or Authorization: Bearer"
}

// RevokeInput names a token.
type RevokeInput struct {
	ID     string `json:"id" arg:"1" doc:"identifier of the token"`
	Reason string `json:"reason" required:"true" doc:"why, for the record"`
}

// Operations are what administrators can do with tokens.
func (d *Desk) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[CreateInput, Created]{
			Noun: "token", Verb: "create", Summary: "Create a token; its secret is shown once", Role: operation.Admin, Write: true,
			Help: "  flyball token create --name user:ana --role developer --team payments\n  flyball token create --name user:dana --role operator --team payments --environment prod --ttl 720h",
			Handle: func(ctx context.Context, c operation.Caller, in CreateInput) (Created, error) {
				var ttl time.Duration
				if in.TTL != "" {
					var err error
					if ttl, err = time.ParseDuration(in.TTL); err != nil || ttl <= 0 {
						return Created{}, problem.New(problem.Invalid, "token.create", "ttl %q is not a duration such as 720h", in.TTL)
					}
				}
				t, secret, err := d.Create(ctx, c.Name, in.Name, []operation.Grant{{Role: in.Role, Team: in.Team, Environment: in.Environment}}, ttl)
				return Created{Token: t, Secret: secret}, err
			},
		}),
		operation.Define(operation.Spec[struct{}, operation.Page[Token]]{
			Noun: "token", Verb: "list", Summary: "List tokens, without their secrets", Role: operation.Admin,
			Handle: func(ctx context.Context, _ operation.Caller, _ struct{}) (operation.Page[Token], error) {
				items, _, err := projection.List[Token](ctx, operation.Reader(ctx, d.Reader), ProjectionName, projection.Filter{Index: "all", Value: "yes", Limit: 1000})
				for i := range items {
					items[i].Hash = ""
				}
				return operation.Page[Token]{Items: items}, err
			},
		}),
		operation.Define(operation.Spec[RevokeInput, Ref]{
			Noun: "token", Verb: "revoke", Summary: "Revoke a token at once", Role: operation.Admin, Write: true,
			Handle: func(ctx context.Context, c operation.Caller, in RevokeInput) (Ref, error) {
				if _, ok, err := projection.Get[Token](ctx, d.Reader, ProjectionName, in.ID); err != nil || !ok {
					if err == nil {
						err = problem.New(problem.NotFound, "token.revoke", "there is no token %q", in.ID).WithNext("flyball token list shows the tokens")
					}
					return Ref{}, err
				}
				ref := Ref{ID: in.ID, Reason: in.Reason}
				_, err := d.Log.Append(ctx, event.Batch{Stream: "access/" + in.ID, Expect: event.AnyVersion, Drafts: []event.Draft{{Type: EventTokenRevoked, Actor: c.Name, Data: ref}}})
				if err == nil {
					err = d.Sync(ctx)
				}
				return ref, err
			},
		}),
	}
}
