// Package alert takes alerts from whoever sends them, at the senders' own
// paths and in their own formats, and tells each of them once.
//
// A tour, in the way of an alert:
//
//   - report.go: a Report is one sender's statement about one alert; bounds.
//     alertmanager.go, pagerduty.go, opsgenie.go and event.go (plain JSON)
//     decode what is sent. They are pure.
//   - integration.go: an Integration is one sender's key, and what its alerts
//     belong to when they do not say so themselves.
//   - intake.go: dedup. What is new is recorded before it is acknowledged; what
//     was said already only prolongs it, and is no event.
//   - silence.go, matcher.go: what holds an alert back from people.
//   - state.go, operations.go: what is shown and what users can do.
//
// Alerts leave this room as the facts alert.fired and alert.resolved, the same
// as those of objectives, so that incidents, pages and learning do not care
// where an alert comes from. An alert that is sent again unchanged is a
// signal, not an event: only its lease is prolonged, in memory; a server that
// starts grants each firing alert a fresh one, so that a restart never
// resolves what still burns.
package alert
