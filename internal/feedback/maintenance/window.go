package maintenance

import (
	"cmp"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/oncall"
)

const (
	stamp     = "2006-01-02T15:04:05Z07:00"
	maxLength = 30 * 24 * time.Hour
	// week is more than the longest of the weekly hours, a clock change included.
	week = 8 * 24 * time.Hour
)

// MaxSpan is the longest time that occurrences are computed for.
const MaxSpan = 2 * 366 * 24 * time.Hour

// Window is one maintenance window: declared in git, or scheduled by somebody.
type Window struct {
	Name string     `json:"name"`
	Spec WindowSpec `json:"spec"`
	File string     `json:"file,omitempty"` // that declares it
	By   string     `json:"by,omitempty"`   // who scheduled it
	Ends []Ended    `json:"ends,omitempty"` // occurrences that were ended before their time, oldest first
}

// Occurrence is one time that a window is on, from Start until before End.
type Occurrence struct {
	ID           string    `json:"id" doc:"sorts by beginning"`
	Window       string    `json:"window"`
	Title        string    `json:"title"`
	State        string    `json:"state" doc:"scheduled, active or over"`
	Start        time.Time `json:"start"`
	End          time.Time `json:"end"`
	Services     []string  `json:"services,omitempty"`
	Teams        []string  `json:"teams,omitempty"`
	Matchers     []string  `json:"matchers,omitempty"`
	Environments []string  `json:"environments,omitempty" doc:"none: all"`
	Reason       string    `json:"reason"`
	Public       bool      `json:"public,omitempty" doc:"the status page announces it"`
	Text         string    `json:"text,omitempty" table:"-" doc:"what users read there"`
	By           string    `json:"by,omitempty" doc:"who scheduled it; empty: a file in git"`
	EndedBy      string    `json:"ended_by,omitempty" doc:"who ended it before its time"`
}

// The states of an occurrence.
const (
	Scheduled = "scheduled"
	Running   = "active"
	Over      = "over"
)

// bounds are the instants of from and to, zero where none is given: the first
// possible one for the beginning, the last for the end.
func (s WindowSpec) bounds() (from, to time.Time, err error) {
	if !s.From.IsZero() {
		if from, _, err = s.From.In(s.TimeZone); err != nil {
			return from, to, err
		}
	}
	if !s.To.IsZero() {
		_, to, err = s.To.In(s.TimeZone)
	}
	return from, to, err
}

// spell is a time that a window is meant to be on.
type spell struct{ start, end time.Time }

// spells are the times that the window is meant to be on and that touch
// [from, to), in order.
func (s WindowSpec) spells(from, to time.Time) ([]spell, error) {
	low, high, err := s.bounds()
	if err != nil {
		return nil, err
	}
	if len(s.Hours) == 0 {
		if low.Before(to) && from.Before(high) {
			return []spell{{low, high}}, nil
		}
		return nil, nil
	}
	rota := oncall.ScheduleSpec{TimeZone: s.TimeZone, Layers: []oncall.Layer{{
		Name: "hours", Start: epoch, Every: oncall.Length{N: 1, Unit: oncall.Day}, Members: []oncall.Member{{Person: "hours"}}, Restrictions: s.Hours,
	}}}
	shifts, err := rota.Shifts(from.Add(-week), to.Add(week))
	if err != nil {
		return nil, err
	}
	var out []spell
	for _, sh := range shifts {
		sp := spell{latest(sh.Start, low), sh.End}
		if !high.IsZero() && high.Before(sp.end) {
			sp.end = high
		}
		if sp.start.Before(sp.end) && sp.start.Before(to) && from.Before(sp.end) {
			out = append(out, sp)
		}
	}
	return out, nil
}

// epoch is the first day of the rotation that weekly hours are computed with.
var epoch = func() (w oncall.Wall) {
	if err := w.UnmarshalText([]byte("2000-01-01")); err != nil {
		panic(err)
	}
	return w
}()

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Occurrences are the times that the window is on, or was or will be, and that
// touch [from, to), as they stand at now. What was called off before it began
// is left out.
func (w Window) Occurrences(from, to, now time.Time) ([]Occurrence, error) {
	spells, err := w.Spec.spells(from, to)
	if err != nil {
		return nil, err
	}
	var out []Occurrence
	for _, sp := range spells {
		o := Occurrence{
			ID: sp.start.UTC().Format("20060102T150405Z") + "-" + w.Name, Window: w.Name, Title: cmp.Or(w.Spec.Title, w.Name), Start: sp.start.UTC(), End: sp.end.UTC(),
			Services: w.Spec.Services, Teams: w.Spec.Teams, Matchers: w.Spec.Matchers, Environments: w.Spec.Environments,
			Reason: w.Spec.Reason, Public: w.Spec.Public, Text: w.Spec.Text, By: w.By,
		}
		for _, e := range w.Ends {
			if e.Start.Equal(o.Start) && e.End.Before(o.End) {
				o.End, o.EndedBy = e.End, e.By
			}
		}
		if !o.Start.Before(o.End) || !from.Before(o.End) {
			continue
		}
		switch {
		case now.Before(o.Start):
			o.State = Scheduled
		case now.Before(o.End):
			o.State = Running
		default:
			o.State = Over
		}
		out = append(out, o)
	}
	return out, nil
}

// At is the occurrence that is on at a moment.
func (w Window) At(now time.Time) (Occurrence, bool) {
	// What cannot be computed was refused when it was declared.
	all, err := w.Occurrences(now, now.Add(time.Nanosecond), now)
	if err != nil || len(all) == 0 {
		return Occurrence{}, false
	}
	return slices.MaxFunc(all, func(a, b Occurrence) int { return a.End.Compare(b.End) }), true
}

// Covers reports whether the window is about a service of a team in an
// environment. One with matchers alone is about alerts of any service; whether
// it covers one of them, its labels decide.
func (s WindowSpec) Covers(service, team, environment string) bool {
	if len(s.Environments) > 0 && !slices.Contains(s.Environments, environment) {
		return false
	}
	if len(s.Services)+len(s.Teams) == 0 {
		return len(s.Matchers) > 0
	}
	return slices.Contains(s.Services, service) || team != "" && slices.Contains(s.Teams, team)
}
