package slo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/store"
)

// Declare brings the engine's objectives in line with what is declared now.
func (w *Watcher) Declare(ctx context.Context, now time.Time) error {
	all, err := w.wanted(ctx)
	if err != nil {
		return err
	}
	w.feeding.Lock()
	defer w.feeding.Unlock()
	wanted, byPlace, byIndicator := map[string]*declared{}, map[string][]string{}, map[string][]string{}
	for _, d := range all {
		wanted[d.objective.ID()] = d
	}
	ids := slices.Sorted(maps.Keys(wanted))
	for _, id := range ids {
		switch d := wanted[id]; {
		case d.objective.composite(): // its parts are counted
		case d.indicator != "":
			byIndicator[d.indicator] = append(byIndicator[d.indicator], id)
		default:
			place := d.objective.Service + "/" + d.objective.Environment
			byPlace[place] = append(byPlace[place], id)
		}
	}
	failed := make([]error, len(ids))
	atOnce(len(ids), func(i int) { failed[i] = w.put(ctx, wanted[ids[i]], now) })
	if err := errors.Join(failed...); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byPlace, w.byIndicator = byPlace, byIndicator
	w.declares++
	var gone []store.BlobWrite
	for id, d := range w.declared {
		if wanted[id] == nil {
			w.forget(id, d)
			gone = append(gone, store.BlobWrite{Series: checkpointPrefix + id, Start: time.Unix(0, 0), Remove: true})
		}
	}
	for part := range slices.Chunk(gone, store.MaxWrites) {
		if err := w.Slots.blobs.Put(ctx, part, nil); err != nil {
			return err
		}
	}
	return nil
}

// Declares is how often objectives were declared: while it stays the same, so do
// the indicators and what else is written of them.
func (w *Watcher) Declares() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.declares
}

func (w *Watcher) forget(id string, d *declared) {
	w.engine.Remove(id)
	w.raw.Remove(id)
	for group := range d.groups {
		w.groups.Remove(d.objective.group(group).ID())
	}
	delete(w.declared, id)
	delete(w.byKey, d.objective.Key())
	delete(w.seen, id)
	delete(w.told, id)
	delete(w.saved, id)
}

// wanted is every objective as declared. The last of an ID counts.
func (w *Watcher) wanted(ctx context.Context) ([]*declared, error) {
	services, err := catalog.Services(ctx, w.reader)
	if err != nil {
		return nil, err
	}
	environments, err := catalog.Environments(ctx, w.reader)
	if err != nil {
		return nil, err
	}
	documents, err := written(ctx, w.reader)
	if err != nil {
		return nil, err
	}
	var out []*declared
	known := map[string]bool{}
	for _, s := range services {
		known[s.Name] = true
		in := slices.DeleteFunc(slices.Clone(environments), func(e catalog.Environment) bool { return !s.In(e.Name) })
		for _, e := range in {
			last := e.Name == in[len(in)-1].Name
			for _, o := range append(Shorthand(s, e.Name), writtenFor(documents, s, e.Name, last)...) {
				out = append(out, declare(o, s.Team))
			}
		}
	}
	for _, d := range documents {
		if known[d.Service] || d.IndicatorID() == "" {
			continue
		}
		// Flyball only watches this service: it is nobody's in the catalog.
		o := *d
		if o.Environment == "" {
			o.Environment = "prod"
			if n := len(environments); n > 0 {
				o.Environment = environments[n-1].Name
			}
		}
		out = append(out, declare(&o, o.Labels["team"]))
	}
	return withComposites(out), nil
}

// withComposites adds the composites that objectives are parts of.
func withComposites(all []*declared) []*declared {
	objectives, teams := make([]*Objective, len(all)), map[string]string{}
	for i, d := range all {
		objectives[i], teams[d.objective.ID()] = d.objective, d.team
	}
	for _, c := range Composites(objectives) {
		if len(c.Parts) > 1 {
			all = append(all, declare(c, teams[c.Parts[0].ID]))
		}
	}
	return all
}

func declare(o *Objective, team string) *declared {
	if len(o.AlertPolicies) == 0 && o.AlertPolicies == nil {
		o.AlertPolicies = DefaultPolicies(o.Method)
	}
	d := &declared{objective: o, team: team, indicator: o.IndicatorID(), groups: map[string]struct{}{}}
	if o.Indicator.Kind == Latency {
		d.threshold = int64(o.Indicator.Threshold.Float64() * float64(time.Second))
	}
	return d
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
		if s.Objectives.SLA != 0 {
			o.Agreement = share(s.Objectives.SLA)
		}
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
// has the name of a shorthand replaces it. Without an environment, what the
// proxy counts holds for every one; a query counts in one place, the last.
func writtenFor(documents []*Objective, s catalog.Service, environment string, last bool) []*Objective {
	var out []*Objective
	for _, d := range documents {
		everywhere := d.Environment == "" && (last || d.IndicatorID() == "")
		if d.Service != s.Name || !everywhere && d.Environment != environment {
			continue
		}
		o := *d
		o.Environment = environment
		if o.Traffic == 0 {
			o.Traffic = int64(s.Traffic.PerSecond() * 86400)
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

// put declares one objective, and loads its history when it counts something
// else than before.
func (w *Watcher) put(ctx context.Context, d *declared, now time.Time) error {
	id := d.objective.ID()
	w.mu.Lock()
	old := w.declared[id]
	if old != nil {
		d.groups = old.groups
	}
	w.mu.Unlock()
	if d.objective.composite() {
		if _, err := w.engine.Put(d.objective); err != nil {
			return err
		}
		w.raw.Remove(id)
		w.mu.Lock()
		w.declared[id], w.byKey[d.objective.Key()] = d, id
		w.mu.Unlock()
		return nil
	}
	known, err := AdjustmentsOf(ctx, w.reader, d.objective.Key())
	if err != nil {
		return err
	}
	d.adjusted = known.Holding()
	// Factors that can never fire for a lenient target are left out rather than
	// refusing the whole objective: the table of slo explain says so.
	empty, err := w.engine.Put(d.objective)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.declared[id], w.byKey[d.objective.Key()] = d, id
	w.mu.Unlock()
	if old != nil && !empty && old.counts(d) {
		if len(d.adjusted) > 0 {
			if empty, err = w.raw.Put(d.objective.quiet()); err != nil {
				return err
			}
		}
		if !empty {
			return w.regroup(ctx, d, now)
		}
	}
	if old == nil && w.resume(ctx, d, now) {
		return w.loadGroups(ctx, d, now)
	}
	return w.load(ctx, d, now)
}

// counts reports whether b counts the same as d.
func (d *declared) counts(b *declared) bool {
	return d.indicator == b.indicator && d.threshold == b.threshold && slices.Equal(d.adjusted, b.adjusted)
}

// quiet is the objective without alerts.
func (o *Objective) quiet() *Objective {
	q := *o
	q.AlertPolicies = nil
	return &q
}

// Recompute computes an objective's numbers anew from its history, with the
// exclusions and corrections that hold now.
func (w *Watcher) Recompute(ctx context.Context, key string) error {
	w.feeding.Lock()
	defer w.feeding.Unlock()
	d, err := w.find(key)
	if err != nil {
		return err
	}
	known, err := AdjustmentsOf(ctx, w.reader, key)
	if err != nil {
		return err
	}
	w.mu.Lock()
	d.adjusted = known.Holding()
	now := w.now
	w.mu.Unlock()
	return w.load(ctx, d, now)
}

// load fills an objective's running sums, and its groups', from the history.
func (w *Watcher) load(ctx context.Context, d *declared, now time.Time) error {
	from := d.objective.reach(now)
	for _, a := range d.adjusted { // a correction of so many begins to take at its beginning
		if a.From.Before(from) && a.To.After(from) {
			from = a.From.Truncate(time.Minute)
		}
	}
	series, err := w.history(ctx, d, from, now.Add(MaxSkew))
	if err != nil {
		return err
	}
	if err := w.engine.Load(d.objective.ID(), Adjust(series, d.adjusted)); err != nil {
		return err
	}
	if len(d.adjusted) == 0 {
		w.raw.Remove(d.objective.ID())
		return w.loadGroups(ctx, d, now)
	}
	if _, err := w.raw.Put(d.objective.quiet()); err != nil {
		return err
	}
	if err := w.raw.Load(d.objective.ID(), series); err != nil {
		return err
	}
	return w.loadGroups(ctx, d, now)
}

// reach is how far back an objective looks: by its own window, by those its
// burn rates and alerts are over, and by the slot that the longest begins in.
func (o *Objective) reach(now time.Time) time.Time {
	from, _ := o.Window.Lookback(now)
	longest := max(o.Window.Nominal(), BurnWindows[len(BurnWindows)-1])
	for _, r := range o.Rules() {
		longest = max(longest, r.Condition.Long)
	}
	if back := now.Add(-longest); back.Before(from) {
		from = back
	}
	return from.Add(-slotWidth(time.Minute, longest)).UTC().Truncate(time.Minute)
}

// history is an objective's slots that begin in [from, to): the proxy's
// minutes, or what was recorded.
func (w *Watcher) history(ctx context.Context, d *declared, from, to time.Time) (*Series, error) {
	if d.objective.composite() {
		return NewSeries(time.Minute, 0), nil // it has no slots: its parts do
	}
	if d.indicator != "" {
		return w.Slots.LoadSum(ctx, d.indicator, from, to)
	}
	series := NewSeries(time.Minute, 0)
	err := w.Minutes(ctx, d.objective.Service, d.objective.Environment, from, to, func(at time.Time, requests, bad int64, slow map[int64]int64) {
		good, total := d.count(requests, bad, slow)
		// A minute that cannot be is left out: it stays a gap.
		_ = series.Add(at, good, total)
	})
	return series, err
}

// History is the one-minute slots of an objective that begin in [from, to),
// as they were counted.
func (w *Watcher) History(ctx context.Context, key string, from, to time.Time) (*Series, error) {
	d, err := w.find(key)
	if err != nil {
		return nil, err
	}
	return w.history(ctx, d, from, to)
}

// Adjusted is History without what does not count.
func (w *Watcher) Adjusted(ctx context.Context, key string, from, to time.Time) (*Series, error) {
	d, err := w.find(key)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	adjusted, first := d.adjusted, from
	w.mu.Unlock()
	for _, a := range adjusted {
		if a.From.Before(first) && a.To.After(from) {
			first = a.From.Truncate(time.Minute)
		}
	}
	raw, err := w.history(ctx, d, first, to)
	if err != nil {
		return nil, err
	}
	return Adjust(raw, adjusted).Between(from, to), nil
}

// find is what is declared under a key.
func (w *Watcher) find(key string) (*declared, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.declared[w.byKey[key]]; d != nil {
		return d, nil
	}
	return nil, noObjective(key)
}

func noObjective(key string) error {
	return problem.New(problem.NotFound, "slo.show", "there is no objective %q", key).WithNext("flyball slo list shows the objectives")
}

func (d *declared) count(requests, bad int64, slow map[int64]int64) (good, total int64) {
	if d.threshold > 0 {
		bad = slow[d.threshold]
	}
	return max(0, requests-bad), requests
}
