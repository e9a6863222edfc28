// Package policy is the error budget policy: what a team has agreed to do as
// its error budget runs low, written down before it happens.
//
// While the budget is plentiful, changes flow freely. When it runs low they go
// slower: each may spend a smaller share of what is left, and somebody approves
// it. When it is spent, nothing is released but fixes and security changes,
// until the service is back inside its objectives ("The Site Reliability
// Workbook", 2018, appendix B). Whoever holds the role operator can override a
// freeze, for a reason and until a time, and both are recorded.
//
// A tour: resource.go declares the kind BudgetPolicy, whose levels and
// exemptions are CEL conditions (condition.go compiles them); decide.go is
// Evaluate, the pure function from facts to an Outcome; reading.go turns it
// into the reading "budget" that a release's gate looks at; events.go, state.go
// and operations.go are about overrides.
package policy
