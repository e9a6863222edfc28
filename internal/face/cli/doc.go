// Package cli is the command line: flyball NOUN VERB ARGUMENTS --flags, made
// from the same operations as the API.
//
// Data goes to stdout and talk to stderr, so output can be piped; -o json is
// the API's answer. Colour only repeats what a word says, and nothing moves
// where nobody watches. A tour:
//
//   - cli.go      New makes the command tree, Main runs it
//   - command.go  one operation's command: arguments, flags, help, completion
//   - session.go  global flags; which server, which token
//   - client.go   calls over HTTP
//   - exit.go     error → exit code and message, the one place
//   - render.go, value.go, table.go  what people see
//   - watch.go, tail.go  what follows events
//
// Commands that are no operation (up, demo, init) are written by the app and
// handed to New; For gives them the same session.
package cli
