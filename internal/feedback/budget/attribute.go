package budget

import (
	"math"
	"slices"
	"time"
)

// The rules of charging.
const (
	doubt     = 3.0  // standard deviations of noise that an excess must exceed
	drift     = 0.1  // share of the baseline that a lasting excess must exceed
	fresh     = 30   // minutes in which whatever follows a lasting cause counts as its doing
	reach     = 60   // minutes that an observed trouble may have begun before it was noticed
	armLeast  = 20.0 // requests of the other revisions that a comparison needs
	stratum   = 15   // minutes of counts that are compared as one, at most
	armEnough = 50.0 // requests of the other revisions that end a stratum early
)

// part is what one cause is charged with in one slot, in events that need not
// be whole.
type part struct {
	slot     int
	x        float64
	measured bool // counts per revision separate it
}

// Charge is what one cause is charged with.
type Charge struct {
	parts    []part  // by slot; a slot may come twice
	measured float64 // of what is charged, what counts per revision separate
	// What it was compared with, for the evidence: what its revision and the
	// others had in the same minutes, and what the slots had in which only time
	// tells, and would have had without it.
	armBad, armTotal, besideBad, besideTotal float64
	bad, total, expected                     float64
}

// Attribution is the outcome of Attribute: what each cause is charged with,
// slot by slot. What no cause is charged with is the background.
type Attribution struct {
	Slots    []Slot
	Causes   []Cause
	Charges  []Charge // one per cause
	Baseline Baseline
	spans    []span // one per cause
}

// attributor is Attribute at work.
type attributor struct {
	slots  []Slot
	causes []Cause
	prior  float64

	n, b       []float64 // per slot
	cn, cb     []float64 // of them, of revisions that are compared with the others
	x          []float64 // charged so far
	m          []float64 // of that, by comparing revisions
	disturbed  []bool    // an outage, maintenance or an incident was on
	piece      []int
	blocks     []block
	levels     []float64
	dispersion float64
	flags      []flagStep
	steps      []float64 // what they add, per slot
	usual      []level   // per slot in which something is at work for a time

	spans   []span
	charges []Charge
}

// span is a cause in slots.
type span struct {
	lo, hi int   // linked
	alone  int   // first slot of a lasting cause's own era; hi where it has none
	until  int   // end of the slots in which whatever follows counts as its doing
	base   level // of a lasting cause: what was usual before
	strata []strata
}

// strata are minutes in which a revision is compared with the others.
type strata struct {
	lo, hi       int
	cn, cb, n, b float64 // of the revision, and of the others
}

// Attribute says which of the bad events of some minutes are whose. slots are
// in order of time, one a minute at most; those before the window that is of
// interest serve as history. prior is the ratio of bad events that the target
// allows, strictly between 0 and 1.
//
// It is a pure function of its arguments: the same facts give the same ledger.
// docs/budget.md explains the estimator and what it cannot tell.
func Attribute(slots []Slot, causes []Cause, prior float64) Attribution {
	a := &attributor{slots: slots, causes: causes, prior: prior, dispersion: 1}
	k := len(slots)
	a.n, a.b, a.cn, a.cb, a.x = make([]float64, k), make([]float64, k), make([]float64, k), make([]float64, k), make([]float64, k)
	a.piece = make([]int, k)
	for i, s := range slots {
		a.n[i], a.b[i] = float64(max(s.Total, 0)), float64(min(max(s.Bad, 0), max(s.Total, 0)))
	}
	a.charges, a.spans = make([]Charge, len(causes)), make([]span, len(causes))
	for c := range causes {
		a.spans[c] = a.link(&causes[c])
	}
	a.settle()
	for c := range causes {
		a.compare(c)
	}
	a.m = slices.Clone(a.x)
	a.direct()
	a.last()
	return Attribution{Slots: slots, Causes: causes, Charges: a.charges, Baseline: a.baseline(), spans: a.spans}
}

func (a *attributor) minute(i int) int64 { return a.slots[i].Time.Unix() / 60 }

// at is the first slot that ends after t.
func (a *attributor) at(t time.Time) int {
	i, _ := slices.BinarySearchFunc(a.slots, t, func(s Slot, t time.Time) int {
		if s.Time.Add(time.Minute).After(t) {
			return 1
		}
		return -1
	})
	return i
}

// end is the first slot that begins at t or later; the end for a zero t.
func (a *attributor) end(t time.Time) int {
	if t.IsZero() {
		return len(a.slots)
	}
	i, _ := slices.BinarySearchFunc(a.slots, t, func(s Slot, t time.Time) int {
		if s.Time.Before(t) {
			return -1
		}
		return 1
	})
	return i
}

// link finds a cause's slots, and for a change the strata in which its revision
// can be compared with others, before it serves alone.
func (a *attributor) link(c *Cause) span {
	s := span{lo: a.at(c.From), hi: a.end(c.To)}
	s.hi = max(s.lo, s.hi)
	s.alone = s.hi
	if !c.lasting() {
		return s
	}
	if c.Kind != KindChange || c.Revision == "" || !a.known(s.lo, s.hi, c.Revision) {
		s.alone = s.lo // only time tells
		return s
	}
	end := s.hi
	if !c.Full.IsZero() {
		end = min(s.hi, a.at(c.Full)+1)
	}
	s.strata = a.stratify(s.lo, end, c.Revision)
	for _, t := range s.strata {
		for i := t.lo; i < t.hi; i++ {
			n, b := arm(a.slots[i], c.Revision)
			a.cn[i] += n
			a.cb[i] += b
		}
	}
	if c.Full.IsZero() {
		return s
	}
	s.alone = a.at(c.From)
	if k := len(s.strata); k > 0 {
		s.alone = s.strata[k-1].hi
	}
	for s.alone < s.hi {
		if n, _ := arm(a.slots[s.alone], c.Revision); n > 0 {
			break
		}
		s.alone++
	}
	return s
}

// known reports whether any slot counted the revision.
func (a *attributor) known(lo, hi int, revision string) bool {
	for i := lo; i < hi; i++ {
		if n, _ := arm(a.slots[i], revision); n > 0 {
			return true
		}
	}
	return false
}

func arm(s Slot, revision string) (n, b float64) {
	for _, r := range s.Arms {
		if r.Revision == revision {
			n += float64(r.Total)
			b += float64(min(r.Bad, r.Total))
		}
	}
	return n, b
}

// stratify joins minutes until there is enough of both to compare. What the
// router answered itself is nobody's.
func (a *attributor) stratify(lo, hi int, revision string) []strata {
	var out []strata
	t := strata{lo: lo}
	for i := lo; i < hi; i++ {
		for _, r := range a.slots[i].Arms {
			switch r.Revision {
			case revision:
				t.cn += float64(r.Total)
				t.cb += float64(min(r.Bad, r.Total))
			case "":
			default:
				t.n += float64(r.Total)
				t.b += float64(min(r.Bad, r.Total))
			}
		}
		t.hi = i + 1
		if t.n >= armEnough && t.cn > 0 || t.hi-t.lo >= stratum || t.hi == hi {
			if t.n >= armLeast && t.cn > 0 {
				out = append(out, t)
			}
			t = strata{lo: t.hi}
		}
	}
	return out
}

// settle finds what is usual: blocks of minutes without a known disturbance,
// their levels, and how much they vary.
func (a *attributor) settle() {
	a.number()
	all := a.blocksOf(func(i int) bool { return true }, a.rough())
	usual := pooled(all, 1).withPrior(a.prior)
	a.observe(usual.ratio)
	a.disturbed = make([]bool, len(a.slots))
	for c := range a.causes {
		if s := a.spans[c]; !a.causes[c].lasting() {
			for i := s.lo; i < s.hi; i++ {
				a.disturbed[i] = true
			}
		}
	}
	a.blocks = a.blocksOf(func(i int) bool { return !a.disturbed[i] && !a.slots[i].Excluded }, usual.ratio)
	for range 2 {
		a.flags = nil
		a.step()
		smooth(a.blocks, a.dispersion)
		a.dispersion = dispersionOf(a.blocks)
	}
	a.levels = a.localLevels(a.blocks, pooled(a.blocks, a.dispersion).withPrior(a.prior).ratio)
	for c := range a.causes {
		if s := &a.spans[c]; a.causes[c].lasting() && s.alone < s.hi {
			s.base = a.before(s.alone)
			s.until = a.freshUntil(c)
		}
	}
	a.steps, a.usual = a.sumSteps(), make([]level, len(a.slots))
}

// number numbers the pieces of time in which the same lasting causes hold.
func (a *attributor) number() {
	edge := make([]bool, len(a.slots)+1)
	for c := range a.causes {
		if s := a.spans[c]; a.causes[c].lasting() && s.alone < s.hi {
			edge[s.alone], edge[s.hi] = true, true
		}
	}
	p := 0
	for i := range a.slots {
		if edge[i] {
			p++
		}
		a.piece[i] = p
	}
}

// rough is the ratio of everything, but at least one event.
func (a *attributor) rough() float64 {
	n, b := 0.0, 0.0
	for i := range a.slots {
		n += a.n[i]
		b += a.b[i]
	}
	if n == 0 {
		return a.prior
	}
	return math.Max(b, 1) / n
}

// observe lets what was observed rather than done (an outage, an incident) begin
// when the counts began to rise, and end when they were back: it is noticed
// later, and called off later.
func (a *attributor) observe(usual float64) {
	for c := range a.causes {
		s := &a.spans[c]
		if k := a.causes[c].Kind; k != KindDependency && k != KindIncident || s.lo == s.hi {
			continue
		}
		rate := a.risen(s.lo, s.hi, usual)
		within := func(i int) bool { return a.b[i] > (usual+rate/2)*a.n[i] && a.b[i] > usual*a.n[i]+1 }
		noticed := a.minute(s.lo)
		// Where a minute says too little, the interval stays as it was told.
		tells := func(i int) bool { return rate*a.n[i] >= 6 }
		for calm, i := 0, s.lo-1; i >= 0 && calm < 2 && noticed-a.minute(i) <= reach && tells(i); i-- {
			if within(i) {
				s.lo, calm = i, 0
			} else {
				calm++
			}
		}
		for s.hi-s.lo > 3 && tells(s.hi-1) && !within(s.hi-1) && !within(s.hi-2) {
			s.hi--
		}
	}
}

// risen is how far the ratio rose in the slots in which it did: the median of
// their excess.
func (a *attributor) risen(lo, hi int, usual float64) float64 {
	var v []float64
	for i := lo; i < hi; i++ {
		if a.n[i] > 0 && a.b[i] > usual*a.n[i]+3*math.Sqrt(usual*a.n[i])+1 {
			v = append(v, a.b[i]/a.n[i]-usual)
		}
	}
	return median(v)
}

// freshUntil is how long whatever follows a lasting cause counts as its doing:
// for half an hour without another disturbance, and to the end of an incident
// that a person has put down to it.
func (a *attributor) freshUntil(c int) int {
	s := a.spans[c]
	end := s.alone
	for calm := 0; end < s.hi && calm < fresh; end++ {
		if !a.disturbed[end] {
			calm++
		}
	}
	for d := range a.causes {
		if i := a.spans[d]; a.causes[d].Kind == KindIncident && a.causes[d].Culprit == a.causes[c].Name && i.hi > s.alone {
			end = max(end, min(i.hi, s.hi))
		}
	}
	return end
}

// compare charges a change with what its revision failed beyond the others in
// the same minutes (Mantel and Haenszel's comparison, stratified by time): what
// hits all revisions alike cancels out, whatever it is and however it varies.
func (a *attributor) compare(c int) {
	ch := &a.charges[c]
	net, variance, above := 0.0, 0.0, 0.0
	for _, t := range a.spans[c].strata {
		rate := t.b / t.n
		net += t.cb - t.cn*rate
		even := (t.b + t.cb) / (t.n + t.cn)
		variance += a.dispersion * even * (t.cn + t.cn*t.cn/t.n)
		ch.armBad, ch.armTotal = ch.armBad+t.cb, ch.armTotal+t.cn
		ch.besideBad, ch.besideTotal = ch.besideBad+t.b, ch.besideTotal+t.n
		for i := t.lo; i < t.hi; i++ {
			n, b := arm(a.slots[i], a.causes[c].Revision)
			above += math.Max(0, b-n*rate)
		}
	}
	if net <= doubt*math.Sqrt(variance)+1 || above <= 0 {
		return
	}
	share := math.Min(1, net/above)
	for _, t := range a.spans[c].strata {
		for i := t.lo; i < t.hi; i++ {
			n, b := arm(a.slots[i], a.causes[c].Revision)
			a.charge(c, i, share*(b-n*t.b/t.n))
		}
	}
	for p := range ch.parts {
		ch.parts[p].measured = true
	}
	ch.measured = ch.sum()
}

// charge adds to what a cause is charged with in a slot, never more than is
// left there.
func (a *attributor) charge(c, slot int, x float64) {
	x = math.Min(x, a.b[slot]-a.x[slot])
	if x <= 0 {
		return
	}
	a.x[slot] += x
	parts := a.charges[c].parts
	a.charges[c].parts = append(parts, part{slot: slot, x: x})
}

func (c *Charge) sum() float64 {
	t := 0.0
	for _, p := range c.parts {
		t += p.x
	}
	return t
}

// baseline is the background at the end.
func (a *attributor) baseline() Baseline {
	known := pooled(a.blocks, a.dispersion)
	out := Baseline{Ratio: known.withPrior(a.prior).ratio, Requests: int64(known.n), Dispersion: a.dispersion, Prior: known.n < 1/a.prior}
	if last := len(a.slots) - 1; last >= 0 {
		out.Ratio = a.levels[last] + a.steps[last]
		for c, s := range a.spans {
			if a.causes[c].lasting() && s.alone <= last && last < s.hi && len(a.charges[c].parts) > 0 {
				out.Ratio = math.Min(out.Ratio, s.base.ratio)
			}
		}
	}
	return out
}
