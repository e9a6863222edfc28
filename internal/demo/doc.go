// Package demo tells the story of Flyball on a small shop, unattended if need
// be, and proves it: flyball demo.
//
// A tour:
//
//   - demo.go is the beginning and the end: options, what is started, what is
//     reported, and that everything is ended again.
//   - story.go lists the steps; each says what is expected and finds out what
//     came of it. rollouts.go, outage.go and crash.go hold them.
//   - stage.go is the world around Flyball: a repository (repository.go), the
//     inventory the shop depends on, visitors (visitors.go) who come whether or
//     not they are answered, and a pager (pager.go).
//   - account.go tells for every request that failed whose fault it was.
//
// Everything is done by the ways a user has: commits, git push, the flyball
// command with the token of the person who runs it, and the HTTP API. Nothing
// reaches into the server.
package demo
