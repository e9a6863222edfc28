package support

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Kind is the kind of resource.
const Kind = "SupportAgreement"

// Spec is what a team asks of services in return for being on call for them.
type Spec struct {
	Team         string        `json:"team"`                   // that is on call while the agreement is kept
	Services     []string      `json:"services"`               //
	Environments []string      `json:"environments,omitempty"` // default: the last on the way
	Budget       bool          `json:"budget,omitempty"`       // a spent error budget breaks it
	PagesPerWeek int           `json:"pagesPerWeek,omitempty"` // more pages in seven days break it; 0: no bound
	Stable       time.Duration `json:"stable,omitempty"`       // unbroken for so long, on-call returns; default 168h
}

// Bounds on one agreement.
const (
	maxPages    = 1000
	maxServices = 500
	week        = 7 * 24 * time.Hour
)

// Kinds declares the kind.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(Kind, resource.Options[Spec]{
		Summary: "a team is on call for others' services as long as they are reliable enough",
		Defaults: func(_ resource.Metadata, s *Spec) {
			if s.Stable == 0 {
				s.Stable = week
			}
		},
		Validate: validate,
	})}
}

func validate(c *resource.Checker, s *Spec) {
	if s.Team == "" {
		c.Errorf("team", "required", "name the Team that is on call while the agreement is kept")
	}
	c.Refers("team", catalog.KindTeam, s.Team)
	if len(s.Services) == 0 || len(s.Services) > maxServices {
		c.Errorf("services", "required", "name 1 to %d services", maxServices)
	}
	for i, name := range s.Services {
		path := fmt.Sprintf("services[%d]", i)
		c.Refers(path, catalog.KindService, name)
		if o := c.Set.Find(catalog.KindService, name); o != nil && o.Spec.(*catalog.ServiceSpec).Team == s.Team {
			c.Errorf(path, "self-reference", "%s is on call for %s anyway: it owns it", s.Team, name)
		}
	}
	for i, name := range s.Environments {
		c.Refers(fmt.Sprintf("environments[%d]", i), catalog.KindEnvironment, name)
	}
	if !s.Budget && s.PagesPerWeek == 0 {
		c.Errorf("", "required", "nothing can break this agreement: say budget: true, pagesPerWeek, or both")
	}
	if s.PagesPerWeek < 0 || s.PagesPerWeek > maxPages {
		c.Errorf("pagesPerWeek", "range", "pagesPerWeek is %d; it must be between 0 and %d", s.PagesPerWeek, maxPages)
	}
	if s.Stable < time.Hour || s.Stable > 90*24*time.Hour {
		c.Errorf("stable", "range", "stable is %s; it must be between 1h and 2160h", s.Stable)
	}
	mine := c.Object.Metadata.Name
	specs, meta := resource.Specs[Spec](c.Set, Kind)
	for i, other := range specs {
		if meta[i].Name >= mine {
			continue
		}
		for n, name := range s.Services {
			if slices.Contains(other.Services, name) && overlap(s.Environments, other.Environments) {
				c.Errorf(fmt.Sprintf("services[%d]", n), "duplicate", "%s has an agreement already: %s", name, meta[i].Name)
			}
		}
	}
}

func overlap(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(e string) bool { return slices.Contains(b, e) })
}

// Agreement is one as declared, for a service in an environment.
type Agreement struct {
	Name string `json:"name"`
	Spec
}

// For finds the agreement that a service has in an environment; nil without one.
func For(ctx context.Context, r projection.Reader, service, environment string) (*Agreement, error) {
	specs, entries, err := catalog.List[Spec](ctx, r, Kind)
	for i, s := range specs {
		if !slices.Contains(s.Services, service) {
			continue
		}
		if len(s.Environments) == 0 {
			environments, err := catalog.Environments(ctx, r)
			if err != nil {
				return nil, err
			}
			if n := len(environments); n > 0 && environments[n-1].Name != environment {
				continue
			}
		} else if !slices.Contains(s.Environments, environment) {
			continue
		}
		return &Agreement{Name: entries[i].Metadata.Name, Spec: s}, nil
	}
	return nil, err
}

// Holder is the team that is on call for a service in an environment instead of
// the one that owns it; empty when that is the owner.
func Holder(ctx context.Context, r projection.Reader, service, environment string) (string, error) {
	a, err := For(ctx, r, service, environment)
	if err != nil || a == nil {
		return "", err
	}
	s, _, err := projection.Get[Standing](ctx, r, ProjectionName, Key(service, environment))
	if err != nil || s.HandedBack {
		return "", err
	}
	return a.Team, nil
}
