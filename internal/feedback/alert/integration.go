package alert

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"slices"
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
	Mapping     string    `json:"mapping,omitempty" doc:"AlertMapping by which its own JSON is read"`
	SecretEnv   string    `json:"secret_env,omitempty" doc:"environment variable of the server with the secret that signs what it sends"`
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

// place is where an alert belongs.
type place struct {
	service, team, environment string
	runbook                    string // of the service
}

// place finds the service that an alert's labels or its integration name and
// the catalog knows, else the one that its label names although the catalog
// does not, else the integration's own name, so that no alert is without a home.
func (i *Intake) place(in Integration, r Report, c known) (at place) {
	if at.environment = first(r.Labels["environment"], r.Labels["env"], in.Environment); !plainName(at.environment) {
		at.environment = c.users
	}
	homes, names := in.homes(r)
	for _, name := range homes {
		if s, ok := c.services[name]; ok && in.speaksFor(s) {
			at.service, at.team, at.runbook = s.Name, first(s.Team, in.Team), s.Runbook
			return at
		}
	}
	at.team = first(in.Team, r.Labels["team"])
	for _, name := range names {
		if !plainName(name) {
			continue
		}
		s, ok := c.services[name]
		if at.service = name; !ok || in.speaksFor(s) {
			break
		}
	}
	return at
}

// homes are the services an alert may belong to, best first: those that must
// be known, and those that need not.
func (in Integration) homes(r Report) (declared, named []string) {
	return []string{r.Labels["service"], r.Labels["flyball_service"], in.Service, r.Labels["job"], r.Labels["app"]},
		[]string{strings.ToLower(r.Labels["service"]), in.Service, in.Name, "integration-" + in.Name}
}

// known is what the catalog says about reports.
type known struct {
	users    string // the environment that users meet: the last on the way
	services map[string]catalog.Service
	routes   []Route
}

// look asks the catalog once for all reports.
func (i *Intake) look(ctx context.Context, in Integration, reports []Report) (c known, err error) {
	c.users = "prod"
	environments, err := catalog.Environments(ctx, i.Reader)
	if n := len(environments); n > 0 {
		c.users = environments[n-1].Name
	}
	if err != nil {
		return c, err
	}
	wanted := map[string]struct{}{}
	for _, r := range reports {
		declared, named := in.homes(r)
		for _, name := range slices.Concat(declared, named) {
			if name != "" && len(name) <= maxPlain {
				wanted[name] = struct{}{}
			}
		}
	}
	i.mu.Lock()
	for _, route := range i.routes {
		for _, rule := range route.Rules {
			if rule.Service != "" {
				wanted[rule.Service] = struct{}{}
			}
		}
	}
	c.routes = i.routes
	i.mu.Unlock()
	c.services, err = catalog.GetServices(ctx, i.Reader, slices.Sorted(maps.Keys(wanted)))
	return c, err
}

// speaksFor reports whether the integration may report for a service.
func (in Integration) speaksFor(s catalog.Service) bool { return !in.Confined || s.Team == in.Team }

// plainName reports whether s may be part of a stream's name.
func plainName(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxPlain
}

const maxPlain = 63 // bytes of a name
