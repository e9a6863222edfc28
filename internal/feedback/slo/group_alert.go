package slo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxGroupAlerts is how many alerts of an objective's groups are said at once:
// who is told of twenty routes that fail knows that it is not one route.
const maxGroupAlerts = 20

// wakeGroups wakes the objectives of which a group began or ceased to fire.
func (w *Watcher) wakeGroups(turned []Transition) {
	keys := map[string]bool{}
	w.mu.Lock()
	for _, t := range turned {
		id, _, _ := strings.Cut(t.ID, "{")
		if d := w.declared[id]; d != nil && d.objective.GroupAlerts {
			keys[d.objective.Key()] = true
		}
	}
	w.mu.Unlock()
	for _, key := range keysOf(keys) {
		w.Wake(key)
	}
}

// groupAlerts is what fires of an objective's groups: of each at most one alert
// for a severity. Beyond the bound those stay that were said first; a place
// that becomes free is the fastest burning's.
func (w *Watcher) groupAlerts(m Measured, id string, d *declared) []AlertChanged {
	w.mu.Lock()
	names, told := keysOf(d.groups), w.told[id]
	w.mu.Unlock()
	var all []AlertChanged
	for _, name := range names {
		known := map[string]bool{}
		for _, a := range w.groups.firings(d.objective.group(name).ID()) {
			if !known[a.Severity] {
				known[a.Severity] = true
				all = append(all, alertOfGroup(m, name, a))
			}
		}
	}
	fresh := func(a AlertChanged) int {
		if slices.Contains(told, a.rule()) {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(a, b AlertChanged) int {
		return cmp.Or(cmp.Compare(fresh(a), fresh(b)), cmp.Compare(b.BurnLong, a.BurnLong), cmp.Compare(a.rule(), b.rule()))
	})
	all = all[:min(len(all), maxGroupAlerts)]
	told = nil
	for _, a := range all {
		told = append(told, a.rule())
	}
	w.mu.Lock()
	w.told[id] = told
	w.mu.Unlock()
	return all
}

func alertOfGroup(m Measured, name string, a RuleStatus) AlertChanged {
	out := alertOf(m, a)
	out.Group = name
	out.Alert = fmt.Sprintf("%s{%s}/%s/%s", m.Key, name, a.Severity, a.Firing.Fired.UTC().Format("20060102T150405"))
	out.Explanation = name + ": " + out.Explanation
	return out
}

// firings is the rules of an objective that fire, in their order.
func (e *Engine) firings(id string) []RuleStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.live[id]
	if l == nil || !slices.ContainsFunc(l.firing, func(f *Firing) bool { return f != nil }) {
		return nil
	}
	return slices.DeleteFunc(l.ruleStates(), func(s RuleStatus) bool { return s.Firing == nil })
}
