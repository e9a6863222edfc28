package slo

// DefaultMaxGroups is how many groups an objective may have before further
// ones share the overflow group.
const DefaultMaxGroups = 100

// maxGroupsAllowed bounds what an objective may ask for: each group takes some
// 15 kB of memory.
const maxGroupsAllowed = 1000

// Overflow is the group that takes what does not fit the cap: visible, and
// counted like any other.
const Overflow = "(other)"

// maxGroups is the objective's cap.
func (o *Objective) maxGroups() int {
	if o.MaxGroups > 0 {
		return o.MaxGroups
	}
	return DefaultMaxGroups
}

// group is one group of the objective as an objective of its own:
// NAME{route=/a}. It has the same target and window, and the whole's alerts
// only if that is asked for: a hundred groups with little traffic each would
// page for noise.
func (o *Objective) group(name string) *Objective {
	g := *o
	g.Name += "{" + name + "}"
	if g.GroupBy, g.Traffic = nil, 0; !o.GroupAlerts {
		g.AlertPolicies = nil
	}
	return &g
}
