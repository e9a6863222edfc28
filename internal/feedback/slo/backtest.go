package slo

import (
	"cmp"
	"slices"
	"time"
)

// Incident is a time in which users hurt, as somebody recorded it: what an alert
// is to find.
type Incident struct {
	Name  string    `json:"name,omitempty"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Alerts are the objectives whose alerts opened it, by key; none of one that a
	// person declared, or another tool.
	Alerts []string `json:"alerts,omitempty"`
}

// AlertScore is how an alert policy would have done over a recorded history.
type AlertScore struct {
	Objective string `json:"objective"`
	Policy    string `json:"policy"`
	Severity  string `json:"severity"`
	// Pages is how often the policy began to fire; True of them met an incident.
	Pages int `json:"pages"`
	True  int `json:"true_pages"`
	// Incidents is how many there were within the data; Found of them met a page.
	Incidents int      `json:"incidents"`
	Found     int      `json:"found"`
	Precision *float64 `json:"precision"` // True ÷ Pages; null without pages
	Recall    *float64 `json:"recall"`    // Found ÷ Incidents; null without incidents
	// Detection is from the start of an incident found to its first page, Reset
	// from its end to the end of its last page, in seconds; null without any.
	// What was firing already is detected after 0 s, what had stopped is reset.
	DetectionMedian *float64 `json:"detection_median_seconds"`
	DetectionMax    *float64 `json:"detection_max_seconds"`
	ResetMedian     *float64 `json:"reset_median_seconds"`
	ResetMax        *float64 `json:"reset_max_seconds"`
	Missed          []string `json:"missed,omitempty"` // names or starts of incidents not found
	Open            bool     `json:"open,omitempty"`   // fires at the end of the data
}

// page is a time in which a policy fires: any of its conditions.
type page struct {
	from, until time.Time
	open        bool
}

// BacktestAlerts scores every alert policy of an objective, and all of a
// severity together where there are several, over a recorded history of events.
// The firings are those of Replay, hence of the live engine. An incident counts
// as long as grace after its end; those outside the data are left out.
func BacktestAlerts(o *Objective, events *Series, incidents []Incident, grace time.Duration) ([]AlertScore, error) {
	report, err := Replay(o, events, time.Time{})
	if err != nil {
		return nil, err
	}
	first, end := events.Bounds()
	var within []Incident
	for _, in := range incidents {
		if in.Start.Before(end) && in.End.After(first) {
			within = append(within, in)
		}
	}
	slices.SortStableFunc(within, func(a, b Incident) int { return a.Start.Compare(b.Start) })
	var out []AlertScore
	severities := map[string]int{}
	for _, p := range o.AlertPolicies {
		severities[p.Severity]++
		pages := merged(report.Alerts, end, func(f ReplayedFiring) bool { return f.Policy == p.Name && f.Severity == p.Severity })
		s := score(pages, within, grace)
		s.Objective, s.Policy, s.Severity = o.ID(), p.Name, p.Severity
		out = append(out, s)
	}
	for _, severity := range keysOf(severities) {
		if severities[severity] > 1 {
			s := score(merged(report.Alerts, end, func(f ReplayedFiring) bool { return f.Severity == severity }), within, grace)
			s.Objective, s.Policy, s.Severity = o.ID(), "(all)", severity
			out = append(out, s)
		}
	}
	return out, nil
}

// merged are the firings chosen, those that overlap or touch as one.
func merged(firings []ReplayedFiring, end time.Time, chosen func(ReplayedFiring) bool) []page {
	var all []page
	for _, f := range firings {
		if !chosen(f) {
			continue
		}
		p := page{from: f.Fired, until: end, open: true}
		if f.Resolved != nil {
			p.until, p.open = *f.Resolved, false
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b page) int { return cmp.Or(a.from.Compare(b.from), a.until.Compare(b.until)) })
	var out []page
	for _, p := range all {
		if n := len(out); n > 0 && !p.from.After(out[n-1].until) {
			if p.until.After(out[n-1].until) {
				out[n-1].until = p.until
			}
			out[n-1].open = out[n-1].open || p.open
			continue
		}
		out = append(out, p)
	}
	return out
}

// score compares pages with incidents, both in order of time.
func score(pages []page, incidents []Incident, grace time.Duration) AlertScore {
	s := AlertScore{Pages: len(pages), Incidents: len(incidents)}
	meets := func(p page, in Incident) bool { return p.from.Before(in.End.Add(grace)) && p.until.After(in.Start) }
	for _, p := range pages {
		s.Open = s.Open || p.open
		if slices.ContainsFunc(incidents, func(in Incident) bool { return meets(p, in) }) {
			s.True++
		}
	}
	var detection, reset []float64
	for _, in := range incidents {
		first, last := -1, -1
		for i, p := range pages {
			if meets(p, in) {
				if first < 0 {
					first = i
				}
				last = i
			}
		}
		if first < 0 {
			s.Missed = append(s.Missed, cmp.Or(in.Name, in.Start.UTC().Format(time.RFC3339)))
			continue
		}
		s.Found++
		detection = append(detection, max(0, pages[first].from.Sub(in.Start).Seconds()))
		if !pages[last].open {
			reset = append(reset, max(0, pages[last].until.Sub(in.End).Seconds()))
		}
	}
	s.Precision, s.Recall = portion(s.True, s.Pages), portion(s.Found, s.Incidents)
	s.DetectionMedian, s.DetectionMax = middle(detection)
	s.ResetMedian, s.ResetMax = middle(reset)
	return s
}

// portion is n ÷ of, or nothing of nothing.
func portion(n, of int) *float64 {
	if of == 0 {
		return nil
	}
	x := float64(n) / float64(of)
	return &x
}

// middle is median and maximum; of an even number the median is the mean of the
// two in the middle.
func middle(values []float64) (median, most *float64) {
	if len(values) == 0 {
		return nil, nil
	}
	slices.Sort(values)
	n := len(values)
	m := (values[(n-1)/2] + values[n/2]) / 2
	return &m, &values[n-1]
}

// Moment is the state of an objective's budget at one moment of a recorded
// history: what a budget policy would have decided on.
type Moment struct {
	Known     bool // there is history before it
	Remaining float64
	Allowed   float64
	BadLeft   float64
	Burn1h    float64
}

// At gives the budget at moments of a recorded history, from what was known by
// then, with the functions of Replay.
func (o *Objective) At(events *Series) (func(time.Time) Moment, error) {
	units, err := o.BudgetSeries(events)
	if err != nil {
		return nil, err
	}
	return func(t time.Time) Moment {
		past := units.until(t)
		first, _ := past.Bounds()
		if past.Len() == 0 || !t.After(first) {
			return Moment{}
		}
		now := past.start(floorDiv(t.UnixNano()-past.phase, past.width))
		b, _ := o.Budget(past, now)
		m := Moment{Known: true, Remaining: b.RemainingRatio, Allowed: b.Allowed.Float64(), BadLeft: b.Remaining.Float64()}
		hour := past.Sum(now.Add(-time.Hour), now)
		m.Burn1h, _ = BurnRate(hour.Bad(), hour.Total, o.Target)
		return m
	}, nil
}
