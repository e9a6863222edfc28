package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/learning/postmortem"
)

// postmortemCommands are the operations that read or write a file here.
func postmortemCommands(ops []operation.Operation) *cobra.Command {
	parent := &cobra.Command{Use: "postmortem"}
	parent.AddCommand(postmortemEdit(ops), postmortemExport(ops))
	return parent
}

// maxEdit bounds a text from standard input in bytes; the server refuses less.
const maxEdit = 1 << 20

// postmortemEdit reads the text from standard input when it is "-".
func postmortemEdit(ops []operation.Operation) *cobra.Command {
	c := cli.Shortcut("edit", byName(ops, "postmortem.edit"))
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		text := cmd.Flags().Lookup("text")
		if text.Value.String() == "-" {
			raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxEdit))
			if err != nil {
				return err
			}
			if err := text.Value.Set(string(raw)); err != nil {
				return cli.Usage("a text is UTF-8", "standard input %w", err)
			}
		}
		return run(cmd, args)
	}
	return c
}

// postmortemExport writes the file into a folder of the repository.
func postmortemExport(ops []operation.Operation) *cobra.Command {
	op := byName(ops, "postmortem.export")
	c := cli.Shortcut("export", op)
	run := c.RunE
	var dir string
	c.Flags().StringVar(&dir, "dir", "", "write the file into this folder instead of printing it, such as docs/postmortems")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if dir == "" || len(args) != 1 {
			return run(cmd, args)
		}
		session, err := cli.For(cmd)
		if err != nil {
			return err
		}
		raw, err := session.Call(cmd.Context(), op, &postmortem.NameInput{Postmortem: args[0]})
		if err != nil {
			return err
		}
		var out postmortem.Export
		if err := json.Unmarshal(raw, &out); err != nil {
			return err
		}
		path, err := writeExport(dir, out)
		if err != nil {
			return err
		}
		fmt.Fprintln(session.Out, path)
		return nil
	}
	return c
}

// writeExport writes an exported file, and nothing outside its folder, whatever
// the server calls it.
func writeExport(dir string, out postmortem.Export) (string, error) {
	if out.File == "" || out.File == "." || out.File == ".." || filepath.Base(out.File) != out.File {
		return "", problem.New(problem.Invalid, "postmortem.export", "the server names the file %q", out.File)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, out.File)
	return path, os.WriteFile(path, []byte(out.Markdown), 0o644)
}
