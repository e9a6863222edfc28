package oncall

import "time"

// The facts about schedules. Their stream is schedule/NAME, their subject the
// same.
const (
	EventOverridden = "oncall.overridden" // data is Overridden
	EventCancelled  = "oncall.cancelled"  // data is Cancelled
)

// Overridden says that somebody stands in. A swap is two of them.
type Overridden struct {
	Schedule string    `json:"schedule"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Person   string    `json:"person"`
	Replaces string    `json:"replaces,omitempty"` // only the shifts of this person
	Reason   string    `json:"reason,omitempty"`
	Swap     bool      `json:"swap,omitempty"`
}

// Cancelled says that an override does not hold.
type Cancelled struct {
	Schedule string `json:"schedule"`
	Override string `json:"override"`
	Reason   string `json:"reason,omitempty"`
}
