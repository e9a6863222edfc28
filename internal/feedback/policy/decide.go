package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Budget is one objective's budget, as the objectives' room measures it.
type Budget struct {
	Key       string    `json:"key"` // SERVICE.ENVIRONMENT.NAME
	Name      string    `json:"name"`
	Remaining float64   `json:"remaining"` // share of the budget left: 1 is untouched, 0 is spent, less is overspent
	Allowed   float64   `json:"allowed"`   // bad events a window allows
	BadLeft   float64   `json:"bad_left"`  // of those, how many are left
	Level     string    `json:"level"`     // plentiful, low or exhausted
	Burn1h    float64   `json:"burn_1h"`   // burn rate over the last hour: 1 spends exactly the budget in a window
	Recovers  time.Time `json:"recovers,omitzero"`
	SpentBy   string    `json:"spent_by,omitempty"` // who spent it, when it is spent: 77c0e12 (71 %), background (29 %)
}

// Change is what a policy may ask about the change that wants to be released.
type Change struct {
	Change string `json:"change,omitempty"`
	Marked string `json:"marked,omitempty"` // fix, security or empty
	Kind   string `json:"kind,omitempty"`   // deploy, rollback or redeploy
}

// Facts are what one condition is evaluated over. As CEL variables: remaining,
// burn_1h, allowed, bad_left (numbers), level, objective, service, team,
// environment, change, marked, kind (text).
type Facts struct {
	Budget
	Service     string
	Team        string
	Environment string
	Change      Change
}

// Inputs is everything an outcome depends on. It is kept with the outcome so
// that the outcome can be recomputed.
type Inputs struct {
	Policy      string     `json:"policy"` // its name
	Commit      string     `json:"commit,omitempty"`
	Spec        Spec       `json:"spec"`
	Service     string     `json:"service"`
	Team        string     `json:"team"`
	Environment string     `json:"environment"`
	Objectives  []Budget   `json:"objectives"`
	Complete    bool       `json:"complete"` // false: some counts are not known yet
	Change      Change     `json:"change"`
	Overrides   []Override `json:"overrides,omitempty"` // active ones
}

// Outcome is what the policy says about a release now.
type Outcome struct {
	Effect      Effect    `json:"effect"`
	Rule        string    `json:"rule"`                // POLICY/LEVEL, POLICY/EXEMPTION or override
	Objective   string    `json:"objective,omitempty"` // the one that decided
	Remaining   float64   `json:"remaining"`           // of that objective's budget
	Burn1h      float64   `json:"burn_1h"`
	SpentBy     string    `json:"spent_by,omitempty"` // who spent that objective's budget, when it is spent
	Reason      string    `json:"reason"`
	Unblock     string    `json:"unblock,omitempty"`      // what would lift a freeze or a need for approval
	UnblockAt   time.Time `json:"unblock_at,omitzero"`    // when the budget is back if nothing more goes wrong, where known
	BudgetShare float64   `json:"budget_share"`           // ratio of the budget left that the change may spend; 0 is the environment's own
	Approvals   int       `json:"approvals"`              // people who must agree, for this policy
	Override    string    `json:"override,omitempty"`     // who lifted a freeze, until when and why
	Lifted      string    `json:"lifted,omitempty"`       // the override of freezes in force, whether or not the budget needs it
	Frozen      bool      `json:"frozen"`                 // the level is a freeze, whether or not this change passes it
	Uncertain   bool      `json:"uncertain,omitempty"`    // some counts were not known yet
	NoObjective bool      `json:"no_objective,omitempty"` // there is nothing to go by
}

// Evaluate says what a policy does to a release now. Each objective is judged
// by itself and the one with the gravest effect decides; of equal effects, the
// one with least budget left. A condition that cannot be evaluated freezes: a
// rule that cannot be read is not a permission.
func Evaluate(in Inputs, now time.Time) Outcome {
	o := in.evaluate(now)
	if v, ok := in.override(now); ok {
		o.Lifted = v.terms()
	}
	return o
}

func (in Inputs) evaluate(now time.Time) Outcome {
	if len(in.Objectives) == 0 {
		return Outcome{
			Effect: Allow, Rule: in.Policy + "/none", Remaining: 1, NoObjective: true,
			Reason: fmt.Sprintf("%s has no objective in %s, so no budget limits it", in.Service, in.Environment),
		}
	}
	var worst Outcome
	for i, b := range in.Objectives {
		o := in.one(b, now)
		graver := severity[o.Effect] > severity[worst.Effect] ||
			o.Effect == worst.Effect && o.Remaining < worst.Remaining
		if i == 0 || graver {
			worst = o
		}
	}
	worst.Uncertain = !in.Complete
	return worst
}

// one judges one objective.
func (in Inputs) one(b Budget, now time.Time) Outcome {
	f := Facts{Budget: b, Service: in.Service, Team: in.Team, Environment: in.Environment, Change: in.Change}
	o := Outcome{Objective: b.Key, Remaining: b.Remaining, Burn1h: b.Burn1h}
	level, err := in.Spec.level(f)
	if err != nil {
		level = Level{Name: level.Name, Effect: Freeze}
	}
	o.Rule = in.Policy + "/" + level.Name
	o.Effect, o.BudgetShare, o.Approvals = level.Effect, level.BudgetShare.Ratio(), level.Approvals
	left := fmt.Sprintf("budget of %s: %s left, burning %s× over 1 h", b.Key, percent(b.Remaining), number(b.Burn1h))
	if b.Remaining <= 0 {
		by := ""
		if b.SpentBy != "" {
			by, o.SpentBy = " by "+b.SpentBy, b.SpentBy
		}
		left = fmt.Sprintf("budget of %s is spent%s (%s left), burning %s× over 1 h", b.Key, by, percent(b.Remaining), number(b.Burn1h))
	}
	switch {
	case err != nil:
		o.Reason = fmt.Sprintf("%s; level %q of policy %s cannot be evaluated: %s", left, level.Name, in.Policy, err)
	case level.Effect == Allow:
		o.Reason = fmt.Sprintf("%s; level %q of policy %s lets changes flow", left, level.Name, in.Policy)
	case level.Effect == Slow:
		o.Reason = fmt.Sprintf("%s; level %q of policy %s slows changes down%s", left, level.Name, in.Policy, terms(o))
	default:
		o.Reason = fmt.Sprintf("%s; level %q of policy %s freezes changes", left, level.Name, in.Policy)
	}
	if level.Effect != Freeze {
		if o.Approvals > 0 {
			o.Unblock = plural(o.Approvals, "approval") + " of an operator"
			if in.Team != "" {
				o.Unblock += " of " + in.Team
			}
		}
		return o
	}
	o.Frozen = true
	return in.pass(f, level.Name, o, now)
}

// pass looks for what lets a change through a freeze: an exemption, then an
// override.
func (in Inputs) pass(f Facts, level string, o Outcome, now time.Time) Outcome {
	for _, e := range in.Spec.Exemptions {
		if ok, err := holds(e.When, f); err == nil && ok {
			o.Effect, o.Rule, o.BudgetShare, o.Approvals = Slow, in.Policy+"/"+e.Name, e.BudgetShare.Ratio(), e.Approvals
			o.Reason += fmt.Sprintf("; this one passes as %q (%s)%s", e.Name, in.Change, terms(o))
			return o
		}
	}
	if v, ok := in.override(now); ok {
		o.Effect, o.Rule, o.BudgetShare, o.Approvals = Slow, "override", overrideShare, 0
		o.Override = v.terms()
		o.Reason += "; overridden " + o.Override
		return o
	}
	if f.Remaining <= 0 {
		o.UnblockAt = f.Recovers
	}
	o.Unblock = in.unblock(f, level, now)
	return o
}

// override is the override of freezes that holds now.
func (in Inputs) override(now time.Time) (Override, bool) {
	for _, v := range in.Overrides {
		if v.Covers(RuleFreeze, now) {
			return v, true
		}
	}
	return Override{}, false
}

// terms says who lifted the freeze, until when and why.
func (o Override) terms() string {
	return fmt.Sprintf("by %s until %s: %s", o.By, stamp(o.Expires), o.Reason)
}

// overrideShare is the ratio of the budget left that a change released under
// an override may spend: it is watched as closely as a fix.
const overrideShare = 0.005

func (s Spec) level(f Facts) (Level, error) {
	for _, l := range s.Levels {
		ok, err := holds(l.When, f)
		if err != nil || ok {
			return l, err
		}
	}
	return Level{Name: "none", Effect: Allow}, nil
}

func (in Inputs) unblock(f Facts, level string, now time.Time) string {
	var ways []string
	switch {
	case f.Remaining > 0:
		ways = append(ways, fmt.Sprintf("unblocks when level %q no longer holds", level))
	case f.Recovers.After(now):
		ways = append(ways, fmt.Sprintf("unblocks about %s (in %s) if nothing more fails", clockTime(f.Recovers, now), span(f.Recovers.Sub(now))))
	default:
		ways = append(ways, "unblocks when enough old failures have left the window")
	}
	if in.Change.Change != "" {
		ways = append(ways, fmt.Sprintf("or when an operator marks the change as a fix: flyball change mark %s --as fix --reason …", in.Change.Change))
	}
	ways = append(ways, fmt.Sprintf("or by an operator's override: flyball override grant %s --environment %s --reason …", in.Service, in.Environment))
	return strings.Join(ways, "; ")
}

// String is the change in a reason.
func (c Change) String() string {
	switch {
	case c.Marked != "":
		return "marked as " + c.Marked
	case c.Kind != "":
		return c.Kind
	}
	return "by its condition"
}

func terms(o Outcome) string {
	var out string
	if o.BudgetShare > 0 {
		out += fmt.Sprintf(": budget share %s", percent(o.BudgetShare))
	}
	if o.Approvals > 0 {
		if out == "" {
			return ": " + plural(o.Approvals, "approval")
		}
		out += ", " + plural(o.Approvals, "approval")
	}
	return out
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// percent writes a ratio as people read it: whole per cents, and a decimal
// where a whole one would hide the value.
func percent(ratio float64) string {
	p := ratio * 100
	digits := 0
	if math.Abs(p) < 10 && math.Abs(p-math.Round(p)) > 0.005 {
		digits = 1
	}
	s := strconv.FormatFloat(math.Abs(p), 'f', digits, 64)
	if p < 0 && strings.Trim(s, "0.") != "" {
		s = "−" + s
	}
	return s + " %"
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// clockTime is a time of today as a clock shows it, another with its date.
func clockTime(t, now time.Time) string {
	if t, now = t.UTC(), now.UTC(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04 MST")
	}
	return stamp(t)
}

func span(d time.Duration) string {
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("%d d", int(d.Round(24*time.Hour)/(24*time.Hour)))
}
