package artifact

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Artifact is the folded state of one artifact.
type Artifact struct {
	Built
	Name    string    `json:"name"`
	BuiltAt time.Time `json:"built_at"`
	Event   string    `json:"event"`
}

// ProjectionName is where artifacts are folded, keyed by name and indexed by
// "change", "service" and "all".
const ProjectionName = "artifact"

// Projection folds artifacts.
func Projection() *projection.Projection {
	return projection.Define(projection.Fold[Artifact]{
		Name: ProjectionName, Version: 1, Types: []string{EventBuilt},
		Keys: func(e event.Event) []string {
			if name, ok := strings.CutPrefix(e.Subject, "artifact/"); ok {
				return []string{name}
			}
			return nil
		},
		Apply: func(name string, _ Artifact, e event.Event) (Artifact, error) {
			b, err := event.Decode[Built](e)
			return Artifact{Built: b, Name: name, BuiltAt: e.Time, Event: e.ID}, err
		},
		Indexes: func(_ string, a Artifact) []projection.Index {
			at := fmt.Sprintf("%020d", a.BuiltAt.UnixMicro())
			return []projection.Index{{Name: "change", Value: a.Change, Sort: at}, {Name: "service", Value: a.Service, Sort: at}, {Name: "all", Value: "yes", Sort: at}}
		},
	})
}

// ListInput bounds a list of artifacts.
type ListInput struct {
	Service string `json:"service" doc:"of this service only"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// ShowInput names an artifact.
type ShowInput struct {
	Artifact string `json:"artifact" arg:"1" doc:"name of the artifact, such as checkout-5c1d0a9be7f2"`
}

// Operations are what users can do with artifacts.
func Operations(r projection.Reader) []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ListInput, operation.Page[Artifact]]{
			Noun: "artifact", Verb: "list", Summary: "List artifacts, newest first", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ListInput) (operation.Page[Artifact], error) {
				f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: min(in.Limit, 500), Newest: true}
				if f.Limit <= 0 {
					f.Limit = 50
				}
				if in.Service != "" {
					f.Index, f.Value = "service", in.Service
				}
				items, next, err := projection.List[Artifact](ctx, operation.Reader(ctx, r), ProjectionName, f)
				return operation.Page[Artifact]{Items: items, Next: next}, err
			},
		}),
		operation.Define(operation.Spec[ShowInput, Artifact]{
			Noun: "artifact", Verb: "show", Summary: "Show one artifact: digest, commit and run", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Artifact, error) {
				a, ok, err := projection.Get[Artifact](ctx, operation.Reader(ctx, r), ProjectionName, in.Artifact)
				if err == nil && !ok {
					err = problem.New(problem.NotFound, "artifact.show", "there is no artifact named %q", in.Artifact).WithNext("flyball artifact list shows the artifacts")
				}
				return a, err
			},
		}),
	}
}
