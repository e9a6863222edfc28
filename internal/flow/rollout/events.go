package rollout

import (
	"time"

	"github.com/flyball-dev/flyball/internal/judge"
)

// The facts about rollouts. Their stream is rollout/NAME.
const (
	EventStarted          = "rollout.started"           // data is Started
	EventReady            = "rollout.ready"             // data is Ref: all instances are ready
	EventStepped          = "rollout.stepped"           // data is Stepped
	EventJudged           = "rollout.judged"            // data is Judged
	EventPaused           = "rollout.paused"            // data is Ref
	EventResumed          = "rollout.resumed"           // data is Ref
	EventPromoteRequested = "rollout.promote_requested" // data is Ref: a person wants the next step now
	EventAbortRequested   = "rollout.abort_requested"   // data is Ref: a person wants it back
	EventAsked            = "rollout.asked"             // data is Ref: the deadline passed, a person has to choose
	EventPromoted         = "rollout.promoted"          // data is Ended: everybody has it
	EventRolledBack       = "rollout.rolled_back"       // data is Ended: taken back on evidence
	EventAborted          = "rollout.aborted"           // data is Ended: taken back on request
	EventFinished         = "rollout.finished"          // data is Ended: nothing of it moves any more
)

// Started says what is rolled out where, and how. It holds everything the
// rollout needs, so that later changes of the service file do not touch it.
type Started struct {
	Rollout     string   `json:"rollout"`
	Release     string   `json:"release"`
	Change      string   `json:"change"`
	Service     string   `json:"service"`
	Team        string   `json:"team"`
	Environment string   `json:"environment"`
	Commit      string   `json:"commit"`
	Digest      string   `json:"digest"`
	Revision    string   `json:"revision"`
	From        string   `json:"from,omitempty"` // stable revision, empty for the first
	FromCommit  string   `json:"from_commit,omitempty"`
	Kind        string   `json:"kind"`             // deploy, redeploy or rollback
	Strategy    string   `json:"strategy"`         // rolling or canary
	Policy      string   `json:"policy,omitempty"` // budget rule in force when it started
	Plan        Plan     `json:"plan"`
	Workload    Workload `json:"workload"`
	Route       Route    `json:"route"`
}

// The strategies.
const (
	StrategyRolling = "rolling" // all at once when ready: there is nothing to compare with
	StrategyCanary  = "canary"  // step by step, judged against the stable revision
)

// Plan says how the canary moves.
type Plan struct {
	Steps           []int   `json:"steps"`            // ceilings in basis points, rising
	StepSeconds     float64 `json:"step_seconds"`     // least time at a step
	DeadlineSeconds float64 `json:"deadline_seconds"` // longest hold at a step
	OnDeadline      string  `json:"on_deadline"`      // ask, back or on
	Alpha           float64 `json:"alpha"`            // chance that a healthy change is taken back, all metrics together
	BudgetShare     float64 `json:"budget_share"`     // φ: of the budget left, what this change may spend before it is stopped
	WarmupSeconds   float64 `json:"warmup_seconds,omitempty"`
	Tolerated       float64 `json:"tolerated,omitempty"`  // relative worsening that is accepted
	DeclaredRate    float64 `json:"declared_rate"`        // requests per second the service file declares
	Objectives      []Goal  `json:"objectives,omitempty"` // what is judged, errors first
	PeriodSeconds   float64 `json:"period_seconds"`       // window of the objectives
	FixPasses       bool    `json:"fix_passes,omitempty"` // it passes a freeze: judged by a full budget and the policy's small share
	ReadySeconds    float64 `json:"ready_seconds"`        // longest time until it is ready
	BinSeconds      float64 `json:"bin_seconds"`          // windows in which failures may come together
}

// Goal is one metric that is judged.
type Goal struct {
	Name        string  `json:"name"`                   // errors, or slow-THRESHOLD
	Objective   string  `json:"objective,omitempty"`    // name of the objective it spends, such as availability
	Target      float64 `json:"target"`                 // share that must be good, between 0 and 1
	ThresholdNS int64   `json:"threshold_ns,omitempty"` // slower is bad; 0 for errors
}

// Workload says how the revision is run.
type Workload struct {
	Command   []string          `json:"command"`
	Env       map[string]string `json:"env,omitempty"`
	Instances int               `json:"instances"`
	ReadyPath string            `json:"ready_path,omitempty"`
}

// Route says which requests are the service's.
type Route struct {
	Host      string        `json:"host"`
	Path      string        `json:"path"`
	TimeoutNS time.Duration `json:"timeout_ns"`
	LimitNS   time.Duration `json:"limit_ns"`
}

// Ref names a rollout, with a reason where one is due.
type Ref struct {
	Rollout string `json:"rollout"`
	Reason  string `json:"reason,omitempty"`
}

// Stepped says that the canary's share changes.
type Stepped struct {
	Rollout     string `json:"rollout"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
	Step        int    `json:"step"`   // from 1; len(steps)+1 is everybody
	Weight      int    `json:"weight"` // basis points
}

// Judged is one look at the evidence: the counts since the look before,
// verbatim, and what they make of it.
type Judged struct {
	Rollout         string    `json:"rollout"`
	Service         string    `json:"service"`
	Environment     string    `json:"environment"`
	Weight          int       `json:"weight"`
	Arms            Arms      `json:"arms"`
	Metrics         []Finding `json:"metrics"`
	Verdict         string    `json:"verdict"` // on, back or hold
	Reason          string    `json:"reason"`
	ExpectedSeconds float64   `json:"expected_seconds,omitempty"` // until a verdict, at the present traffic
}

// Finding is the evidence on one metric, with what may be spent on it.
type Finding struct {
	judge.MetricEvidence
	Threshold int64 `json:"threshold_ns,omitempty"`
}

// Arms is the reading a rollout is judged by: what both revisions received,
// second by second, since a moment.
type Arms struct {
	From         time.Time `json:"from"`
	Until        time.Time `json:"until"`         // everything that arrived before is in
	WidthSeconds float64   `json:"width_seconds"` // of a bin
	ThresholdsNS []int64   `json:"thresholds_ns,omitempty"`
	Bins         []ArmsBin `json:"bins,omitempty"` // bins without requests are left out
	More         bool      `json:"more,omitempty"` // the reading was cut at MaxBins; ask again
}

// MaxBins bounds one reading.
const MaxBins = 900

// ArmsBin is one bin of both arms.
type ArmsBin struct {
	Time     time.Time `json:"t"`
	Baseline Counts    `json:"b"`
	Canary   Counts    `json:"c"`
}

// Counts is what one arm received in a bin.
type Counts struct {
	Requests int64   `json:"n"`
	Errors   int64   `json:"e,omitempty"`
	Slow     []int64 `json:"s,omitempty"` // per threshold
}

// bad is the number of requests that were bad by one metric.
func (c Counts) bad(threshold int) int64 {
	if threshold < 0 {
		return c.Errors
	}
	if threshold < len(c.Slow) {
		return c.Slow[threshold]
	}
	return 0
}

// Ended says how a rollout, or the part of it that faced users, ended.
type Ended struct {
	Rollout        string  `json:"rollout"`
	Release        string  `json:"release"`
	Change         string  `json:"change"`
	Service        string  `json:"service"`
	Team           string  `json:"team"`
	Environment    string  `json:"environment"`
	Revision       string  `json:"revision"`
	Commit         string  `json:"commit"`
	Digest         string  `json:"digest"`
	Previous       string  `json:"previous,omitempty"` // what was stable before
	Kind           string  `json:"kind"`
	Outcome        string  `json:"outcome"` // promoted, rolled_back, aborted or failed
	Reason         string  `json:"reason,omitempty"`
	Culprit        string  `json:"culprit,omitempty"` // metric that gave it away, or startup
	EValue         float64 `json:"e_value,omitempty"`
	Weight         int     `json:"weight"` // canary's share when it was decided, basis points
	CanaryRequests int64   `json:"canary_requests"`
	CanaryBad      int64   `json:"canary_bad"`
	Seconds        float64 `json:"seconds"` // since it started
}
