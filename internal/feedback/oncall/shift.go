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
	low, high := from.Unix(), to.Add(time.Second-1).Unix()
	n := &names{number: map[string]name{}}
	var all []duty
	for _, l := range slices.Backward(s.Layers) { // the last layer is the highest
		if l.Shadow != shadow {
			continue
		}
		mine, err := l.duties(n, s.TimeZone, low, high)
		if err != nil {
			return nil, err
		}
		if !shadow {
			mine = subtract(mine, all)
		}
		all = merge(all, mine)
	}
	if !shadow {
		own, err := s.stints(low, high)
		if err != nil {
			return nil, err
		}
		for _, o := range slices.Concat(own, stints) {
			all = o.over(n, all, low, high)
		}
	}
	out := make([]Shift, len(all))
	for i, d := range all {
		out[i] = Shift{later(time.Unix(d.from, 0).UTC(), from), earlier(time.Unix(d.until, 0).UTC(), to), n.all[d.person], n.all[d.layer]}
	}
	return out, nil
}

// duty is a shift in Unix seconds. It holds no pointers: there are many.
type duty struct {
	from, until   int64
	person, layer name
}

// name stands for the name of a person or layer.
type name int32

// names numbers names.
type names struct {
	all    []string
	number map[string]name
}

func (n *names) of(s string) name {
	i, ok := n.number[s]
	if !ok {
		i = name(len(n.all))
		n.all, n.number[s] = append(n.all, s), i
	}
	return i
}

func inOrder(a, b duty) int {
	if c := cmp.Compare(a.from, b.from); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.until, b.until), cmp.Compare(a.layer, b.layer), cmp.Compare(a.person, b.person))
}

// order puts duties in order; nearly always they are.
func order(duties []duty) []duty {
	if !slices.IsSortedFunc(duties, inOrder) {
		slices.SortFunc(duties, inOrder)
	}
	return duties
}

// merge makes one list of two that are in order.
func merge(a, b []duty) []duty {
	if len(a) == 0 {
		return b
	}
	out := make([]duty, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if inOrder(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// margin is how far clocks may be from UTC, or be set at once.
const margin = 30 * 3600

// duties is the layer alone, in order.
func (l Layer) duties(n *names, zone Zone, from, to int64) ([]duty, error) {
	if l.TimeZone != "" {
		zone = l.TimeZone
	}
	loc, err := zone.Location()
	if err != nil {
		return nil, problem.New(problem.Invalid, "oncall.shifts", "%w", err)
	}
	o := offsetsOf(loc, from, to)
	low, high := o.local(from)-margin, o.local(to)+margin
	turns := newRota(l, n).turns(low, high)
	if len(l.Restrictions) > 0 {
		turns = within(turns, windows(l.Restrictions, low, high))
	}
	layer := n.of(l.Name)
	out := make([]duty, 0, len(turns))
	for _, t := range turns {
		first, _ := o.instants(t.from)
		_, last := o.instants(t.until)
		if first, last = max(first, from), min(last, to); first < last {
			out = append(out, duty{first, last, t.person, layer})
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

// joined puts duties in order and makes one of those of one person and layer
// that touch or overlap.
func joined(duties []duty) []duty {
	out := order(duties)[:0]
	var live []int // those of out that are not over yet
	for _, d := range duties {
		live = slices.DeleteFunc(live, func(i int) bool { return out[i].until < d.from })
		at := slices.IndexFunc(live, func(i int) bool { return out[i].person == d.person && out[i].layer == d.layer })
		if at >= 0 {
			out[live[at]].until = max(out[live[at]].until, d.until)
			continue
		}
		live = append(live, len(out))
		out = append(out, d)
	}
	return out
}

// subtract leaves of duties what is not covered; both are in order.
func subtract(duties, cover []duty) []duty {
	if len(cover) == 0 {
		return duties
	}
	busy := union(cover)
	out := make([]duty, 0, len(duties)+len(busy))
	i := 0
	for _, d := range duties {
		for i > 0 && busy[i-1].until > d.from {
			i-- // duties may overlap
		}
		for i < len(busy) && busy[i].until <= d.from {
			i++
		}
		for j := i; j < len(busy) && busy[j].from < d.until; j++ {
			if d.from < busy[j].from {
				out = append(out, duty{d.from, busy[j].from, d.person, d.layer})
			}
			d.from = max(d.from, busy[j].until)
		}
		if d.from < d.until {
			out = append(out, d)
		}
	}
	return order(out)
}

// union is the times covered by duties that are in order.
func union(duties []duty) []period {
	out := make([]period, 0, len(duties))
	for _, d := range duties {
		if n := len(out); n > 0 && d.from <= out[n-1].until {
			out[n-1].until = max(out[n-1].until, d.until)
			continue
		}
		out = append(out, period{from: d.from, until: d.until})
	}
	return out
}

// over puts a stint over duties.
func (o Stint) over(n *names, duties []duty, from, to int64) []duty {
	mine := duty{max(o.Start.Unix(), from), min(o.End.Unix(), to), n.of(o.Person), n.of(LayerOverride)}
	if mine.from >= mine.until {
		return duties
	}
	var out []duty
	for _, d := range duties {
		if o.Replaces != "" && o.Replaces != n.all[d.person] {
			out = append(out, d)
			continue
		}
		out = append(out, subtract([]duty{d}, []duty{mine})...)
		if both := (duty{max(mine.from, d.from), min(mine.until, d.until), mine.person, mine.layer}); o.Replaces != "" && both.from < both.until {
			out = append(out, both)
		}
	}
	if o.Replaces == "" {
		out = append(out, mine)
	}
	return joined(out)
}

// stints are the overrides written in the schedule itself.
func (s ScheduleSpec) stints(from, to int64) ([]Stint, error) {
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
		if start.Unix() < to && from < end.Unix() {
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
