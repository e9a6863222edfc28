package slo

import "time"

// The facts about objectives. Their stream is objective/KEY, with KEY being
// SERVICE.ENVIRONMENT.NAME.
const (
	EventBudgetChanged = "budget.changed" // data is BudgetChanged: the level of the budget is another
	EventAlertFired    = "alert.fired"    // data is AlertChanged
	EventAlertResolved = "alert.resolved" // data is AlertChanged
)

// The facts about what does not count, on the same stream; their actor is the
// author. None is ever changed: a record that was wrong is lifted by another.
const (
	EventExcluded  = "slo.excluded"  // data is Adjusted: the slots of a span are as if nothing had reported
	EventCorrected = "slo.corrected" // data is Adjusted: bad events of a span were good
	EventLifted    = "slo.lifted"    // data is AdjustmentLifted
)

// The levels of a budget.
const (
	LevelPlentiful = "plentiful" // more than half is left
	LevelLow       = "low"       // half or less
	LevelExhausted = "exhausted" // nothing
)

// LevelOf is the level of a budget of which a share is left.
func LevelOf(remaining float64) string {
	switch {
	case remaining <= 0:
		return LevelExhausted
	case remaining <= 0.5:
		return LevelLow
	}
	return LevelPlentiful
}

// BudgetChanged says that a budget's level changed, with the numbers.
type BudgetChanged struct {
	Objective   string  `json:"objective"` // key
	Service     string  `json:"service"`
	Team        string  `json:"team"`
	Environment string  `json:"environment"`
	Name        string  `json:"name"`
	Target      string  `json:"target"`
	Level       string  `json:"level"`
	Before      string  `json:"before,omitempty"`
	Remaining   float64 `json:"remaining"` // ratio; negative when overspent
	Allowed     float64 `json:"allowed"`   // bad events
	Spent       float64 `json:"spent"`     // bad events
	Burn1h      float64 `json:"burn_1h"`
}

// AlertChanged says that a rule of an alert policy began or ceased to fire.
type AlertChanged struct {
	Alert       string    `json:"alert"`     // unique: key, rule and the moment it fired
	Objective   string    `json:"objective"` // key
	Service     string    `json:"service"`
	Team        string    `json:"team"`
	Environment string    `json:"environment"`
	Policy      string    `json:"policy"`
	Condition   string    `json:"condition"`
	Severity    string    `json:"severity"`        // page or ticket
	Group       string    `json:"group,omitempty"` // of the objective's groups, the one that fires, such as route=/a
	Fired       time.Time `json:"fired"`
	Resolved    time.Time `json:"resolved,omitzero"`
	Explanation string    `json:"explanation"`
	BurnLong    float64   `json:"burn_long"`
	BurnShort   float64   `json:"burn_short,omitempty"`
	Bad         int64     `json:"bad"`   // events in the long window
	Total       int64     `json:"total"` // events in the long window
	ExhaustsIn  float64   `json:"exhausts_in_seconds,omitempty"`
	// Notify is where it is told when it begins, and NotifyEnd when it ends:
	// CHANNEL, or CHANNEL:ADDRESS.
	Notify    []string `json:"notify,omitempty"`
	NotifyEnd []string `json:"notify_end,omitempty"`
}
