package incident

import "time"

// Route is who is paged by an alert's route: a team instead of the service's
// owner, an EscalationPolicy instead of the team's.
type Route struct {
	Team   string `json:"team,omitempty"`
	Policy string `json:"policy,omitempty"`
}

// route is that of the open incident, else of the signal that will open one.
func (d Desk) route() Route {
	if i := d.Open; i != nil {
		r := Route{Policy: i.Policy}
		if i.Routed {
			r.Team = i.Place.Team
		}
		return r
	}
	for _, s := range d.Pending {
		if s.triggers() {
			return Route{Team: s.Team, Policy: s.Policy}
		}
	}
	return Route{}
}

// putOff snoozes the incident when every alert that hurts is snoozed: it goes on
// when the first of them is over.
func (d *desk) putOff(s Signal) {
	var until time.Time
	for _, f := range d.Firing {
		if !f.Until.After(d.now) {
			return
		}
		if until.IsZero() || f.Until.Before(until) {
			until = f.Until
		}
	}
	if until.IsZero() || d.Open.Paged == 0 {
		return
	}
	o := Snoozed{Place: d.Open.Place, Until: until, Reason: "every alert of it is snoozed: " + s.Text}
	i := d.Open.snoozed(o)
	d.Open = &i
	d.fact(EventSnoozed, o)
}
