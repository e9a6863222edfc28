package incident

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/slo"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

// Investigation is what is known of an incident's cause.
type Investigation struct {
	Onset    Onset     `json:"onset" doc:"when trouble began, as well as it is known"`
	Suspects []Suspect `json:"suspects" doc:"changes that may have caused it, most suspect first"`
}

// onsetWindow is how long before its alert trouble is looked for: a slow burn
// takes a while to be noticed.
const onsetWindow = 2 * time.Hour

// investigate finds when trouble began and which changes may have caused it.
func (n *Incidents) investigate(ctx context.Context, i Incident) (Investigation, error) {
	r, now := operation.Reader(ctx, n.Reader), n.Clock.Now()
	if at, ok := operation.At(ctx); ok {
		now = at
	}
	out := Investigation{Suspects: []Suspect{}}
	var err error
	if out.Onset, err = n.onset(ctx, i); err != nil {
		return out, err
	}
	neighbours, err := neighbourhood(ctx, r, i.Service)
	if err != nil {
		return out, err
	}
	var all []Change
	for name := range neighbours {
		list, _, err := projection.Get[[]Change](ctx, r, changeName, name)
		if err != nil {
			return out, err
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, func(x, y Change) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Name, y.Name)) })
	a := accused{incident: i, onset: out.Onset, near: neighbours, now: now}
	out.Suspects = append(out.Suspects, a.rank(all)...)
	return out, nil
}

// onset is the change point of what the objective counted that opened the
// incident, or what the trigger says.
func (n *Incidents) onset(ctx context.Context, i Incident) (Onset, error) {
	said := Onset{At: i.BeganAt}
	at := slices.IndexFunc(i.Links, func(l Link) bool { return l.Role == RoleTrigger && l.Objective != "" })
	if n.Past == nil || at < 0 {
		return said, nil
	}
	trigger := i.Links[at]
	series, err := n.Past(ctx, trigger.Objective, trigger.At.Add(-onsetWindow), trigger.At.Add(time.Minute))
	if problem.KindOf(err) == problem.NotFound {
		return said, nil // the objective is not declared any more
	}
	if err != nil {
		return said, err
	}
	var slots []Slot
	for s := range series.Slots() {
		if s.Time.Before(trigger.At) {
			slots = append(slots, Slot{At: s.Time, Total: s.Total, Bad: s.Total - s.Good})
		}
	}
	if found, ok := changePoint(slots, series.Width()); ok && found.At.Before(trigger.At) {
		return found, nil
	}
	return said, nil
}

// History reads what an objective counted between two moments. slo.Watcher.Past
// is one.
type History func(ctx context.Context, key string, from, now time.Time) (*slo.Series, error)

// neighbourhood is a service and what it depends on, directly or through others.
func neighbourhood(ctx context.Context, r projection.Reader, service string) (map[string]near, error) {
	out := map[string]near{service: {}}
	for queue := []string{service}; len(queue) > 0 && len(out) < maxUpstream; queue = queue[1:] {
		s, err := catalog.GetService(ctx, r, queue[0])
		if problem.KindOf(err) == problem.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, d := range s.DependsOn {
			if _, seen := out[d]; !seen {
				out[d] = near{out[queue[0]].distance + 1, queue[0]}
				queue = append(queue, d)
			}
		}
	}
	return out, nil
}
