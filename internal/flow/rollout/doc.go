// Package rollout moves users from one revision to another, as fast as the
// evidence allows and as slowly as the error budget demands.
//
// A tour:
//
//   - start.go turns an allowed release into rollout.started, which holds
//     everything the rollout needs.
//   - decide.go is the pure decision, taken at least once a second while users
//     face a canary: start instances, take the next step, hold, ask, promote.
//   - exposure.go says whether the next step is affordable: what it could still
//     break must fit into the share of the error budget one change may spend.
//   - rollback.go is the way back: on evidence, on failing to start, on request.
//   - events.go and state.go are the facts and their fold; the evidence itself
//     is computed by package judge from the counts recorded in rollout.judged.
//   - actions.go has the effects on workloads and traffic; a canary's share is a
//     lease that lapses to the stable revision when nobody refreshes it.
//   - judgefile.go judges recorded counts from CSV files with the same function.
package rollout
