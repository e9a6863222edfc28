package policy

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Backtested is how alert policies and budget policies would have done over
// recorded history.
type Backtested struct {
	From     time.Time        `json:"from" doc:"begin of the history"`
	To       time.Time        `json:"to" doc:"its end"`
	Alerts   []slo.AlertScore `json:"alerts" doc:"every alert policy, scored against the incidents"`
	Policies []BudgetScore    `json:"budget_policies" doc:"every budget policy, scored against what became of the changes"`
	Notes    []string         `json:"notes,omitempty" doc:"what the scores rest on, and what they cannot say"`
}

// Records are what policies are scored against.
type Records struct {
	Incidents   []slo.Incident
	Deployments []slo.Deployment
	Policies    []Named       // budget policies to try
	Grace       time.Duration // after an incident's end in which a page is still its
	Decisions   bool          // keep what each budget policy would have done with each change
}

// noteOutcome is the limit of every backtest of a budget policy.
const noteOutcome = "a change that a policy would have blocked was released all the same, so its outcome is known; one that was blocked then has no outcome to score"

// Alert scores the alert policies of an objective over a history.
func (b *Backtested) Alert(o *slo.Objective, events *slo.Series, r Records) error {
	scores, err := slo.BacktestAlerts(o, events, r.Incidents, r.Grace)
	b.From, b.To = events.Bounds()
	b.Alerts = append(b.Alerts, scores...)
	return err
}

// Budget scores budget policies on an objective over a history.
func (b *Backtested) Budget(o *slo.Objective, events *slo.Series, r Records) error {
	b.From, b.To = events.Bounds()
	for _, p := range r.Policies {
		s, err := Backtest(p, o, events, r.Deployments)
		if err != nil {
			return err
		}
		if !r.Decisions {
			s.Decisions = nil
		}
		b.Policies = append(b.Policies, s)
	}
	b.note(noteOutcome)
	return nil
}

func (b *Backtested) note(text string) {
	if !slices.Contains(b.Notes, text) {
		b.Notes = append(b.Notes, text)
	}
}

// Tell is the scores as tables.
func (b Backtested) Tell() string {
	var out strings.Builder
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "from %s to %s\n", stamp(b.From), stamp(b.To))
	if len(b.Alerts) > 0 {
		fmt.Fprintln(t, "OBJECTIVE\tPOLICY\tSEVERITY\tPAGES\tTRUE\tPRECISION\tFOUND\tRECALL\tDETECTION\tRESET")
	}
	for _, s := range b.Alerts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%d of %d\t%s\t%s\t%s\n", s.Objective, s.Policy, s.Severity, s.Pages, s.True, share(s.Precision),
			s.Found, s.Incidents, share(s.Recall), lasting(s.DetectionMedian), lasting(s.ResetMedian))
	}
	_ = t.Flush() // into memory; the next table has columns of its own
	if len(b.Policies) > 0 {
		fmt.Fprintln(t, "OBJECTIVE\tBUDGET POLICY\tCHANGES\tALLOWED\tSLOWED\tBLOCKED\tOF THESE FAILED\tFAILED IN ALL\tPRECISION\tRECALL\tNO OUTCOME")
	}
	for _, s := range b.Policies {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%d\n", s.Objective, s.Policy, s.Changes, s.Allowed, s.Slowed, s.Blocked, s.BlockedFailed, s.Failed,
			share(s.Precision), share(s.Recall), s.WithoutOutcome)
	}
	_ = t.Flush()
	return out.String() + strings.Join(b.Notes, "\n")
}

func share(x *float64) string {
	if x == nil {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100**x)
}

func lasting(seconds *float64) string {
	if seconds == nil {
		return "–"
	}
	return slo.InWords(time.Duration(*seconds * float64(time.Second)))
}

// Read reads the BudgetPolicy resources of files, in order of name.
func Read(kinds *resource.Registry, files map[string][]byte) ([]Named, error) {
	if len(files) == 0 {
		return nil, nil
	}
	set, findings := resource.Load(kinds, files)
	if set == nil {
		return nil, resource.Refuse("slo.backtest", findings)
	}
	var out []Named
	specs, meta := resource.Specs[Spec](set, KindBudgetPolicy)
	for i := range specs {
		out = append(out, Named{Name: meta[i].Name, Spec: specs[i]})
	}
	slices.SortStableFunc(out, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// BuiltIn is the policy that holds where none is named.
func BuiltIn() Named { return Named{Name: DefaultName, Spec: Default()} }
