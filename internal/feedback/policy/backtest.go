package policy

import (
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// Named is a policy that is tried.
type Named struct {
	Name string
	Spec Spec
}

// BudgetScore is what a budget policy would have done to the changes of a
// recorded history.
//
// A change that the policy would have blocked was released all the same, so its
// outcome is known. One that was blocked then has none: it counts in
// WithoutOutcome, and in no share. And had the policy held then, what came after
// a blocked change would have been another history; this says nothing of that.
type BudgetScore struct {
	Objective string `json:"objective"`
	Policy    string `json:"policy"`
	Changes   int    `json:"changes"` // within the data
	Allowed   int    `json:"allowed"`
	Slowed    int    `json:"slowed"`
	Blocked   int    `json:"blocked"`
	// Of the changes with an outcome:
	Failed         int      `json:"failed"`
	BlockedFailed  int      `json:"blocked_failed"` // blocked by the policy, and did fail
	BlockedOK      int      `json:"blocked_ok"`     // blocked by the policy, and did no harm
	Precision      *float64 `json:"precision"`      // blocked_failed ÷ (blocked_failed + blocked_ok)
	Recall         *float64 `json:"recall"`         // blocked_failed ÷ failed
	WithoutOutcome int      `json:"without_outcome"`
	Note           string   `json:"note,omitempty"`

	Decisions []Tried `json:"decisions,omitempty"`
}

// Tried is the policy's decision on one change.
type Tried struct {
	slo.Deployment
	Effect    Effect  `json:"effect"`
	Rule      string  `json:"rule"`
	Remaining float64 `json:"remaining"`
	Burn1h    float64 `json:"burn_1h"`
}

// Backtest tries a policy on every deployment, with the budget as it was known
// then: Evaluate decides, as it does at the gate.
func Backtest(p Named, o *slo.Objective, events *slo.Series, deployments []slo.Deployment) (BudgetScore, error) {
	s := BudgetScore{Objective: o.ID(), Policy: p.Name}
	at, err := o.At(events)
	if err != nil {
		return s, err
	}
	first, end := events.Bounds()
	for _, d := range deployments {
		if !d.Time.After(first) || d.Time.After(end) {
			continue
		}
		m := at(d.Time)
		if !m.Known {
			continue
		}
		s.add(try(p, o, m, d, d.Time))
	}
	s.Precision = ratio(s.BlockedFailed, s.BlockedFailed+s.BlockedOK)
	s.Recall = ratio(s.BlockedFailed, s.Failed)
	if s.WithoutOutcome > 0 {
		s.Note = plural(s.WithoutOutcome, "change") + " blocked then, without an outcome to score: counted in no share"
	}
	return s, nil
}

func try(p Named, o *slo.Objective, m slo.Moment, d slo.Deployment, now time.Time) Tried {
	kind := d.Kind
	if kind == "" {
		kind = "deploy"
	}
	out := Evaluate(Inputs{
		Policy: p.Name, Spec: p.Spec, Service: o.Service, Environment: o.Environment, Complete: true,
		Objectives: []Budget{{Key: o.ID(), Name: o.Name, Remaining: m.Remaining, Allowed: m.Allowed, BadLeft: m.BadLeft, Level: slo.LevelOf(m.Remaining), Burn1h: m.Burn1h}},
		Change:     Change{Change: d.Change, Marked: d.Marked, Kind: kind},
	}, now)
	return Tried{Deployment: d, Effect: out.Effect, Rule: out.Rule, Remaining: out.Remaining, Burn1h: out.Burn1h}
}

func (s *BudgetScore) add(t Tried) {
	s.Changes++
	s.Decisions = append(s.Decisions, t)
	switch t.Effect {
	case Allow:
		s.Allowed++
	case Slow:
		s.Slowed++
	default:
		s.Blocked++
	}
	switch {
	case t.Outcome == slo.OutcomeBlocked:
		s.WithoutOutcome++
	case t.Outcome == slo.OutcomeFailed:
		s.Failed++
		if t.Effect == Freeze {
			s.BlockedFailed++
		}
	case t.Effect == Freeze:
		s.BlockedOK++
	}
}

// ratio is n ÷ of, or nothing of nothing.
func ratio(n, of int) *float64 {
	if of == 0 {
		return nil
	}
	x := float64(n) / float64(of)
	return &x
}
