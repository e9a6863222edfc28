package app

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// sloExport writes objectives of files, or one of the server's, in the formats
// of others.
func sloExport(ops []operation.Operation) *cobra.Command {
	var format, name string
	c := &cobra.Command{
		Use: "export FILE|OBJECTIVE…", Short: "Write objectives as Prometheus rules, as a Grafana dashboard or as OpenSLO", Args: cobra.MinimumNArgs(1),
		Long: "Files (OpenSLO, Sloth, Pyrra) need no server; the key of an objective is asked of it.\nRules are event-weighted: increases are added up before they are divided.\n\n  flyball slo export checkout.yaml --format prometheus > rules.yml\n  flyball slo export checkout.prod.availability --format grafana",
		RunE: func(cmd *cobra.Command, args []string) error {
			if format == "" {
				return cli.Usage("add --format prometheus", "--format is missing: %s", strings.Join(slo.ExportFormats(), ", "))
			}
			if _, err := os.Stat(args[0]); err != nil && !strings.ContainsAny(args[0], `/\`) {
				return exportNamed(cmd, ops, args, format)
			}
			files, err := readFiles(args)
			if err != nil {
				return err
			}
			defs := slo.Decode(files...)
			if err := defs.Err(); err != nil {
				return err
			}
			objectives := defs.Objectives
			if name != "" {
				o, err := defs.Find(name)
				if err != nil {
					return err
				}
				objectives = []*slo.Objective{o}
			}
			text, err := slo.Export(format, objectives)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&format, "format", "", strings.Join(slo.ExportFormats(), ", "))
	f.StringVar(&name, "name", "", "only this objective of the files")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(slo.ExportFormats(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func exportNamed(cmd *cobra.Command, ops []operation.Operation, args []string, format string) error {
	if len(args) > 1 {
		return cli.Usage("name one objective, or files", "%q is no file", args[0])
	}
	session, err := cli.For(cmd)
	if err != nil {
		return err
	}
	op := byName(ops, "slo.export")
	in := &slo.ExportInput{Objective: args[0], Format: format}
	if err := op.Check(in); err != nil {
		return err
	}
	raw, err := session.Call(cmd.Context(), op, in)
	if err != nil {
		return err
	}
	return session.Show(op, raw)
}
