// Package repositorytest is what every implementation of the repository port
// must pass. It makes real repositories with the git program and asks the
// implementation about them.
package repositorytest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/port/repository"
)

// Open opens the repository that a test made in dir.
type Open func(t *testing.T, dir string) repository.Repository

// Run runs the suite.
func Run(t *testing.T, open Open) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatalf("the suite needs git: %v", err)
	}
	tests := []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"resolve", testResolve},
		{"resolve refuses", testResolveRefuses},
		{"empty", testEmpty},
		{"texts", testTexts},
		{"log", testLog},
		{"merge", testMerge},
		{"force-push", testForcePush},
		{"shallow", testShallow},
		{"patch id", testPatchID},
		{"contains", testContains},
		{"diff", testDiff},
		{"checkout", testCheckout},
		{"checkout hostile", testCheckoutHostile},
		{"files", testFiles},
		{"work tree", testWorkTree},
		{"runs nothing", testRunsNothing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open)
		})
	}
}

// Maker makes a real repository for a test.
type Maker struct {
	T   *testing.T
	Dir string
	now time.Time
}

// Start is the time of a Maker's first commit; each later one is a minute on.
var Start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// New makes an empty repository with the branch main.
func New(t *testing.T) *Maker {
	t.Helper()
	m := &Maker{T: t, Dir: t.TempDir(), now: Start}
	m.Git("init", "-q", "-b", "main")
	return m
}

// Git runs git in the repository and returns what it prints.
func (m *Maker) Git(args ...string) string {
	m.T.Helper()
	return m.input("", args...)
}

func (m *Maker) input(stdin string, args ...string) string {
	m.T.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = m.Dir
	cmd.Stdin = strings.NewReader(stdin)
	date := m.now.Format(time.RFC3339)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + m.Dir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.com", "GIT_AUTHOR_DATE=" + date,
		"GIT_COMMITTER_NAME=Li", "GIT_COMMITTER_EMAIL=li@example.com", "GIT_COMMITTER_DATE=" + date,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.T.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Write writes a file of the work tree.
func (m *Maker) Write(name, content string) {
	m.T.Helper()
	file := filepath.Join(m.Dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		m.T.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		m.T.Fatal(err)
	}
}

// Commit commits all of the work tree and returns the commit's id.
func (m *Maker) Commit(message string) string {
	m.T.Helper()
	m.Git("add", "-A")
	m.input(message, "commit", "-q", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-F", "-")
	m.now = m.now.Add(time.Minute)
	return m.Git("rev-parse", "HEAD")
}

// Edit writes one file and commits it.
func (m *Maker) Edit(name, content, message string) string {
	m.T.Helper()
	m.Write(name, content)
	return m.Commit(message)
}

func ctx() context.Context { return context.Background() }
