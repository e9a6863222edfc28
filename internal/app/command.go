package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/adapter/git"
	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/demo"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/flow/change"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/repository"
)

// version is set by the linker in released builds.
var version = ""

// Version is the program's version, or the commit it was built from.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return "dev-" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "dev"
}

// Declarations is every operation there is, for the command line: it knows
// their names and fields, and calls them on a server.
func Declarations() []operation.Operation {
	a, err := New(Config{Clock: clock.Wall(), Logger: slog.Default()}, Ports{Store: memory.New(memory.Options{})})
	if err != nil {
		panic("app: " + err.Error())
	}
	return a.Operations
}

// Main runs the command line and returns the exit code.
func Main(args []string) int {
	ops := Declarations()
	root := cli.New(ops, append(localCommands(ops),
		upCommand(), downCommand(), demo.Command(), initCommand(), validateCommand(), watchCommand(), pushCommand(ops),
		directoryCommand(ops, "diff", "Show what applying a directory of resources would change"),
		directoryCommand(ops, "apply", "Apply a directory of resources, whole or not at all"),
		cli.Shortcut("restart", byName(ops, "service.restart")),
	)...)
	root.Version = Version()
	return cli.Main(context.Background(), root, args, os.Stdin, os.Stdout, os.Stderr)
}

func upCommand() *cobra.Command {
	var o UpOptions
	var verbose bool
	var metricsRetention, metricsSize string
	c := &cobra.Command{
		Use: "up [DIRECTORY]", Short: "Start server and agent in a repository", Args: cobra.MaximumNArgs(1),
		Long: `Starts server and agent in a repository, by default the current directory.

The server watches the branch of each service declared in DIRECTORY/flyball/*.yaml,
builds what is pushed, and releases it step by step. The agent runs the services
and splits their traffic; it goes on when the server ends. State is kept in
DIRECTORY/.flyball.

  flyball init && git add flyball && git commit -m 'flyball' && flyball up`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Repository = "."
			if len(args) == 1 {
				o.Repository = args[0]
			}
			root, err := filepath.Abs(o.Repository)
			if err != nil {
				return err
			}
			if o.Metrics, err = parseMetricsKept(metricsRetention, metricsSize); err != nil {
				return err
			}
			if o.Heartbeat, err = heartbeatAddress(o.Heartbeat); err != nil {
				return err
			}
			level := slog.LevelWarn
			if verbose {
				level, o.Events = slog.LevelInfo, cmd.ErrOrStderr()
			}
			o.Repository, o.Clock, o.Version = root, clock.Wall(), Version()
			o.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			o.Ready = func(u Up) {
				out := cmd.ErrOrStderr()
				fmt.Fprintf(out, "Flyball is up.\n  pages    %s\n  sign in  %s\n  traffic  %s (by host name, such as NAME.localhost)\n  state    %s\nNext: flyball status · end with Ctrl-C; services keep running until flyball down\n",
					u.URL, u.SignIn, u.Traffic, u.State)
			}
			return RunUp(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:7600", "address of API and pages")
	f.StringVar(&o.Traffic, "traffic", "127.0.0.1:7680", "address at which services answer")
	f.StringVar(&o.URL, "url", "", "address at which people reach API and pages, for links in messages, such as https://flyball.example.com (default: the address it listens on)")
	f.StringSliceVar(&o.Hosts, "host", nil, "further host names at which API and pages answer, such as flyball.example.com")
	f.StringVar(&o.Resources, "resources", "flyball", "directory of resources in the repository")
	f.StringVar(&o.Prometheus, "prometheus", "", "address of the Prometheus that objectives are counted on when they name no other, such as http://prometheus:9090")
	f.StringVar(&metricsRetention, "metrics-retention", "30d", "how long metrics are kept")
	f.StringVar(&metricsSize, "metrics-size", "2GB", "how much of them is kept on disk")
	f.StringVar(&o.State, "state", "", "directory of what is kept (default DIRECTORY/.flyball)")
	f.StringVar(&o.Heartbeat, "heartbeat", "", "address elsewhere to tell that the server is well, such as a check of healthchecks.io or /ingest/KEY/heartbeat of another Flyball (FLYBALL_HEARTBEAT)")
	f.DurationVar(&o.HeartbeatEvery, "heartbeat-every", time.Minute, "how often")
	f.BoolVarP(&verbose, "verbose", "v", false, "print events as they happen, and what server and agent do")
	return c
}

// readDirectory reads the resource files below a directory, and the commit
// they are of when the directory is clean.
func readDirectory(ctx context.Context, dir string) (root, commit string, files map[string][]byte, err error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return "", "", nil, problem.New(problem.NotFound, "resource.read", "%s is not a directory", dir).
			WithNext("name the directory that holds the YAML files, such as flyball/")
	}
	files = map[string][]byte{}
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".yaml" && filepath.Ext(p) != ".yml" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > resource.MaxFile {
			files[p] = make([]byte, resource.MaxFile+1) // refused by Load, with its place
			return nil
		}
		files[p], err = os.ReadFile(p)
		return err
	})
	return filepath.Clean(dir), "", files, err
}

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate DIRECTORY", Short: "Check a directory of resources; needs no server", Args: cobra.ExactArgs(1),
		Long: "Checks every YAML file below a directory as one set and reports every mistake at\nonce, with file, line, column and field. Exits 1 when there is one.\n\n  flyball validate flyball/",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, _, files, err := readDirectory(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			set, findings := resource.Load(Kinds(), files)
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			out := validated{Valid: set != nil, Findings: findings}
			if set != nil {
				out.Resources = len(set.All())
				out.Rollouts = estimates(set)
			}
			if session.Format == "table" && set == nil {
				return resource.Refuse("resource.validate", findings)
			}
			if err := session.Print(out); err != nil || set != nil {
				return err
			}
			return problem.New(problem.Invalid, "resource.validate", "not valid")
		},
	}
}

type validated struct {
	Valid     bool              `json:"valid"`
	Resources int               `json:"resources"`
	Findings  []problem.Finding `json:"findings"`
	Rollouts  []estimate        `json:"rollouts,omitempty"`
}

// Tell is the outcome in lines.
func (v validated) Tell() string {
	var b strings.Builder
	for _, f := range v.Findings {
		fmt.Fprintln(&b, f)
	}
	fmt.Fprintf(&b, "%d resources are valid", v.Resources)
	for _, e := range v.Rollouts {
		fmt.Fprintf(&b, "\n%s", e.Text)
	}
	return b.String()
}

// byName finds an operation.
func byName(ops []operation.Operation, name string) operation.Operation {
	for _, o := range ops {
		if o.Name() == name {
			return o
		}
	}
	panic("app: no operation " + name)
}

func directoryCommand(ops []operation.Operation, verb, summary string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " DIRECTORY", Short: summary, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			root, commit, files, err := readDirectory(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if _, findings := resource.Load(Kinds(), files); resource.Refuse("resource."+verb, findings) != nil {
				return resource.Refuse("resource."+verb, findings)
			}
			in := catalog.ApplyInput{Dir: root, Commit: commit, Files: map[string]string{}}
			for p, text := range files {
				in.Files[p] = string(text)
			}
			op := byName(ops, "resource."+verb)
			raw, err := session.Call(cmd.Context(), op, &in)
			if err != nil {
				return err
			}
			return session.Show(op, raw)
		},
	}
}

// pushCommand asks the server to look at branches: of the service named, or of
// every service of the repository this is run in.
func pushCommand(ops []operation.Operation) *cobra.Command {
	return &cobra.Command{
		Use: "push [SERVICE]", Short: "Have what is new on the watched branches built and released", Args: cobra.MaximumNArgs(1),
		Long: "Tells the server to look at the watched branch now instead of at its next poll.\nWithout a SERVICE, at those declared in this repository. A git hook may call it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			names := args
			if len(names) == 0 {
				if names, err = servicesHere(cmd.Context()); err != nil {
					return err
				}
			}
			op := byName(ops, "change.push")
			for _, name := range names {
				raw, err := session.Call(cmd.Context(), op, &change.PushInput{Service: name})
				if err != nil {
					return err
				}
				if err := session.Show(op, raw); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// servicesHere lists the services declared in the repository of the current
// directory.
func servicesHere(ctx context.Context) ([]string, error) {
	repo, err := git.Open(ctx, ".")
	if err != nil {
		return nil, err
	}
	files, err := Resources(ctx, repo, repository.WorkTree, "flyball")
	if err != nil {
		return nil, err
	}
	set, findings := resource.Load(Kinds(), files)
	if set == nil {
		return nil, resource.Refuse("change.push", findings)
	}
	_, meta := resource.Specs[catalog.ServiceSpec](set, catalog.KindService)
	var names []string
	for _, m := range meta {
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return nil, problem.New(problem.NotFound, "change.push", "no service is declared in flyball/").WithNext("flyball init writes a service file")
	}
	return names, nil
}
