package status

import "time"

// The facts about status pages. Their stream is status/PAGE, and so is their
// subject.
const (
	EventObserved  = "status.observed"  // data is Observed: what a component's objectives say is another state
	EventProposed  = "status.proposed"  // data is Draft: something a person may post
	EventWithdrawn = "status.withdrawn" // data is Withdrawn: a draft that is no more so
	EventDiscarded = "status.discarded" // data is Withdrawn: a person will not have it
	EventPosted    = "status.posted"    // data is Post: it is public from here on
	EventOutdated  = "status.outdated"  // data is Outdated: what was written elsewhere is to be written anew
)

// The facts about who wants to be told. Their stream is subscribers/PAGE. Only
// the first has an address; it is erased when the subscription ends.
const (
	EventAsked     = "status.asked"     // data is Asking: somebody wants to be told; nothing is sent before they confirm
	EventConfirmed = "status.confirmed" // data is Subscription
	EventEnded     = "status.ended"     // data is Subscription: they do not any more
	EventAnnounced = "status.announced" // data is Announced: how far a post has been sent; stream status/PAGE
)

// Asking is a subscription somebody asks for.
type Asking struct {
	Page       string `json:"page"`
	Subscriber string `json:"subscriber"` // stands for page, way, address and component; says nothing of the address
	Way        string `json:"way"`        // email or webhook
	Address    string `json:"address"`
	Component  string `json:"component,omitempty"` // empty: everything
}

// Subscription names one.
type Subscription struct {
	Page       string `json:"page"`
	Subscriber string `json:"subscriber"`
	Reason     string `json:"reason,omitempty"`
}

// Announced says to whom a post was sent: all subscribers up to one, by name.
type Announced struct {
	Page    string `json:"page"`
	Number  int    `json:"number"`            // of the post, from 1
	Through string `json:"through,omitempty"` // subscriber
	Sent    int    `json:"sent"`              // this time
	Done    bool   `json:"done,omitempty"`
}

// State is how a component is, in the words of Statuspage's API.
type State string

// The states, from best to worst; maintenance is beside them.
const (
	Operational State = "operational"
	Degraded    State = "degraded_performance"
	Partial     State = "partial_outage"
	Major       State = "major_outage"
	Maintained  State = "under_maintenance"
)

// States lists those that a notice may give to a component, from best to worst.
var States = []State{Operational, Degraded, Partial, Major}

// worse orders states; maintenance weighs more than working and less than not.
func (s State) weight() int {
	switch s {
	case Maintained:
		return 1
	case Degraded:
		return 2
	case Partial:
		return 3
	case Major:
		return 4
	}
	return 0
}

// Words are a state as people read it.
func (s State) Words() string {
	switch s {
	case Degraded:
		return "degraded performance"
	case Partial:
		return "partial outage"
	case Major:
		return "major outage"
	case Maintained:
		return "under maintenance"
	}
	return "operational"
}

// Phase is how far those who mend it are.
type Phase string

// The phases of a notice.
const (
	Investigating Phase = "investigating"
	Identified    Phase = "identified"
	Monitoring    Phase = "monitoring"
	Resolved      Phase = "resolved"
)

// Phases lists them in order.
var Phases = []Phase{Investigating, Identified, Monitoring, Resolved}

// Observed is the state that measurements give to a component.
type Observed struct {
	Page      string    `json:"page"`
	Component string    `json:"component"`
	State     State     `json:"state"`
	Reason    string    `json:"reason"` // for those who run it: it is not shown to users
	Objective string    `json:"objective,omitempty"`
	Since     time.Time `json:"since"`
}

// Draft is a post that waits for a person. Its ID changes with what it says, so
// that nobody agrees to what has changed meanwhile.
type Draft struct {
	ID      string `json:"id"`
	Page    string `json:"page"`
	Because string `json:"because"`         // for those who run it
	Event   string `json:"event,omitempty"` // ID of the fact it was made of, if it was one
	Said
}

// Said is what a post says.
type Said struct {
	Notice     string           `json:"notice,omitempty"` // the notice it is an update of; of a draft, empty: it would open one
	Title      string           `json:"title"`
	Phase      Phase            `json:"phase"`
	Text       string           `json:"text"`
	Components map[string]State `json:"components,omitempty"` // of the notice from here on
	Incident   string           `json:"incident,omitempty"`   // it is about; not shown
	NextDue    time.Time        `json:"next_due,omitzero"`    // when the next update is promised
}

// Post is what everybody gets to read.
type Post struct {
	Page  string `json:"page"`
	Draft string `json:"draft,omitempty"` // it was made of
	Event string `json:"event,omitempty"` // the draft's
	Opens bool   `json:"opens,omitempty"` // it is the first of its notice
	Said
}

// Withdrawn ends a draft.
type Withdrawn struct {
	Page   string `json:"page"`
	Draft  string `json:"draft"`
	Reason string `json:"reason"`
}

// Outdated says which page is to be written, and why.
type Outdated struct {
	Page     string    `json:"page"`
	Revision string    `json:"revision"` // of what it is made from
	Through  time.Time `json:"through"`  // uptime is counted up to here
}
