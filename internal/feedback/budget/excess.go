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
// else the level of the hours around; and what flags add.
func (a *attributor) usualIn(i int, active []int) level {
	out, found := level{ratio: a.levels[i], n: math.Inf(1)}, -1
	for _, c := range active {
		if s := a.spans[c]; a.causes[c].lasting() && (found < 0 || s.alone < a.spans[found].alone) {
			out, found = s.base, c
		}
	}
	out.ratio += a.steps[i]
	return out
}

// direct charges what happened at once: outages, maintenance, incidents, and
// what followed a lasting cause while it was new.
func (a *attributor) direct() {
	groups := a.groups()
	rates := a.rates(groups)
	due := make([][]float64, len(groups)) // by group and cause
	for k, g := range groups {
		due[k] = a.divide(g, rates)
	}
	where := make([][]place, len(a.causes))
	for k, g := range groups {
		for p, c := range g.causes {
			where[c] = append(where[c], place{k, p})
		}
	}
	for c := range a.causes {
		a.take(c, groups, due, where[c])
	}
}

// place is where a cause stands: in which group, and where among its causes.
type place struct{ group, cause int }

// rates is how much each cause adds to the ratio, such that together they
// explain the excess of every group as well as they can, and none is negative
// (least squares, weighted by requests, by coordinate descent). Where groups
// leave a choice, the order of evidence decides, because each cause takes what
// those before it leave.
func (a *attributor) rates(groups []group) []float64 {
	rates := make([]float64, len(a.causes))
	in := make([][]int, len(a.causes)) // groups of each cause
	var order []int
	for k := range groups {
		for _, c := range a.real(groups[k].causes) {
			if in[c] == nil {
				order = append(order, c)
			}
			in[c] = append(in[c], k)
		}
	}
	sort.SliceStable(order, func(x, y int) bool { return a.precedes(order[x], order[y]) })
	left := make([]float64, len(groups)) // of each group's excess
	for k := range groups {
		left[k] = groups[k].net
	}
	for range 200 {
		moved := 0.0
		for _, c := range order {
			rest, n := 0.0, 0.0
			for _, k := range in[c] {
				rest += left[k] + rates[c]*groups[k].n
				n += groups[k].n
			}
			if n <= 0 {
				continue
			}
			next := math.Max(0, rest/n)
			for _, k := range in[c] {
				left[k] -= (next - rates[c]) * groups[k].n
			}
			moved = math.Max(moved, math.Abs(next-rates[c]))
			rates[c] = next
		}
		if moved < 1e-7 {
			break
		}
	}
	return rates
}

// real leaves incidents out unless there is nothing else: an incident is what
// people noticed, not what did it.
func (a *attributor) real(causes []int) []int {
	k := len(causes) // incidents come last in the order of evidence
	for k > 0 && a.causes[causes[k-1]].Kind == KindIncident {
		k--
	}
	if k == 0 {
		k = min(1, len(causes))
	}
	return causes[:k]
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
		a.usual[i] = a.usualIn(i, active)
		expected := a.usual[i].ratio * a.n[i]
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

// divide says what each cause of a group is due of its excess: in proportion to
// what it adds.
func (a *attributor) divide(g group, rates []float64) []float64 {
	out := make([]float64, len(g.causes))
	if g.net <= 0 {
		return out
	}
	sum := 0.0
	real := a.real(g.causes)
	for p, c := range real {
		out[p] = rates[c]
		sum += rates[c]
	}
	if sum <= 0 {
		out[0], sum = 1, 1
	}
	for p := range out {
		out[p] *= g.net / sum
	}
	return out
}

// take charges a cause with what it is due, if that is more than noise.
func (a *attributor) take(c int, groups []group, due [][]float64, where []place) {
	ch := &a.charges[c]
	total, expected, requests, seen := 0.0, 0.0, 0.0, 0.0
	from := math.Inf(1)
	for _, w := range where {
		g, x := groups[w.group], due[w.group][w.cause]
		total += x
		if a.causes[c].Kind == KindIncident && x == 0 {
			continue
		}
		requests += g.n
		for _, i := range g.slots {
			usual := a.usual[i]
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
	for _, w := range where {
		g, x := groups[w.group], due[w.group][w.cause]
		if x <= 0 || g.above <= 0 {
			continue
		}
		share := math.Min(1, x/g.above)
		for _, i := range g.slots {
			a.charge(c, i, share*(a.b[i]-a.m[i]-a.usual[i].ratio*a.n[i]))
		}
	}
}
