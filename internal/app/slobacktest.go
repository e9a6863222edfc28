package app

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// backtested is what slo backtest prints.
type backtested struct {
	From     time.Time            `json:"from"`
	To       time.Time            `json:"to"`
	Alerts   []slo.AlertScore     `json:"alerts"`
	Policies []policy.BudgetScore `json:"budget_policies"`
	Notes    []string             `json:"notes,omitempty"`
}

// backtest is the command's flags.
type backtest struct {
	objectives, policies         []string
	data                         history
	incidents, deployments, name string
	grace                        time.Duration
	decisions                    bool
}

func sloBacktest() *cobra.Command {
	var b backtest
	c := &cobra.Command{
		Use: "backtest --objective FILE… --data FILE", Short: "Score alert and budget policies over recorded history; needs no server", Args: cobra.NoArgs,
		Long: "Every alert policy of every objective given is run over the history by the functions\nthat run live, and scored against the incidents; every budget policy against the\noutcomes of the deployments. Variants are objectives of their own in the files.\n\n  flyball slo backtest --objective variants.yaml --data october.csv --incidents incidents.csv\n  flyball slo backtest --objective checkout.yaml --data october.csv --deployments deploys.csv --budget-policy careful.yaml -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			out, err := b.run(cmd)
			if err != nil {
				return err
			}
			if session.Format != "table" {
				return session.Print(out)
			}
			return out.table(session.Out)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&b.objectives, "objective", nil, "files with objectives and their alert policies: OpenSLO, Sloth or Pyrra")
	f.StringVar(&b.name, "name", "", "only this objective of the files")
	b.data.flags(f)
	f.StringVar(&b.incidents, "incidents", "", "CSV start,end[,name], or a JSON array of such objects")
	f.StringVar(&b.deployments, "deployments", "", "CSV time,change,outcome[,kind,marked], or a JSON array of such objects")
	f.StringSliceVar(&b.policies, "budget-policy", nil, "files with BudgetPolicy resources, beside the built-in one")
	f.DurationVar(&b.grace, "grace", 0, "a page this long after an incident's end still counts as its")
	f.BoolVar(&b.decisions, "decisions", false, "print each change with what each budget policy would have done (json)")
	_ = c.MarkFlagRequired("objective")
	return c
}

func (b *backtest) run(cmd *cobra.Command) (backtested, error) {
	var out backtested
	files, err := readFiles(b.objectives)
	if err != nil {
		return out, err
	}
	defs := slo.Decode(files...)
	if err := defs.Err(); err != nil {
		return out, err
	}
	objectives := defs.Objectives
	if b.name != "" {
		o, err := defs.Find(b.name)
		if err != nil {
			return out, err
		}
		objectives = []*slo.Objective{o}
	}
	incidents, err := recorded(b.incidents, slo.ReadIncidents)
	if err != nil {
		return out, err
	}
	deployments, err := recorded(b.deployments, slo.ReadDeployments)
	if err != nil {
		return out, err
	}
	policies, err := b.budgetPolicies()
	if err != nil {
		return out, err
	}
	for _, o := range objectives {
		events, err := b.data.series(cmd, o)
		if err != nil {
			return out, err
		}
		out.From, out.To = events.Bounds()
		if b.incidents != "" || b.deployments == "" {
			scores, err := slo.BacktestAlerts(o, events, incidents, b.grace)
			if err != nil {
				return out, err
			}
			out.Alerts = append(out.Alerts, scores...)
		}
		for _, p := range policies {
			s, err := policy.Backtest(p, o, events, deployments)
			if err != nil {
				return out, err
			}
			if !b.decisions {
				s.Decisions = nil
			}
			out.Policies = append(out.Policies, s)
		}
	}
	if b.deployments != "" {
		out.Notes = append(out.Notes, "a change that a policy would have blocked was released all the same, so its outcome is known; one that was blocked then has no outcome to score")
	}
	return out, nil
}

// recorded reads a file of records, if one is named.
func recorded[T any](path string, read func(string, io.Reader) ([]T, error)) ([]T, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, problem.New(problem.NotFound, "slo.backtest", "%w", err)
	}
	defer f.Close()
	return read(path, f)
}

// budgetPolicies are the built-in policy and those of files; none without
// deployments to try them on.
func (b *backtest) budgetPolicies() ([]policy.Named, error) {
	if b.deployments == "" {
		return nil, nil
	}
	out := []policy.Named{{Name: policy.DefaultName, Spec: policy.Default()}}
	files := map[string][]byte{}
	for _, path := range b.policies {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, problem.New(problem.NotFound, "slo.backtest", "%w", err)
		}
		files[path] = data
	}
	if len(files) == 0 {
		return out, nil
	}
	set, findings := resource.Load(Kinds(), files)
	if set == nil {
		return nil, resource.Refuse("slo.backtest", findings)
	}
	specs, meta := resource.Specs[policy.Spec](set, policy.KindBudgetPolicy)
	for i := range specs {
		out = append(out, policy.Named{Name: meta[i].Name, Spec: specs[i]})
	}
	slices.SortStableFunc(out[1:], func(a, b policy.Named) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// table writes the scores for people.
func (b backtested) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "from %s to %s\n", b.From.UTC().Format(time.RFC3339), b.To.UTC().Format(time.RFC3339))
	if len(b.Alerts) > 0 {
		fmt.Fprintln(t, "OBJECTIVE\tPOLICY\tSEVERITY\tPAGES\tTRUE\tPRECISION\tFOUND\tRECALL\tDETECTION\tRESET")
	}
	for _, s := range b.Alerts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%d of %d\t%s\t%s\t%s\n", s.Objective, s.Policy, s.Severity, s.Pages, s.True, percentOr(s.Precision),
			s.Found, s.Incidents, percentOr(s.Recall), secondsOr(s.DetectionMedian), secondsOr(s.ResetMedian))
	}
	if len(b.Policies) > 0 {
		fmt.Fprintln(t, "OBJECTIVE\tBUDGET POLICY\tCHANGES\tALLOWED\tSLOWED\tBLOCKED\tOF THESE FAILED\tFAILED IN ALL\tPRECISION\tRECALL\tNO OUTCOME")
	}
	for _, s := range b.Policies {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%d\n", s.Objective, s.Policy, s.Changes, s.Allowed, s.Slowed, s.Blocked, s.BlockedFailed, s.Failed,
			percentOr(s.Precision), percentOr(s.Recall), s.WithoutOutcome)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(b.Notes) > 0 {
		fmt.Fprintln(w, strings.Join(b.Notes, "\n"))
	}
	return nil
}

func percentOr(x *float64) string {
	if x == nil {
		return "–"
	}
	return strconv.FormatFloat(100**x, 'f', 0, 64) + " %"
}

func secondsOr(x *float64) string {
	if x == nil {
		return "–"
	}
	return (time.Duration(*x) * time.Second).String()
}
