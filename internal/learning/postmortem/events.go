package postmortem

import "time"

// The facts about postmortems and their action items. Their stream and subject
// are postmortem/NAME.
const (
	EventRequired  = "postmortem.required"  // data is Required
	EventExcused   = "postmortem.excused"   // data is Excused: it need not be written
	EventOverdue   = "postmortem.overdue"   // data is Overdue
	EventDrafted   = "postmortem.drafted"   // data is Drafted
	EventEdited    = "postmortem.edited"    // data is Edited; the actor is its author
	EventTagged    = "postmortem.tagged"    // data is Tagged
	EventSubmitted = "postmortem.submitted" // data is Reviewed: it is to be reviewed
	EventApproved  = "postmortem.approved"  // data is Reviewed; the actor is the reviewer
	EventPublished = "postmortem.published" // data is Reviewed
	EventReopened  = "postmortem.reopened"  // data is Reviewed: it is written on

	EventItemAdded     = "postmortem.item_added"     // data is Item
	EventItemChanged   = "postmortem.item_changed"   // data is Item, as it is now
	EventItemRehearsed = "postmortem.item_rehearsed" // data is Rehearsed: an alert is going to be tried out
	EventItemClosed    = "postmortem.item_closed"    // data is Closed
	EventItemReopened  = "postmortem.item_reopened"  // data is Closed: it was not done after all
)

// Place is what every fact about a postmortem says about where it belongs.
type Place struct {
	Postmortem  string `json:"postmortem"`
	Incident    string `json:"incident"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Environment string `json:"environment"`
}

// Required says that an incident has to be written up.
type Required struct {
	Place
	Title     string    `json:"title"`
	Severity  int       `json:"severity"`
	Policy    string    `json:"policy"` // its name
	Rule      string    `json:"rule"`   // severity, budget or duration
	Reason    string    `json:"reason"`
	Due       time.Time `json:"due"`       // by when it is in review
	Reviewers int       `json:"reviewers"` // people who must approve
}

// Excused says that an incident need not be written up: by policy, or because a
// person says so.
type Excused struct {
	Place
	Policy string `json:"policy,omitempty"`
	Reason string `json:"reason"`
}

// Overdue says that a postmortem should have been in review by now.
type Overdue struct {
	Place
	Due    time.Time `json:"due"`
	Times  int       `json:"times"` // reminders so far, this one included
	Reason string    `json:"reason"`
}

// Drafted is a draft as written from the facts. Drafted again, it replaces what
// no person has edited.
type Drafted struct {
	Place
	Title     string    `json:"title"`
	Named     bool      `json:"named,omitempty"` // persons are named, because somebody asked for it
	Sections  []Written `json:"sections"`
	Factors   []string  `json:"factors,omitempty"`
	Cast      []Named   `json:"cast,omitempty"` // persons in it, and the roles they stand for
	Reviewers int       `json:"reviewers,omitempty"`
}

// Written is one section's text.
type Written struct {
	Section string `json:"section"`
	Text    string `json:"text"`
}

// Edited is a new text of one section, or of the title.
type Edited struct {
	Place
	Written
	Version int `json:"version"` // of the section, with this text
}

// Tagged says which factors contributed, all of them.
type Tagged struct {
	Place
	Factors []string `json:"factors"`
}

// Reviewed is a step on the way to publication and back.
type Reviewed struct {
	Place
	Version int    `json:"version"` // of the text it is about
	Edition int    `json:"edition,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Item is something that is going to be done about it.
type Item struct {
	Place
	Item  string    `json:"item"` // POSTMORTEM-NUMBER
	Title string    `json:"title"`
	Kind  string    `json:"kind"`  // prevent, detect, mitigate or process
	Owner string    `json:"owner"` // a person or a team
	Due   time.Time `json:"due"`
}

// Rehearsed says that a failure is made on purpose, to see an alert fire.
type Rehearsed struct {
	Place
	Item   string    `json:"item"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`
}

// Closed says how an action item ended.
type Closed struct {
	Place
	Item     string    `json:"item"`
	Evidence *Evidence `json:"evidence,omitempty"`
	Reason   string    `json:"reason,omitempty"` // without evidence, and for reopening
}

// Evidence is what shows that an action item was done.
type Evidence struct {
	Kind   string `json:"kind" doc:"test, alert or change"`
	Text   string `json:"text" doc:"what was found, in one line"`
	Failed string `json:"failed,omitempty" doc:"of a test: the run, job and step that failed"`
	Passed string `json:"passed,omitempty" doc:"of a test: the run, job and step that passed"`
	Alert  string `json:"alert,omitempty" doc:"of an alert: its name"`
	Change string `json:"change,omitempty" doc:"of a change: its name"`
	Commit string `json:"commit,omitempty"`
	Event  string `json:"event,omitempty" doc:"ID of the fact that shows it"`
}
