package runbook

import "time"

// The facts about runs. Their stream is runbook/SERVICE.ENVIRONMENT; their
// subject is the incident that the run is for, so that they stand in its
// timeline, else the run itself.
const (
	EventStarted  = "runbook.started"   // data is Started
	EventStepped  = "runbook.stepped"   // data is Stepped
	EventStopping = "runbook.stopping"  // data is Said: somebody, or the burn rate, wants it ended
	EventFinished = "runbook.finished"  // data is Finished
	EventHeldBack = "runbook.held_back" // data is HeldBack: it would have run by itself, and must not
)

// Place is what every fact about a run says about where it is.
type Place struct {
	Run         string `json:"run"`
	Runbook     string `json:"runbook"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Environment string `json:"environment"`
	Incident    string `json:"incident,omitempty"`
	Rollout     string `json:"rollout,omitempty"` // the newest that the incident is linked with
}

// Started says that a run began, and how the runbook stood then: a run is gone
// through as it was begun.
type Started struct {
	Place
	Title     string     `json:"runbook_title"`
	Commit    string     `json:"commit,omitempty"` // of the file that declared it
	Steps     []Step     `json:"steps"`
	Automatic *Automatic `json:"automatic,omitempty"` // it began by itself, by this
	Trigger   string     `json:"trigger,omitempty"`   // ID of the event that it answers
	Reason    string     `json:"reason"`
}

// Stepped says that a step is over.
type Stepped struct {
	Place
	Step    int     `json:"step"` // from 1
	Name    string  `json:"name"`
	Outcome string  `json:"outcome"` // done, skipped or failed
	Reason  string  `json:"reason,omitempty"`
	Text    string  `json:"text"`              // all of it in a line
	Seconds float64 `json:"seconds,omitempty"` // a command took
}

// The outcomes of a step; the first and the last are those of a run, too.
const (
	OutcomeDone    = "done"
	OutcomeSkipped = "skipped" // by a person, who said why
	OutcomeFailed  = "failed"
	OutcomeStopped = "stopped" // of a run: by a person, the burn rate, or its incident's end
)

// Said is what somebody says about a run.
type Said struct {
	Place
	Reason string `json:"reason"`
}

// Finished says that a run is over.
type Finished struct {
	Place
	Outcome      string  `json:"outcome"` // done, failed or stopped
	Reason       string  `json:"reason"`
	Seconds      float64 `json:"seconds"` // from its start
	Automatic    bool    `json:"automatic"`
	SavedSeconds float64 `json:"saved_seconds,omitempty"` // of a person's time, when it was done by itself
}

// HeldBack says why a runbook did not run by itself.
type HeldBack struct {
	Place
	Trigger string    `json:"trigger"`
	Reason  string    `json:"reason"`
	Until   time.Time `json:"until,omitzero"`
}
