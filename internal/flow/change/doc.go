// Package change follows commits from the moment they are pushed.
//
// A change is the set of commits one push brings to a service's watched branch.
// It is the first fact of everything that follows: the run that builds it, the
// artifact, the release and the rollout are all caused by it, link by link, so
// that any later decision can be traced back to commits and their authors.
//
// push.go reads the repository and records change.pushed; state.go folds
// changes; operations.go lets people push, list, show and mark them.
package change
