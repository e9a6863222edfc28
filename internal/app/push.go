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

// poll looks at every service's branch, as a hook would have us do.
func (a *App) poll(ctx context.Context) error {
	services, err := catalog.Services(ctx, a.env.Reader)
	if err != nil {
		return err
	}
	var failure error
	for _, s := range services {
		_, _, err := a.parts.pusher.Push(ctx, "system:poll", s.Name, "")
		// A repository without commits has nothing to deliver yet.
		if err != nil && problem.KindOf(err) != problem.NotFound {
			failure = err
		}
	}
	return failure
}
