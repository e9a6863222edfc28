package status

import (
	"fmt"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// SourceName is the reading that pages are decided from.
const SourceName = "status"

// Asked is what the reading is asked for.
type Asked struct {
	Page string
	Spec PageSpec
}

// Seen is what the reading has.
type Seen struct {
	Measures    []Measure     `json:"measures"`
	Maintenance []Maintenance `json:"maintenance,omitempty"` // on now, or planned
}

// Measure is one objective of one component, as the reading has it.
type Measure struct {
	Component string            `json:"component"`
	Objective string            `json:"objective"` // key
	Kind      slo.IndicatorKind `json:"kind"`
	Bad       int64             `json:"bad"` // of Total, over the thresholds' time
	Total     int64             `json:"total"`
	Firing    string            `json:"firing,omitempty"` // gravest severity of an alert
	Burn1h    float64           `json:"burn_1h"`
	Remaining float64           `json:"remaining"` // share of the budget
}

// Derived is the state that measurements give to a component.
type Derived struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	Known     bool   `json:"known"` // false: there is no evidence for any state
	Reason    string `json:"reason"`
	Objective string `json:"objective,omitempty"` // the one that says so
}

// Derive is the worst state that any of a component's objectives gives to it.
// Too few events are no evidence, neither for a bad state nor for a good one.
func Derive(component string, t Thresholds, measures []Measure) Derived {
	d := Derived{Component: component, State: Operational, Reason: "nothing is measured"}
	for _, m := range measures {
		if m.Component != component {
			continue
		}
		state, known, reason := t.state(m)
		if !known {
			continue
		}
		if !d.Known || state.weight() > d.State.weight() {
			d.State, d.Reason, d.Objective = state, reason, m.Objective
		}
		d.Known = true
	}
	return d
}

// state is what one objective says.
func (t Thresholds) state(m Measure) (s State, known bool, reason string) {
	fires := m.Firing == "page" && t.Alert != "none" || m.Firing == "ticket" && t.Alert == "ticket"
	enough := m.Total > 0 && m.Total >= t.Events
	bad := 0.0
	if m.Total > 0 {
		bad = 100 * float64(m.Bad) / float64(m.Total)
	}
	numbers := fmt.Sprintf("%d of %d events of %s were bad over %s (%.2g %%)", m.Bad, m.Total, m.Objective, slo.FormatDuration(t.Over), bad)
	slow := m.Kind == slo.Latency || m.Kind == slo.Threshold
	switch {
	case enough && !slow && bad >= float64(t.Major):
		return Major, true, numbers
	case enough && !slow && bad >= float64(t.Partial):
		return Partial, true, numbers
	case fires:
		return Degraded, true, fmt.Sprintf("an alert of %s fires (%s); %s", m.Objective, m.Firing, numbers)
	case enough && (t.Degraded > 0 && bad >= float64(t.Degraded) || slow && bad >= float64(t.Partial)):
		return Degraded, true, numbers
	}
	return Operational, enough, numbers
}
