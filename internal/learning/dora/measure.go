package dora

import (
	"slices"
	"time"
)

// Window is the span that numbers are taken over: [From, To).
type Window struct {
	From, To time.Time
	Zone     *time.Location // whose calendar days are counted
}

// Place is one service in one environment, with its deliveries.
type Place struct {
	Service    string
	Born       time.Time // first push or deployment, zero when there is none
	Deliveries []Delivery
	Incidents  []Incident
}

// Number is one measure, with what it rests on.
type Number struct {
	Value *float64 `json:"value"` // null: not known, Note says why
	Unit  string   `json:"unit"`  // per_day, seconds or ratio
	N     int      `json:"n"`     // observations it rests on
	Low   *float64 `json:"low,omitempty"`
	High  *float64 `json:"high,omitempty"` // ends of the 95 % interval; absent where n is too small for one
	Note  string   `json:"note,omitempty"`
	Band  *Band    `json:"band,omitempty"`
	Of    []string `json:"of"` // rollouts or incidents behind it, newest first, at most 1,000
}

// Numbers are the measures over one window.
type Numbers struct {
	Deployments int `json:"deployments"` // changes delivered to everybody
	Baselines   int `json:"baselines"`   // of those, first ones
	Rollbacks   int `json:"rollbacks"`   // deployments that went back; no change
	Redeploys   int `json:"redeploys"`   // of what ran already; no change

	DeploymentFrequency Number `json:"deployment_frequency"` // per calendar day
	MedianGap           Number `json:"median_gap"`           // between two deployments
	DeploymentDays      int    `json:"deployment_days"`      // calendar days with at least one
	Days                int    `json:"days"`                 // calendar days since the window's start, or the service's birth

	LeadTime        Number  `json:"lead_time"` // median, from a change's first commit until everybody has it
	LeadTimeP90     Number  `json:"lead_time_p90"`
	PushLeadTime    Number  `json:"push_lead_time"` // median, from the push
	PushLeadTimeP90 Number  `json:"push_lead_time_p90"`
	Coverage        float64 `json:"coverage"` // ratio of deployments whose commits are known
	Skewed          int     `json:"skewed"`   // changes with a negative time, counted as none

	ChangeFailRate Number `json:"change_fail_rate"` // failed ÷ completed
	Caught         Number `json:"caught"`           // taken back before everybody had it ÷ begun: the good number
	Aborted        int    `json:"aborted"`
	Suspected      Number `json:"suspected"` // came shortly before trouble; no proof

	Recovery         Number  `json:"recovery"`          // median of failed deployments, open ones censored
	IncidentRecovery Number  `json:"incident_recovery"` // median of incidents that hurt users
	Downtime         float64 `json:"downtime_seconds"`  // overlapping trouble of a service counted once
	ReworkRate       Number  `json:"rework_rate"`       // unplanned ÷ completed
}

// Measure takes the numbers over a window from any number of places.
func Measure(places []Place, w Window) Numbers {
	m := measuring{window: w}
	for _, p := range places {
		m.add(p)
	}
	n := Numbers{
		Deployments: len(m.completed), Baselines: m.baselines, Rollbacks: m.rollbacks, Redeploys: m.redeploys,
		Days: m.days(), Aborted: m.aborted, Downtime: m.downtime.Seconds(), Skewed: m.skewed,
	}
	n.frequency(m)
	n.leads(m)
	n.fails(m)
	n.recoveries(m)
	return n
}

// measuring gathers what lies in the window.
type measuring struct {
	window                                   Window
	born                                     time.Time
	completed                                []Delivery // reached everybody, or failed on the way
	begun                                    []Delivery // completed, caught and aborted
	baselines, rollbacks, redeploys, aborted int
	skewed, known                            int
	first, push                              []float64 // seconds
	gaps                                     []float64 // seconds
	withLead                                 []Delivery
	spells, incidentSpells                   []spell
	failures, incidents                      []string
	downtime                                 time.Duration
}

func (w Window) has(t time.Time) bool { return !t.Before(w.From) && t.Before(w.To) }

func (m *measuring) add(p Place) {
	if !p.Born.IsZero() && (m.born.IsZero() || p.Born.Before(m.born)) {
		m.born = p.Born
	}
	var last time.Time
	var outages []Outage
	for _, d := range p.Deliveries {
		if d.Failure != nil {
			outages = append(outages, *d.Failure)
		}
		if !m.window.has(d.At) {
			continue
		}
		m.delivery(d)
		if d.change() {
			if !last.IsZero() {
				m.gaps = append(m.gaps, d.At.Sub(last).Seconds())
			}
			last = d.At
		}
	}
	for _, i := range p.Incidents {
		if i.Severity > severityUsersAreHurt {
			continue
		}
		o := Outage{Cause: i.Incident, Began: i.BeganAt, Ended: i.OverAt}
		outages = append(outages, o)
		if m.window.has(i.BeganAt) {
			m.incidents = append(m.incidents, i.Incident)
			m.incidentSpells = append(m.incidentSpells, m.spell(o))
		}
	}
	m.downtime += downtime(outages, m.window)
}

// change reports whether a delivery brought a change to everybody.
func (d Delivery) change() bool {
	return d.Outcome == outcomePromoted && (d.Kind == kindDeploy || d.Kind == kindBaseline)
}

func (m *measuring) delivery(d Delivery) {
	switch {
	case d.Kind == kindRollback && d.Outcome == outcomePromoted:
		m.rollbacks++
		return
	case d.Kind == kindRedeploy && d.Outcome == outcomePromoted:
		m.redeploys++
		return
	case d.Verdict == VerdictAborted:
		m.aborted++
	}
	m.begun = append(m.begun, d)
	if d.Verdict == VerdictFailed || d.change() {
		m.completed = append(m.completed, d)
	}
	if d.Failure != nil {
		m.failures = append(m.failures, d.Rollout)
		m.spells = append(m.spells, m.spell(*d.Failure))
	}
	if d.Kind == kindBaseline {
		m.baselines++
	}
	if d.Kind == kindDeploy && d.change() && !d.Unknown {
		m.known++
	}
	if len(d.Changes) > 0 {
		m.withLead = append(m.withLead, d)
	}
	for _, l := range d.Changes {
		m.first, m.push = append(m.first, l.FirstCommit.Seconds()), append(m.push, l.Push.Seconds())
		if l.Skewed {
			m.skewed++
		}
	}
}

// spell is how long an outage lasted as far as the window knows.
func (m *measuring) spell(o Outage) spell {
	if o.Ended.IsZero() || o.Ended.After(m.window.To) {
		return spell{seconds: max(0, m.window.To.Sub(o.Began).Seconds()), censored: true}
	}
	return spell{seconds: max(0, o.Ended.Sub(o.Began).Seconds())}
}

// downtime is how much of a window outages cover, overlaps counted once.
func downtime(outages []Outage, w Window) (total time.Duration) {
	ordered := slices.Clone(outages)
	slices.SortFunc(ordered, func(a, b Outage) int { return a.Began.Compare(b.Began) })
	until := w.From
	for _, o := range ordered {
		began, ended := later(o.Began, until), o.Ended
		if ended.IsZero() || ended.After(w.To) {
			ended = w.To
		}
		if ended.After(began) {
			total += ended.Sub(began)
			until = ended
		}
	}
	return total
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// days counts the calendar days that the window has had since the first
// service's birth, the present one included. A part of a day counts as a day,
// so that three deployments in the first hour are three a day, not 72.
func (m *measuring) days() int {
	from, to := later(m.window.From, m.born), m.window.To
	if m.born.IsZero() || !from.Before(to) {
		return 0
	}
	a, b := date(from, m.window.Zone), date(to.Add(-time.Nanosecond), m.window.Zone)
	return int(b.Sub(a)/(24*time.Hour)) + 1
}

// date is a day of a zone's calendar, as a day of UTC: those have 24 hours.
func date(t time.Time, zone *time.Location) time.Time {
	y, mo, d := t.In(zone).Date()
	return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
}

func (n *Numbers) frequency(m measuring) {
	var changes []Delivery
	dates := map[time.Time]bool{}
	for _, d := range m.completed {
		if d.change() {
			changes = append(changes, d)
			dates[date(d.At, m.window.Zone)] = true
		}
	}
	n.DeploymentDays = len(dates)
	n.DeploymentFrequency = Number{Unit: "per_day", N: len(changes), Of: rollouts(changes)}
	if n.Days > 0 {
		days := float64(n.Days)
		low, high := countInterval(len(changes))
		n.DeploymentFrequency.Value = new(float64(len(changes)) / days)
		n.DeploymentFrequency.Low, n.DeploymentFrequency.High = new(low/days), new(high/days)
	} else {
		n.DeploymentFrequency.Note = "nothing has been pushed or deployed yet"
	}
	n.MedianGap = quantileOf(m.gaps, 0.5, rollouts(changes), "fewer than two deployments")
}

func (n *Numbers) leads(m measuring) {
	of := rollouts(m.withLead)
	const none = "no deployment in the window brought a change whose commits are known"
	n.LeadTime, n.LeadTimeP90 = quantileOf(m.first, 0.5, of, none), quantileOf(m.first, 0.9, of, none)
	n.PushLeadTime, n.PushLeadTimeP90 = quantileOf(m.push, 0.5, of, none), quantileOf(m.push, 0.9, of, none)
	deploys := 0
	for _, d := range m.completed {
		if d.Kind == kindDeploy && d.change() {
			deploys++
		}
	}
	n.Coverage = 1
	if deploys > 0 {
		n.Coverage = float64(m.known) / float64(deploys)
	}
}

func (n *Numbers) fails(m measuring) {
	is := func(verdict string) func(Delivery) bool { return func(d Delivery) bool { return d.Verdict == verdict } }
	n.ChangeFailRate = ratioOf(m.completed, is(VerdictFailed), "nothing was deployed")
	n.Caught = ratioOf(m.begun, is(VerdictCaught), "no rollout ended")
	n.Suspected = ratioOf(m.completed, func(d Delivery) bool { return len(d.Suspected) > 0 && d.Verdict != VerdictFailed }, "nothing was deployed")
	n.ReworkRate = ratioOf(m.completed, func(d Delivery) bool { return d.Rework }, "nothing was deployed")
}

func (n *Numbers) recoveries(m measuring) {
	n.Recovery = recoveryOf(m.spells, m.failures, "no deployment failed")
	n.IncidentRecovery = recoveryOf(m.incidentSpells, m.incidents, "no incident hurt users")
}

// maxOf bounds the names behind one number.
const maxOf = 1000

func rollouts(deliveries []Delivery) []string {
	out := []string{}
	for i := len(deliveries) - 1; i >= 0 && len(out) < maxOf; i-- {
		out = append(out, deliveries[i].Rollout)
	}
	return out
}

func quantileOf(values []float64, p float64, of []string, none string) Number {
	n := Number{Unit: "seconds", N: len(values), Of: of}
	if len(values) == 0 {
		n.Note = none
		return n
	}
	s := sorted(values)
	n.Value = new(quantile(s, p))
	n.Low, n.High = quantileInterval(s, p)
	return n
}

// ratioOf is the share of deliveries for which something holds; those are
// listed behind it.
func ratioOf(all []Delivery, holds func(Delivery) bool, none string) Number {
	var some []Delivery
	for _, d := range all {
		if holds(d) {
			some = append(some, d)
		}
	}
	n := Number{Unit: "ratio", N: len(all), Of: rollouts(some)}
	if len(all) == 0 {
		n.Note = none
		return n
	}
	low, high := proportionInterval(len(some), len(all))
	n.Value, n.Low, n.High = new(float64(len(some))/float64(len(all))), new(low), new(high)
	return n
}

func recoveryOf(spells []spell, of []string, none string) Number {
	n := Number{Unit: "seconds", N: len(spells), Of: append([]string{}, of[:min(len(of), maxOf)]...)}
	if len(spells) == 0 {
		n.Note = none
		return n
	}
	s := kaplanMeier(spells)
	n.Low, n.High = s.low, s.high
	if s.reached {
		n.Value = &s.median
	} else {
		n.Note = "more than half is not over yet"
	}
	return n
}
