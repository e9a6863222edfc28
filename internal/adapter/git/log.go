package git

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// format is one commit as fields that end in NUL, which no field can contain.
const format = "--format=tformat:%H%x00%P%x00%an%x00%ae%x00%at%x00%ct%x00%B"

const fields = 7

// maxMessage bounds one field of a commit, in bytes; longer ones are an error.
const maxMessage = 1 << 20

// Log implements repository.Repository.
func (r *Repository) Log(ctx context.Context, rg repository.Range) (repository.History, error) {
	limit := rg.Limit
	if limit <= 0 {
		limit = repository.MaxCommits
	}
	span, err := r.span(ctx, rg)
	if err != nil {
		return repository.History{}, err
	}
	args := append([]string{"--topo-order", "--max-count=" + strconv.Itoa(limit+1)}, span...)
	commits, err := r.log(ctx, args, limit+1)
	if err != nil {
		return repository.History{}, err
	}
	h := repository.History{Commits: commits}
	if len(commits) > limit {
		h.Commits, h.Truncated = commits[:limit], true
	}
	cut, err := r.shallow(ctx)
	if err != nil {
		return repository.History{}, err
	}
	for _, c := range h.Commits {
		h.Shallow = h.Shallow || cut[c.SHA]
	}
	if rg.PatchIDs {
		err = r.addPatchIDs(ctx, h.Commits)
	}
	return h, err
}

// span is the revisions of a range as arguments for git log.
func (r *Repository) span(ctx context.Context, rg repository.Range) ([]string, error) {
	to, err := r.sha(ctx, rg.To)
	if err != nil {
		return nil, err
	}
	span := []string{to}
	if rg.From != "" {
		from, err := r.sha(ctx, rg.From)
		if err != nil {
			return nil, err
		}
		span = append(span, "^"+from)
	}
	if rg.FirstParent {
		span = append([]string{"--first-parent"}, span...)
	}
	return span, nil
}

// log runs git log over revisions that are resolved already.
func (r *Repository) log(ctx context.Context, revisions []string, capacity int) ([]repository.Commit, error) {
	args := r.args("log", "-z", "--no-color", "--no-notes", "--no-show-signature", "--no-patch", "--encoding=UTF-8", format)
	args = append(append(args, revisions...), "--")
	commits := make([]repository.Commit, 0, min(capacity, 64))
	err := stream(ctx, r.gitDir, nil, args, func(out io.Reader) error {
		return readCommits(out, &commits)
	})
	if err != nil {
		return nil, r.explain("repository.log", err)
	}
	return commits, nil
}

// readCommits parses NUL-ended fields, seven to a commit.
func readCommits(out io.Reader, commits *[]repository.Commit) error {
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, maxMessage)
	sc.Split(splitNUL)
	var f []string
	for sc.Scan() {
		f = append(f, sc.Text())
		if len(f) == fields {
			*commits = append(*commits, parseCommit(f))
			f = f[:0]
		}
	}
	if err := sc.Err(); err != nil {
		return problem.New(problem.Invalid, "repository.log", "a commit message is longer than %d KiB: %w", maxMessage>>10, err)
	}
	if len(f) > 0 {
		return problem.New(problem.Internal, "repository.log", "git log ended within a commit")
	}
	return nil
}

func splitNUL(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func parseCommit(f []string) repository.Commit {
	c := repository.Commit{
		SHA:         f[0],
		Author:      clean(f[2]),
		AuthorEmail: clean(f[3]),
		AuthorTime:  parseTime(f[4]),
		Time:        parseTime(f[5]),
	}
	if f[1] != "" {
		c.Parents = strings.Fields(f[1])
	}
	c.Subject, c.Body, c.Trailers = repository.SplitMessage(f[6])
	return c
}

func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// parseTime reads seconds since 1970. Forged commits carry any number; years
// that RFC 3339 cannot write count as unreadable.
func parseTime(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	if t := time.Unix(n, 0).UTC(); t.Year() >= 1 && t.Year() <= 9999 {
		return t
	}
	return time.Time{}
}

// addPatchIDs fills in the patch ids: git diff-tree's patches piped into git
// patch-id.
func (r *Repository) addPatchIDs(ctx context.Context, commits []repository.Commit) error {
	var list strings.Builder
	at := map[string]int{}
	for i, c := range commits {
		if !c.Merge() {
			list.WriteString(c.SHA + "\n")
			at[c.SHA] = i
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	diff := command(ctx, r.gitDir, r.args("diff-tree", "--stdin", "--root", "-p", "-r",
		"--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "--no-renames")...)
	diff.Stdin = strings.NewReader(list.String())
	patches, err := diff.StdoutPipe()
	if err != nil {
		return err
	}
	if err := diff.Start(); err != nil {
		return startError(err)
	}
	err = stream(ctx, r.gitDir, patches, []string{"patch-id", "--stable"}, func(out io.Reader) error {
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			id, sha, _ := strings.Cut(sc.Text(), " ")
			if i, ok := at[sha]; ok {
				commits[i].PatchID = id
			}
		}
		return sc.Err()
	})
	if err != nil {
		cancel()
	}
	if werr := diff.Wait(); err == nil && werr != nil {
		err = diffError(werr)
	}
	if err != nil {
		return r.explain("repository.log", err)
	}
	return nil
}

func diffError(err error) error {
	if exit, ok := err.(*exec.ExitError); ok {
		return &failure{command: "diff-tree", code: exit.ExitCode()}
	}
	return err
}
