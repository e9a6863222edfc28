package git

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// The lines that fence what Flyball wrote into a hook.
const (
	hookBegin = "# >>> flyball >>>"
	hookEnd   = "# <<< flyball <<<"
)

// InstallHook makes the repository tell Flyball of each new commit: it puts a
// few fenced lines that run `program push` in the background into the
// post-commit hook, or post-receive in a bare repository. A shell hook that is
// there keeps all it does; another kind of hook is left alone and the error, of
// kind conflict, says which line to add. A second call changes nothing, or
// only the program's path. It returns the hook's file and whether it changed.
func InstallHook(ctx context.Context, r *Repository, program string) (file string, changed bool, err error) {
	const op = "repository.hook"
	if strings.ContainsAny(program, "\n\r\x00") || program == "" {
		return "", false, problem.New(problem.Invalid, op, "%q is not a program", program)
	}
	dir, err := r.hooksDir(ctx)
	if err != nil {
		return "", false, err
	}
	name := "post-commit"
	if r.work == "" {
		name = "post-receive"
	}
	file = filepath.Join(dir, name)
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return file, false, problem.New(problem.Unavailable, op, "%w", err)
	}
	line := hookLine(program)
	text, ok := withHook(string(old), line)
	if !ok {
		return file, false, problem.New(problem.Conflict, op, "%s exists and is not a shell script", file).
			WithNext("make it run this too: %s", line)
	}
	if text == string(old) && executable(file) {
		return file, false, nil
	}
	return file, true, replaceHook(file, []byte(text))
}

// hookLine runs in the background, detached from the hook's input and output,
// so that no commit or push waits or fails because of Flyball.
func hookLine(program string) string {
	quoted := "'" + strings.ReplaceAll(program, "'", `'\''`) + "'"
	return "( " + quoted + " push </dev/null >/dev/null 2>&1 & )"
}

// withHook is a hook's text with the fenced line in it, right after the first
// line because what follows may exit. ok is false if the text is no shell
// script.
func withHook(text, line string) (string, bool) {
	block := hookBegin + "\n" + line + "\n" + hookEnd + "\n"
	if before, rest, ok := strings.Cut(text, hookBegin+"\n"); ok {
		if _, after, ok := strings.Cut(rest, hookEnd+"\n"); ok {
			return before + block + after, true
		}
	}
	if text == "" {
		return "#!/bin/sh\n" + block, true
	}
	shebang, rest, _ := strings.Cut(text, "\n")
	if !isShell(shebang) {
		return "", false
	}
	return shebang + "\n" + block + rest, true
}

// isShell recognises "#!/bin/sh -e", "#!/usr/bin/env bash" and the like.
func isShell(shebang string) bool {
	words, ok := strings.CutPrefix(shebang, "#!")
	f := strings.Fields(words)
	if !ok || len(f) == 0 {
		return false
	}
	name := filepath.Base(f[0])
	if name == "env" && len(f) > 1 {
		name = filepath.Base(f[1])
	}
	switch name {
	case "sh", "bash", "dash", "ash", "ksh", "zsh":
		return true
	}
	return false
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode()&0o100 != 0
}

// replaceHook writes a hook so that git never runs half of it. A link is
// written through, not replaced.
func replaceHook(file string, text []byte) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	var tmp *os.File
	if err == nil {
		tmp, err = os.CreateTemp(filepath.Dir(file), ".flyball-*")
	}
	if err != nil {
		return problem.New(problem.Unavailable, "repository.hook", "%w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(0o755), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return problem.New(problem.Unavailable, "repository.hook", "%w", err)
	}
	return nil
}

// hooksDir is where git looks for the repository's hooks. Here, unlike
// elsewhere, the user's own configuration counts, since git runs hooks with
// it; rev-parse itself runs nothing.
func (r *Repository) hooksDir(ctx context.Context) (string, error) {
	const op = "repository.hook"
	dir := r.work
	if dir == "" {
		dir = r.gitDir
	}
	cmd := exec.CommandContext(ctx, "git", "--git-dir="+r.gitDir, "rev-parse", "--git-path", "hooks")
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	out, err := cmd.Output()
	if err != nil {
		return "", startError(err)
	}
	path := string(bytes.TrimRight(out, "\n"))
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	common, err := r.answer(ctx, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return "", r.explain(op, err)
	}
	for _, own := range []string{r.gitDir, r.work, strings.TrimSpace(string(common))} {
		if own == "" {
			continue
		}
		if rel, err := filepath.Rel(own, path); err == nil && filepath.IsLocal(rel) {
			return path, nil
		}
	}
	return "", problem.New(problem.Conflict, op, "core.hooksPath is %s, which other repositories may share", path).
		WithNext("add `flyball push` to the hook there yourself")
}
