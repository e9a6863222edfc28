package pipeline

// The facts of a run. Their stream and subject are pipeline/RUN.
const (
	EventStarted     = "pipeline.started"      // data is Started
	EventJobStarted  = "pipeline.job_started"  // data is JobStarted
	EventStepStarted = "pipeline.step_started" // data is StepStarted
	EventStepEnded   = "pipeline.step_ended"   // data is StepEnded
	EventStepSkipped = "pipeline.step_skipped" // data is StepSkipped
	EventJobPacking  = "pipeline.job_packing"  // data is JobPacking
	EventJobPacked   = "pipeline.job_packed"   // data is JobPacked
	EventJobEnded    = "pipeline.job_ended"    // data is JobEnded
	EventCancelled   = "pipeline.cancelled"    // data is Cancelled; what runs ends soon
	EventEnded       = "pipeline.ended"        // data is Ended
)

// Result is how a step, a job or a run ended, in GitHub's words.
type Result string

// The results.
const (
	Success         Result = "success"
	Failure         Result = "failure"
	CancelledResult Result = "cancelled"
	Skipped         Result = "skipped"
)

// Started is a run with all it depends on: the pipeline as it was at the
// commit, so that a later change to the file does not change the run.
type Started struct {
	Run      string `json:"run"`
	Pipeline string `json:"pipeline,omitempty"` // resource, or empty for a service's own commands
	Change   Change `json:"change"`
	Spec     Spec   `json:"spec"`
}

// JobStarted says that a job's checkout is made and its steps begin.
type JobStarted struct {
	Job string `json:"job"`
}

// StepStarted says that a step was sent to run, and how long it may take.
type StepStarted struct {
	Job     string  `json:"job"`
	Step    int     `json:"step"` // from 0
	Seconds float64 `json:"limit_seconds"`
}

// StepEnded says how a step ended. End is one of port/workload's End words.
type StepEnded struct {
	Job      string            `json:"job"`
	Step     int               `json:"step"`
	End      string            `json:"end"`
	ExitCode int               `json:"exit_code"`
	Detail   string            `json:"detail,omitempty"` // such as the signal or the start error
	Seconds  float64           `json:"seconds"`          // it took, by a clock that does not jump
	Outputs  map[string]string `json:"outputs,omitempty"`
}

// StepSkipped says why a step did not run. A step that could not be run because
// of itself (its expression failed) is a Failure.
type StepSkipped struct {
	Job    string `json:"job"`
	Step   int    `json:"step"`
	Reason string `json:"reason"`
	Result Result `json:"result"` // skipped or failure
}

// JobPacking says that a job's files are being made into the artifact.
type JobPacking struct {
	Job   string   `json:"job"`
	Files []string `json:"files"`
}

// JobPacked says how that went.
type JobPacked struct {
	Job    string `json:"job"`
	Digest string `json:"digest,omitempty"`
	Error  string `json:"error,omitempty"`
}

// JobEnded says how a job ended.
type JobEnded struct {
	Job     string            `json:"job"`
	Result  Result            `json:"result"`
	Reason  string            `json:"reason,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`
}

// Cancelled asks a run to end early.
type Cancelled struct {
	Reason string `json:"reason"`
}

// Ended says how a run ended.
type Ended struct {
	Result Result `json:"result"`
	Reason string `json:"reason,omitempty"`
	Digest string `json:"digest,omitempty"` // of the artifact, after success
}
