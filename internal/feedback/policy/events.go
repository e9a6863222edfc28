package policy

import "time"

// The facts about overrides. Their stream is override/SERVICE.ENVIRONMENT.
const (
	EventOverridden = "gate.overridden"       // data is Overridden; the actor is its author
	EventRevoked    = "gate.override_revoked" // data is Revoked
)

// RuleFreeze is the rule an override lifts: a freeze, whether the budget's or
// the calendar's.
const RuleFreeze = "freeze"

// Overridden says that a rule does not hold for a service in an environment,
// for a while.
type Overridden struct {
	Service     string    `json:"service"`
	Environment string    `json:"environment"`
	Rule        string    `json:"rule"`
	Reason      string    `json:"reason"`
	Expires     time.Time `json:"expires"`
}

// Revoked ends every override of a rule for a service in an environment.
type Revoked struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Rule        string `json:"rule"`
	Reason      string `json:"reason"`
}
