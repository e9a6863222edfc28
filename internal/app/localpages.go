package app

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	siteadapter "github.com/flyball-dev/flyball/internal/adapter/site"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/status"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/port/site"
)

// pageCommands write a status page's files where the command line runs.
func pageCommands(ops []operation.Operation) *cobra.Command {
	parent := &cobra.Command{Use: "statuspage"}
	var out string
	render := &cobra.Command{
		Use: "render PAGE", Short: "Write a status page's files into a folder here", Args: cobra.ExactArgs(1),
		Long: "The folder is replaced as a whole; one that holds anything else is left alone.\n\n  flyball statuspage render public --out /srv/www/status",
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			op, in := byName(ops, "statuspage.files"), &status.PageInput{Page: args[0]}
			if err := op.Check(in); err != nil {
				return err
			}
			raw, err := session.Call(cmd.Context(), op, in)
			if err != nil {
				return err
			}
			var bundle status.Bundle
			if err := json.Unmarshal(raw, &bundle); err != nil {
				return fmt.Errorf("what the server answered: %w", err)
			}
			dir, err := filepath.Abs(out)
			if err != nil {
				return err
			}
			done, err := siteadapter.Directory{}.Publish(cmd.Context(), site.Target{Directory: dir}, bundle.Files)
			if err != nil {
				return err
			}
			return session.Print(rendered{done, dir})
		},
	}
	render.Flags().StringVar(&out, "out", "", "folder to write to")
	_ = render.MarkFlagRequired("out")
	parent.AddCommand(render)
	return parent
}

// rendered is what render prints.
type rendered struct {
	site.Receipt
	Directory string `json:"directory"`
}

// Tell says what was written.
func (r rendered) Tell() string {
	return fmt.Sprintf("%s in %s, %d of them new or different, %d removed", counted(r.Files, "file"), r.Directory, r.Written, r.Removed)
}
