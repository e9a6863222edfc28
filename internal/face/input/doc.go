// Package input turns what people and programs send into an operation's typed
// input, and back.
//
// Every face goes through it: the API for query parameters, paths and JSON
// bodies, the CLI for flags and arguments, the web for forms. So a duration is
// written "90s" or "2h" and a time in RFC 3339 wherever it is entered, an
// unknown name is refused everywhere, and all that is wrong is said at once.
package input
