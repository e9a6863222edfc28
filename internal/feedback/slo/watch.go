package slo

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Backlog gives a place's counts minute by minute, for an objective whose
// running sums are to be filled.
type Backlog func(ctx context.Context, service, environment string, from, until time.Time, add func(at time.Time, requests, bad int64, slow map[int64]int64)) error

// Watcher keeps the engine's objectives as declared and tells which of them
// have something to record.
type Watcher struct {
	engine  *Engine
	reader  projection.Reader
	history Backlog
	wake    func(key string)

	mu       sync.Mutex
	declared map[string]*declared // by engine ID
	byPlace  map[string][]string  // engine IDs by SERVICE/ENVIRONMENT
	seen     map[string]string    // last signature by engine ID
}

type declared struct {
	objective *Objective
	team      string
	threshold int64 // nanoseconds, for latency
}

// NewWatcher makes a watcher; wake is called with the key of an objective that
// has something to record.
func NewWatcher(engine *Engine, reader projection.Reader, history Backlog, wake func(key string)) *Watcher {
	return &Watcher{engine: engine, reader: reader, history: history, wake: wake,
		declared: map[string]*declared{}, byPlace: map[string][]string{}, seen: map[string]string{}}
}

// Key is the name of an objective in events and addresses:
// SERVICE.ENVIRONMENT.NAME.
func (o *Objective) Key() string { return o.Service + "." + o.Environment + "." + o.Name }

// Declare brings the engine's objectives in line with what is declared now.
func (w *Watcher) Declare(ctx context.Context, now time.Time) error {
	services, err := catalog.Services(ctx, w.reader)
	if err != nil {
		return err
	}
	environments, err := catalog.Environments(ctx, w.reader)
	if err != nil {
		return err
	}
	documents, err := written(ctx, w.reader)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wanted := map[string]bool{}
	w.byPlace = map[string][]string{}
	for _, s := range services {
		for _, e := range environments {
			if !s.In(e.Name) {
				continue
			}
			for _, o := range append(Shorthand(s, e.Name), writtenFor(documents, s, e.Name)...) {
				id := o.ID()
				if !wanted[id] {
					w.byPlace[s.Name+"/"+e.Name] = append(w.byPlace[s.Name+"/"+e.Name], id)
				}
				wanted[id] = true
				if err := w.put(ctx, o, s.Team, now); err != nil {
					return err
				}
			}
		}
	}
	for id := range w.declared {
		if !wanted[id] {
			w.engine.Remove(id)
			delete(w.declared, id)
			delete(w.seen, id)
		}
	}
	return nil
}

// Shorthand is the objectives of the two lines in a service file, for one
// environment.
func Shorthand(s catalog.Service, environment string) []*Objective {
	base := Objective{
		Service: s.Name, Environment: environment, Method: Occurrences, Window: Window{Rolling: s.Objectives.Window},
		Traffic: int64(s.Traffic.PerSecond() * 86400), Weight: One, AlertPolicies: DefaultPolicies(Occurrences),
	}
	var out []*Objective
	if a := s.Objectives.Availability; a != 0 {
		o := base
		o.Name, o.Target, o.Indicator = "availability", share(a), Indicator{Kind: Availability}
		out = append(out, &o)
	}
	if l := s.Objectives.Latency; !l.IsZero() {
		o := base
		threshold, err := ParseDecimal(fmt.Sprintf("%.9f", l.Threshold.Seconds()))
		if err == nil {
			o.Name, o.Target, o.Indicator = "latency", share(l.Share), Indicator{Kind: Latency, Op: "lte", Threshold: threshold}
			out = append(out, &o)
		}
	}
	return out
}

// writtenFor is the OpenSLO objectives of a service in an environment. One that
// has the name of a shorthand replaces it.
func writtenFor(documents []*Objective, s catalog.Service, environment string) []*Objective {
	var out []*Objective
	for _, d := range documents {
		if d.Service != s.Name || d.Environment != "" && d.Environment != environment {
			continue
		}
		o := *d
		o.Environment = environment
		if o.Traffic == 0 {
			o.Traffic = int64(s.Traffic.PerSecond() * 86400)
		}
		if len(o.AlertPolicies) == 0 {
			o.AlertPolicies = DefaultPolicies(o.Method)
		}
		out = append(out, &o)
	}
	return out
}

// share is a percentage as an exact ratio: 99.9% is 0.999.
func share(p catalog.Percent) Decimal {
	d, err := ParseDecimal(fmt.Sprintf("%.7f", float64(p)))
	if err != nil {
		return 0
	}
	return d / 100
}

func (w *Watcher) put(ctx context.Context, o *Objective, team string, now time.Time) error {
	id := o.ID()
	d := &declared{objective: o, team: team}
	if o.Indicator.Kind == Latency {
		d.threshold = int64(o.Indicator.Threshold.Float64() * float64(time.Second))
	}
	// Factors that can never fire for a lenient target are left out rather than
	// refusing the whole objective: the table of slo explain says so.
	empty, err := w.engine.Put(o)
	if err != nil {
		return err
	}
	w.declared[id] = d
	if !empty {
		return nil
	}
	from, _ := o.Window.Lookback(now)
	series := NewSeries(time.Minute, 0)
	err = w.history(ctx, o.Service, o.Environment, from, now, func(at time.Time, requests, bad int64, slow map[int64]int64) {
		good, total := d.count(requests, bad, slow)
		// A minute that cannot be is left out: it stays a gap.
		_ = series.Add(at, good, total)
	})
	if err != nil || series.Len() == 0 {
		return err
	}
	return w.engine.Load(id, series)
}

func (d *declared) count(requests, bad int64, slow map[int64]int64) (good, total int64) {
	if d.threshold > 0 {
		bad = slow[d.threshold]
	}
	return max(0, requests-bad), requests
}

// Count adds what a service received at a moment to its objectives.
func (w *Watcher) Count(service, environment string, at time.Time, requests, bad int64, slow map[int64]int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.byPlace[service+"/"+environment] {
		good, total := w.declared[id].count(requests, bad, slow)
		if _, err := w.engine.Add(id, at, good, total); err != nil {
			return err
		}
	}
	return nil
}

// Tick moves time and wakes the objectives whose level or alerts changed.
func (w *Watcher) Tick(now time.Time) {
	w.engine.Tick(now)
	w.mu.Lock()
	ids := make([]string, 0, len(w.declared))
	for id := range w.declared {
		ids = append(ids, id)
	}
	w.mu.Unlock()
	sort.Strings(ids)
	for _, id := range ids {
		m, err := w.measure(id)
		if err != nil {
			continue // removed meanwhile
		}
		signature := LevelOf(m.Remaining)
		for _, a := range m.Firing {
			signature += "|" + a.rule()
		}
		w.mu.Lock()
		changed := w.seen[id] != signature && m.Events > 0
		if changed {
			w.seen[id] = signature
		}
		w.mu.Unlock()
		if changed {
			w.wake(m.Key)
		}
	}
}

// Snapshot is the engine's state of an objective, by key.
func (w *Watcher) Snapshot(key string) (Snapshot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, d := range w.declared {
		if d.objective.Key() == key {
			return w.engine.Snapshot(id)
		}
	}
	return Snapshot{}, problem.New(problem.NotFound, "slo.show", "there is no objective %q", key).WithNext("flyball slo list shows the objectives")
}

// Snapshots is every objective's state, by key, of one place or of all.
func (w *Watcher) Snapshots(service, environment string) []Snapshot {
	var out []Snapshot
	for s := range w.engine.Snapshots() {
		if (service == "" || s.Objective.Service == service) && (environment == "" || s.Objective.Environment == environment) {
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
	return m, nil
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
			Level: LevelOf(s.Budget.RemainingRatio), Burn1h: s.BurnOver(time.Hour),
		})
	}
	data, err := json.Marshal(out)
	return control.Reading{From: now, To: now, Complete: true, Data: data}, err
}
