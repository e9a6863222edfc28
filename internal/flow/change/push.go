package change

import (
	"context"
	"errors"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// Pusher records what is new on watched branches.
type Pusher struct {
	Log    event.Log
	Reader projection.Reader
	// Sync waits until Reader shows the end of the log.
	Sync func(ctx context.Context) error
	// Open opens the repository a service file names.
	Open func(ctx context.Context, path string) (repository.Repository, error)
	// Apply applies the resources that lie in the repository at a commit,
	// before what they describe is built; may be nil.
	Apply func(ctx context.Context, actor, service string, repo repository.Repository, commit string) error
}

// Push looks at the watched branch of a service and records a change when its
// head is not the commit recorded last. recorded is false when nothing is new.
func (p *Pusher) Push(ctx context.Context, actor, service, ref string) (c Pushed, recorded bool, err error) {
	if err := p.Sync(ctx); err != nil {
		return c, false, err
	}
	s, err := catalog.GetService(ctx, p.Reader, service)
	if err != nil {
		return c, false, err
	}
	repo, err := p.Open(ctx, s.Repository)
	if err != nil {
		return c, false, err
	}
	if ref == "" {
		ref = "refs/heads/" + s.Branch
	}
	head, err := repo.Resolve(ctx, ref)
	if err != nil {
		return c, false, err
	}
	last, _, err := projection.Get[Branch](ctx, p.Reader, branchName, service)
	if err != nil {
		return c, false, err
	}
	if last.Commit == head.SHA {
		return Pushed{Change: last.Change, Service: service, Commit: head.SHA}, false, nil
	}
	if p.Apply != nil {
		if err := p.Apply(ctx, actor, service, repo, head.SHA); err != nil {
			return c, false, err
		}
	}
	c = Pushed{
		Change: Name(service, head.SHA), Service: service, Team: s.Team,
		Repository: s.Repository, Branch: s.Branch, Commit: head.SHA, Previous: last.Commit,
	}
	if err := describe(ctx, repo, &c); err != nil {
		return c, false, err
	}
	_, err = p.Log.Append(ctx, event.Batch{
		Stream: "change/" + c.Change, Expect: event.AnyVersion,
		Drafts: []event.Draft{{ID: "pushed:" + service + ":" + last.Commit + ":" + head.SHA, Type: EventPushed, Actor: actor, Data: c}},
	})
	return c, err == nil, err
}

// Name is the name of the change a commit is for a service.
func Name(service, sha string) string { return service + "-" + Short(sha) }

// Short is the beginning of a commit's name, enough for people.
func Short(sha string) string { return sha[:min(7, len(sha))] }

// describe fills in the commits and sizes of a push. A first push brings only
// its newest commit: what was there before is no change of Flyball's.
func describe(ctx context.Context, repo repository.Repository, c *Pushed) error {
	if c.Previous != "" {
		kept, err := repo.Contains(ctx, c.Commit, c.Previous)
		if errors.Is(err, repository.ErrUnknown) {
			kept, err = false, nil
		}
		if err != nil {
			return err
		}
		if c.Forced = !kept; c.Forced {
			c.Previous = ""
		}
	}
	r := repository.Range{From: c.Previous, To: c.Commit, Limit: MaxCommits}
	if c.Previous == "" {
		r.Limit = 1
	}
	history, err := repo.Log(ctx, r)
	if err != nil {
		return err
	}
	for _, k := range history.Commits {
		c.Commits = append(c.Commits, Commit{SHA: k.SHA, Author: k.Author, Email: k.AuthorEmail, Authored: k.AuthorTime, Committed: k.Time, Subject: k.Subject})
	}
	c.Truncated = history.Truncated && c.Previous != ""
	if c.Previous == "" {
		return nil
	}
	stat, err := repo.Diff(ctx, c.Previous, c.Commit)
	c.Files, c.Insertions, c.Deletions = stat.Files, stat.Added, stat.Deleted
	return err
}

// Mark records what a change is for.
func (p *Pusher) Mark(ctx context.Context, actor string, m Marked) error {
	if _, ok, err := Get(ctx, p.Reader, m.Change); err != nil || !ok {
		if err == nil {
			err = problem.New(problem.NotFound, "change.mark", "there is no change named %q", m.Change).WithNext("flyball change list shows the changes")
		}
		return err
	}
	_, err := p.Log.Append(ctx, event.Batch{
		Stream: "change/" + m.Change, Expect: event.AnyVersion,
		Drafts: []event.Draft{{Type: EventMarked, Actor: actor, Data: m}},
	})
	return err
}
