package slo

import (
	"fmt"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// BurnWindows are the windows whose burn rates are always shown, beside the
// objective's own.
var BurnWindows = []time.Duration{5 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	6 * time.Hour, 24 * time.Hour, 72 * time.Hour}

// MaxSkew is how far ahead of the engine's now a count may lie. Farther ahead
// the reporter's clock is wrong, and its counts would push the present out of
// the windows.
const MaxSkew = 2 * time.Minute

// Engine keeps the burn rates, budgets and alerts of many objectives up to
// date: counts come in as they are reported, in any order; Tick moves time.
// What it keeps per objective does not grow with traffic or age. It is safe
// for concurrent use.
type Engine struct {
	mu      sync.Mutex
	base    time.Duration
	now     time.Time
	live    map[string]*live
	ordered []*live // by ID; nil when stale
	// composites are those of ordered that are made of others.
	composites []*live
	layouts    map[string]*layout
}

// live is one objective at work.
type live struct {
	meter     meter
	watches   []watch // by rule
	busy      bool    // some rule's state is not the quiet one
	changed   bool    // since Changed was last asked
	id        string
	objective *Objective
	slicer    *slicer // for the slice methods
	rules     []Rule
	alerts    []AlertState     // by rule
	firing    []*Firing        // by rule; nil when quiet
	first     int64            // earliest data ever, nanoseconds; 0: none
	own       int              // index of the objective's own window
	peers     map[string]*live // of a composite: where its parts are, by ID
}

// watch is the part of a rule that a tick looks at first.
type watch struct {
	window    int
	threshold uint64 // factor × (1 − target), in billionths of billionths
	noData    bool
}

// NewEngine counts in slots of base width (a minute is usual; it must divide a
// minute or be a whole number of minutes), starting at now.
func NewEngine(base time.Duration, now time.Time) (*Engine, error) {
	if base <= 0 || time.Minute%base != 0 && base%time.Minute != 0 {
		return nil, problem.New(problem.Invalid, "slo.engine", "a slot of %s neither divides a minute nor is whole minutes", base).
			WithNext("use 1s, 5s, 10s, 1m or 5m")
	}
	return &Engine{base: base, now: now, live: map[string]*live{}, layouts: map[string]*layout{}}, nil
}

// Sibling is an empty engine of the same slots at the same time.
func (e *Engine) Sibling() *Engine {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &Engine{base: e.base, now: e.now, live: map[string]*live{}, layouts: map[string]*layout{}}
}

// Now is the time of the last Tick.
func (e *Engine) Now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// Put adds an objective or replaces the one with its ID. Where only the target
// or the alert policies' factors changed, its counts stay; otherwise it starts
// empty, and Put reports that its history is to be loaded (Load).
func (e *Engine) Put(o *Objective) (empty bool, err error) {
	if findings := o.Check(); len(findings) > 0 {
		return false, &problem.Error{Kind: problem.Invalid, Op: "slo.put", Message: "objective " + o.ID() + " is not valid", Findings: findings}
	}
	if o.sliced() && o.SliceWindow%e.base != 0 {
		return false, problem.New(problem.Invalid, "slo.put", "slices of %s are not whole slots of %s", o.SliceWindow, e.base)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := e.newLive(o)
	old := e.live[o.ID()]
	if old != nil && old.sameCounts(fresh) {
		fresh.meter, fresh.slicer, fresh.first = old.meter, old.slicer, old.first
		fresh.keepAlerts(old)
	}
	e.replace(fresh)
	return fresh.first == 0, nil
}

// replace puts a live objective in the place of the one with its ID.
func (e *Engine) replace(l *live) {
	l.changed = true
	e.live[l.id] = l
	e.ordered = nil
}

func (e *Engine) newLive(o *Objective) *live { return e.newLiveAt(o, e.now) }

// newLiveAt is an empty live objective at a time.
func (e *Engine) newLiveAt(o *Objective, now time.Time) *live {
	own := o.Window.Nominal()
	lengths := append(slices.Clone(BurnWindows), own)
	for _, p := range o.AlertPolicies {
		for _, c := range p.Conditions {
			lengths = append(lengths, c.Long)
			if c.Short > 0 {
				lengths = append(lengths, c.Short)
			}
		}
	}
	slices.Sort(lengths)
	base := e.base
	l := &live{id: o.ID(), objective: o, rules: o.Rules()}
	l.alerts, l.firing = make([]AlertState, len(l.rules)), make([]*Firing, len(l.rules))
	if o.sliced() {
		base = o.SliceWindow
		l.slicer = newSlicer(o, e.base, now)
	}
	if o.composite() {
		l.peers, l.meter, l.slicer = e.live, meter{layout: e.layout(base, slices.Compact(lengths)), asOf: now.UnixNano()}, nil
		return l
	}
	l.meter = newMeter(e.layout(base, slices.Compact(lengths)), o.Window.Calendar, now)
	l.own, _ = l.meter.layout.window(own)
	for _, r := range l.rules {
		w := watch{noData: r.Policy.NoData}
		w.window, _ = l.meter.layout.window(r.Condition.Long)
		if hi, lo := bits.Mul64(uint64(r.Condition.Factor), uint64(o.BudgetRatio())); hi == 0 {
			w.threshold = lo
		}
		l.watches = append(l.watches, w)
	}
	return l
}

// layout is the shared layout of a shape.
func (e *Engine) layout(base time.Duration, windows []time.Duration) *layout {
	key := fmt.Sprint(base, windows)
	if e.layouts[key] == nil {
		e.layouts[key] = newLayout(base, windows)
	}
	return e.layouts[key]
}

// sameCounts reports whether l's running sums serve b too.
func (l *live) sameCounts(b *live) bool {
	o, p := l.objective, b.objective
	return (l.peers == nil) == (b.peers == nil) && l.meter.layout == b.meter.layout && o.Method == p.Method && o.Window.String() == p.Window.String() &&
		(!o.sliced() || o.SliceWindow == p.SliceWindow && o.SliceTarget == p.SliceTarget)
}

// keepAlerts carries the state of rules over the same windows of the same policy.
func (l *live) keepAlerts(old *live) {
	for i, r := range l.rules {
		j := slices.IndexFunc(old.rules, func(q Rule) bool {
			return q.Policy.Name == r.Policy.Name && q.Condition.Long == r.Condition.Long && q.Condition.Short == r.Condition.Short
		})
		if j >= 0 {
			l.alerts[i], l.firing[i] = old.alerts[j], old.firing[j]
			l.busy = l.busy || l.alerts[i] != AlertState{}
		}
	}
}

// Remove forgets an objective.
func (e *Engine) Remove(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, id)
	e.ordered = nil
}

// Outcome says what became of a count.
type Outcome int

// The outcomes of Add.
const (
	Taken   Outcome = iota // every window that contains its time took it
	TooLate                // older than the live windows remember: store it and Load the history again
)

// Add counts events at a time into an objective; 0 of 0 says that the slot
// reported and saw nothing. Late counts are normal. It refuses impossible
// counts, and times more than MaxSkew ahead of now.
func (e *Engine) Add(id string, at time.Time, good, total int64) (Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[id]
	switch {
	case !ok:
		return 0, problem.New(problem.NotFound, "slo.add", "there is no objective %q", id).WithNext("flyball slo list shows the objectives")
	case l.peers != nil:
		return 0, notCounted(id)
	case good < 0 || total < good:
		return 0, problem.New(problem.Invalid, "slo.add", "%s: %d good of %d is not possible", id, good, total).
			WithNext("report counts with 0 ≤ good ≤ total")
	case at.After(e.now.Add(MaxSkew)):
		return 0, problem.New(problem.Invalid, "slo.add", "%s: a count for %s, which is ahead of now (%s)", id,
			at.UTC().Format(time.RFC3339), e.now.UTC().Format(time.RFC3339)).WithNext("correct the reporter's clock")
	}
	return l.add(at.UnixNano(), good, total, e.base, 1), nil
}

// add counts events of a slot that is so many base slots wide.
func (l *live) add(at, good, total int64, base time.Duration, slots int64) Outcome {
	l.changed = true
	if l.slicer != nil {
		if total > 0 { // a slice without events is a gap
			l.begin(floorDiv(at, l.slicer.width) * l.slicer.width)
		}
		d, ok := l.slicer.add(at, good, total)
		if !ok || !l.meter.add(at, d) {
			return TooLate
		}
		return Taken
	}
	l.begin(floorDiv(at, int64(base)) * int64(base))
	d := cell{bad: total - good, total: total}
	if reported, remembered := l.meter.reported(at); remembered && !reported || !remembered && floorMod(at, int64(base)) == 0 {
		d.known = slots
	}
	if !l.meter.add(at, d) {
		return TooLate
	}
	return Taken
}

// Change adds a difference to one slot of an objective: counts that came, or
// that were corrected downwards. known is 1 when the slot has not reported
// before, -1 when it is a gap from now on, and 0 otherwise.
func (e *Engine) Change(id string, at time.Time, good, total, known int64) (Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[id]
	if !ok {
		return 0, problem.New(problem.NotFound, "slo.change", "there is no objective %q", id)
	}
	if l.peers != nil {
		return 0, notCounted(id)
	}
	return l.change(at.UnixNano(), good, total, known, int64(e.base)), nil
}

func (l *live) change(t, good, total, known, base int64) Outcome {
	l.changed = true
	if l.slicer != nil {
		if total > 0 {
			l.begin(floorDiv(t, l.slicer.width) * l.slicer.width)
		}
		d, ok := l.slicer.add(t, good, total)
		if !ok || !l.meter.add(t, d) {
			return TooLate
		}
		return Taken
	}
	if known > 0 {
		l.begin(floorDiv(t, base) * base)
	}
	if !l.meter.add(t, cell{bad: total - good, total: total, known: known}) {
		return TooLate
	}
	return Taken
}

// begin remembers the earliest data.
func (l *live) begin(at int64) {
	if l.first == 0 || at < l.first {
		l.first = at
	}
}

// Transition is an alert that began or ended in a Tick.
type Transition struct {
	ID     string
	Firing Firing
}

// Tick moves every objective to now and evaluates its alert policies. It
// returns what began or ended, in order of objective. A clock that runs
// backwards changes nothing until it is ahead again.
func (e *Engine) Tick(now time.Time) []Transition {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.After(e.now) {
		e.now = now
	}
	var out []Transition
	var current *live
	sums := func(d time.Duration) Counts { return current.counts(d) }
	for _, current = range e.order() {
		if current.peers != nil {
			continue // after its parts
		}
		current.changed = current.meter.advance(e.now.UnixNano()) || current.changed
		if !current.busy && !current.stirs() {
			continue // every rule is quiet, and was
		}
		out = current.evaluate(out, sums, e.now)
	}
	return e.tickComposites(out)
}

// stirs reports whether any rule's long window is worth evaluating.
func (l *live) stirs() bool {
	for i := range l.watches {
		w := &l.watches[i]
		s := &l.meter.sums[w.window]
		if s.bad > 0 && compareShare(s.bad, s.total, w.threshold) >= 0 || w.noData && s.known == 0 {
			return true
		}
	}
	return false
}

// evaluate evaluates every rule, and appends what begins or ends.
func (l *live) evaluate(out []Transition, sums Sums, now time.Time) []Transition {
	l.busy = false
	for i, r := range l.rules {
		state, firing := l.objective.Evaluate(r, l.alerts[i], sums, now)
		l.alerts[i] = state
		l.busy = l.busy || state != AlertState{}
		if firing == nil {
			continue
		}
		l.firing[i], l.changed = firing, true
		if !firing.Resolved.IsZero() {
			l.firing[i] = nil
		}
		out = append(out, Transition{l.id, *firing})
	}
	return out
}

func (l *live) counts(d time.Duration) Counts {
	if l.peers != nil {
		return l.composedCounts(d)
	}
	i, ok := l.meter.layout.window(d)
	if !ok {
		return Counts{}
	}
	return l.meter.counts(i)
}

func (e *Engine) order() []*live {
	if e.ordered == nil {
		e.ordered = slices.SortedFunc(maps.Values(e.live), func(a, b *live) int { return strings.Compare(a.id, b.id) })
		e.composites = slices.DeleteFunc(slices.Clone(e.ordered), func(l *live) bool { return l.peers == nil })
	}
	return e.ordered
}

// Load replaces what an objective has counted by its stored history of events,
// up to the engine's now. Alerts go on from their state.
func (e *Engine) Load(id string, events *Series) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	l, ok := e.live[id]
	if !ok {
		return problem.New(problem.NotFound, "slo.load", "there is no objective %q", id)
	}
	if l.peers != nil {
		return nil // its parts have the history
	}
	if events.width%int64(e.base) != 0 && int64(e.base)%events.width != 0 {
		return problem.New(problem.Invalid, "slo.load", "%s: slots of %s do not fit slots of %s", id, events.Width(), e.base)
	}
	if l.slicer != nil && events.Width() > l.objective.SliceWindow {
		return problem.New(problem.Invalid, "slo.load", "%s: slices of %s cannot be judged from slots of %s", id, l.objective.SliceWindow, events.Width())
	}
	fresh := e.loaded(l.objective, events)
	l.meter, l.slicer, l.first, l.changed = fresh.meter, fresh.slicer, fresh.first, true
	return nil
}

// loaded is an objective that has counted a history of events, up to now.
func (e *Engine) loaded(o *Objective, events *Series) *live {
	limit := e.now.Add(MaxSkew)
	if events.width == int64(e.base) && events.phase == 0 && !o.sliced() {
		events = events.Between(time.Unix(0, 0), limit)
		_, end := events.Bounds()
		fresh := e.newLiveAt(o, latest(e.now, end.Add(-e.base)))
		if first, _ := events.Bounds(); events.Len() > 0 {
			fresh.begin(first.UnixNano())
		}
		fresh.meter.fill(events)
		return fresh
	}
	start := e.now
	if first, _ := events.Bounds(); events.Len() > 0 && first.Before(e.now) {
		// Go through history from where it begins to matter, so that every slot
		// passes the windows as it would have live.
		fresh := e.newLiveAt(o, e.now)
		start = latest(first, e.now.Add(-2*time.Duration(fresh.meter.layout.windows[len(fresh.meter.layout.windows)-1].length))).Truncate(e.base)
	}
	fresh := e.newLiveAt(o, start)
	for slot := range events.Slots() {
		if slot.Time.Before(limit) {
			fresh.add(slot.Time.UnixNano(), slot.Good, slot.Total, e.base, max(events.width/int64(e.base), 1))
		}
	}
	fresh.meter.advance(e.now.UnixNano())
	return fresh
}

// Len is the number of objectives.
func (e *Engine) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.live)
}

// Objectives is every objective in order of ID, as of the call.
func (e *Engine) Objectives() iter.Seq2[string, *Objective] {
	e.mu.Lock()
	all := slices.Clone(e.order())
	e.mu.Unlock()
	return func(yield func(string, *Objective) bool) {
		for _, l := range all {
			if !yield(l.id, l.objective) {
				return
			}
		}
	}
}
