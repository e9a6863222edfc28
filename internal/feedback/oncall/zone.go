package oncall

import (
	"slices"
	"sort"
	"time"
)

// reach is more than any zone was ever away from UTC, and more than any clock
// was ever set forward (Apia left out 2011-12-30).
const reach = 50 * 3600

// offsets is a zone's distance from UTC over some time.
type offsets []period

// period is a time in which a zone's distance from UTC does not change: from
// the one instant until before the other, in Unix seconds.
type period struct {
	from, until int64
	east        int64 // seconds to add to UTC
}

// offsetsOf lists a zone's periods that matter for local times between two
// instants, given in Unix seconds.
func offsetsOf(loc *time.Location, from, until int64) offsets {
	var out offsets
	for t := from - 2*reach; ; {
		at := time.Unix(t, 0).In(loc)
		_, east := at.Zone()
		_, end := at.ZoneBounds()
		p := period{from: t, until: until + 3*reach, east: int64(east)}
		if !end.IsZero() && end.Unix() < p.until {
			p.until = end.Unix()
		}
		out = append(out, p)
		if t = p.until; t >= until+3*reach {
			return out
		}
	}
}

// instants gives the first and the last instant at which clocks show a local
// time, given in seconds. Where clocks are set back, it comes twice. Where they
// are set forward it does not come at all: then the first is what clocks that
// were set early would say, the last what clocks not set would.
func (o offsets) instants(wall int64) (first, last int64) {
	i := sort.Search(len(o), func(i int) bool { return o[i].until > wall-reach })
	found := false
	for ; i < len(o) && o[i].from <= wall+reach; i++ {
		at := wall - o[i].east
		switch {
		case at >= o[i].from && at < o[i].until:
			if !found {
				first = at
			}
			last, found = at, true
		case !found && i+1 < len(o) && at >= o[i].until && wall-o[i+1].east < o[i+1].from:
			first, last = wall-o[i+1].east, at
		}
	}
	return first, last
}

// local is what clocks show at an instant, both in seconds.
func (o offsets) local(at int64) int64 {
	i, _ := slices.BinarySearchFunc(o, at, func(p period, at int64) int {
		if p.until <= at {
			return -1
		}
		return 1
	})
	return at + o[min(i, len(o)-1)].east
}
