package slo

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Summary is what validating files found. Its JSON is stable.
type Summary struct {
	Objectives int               `json:"objectives"` // written, with or without errors
	Findings   []problem.Finding `json:"findings"`
}

// Errors is the number of findings that are errors.
func (s Summary) Errors() int {
	n := 0
	for _, f := range s.Findings {
		if f.Severity == "error" {
			n++
		}
	}
	return n
}

// Validate reads files and says what is wrong with them. queries checks what
// Check cannot: the language of an objective's sources; nil checks nothing.
func Validate(queries func(*Objective) []problem.Finding, files ...File) Summary {
	defs := Decode(files...)
	if queries != nil {
		for _, o := range defs.Objectives {
			defs.Findings = append(defs.Findings, queries(o)...)
		}
	}
	return Summary{Objectives: defs.Declared, Findings: append([]problem.Finding{}, defs.Findings...)}
}

// explainRatios are the error ratios that detection and reset are shown for.
var explainRatios = []Decimal{One, One / 10, One / 100}

// Explanation says what an objective means and how its alerts behave.
type Explanation struct {
	Objective string            `json:"objective"`
	Target    Decimal           `json:"target"`
	Window    Window            `json:"window"`
	Method    Method            `json:"method"`
	Budget    string            `json:"budget"`        // in words
	Agreement Decimal           `json:"sla,omitempty"` // looser target promised to customers
	Largest   Decimal           `json:"largest_factor"`
	Alerts    []RuleExplanation `json:"alerts"`
}

// RuleExplanation is how one condition of an alert policy behaves.
type RuleExplanation struct {
	Policy     string     `json:"policy"`
	Severity   string     `json:"severity"`
	Condition  string     `json:"condition"`
	BudgetUsed float64    `json:"budget_used"` // by the long window, at the factor
	Exhausts   string     `json:"exhausts"`    // a full budget, at the factor
	MinBad     int64      `json:"min_bad"`
	CanFire    bool       `json:"can_fire"`
	Reactions  []Reaction `json:"reactions"`
}

// Reaction is when a condition fires and resolves at one constant error ratio.
type Reaction struct {
	Ratio   Decimal  `json:"error_ratio"`
	Detects *float64 `json:"detection_seconds"` // from the start of errors; null: never
	Resets  *float64 `json:"reset_seconds"`     // from the end of errors that lasted long; null: never
}

// Explain says what objectives mean and how their alerts behave at error
// ratios of 100 %, 10 % and 1 % and at those given, from before any error, with
// steady traffic.
func Explain(objectives []*Objective, more ...Decimal) []Explanation {
	ratios := append(slices.Clone(explainRatios), more...)
	out := []Explanation{}
	for _, o := range objectives {
		e := Explanation{Objective: o.ID(), Target: o.Target, Window: o.Window, Method: o.Method, Budget: o.budgetInWords(),
			Agreement: o.Agreement, Largest: LargestFactor(o.Target), Alerts: []RuleExplanation{}}
		for _, r := range o.Rules() {
			e.Alerts = append(e.Alerts, o.explainRule(r, ratios))
		}
		out = append(out, e)
	}
	return out
}

func (o *Objective) explainRule(r Rule, ratios []Decimal) RuleExplanation {
	c := r.Condition
	e := RuleExplanation{Policy: r.Policy.Name, Severity: r.Policy.Severity, Condition: c.String(), MinBad: r.Policy.MinBad,
		BudgetUsed: BudgetUsed(c.Factor.Float64(), c.Long, o.Window.Nominal()), CanFire: CanFire(c.Factor, o.Target)}
	if life, ok := TimeToExhaustion(1, c.Factor.Float64(), o.Window.Nominal()); ok {
		e.Exhausts = InWords(life)
	}
	for _, ratio := range ratios {
		x := Reaction{Ratio: ratio}
		if d, ok := r.Detection(o.Target, ratio); ok {
			seconds := d.Seconds()
			x.Detects = &seconds
		}
		if d, ok := r.Reset(o.Target, ratio); ok {
			seconds := d.Seconds()
			x.Resets = &seconds
		}
		e.Reactions = append(e.Reactions, x)
	}
	return e
}

// Detection is how long a constant error ratio lasts until the rule fires:
// until both windows exceed the factor, and the policy's After has passed.
func (r Rule) Detection(target, ratio Decimal) (time.Duration, bool) {
	d, ok := DetectionTime(target, ratio, r.Condition.Factor, r.Condition.Long)
	return d + r.Policy.After, ok
}

// Reset is how long after a long stretch of a constant error ratio the rule
// resolves: when the first of its windows is back below the factor.
func (r Rule) Reset(target, ratio Decimal) (time.Duration, bool) {
	window := r.Condition.Long
	if r.Condition.Short > 0 {
		window = r.Condition.Short
	}
	return ResetTime(target, ratio, r.Condition.Factor, window)
}

// budgetInWords says what may go wrong over one window.
func (o *Objective) budgetInWords() string {
	length := o.Window.Nominal()
	outage := InWords(scaleDuration(length, ratOf(o.BudgetRatio())))
	if o.sliced() {
		slices := amountOf(o.slicesIn(length), o.BudgetRatio(), 1)
		return fmt.Sprintf("%s slices of %s in %s (%s)", slices, FormatDuration(o.SliceWindow), o.Window, outage)
	}
	return fmt.Sprintf("%s of events in %s (%s of total outage at steady traffic)", o.BudgetRatio().Percent(), o.Window, outage)
}

// WriteExplanations writes explanations as text for people.
func WriteExplanations(w io.Writer, explanations []Explanation) error {
	for i, e := range explanations {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s good over %s, by %s\n", e.Objective, e.Target.Percent(), e.Window, e.Method)
		fmt.Fprintf(w, "  budget: %s\n", e.Budget)
		if e.Agreement > 0 {
			fmt.Fprintf(w, "  SLA: %s, broken at %.4g times the objective's budget\n", e.Agreement.Percent(), float64(One-e.Agreement)/float64(One-e.Target))
		}
		fmt.Fprintf(w, "  a total outage burns at %s; no larger factor can ever fire\n", roundDown(e.Largest))
		if len(e.Alerts) == 0 {
			fmt.Fprintln(w, "  no alerts")
			continue
		}
		t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
		fmt.Fprint(t, "\n  POLICY\tCONDITION\tBUDGET USED\tLASTS\tFLOOR")
		for _, x := range e.Alerts[0].Reactions {
			fmt.Fprintf(t, "\tFIRES AT %s\tRESETS", x.Ratio.Percent())
		}
		fmt.Fprintln(t)
		for _, a := range e.Alerts {
			fmt.Fprintf(t, "  %s\t%s\t%.3g%%\t%s\t%d bad", a.Policy, a.Condition, 100*a.BudgetUsed, a.Exhausts, a.MinBad)
			for _, x := range a.Reactions {
				fmt.Fprintf(t, "\t%s\t%s", seconds(x.Detects), seconds(x.Resets))
			}
			fmt.Fprintln(t)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func seconds(s *float64) string {
	if s == nil {
		return "never"
	}
	return InWords(time.Duration(*s * float64(time.Second)))
}
