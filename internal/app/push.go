package app

import (
	"context"
	"path"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// applyAt applies the resources that lie in a repository at a commit. A
// repository without any is fine: its service may be declared elsewhere.
func (a *App) applyAt(ctx context.Context, actor, service string, repo repository.Repository, commit string) error {
	files, err := Resources(ctx, repo, commit, a.cfg.Resources)
	if err != nil || len(files) == 0 {
		return err
	}
	_, err = a.parts.applier.Apply(ctx, actor, a.cfg.Resources, commit, files)
	return err
}

// Resources reads the resource files of a directory at a commit, or in the
// work tree.
func Resources(ctx context.Context, repo repository.Repository, ref, dir string) (map[string][]byte, error) {
	return repo.Files(ctx, repository.Query{Ref: ref, Dir: dir, MaxFiles: 2000, MaxBytes: 16 << 20, Match: func(p string) bool {
		ext := path.Ext(p)
		return (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(path.Base(p), ".")
	}})
}

// watched is a branch as poll saw it.
type watched struct{ repository, branch, commit string }

// poll looks at every service's branch, as a hook would have us do. Branches
// that many services share are looked at once.
func (a *App) poll(ctx context.Context) error {
	services, err := catalog.Services(ctx, a.env.Reader)
	if err != nil {
		return err
	}
	heads := map[watched]string{}
	var failure error
	for _, s := range services {
		at := watched{repository: s.Repository, branch: s.Branch}
		if _, ok := heads[at]; !ok {
			// A repository without commits has nothing to deliver yet.
			if heads[at], err = a.head(ctx, at); err != nil && problem.KindOf(err) != problem.NotFound {
				failure = err
			}
		}
		at.commit = heads[watched{repository: s.Repository, branch: s.Branch}]
		if at.commit == "" || a.polled[s.Name] == at {
			continue
		}
		if _, _, err := a.parts.pusher.Push(ctx, "system:poll", s.Name, ""); problem.KindOf(err) == problem.NotFound {
			continue // it is not declared any more
		} else if err != nil {
			failure = err
			continue
		}
		a.polled[s.Name] = at
	}
	return failure
}

// head is the commit a branch is at.
func (a *App) head(ctx context.Context, at watched) (string, error) {
	repo, err := a.ports.Open(ctx, at.repository)
	if err != nil {
		return "", err
	}
	commit, err := repo.Resolve(ctx, "refs/heads/"+at.branch)
	return commit.SHA, err
}
