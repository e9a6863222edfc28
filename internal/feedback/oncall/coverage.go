package oncall

import (
	"time"
)

// Hole is a time in which nobody of a schedule can be reached.
type Hole struct {
	Schedule string    `json:"schedule"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
}

// Holes lists the times between two instants in which nobody whom reachable
// approves of is on call. A nil reachable approves of everybody.
func (s ScheduleSpec) Holes(name string, from, to time.Time, reachable func(person string) bool, stints ...Stint) ([]Hole, error) {
	shifts, err := s.Shifts(from, to, stints...)
	if err != nil {
		return nil, err
	}
	var out []Hole
	at := from.UTC()
	for _, t := range shifts {
		if reachable != nil && !reachable(t.Person) {
			continue
		}
		if at.Before(t.Start) {
			out = append(out, Hole{name, at, t.Start})
		}
		at = later(at, t.End)
	}
	if at.Before(to) {
		out = append(out, Hole{name, at, to.UTC()})
	}
	return out, nil
}
