package slo

// Part is one member of a composite over one window.
type Part struct {
	Weight Decimal
	Target Decimal
	Bad    int64
	Total  int64
}

// Composed is the state of a composite over one window.
type Composed struct {
	SLI    float64 // weighted mean of the parts' good ratios
	Target float64 // weighted mean of their targets
	Burn   float64 // weighted error over weighted allowance
}

// Compose is the composite of parts, weighted by their weights whatever their
// traffic. A part without events leaves the composite together with its weight;
// without any other part the composite is not known (false).
func Compose(parts []Part) (Composed, bool) {
	var weights, errors, allowed float64
	for _, p := range parts {
		if p.Total <= 0 || p.Weight <= 0 {
			continue
		}
		w := p.Weight.Float64()
		weights += w
		errors += w * float64(p.Bad) / float64(p.Total)
		allowed += w * (One - p.Target).Float64()
	}
	if weights == 0 || allowed == 0 {
		return Composed{}, false
	}
	return Composed{SLI: 1 - errors/weights, Target: 1 - allowed/weights, Burn: errors / allowed}, true
}

// CompositeSnapshot is the state of a composite SLO at one moment.
type CompositeSnapshot struct {
	Service string
	Name    string
	Members []string // IDs
	Burns   []CompositeBurn
}

// CompositeBurn is a composite over one window.
type CompositeBurn struct {
	Name  string // 5m, 1h, 30d
	Known bool
	Composed
}

// Composites puts the members of composites among snapshots together, in order
// of the first member.
func Composites(snapshots []Snapshot) []CompositeSnapshot {
	var out []CompositeSnapshot
	members := map[string][]Snapshot{}
	for _, s := range snapshots {
		o := s.Objective
		if o.Composite == "" {
			continue
		}
		key := o.Service + "/" + o.Environment + "/" + o.Composite
		if len(members[key]) == 0 {
			out = append(out, CompositeSnapshot{Service: o.Service, Name: key})
		}
		members[key] = append(members[key], s)
	}
	for i := range out {
		c := &out[i]
		all := members[c.Name]
		c.Name = all[0].Objective.Composite
		for _, s := range all {
			c.Members = append(c.Members, s.ID)
		}
		for w, burn := range all[0].Burns {
			var parts []Part
			for _, s := range all {
				parts = append(parts, Part{s.Objective.Weight, s.Objective.Target, s.Burns[w].Bad, s.Burns[w].Total})
			}
			composed, ok := Compose(parts)
			c.Burns = append(c.Burns, CompositeBurn{burn.Name, ok, composed})
		}
	}
	return out
}
