// Package budget keeps the ledger of error budgets: who spent it, exactly.
//
// Every bad event of an objective's window belongs to a cause: a change, a step
// of a flag, an experiment, a dependency, maintenance, an incident, or the
// background. Only the excess over what was usual is charged to a cause, for
// every request has a revision and blame by revision alone would leave no
// background. Counts are apportioned in whole events, so the shares sum to what
// was spent, at every moment, however late the counts come.
//
// A tour: cause.go says what goes in, ledger.go what comes out. attribute.go is
// the estimator, a pure function: it compares revisions within the same minutes
// where counts per revision are known; excess.go charges what happened at once,
// lasting.go what stays; level.go knows what is usual. apportion.go makes whole
// events of it and book.go a ledger. events.go, state.go and operations.go are
// where causes come from and where people ask. docs/budget.md has the formulas,
// the rules of overlap and the limits.
package budget
