package git

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// Site publishes static pages as a branch, one commit each time something has
// changed. It implements site.Host.
//
// The commit is made in a repository of its own and pushed, so that neither a
// work tree nor hooks of the target are involved. It is never forced: whoever
// else writes to the branch is not overruled, and a branch that was not made by
// this adapter is left alone.
type Site struct {
	Clock  clock.Clock
	Secret func(name string) (string, bool) // by name of an environment variable; nil: this process's own
}

// siteMarker is the file by which a branch is known to be ours.
const siteMarker = ".flyball-site"

const siteTimeout = 2 * time.Minute

// Publish makes t.Branch of t.Repository hold the files.
func (s Site) Publish(ctx context.Context, t site.Target, f site.Files) (site.Receipt, error) {
	r := site.Receipt{Files: len(f)}
	if err := site.Check(f); err != nil {
		return r, err
	}
	if t.Branch == "" || strings.HasPrefix(t.Branch, "-") || strings.HasPrefix(t.Repository, "-") {
		return r, problem.New(problem.Invalid, "site.publish", "a branch of a repository is needed; neither begins with a hyphen")
	}
	ctx, cancel := context.WithTimeout(ctx, siteTimeout)
	defer cancel()
	tmp, err := os.MkdirTemp("", "flyball-site-*")
	if err != nil {
		return r, problem.New(problem.Unavailable, "site.publish", "%w", err)
	}
	defer os.RemoveAll(tmp)
	p := pushing{dir: tmp, branch: "refs/heads/" + t.Branch, remote: t.Repository}
	if p.env, err = s.environment(t); err != nil {
		return r, err
	}
	return p.publish(ctx, f, r, s.Clock.Now())
}

// environment lets git reach the target as the user would, and nothing else of
// the user's settings in.
func (s Site) environment(t site.Target) ([]string, error) {
	env := []string{"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=file:https:http:ssh",
		"GIT_AUTHOR_NAME=Flyball", "GIT_AUTHOR_EMAIL=flyball@localhost", "GIT_COMMITTER_NAME=Flyball", "GIT_COMMITTER_EMAIL=flyball@localhost",
		"GIT_SSH_COMMAND=ssh -o BatchMode=yes"}
	for _, name := range []string{"PATH", "TMPDIR", "HOME", "SSH_AUTH_SOCK"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if t.TokenEnv == "" {
		return env, nil
	}
	secret := s.Secret
	if secret == nil {
		secret = os.LookupEnv
	}
	token, ok := secret(t.TokenEnv)
	if !ok || token == "" {
		return nil, problem.New(problem.Unavailable, "site.publish", "the environment variable %s, which holds the token to push with, is not set", t.TokenEnv).
			WithNext("set it where the server runs, and restart the server")
	}
	// By the environment: arguments are visible to other users of the machine.
	basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
	return append(env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic), nil
}

// pushing is one publication on its way.
type pushing struct {
	dir, branch, remote string
	env                 []string
}

func (p pushing) git(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", "-c", "gc.auto=0"}, args...)...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = p.dir, p.env, 2*time.Second
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(errs.String())
		if len(said) > 300 {
			said = said[:300]
		}
		return "", problem.New(problem.Unavailable, "site.publish", "git %s: %w: %s", args[0], err, strings.ToValidUTF8(said, "\uFFFD"))
	}
	return strings.TrimSpace(out.String()), nil
}

func (p pushing) publish(ctx context.Context, f site.Files, r site.Receipt, now time.Time) (site.Receipt, error) {
	if _, err := p.git(ctx, nil, "init", "-q", "--bare", "."); err != nil {
		return r, err
	}
	before, err := p.fetch(ctx)
	if err != nil {
		return r, err
	}
	if _, err := p.git(ctx, commitStream(p.branch, before, f, now), "fast-import", "--quiet"); err != nil {
		return r, err
	}
	after, err := p.git(ctx, nil, "rev-parse", p.branch)
	if err != nil {
		return r, err
	}
	r.Version = after
	if before != "" {
		changed, err := p.git(ctx, nil, "diff-tree", "-r", "--name-status", "--no-renames", before, after)
		if err != nil {
			return r, err
		}
		if changed == "" {
			r.Version = before
			return r, nil
		}
		for line := range strings.Lines(changed) {
			if strings.HasPrefix(line, "D") {
				r.Removed++
			} else {
				r.Written++
			}
		}
	} else {
		r.Written = len(f)
	}
	_, err = p.git(ctx, nil, "push", "-q", p.remote, p.branch+":"+p.branch)
	return r, err
}

// fetch gets the branch as it is; empty when there is none.
func (p pushing) fetch(ctx context.Context) (string, error) {
	listed, err := p.git(ctx, nil, "ls-remote", p.remote, p.branch)
	if err != nil || listed == "" {
		return "", err
	}
	if _, err := p.git(ctx, nil, "fetch", "-q", "--depth=1", p.remote, "+"+p.branch+":"+p.branch); err != nil {
		return "", err
	}
	before, err := p.git(ctx, nil, "rev-parse", p.branch)
	if err != nil {
		return "", err
	}
	if _, err := p.git(ctx, nil, "cat-file", "-e", before+":"+siteMarker); err != nil {
		return "", problem.New(problem.Conflict, "site.publish", "the branch %s was not made by Flyball, and would lose its files", strings.TrimPrefix(p.branch, "refs/heads/")).
			WithNext("name a branch of its own")
	}
	return before, nil
}

// commitStream is a commit of exactly these files, for git fast-import.
func commitStream(branch, before string, f site.Files, now time.Time) []byte {
	var b bytes.Buffer
	data := func(content []byte) {
		fmt.Fprintf(&b, "data %d\n", len(content))
		b.Write(content)
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "commit %s\ncommitter Flyball <flyball@localhost> %d +0000\n", branch, now.Unix())
	data([]byte("Publish"))
	if before != "" {
		fmt.Fprintf(&b, "from %s\n", before)
	}
	b.WriteString("deleteall\n")
	for _, name := range append(f.Names(), siteMarker) {
		content, ok := f[name]
		if !ok {
			content = []byte("This branch is written by Flyball as a whole.\n")
		}
		fmt.Fprintf(&b, "M 100644 inline %s\n", quotePath(name))
		data(content)
	}
	return b.Bytes()
}

// quotePath is a path as fast-import reads it whatever is in it.
func quotePath(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}
