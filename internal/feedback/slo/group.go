package slo

import (
	"slices"
	"strings"
)

// DefaultMaxGroups is how many groups an objective may have before further
// ones share the overflow group.
const DefaultMaxGroups = 100

// Overflow is the group that takes what does not fit the cap: visible, and
// counted like any other.
const Overflow = "other"

// Groups splits an objective by the values of its GroupBy labels, each group an
// objective of its own, up to a cap.
type Groups struct {
	objective *Objective
	limit     int
	known     map[string]*Objective
}

// NewGroups splits an objective into at most limit groups and the overflow.
func NewGroups(o *Objective, limit int) *Groups {
	return &Groups{objective: o, limit: max(limit, 1), known: map[string]*Objective{}}
}

// Of is the objective of the group that labels belong to, and whether it is new
// and has to be Put. A label that is missing counts as empty.
func (g *Groups) Of(labels map[string]string) (o *Objective, isNew bool) {
	var parts []string
	for _, name := range g.objective.GroupBy {
		parts = append(parts, name+"="+strings.NewReplacer(",", "_", "{", "_", "}", "_").Replace(clip(labels[name], 100)))
	}
	key := strings.Join(parts, ",")
	if o, ok := g.known[key]; ok {
		return o, false
	}
	if len(g.known) >= g.limit {
		key = Overflow
		if o, ok := g.known[key]; ok {
			return o, false
		}
	}
	group := *g.objective
	group.Name += "{" + key + "}"
	group.GroupBy = nil
	group.AlertPolicies = slices.Clone(group.AlertPolicies)
	g.known[key] = &group
	return &group, true
}

// Overflowed reports whether any events went to the overflow group.
func (g *Groups) Overflowed() bool { return g.known[Overflow] != nil }
