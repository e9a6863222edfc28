// Package maintenance says when work is planned on what, so that nobody is
// woken by what was expected, and users know of it before.
//
// A tour:
//
//   - resource.go: the kind MaintenanceWindow: what it covers, when, and what
//     users read about it.
//   - window.go: a Window is a declared or scheduled one; its Occurrences are
//     the times it is on. Local times and weekly hours follow the rules of
//     schedules (package oncall): when clocks change a window is rather longer
//     than shorter.
//   - reader.go: which windows cover a place, which are on, and when the others
//     are: what alerts, incidents and the status page ask.
//   - events.go, state.go: windows that people schedule and end are facts; those
//     declared in git are resources.
//   - operations.go, preview.go: what users can do.
//
// A window is like a silence: what it covers is recorded and shown but pages
// nobody, it acknowledges nothing, and what still fires at its end pages then.
package maintenance
