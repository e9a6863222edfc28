package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/image"
	"github.com/flyball-dev/flyball/internal/port/repository"
	"github.com/flyball-dev/flyball/internal/port/workload"
)

// conduct is how the revision made from a commit behaves, which nobody knows
// beforehand.
type conduct struct {
	kind       string  // good, errors, slow, hang, never ready, crash loop or broken build
	errors     float64 // share of requests that fail
	slow       float64 // share that is slow
	hang       float64 // share that never ends
	neverReady bool
	crashLoop  bool
	stale      bool   // does not come up a second time: its schema is gone
	breaks     string // build or test step that fails
	readyAfter int    // seconds
	buildTime  int    // seconds
}

// workshop is the repositories, the steps that run, and the images made.
type workshop struct {
	w       *world
	repos   map[string]*repo // by path
	steps   map[string]*step
	images  map[string]image.Image // by digest
	conduct map[string]conduct     // by commit
}

// step is a process of a pipeline.
type step struct {
	spec     workload.StepSpec
	started  int
	at       time.Time
	ends     int
	exit     int
	ended    time.Time
	canceled bool
	runs     int // how often it was really started
}

func newWorkshop(w *world) *workshop {
	s := &workshop{w: w, repos: map[string]*repo{}, steps: map[string]*step{}, images: map[string]image.Image{}, conduct: map[string]conduct{}}
	for _, service := range w.company.services {
		s.repos[service.name] = &repo{name: service.name, w: w}
	}
	return s
}

func (s *workshop) open(path string) (repository.Repository, error) {
	r := s.repos[path]
	if r == nil {
		return nil, problem.New(problem.NotFound, "repository", "there is no repository %q", path)
	}
	return r, nil
}

func (s *workshop) conductOf(digest string) conduct {
	return s.conduct[s.images[digest].Commit]
}

// steps is the workshop's processes as one server sees them.
type steps struct{ s *server }

var _ workload.Steps = steps{}

func (t steps) Start(_ context.Context, id string, spec workload.StepSpec) error {
	return t.s.effect("step.start", false, func() error {
		w := t.s.w
		if old := w.shop.steps[id]; old != nil && !w.bug.is(bugSteps) {
			if old.spec.Shell != spec.Shell || old.spec.Dir != spec.Dir {
				return problem.New(problem.Conflict, "step.start", "step %s runs with another spec", id)
			}
			return nil
		}
		c := w.shop.conduct[spec.Env["FLYBALL_COMMIT"]]
		p := w.shop.steps[id]
		if p == nil {
			p = &step{}
			w.shop.steps[id] = p
		}
		p.spec, p.started, p.at, p.runs = spec, w.second, w.clock.Now(), p.runs+1
		p.ends = w.second + c.buildTime
		if c.breaks != "" && strings.Contains(spec.Shell, c.breaks) {
			p.exit = 1
		}
		return nil
	})
}

func (t steps) Observe(_ context.Context, id string) (workload.StepStatus, error) {
	var out workload.StepStatus
	err := t.s.effect("step.observe", false, func() error {
		w := t.s.w
		p := w.shop.steps[id]
		if p == nil {
			return problem.New(problem.NotFound, "step.observe", "there is no step %s", id)
		}
		out = workload.StepStatus{ID: id, State: workload.StepRunning, Started: p.at}
		if w.second < p.ends && !p.canceled {
			return nil
		}
		if p.ended.IsZero() {
			p.ended = w.clock.Now()
		}
		out.State, out.End, out.ExitCode, out.Finished = workload.StepExited, workload.EndExited, p.exit, p.ended
		if p.canceled {
			out.End = workload.EndCancelled
		}
		return nil
	})
	return out, err
}

func (t steps) Cancel(_ context.Context, id, _ string) error {
	return t.s.effect("step.cancel", false, func() error {
		if p := t.s.w.shop.steps[id]; p != nil && t.s.w.second < p.ends {
			p.canceled = true
		}
		return nil
	})
}

func (steps) Output(context.Context, string, int64, int) (workload.Chunk, error) {
	return workload.Chunk{End: true}, nil
}

func (steps) Remove(context.Context, string) error { return nil }

// images is the workshop's image store as one server sees it.
type images struct{ s *server }

var _ image.Store = images{}

func (i images) Put(_ context.Context, spec image.Spec) (image.Image, error) {
	var out image.Image
	if err := spec.Validate(); err != nil {
		return out, err
	}
	err := i.s.effect("image.put", false, func() error {
		sum := sha256.Sum256([]byte(spec.Name + spec.Commit))
		out = image.Image{Digest: "sha256:" + hex.EncodeToString(sum[:]), Name: spec.Name, Commit: spec.Commit, Created: spec.Created, Size: 1000}
		i.s.w.shop.images[out.Digest] = out
		return nil
	})
	return out, err
}

func (i images) Get(_ context.Context, digest string) (image.Image, error) {
	out, ok := i.s.w.shop.images[digest]
	if !ok {
		return out, problem.New(problem.NotFound, "image.get", "there is no image %s", digest)
	}
	return out, nil
}

func (i images) List(context.Context) ([]image.Image, error) {
	var out []image.Image
	for _, v := range i.s.w.shop.images {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b image.Image) int { return strings.Compare(a.Digest, b.Digest) })
	return out, nil
}

func (i images) Unpack(ctx context.Context, digest, _ string) error {
	return i.s.effect("image.unpack", false, func() error {
		_, err := i.Get(ctx, digest)
		return err
	})
}

func (images) Remove(context.Context, string) error { return nil }

func (images) Collect(context.Context) (int64, error) { return 0, nil }

// repo is the repository of one service: a line of commits.
type repo struct {
	name    string
	w       *world
	commits []repository.Commit // oldest first
	lost    map[string]bool     // no longer in the branch's history
}

var _ repository.Repository = (*repo)(nil)

// commit adds one, with what will become of it.
func (r *repo) commit(n int, author string, c conduct) repository.Commit {
	sum := sha256.Sum256([]byte(fmt.Sprint(r.w.options.Seed, r.name, n)))
	k := repository.Commit{
		SHA: hex.EncodeToString(sum[:20]), Author: author, AuthorEmail: author + "@example.test",
		AuthorTime: r.w.clock.Now().Add(-time.Hour), Time: r.w.clock.Now().Add(-time.Minute), Subject: c.kind + " change",
	}
	if len(r.commits) > 0 {
		k.Parents = []string{r.commits[len(r.commits)-1].SHA}
	}
	r.commits = append(r.commits, k)
	r.w.shop.conduct[k.SHA] = c
	return k
}

func (r *repo) find(ref string) (int, error) {
	if len(r.commits) == 0 {
		return 0, problem.New(problem.NotFound, "repository", "%s: %w", r.name, repository.ErrEmpty)
	}
	if ref == "refs/heads/main" {
		return len(r.commits) - 1, nil
	}
	if i := slices.IndexFunc(r.commits, func(c repository.Commit) bool { return c.SHA == ref }); i >= 0 {
		return i, nil
	}
	return 0, problem.New(problem.NotFound, "repository", "%s has no %s: %w", r.name, ref, repository.ErrUnknown)
}

func (r *repo) Resolve(_ context.Context, ref string) (repository.Commit, error) {
	i, err := r.find(ref)
	if err != nil {
		return repository.Commit{}, err
	}
	return r.commits[i], nil
}

func (r *repo) Log(_ context.Context, q repository.Range) (repository.History, error) {
	to, err := r.find(q.To)
	if err != nil {
		return repository.History{}, err
	}
	from := -1
	if q.From != "" {
		if from, err = r.find(q.From); err != nil {
			return repository.History{}, err
		}
	}
	var h repository.History
	for i := to; i > from; i-- {
		if q.Limit > 0 && len(h.Commits) == q.Limit {
			h.Truncated = true
			break
		}
		h.Commits = append(h.Commits, r.commits[i])
	}
	return h, nil
}

func (r *repo) Checkout(_ context.Context, ref, _ string) error {
	_, err := r.find(ref)
	return err
}

func (r *repo) Files(context.Context, repository.Query) (map[string][]byte, error) {
	return nil, nil
}

func (r *repo) Diff(context.Context, string, string) (repository.Stat, error) {
	return repository.Stat{Files: 1, Added: 10, Deleted: 2}, nil
}

func (r *repo) Contains(_ context.Context, commit, ancestor string) (bool, error) {
	c, err := r.find(commit)
	if err != nil {
		return false, err
	}
	a, err := r.find(ancestor)
	return err == nil && a <= c && !r.lost[ancestor], err
}
