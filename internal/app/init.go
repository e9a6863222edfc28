package app

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/flyball-dev/flyball/internal/adapter/git"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/flow/pipeline"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// answers is what only a person can know about a service.
type answers struct {
	Name, Team, Build, Test, Run, Ready, Traffic, Availability, Latency string
	Files                                                               []string
}

func initCommand() *cobra.Command {
	var a answers
	c := &cobra.Command{
		Use: "init", Short: "Write a service file for this repository", Args: cobra.NoArgs,
		Long: `Looks at the repository, proposes how it is built, tested and run, asks on a
terminal what only a person can know, and writes flyball/service.yaml. Says how
long a canary will take at the traffic declared. Flags answer without asking.

  flyball init --team payments --traffic 20/s`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			return runInit(cmd, session, a)
		},
	}
	f := c.Flags()
	f.StringVar(&a.Name, "name", "", "name of the service")
	f.StringVar(&a.Team, "team", "", "team that owns it")
	f.StringVar(&a.Build, "build", "", "shell command that builds it")
	f.StringVar(&a.Test, "test", "", "shell command that tests it")
	f.StringVar(&a.Run, "run", "", "command that serves at $PORT")
	f.StringVar(&a.Ready, "ready", "", "path that answers 2xx when it is ready")
	f.StringSliceVar(&a.Files, "files", nil, "files the build leaves that are needed to run")
	f.StringVar(&a.Traffic, "traffic", "", "expected requests, such as 20/s or 1000/h")
	f.StringVar(&a.Availability, "availability", "99.9%", "share of requests that must not fail")
	f.StringVar(&a.Latency, "latency", "99% < 500ms", "share of requests that must be answered within a time")
	return c
}

func runInit(cmd *cobra.Command, session *cli.Session, a answers) error {
	ctx := cmd.Context()
	repo, err := git.Open(ctx, ".")
	if err != nil {
		return err
	}
	root := repo.Root()
	target := filepath.Join(root, "flyball", "service.yaml")
	if _, err := os.Stat(target); err == nil {
		return problem.New(problem.Conflict, "init", "flyball/service.yaml exists already").WithNext("edit it, then: flyball validate flyball/")
	}
	files, err := repo.Files(ctx, repository.Query{Ref: repository.WorkTree, Match: pipeline.Wanted, MaxFiles: 5000})
	if err != nil {
		return err
	}
	p := pipeline.Detect(filepath.Base(root), files)
	a.fill(p)
	for _, seen := range p.Seen {
		fmt.Fprintln(session.Err, "·", seen)
	}
	branch := "main"
	if head, err := os.ReadFile(filepath.Join(repo.GitDir(), "HEAD")); err == nil {
		if ref, ok := strings.CutPrefix(strings.TrimSpace(string(head)), "ref: refs/heads/"); ok {
			branch = ref
		}
	}
	if term.IsTerminal(int(os.Stdin.Fd())) && session.Talks {
		a.ask(cmd)
	}
	if missing := a.missing(); len(missing) > 0 {
		return problem.New(problem.Invalid, "init", "what could not be seen must be said: %s", strings.Join(missing, ", ")).
			WithNext("give them as flags: flyball init %s …", strings.Join(missing, " … "))
	}
	existing, others, err := beside(ctx, root, a.Name)
	if err != nil {
		return err
	}
	text := a.yaml(branch, existing)
	others[path.Join("flyball", "service.yaml")] = []byte(text)
	set, findings := resource.Load(Kinds(), others)
	if set == nil {
		return resource.Refuse("init", findings)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(target, []byte(text), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(session.Err, "wrote flyball/service.yaml")
	for _, e := range estimates(set) {
		if e.Service != a.Name {
			continue
		}
		fmt.Fprintln(session.Err, e.Text)
	}
	fmt.Fprintln(session.Err, "Next: git add flyball && git commit -m 'deliver with Flyball' && flyball up")
	return nil
}

// beside is what the files below flyball/ declare already, and their text. That
// one of them declares the service is a conflict.
func beside(ctx context.Context, root, service string) (*resource.Set, map[string][]byte, error) {
	dir := filepath.Join(root, "flyball")
	files := map[string][]byte{}
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		_, _, read, err := readDirectory(ctx, dir)
		if err != nil {
			return nil, nil, err
		}
		for name, text := range read {
			if rel, err := filepath.Rel(root, name); err == nil {
				name = filepath.ToSlash(rel)
			}
			files[name] = text
		}
	}
	set, findings := resource.Load(Kinds(), files)
	if set == nil {
		return nil, nil, resource.Refuse("init", findings)
	}
	if o := set.Find(catalog.KindService, service); o != nil {
		return nil, nil, problem.New(problem.Conflict, "init", "%s:%d declares the service %s already", o.File, o.Line, service).
			WithNext("edit it, then: flyball validate flyball/ · for another service in this repository: flyball init --name …")
	}
	return set, files, nil
}

func (a *answers) fill(p pipeline.Proposal) {
	a.Name, a.Build, a.Test = or(a.Name, p.Name), or(a.Build, p.Build), or(a.Test, p.Test)
	a.Run, a.Ready = or(a.Run, p.Run), or(a.Ready, p.Ready)
	if len(a.Files) == 0 {
		a.Files = p.Files
	}
	a.Team = or(a.Team, "owners")
}

func (a *answers) ask(cmd *cobra.Command) {
	in := bufio.NewScanner(cmd.InOrStdin())
	for _, q := range []struct {
		what  string
		value *string
	}{{"name of the service", &a.Name}, {"team that owns it", &a.Team}, {"command that serves at $PORT", &a.Run},
		{"path that answers when it is ready (empty: a connection)", &a.Ready}, {"expected requests, such as 20/s", &a.Traffic}} {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s [%s]: ", q.what, *q.value)
		if !in.Scan() {
			return
		}
		if s := strings.TrimSpace(in.Text()); s != "" {
			*q.value = s
		}
	}
}

func (a answers) missing() []string {
	var out []string
	for flag, value := range map[string]string{"--name": a.Name, "--run": a.Run} {
		if value == "" {
			out = append(out, flag)
		}
	}
	return out
}

// yaml is the service's file, with its team and an environment where none is
// declared yet.
func (a answers) yaml(branch string, existing *resource.Set) string {
	var b strings.Builder
	line := func(indent, name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, scalar(value))
		}
	}
	b.WriteString("apiVersion: flyball.dev/v1\nkind: Service\n")
	fmt.Fprintf(&b, "metadata: {name: %s}\nspec:\n", scalar(a.Name))
	line("  ", "team", a.Team)
	if branch != "main" {
		line("  ", "branch", branch)
	}
	line("  ", "build", a.Build)
	line("  ", "test", a.Test)
	if len(a.Files) > 0 {
		quoted := make([]string, len(a.Files))
		for i, f := range a.Files {
			quoted[i] = scalar(f)
		}
		fmt.Fprintf(&b, "  files: [%s]\n", strings.Join(quoted, ", "))
	}
	line("  ", "run", a.Run)
	line("  ", "ready", a.Ready)
	line("  ", "traffic", a.Traffic)
	b.WriteString("  objectives:\n")
	line("    ", "availability", a.Availability)
	line("    ", "latency", a.Latency)
	if existing.Find(catalog.KindTeam, a.Team) == nil {
		fmt.Fprintf(&b, "---\napiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: %s}\nspec: {}\n", scalar(a.Team))
	}
	if places, _ := resource.Specs[catalog.EnvironmentSpec](existing, catalog.KindEnvironment); len(places) == 0 {
		b.WriteString("---\napiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: prod}\nspec:\n  delivery: automatic\n")
	}
	return b.String()
}

// scalar quotes a YAML scalar that could be read as something else.
func scalar(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_./-$ ", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 && !strings.ContainsRune(" -.", rune(s[0])) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
