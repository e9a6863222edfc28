package demo

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/flyball-dev/flyball/examples"
)

// repository is the shop's repository, in which Flyball runs, and the
// developers' clone, from which they push to it.
type repository struct {
	origin string // where flyball up runs
	clone  string
}

const module = "module shop.example/%s\n\ngo 1.24\n"

// newRepository makes both, with the shop as it begins. replace is done in the
// service file: the addresses of this demo.
func newRepository(ctx context.Context, dir string, replace *strings.Replacer) (*repository, error) {
	r := &repository{origin: filepath.Join(dir, "shop"), clone: filepath.Join(dir, "clone")}
	if err := copySource("shop", r.origin, replace); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(r.origin, ".gitignore"), []byte("/bin/\n"), 0o644); err != nil {
		return nil, err
	}
	first := [][]string{
		{"init", "--quiet", "--initial-branch=main"}, {"config", "receive.denyCurrentBranch", "updateInstead"},
		{"add", "--all"}, {"commit", "--quiet", "--message=A shop for governors", "--author=Chen <chen@shop.example>"},
	}
	for _, args := range first {
		if _, err := git(ctx, r.origin, args...); err != nil {
			return nil, err
		}
	}
	_, err := git(ctx, dir, "clone", "--quiet", r.origin, r.clone)
	return r, err
}

// copySource writes one of the examples to a directory, with a go.mod.
func copySource(name, to string, replace *strings.Replacer) error {
	err := fs.WalkDir(examples.Files, name, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(p, ".patch") {
			return err
		}
		data, err := examples.Files.ReadFile(p)
		if err != nil {
			return err
		}
		target := filepath.Join(to, filepath.FromSlash(strings.TrimPrefix(p, name+"/")))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if path.Ext(p) == ".yaml" {
			data = []byte(replace.Replace(string(data)))
		}
		return os.WriteFile(target, data, 0o644)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "go.mod"), fmt.Appendf(nil, module, name), 0o644)
}

// commit applies one of the story's patches in the clone, in its author's name,
// and gives the commit.
func (r *repository) commit(ctx context.Context, patch string) (string, error) {
	data, err := examples.Files.ReadFile("shop/changes/" + patch + ".patch")
	if err != nil {
		return "", err
	}
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return "", fmt.Errorf("%s: %w", patch, err)
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(m.Body); err != nil {
		return "", err
	}
	body, diff, ok := strings.Cut(text.String(), "\n---\n")
	if !ok {
		return "", fmt.Errorf("%s: no line of three dashes", patch)
	}
	if err := os.WriteFile(filepath.Join(r.clone, ".git", "story.patch"), []byte(diff), 0o600); err != nil {
		return "", err
	}
	subject := strings.TrimPrefix(m.Header.Get("Subject"), "[PATCH] ")
	steps := [][]string{
		{"apply", "--index", filepath.Join(".git", "story.patch")},
		{"commit", "--quiet", "--author=" + m.Header.Get("From"), "--message=" + subject, "--message=" + strings.TrimSpace(body)},
	}
	for _, args := range steps {
		if _, err := git(ctx, r.clone, args...); err != nil {
			return "", err
		}
	}
	return git(ctx, r.clone, "rev-parse", "HEAD")
}

// revert takes the newest commit of the clone back, in a commit of its own that
// is pushed with the next one.
func (r *repository) revert(ctx context.Context, author string) error {
	if _, err := git(ctx, r.clone, "revert", "--no-edit", "--no-commit", "HEAD"); err != nil {
		return err
	}
	subject, err := git(ctx, r.clone, "log", "-1", "--format=%s")
	if err != nil {
		return err
	}
	_, err = git(ctx, r.clone, "commit", "--quiet", "--author="+author, fmt.Sprintf("--message=Revert %q", subject))
	return err
}

func (r *repository) push(ctx context.Context) error {
	_, err := git(ctx, r.clone, "push", "--quiet", "origin", "main")
	return err
}

// git runs git in a directory, untouched by the user's own configuration.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_COMMITTER_NAME=Shop", "GIT_COMMITTER_EMAIL=shop@shop.example", "GIT_AUTHOR_NAME=Shop", "GIT_AUTHOR_EMAIL=shop@shop.example")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
