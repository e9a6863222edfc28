// Package release decides which artifact may go where, and when.
//
// A release is an artifact meant for an environment. When an artifact is built
// (or promoted in the environment before) the controller in decide.go proposes
// a release, and with it the action rollout.start. That action's gate, in
// gate.go, is one explained decision over clauses (ownership, tests,
// quarantine, freezes, error budget, approvals), each shown with its values and
// with what would unblock it. Allowed, the action starts a rollout; from there
// package rollout takes over.
package release
