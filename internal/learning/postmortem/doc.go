// Package postmortem turns what went wrong into something that is learned.
//
// When an incident is resolved, a policy says whether it has to be written up
// and by when; the draft is written at once, from the incident's timeline and
// from what it spent of the error budgets. People add what no log knows. What
// they write names roles, not persons ("the commander", "an on-call engineer of
// payments"), because whoever fears for himself tells less ("Site Reliability
// Engineering", 2016, chapter 15; Allspaw, "Blameless PostMortems and a Just
// Culture", 2012). What is to be done about it is an action item, with an owner
// and a due date, and is closed by evidence: a test that failed before and
// passes after, an alert that fired in a rehearsal, a change on the watched
// branch.
//
// A tour: resource.go declares the kind PostmortemPolicy; trouble.go folds what
// is known of an incident; events.go and state.go are the document's facts and
// fold; decide.go asks for a postmortem and reminds of it; draft.go writes the
// draft, and cast.go replaces persons by roles in it; item.go, state of the
// action items, and evidence.go, what closes them; review.go is the way to
// publication; library.go searches and counts; export.go writes Markdown;
// operations.go is what people do.
package postmortem
