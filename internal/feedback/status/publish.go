package status

import (
	"context"
	"encoding/json"

	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// ActionPublish is the type of the action that writes a page's files to where
// they are served from; its parameters are PublishParams.
const ActionPublish = "status.publish"

// PublishParams say what is written where. Secrets are not in them.
type PublishParams struct {
	Page     string `json:"page"`
	Target   int    `json:"target"` // in the page's list
	To       Target `json:"to"`
	Revision string `json:"revision"`
}

// Site makes the files of a page as it is now.
type Site func(ctx context.Context, page string) (site.Files, error)

// PublishType declares the action. It writes the page as it is when it runs, so
// that trying again never brings back what is out of date; writing the same
// files again changes nothing.
func PublishType(make Site, host site.Host) control.Type {
	return control.Type{
		Name: ActionPublish, Wish: true,
		Run: func(ctx context.Context, a action.Action) (any, error) {
			var p PublishParams
			if err := json.Unmarshal(a.Params, &p); err != nil {
				return nil, problem.New(problem.Invalid, ActionPublish, "parameters: %w", err)
			}
			files, err := make(ctx, p.Page)
			if err != nil {
				return nil, err
			}
			return host.Publish(ctx, p.To.site(), files)
		},
	}
}

func (t Target) site() site.Target {
	out := site.Target{Directory: t.Directory, Repository: t.Git, Branch: t.Branch, Address: t.Put, TokenEnv: t.TokenEnv}
	if t.S3 != nil {
		out.S3 = &site.S3{Region: t.S3.Region, AccessKeyEnv: t.S3.AccessKeyEnv, SecretKeyEnv: t.S3.SecretKeyEnv}
	}
	return out
}

// String is the target in a few words.
func (t Target) String() string {
	switch {
	case t.Directory != "":
		return "directory " + t.Directory
	case t.Git != "":
		return "branch " + t.Branch + " of " + t.Git
	}
	return t.Put
}
