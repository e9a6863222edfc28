package slo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Backlog gives a place's counts minute by minute, for an objective whose
// running sums are to be filled.
type Backlog func(ctx context.Context, service, environment string, from, until time.Time, add func(at time.Time, requests, bad int64, slow map[int64]int64)) error

// Setup is what a Watcher works with.
type Setup struct {
	Reader  projection.Reader
	Minutes Backlog // what the proxy counted
	Slots   *Slots  // what others count
	// Log, Sync and Clock are for what users record; Sync waits until Reader shows
	// the end of the log.
	Log   event.Log
	Sync  func(ctx context.Context) error
	Clock clock.Clock
	// Incidents are those of a place, for reports; one without an end is open. Nil
	// reports none.
	Incidents func(ctx context.Context, service, environment string) ([]Incident, error)
	// Origin tells where an indicator's counts come from; nil, or false, where
	// that is not known.
	Origin func(indicator string) (Origin, bool)
	// Wake is called with the key of an objective that has something to record.
	Wake func(key string)
}

// Watcher keeps the engine's objectives as declared, feeds them with what is
// counted, and tells which of them have something to record.
type Watcher struct {
	Setup
	engine *Engine // objectives
	raw    *Engine // those with adjustments, without them; no alerts
	groups *Engine // groups of objectives; no alerts
	reader projection.Reader

	// feeding is held while counts go from the store into the engines: by whoever
	// records, and by whoever loads a history. It is taken before mu.
	feeding sync.Mutex

	kept keeping // histories that were looked at lately

	mu          sync.Mutex
	now         time.Time
	wall        time.Time            // of the last Tick: before now when the clock went back
	declares    int                  // how often objectives were declared
	declared    map[string]*declared // by engine ID
	byKey       map[string]string    // engine IDs
	byPlace     map[string][]string  // engine IDs of what the proxy counts, by SERVICE/ENVIRONMENT
	byIndicator map[string][]string  // engine IDs of what is recorded, by indicator
	stale       map[string]*declared // to be loaded again, by engine ID
	late        map[string]time.Time // counts that came after the checkpoint of a later time, by engine ID
	saved       map[string]time.Time // when each was last kept as a checkpoint, by engine ID
	seen        map[string]string    // last signature by engine ID
	told        map[string][]string  // rules of groups that are said to fire, by engine ID of the whole
}

type declared struct {
	objective *Objective
	team      string
	indicator string              // ID; empty for what the proxy counts
	threshold int64               // nanoseconds, for latency
	groups    map[string]struct{} // that the engine of groups has
	adjusted  []Adjustment        // that hold
}

// NewWatcher makes a watcher of an engine.
func NewWatcher(engine *Engine, setup Setup) *Watcher {
	return &Watcher{Setup: setup, engine: engine, raw: engine.Sibling(), groups: engine.Sibling(), reader: setup.Reader, now: engine.Now(),
		declared: map[string]*declared{}, byKey: map[string]string{}, byPlace: map[string][]string{}, byIndicator: map[string][]string{}, stale: map[string]*declared{}, late: map[string]time.Time{}, saved: map[string]time.Time{}, seen: map[string]string{}, told: map[string][]string{}}
}

// Key is the name of an objective in events and addresses:
// SERVICE.ENVIRONMENT.NAME.
func (o *Objective) Key() string { return o.Service + "." + o.Environment + "." + o.Name }

// Feed runs what stores counts and has them counted here (Count), so that no
// history is loaded in between: nothing is counted twice.
func (w *Watcher) Feed(ctx context.Context, run func() error) error {
	w.feeding.Lock()
	defer w.feeding.Unlock()
	err := run()
	w.mu.Lock()
	stale, late, now := w.stale, w.late, w.now
	w.late = map[string]time.Time{}
	w.stale = map[string]*declared{}
	w.mu.Unlock()
	for id, at := range late {
		err = errors.Join(err, w.outdate(context.WithoutCancel(ctx), at, []string{id}))
	}
	for _, d := range stale {
		err = errors.Join(err, w.load(context.WithoutCancel(ctx), d, now))
	}
	return err
}

// Count adds what a service received at a moment to its objectives. Those that
// cannot take it as it comes are loaded again at the end of Feed.
func (w *Watcher) Count(service, environment string, at time.Time, requests, bad int64, slow map[int64]int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.byPlace[service+"/"+environment] {
		d := w.declared[id]
		good, total := d.count(requests, bad, slow)
		if saved, ok := w.saved[id]; ok && at.Before(saved.Add(-recheck)) {
			w.late[id] = at
		}
		if len(d.adjusted) > 0 {
			if _, err := w.raw.Add(id, at, good, total); err != nil {
				return err
			}
		}
		switch d.verdict(at) {
		case reloadIt:
			w.stale[id] = d
		case countIt:
			outcome, err := w.engine.Add(id, at, good, total)
			if err != nil {
				return err
			}
			if outcome == TooLate && at.After(d.objective.reach(w.now)) {
				w.stale[id] = d
			}
		}
	}
	return nil
}

// What is to be done with counts of a minute.
const (
	countIt  = iota
	leaveIt  // an exclusion covers it
	reloadIt // a correction covers it: what it takes out may be another now
)

// verdict says what is to be done with counts of the minute of a time.
func (d *declared) verdict(at time.Time) int {
	at = at.Truncate(time.Minute)
	for _, a := range d.adjusted {
		if a.touches(at, at.Add(time.Minute)) {
			if a.Kind == Corrected {
				return reloadIt
			}
			return leaveIt
		}
	}
	return countIt
}

// Tick moves time and wakes the objectives whose level or alerts changed.
func (w *Watcher) Tick(now time.Time) {
	w.engine.Tick(now)
	turned := w.groups.Tick(now)
	w.raw.Tick(now)
	w.mu.Lock()
	w.now, w.wall = w.engine.Now(), now
	w.mu.Unlock()
	for _, c := range w.engine.changed() {
		w.mu.Lock()
		changed := w.declared[c.id] != nil && w.seen[c.id] != c.text && c.events
		if changed {
			w.seen[c.id] = c.text
		}
		w.mu.Unlock()
		if changed {
			w.Wake(c.key)
		}
	}
	w.wakeGroups(turned)
}

// Snapshot is the engine's state of an objective, by key; of one of its groups
// by KEY{GROUP}.
func (w *Watcher) Snapshot(key string) (Snapshot, error) {
	whole, group, grouped := strings.Cut(strings.TrimSuffix(key, "}"), "{")
	d, err := w.find(whole)
	switch {
	case err != nil:
		return Snapshot{}, err
	case grouped:
		return w.groups.Snapshot(d.objective.group(group).ID())
	}
	s, err := w.engine.Snapshot(d.objective.ID())
	s.Raw = w.rawOf(s.ID)
	return s, err
}

// rawOf is the account of an objective, by engine ID, without what does not
// count; nil when everything does.
func (w *Watcher) rawOf(id string) *RawAccount {
	raw, err := w.raw.Snapshot(id)
	if err != nil {
		return nil
	}
	return &RawAccount{Good: raw.Good, Total: raw.Total, SLI: raw.SLI, Budget: raw.Budget}
}

// Snapshots is every objective's state, by key, of one place or of all.
func (w *Watcher) Snapshots(service, environment string) []Snapshot {
	var out []Snapshot
	for id, o := range w.engine.Objectives() {
		if service != "" && o.Service != service || environment != "" && o.Environment != environment {
			continue
		}
		if s, err := w.engine.Snapshot(id); err == nil { // else removed meanwhile
			s.Raw = w.rawOf(id)
			out = append(out, s)
		}
	}
	return out
}

func (w *Watcher) measure(id string) (Measured, error) {
	w.mu.Lock()
	d := w.declared[id]
	w.mu.Unlock()
	if d == nil {
		return Measured{}, problem.New(problem.NotFound, "slo.measure", "there is no objective %q", id)
	}
	s, err := w.engine.Snapshot(id)
	if err != nil {
		return Measured{}, err
	}
	m := Measured{
		Key: s.Objective.Key(), Service: s.Objective.Service, Team: d.team, Environment: s.Objective.Environment, Name: s.Objective.Name,
		Target: s.Objective.Target.Percent(), Remaining: s.Budget.RemainingRatio, Allowed: s.Budget.Allowed.Float64(), Spent: s.Budget.Spent.Float64(),
		Burn1h: s.BurnOver(time.Hour), Events: s.Total,
	}
	for _, a := range s.Alerts {
		if a.Firing != nil {
			m.Firing = append(m.Firing, alertOf(m, a))
		}
	}
	if d.objective.GroupAlerts {
		m.Firing = append(m.Firing, w.groupAlerts(m, id, d)...)
	}
	for i := range m.Firing {
		m.Firing[i].addressed(d.objective.AlertPolicies)
	}
	return m, nil
}

// addressed says where an alert is told, by its policy.
func (a *AlertChanged) addressed(policies []AlertPolicy) {
	for _, p := range policies {
		if p.Name != a.Policy {
			continue
		}
		if p.Breaching {
			a.Notify = p.Notify
		}
		if p.Resolved {
			a.NotifyEnd = p.Notify
		}
	}
}

// BurnOver is the burn rate over one of BurnWindows, 0 when nothing is known.
func (s Snapshot) BurnOver(window time.Duration) float64 {
	for _, b := range s.Burns {
		if b.Window == window && b.Known {
			return b.Rate
		}
	}
	return 0
}

func alertOf(m Measured, a RuleStatus) AlertChanged {
	f := a.Firing
	out := AlertChanged{
		Alert: fmt.Sprintf("%s/%s/%s", m.Key, a.Condition, f.Fired.UTC().Format("20060102T150405")), Objective: m.Key,
		Service: m.Service, Team: m.Team, Environment: m.Environment, Policy: a.Policy, Condition: a.Condition, Severity: a.Severity,
		Fired: f.Fired, Explanation: f.Reason, BurnLong: f.Long.Burn, Bad: f.Long.Bad, Total: f.Long.Total, ExhaustsIn: f.Exhausts.Seconds(),
	}
	if f.Short != nil {
		out.BurnShort = f.Short.Burn
	}
	return out
}

// Source answers the reading "objective".
func (w *Watcher) Source(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args, _ := r.Args.(map[string]string)
	s, err := w.Snapshot(args["key"])
	if problem.KindOf(err) == problem.NotFound {
		return control.Reading{From: now, To: now, Data: json.RawMessage("null")}, nil
	}
	if err != nil {
		return control.Reading{}, err
	}
	m, err := w.measure(s.ID)
	if err != nil {
		return control.Reading{}, err
	}
	data, err := json.Marshal(m)
	return control.Reading{From: s.Window.From, To: s.At, Complete: true, Data: data}, err
}

// BudgetLeft is one objective in the reading "budget".
type BudgetLeft struct {
	Key       string    `json:"key"`
	Name      string    `json:"name"`
	Target    string    `json:"target"`
	Remaining float64   `json:"remaining"`
	Allowed   float64   `json:"allowed"`
	BadLeft   float64   `json:"bad_left"`
	Level     string    `json:"level"`
	Burn1h    float64   `json:"burn_1h"`
	Recovers  time.Time `json:"recovers,omitzero"`
}

// Budgets answers the reading "budget" with the measured budgets of a place;
// the error-budget policy adds what it makes of them.
func (w *Watcher) Budgets(_ context.Context, r control.Request, now time.Time) (control.Reading, error) {
	args, _ := r.Args.(map[string]string)
	out := struct {
		Objectives []BudgetLeft `json:"objectives"`
	}{Objectives: []BudgetLeft{}}
	for _, s := range w.Snapshots(args["service"], args["environment"]) {
		out.Objectives = append(out.Objectives, BudgetLeft{
			Key: s.Objective.Key(), Name: s.Objective.Name, Target: s.Objective.Target.Percent(),
			Remaining: s.Budget.RemainingRatio, Allowed: s.Budget.Allowed.Float64(), BadLeft: s.Budget.Remaining.Float64(),
			Level: LevelOf(s.Budget.RemainingRatio), Burn1h: s.BurnOver(time.Hour), Recovers: s.Recovers,
		})
	}
	data, err := json.Marshal(out)
	return control.Reading{From: now, To: now, Complete: true, Data: data}, err
}
