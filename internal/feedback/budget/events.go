package budget

import "time"

// The facts about what may have spent budget. Their stream is
// budget/SERVICE.ENVIRONMENT, their subject budget/LINK. They are records that
// are only added to: linking again gives the end of a link, or corrects it.
const (
	EventLinked   = "budget.linked"   // data is Linked
	EventUnlinked = "budget.unlinked" // data is Unlinked; the actor is who took it back
)

// Linked says that something may have spent budget in an interval.
type Linked struct {
	Link        string    `json:"link"` // KIND-NAME-BEGIN
	Service     string    `json:"service"`
	Team        string    `json:"team"`
	Environment string    `json:"environment"`
	Kind        string    `json:"kind"` // flag, experiment, dependency or maintenance
	Name        string    `json:"name"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to,omitzero"` // none while it lasts
	Reason      string    `json:"reason"`
}

// Unlinked takes a link back.
type Unlinked struct {
	Link        string `json:"link"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Environment string `json:"environment"`
	Reason      string `json:"reason"`
}
