// Package git reads repositories with the git program: port/repository's
// adapter.
//
// A repository is somebody else's input, its configuration included. So git is
// started without the caller's GIT_* variables and without system and user
// configuration; what a repository's own configuration could make it run
// (hooks, file-system monitors, signature checkers, transports) is overridden on
// the command line; only commands that need no filter or diff driver are used;
// file contents come from cat-file and are written by this package, not by
// git checkout. References go to git after --end-of-options, and answers are
// bounded.
//
//	exec.go      starting git, and what it may not do
//	open.go      finding a repository; Resolve, Contains
//	log.go       Log, patch ids
//	tree.go      listing and streaming what a commit contains
//	checkout.go  Checkout
//	files.go     Files, at a commit or in the work tree
//	diff.go      Diff
//	hook.go      the hook that tells Flyball of a push
//
// Git 2.30 or newer is needed.
package git
