package app

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

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
	text := a.yaml(branch)
	set, findings := resource.Load(Kinds(), map[string][]byte{path.Join("flyball", "service.yaml"): []byte(text)})
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
		fmt.Fprintln(session.Err, e.Text)
	}
	fmt.Fprintln(session.Err, "Next: git add flyball && git commit -m 'deliver with Flyball' && flyball up")
	return nil
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

func (a answers) yaml(branch string) string {
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
	fmt.Fprintf(&b, "---\napiVersion: flyball.dev/v1\nkind: Team\nmetadata: {name: %s}\nspec: {}\n", scalar(a.Team))
	b.WriteString("---\napiVersion: flyball.dev/v1\nkind: Environment\nmetadata: {name: prod}\nspec:\n  delivery: automatic\n")
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

// estimate says how long a canary of a service will take.
type estimate struct {
	Service     string  `json:"service"`
	Environment string  `json:"environment"`
	Seconds     float64 `json:"seconds"` // until everybody has a healthy change
	Text        string  `json:"text"`
}

// cleanFor is about how many clean canary requests bring the upper bound of
// the excess down to u at the default confidence (docs/judge.md).
const cleanFor = 6.15

// estimates says, for each service and environment, how long a healthy change
// takes to reach everybody at the traffic declared, with a full budget.
func estimates(set *resource.Set) []estimate {
	services, names := resource.Specs[catalog.ServiceSpec](set, catalog.KindService)
	environments, places := resource.Specs[catalog.EnvironmentSpec](set, catalog.KindEnvironment)
	var out []estimate
	for i, s := range services {
		for j, e := range environments {
			svc := catalog.Service{Name: names[i].Name, ServiceSpec: s}
			if svc.In(places[j].Name) {
				out = append(out, estimateOf(svc, places[j].Name, s.Rollout.Over(e.Rollout.WithDefaults())))
			}
		}
	}
	return out
}

func estimateOf(s catalog.Service, environment string, r catalog.Rollout) estimate {
	e := estimate{Service: s.Name, Environment: environment}
	if s.Traffic == 0 {
		e.Text = fmt.Sprintf("%s in %s: say how much traffic is expected (traffic: 20/s) to learn how long a canary will take", s.Name, environment)
		return e
	}
	target := 0.999
	if a := s.Objectives.Availability; a != 0 {
		target = a.Ratio()
	}
	// u·R·T ≤ φ·B with B = (1 − target)·R·period: the rate cancels out.
	// T is that of the last step, 1/720 of the period; see docs/rollout.md.
	period := s.Objectives.Window.Seconds()
	needed := r.BudgetShare.Ratio() * (1 - target) * period / math.Max(period/720, r.StepDuration.Seconds())
	clean := cleanFor / math.Min(1, needed)
	total := 0.0
	for _, step := range r.Steps {
		seconds := r.StepDuration.Seconds()
		clean -= seconds * s.Traffic.PerSecond() * step.Ratio()
		total += seconds
	}
	if last := r.Steps[len(r.Steps)-1]; clean > 0 {
		total += clean / (s.Traffic.PerSecond() * last.Ratio())
	}
	e.Seconds = math.Round(total)
	e.Text = fmt.Sprintf("%s in %s: a healthy change takes about %s to reach everybody at %.3g requests/s with a full budget", s.Name, environment, (time.Duration(e.Seconds) * time.Second), s.Traffic.PerSecond())
	if e.Seconds > r.Deadline.Seconds() {
		e.Text += fmt.Sprintf("; that is longer than the deadline of %s: a person will be asked. Consider onDeadline, fewer steps, or synthetic checks", r.Deadline)
	}
	return e
}
