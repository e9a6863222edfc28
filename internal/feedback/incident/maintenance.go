package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/event"
)

// Suppressed says that symptoms came while a maintenance window was on: nobody
// is told of them unless they outlast it.
type Suppressed struct {
	Place
	Windows []string  `json:"windows"`
	Until   time.Time `json:"until"`
	Signals []string  `json:"signals"` // IDs of the events
	Reason  string    `json:"reason"`
}

// symptom reports whether a signal may be what planned work looks like. A
// revision that was taken back is news whatever is planned.
func (s Signal) symptom() bool {
	return s.triggers() && (s.Kind == KindAlert || s.Kind == KindBudget)
}

// covered are the windows that hold a signal back now, and when the last of them
// ends.
func (d *desk) covered(s Signal) (names []string, until time.Time) {
	if !s.symptom() {
		return nil, until
	}
	for _, w := range d.Maintenance {
		o, on := w.At(d.now)
		if !on || !alert.Covers(w, d.Service, d.Team, d.Environment, alert.ObjectiveLabels(s.Objective, d.Service, d.Team, d.Environment)) {
			continue
		}
		names = append(names, w.Name)
		if o.End.After(until) {
			until = o.End
		}
	}
	return names, until
}

// setAside puts what maintenance windows cover out of the pending signals, and
// brings back what outlasted them. Senders' alerts are rarely among them: those
// are held back where they come in.
func (d *desk) setAside() {
	s := Suppressed{Place: Place{Service: d.Service, Team: d.Team, Environment: d.Environment}}
	for _, p := range d.Pending {
		names, until := d.covered(p)
		if len(names) == 0 {
			continue
		}
		s.Signals = append(s.Signals, p.Event)
		for _, n := range names {
			if !slices.Contains(s.Windows, n) {
				s.Windows = append(s.Windows, n)
			}
		}
		if until.After(s.Until) {
			s.Until = until
		}
	}
	if len(s.Signals) > 0 {
		s.Reason = fmt.Sprintf("maintenance until %s (%s)", s.Until.UTC().Format(time.RFC3339), strings.Join(s.Windows, ", "))
		d.plan.Facts = append(d.plan.Facts, event.Draft{Type: EventSuppressed, Subject: "maintenance/" + s.Windows[0], Data: s})
		d.because("suppress", "maintenance", s.Signals[0], "nobody is paged for %s in %s: %s", d.Service, d.Environment, s.Reason)
		d.Desk = d.aside(s)
	}
	var wait []Signal
	for _, w := range d.Waiting {
		if names, _ := d.covered(w); len(names) > 0 {
			wait = append(wait, w)
		} else {
			d.Pending = append(slices.Clip(d.Pending), w)
		}
	}
	d.Waiting = wait
}

// maxWaiting bounds what is set aside in one place.
const maxWaiting = 50

// aside is the desk after signals were set aside: those that still hurt wait.
func (d Desk) aside(s Suppressed) Desk {
	var stay []Signal
	waiting := slices.Clone(d.Waiting)
	for _, p := range d.Pending {
		switch {
		case slices.Contains(s.Signals, p.Event):
			if _, firing := d.Firing[p.Alert]; p.Kind != KindAlert || firing {
				waiting = append(waiting, p)
			}
		case d.Open == nil && !p.triggers():
			waiting = Desk{Waiting: waiting}.over(p) // it came with what is set aside
		default:
			stay = append(stay, p)
		}
	}
	d.Pending, d.Waiting = stay, waiting[max(0, len(waiting)-maxWaiting):]
	return d
}

// over is what waits, without what a signal says is well again, or says anew.
func (d Desk) over(s Signal) []Signal {
	return slices.DeleteFunc(slices.Clone(d.Waiting), func(w Signal) bool {
		if w.Kind == KindAlert {
			return s.Alert == w.Alert
		}
		return s.Alert == "" && s.Objective == w.Objective && (s.Kind == KindResolution || s.Kind == KindBudget)
	})
}

// oldest is when the first of what is undecided came.
func (d Desk) oldest() (at time.Time) {
	for _, s := range slices.Concat(d.Pending, d.Waiting) {
		if at.IsZero() || s.At.Before(at) {
			at = s.At
		}
	}
	return at
}
