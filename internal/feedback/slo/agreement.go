package slo

import (
	"fmt"
	"time"
)

// AgreementState is how far an objective is from breaking what was promised to
// customers (the SLA): the same indicator and window, with a looser target.
type AgreementState struct {
	Target  Decimal `json:"target"`
	Budget  Budget  `json:"budget"` // what the agreement allows, spent and left
	Margin  Amount  `json:"margin"` // bad events between the objective's budget being spent and the agreement being broken
	Left    Amount  `json:"left"`   // bad events until it is broken; negative once it is
	Broken  bool    `json:"broken"`
	Breaks  string  `json:"breaks,omitempty"` // when, at the present burn, RFC 3339; when it broke, if it did
	Soonest string  `json:"breaks_early,omitempty"`
	Latest  string  `json:"breaks_late,omitempty"`
}

// agreement is the state of the objective's SLA, nil without one.
func (o *Objective) agreement(in BudgetInput, own Budget, h History, scale int64, now time.Time) *AgreementState {
	if o.Agreement == 0 {
		return nil
	}
	looser := *o
	looser.Target = o.Agreement
	b := looser.BudgetOf(in)
	f := looser.Forecast(h, b, scale, now)
	return &AgreementState{Target: o.Agreement, Budget: b, Margin: b.Allowed.Sub(own.Allowed), Left: b.Remaining,
		Broken: f.Exhausted, Breaks: stamp(f.At), Soonest: stamp(f.Early), Latest: stamp(f.Late)}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// String is the state in words.
func (a *AgreementState) String() string {
	text := fmt.Sprintf("%s: %s bad until it is broken, %s of them between the objective and it", a.Target.Percent(), Scaled(a.Left.Float64()), Scaled(a.Margin.Float64()))
	switch {
	case a.Broken:
		return fmt.Sprintf("%s: broken since %s, by %s bad of the %s it allows", a.Target.Percent(), minute(a.Breaks), Scaled(a.Budget.Spent.Float64()), Scaled(a.Budget.Allowed.Float64()))
	case a.Breaks != "":
		text += "; at the present burn about " + minute(a.Breaks)
	}
	return text
}
