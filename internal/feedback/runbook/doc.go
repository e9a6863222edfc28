// Package runbook is what to do when something known goes wrong, as a resource:
// steps that are text for a person, commands, or operations of Flyball's own.
//
// A Runbook is declared in git (resource.go). A Run is one going-through of it,
// for a service in an environment, mostly during an incident: begun by a person,
// or by itself where the runbook says when, how often, and what stops it
// (trigger.go). Its facts (events.go) fold into Run and into the Desk of a place
// (state.go). Decide (decide.go) takes every open run of a place as far as it can
// go: it proposes what the next step does as an action, which waits for an
// operator's approval unless the step needs none, watches it, and ends the run.
// Workbench (effects.go) has the effects: commands run in a sandbox, operations as
// the runbook's own caller. What people can do is in operations.go; what runs
// that went by themselves saved, in savings.go.
package runbook
