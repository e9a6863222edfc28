package alert

import (
	"context"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/feedback/maintenance"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// declaredKept is how long it may take until windows and routes declared in git
// are noticed.
const declaredKept = time.Second

// cover is a maintenance window that is on, with its matchers ready to use.
type cover struct {
	window   maintenance.Window
	matchers []Matcher
}

func coverOf(w maintenance.Window) (cover, error) {
	out := cover{window: w}
	for _, text := range w.Spec.Matchers {
		m, err := ParseMatcher(text)
		if err == nil {
			m, err = m.ready()
		}
		if err != nil {
			return out, err
		}
		out.matchers = append(out.matchers, m)
	}
	return out, nil
}

func (c cover) holds(service, team, environment string, labels map[string]string) bool {
	return c.window.Spec.Covers(service, team, environment) && matchAll(c.matchers, labels)
}

// Covers reports whether a maintenance window is about an alert. A window whose
// matchers cannot be read, which none is that was checked, covers nothing.
func Covers(w maintenance.Window, service, team, environment string, labels map[string]string) bool {
	c, err := coverOf(w)
	return err == nil && c.holds(service, team, environment, labels)
}

// CheckMatcher says what is wrong with a condition on labels.
func CheckMatcher(text string) error {
	m, err := ParseMatcher(text)
	if err == nil {
		_, err = m.ready()
	}
	return err
}

// WindowsChanged has the maintenance windows read again.
func (i *Intake) WindowsChanged() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.followed = time.Time{}
}

// follow reads which maintenance windows are on, and the routes, unless that was
// done a moment ago.
func (i *Intake) follow(ctx context.Context, now time.Time) error {
	i.mu.Lock()
	age := now.Sub(i.followed)
	i.mu.Unlock()
	if age >= 0 && age < declaredKept {
		return nil
	}
	windows, err := maintenance.Windows(ctx, i.Reader, now)
	if err != nil {
		return err
	}
	var on []cover
	for _, w := range windows {
		if _, active := w.At(now); !active {
			continue
		}
		c, err := coverOf(w)
		if err != nil {
			return err
		}
		on = append(on, c)
	}
	routes, err := Routes(ctx, i.Reader)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.covers, i.routes, i.followed = on, routes, now
	return nil
}

// suppressing lists what holds an alert back now: a snooze, silences by their
// ID, and maintenance windows as maintenance/NAME.
func (i *Intake) suppressing(f Fired, now time.Time) []string {
	var out []string
	if f.SnoozedUntil.After(now) {
		out = append(out, snoozed)
	}
	for id, s := range i.silenced {
		if s.State(now) == "active" && matchAll(s.Matchers, f.Labels) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	for _, c := range i.covers {
		if c.holds(f.Service, f.Team, f.Environment, f.Labels) {
			out = append(out, windowPrefix+c.window.Name)
		}
	}
	return out
}

// windowPrefix is how a maintenance window is told from a silence among what
// holds an alert back.
const windowPrefix = "maintenance/"

// Labels are those of an alert; an objective's alert is known by what it is
// about.
func (a Alert) labels() map[string]string {
	if a.Integration != "" {
		return a.Labels
	}
	return ObjectiveLabels(a.Objective, a.Service, a.Team, a.Environment)
}

// ObjectiveLabels are the labels by which matchers know an objective's alert.
func ObjectiveLabels(objective, service, team, environment string) map[string]string {
	return labels("objective", objective, "service", service, "team", team, "environment", environment)
}

// Covered lists the alerts that fire and that a window would hold back.
func (i *Intake) Covered(ctx context.Context, w maintenance.Window) ([]maintenance.Alert, error) {
	c, err := coverOf(w)
	if err != nil {
		return nil, err
	}
	out := []maintenance.Alert{}
	f := projection.Filter{Index: "state", Value: "open", Limit: projection.MaxPage}
	for {
		items, next, err := projection.List[Alert](ctx, i.Reader, ProjectionName, f)
		if err != nil {
			return nil, err
		}
		for _, a := range items {
			if c.holds(a.Service, a.Team, a.Environment, a.labels()) {
				out = append(out, maintenance.Alert{Alert: a.Alert, Service: a.Service, Environment: a.Environment, Urgency: first(a.Urgency, a.Severity), What: clip(a.Explanation, 200)})
			}
		}
		if next == "" {
			return out, nil
		}
		f.After = next
	}
}

// standing completes what is shown of objectives' alerts that are open: whether a
// window holds them back, and whether their snooze is over. No fact of theirs
// says so, as the objective hurts all the same.
func standing(ctx context.Context, r projection.Reader, items []Alert, now time.Time) error {
	objective := func(a Alert) bool { return a.Integration == "" && a.State != StateResolved }
	if !slices.ContainsFunc(items, objective) {
		return nil
	}
	windows, err := maintenance.Windows(ctx, r, now)
	if err != nil {
		return err
	}
	windows = slices.DeleteFunc(windows, func(w maintenance.Window) bool { _, on := w.At(now); return !on })
	for n, a := range items {
		if !objective(a) {
			continue
		}
		if !a.SnoozedUntil.IsZero() && !now.Before(a.SnoozedUntil) {
			a.SnoozedUntil, a.Suppressed, a.Severity = time.Time{}, nil, first(a.Urgency, a.Severity)
		}
		for _, w := range windows {
			if Covers(w, a.Service, a.Team, a.Environment, a.labels()) {
				a.Suppressed = append(slices.Clip(a.Suppressed), windowPrefix+w.Name)
			}
		}
		items[n] = a
	}
	return nil
}
