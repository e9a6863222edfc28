// Package slo is the engine for service level objectives: it turns counts of
// good and total events into reliability, burn rates, error budgets and
// alerts, exactly and explainably.
//
// A tour, in the order the numbers travel:
//
//   - decimal.go: exact decimals, so that 14.4 × 0.001 is 0.0144.
//   - objective.go: what is promised (target, window, budgeting method, alert
//     policies); openslo*.go, sloth.go and pyrra.go read it from files.
//   - slots.go: the history of one indicator, as slots of (good, total) that
//     know nothing of targets or windows; codec.go is its compact form.
//   - slices.go: the budget unit of each budgeting method, so that everything
//     after it works the same for events and for time slices.
//   - window.go: rolling and calendar windows in named time zones.
//   - burnrate.go: burn rate, budget used, detection and reset times.
//   - alert.go: multiwindow, multi-burn-rate policies that explain themselves.
//   - budget.go, forecast.go: what is allowed, spent and left, and until when.
//   - engine.go, meter.go: the live form, for many objectives at once.
//   - store.go, record.go: slots on disk, by indicator, for the whole retention.
//   - watch.go, declare.go, feed.go: the engine kept as declared, and fed.
//   - replay.go, explain.go: the same functions over files, without a server.
//
// Definitions follow "The Site Reliability Workbook" (Beyer et al., 2018),
// chapters 2, 4 and 5, and the OpenSLO specification v1.
//
// Nothing here reads a clock, a network or a database: time is handed in, and
// slots are kept through port/store's Blobs.
package slo
