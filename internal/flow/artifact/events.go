package artifact

import "strings"

// EventBuilt records that a run made an artifact and passed; data is Built.
const EventBuilt = "artifact.built"

// Built says what was made, from what.
type Built struct {
	Change   string `json:"change"`
	Run      string `json:"run"`
	Service  string `json:"service"`
	Team     string `json:"team"`
	Commit   string `json:"commit"`
	Digest   string `json:"digest"`   // of the OCI image, sha256:…
	Revision string `json:"revision"` // name under which it runs
	Size     int64  `json:"size"`     // bytes of the image
}

// Revision names what runs of a commit's artifact: the beginnings of the
// commit and of the digest.
func Revision(commit, digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return commit[:min(7, len(commit))] + "-" + hex[:min(6, len(hex))]
}

// Subject is the subject of an artifact's facts.
func Subject(service, digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return "artifact/" + service + "-" + hex[:min(12, len(hex))]
}
