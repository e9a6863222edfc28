package git

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/site"
	"github.com/flyball-dev/flyball/internal/port/site/sitetest"
)

func TestSite(t *testing.T) {
	sitetest.Run(t, func(t *testing.T) sitetest.Fixture {
		remote := filepath.Join(t.TempDir(), "remote.git")
		run := func(dir string, args ...string) string {
			t.Helper()
			cmd := exec.Command("git", append([]string{"-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"}, args...)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
			return string(out)
		}
		run(t.TempDir(), "init", "-q", "--bare", remote)
		return sitetest.Fixture{
			Host: Site{Clock: clock.Wall()}, Target: site.Target{Repository: remote, Branch: "gh-pages"}, Nowhere: site.Target{Repository: filepath.Join(t.TempDir(), "none"), Branch: "gh-pages"},
			Read: func() site.Files {
				out := site.Files{}
				for name := range strings.SplitSeq(strings.TrimRight(run(remote, "ls-tree", "-r", "-z", "--name-only", "gh-pages"), "\x00"), "\x00") {
					if name != siteMarker {
						out[name] = []byte(run(remote, "show", "gh-pages:"+name))
					}
				}
				return out
			},
			Foreign: func() {
				work := t.TempDir()
				run(work, "init", "-q")
				if err := os.WriteFile(filepath.Join(work, "thesis.tex"), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
				run(work, "add", "-A")
				run(work, "commit", "-q", "-m", "mine")
				run(work, "push", "-q", remote, "HEAD:refs/heads/gh-pages")
			},
		}
	})
}
