package catalog

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// ProjectionName is where applied resources are folded, keyed by kind/name and
// indexed by "kind".
const ProjectionName = "catalog"

// Projection folds resource.applied and resource.deleted into what is wanted
// now, whatever its kind.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Entry]{
		Name: ProjectionName, Version: 1,
		Types: []string{resource.EventApplied, resource.EventDeleted},
		Keys:  func(e event.Event) []string { return []string{e.Subject} },
		Apply: func(key string, _ Entry, e event.Event) (Entry, error) {
			if e.Type == resource.EventDeleted {
				return Entry{Deleted: true}, nil
			}
			a, err := event.Decode[resource.Applied](e)
			return Entry{Applied: a, Cause: e.ID, Position: e.Position}, err
		},
		Indexes: func(key string, s Entry) []projection.Index {
			if s.Deleted {
				return nil
			}
			kind, name, _ := strings.Cut(key, "/")
			return []projection.Index{{Name: "kind", Value: kind, Sort: name}, {Name: "all", Value: "yes", Sort: key}}
		},
	})
}

// Entry is one applied resource.
type Entry struct {
	resource.Applied
	Deleted  bool   `json:"deleted,omitempty"`
	Cause    string `json:"cause,omitempty"`    // ID of the event that applied it
	Position int64  `json:"position,omitempty"` // of that event
}

// Service is a service as declared.
type Service struct {
	Name   string `json:"name"`
	Commit string `json:"commit,omitempty"` // of the file that declares it
	ServiceSpec
}

// Environment is an environment as declared.
type Environment struct {
	Name string `json:"name"`
	EnvironmentSpec
}

// Team is a team as declared.
type Team struct {
	Name string `json:"name"`
	TeamSpec
}

// Get reads one declared resource's spec into S.
func Get[S any](ctx context.Context, r projection.Reader, kind, name string) (spec S, e Entry, err error) {
	e, ok, err := projection.Get[Entry](ctx, r, ProjectionName, resource.Key(kind, name))
	if err != nil {
		return spec, e, err
	}
	if !ok || e.Deleted {
		return spec, e, problem.New(problem.NotFound, "catalog.get", "there is no %s named %q", strings.ToLower(kind), name).
			WithNext("flyball %s list shows what there is", strings.ToLower(kind))
	}
	err = event.Unmarshal(e.Spec, &spec)
	return spec, e, err
}

// List reads every declared resource of a kind, by name.
func List[S any](ctx context.Context, r projection.Reader, kind string) (specs []S, entries []Entry, err error) {
	f := projection.Filter{Index: "kind", Value: strings.ToLower(kind), Limit: 1000}
	for {
		page, next, err := projection.List[Entry](ctx, r, ProjectionName, f)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range page {
			var s S
			if err := event.Unmarshal(e.Spec, &s); err != nil {
				return nil, nil, fmt.Errorf("%s %s: %w", kind, e.Metadata.Name, err)
			}
			specs, entries = append(specs, s), append(entries, e)
		}
		if next == "" {
			return specs, entries, nil
		}
		f.After = next
	}
}

// GetService reads one service.
func GetService(ctx context.Context, r projection.Reader, name string) (Service, error) {
	spec, e, err := Get[ServiceSpec](ctx, r, KindService, name)
	return Service{Name: name, Commit: e.Commit, ServiceSpec: spec}, err
}

// GetServices reads those of the services named that there are, by name.
func GetServices(ctx context.Context, r projection.Reader, names []string) (map[string]Service, error) {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = resource.Key(KindService, name)
	}
	stored, err := r.Load(ctx, ProjectionName, keys)
	out := map[string]Service{}
	for i, name := range names {
		var e Entry
		if state, ok := stored[keys[i]]; !ok {
			continue
		} else if err := event.Unmarshal(state, &e); err != nil {
			return nil, err
		}
		if e.Deleted {
			continue
		}
		s := Service{Name: name, Commit: e.Commit}
		if err := event.Unmarshal(e.Spec, &s.ServiceSpec); err != nil {
			return nil, err
		}
		out[name] = s
	}
	return out, err
}

// Services lists the services by name.
func Services(ctx context.Context, r projection.Reader) ([]Service, error) {
	specs, entries, err := List[ServiceSpec](ctx, r, KindService)
	out := make([]Service, len(specs))
	for i := range specs {
		out[i] = Service{Name: entries[i].Metadata.Name, Commit: entries[i].Commit, ServiceSpec: specs[i]}
	}
	return out, err
}

// GetEnvironment reads one environment.
func GetEnvironment(ctx context.Context, r projection.Reader, name string) (Environment, error) {
	spec, _, err := Get[EnvironmentSpec](ctx, r, KindEnvironment, name)
	return Environment{Name: name, EnvironmentSpec: spec}, err
}

// Environments lists the environments in the order releases reach them:
// those that come after another follow it.
func Environments(ctx context.Context, r projection.Reader) ([]Environment, error) {
	specs, entries, err := List[EnvironmentSpec](ctx, r, KindEnvironment)
	if err != nil {
		return nil, err
	}
	out := make([]Environment, len(specs))
	byName := map[string]Environment{}
	for i := range specs {
		out[i] = Environment{Name: entries[i].Metadata.Name, EnvironmentSpec: specs[i]}
		byName[out[i].Name] = out[i]
	}
	depth := func(e Environment) (n int) {
		for ; e.After != "" && n <= len(out); n++ {
			e = byName[e.After]
		}
		return n
	}
	sort.SliceStable(out, func(i, j int) bool { return depth(out[i]) < depth(out[j]) })
	return out, nil
}

// GetTeam reads one team.
func GetTeam(ctx context.Context, r projection.Reader, name string) (Team, error) {
	spec, _, err := Get[TeamSpec](ctx, r, KindTeam, name)
	return Team{Name: name, TeamSpec: spec}, err
}

// In reports whether the service is released to an environment.
func (s Service) In(environment string) bool {
	if len(s.Environments) == 0 {
		return true
	}
	for _, e := range s.Environments {
		if e == environment {
			return true
		}
	}
	return false
}

// HostIn is the host name under which the service answers in an environment;
// first says whether it is the last environment on the way, the one of users.
func (s Service) HostIn(environment string, users bool) string {
	if users {
		return s.Host
	}
	name, rest, _ := strings.Cut(s.Host, ".")
	return name + "." + environment + "." + rest
}
