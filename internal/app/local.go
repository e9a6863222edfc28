package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/adapter/sqlite"
	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/rollout"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// localCommands need no server: they are pure functions of files.
func localCommands(ops []operation.Operation) []*cobra.Command {
	objectives := &cobra.Command{Use: "slo"}
	objectives.AddCommand(sloValidate(), sloExplain(), sloReplay(), sloExport(ops), sloBacktest(ops), sloSuggest(ops))
	rollouts := &cobra.Command{Use: "rollout"}
	rollouts.AddCommand(judgeCommand())
	return []*cobra.Command{objectives, rollouts, eventsCommand(), oncallCommands(ops), alertCommands(ops), postmortemCommands(ops), pageCommands(ops)}
}

func readFiles(paths []string) ([]slo.File, error) {
	var out []slo.File
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, problem.New(problem.NotFound, "slo.read", "%w", err)
		}
		out = append(out, slo.File{Name: p, Data: data})
	}
	return out, nil
}

// summary is what slo validate prints.
type summary struct{ slo.Summary }

// Tell is the findings, one a line, and the count.
func (s summary) Tell() string {
	var b strings.Builder
	for _, f := range s.Findings {
		fmt.Fprintln(&b, f)
	}
	fmt.Fprintf(&b, "%s, %s", counted(s.Objectives, "objective"), counted(s.Errors(), "error"))
	return b.String()
}

// counted is a number with its noun, in the plural unless it is one.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func sloValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE…", Short: "Check objectives in OpenSLO, Sloth or Pyrra files; needs no server", Args: cobra.MinimumNArgs(1),
		Long: "Exits 0 without errors, 1 with.\n\n  flyball slo validate objectives/*.yaml -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			files, err := readFiles(args)
			if err != nil {
				return err
			}
			s := summary{slo.Validate(checkQueries, files...)}
			if err := session.Print(s); err != nil {
				return err
			}
			if n := s.Errors(); n > 0 {
				return problem.New(problem.Invalid, "slo.validate", "%d of the findings are errors", n).WithNext("correct the lines named")
			}
			return nil
		},
	}
}

func sloExplain() *cobra.Command {
	var at []string
	c := &cobra.Command{
		Use: "explain FILE…", Short: "Show budgets, and how soon each alert notices and resets; needs no server", Args: cobra.MinimumNArgs(1),
		Long: "Shows for each alert when it fires and resets at error ratios of 100 %, 10 % and 1 %,\nand at those of --ratio.\n\n  flyball slo explain checkout.yaml --ratio 5% --ratio 0.2%",
		RunE: func(cmd *cobra.Command, args []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			var ratios []slo.Decimal
			for _, text := range at {
				r, err := slo.ParsePercent(text)
				if err != nil {
					return cli.Usage("write it as 5% or 0.05", "--ratio %q is no error ratio above 0 and up to 100%%", text)
				}
				ratios = append(ratios, r)
			}
			files, err := readFiles(args)
			if err != nil {
				return err
			}
			defs := slo.Decode(files...)
			if err := defs.Err(); err != nil {
				return err
			}
			explained := slo.Explain(defs.Objectives, ratios...)
			if session.Format != "table" {
				return session.Print(explained)
			}
			return slo.WriteExplanations(session.Out, explained)
		},
	}
	c.Flags().StringArrayVar(&at, "ratio", nil, "an error ratio to show too, such as 5%; may be repeated")
	return c
}

func sloReplay() *cobra.Command {
	var objective, at, name string
	var from history
	c := &cobra.Command{
		Use: "replay --objective FILE --data FILE.csv|--openmetrics FILE|--prometheus URL", Short: "Run an objective over recorded counts; needs no server", Args: cobra.NoArgs,
		Long: "Data has columns time,good,total, one row per slot. Prints one JSON object: budget,\nburn rates, alerts that would have fired, and the forecast of exhaustion.\n\n  flyball slo replay --objective checkout.yaml --data october.csv --at 2026-10-14T12:00:00Z\n\nOf a composite, each part has data of its own:\n\n  flyball slo replay --objective buy.yaml --name buy --data buy-find=find.csv,buy-pay=pay.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := readFiles([]string{objective})
			if err != nil {
				return err
			}
			defs := slo.Decode(files...)
			if err := defs.Err(); err != nil {
				return err
			}
			moment := time.Time{}
			if at, err = cmd.Flags().GetString("at"); err != nil {
				return err
			}
			if at != "" {
				if moment, err = time.Parse(time.RFC3339, at); err != nil {
					return cli.Usage("write it as 2026-10-14T12:00:00Z", "--at %q is not an RFC 3339 time", at)
				}
			}
			report, err := from.replay(cmd, defs, name, moment)
			if err != nil {
				return err
			}
			return writeJSON(cmd.OutOrStdout(), report)
		},
	}
	f := c.Flags()
	f.StringVar(&objective, "objective", "", "file with the objective: OpenSLO, Sloth or Pyrra")
	from.flags(f)
	f.StringVar(&name, "name", "", "which objective, when the file has several")
	_ = c.MarkFlagRequired("objective")
	return c
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func judgeCommand() *cobra.Command {
	var data string
	var o rollout.JudgeOptions
	c := &cobra.Command{
		Use: "judge --data FILE-OR-DIR", Short: "Judge recorded canaries by the function that judges live ones; needs no server", Args: cobra.NoArgs,
		Long: "Files are CSV with columns time,revision,requests,bad: one row per arm and bin,\nrevision baseline or canary, time RFC 3339 or Unix seconds. Prints one JSON object\nper file, one a line.\n\n  flyball rollout judge --data canary.csv\n  flyball rollout judge --data recordings/ --tolerance 0.005",
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := csvFiles(data)
			if err != nil {
				return err
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			for _, file := range files {
				f, err := os.Open(file)
				if err != nil {
					return problem.New(problem.NotFound, "rollout.judge", "%w", err)
				}
				verdict, err := rollout.JudgeCSV(file, f, o)
				f.Close()
				if err != nil {
					return err
				}
				if err := enc.Encode(verdict); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "CSV file, or a directory of them")
	f.Float64Var(&o.Alpha, "alpha", 0.01, "chance of taking an equal canary back")
	f.Float64Var(&o.Tolerance, "tolerance", 0.01, "excess bad ratio that is acceptable")
	f.DurationVar(&o.WarmUp, "warm-up", 0, "time after the canary's first request that is not held against it; 0 is a minute, negative is none")
	_ = c.MarkFlagRequired("data")
	return c
}

// csvFiles is a file, or the CSV files of a directory in order of name.
func csvFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, problem.New(problem.NotFound, "rollout.judge", "%w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var out []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.EqualFold(filepath.Ext(p), ".csv") {
			out = append(out, p)
		}
		return err
	})
	if err == nil && len(out) == 0 {
		err = problem.New(problem.NotFound, "rollout.judge", "there is no .csv file in %s", path)
	}
	return out, err
}

// eventsCommand works on the log file itself, beside a server or without one.
func eventsCommand() *cobra.Command {
	parent := &cobra.Command{Use: "event"}
	var file string
	verify := &cobra.Command{
		Use: "verify-file", Short: "Verify the whole chain of a log file; needs no server", Args: cobra.NoArgs,
		Long: "Reads every event and checks positions, digests and hashes. Names the first\nposition that does not fit. Works beside a running server.\n\n  flyball event verify-file --file .flyball/flyball.db",
		RunE: func(cmd *cobra.Command, _ []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			st, err := sqlite.Open(cmd.Context(), file, sqlite.Options{Clock: clock.Wall(), ReadOnly: true})
			if err != nil {
				return err
			}
			defer st.Close()
			report, err := st.Verify(context.WithoutCancel(cmd.Context()), func(done, total int64) {
				if session.Talks {
					fmt.Fprintf(session.Err, "\r%d of %d events", done, total)
				}
			})
			if session.Talks {
				fmt.Fprintln(session.Err)
			}
			if err != nil {
				return err
			}
			return session.Print(report)
		},
	}
	verify.Flags().StringVar(&file, "file", ".flyball/flyball.db", "log file")
	parent.AddCommand(verify)
	return parent
}
