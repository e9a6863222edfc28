package alert

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Integration is one sender of alerts: its key, and what its alerts belong to
// when their labels do not say.
type Integration struct {
	Name        string    `json:"name"`
	Team        string    `json:"team,omitempty"`
	Service     string    `json:"service,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Confined    bool      `json:"confined,omitempty" doc:"it reports for services of its team only, as who made it may act for that team only"`
	Heartbeat   int64     `json:"heartbeat_seconds,omitempty" doc:"it is a heartbeat: an alert fires when nothing came for so many seconds"`
	KeyID       string    `json:"key_id"`         // the public beginning of the key
	Hash        string    `json:"hash,omitempty"` // SHA-256 of the key; never the key itself
	Created     time.Time `json:"created,omitzero"`
	By          string    `json:"by,omitempty"`
	Revoked     time.Time `json:"revoked,omitzero"`
}

// Local is the integration of senders on this machine that present no key.
const Local = "local"

// keyLength is that of PagerDuty's keys, which some senders insist on.
const (
	keyLength = 32
	keyPublic = 8
)

func newKey() string {
	var b [keyLength / 2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// integrationName is where integrations are folded, keyed by name and indexed
// by "all" and by the public part of their key.
const integrationName = "integration"

func integrations() *projection.Projection {
	return projection.Define(projection.Fold[Integration]{
		Name: integrationName, Version: 1, Types: []string{"integration."},
		Keys: func(e event.Event) []string {
			i, err := event.Decode[Integration](e)
			if err != nil || i.Name == "" {
				return nil
			}
			return []string{i.Name}
		},
		Apply: func(_ string, i Integration, e event.Event) (Integration, error) {
			if e.Type == EventIntegrationRevoked {
				i.Revoked, i.Hash = e.Time, ""
				return i, nil
			}
			next, err := event.Decode[Integration](e)
			next.Created, next.By = e.Time, e.Actor
			return next, err
		},
		Indexes: func(name string, i Integration) []projection.Index {
			out := []projection.Index{{Name: "all", Value: "yes", Sort: name}}
			if i.Revoked.IsZero() {
				out = append(out, projection.Index{Name: "key", Value: i.KeyID, Sort: name})
			}
			return out
		},
	})
}

// Authenticate finds the integration of a key.
func (i *Intake) Authenticate(ctx context.Context, key string) (Integration, error) {
	unknown := problem.New(problem.Denied, "alert.take", "the integration key is not known or was revoked").
		WithNext("make one with flyball integration create NAME")
	if len(key) != keyLength {
		return Integration{}, unknown
	}
	found, _, err := projection.List[Integration](ctx, i.Reader, integrationName, projection.Filter{Index: "key", Value: key[:keyPublic], Limit: 10})
	if err != nil {
		return Integration{}, err
	}
	sum := hashed(key)
	for _, in := range found {
		if subtle.ConstantTimeCompare([]byte(in.Hash), []byte(sum)) == 1 {
			in.Hash = ""
			return in, nil
		}
	}
	return Integration{}, unknown
}

// place is where an alert belongs: the service that its labels or its
// integration name and the catalog knows, else the one that its label names
// although the catalog does not, else the integration's own name, so that no
// alert is without a home.
func (i *Intake) place(ctx context.Context, in Integration, r Report, users string) (service, team, environment string, err error) {
	if environment = first(r.Labels["environment"], r.Labels["env"], in.Environment); !plainName(environment) {
		environment = users
	}
	for _, name := range []string{r.Labels["service"], r.Labels["flyball_service"], in.Service, r.Labels["job"], r.Labels["app"]} {
		s, known, err := i.service(ctx, name)
		switch {
		case err != nil:
			return "", "", "", err
		case known && in.speaksFor(s):
			return s.Name, first(s.Team, in.Team), environment, nil
		}
	}
	for _, name := range []string{strings.ToLower(r.Labels["service"]), in.Service, in.Name, "integration-" + in.Name} {
		if !plainName(name) {
			continue
		}
		s, known, err := i.service(ctx, name)
		if err != nil {
			return "", "", "", err
		}
		if service = name; !known || in.speaksFor(s) {
			break
		}
	}
	return service, first(in.Team, r.Labels["team"]), environment, nil
}

// speaksFor reports whether the integration may report for a service.
func (in Integration) speaksFor(s catalog.Service) bool { return !in.Confined || s.Team == in.Team }

// service is a service that the catalog knows, or not.
func (i *Intake) service(ctx context.Context, name string) (s catalog.Service, known bool, err error) {
	if name == "" {
		return s, false, nil
	}
	s, err = catalog.GetService(ctx, i.Reader, name)
	if problem.KindOf(err) == problem.NotFound {
		return s, false, nil
	}
	return s, err == nil, err
}

// users is the environment that users meet: the last on the way.
func (i *Intake) users(ctx context.Context) (string, error) {
	list, err := catalog.Environments(ctx, i.Reader)
	if n := len(list); n > 0 {
		return list[n-1].Name, err
	}
	return "prod", err
}

// plainName reports whether s may be part of a stream's name.
func plainName(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}
