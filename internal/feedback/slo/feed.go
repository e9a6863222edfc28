package slo

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Fed is an indicator that somebody has to feed: a source that is read, or
// counts that are pushed.
type Fed struct {
	ID         string // Objective.IndicatorID
	Indicator  Indicator
	GroupBy    []string     // labels whose values make groups; nil: none
	Objectives []*Objective // on it, in order of ID
	From       time.Time    // as far back as any of them looks
	Until      time.Time    // the watermark: everything before it was read; zero: nothing was
}

// Indicators are those that have to be fed, in order of ID.
func (w *Watcher) Indicators(ctx context.Context) ([]Fed, error) {
	w.mu.Lock()
	var out []Fed
	for _, id := range slices.Sorted(maps.Keys(w.byIndicator)) {
		f := Fed{ID: id}
		for _, objective := range slices.Sorted(slices.Values(w.byIndicator[id])) {
			o := w.declared[objective].objective
			f.Indicator, f.GroupBy, f.Objectives = o.Indicator, o.GroupBy, append(f.Objectives, o)
			if from := o.reach(w.now); f.From.IsZero() || from.Before(f.From) {
				f.From = from
			}
		}
		out = append(out, f)
	}
	w.mu.Unlock()
	for i := range out {
		until, err := w.Slots.Watermark(ctx, out[i].ID)
		if err != nil {
			return nil, err
		}
		out[i].Until = until
	}
	return out, nil
}

// Record keeps what was counted of indicators and then counts it for every
// objective on them, in the time it happened, however late it is. A recording
// is refused as a whole when a count in it cannot be (problem.Invalid) or
// nothing is declared on its indicator (problem.NotFound); the others are kept.
func (w *Watcher) Record(ctx context.Context, recordings ...Recording) error {
	w.feeding.Lock()
	defer w.feeding.Unlock()
	var refused error
	known := make([]Recording, 0, len(recordings))
	w.mu.Lock()
	now := w.now
	for _, r := range recordings {
		ids := w.byIndicator[r.Indicator]
		if len(ids) == 0 {
			refused = problem.New(problem.NotFound, "slo.record", "no objective counts the indicator %q", r.Indicator).
				WithNext("the objective may have changed: ask for the indicators again")
			continue
		}
		for _, id := range ids {
			o := w.declared[id].objective
			r.GroupBy, r.MaxGroups = o.GroupBy, max(r.MaxGroups, o.maxGroups())
		}
		known = append(known, r)
	}
	w.mu.Unlock()
	for _, r := range known {
		if err := w.outdate(ctx, r.earliest(now), w.on(r.Indicator)); err != nil {
			return err
		}
	}
	differences, err := w.Slots.Record(ctx, now, known...)
	reload := w.apply(differences)
	if err != nil && problem.KindOf(err) != problem.Invalid {
		// Part of it may be on the disk: what is there counts.
		for _, r := range known {
			for _, id := range w.on(r.Indicator) {
				reload[id] = true
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(reload)) {
		w.mu.Lock()
		d := w.declared[id]
		w.mu.Unlock()
		if failed := w.load(context.WithoutCancel(ctx), d, now); failed != nil && err == nil {
			err = failed
		}
	}
	if err != nil {
		return err
	}
	return refused
}

// on is the objectives on an indicator.
func (w *Watcher) on(indicator string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.byIndicator[indicator])
}

// apply counts differences, and says which objectives cannot take them and have
// to be loaded again.
func (w *Watcher) apply(differences []Difference) (reload map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	reload = map[string]bool{}
	for _, d := range differences {
		for _, id := range w.byIndicator[d.Indicator] {
			if !reload[id] && !w.count(id, w.declared[id], d) {
				reload[id] = true
			}
		}
	}
	return reload
}

// count counts a difference into an objective or one of its groups; it reports
// whether that could be done.
func (w *Watcher) count(id string, to *declared, d Difference) bool {
	use := to.verdict(d.Time)
	if use == reloadIt {
		return false
	}
	engine := w.engine
	if d.Group != "" {
		group := to.objective.group(d.Group)
		id, engine = group.ID(), w.groups
		if _, known := to.groups[d.Group]; !known {
			if _, err := w.groups.Put(group); err != nil {
				return false
			}
			to.groups[d.Group] = struct{}{}
		}
	} else if len(to.adjusted) > 0 {
		if outcome, err := w.raw.Change(id, d.Time, d.Good, d.Total, d.Known); err != nil || outcome != Taken {
			return false
		}
	}
	if use == leaveIt {
		return true
	}
	outcome, err := engine.Change(id, d.Time, d.Good, d.Total, d.Known)
	return err == nil && (outcome == Taken || d.Time.Before(to.objective.reach(w.now)))
}

// loadGroups fills the running sums of an objective's groups.
func (w *Watcher) loadGroups(ctx context.Context, d *declared, now time.Time) error {
	if len(d.objective.GroupBy) == 0 || d.indicator == "" {
		return nil
	}
	names, err := w.Slots.Groups(ctx, d.indicator)
	if err != nil {
		return err
	}
	from := d.objective.reach(now)
	for _, name := range names {
		series, err := w.Slots.Load(ctx, d.indicator, name, from, now.Add(MaxSkew))
		if err != nil {
			return err
		}
		group := d.objective.group(name)
		if _, err := w.groups.Put(group); err != nil {
			return err
		}
		if err := w.groups.Load(group.ID(), Adjust(series, d.adjusted)); err != nil {
			return err
		}
		w.mu.Lock()
		d.groups[name] = struct{}{}
		w.mu.Unlock()
	}
	return nil
}

// regroup gives an objective's groups its new target and window.
func (w *Watcher) regroup(ctx context.Context, d *declared, now time.Time) error {
	reload := false
	for name := range d.groups {
		empty, err := w.groups.Put(d.objective.group(name))
		if err != nil {
			return err
		}
		reload = reload || empty
	}
	if reload {
		return w.loadGroups(ctx, d, now)
	}
	return nil
}
