package dora

// The facts of other rooms that the numbers come from, and the parts of them
// that are looked at.
const (
	changePushed         = "change.pushed"
	changeMarked         = "change.marked"
	rolloutStarted       = "rollout.started"
	rolloutPromoted      = "rollout.promoted"
	rolloutRolledBack    = "rollout.rolled_back"
	rolloutAborted       = "rollout.aborted"
	rolloutFinished      = "rollout.finished"
	incidentOpened       = "incident.opened"
	incidentLinked       = "incident.linked"
	incidentMitigated    = "incident.mitigated"
	incidentResolved     = "incident.resolved"
	kindDeploy           = "deploy"
	kindRedeploy         = "redeploy"
	kindRollback         = "rollback"
	kindBaseline         = "baseline" // the first in a place: it sets the frontier
	outcomePromoted      = "promoted"
	roleSuspect          = "suspect"
	roleCulprit          = "culprit"
	roleTrigger          = "trigger"
	markFix              = "fix"
	linkRollback         = "rollback"
	severityUsersAreHurt = 2 // incidents of this severity or worse
)

type pushed struct {
	Change    string   `json:"change"`
	Service   string   `json:"service"`
	Team      string   `json:"team"`
	Commit    string   `json:"commit"`
	Previous  string   `json:"previous"`
	Commits   []Commit `json:"commits"`
	Truncated bool     `json:"truncated"`
	As        string   `json:"as"` // of change.marked
}

type moved struct {
	Rollout        string `json:"rollout"`
	Change         string `json:"change"`
	Service        string `json:"service"`
	Team           string `json:"team"`
	Environment    string `json:"environment"`
	Commit         string `json:"commit"`
	Revision       string `json:"revision"`
	Kind           string `json:"kind"`
	Outcome        string `json:"outcome"`
	Reason         string `json:"reason"`
	Weight         int    `json:"weight"`
	CanaryRequests int64  `json:"canary_requests"`
	CanaryBad      int64  `json:"canary_bad"`
}

type troubled struct {
	Incident    string `json:"incident"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Severity    int    `json:"severity"`
	Kind        string `json:"kind"`
	Role        string `json:"role"`
	Rollout     string `json:"rollout"`
	Began       string `json:"began"`
}
