package artifact

import (
	"context"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

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
				f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: operation.Limit(in.Limit, 50, 500), Newest: true}
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
