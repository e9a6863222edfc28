package budget

import "time"

// The kinds of causes.
const (
	KindChange      = "change"      // a revision that served, or that was rolling out
	KindFlag        = "flag"        // a step of a feature flag
	KindExperiment  = "experiment"  // a running experiment
	KindDependency  = "dependency"  // something the service depends on was down
	KindMaintenance = "maintenance" // announced work
	KindIncident    = "incident"    // trouble whose cause nobody has named
	KindBackground  = "background"  // what goes wrong when nothing in particular is the matter
)

// Slot is what one minute of an indicator counted.
type Slot struct {
	Time     time.Time // begin of the minute
	Total    int64
	Bad      int64
	Arms     []Arm // of Total and Bad, per revision; none where that is not known
	Excluded bool  // counts in the raw budget only
}

// Arm is what one revision received of a minute. The revision "" is the
// router: what it answered itself because nobody else could.
type Arm struct {
	Revision string
	Total    int64
	Bad      int64
}

// Cause is something that may have spent budget, with the interval in which it
// may have. What happened in that interval is not charged to it yet: only the
// excess over the baseline is.
type Cause struct {
	Kind     string
	Name     string
	Title    string    // one line for a person
	Link     string    // path of its page
	Revision string    // of a change
	From     time.Time // when it may have begun to matter
	To       time.Time // when it was over; zero while it lasts
	// Full is when a change's revision began to serve alone; zero: it never did,
	// or not yet.
	Full time.Time
	// Culprit is the change that a person named as the cause of an incident.
	Culprit string
}

// lasting reports whether the cause, once there, stays: a change that serves
// alone, a flag, an experiment. Its effect is then a level rather than an
// event.
func (c *Cause) lasting() bool {
	return c.Kind == KindChange || c.Kind == KindFlag || c.Kind == KindExperiment
}

// rank is the order of evidence among causes that overlap and of which none was
// seen alone: what was seen to be down, what somebody did on purpose, what was
// new.
func (c *Cause) rank() int {
	switch c.Kind {
	case KindDependency:
		return 0
	case KindMaintenance:
		return 1
	case KindFlag:
		return 2
	case KindExperiment:
		return 3
	case KindChange:
		return 4
	}
	return 5
}
