package oncall

import (
	"cmp"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Shift is a time that somebody is on call, from Start until before End.
type Shift struct {
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Person string    `json:"person"`
	Layer  string    `json:"layer" doc:"layer of the schedule, or override"`
}

// LayerOverride is the layer of shifts that an override gave.
const LayerOverride = "override"

// MaxSpan is the longest time shifts are computed for.
const MaxSpan = 20 * 366 * 24 * time.Hour

// Stint is somebody standing in for what the layers say, once.
type Stint struct {
	ID       string    `json:"id,omitempty"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Person   string    `json:"person"`
	Replaces string    `json:"replaces,omitempty"` // of this person only; empty: of whoever has it
	Reason   string    `json:"reason,omitempty"`
}

// Shifts says who is on call between two instants, in order: of each layer
// what the layers above leave of it, and over all of them the stints, the later
// over the earlier. Shifts are cut off at both ends. Shadow layers are left out.
func (s ScheduleSpec) Shifts(from, to time.Time, stints ...Stint) ([]Shift, error) {
	return s.shifts(from, to, false, stints)
}

// Shadows says who follows along between two instants without being paged.
func (s ScheduleSpec) Shadows(from, to time.Time) ([]Shift, error) {
	return s.shifts(from, to, true, nil)
}

func (s ScheduleSpec) shifts(from, to time.Time, shadow bool, stints []Stint) ([]Shift, error) {
	if !from.Before(to) || !inRange(from) || !inRange(to) || to.Sub(from) > MaxSpan {
		return nil, problem.New(problem.Invalid, "oncall.shifts", "from %s to %s is no time between 1800 and 3000 of at most 20 years", from.Format(time.RFC3339), to.Format(time.RFC3339)).
			WithNext("give a --from that is before --to")
	}
	var out []Shift
	for _, l := range slices.Backward(s.Layers) { // the last layer is the highest
		if l.Shadow != shadow {
			continue
		}
		mine, err := l.shifts(s.TimeZone, from, to)
		if err != nil {
			return nil, err
		}
		if !shadow {
			mine = subtract(mine, out)
		}
		out = append(out, mine...)
		order(out)
	}
	if shadow {
		return out, nil
	}
	own, err := s.stints(from, to)
	if err != nil {
		return nil, err
	}
	for _, o := range slices.Concat(own, stints) {
		out = o.over(out, from, to)
	}
	return out, nil
}

func order(shifts []Shift) {
	slices.SortStableFunc(shifts, func(a, b Shift) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Person, b.Person))
	})
}

// margin is how far clocks may be from UTC, or be set at once.
const margin = 30 * 3600

// shifts is the layer alone.
func (l Layer) shifts(zone Zone, from, to time.Time) ([]Shift, error) {
	if l.TimeZone != "" {
		zone = l.TimeZone
	}
	loc, err := zone.Location()
	if err != nil {
		return nil, problem.New(problem.Invalid, "oncall.shifts", "%w", err)
	}
	o := offsetsOf(loc, from.Unix(), to.Unix())
	low, high := o.local(from.Unix())-margin, o.local(to.Unix())+margin
	turns := newRota(l).turns(low, high)
	if len(l.Restrictions) > 0 {
		turns = within(turns, windows(l.Restrictions, low, high))
	}
	var out []Shift
	for _, t := range turns {
		first, _ := o.instants(t.from)
		_, last := o.instants(t.until)
		start, end := later(time.Unix(first, 0).UTC(), from), earlier(time.Unix(last, 0).UTC(), to)
		if start.Before(end) {
			out = append(out, Shift{start, end, t.person, l.Name})
		}
	}
	return joined(out), nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b.UTC()
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b.UTC()
	}
	return a
}

// joined makes one shift of those of one person and layer that touch or overlap.
func joined(shifts []Shift) []Shift {
	order(shifts)
	var out []Shift
	open := map[[2]string]int{}
	for _, s := range shifts {
		k := [2]string{s.Person, s.Layer}
		if i, ok := open[k]; ok && !out[i].End.Before(s.Start) {
			out[i].End = latest(out[i].End, s.End)
			continue
		}
		open[k] = len(out)
		out = append(out, s)
	}
	return out
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// subtract leaves of shifts what is not covered; cover is in order.
func subtract(shifts, cover []Shift) []Shift {
	if len(cover) == 0 {
		return shifts
	}
	busy := union(cover)
	var out []Shift
	i := 0
	for _, s := range shifts {
		for i > 0 && busy[i-1].End.After(s.Start) {
			i--
		}
		for i < len(busy) && !busy[i].End.After(s.Start) {
			i++
		}
		at := s.Start
		for j := i; j < len(busy) && busy[j].Start.Before(s.End); j++ {
			if at.Before(busy[j].Start) {
				out = append(out, Shift{at, busy[j].Start, s.Person, s.Layer})
			}
			at = latest(at, busy[j].End)
		}
		if at.Before(s.End) {
			out = append(out, Shift{at, s.End, s.Person, s.Layer})
		}
	}
	return out
}

// union is the times covered by shifts that are in order.
func union(shifts []Shift) []Shift {
	var out []Shift
	for _, s := range shifts {
		if n := len(out); n > 0 && !s.Start.After(out[n-1].End) {
			out[n-1].End = latest(out[n-1].End, s.End)
			continue
		}
		out = append(out, Shift{Start: s.Start, End: s.End})
	}
	return out
}

// over puts a stint over shifts.
func (o Stint) over(shifts []Shift, from, to time.Time) []Shift {
	mine := Shift{later(o.Start, from), earlier(o.End, to), o.Person, LayerOverride}
	if !mine.Start.Before(mine.End) {
		return shifts
	}
	var out []Shift
	for _, s := range shifts {
		if o.Replaces != "" && o.Replaces != s.Person {
			out = append(out, s)
			continue
		}
		out = append(out, subtract([]Shift{s}, []Shift{mine})...)
		if both := (Shift{later(mine.Start, s.Start), earlier(mine.End, s.End), o.Person, LayerOverride}); o.Replaces != "" && both.Start.Before(both.End) {
			out = append(out, both)
		}
	}
	if o.Replaces == "" {
		out = append(out, mine)
	}
	return joined(out)
}

// stints are the overrides written in the schedule itself.
func (s ScheduleSpec) stints(from, to time.Time) ([]Stint, error) {
	if len(s.Overrides) == 0 {
		return nil, nil
	}
	loc, err := s.TimeZone.Location()
	if err != nil {
		return nil, problem.New(problem.Invalid, "oncall.shifts", "%w", err)
	}
	var out []Stint
	for _, o := range s.Overrides {
		start, _ := o.From.instants(loc)
		_, end := o.To.instants(loc)
		if start.Before(to) && from.Before(end) {
			out = append(out, Stint{Start: start, End: end, Person: o.Person, Replaces: o.Replaces, Reason: o.Reason})
		}
	}
	return out, nil
}

// instants gives the first and last instant a point means in a zone.
func (p Point) instants(loc *time.Location) (first, last time.Time) {
	if !p.Instant.IsZero() {
		return p.Instant, p.Instant
	}
	wall := p.Wall.seconds()
	a, b := offsetsOf(loc, wall, wall).instants(wall)
	return time.Unix(a, 0).UTC(), time.Unix(b, 0).UTC()
}
