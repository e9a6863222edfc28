package support

// The facts about who is on call for a service. Their stream is
// support/SERVICE.ENVIRONMENT, their subject the same.
const (
	EventHandedBack = "support.handed_back" // data is Moved
	EventReturned   = "support.returned"    // data is Moved
)

// Moved says that on-call went from one team to another.
type Moved struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Team        string `json:"team"` // that owns the service
	Agreement   string `json:"agreement,omitempty"`
	From        string `json:"from"`
	To          string `json:"to"`
	Reason      string `json:"reason"`
}
