package release

// The facts about releases.
const (
	EventProposed         = "release.proposed"          // data is Proposed; subject release/NAME
	EventQuarantineLifted = "release.quarantine_lifted" // data is Lifted
)

// ActionStart is the type of the gated action that starts a rollout; its
// parameters are Proposed.
const ActionStart = "rollout.start"

// Proposed says which artifact is meant for which environment.
type Proposed struct {
	Release     string `json:"release"` // CHANGE-ENVIRONMENT
	Change      string `json:"change"`
	Run         string `json:"run,omitempty"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Environment string `json:"environment"`
	Commit      string `json:"commit"`
	Digest      string `json:"digest"` // of the OCI image, sha256:…
	Revision    string `json:"revision"`
	Kind        string `json:"kind"` // deploy, redeploy or rollback
	Author      string `json:"author,omitempty"`
}

// The kinds of release.
const (
	KindDeploy   = "deploy"   // a change nobody has had yet in this environment
	KindRedeploy = "redeploy" // what runs there already, again
	KindRollback = "rollback" // something that ran there before
)

// Lifted says that a revision that went back may be tried again.
type Lifted struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Revision    string `json:"revision"`
	Reason      string `json:"reason"`
}

// Built is the part of artifact.built that a release needs.
type Built struct {
	Change   string `json:"change"`
	Run      string `json:"run"`
	Service  string `json:"service"`
	Team     string `json:"team"`
	Commit   string `json:"commit"`
	Digest   string `json:"digest"`
	Revision string `json:"revision"`
}
