package maintenance

import "time"

// The facts about windows. Their stream is maintenance/NAME, their subject the
// same.
const (
	EventScheduled = "maintenance.scheduled" // data is Planned
	EventEnded     = "maintenance.ended"     // data is Ended
)

// Planned says that somebody scheduled a window.
type Planned struct {
	Window string     `json:"window"`
	Spec   WindowSpec `json:"spec"`
}

// Ended says that an occurrence was ended before its time. One that was called
// off ends when it would have begun.
type Ended struct {
	Window string    `json:"window"`
	Start  time.Time `json:"start"` // of the occurrence
	End    time.Time `json:"end"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"` // filled in from the event's actor
}
