package status

import (
	"slices"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/slo"
)

// UptimeDays is how many days the bars show.
const UptimeDays = 90

// Day is what one day of a component was like, by the slots of its objective.
type Day struct {
	Date  string `json:"date"` // in the page's time zone
	Good  int64  `json:"good"`
	Total int64  `json:"total"`
	Known int    `json:"known"` // minutes that reported
	Span  int    `json:"span"`  // minutes of the day, up to Through
	Mark  Mark   `json:"mark"`
}

// Mark is how a day is shown.
type Mark string

// The marks. A day without a single event is no good day.
const (
	NoData Mark = "no data"
	Met    Mark = "met"    // the objective's target was met
	Missed Mark = "missed" // it was not
	Outage Mark = "outage" // the share of bad events was that of a partial outage, or worse
)

// Uptime is the last days of a component: the share of its events that were
// good. It is not a share of time: a minute at night weighs less than one at
// noon, as it does for those who met it.
type Uptime struct {
	Days    []Day     `json:"days"` // oldest first
	Good    int64     `json:"good"`
	Total   int64     `json:"total"`
	Through time.Time `json:"through"` // not included
	Target  float64   `json:"target"`  // of the objective
}

// Ratio is the share of good events; ok is false when there were none.
func (u Uptime) Ratio() (ratio float64, ok bool) {
	if u.Total <= 0 {
		return 0, false
	}
	return float64(u.Good) / float64(u.Total), true
}

// UptimeOf counts the last days up to through, in a zone. A slot belongs to the
// day in which it begins; partial is the share of bad events of a partial outage.
func UptimeOf(s *slo.Series, through time.Time, zone *time.Location, target, partial float64) Uptime {
	u := Uptime{Through: through, Target: target}
	day := through.Add(-1).In(zone)
	midnight := func(back int) time.Time {
		return time.Date(day.Year(), day.Month(), day.Day()-back, 0, 0, 0, 0, zone)
	}
	scale := max(s.Scale(), 1)
	for back := UptimeDays - 1; back >= 0; back-- {
		from, to := midnight(back), midnight(back-1)
		if to.After(through) {
			to = through
		}
		n := s.Sum(from, to)
		d := Day{Date: from.Format(time.DateOnly), Good: n.Good / scale, Total: n.Total / scale, Known: n.Known, Span: n.Span}
		d.Mark = mark(n, target, partial)
		u.Days = append(u.Days, d)
		u.Good, u.Total = u.Good+d.Good, u.Total+d.Total
	}
	return u
}

func mark(n slo.Counts, target, partial float64) Mark {
	ratio, ok := n.Ratio()
	switch {
	case !ok:
		return NoData
	case 1-ratio >= partial:
		return Outage
	case ratio < target:
		return Missed
	}
	return Met
}

// bars keeps what was counted up to the last full hour, so that whoever reads a
// page again and again has three months of slots counted once. Its zero value is
// empty.
type bars struct {
	mu      sync.Mutex
	through time.Time
	counted map[string]*Uptime
}

func (b *bars) get(name string, through time.Time) *Uptime {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.through.Equal(through) {
		return nil
	}
	return b.counted[name]
}

func (b *bars) put(name string, through time.Time, u *Uptime) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.through.Equal(through) {
		b.through, b.counted = through, map[string]*Uptime{}
	}
	b.counted[name] = u
}

// UptimeFrom is where the first of the days begins.
func UptimeFrom(through time.Time, zone *time.Location) time.Time {
	day := through.Add(-1).In(zone)
	return time.Date(day.Year(), day.Month(), day.Day()-UptimeDays+1, 0, 0, 0, 0, zone)
}

// counted is the objective whose events the bars of a component count: the one
// it names, or the first that is not about latency, or the first.
func counted(c Component, all []slo.Snapshot) *slo.Objective {
	var first, best *slo.Objective
	for _, s := range all {
		o := s.Objective
		if len(c.Objectives) > 0 && !slices.Contains(c.Objectives, o.Name) && c.Uptime != o.Name {
			continue
		}
		if c.Uptime == o.Name {
			return o
		}
		if first == nil {
			first = o
		}
		if best == nil && o.Indicator.Kind != slo.Latency && o.Indicator.Kind != slo.Threshold && len(o.Parts) == 0 {
			best = o
		}
	}
	if c.Uptime != "" {
		return nil
	}
	if best == nil {
		return first
	}
	return best
}
