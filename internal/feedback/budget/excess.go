package budget

import (
	"math"
	"slices"
	"sort"
)

// group is slots in which the same causes may have been at work.
type group struct {
	causes []int // in order of evidence
	slots  []int
	n      float64 // requests
	net    float64 // bad events beyond what was usual
	above  float64 // sum of what single slots had beyond it
}

// usualIn is the ratio of bad events that a slot would have had without what is
// at work in it for a time: what was usual before a lasting cause that is new,
// else the level of the hours around.
func (a *attributor) usualIn(i int, active []int) level {
	best, found := level{}, -1
	for _, c := range active {
		if s := a.spans[c]; a.causes[c].lasting() && (found < 0 || s.alone < a.spans[found].alone) {
			best, found = s.base, c
		}
	}
	if found < 0 {
		return level{ratio: a.levels[i], n: math.Inf(1)}
	}
	return best
}

// direct charges what happened at once: outages, maintenance, incidents, and
// what followed a lasting cause while it was new.
func (a *attributor) direct() {
	groups := a.groups()
	solo := make([]level, len(a.causes)) // excess per request of each cause where it was alone
	for _, g := range groups {
		if real := a.real(g.causes); len(real) == 1 {
			s := &solo[real[0]]
			s.ratio = (s.ratio*s.n + g.net) / math.Max(s.n+g.n, 1)
			s.n += g.n
		}
	}
	due := make([][]float64, len(groups)) // by group and cause
	for k, g := range groups {
		due[k] = a.divide(g, solo)
	}
	for c := range a.causes {
		a.take(c, groups, due)
	}
}

// real leaves incidents out unless there is nothing else: an incident is what
// people noticed, not what did it.
func (a *attributor) real(causes []int) []int {
	var out []int
	for _, c := range causes {
		if a.causes[c].Kind != KindIncident {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return causes[:min(1, len(causes))]
	}
	return out
}

// groups sorts the slots by what may have been at work in them.
func (a *attributor) groups() []group {
	begin, end := map[int][]int{}, map[int][]int{}
	for c := range a.causes {
		s := a.spans[c]
		lo, hi := s.lo, s.hi
		if a.causes[c].lasting() {
			lo, hi = s.alone, s.until
		}
		if lo < hi {
			begin[lo], end[hi] = append(begin[lo], c), append(end[hi], c)
		}
	}
	var out []group
	index := map[string]int{}
	var active []int
	for i := range a.slots {
		if len(begin[i])+len(end[i]) > 0 {
			active = slices.DeleteFunc(slices.Clone(active), func(c int) bool { return slices.Contains(end[i], c) })
			active = append(active, begin[i]...)
			sort.SliceStable(active, func(x, y int) bool { return a.precedes(active[x], active[y]) })
		}
		if len(active) == 0 {
			continue
		}
		key := string(encode(active))
		k, ok := index[key]
		if !ok {
			k = len(out)
			index[key] = k
			out = append(out, group{causes: active})
		}
		g := &out[k]
		expected := a.usualIn(i, active).ratio * a.n[i]
		left := a.b[i] - a.m[i] - expected
		g.slots = append(g.slots, i)
		g.n += a.n[i]
		g.net += left
		g.above += math.Max(0, left)
	}
	return out
}

// precedes is the order of evidence, deterministic to the last.
func (a *attributor) precedes(c, d int) bool {
	x, y := &a.causes[c], &a.causes[d]
	if x.rank() != y.rank() {
		return x.rank() < y.rank()
	}
	if a.spans[c].lo != a.spans[d].lo {
		return a.spans[c].lo < a.spans[d].lo
	}
	return x.Name < y.Name || x.Name == y.Name && c < d
}

func encode(v []int) []byte {
	var out []byte
	for _, n := range v {
		out = append(out, byte(n), byte(n>>8), byte(n>>16), ',')
	}
	return out
}

// divide says what each cause of a group is due of its excess. A cause that was
// also seen alone is due what it did then; what is left belongs to the others in
// order of evidence. Where all were seen alone they share as they did then.
func (a *attributor) divide(g group, solo []level) []float64 {
	out := make([]float64, len(g.causes))
	real := a.real(g.causes)
	if g.net <= 0 {
		return out
	}
	place := func(c int) int { return slices.Index(g.causes, c) }
	if len(real) == 1 {
		out[place(real[0])] = g.net
		return out
	}
	sum := 0.0
	var unseen []int
	for _, c := range real {
		if solo[c].n <= 0 {
			unseen = append(unseen, c)
			continue
		}
		due := math.Max(0, solo[c].ratio) * g.n
		out[place(c)] = due
		sum += due
	}
	switch {
	case sum > g.net || len(unseen) == 0 && sum > 0:
		for i := range out {
			out[i] *= g.net / sum
		}
	case len(unseen) > 0:
		out[place(unseen[0])] = g.net - sum
	default:
		out[place(real[0])] = g.net
	}
	return out
}

// take charges a cause with what it is due, if that is more than noise.
func (a *attributor) take(c int, groups []group, due [][]float64) {
	ch := &a.charges[c]
	total, expected, requests, seen := 0.0, 0.0, 0.0, 0.0
	from := math.Inf(1)
	for k, g := range groups {
		p := slices.Index(g.causes, c)
		if p < 0 {
			continue
		}
		total += due[k][p]
		if a.causes[c].Kind == KindIncident && due[k][p] == 0 {
			continue
		}
		requests += g.n
		for _, i := range g.slots {
			usual := a.usualIn(i, g.causes)
			expected += usual.ratio * a.n[i]
			from = math.Min(from, usual.n)
			seen += a.b[i] - a.m[i]
		}
	}
	noise := math.Sqrt(a.dispersion * expected * (1 + requests/from))
	ch.bad, ch.total, ch.expected = ch.bad+seen, ch.total+requests, ch.expected+expected
	if total <= doubt*noise+1 {
		return
	}
	for k, g := range groups {
		p := slices.Index(g.causes, c)
		if p < 0 || due[k][p] <= 0 || g.above <= 0 {
			continue
		}
		share := math.Min(1, due[k][p]/g.above)
		for _, i := range g.slots {
			a.charge(c, i, share*(a.b[i]-a.m[i]-a.usualIn(i, g.causes).ratio*a.n[i]))
		}
	}
}
