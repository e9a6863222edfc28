package change

import (
	"context"
	"fmt"
	"strconv"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// PushInput names what to look at.
type PushInput struct {
	Service string `json:"service" arg:"1" doc:"service whose watched branch is looked at"`
	Ref     string `json:"ref" doc:"branch, tag or commit to deliver instead of the branch's head"`
}

// PushOutput is what was found.
type PushOutput struct {
	Change   string `json:"change" doc:"name of the change"`
	Commit   string `json:"commit" doc:"commit at the branch's head"`
	Commits  int    `json:"commits" doc:"number of commits it brings"`
	Recorded bool   `json:"recorded" doc:"false when this commit was pushed before"`
}

// MarkInput says what a change is for.
type MarkInput struct {
	Change string `json:"change" arg:"1" doc:"name of the change"`
	As     string `json:"as" required:"true" enum:"fix,security" doc:"what it is: it then passes a freeze"`
	Reason string `json:"reason" required:"true" doc:"why, for the record"`
}

// ListInput bounds a list of changes.
type ListInput struct {
	Service string `json:"service" doc:"of this service only"`
	After   string `json:"after" doc:"cursor from the page before"`
	Limit   int    `json:"limit" doc:"at most this many, 1 to 500 (default 50)"`
}

// Header names the columns of a list of changes.
func (ListOutput) Header() []string {
	return []string{"CHANGE", "PUSHED", "AUTHOR", "COMMITS", "FILES", "LINES", "MARK", "SUBJECT"}
}

// Rows are the list's lines; -o json has everything.
func (l ListOutput) Rows() [][]string {
	var out [][]string
	for _, c := range l.Items {
		mark := ""
		if c.Mark != nil {
			mark = c.Mark.As
		}
		out = append(out, []string{c.Change, c.PushedAt.Local().Format("2006-01-02 15:04"), c.Author, strconv.Itoa(len(c.Commits)), strconv.Itoa(c.Files),
			fmt.Sprintf("+%d −%d", c.Insertions, c.Deletions), mark, c.Subject})
	}
	return out
}

// ListOutput is a page of changes, newest first.
type ListOutput struct {
	Items []Change `json:"items"`
	Next  string   `json:"next,omitempty"`
}

// ShowInput names a change.
type ShowInput struct {
	Change string `json:"change" arg:"1" doc:"name of the change"`
}

// Operations are what users can do with changes.
func (p *Pusher) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[PushInput, PushOutput]{
			Noun: "change", Verb: "push", Summary: "Look at a service's branch and deliver what is new on it",
			Help: "Records the commits that are new on the watched branch as a change and starts its pipeline.\nA commit hook calls this; so can you:\n\n  flyball push\n  flyball change push checkout",
			Role: operation.Developer, Write: true,
			Scope: func(ctx context.Context, in PushInput) (operation.Scope, error) {
				s, err := catalog.GetService(ctx, p.Reader, in.Service)
				return operation.Scope{Team: s.Team}, err
			},
			Handle: func(ctx context.Context, caller operation.Caller, in PushInput) (PushOutput, error) {
				c, recorded, err := p.Push(ctx, caller.Name, in.Service, in.Ref)
				return PushOutput{Change: c.Change, Commit: c.Commit, Commits: len(c.Commits), Recorded: recorded}, err
			},
		}),
		operation.Define(operation.Spec[MarkInput, Change]{
			Noun: "change", Verb: "mark", Summary: "Mark a change as a fix or a security change, which passes a freeze",
			Help: "A frozen service still takes fixes. Saying that a change is one needs the role operator:\nthe delivering team does not hold it by default.\n\n  flyball change mark checkout-3f2a91c --as fix --reason 'INC-14: retry storm'",
			Role: operation.Operator, Write: true,
			Scope: func(ctx context.Context, in MarkInput) (operation.Scope, error) { return p.scope(ctx, in.Change) },
			Handle: func(ctx context.Context, caller operation.Caller, in MarkInput) (Change, error) {
				if err := p.Mark(ctx, caller.Name, Marked{Change: in.Change, As: in.As, Reason: in.Reason}); err != nil {
					return Change{}, err
				}
				if err := p.Sync(ctx); err != nil {
					return Change{}, err
				}
				c, _, err := Get(ctx, p.Reader, in.Change)
				return c, err
			},
		}),
		operation.Define(operation.Spec[ListInput, ListOutput]{
			Noun: "change", Verb: "list", Summary: "List changes, newest first", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ListInput) (ListOutput, error) {
				f := projection.Filter{Index: "all", Value: "yes", After: in.After, Limit: min(max(in.Limit, 0), 500), Newest: true}
				if f.Limit == 0 {
					f.Limit = 50
				}
				if in.Service != "" {
					f.Index, f.Value = "service", in.Service
				}
				items, next, err := projection.List[Change](ctx, operation.Reader(ctx, p.Reader), ProjectionName, f)
				return ListOutput{Items: items, Next: next}, err
			},
		}),
		operation.Define(operation.Spec[ShowInput, Change]{
			Noun: "change", Verb: "show", Summary: "Show one change: its commits, size and marks", Role: operation.Viewer,
			Handle: func(ctx context.Context, _ operation.Caller, in ShowInput) (Change, error) {
				c, ok, err := Get(ctx, operation.Reader(ctx, p.Reader), in.Change)
				if err == nil && !ok {
					err = problem.New(problem.NotFound, "change.show", "there is no change named %q", in.Change).WithNext("flyball change list shows the changes")
				}
				return c, err
			},
		}),
	}
}

func (p *Pusher) scope(ctx context.Context, name string) (operation.Scope, error) {
	c, ok, err := Get(ctx, p.Reader, name)
	if err == nil && !ok {
		err = problem.New(problem.NotFound, "change", "there is no change named %q", name).WithNext("flyball change list shows the changes")
	}
	return operation.Scope{Team: c.Team}, err
}
