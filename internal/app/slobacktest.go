package app

import (
	"context"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/flow/release"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/learning/dora"
)

// backtest is the command's flags.
type backtest struct {
	objectives, policies         []string
	data                         history
	incidents, deployments, name string
	grace                        time.Duration
	decisions                    bool
}

func sloBacktest(ops []operation.Operation) *cobra.Command {
	var b backtest
	c := &cobra.Command{
		Use: "backtest OBJECTIVE… | --objective FILE… --data FILE", Short: "Score alert and budget policies over recorded history",
		Long: "Every alert policy is run over the history by the functions that run live, and\nscored against the incidents; every budget policy against what became of the\nchanges. Variants are objectives of their own in the files.\n\nOf objectives of the server by key, with its slots, incidents and deployments:\n\n  flyball slo backtest checkout.prod.availability\n  flyball slo backtest checkout.prod.availability --objective variants.yaml --budget-policy careful.yaml\n\nOf files, without a server:\n\n  flyball slo backtest --objective variants.yaml --data october.csv --incidents incidents.csv\n  flyball slo backtest --objective checkout.yaml --data october.csv --deployments deploys.csv --budget-policy careful.yaml -o json",
		RunE: func(cmd *cobra.Command, keys []string) error {
			session, err := cli.For(cmd)
			if err != nil {
				return err
			}
			if len(keys) > 0 {
				return b.ask(cmd, session, byName(ops, "slo.backtest"), keys)
			}
			if len(b.objectives) == 0 {
				return cli.Usage("name an objective of the server, such as checkout.prod.availability, or add --objective FILE --data FILE.csv", "there is nothing to test")
			}
			out, err := b.run(cmd)
			if err != nil {
				return err
			}
			return session.Print(out)
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
	return c
}

// ask has a server test objectives of its own, one after the other.
func (b *backtest) ask(cmd *cobra.Command, session *cli.Session, op operation.Operation, keys []string) error {
	for flag, value := range map[string]string{"data": b.data.data, "openmetrics": b.data.openmetrics, "prometheus": b.data.prometheus, "incidents": b.incidents, "deployments": b.deployments, "name": b.name} {
		if value != "" {
			return cli.Usage("leave --"+flag+" out, or give --objective FILE instead of a key", "an objective of the server is tested on what the server has recorded, not on --%s", flag)
		}
	}
	in := policy.BacktestInput{Grace: b.grace, Decisions: b.decisions, Variants: map[string]string{}, Policies: map[string]string{}}
	for _, read := range []struct {
		paths []string
		into  map[string]string
	}{{b.objectives, in.Variants}, {b.policies, in.Policies}} {
		files, err := readFiles(read.paths)
		if err != nil {
			return err
		}
		for _, f := range files {
			read.into[f.Name] = string(f.Data)
		}
	}
	for flag, at := range map[string]struct {
		text string
		into *time.Time
	}{"from": {b.data.from, &in.From}, "until": {b.data.until, &in.To}} {
		if at.text == "" {
			continue
		}
		var err error
		if *at.into, err = time.Parse(time.RFC3339, at.text); err != nil {
			return cli.Usage("write it as 2026-10-14T12:00:00Z", "--%s %q is not an RFC 3339 time", flag, at.text)
		}
	}
	for _, key := range keys {
		in.Objective = key
		raw, err := session.Call(cmd.Context(), op, &in)
		if err != nil {
			return err
		}
		if err := session.Show(op, raw); err != nil {
			return err
		}
	}
	return nil
}

func (b *backtest) run(cmd *cobra.Command) (policy.Backtested, error) {
	var out policy.Backtested
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
	r := policy.Records{Grace: b.grace, Decisions: b.decisions}
	if r.Incidents, err = recorded(b.incidents, slo.ReadIncidents); err != nil {
		return out, err
	}
	if r.Deployments, err = recorded(b.deployments, slo.ReadDeployments); err != nil {
		return out, err
	}
	if r.Policies, err = b.budgetPolicies(); err != nil {
		return out, err
	}
	for _, o := range objectives {
		events, err := b.data.series(cmd, o)
		if err != nil {
			return out, err
		}
		if b.incidents != "" || b.deployments == "" {
			if err := out.Alert(o, events, r); err != nil {
				return out, err
			}
		}
		if b.deployments == "" {
			continue
		}
		if err := out.Budget(o, events, r); err != nil {
			return out, err
		}
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

// budgetPolicies are the built-in policy and those of files.
func (b *backtest) budgetPolicies() ([]policy.Named, error) {
	files := map[string][]byte{}
	for _, path := range b.policies {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, problem.New(problem.NotFound, "slo.backtest", "%w", err)
		}
		files[path] = data
	}
	more, err := policy.Read(Kinds(), files)
	return append([]policy.Named{policy.BuiltIn()}, more...), err
}

// deployments is what became of the changes of a place: those that were
// released, and those that the gate stopped and that were never released.
func (a *App) deployments(ctx context.Context, service, environment string) ([]slo.Deployment, error) {
	reader := operation.Reader(ctx, a.env.Reader)
	delivered, err := dora.Load(ctx, reader, service, environment)
	if err != nil {
		return nil, err
	}
	var out []slo.Deployment
	for _, d := range delivered.Deliveries {
		outcome := slo.OutcomeFailed // it hurt, or was taken back
		if d.Verdict == dora.VerdictGood {
			outcome = slo.OutcomeOK
		}
		out = append(out, slo.Deployment{Time: d.StartedAt, Change: d.Change, Kind: d.Kind, Outcome: outcome})
	}
	f := projection.Filter{Index: "place", Value: release.PlaceKey(service, environment), Limit: projection.MaxPage}
	for {
		page, next, err := projection.List[release.Release](ctx, reader, release.ProjectionName, f)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			stopped, err := stopped(ctx, reader, r)
			if err != nil {
				return nil, err
			}
			if stopped {
				out = append(out, slo.Deployment{Time: r.ProposedAt, Change: r.Change, Kind: r.Kind, Outcome: slo.OutcomeBlocked})
			}
		}
		if f.After = next; next == "" {
			slices.SortStableFunc(out, func(a, b slo.Deployment) int { return a.Time.Compare(b.Time) })
			return out, nil
		}
	}
}

// stopped reports whether the gate kept a release from ever starting.
func stopped(ctx context.Context, r projection.Reader, rel release.Release) (bool, error) {
	if len(rel.Rollouts) > 0 {
		return false, nil
	}
	actions, _, err := projection.List[action.Action](ctx, r, action.ProjectionName, projection.Filter{Index: "subject", Value: "release/" + rel.Release, Limit: 10})
	return slices.ContainsFunc(actions, func(a action.Action) bool {
		return a.Type == release.ActionStart && a.StartedAt.IsZero() && a.Gate != nil && a.Gate.Phase == action.Blocked
	}), err
}
