package slo

import (
	"iter"
	"maps"
	"slices"
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
	mu   sync.Mutex
	base time.Duration
	now  time.Time
	live map[string]*live
	ids  []string // in order; nil when stale
}

// live is one objective at work.
type live struct {
	objective *Objective
	meter     *meter
	slicer    *slicer // for the slice methods
	rules     []Rule
	alerts    []AlertState // by rule
	firing    []*Firing    // by rule; nil when quiet
	first     int64        // earliest data ever, nanoseconds; 0: none
	own       time.Duration
}

// NewEngine counts in slots of base width (a minute is usual; it must divide a
// minute or be a whole number of minutes), starting at now.
func NewEngine(base time.Duration, now time.Time) (*Engine, error) {
	if base <= 0 || time.Minute%base != 0 && base%time.Minute != 0 {
		return nil, problem.New(problem.Invalid, "slo.engine", "a slot of %s neither divides a minute nor is whole minutes", base).
			WithNext("use 1s, 5s, 10s, 1m or 5m")
	}
	return &Engine{base: base, now: now, live: map[string]*live{}}, nil
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
	if old == nil {
		e.ids = nil
	}
	e.live[o.ID()] = fresh
	return old == nil || fresh.meter != old.meter, nil
}

func (e *Engine) newLive(o *Objective) *live {
	own := o.Window.Nominal()
	lengths := slices.Concat(BurnWindows, []time.Duration{own})
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
	l := &live{objective: o, own: own, rules: o.Rules()}
	l.alerts, l.firing = make([]AlertState, len(l.rules)), make([]*Firing, len(l.rules))
	if o.sliced() {
		base = o.SliceWindow
		l.slicer = newSlicer(o, e.base, e.now)
	}
	l.meter = newMeter(base, slices.Compact(lengths), o.Window.Calendar, e.now)
	return l
}

// sameCounts reports whether l's running sums serve b too.
func (l *live) sameCounts(b *live) bool {
	o, p := l.objective, b.objective
	if len(l.meter.windows) != len(b.meter.windows) || o.Method != p.Method || o.Window.String() != p.Window.String() {
		return false
	}
	for i, w := range b.meter.windows {
		if l.meter.windows[i].length != w.length {
			return false
		}
	}
	return !o.sliced() || o.SliceWindow == p.SliceWindow && o.SliceTarget == p.SliceTarget
}

// keepAlerts carries the state of rules over the same windows of the same policy.
func (l *live) keepAlerts(old *live) {
	for i, r := range l.rules {
		j := slices.IndexFunc(old.rules, func(q Rule) bool {
			return q.Policy.Name == r.Policy.Name && q.Condition.Long == r.Condition.Long && q.Condition.Short == r.Condition.Short
		})
		if j >= 0 {
			l.alerts[i], l.firing[i] = old.alerts[j], old.firing[j]
		}
	}
}

// Remove forgets an objective.
func (e *Engine) Remove(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, id)
	e.ids = nil
}

// Outcome says what became of a count.
type Outcome int

// The outcomes of Add.
const (
	Counted Outcome = iota // every window that contains its time took it
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
	if l.slicer != nil {
		if total > 0 { // a slice without events is a gap
			l.begin(floorDiv(at, l.slicer.width) * l.slicer.width)
		}
		d, ok := l.slicer.add(at, good, total)
		if !ok || !l.meter.add(at, d) {
			return TooLate
		}
		return Counted
	}
	l.begin(floorDiv(at, int64(base)) * int64(base))
	d := cell{bad: total - good, total: total}
	r := &l.meter.rings[0]
	remembered := floorDiv(at, r.width) > r.head-r.size()
	if remembered && !l.meter.reported(at) || !remembered && floorMod(at, int64(base)) == 0 {
		d.known = slots
	}
	if !l.meter.add(at, d) {
		return TooLate
	}
	return Counted
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
	for _, id := range e.order() {
		current = e.live[id]
		current.meter.advance(e.now.UnixNano())
		for i, r := range current.rules {
			state, firing := current.objective.Evaluate(r, current.alerts[i], sums, e.now)
			current.alerts[i] = state
			if firing == nil {
				continue
			}
			current.firing[i] = firing
			if !firing.Resolved.IsZero() {
				current.firing[i] = nil
			}
			out = append(out, Transition{id, *firing})
		}
	}
	return out
}

func (l *live) counts(d time.Duration) Counts {
	w, ok := l.meter.window(d)
	if !ok {
		return Counts{}
	}
	return l.meter.counts(w)
}

func (e *Engine) order() []string {
	if e.ids == nil {
		e.ids = slices.Sorted(maps.Keys(e.live))
	}
	return e.ids
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
	if events.width%int64(e.base) != 0 && int64(e.base)%events.width != 0 {
		return problem.New(problem.Invalid, "slo.load", "%s: slots of %s do not fit slots of %s", id, events.Width(), e.base)
	}
	fresh := e.newLive(l.objective)
	if l.slicer != nil && events.Width() > l.objective.SliceWindow {
		return problem.New(problem.Invalid, "slo.load", "%s: slices of %s cannot be judged from slots of %s", id, l.objective.SliceWindow, events.Width())
	}
	first, _ := events.Bounds()
	if events.Len() > 0 && first.Before(e.now) {
		// Replay from where the history begins, so that late slots of the same
		// span find the rings where they were.
		fresh.rewind(latest(first, e.now.Add(-2*fresh.own)).Truncate(e.base), e.base)
	}
	limit := e.now.Add(MaxSkew)
	for slot := range events.Slots() {
		if slot.Time.Before(limit) {
			fresh.add(slot.Time.UnixNano(), slot.Good, slot.Total, e.base, max(events.width/int64(e.base), 1))
		}
	}
	fresh.meter.advance(e.now.UnixNano())
	l.meter, l.slicer, l.first = fresh.meter, fresh.slicer, fresh.first
	return nil
}

// rewind starts an empty live objective at an earlier moment.
func (l *live) rewind(to time.Time, base time.Duration) {
	lengths := make([]time.Duration, 0, len(l.meter.windows))
	for _, w := range l.meter.windows {
		lengths = append(lengths, time.Duration(w.length))
	}
	width := base
	if l.slicer != nil {
		width = l.objective.SliceWindow
		l.slicer = newSlicer(l.objective, base, to)
	}
	l.meter = newMeter(width, lengths, l.objective.Window.Calendar, to)
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
	ids, objectives := slices.Clone(e.order()), []*Objective{}
	for _, id := range ids {
		objectives = append(objectives, e.live[id].objective)
	}
	e.mu.Unlock()
	return func(yield func(string, *Objective) bool) {
		for i, id := range ids {
			if !yield(id, objectives[i]) {
				return
			}
		}
	}
}
