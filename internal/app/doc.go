// Package app puts the house together: the explicit list of kinds,
// projections, controllers, action types, reading sources and operations
// (house.go), and one process that runs them (app.go).
//
// Nothing registers itself. What Flyball knows and does is what this package
// lists; a reader who wants to know whether something is in the binary looks
// here.
package app
