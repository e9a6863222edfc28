package oncall

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// turn is a stretch of local time that one person has, in seconds on the wall.
type turn struct {
	from, until int64
	person      name
}

const day = 24 * 3600

// rota is one layer made ready for arithmetic.
type rota struct {
	Layer
	start, end int64    // of the layer, on the wall
	terms      []period // when each member belongs to it, on the wall
	people     []name   // the members
}

func newRota(l Layer, n *names) *rota {
	r := &rota{Layer: l, start: l.Start.seconds(), end: math.MaxInt64 / 4}
	if !l.End.IsZero() {
		r.end = l.End.seconds()
	}
	for _, m := range l.Members {
		r.people = append(r.people, n.of(m.Person))
		p := period{from: math.MinInt64 / 4, until: math.MaxInt64 / 4}
		if !m.From.IsZero() {
			p.from = m.From.t.Unix()
		}
		if !m.Until.IsZero() {
			p.until = m.Until.t.Unix() + day // the last day counts whole
		}
		r.terms = append(r.terms, p)
	}
	return r
}

// handover is when the n-th turn begins. Months are counted from the start, so
// that a rota that began on the 31st comes back to it.
func (r *rota) handover(n int64) int64 {
	switch r.Every.Unit {
	case Hour:
		return r.start + n*int64(r.Every.N)*3600
	case Week:
		return r.start + n*int64(r.Every.N)*7*day
	case Month:
		s := r.Start.t
		first := time.Date(s.Year(), s.Month()+time.Month(n*int64(r.Every.N)), 1, s.Hour(), s.Minute(), s.Second(), 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		return first.AddDate(0, 0, min(s.Day(), last)-1).Unix()
	}
	return r.start + n*int64(r.Every.N)*day
}

// number is which turn a local time falls into; negative before the first.
func (r *rota) number(at int64) int64 {
	length := int64(r.Every.N)
	switch r.Every.Unit {
	case Hour:
		length *= 3600
	case Day:
		length *= day
	case Week:
		length *= 7 * day
	case Month:
		length *= 31 * day // never too many; the rest is counted below
	}
	n := floorDiv(at-r.start, length)
	for r.handover(n+1) <= at {
		n++
	}
	return n
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// turns lists who has which stretch of local time between two, before
// restrictions.
func (r *rota) turns(from, until int64) []turn {
	from, until = max(from, r.start), min(until, r.end)
	if from >= until || len(r.Members) == 0 {
		return nil
	}
	n, before := r.catchUp(from)
	out := make([]turn, 0, min(4096, 2+r.number(until)-n))
	for ; r.handover(n) < until; n++ {
		out, before = r.share(out, n, before)
	}
	return cut(out, from, until)
}

// cut leaves of turns in order what is between two local times.
func cut(turns []turn, from, until int64) []turn {
	out := turns[:0]
	for _, t := range turns {
		if t.from, t.until = max(t.from, from), min(t.until, until); t.from < t.until {
			out = append(out, t)
		}
	}
	return out
}

// add appends a turn, or lengthens the last one when it goes on.
func add(turns []turn, t turn) []turn {
	if n := len(turns); n > 0 && turns[n-1].person == t.person && turns[n-1].until == t.from {
		turns[n-1].until = t.until
		return turns
	}
	return append(turns, t)
}

// catchUp gives the number of the turn at a local time, and which member had
// the turn before it (-1 for nobody yet). Between two days on which somebody
// joins or leaves, turns simply go round, so it leaps from one to the next.
func (r *rota) catchUp(at int64) (n int64, before int) {
	target := r.number(at)
	before = -1
	changes := r.changes()
	for n < target {
		stop := target
		if i, _ := slices.BinarySearch(changes, r.handover(n)+1); i < len(changes) && changes[i] < r.handover(target) {
			stop = max(n, r.number(changes[i]-1))
		}
		// All turns from n to stop-1 begin and end among the same members.
		if members := r.members(r.handover(n)); len(members) > 0 && stop > n {
			first := slices.Index(members, r.next(before, r.handover(n)))
			before = members[(int64(first)+stop-n-1)%int64(len(members))]
		}
		if n = stop; n < target {
			_, before = r.share(nil, n, before)
			n++
		}
	}
	return n, before
}

// changes lists when somebody joins or leaves, in order.
func (r *rota) changes() []int64 {
	var out []int64
	for _, p := range r.terms {
		out = append(out, p.from, p.until)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// members lists who belongs to the rota at a local time.
func (r *rota) members(at int64) (out []int) {
	for i, p := range r.terms {
		if p.from <= at && at < p.until {
			out = append(out, i)
		}
	}
	return out
}

// next is the first member after another, going round, who belongs to the rota
// at a local time; -1 if nobody does.
func (r *rota) next(after int, at int64) int {
	for i := range r.terms {
		m := (after + 1 + i) % len(r.terms)
		if p := r.terms[m]; p.from <= at && at < p.until {
			return m
		}
	}
	return -1
}

// share appends who has the n-th turn: the next member. Who leaves during it
// hands over early, to the next. If there is nobody, it is for whoever joins.
// had is whose turn it counts as: who had it first.
func (r *rota) share(out []turn, n int64, before int) (turns []turn, had int) {
	at, end := r.handover(n), r.handover(n+1)
	had = before
	holder := r.next(before, at)
	taken := false
	for at < end {
		if holder < 0 {
			if at = r.joins(at); at >= end {
				break
			}
			holder = r.next(had, at)
		}
		if !taken {
			had, taken = holder, true
		}
		stop := min(end, r.terms[holder].until)
		out = add(out, turn{at, stop, r.people[holder]})
		at = stop
		holder = r.next(holder, at)
	}
	return out, had
}

// joins is when somebody joins after a local time.
func (r *rota) joins(after int64) int64 {
	soonest := int64(math.MaxInt64 / 4)
	for _, p := range r.terms {
		if p.from > after && p.until > p.from {
			soonest = min(soonest, p.from)
		}
	}
	return soonest
}

// windows lists the local times between two in which a layer's restrictions let
// it be on call, merged and in order.
func windows(restrictions []Restriction, from, until int64) []turn {
	out := make([]turn, 0, (until-from)/day*int64(min(len(restrictions), 3)))
	for midnight := floorDiv(from, day)*day - day; midnight < until; midnight += day {
		weekday := (floorDiv(midnight, day)%7 + 11) % 7 // 1970-01-01 was a Thursday
		for _, r := range restrictions {
			if r.mask()&(1<<weekday) == 0 {
				continue
			}
			start, length := int64(r.From)*60, int64(r.To-r.From)*60
			if length <= 0 {
				length += day
			}
			out = append(out, turn{from: midnight + start, until: midnight + start + length})
		}
	}
	if byStart := func(a, b turn) int { return cmp.Compare(a.from, b.from) }; !slices.IsSortedFunc(out, byStart) {
		slices.SortFunc(out, byStart)
	}
	merged := out[:0]
	for _, w := range out {
		if n := len(merged); n > 0 && w.from <= merged[n-1].until {
			merged[n-1].until = max(merged[n-1].until, w.until)
			continue
		}
		merged = append(merged, w)
	}
	return merged
}

// within keeps the parts of turns that are in windows; both are in order.
func within(turns, windows []turn) []turn {
	out := make([]turn, 0, len(turns)+len(windows))
	i := 0
	for _, t := range turns {
		for i < len(windows) && windows[i].until <= t.from {
			i++
		}
		for j := i; j < len(windows) && windows[j].from < t.until; j++ {
			out = add(out, turn{max(t.from, windows[j].from), min(t.until, windows[j].until), t.person})
		}
	}
	return out
}
