// Package incident turns trouble into one thing that somebody owns.
//
// A rollback, a page-level alert or a spent error budget opens an incident for
// the service and environment it hurts, unless one is open: then it is linked
// to that one. Whoever the team names is paged once, and again only when it
// gets worse. The timeline is not written by anybody: it is a query over the
// log for everything the incident is linked to.
//
// A tour: events.go and signal.go say what happens and what it is made of;
// state.go folds the incidents and, for each service and environment, the desk
// that the controller in decide.go works at; severity.go holds the rules of
// severity and of what counts as mitigated; page.go is the action notify.page;
// timeline.go is the query; operations.go is what people do. Leading one is in
// command.go, lead.go, task.go, tell.go and merge.go. What may have caused it:
// change.go folds what was done, onset.go finds when trouble began, suspect.go
// weighs. call.go and callops.go page by hand, without an incident.
package incident
