package change_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/git"
	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// shop is a real repository with a service declared to live in it.
type shop struct {
	t      *testing.T
	dir    string
	log    event.Log
	pusher *change.Pusher
}

func newShop(t *testing.T) *shop {
	st := memory.New(memory.Options{})
	fold := projection.NewRunner(st.Log(), st.States(), append(change.Projections(), catalog.Projection())...)
	s := &shop{t: t, dir: t.TempDir(), log: st.Log()}
	s.pusher = &change.Pusher{Log: st.Log(), Reader: st.States(), Sync: fold.CatchUp,
		Open: func(ctx context.Context, path string) (repository.Repository, error) { return git.Open(ctx, path) }}
	spec, err := json.Marshal(catalog.ServiceSpec{Team: "payments", Repository: s.dir, Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Log().Append(t.Context(), event.Batch{Stream: "resources", Expect: 0, Drafts: []event.Draft{{Type: resource.EventApplied, Subject: "service/shop", Actor: "user:ana",
		Data: resource.Applied{Kind: catalog.KindService, Metadata: resource.Metadata{Name: "shop"}, Spec: spec}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.git("init", "-q", "-b", "main")
	return s
}

func (s *shop) git(args ...string) {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=ana", "GIT_AUTHOR_EMAIL=ana@example.com", "GIT_COMMITTER_NAME=ana", "GIT_COMMITTER_EMAIL=ana@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("git %v: %s", args, out)
	}
}

func (s *shop) commit(subject, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "main.go"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.git("add", "-A")
	s.git("commit", "-q", "-m", subject)
}

func (s *shop) push() (change.Pushed, bool) {
	s.t.Helper()
	c, recorded, err := s.pusher.Push(s.t.Context(), "user:ana", "shop", "")
	if err != nil {
		s.t.Fatal(err)
	}
	return c, recorded
}

func TestPush(t *testing.T) {
	s := newShop(t)
	if _, _, err := s.pusher.Push(t.Context(), "user:ana", "shop", ""); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a repository without commits: %v", err)
	}
	if _, _, err := s.pusher.Push(t.Context(), "user:ana", "other", ""); problem.KindOf(err) != problem.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
	s.commit("first", "1\n")
	first, recorded := s.push()
	if !recorded || len(first.Commits) != 1 || first.Commits[0].Author != "ana" || first.Previous != "" || first.Team != "payments" {
		t.Errorf("first push %+v", first)
	}
	if _, again := s.push(); again {
		t.Error("the same head was recorded twice")
	}
	s.commit("second", "1\n2\n")
	s.commit("third", "1\n2\n3\n")
	second, _ := s.push()
	if len(second.Commits) != 2 || second.Commits[0].Subject != "third" || second.Previous != first.Commit || second.Insertions != 2 || second.Files != 1 {
		t.Errorf("second push %+v", second)
	}
	// A force-push drops what was recorded last: no made-up history.
	s.git("reset", "-q", "--hard", first.Commit)
	s.commit("rewritten", "x\n")
	forced, recorded := s.push()
	if !recorded || !forced.Forced || forced.Previous != "" || len(forced.Commits) != 1 || forced.Commits[0].Subject != "rewritten" {
		t.Errorf("forced push %+v", forced)
	}
	// Even when the old commit is gone from the repository altogether.
	s.commit("fourth", "y\n")
	s.push()
	s.git("reset", "-q", "--hard", first.Commit)
	s.commit("fifth", "z\n")
	s.git("reflog", "expire", "--expire=now", "--all")
	s.git("gc", "-q", "--prune=now")
	if c, recorded := s.push(); !recorded || !c.Forced {
		t.Errorf("after pruning %+v", c)
	}
}

func TestFailedApplyRecordsNothing(t *testing.T) {
	s := newShop(t)
	s.commit("first", "1\n")
	s.pusher.Apply = func(context.Context, string, string, repository.Repository, string) error {
		return problem.New(problem.Invalid, "resource.apply", "two mistakes")
	}
	if _, recorded, err := s.pusher.Push(t.Context(), "user:ana", "shop", ""); recorded || err == nil || !strings.Contains(err.Error(), "two mistakes") {
		t.Errorf("recorded %v, %v", recorded, err)
	}
	s.pusher.Apply = nil
	if _, recorded := s.push(); !recorded {
		t.Error("the change is lost once its resources are right")
	}
}

func TestMark(t *testing.T) {
	s := newShop(t)
	s.commit("first", "1\n")
	c, _ := s.push()
	if err := s.pusher.Mark(t.Context(), "user:dana", change.Marked{Change: "shop-0000000", As: "fix"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("an unknown change: %v", err)
	}
	// The projection has to show the change before it can be marked.
	if err := s.pusher.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.pusher.Mark(t.Context(), "user:dana", change.Marked{Change: c.Change, As: "fix", Reason: "INC-14"}); err != nil {
		t.Fatal(err)
	}
	if err := s.pusher.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, ok, err := change.Get(t.Context(), s.pusher.Reader, c.Change)
	if err != nil || !ok || got.Mark == nil || got.Mark.By != "user:dana" || got.Mark.As != "fix" || got.Subject != "first" {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
}
