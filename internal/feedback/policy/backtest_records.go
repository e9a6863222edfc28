package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Backtests tries policies on what a server has recorded: the slots of an
// objective, the incidents of its place, and what became of the changes there.
type Backtests struct {
	Reader     projection.Reader
	Clock      clock.Clock
	Objectives *slo.Watcher
	// Incidents and Deployments are those of a place.
	Incidents   func(ctx context.Context, service, environment string) ([]slo.Incident, error)
	Deployments func(ctx context.Context, service, environment string) ([]slo.Deployment, error)
	// Kinds reads the budget policies of files.
	Kinds func() *resource.Registry
}

// BacktestInput names an objective, and what to try on its history.
type BacktestInput struct {
	Objective string            `json:"objective" arg:"1" doc:"key of the objective whose recorded history is used, such as checkout.prod.availability"`
	Variants  map[string]string `json:"variants" doc:"OpenSLO, Sloth or Pyrra files by name: their targets, windows and alert policies are tried on this history, instead of the objective's own"`
	Policies  map[string]string `json:"policies" doc:"files with BudgetPolicy resources by name, beside the built-in one and those applied"`
	From      time.Time         `json:"from" doc:"begin of the history (default: all that is kept, 100 days)"`
	To        time.Time         `json:"to" doc:"its end (default: now)"`
	Grace     time.Duration     `json:"grace" doc:"a page this long after an incident's end still counts as its"`
	Decisions bool              `json:"decisions" doc:"list each change with what each budget policy would have done"`
}

// Bounds on one backtest.
const (
	keptHistory  = 100 * 24 * time.Hour
	maxTried     = 200 // objectives, times budget policies
	maxTriedText = 2 << 20
)

func (b *Backtests) run(ctx context.Context, in BacktestInput) (out Backtested, err error) {
	out.Alerts, out.Policies = []slo.AlertScore{}, []BudgetScore{}
	now := b.Clock.Now().UTC().Truncate(time.Minute)
	if in.To.IsZero() || in.To.After(now) {
		in.To = now
	}
	if first := now.Add(-keptHistory); in.From.Before(first) {
		in.From = first
	}
	if !in.From.Before(in.To) {
		return out, problem.New(problem.Invalid, "slo.backtest", "there is no recorded time between from and to").WithNext("history is kept for %s", slo.InWords(keptHistory))
	}
	s, err := b.Objectives.Snapshot(in.Objective)
	if err != nil {
		return out, err
	}
	o := s.Objective
	if len(o.Parts) > 0 {
		return out, problem.New(problem.Invalid, "slo.backtest", "%s is a composite: its parts are what is recorded", in.Objective).
			WithNext("backtest one of them, such as %s", o.Parts[0].Key)
	}
	tried, err := b.variants(o, in)
	if err != nil {
		return out, err
	}
	events, err := b.Objectives.Adjusted(ctx, in.Objective, in.From, in.To)
	if err != nil {
		return out, err
	}
	if events.Len() == 0 {
		return out, problem.New(problem.NotFound, "slo.backtest", "nothing is recorded of %s between %s and %s", in.Objective, stamp(in.From), stamp(in.To)).
			WithNext("flyball slo sources shows how far counts are read")
	}
	r := Records{Grace: in.Grace, Decisions: in.Decisions}
	if err := b.records(ctx, o, in, &r); err != nil {
		return out, err
	}
	if len(tried)*len(r.Policies) > maxTried {
		return out, problem.New(problem.Invalid, "slo.backtest", "%d objectives with %d budget policies are more than %d to try at once", len(tried), len(r.Policies), maxTried)
	}
	for _, v := range tried {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if err := out.Alert(v, events, r); err != nil {
			return out, err
		}
		if err := out.Budget(v, events, r); err != nil {
			return out, err
		}
	}
	out.remark(in.Objective, o, r, len(in.Variants) > 0)
	return out, nil
}

// variants is what to try: the objective as it is declared, or those of files.
func (b *Backtests) variants(o *slo.Objective, in BacktestInput) ([]*slo.Objective, error) {
	if len(in.Variants) == 0 {
		return []*slo.Objective{o}, nil
	}
	var files []slo.File
	size := 0
	for _, name := range slices.Sorted(maps.Keys(in.Variants)) {
		files = append(files, slo.File{Name: name, Data: []byte(in.Variants[name])})
		size += len(in.Variants[name])
	}
	if size > maxTriedText {
		return nil, problem.New(problem.Invalid, "slo.backtest", "the files have more than %d bytes", maxTriedText)
	}
	defs := slo.Decode(files...)
	if err := defs.Err(); err != nil {
		return nil, err
	}
	if len(defs.Objectives) > maxTried {
		return nil, problem.New(problem.Invalid, "slo.backtest", "%d objectives are more than %d to try at once", len(defs.Objectives), maxTried)
	}
	for _, v := range defs.Objectives {
		if v.Traffic == 0 {
			v.Traffic = o.Traffic
		}
	}
	return defs.Objectives, nil
}

// records gathers what the policies are scored against.
func (b *Backtests) records(ctx context.Context, o *slo.Objective, in BacktestInput, r *Records) (err error) {
	reader := operation.Reader(ctx, b.Reader)
	if r.Incidents, err = b.Incidents(ctx, o.Service, o.Environment); err != nil {
		return err
	}
	for i := range r.Incidents {
		if r.Incidents[i].End.IsZero() { // open
			r.Incidents[i].End = in.To.Add(time.Minute)
		}
	}
	r.Incidents = slices.DeleteFunc(r.Incidents, func(i slo.Incident) bool { return !i.End.After(i.Start) })
	if r.Deployments, err = b.Deployments(ctx, o.Service, o.Environment); err != nil {
		return err
	}
	for i, d := range r.Deployments {
		if d.Marked == "" && d.Change != "" {
			if r.Deployments[i].Marked, _, err = projection.Get[string](ctx, reader, markName, d.Change); err != nil {
				return err
			}
		}
	}
	r.Policies = []Named{BuiltIn()}
	specs, entries, err := catalog.List[Spec](ctx, reader, KindBudgetPolicy)
	for i := range specs {
		r.Policies = append(r.Policies, Named{Name: entries[i].Metadata.Name, Spec: specs[i]})
	}
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for name, text := range in.Policies {
		files[name] = []byte(text)
	}
	more, err := Read(b.Kinds(), files)
	r.Policies = append(r.Policies, more...)
	return err
}

// remark says what the scores rest on.
func (b *Backtested) remark(key string, o *slo.Objective, r Records, variants bool) {
	known, own := 0, 0
	for _, i := range r.Incidents {
		if i.Start.Before(b.To) && i.End.After(b.From) {
			known++
			if slices.Contains(i.Alerts, key) {
				own++
			}
		}
	}
	b.note(fmt.Sprintf("recorded of %s in %s: %s, %s", o.Service, o.Environment, plural(known, "incident"), plural(len(r.Deployments), "change")))
	if known == 0 {
		b.note("without a recorded incident no page can be a true one: flyball incident declare records one by hand, of a service that is declared")
	}
	if own > 0 {
		b.note(fmt.Sprintf("incidents opened by this objective's own alerts: %d of %d. The policy that opened one finds it by itself; what no alert noticed is an incident only if a person declared it", own, known))
	}
	if variants {
		b.note("what the files say of targets, windows and alert policies was tried on the counts of " + key + ", whatever their indicators are")
	}
}
