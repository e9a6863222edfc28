package git_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/adapter/git"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
	"github.com/flyball-dev/flyball/internal/port/repository/repositorytest"
)

func open(t *testing.T, dir string) *git.Repository {
	t.Helper()
	r, err := git.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformance(t *testing.T) {
	repositorytest.Run(t, func(t *testing.T, dir string) repository.Repository { return open(t, dir) })
}

func TestOpen(t *testing.T) {
	m := repositorytest.New(t)
	m.Edit("sub/a", "1", "first")
	r := open(t, filepath.Join(m.Dir, "sub"))
	if r.Root() != m.Dir || r.Name() != filepath.Base(m.Dir) {
		t.Errorf("root %s, name %s", r.Root(), r.Name())
	}
	bare := filepath.Join(t.TempDir(), "shop.git")
	m.Git("clone", "-q", "--bare", m.Dir, bare)
	if r = open(t, bare); r.Root() != "" || r.Name() != "shop" {
		t.Errorf("bare: root %q, name %s", r.Root(), r.Name())
	}
	if _, err := r.Files(context.Background(), repository.Query{Ref: repository.WorkTree}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("work tree of a bare repository: %v", err)
	}
	linked := filepath.Join(t.TempDir(), "linked")
	m.Git("worktree", "add", "-q", linked)
	if _, err := open(t, linked).Resolve(context.Background(), "linked"); err != nil {
		t.Errorf("linked work tree: %v", err)
	}
	for _, dir := range []string{t.TempDir(), "/nonexistent"} {
		if _, err := git.Open(context.Background(), dir); problem.KindOf(err) != problem.NotFound {
			t.Errorf("Open(%s): %v", dir, err)
		}
	}
}

// Repositories of other owners are accepted: nothing in them is run.
func TestOpenOfAnotherOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changing owners needs root")
	}
	m := repositorytest.New(t)
	m.Edit("a", "1", "first")
	for _, p := range []string{m.Dir, filepath.Join(m.Dir, ".git")} {
		if err := os.Chown(p, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t, m.Dir).Resolve(context.Background(), "main"); err != nil {
		t.Error(err)
	}
}

// Variables that a hook's git sets must not lead elsewhere.
func TestIgnoresGitEnvironment(t *testing.T) {
	other := repositorytest.New(t)
	m := repositorytest.New(t)
	m.Edit("a", "1", "here")
	t.Setenv("GIT_DIR", filepath.Join(other.Dir, ".git"))
	t.Setenv("GIT_INDEX_FILE", "/nonexistent/index")
	c, err := open(t, m.Dir).Resolve(context.Background(), "HEAD")
	if err != nil || c.Subject != "here" {
		t.Errorf("HEAD = %+v, %v", c, err)
	}
}

func TestDamagedObject(t *testing.T) {
	m := repositorytest.New(t)
	m.Edit("a", "1", "first")
	blob := m.Git("rev-parse", "HEAD:a")
	if err := os.Remove(filepath.Join(m.Dir, ".git/objects", blob[:2], blob[2:])); err != nil {
		t.Fatal(err)
	}
	err := open(t, m.Dir).Checkout(context.Background(), "HEAD", filepath.Join(t.TempDir(), "x"))
	if problem.KindOf(err) != problem.Unavailable {
		t.Errorf("Checkout: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	m := repositorytest.New(t)
	m.Edit("a", "1", "first")
	ctx, cancel := context.WithCancel(context.Background())
	r := open(t, m.Dir)
	cancel()
	if _, err := r.Log(ctx, repository.Range{To: "main"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Log: %v", err)
	}
}

func TestInstallHook(t *testing.T) {
	ctx := context.Background()
	m := repositorytest.New(t)
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	program := filepath.Join(dir, "it's flyball")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$1\" >"+told+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A hook that is there goes on doing what it did.
	hook := filepath.Join(m.Dir, ".git/hooks/post-commit")
	m.Write(".git/hooks/post-commit", "#!/bin/sh -e\necho mine >"+dir+"/mine\nexit 0\n")
	r := open(t, m.Dir)
	file, changed, err := git.InstallHook(ctx, r, program)
	if err != nil || file != hook || !changed {
		t.Fatalf("InstallHook = %s, %v, %v", file, changed, err)
	}
	if _, changed, err = git.InstallHook(ctx, r, program); err != nil || changed {
		t.Errorf("again: %v, %v", changed, err)
	}
	if err := exec.Command("mkfifo", told).Run(); err != nil {
		t.Fatal(err)
	}
	m.Edit("a", "1", "first")
	got, err := os.ReadFile(told) // a fifo: waits for the program in the background
	if err != nil || string(got) != "push\n" {
		t.Errorf("the program got %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "mine")); err != nil {
		t.Errorf("the old hook did not run: %v", err)
	}
	if _, changed, err = git.InstallHook(ctx, r, "/usr/bin/flyball"); err != nil || !changed {
		t.Errorf("with another program: %v, %v", changed, err)
	}
	text, _ := os.ReadFile(hook)
	if n := strings.Count(string(text), " push "); n != 1 || !strings.Contains(string(text), "'/usr/bin/flyball' push") {
		t.Errorf("hook:\n%s", text)
	}
}

func TestInstallHookElsewhere(t *testing.T) {
	ctx := context.Background()
	m := repositorytest.New(t)
	m.Edit("a", "1", "first")
	bare := filepath.Join(t.TempDir(), "shop.git")
	m.Git("clone", "-q", "--bare", m.Dir, bare)
	if file, _, err := git.InstallHook(ctx, open(t, bare), "flyball"); err != nil || filepath.Base(file) != "post-receive" {
		t.Errorf("bare: %s, %v", file, err)
	}
	m.Git("config", "core.hooksPath", ".husky")
	file, _, err := git.InstallHook(ctx, open(t, m.Dir), "flyball")
	if err != nil || file != filepath.Join(m.Dir, ".husky/post-commit") {
		t.Errorf("core.hooksPath within: %s, %v", file, err)
	}
	m.Git("config", "core.hooksPath", t.TempDir())
	if _, _, err := git.InstallHook(ctx, open(t, m.Dir), "flyball"); problem.KindOf(err) != problem.Conflict {
		t.Errorf("core.hooksPath shared: %v", err)
	}
	m.Git("config", "--unset", "core.hooksPath")
	m.Write(".git/hooks/post-commit", "#!/usr/bin/env python3\nprint()\n")
	_, _, err = git.InstallHook(ctx, open(t, m.Dir), "flyball")
	if problem.KindOf(err) != problem.Conflict || !strings.Contains(problem.NextOf(err), "'flyball' push") {
		t.Errorf("python hook: %v", err)
	}
}
