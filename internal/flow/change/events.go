package change

import "time"

// The facts about changes. Their stream is change/NAME.
const (
	EventPushed = "change.pushed" // data is Pushed
	EventMarked = "change.marked" // data is Marked
)

// Pushed says which commits a push brought.
type Pushed struct {
	Change     string   `json:"change"` // SERVICE-SHA7
	Service    string   `json:"service"`
	Team       string   `json:"team"`
	Repository string   `json:"repository"`
	Branch     string   `json:"branch"`
	Commit     string   `json:"commit"`
	Previous   string   `json:"previous,omitempty"` // commit pushed before, empty for the first or after a force-push
	Forced     bool     `json:"forced,omitempty"`   // the commit pushed before is not in this one's history
	Commits    []Commit `json:"commits"`            // newest first, at most MaxCommits
	Truncated  bool     `json:"truncated,omitempty"`
	Files      int      `json:"files"`
	Insertions int      `json:"insertions"` // lines
	Deletions  int      `json:"deletions"`  // lines
}

// MaxCommits is how many commits of one push are named; its number of lines
// and files counts them all.
const MaxCommits = 500

// Commit is one commit of a change.
type Commit struct {
	SHA       string    `json:"sha"`
	Author    string    `json:"author"`
	Email     string    `json:"email,omitempty"`
	Authored  time.Time `json:"authored"`
	Committed time.Time `json:"committed"`
	Subject   string    `json:"subject"`
}

// Marked says what a change is for. A fix or a security change passes a freeze.
type Marked struct {
	Change string `json:"change"`
	As     string `json:"as"` // fix or security
	Reason string `json:"reason"`
}
