package app

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// alertCommands answer from files what would become of an alert.
func alertCommands(ops []operation.Operation) *cobra.Command {
	c := &cobra.Command{Use: "alert"}
	c.AddCommand(alertRoute(ops))
	return c
}

// alertRoute explains a route: by files with the code that routes on a server,
// or by asking a server.
func alertRoute(ops []operation.Operation) *cobra.Command {
	var in alert.RouteInput
	c := &cobra.Command{
		Use: "route [FILE-OR-DIRECTORY…]", Short: "Explain where an alert would go: which rule matches, and who would be paged",
		Long: "With files, or a directory of resources, no server is needed; without, the server is\nasked. Exits 0 whatever the answer is; -o json is for those who check it.\n\n" +
			"  flyball alert route flyball/ --labels alertname=DiskFull,job=postgres\n  flyball alert route --labels service=checkout --severity page",
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			op := byName(ops, "alert.route")
			if err := op.Check(&in); err != nil {
				return err
			}
			if len(args) == 0 {
				raw, err := session.Call(cmd.Context(), op, &in)
				if err != nil {
					return err
				}
				return session.Show(op, raw)
			}
			answer, err := routeByFiles(cmd.Context(), args, in)
			if err != nil {
				return err
			}
			return session.Print(answer)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&in.Labels, "labels", nil, "labels of the alert, such as alertname=DiskFull,job=postgres")
	f.StringSliceVar(&in.Annotations, "annotations", nil, "its annotations, such as summary=full")
	f.StringVar(&in.Summary, "summary", "", "its first line")
	f.StringVar(&in.Severity, "severity", "", "page or ticket (default: what its labels say)")
	f.StringVar(&in.Integration, "integration", "", "sender it comes from (default: local)")
	return c
}

func routeByFiles(ctx context.Context, paths []string, in alert.RouteInput) (alert.RouteAnswer, error) {
	files, err := yamlFiles("alert.route", paths)
	if err != nil {
		return alert.RouteAnswer{}, err
	}
	store := memory.New(memory.Options{Clock: clock.Wall()})
	defer store.Close()
	states := projection.NewRunner(store.Log(), store.States(), Projections()...)
	applier := &catalog.Applier{Log: store.Log(), Reader: store.States(), Sync: states.CatchUp, Registry: Kinds()}
	if _, err := applier.Apply(ctx, "user:local", ".", "", files); err != nil {
		return alert.RouteAnswer{}, err
	}
	intake := &alert.Intake{Log: store.Log(), Reader: store.States(), Clock: clock.Wall(), Sync: states.CatchUp}
	return intake.AskRoute(ctx, store.States(), in)
}

// yamlFiles reads files, and those below directories.
func yamlFiles(op string, paths []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, path := range paths {
		err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			ext := filepath.Ext(p)
			if ext != ".yaml" && ext != ".yml" {
				if p != path {
					return nil
				}
				ext = "" // whatever it is called, it was named to be read
			}
			data, err := os.ReadFile(p)
			if ext == "" {
				p += ".yaml"
			}
			files[p] = data
			return err
		})
		if err != nil {
			return nil, problem.New(problem.NotFound, op, "%w", err).WithNext("name YAML files, or a directory of resources such as flyball/")
		}
	}
	return files, nil
}
