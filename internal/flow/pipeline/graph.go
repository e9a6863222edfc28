package pipeline

import (
	"maps"
	"slices"
)

// Order is the jobs' ids such that each comes after all it needs, by name where
// that leaves a choice. Jobs on or behind a cycle are left out.
func (s Spec) Order() []string {
	done := map[string]bool{}
	var order []string
	ids := slices.Sorted(maps.Keys(s.Jobs))
	for grew := true; grew; {
		grew = false
		for _, id := range ids {
			if !done[id] && s.ready(id, done) {
				done[id], grew = true, true
				order = append(order, id)
				break // begin again, so that names decide
			}
		}
	}
	return order
}

func (s Spec) ready(id string, done map[string]bool) bool {
	for _, n := range s.Jobs[id].Needs {
		if !done[n] {
			return false
		}
	}
	return true
}

// Ancestors is the set of all jobs that end before a job starts.
func (s Spec) Ancestors(id string) map[string]bool {
	out := map[string]bool{}
	var visit func(string)
	visit = func(id string) {
		for _, n := range s.Jobs[id].Needs {
			if _, exists := s.Jobs[n]; exists && !out[n] {
				out[n] = true
				visit(n)
			}
		}
	}
	visit(id)
	return out
}

// Cycle is a path of needs that returns to where it began, first and last
// alike, or nil. It is the same for the same pipeline.
func (s Spec) Cycle() []string {
	const (
		visiting = 1
		visited  = 2
	)
	state := map[string]int{}
	var path, cycle []string
	var visit func(string) bool
	visit = func(id string) bool {
		switch state[id] {
		case visited:
			return false
		case visiting:
			cycle = append(slices.Clone(path[slices.Index(path, id):]), id)
			return true
		}
		state[id] = visiting
		path = append(path, id)
		for _, n := range s.Jobs[id].Needs {
			if _, exists := s.Jobs[n]; exists && visit(n) {
				return true
			}
		}
		path = path[:len(path)-1]
		state[id] = visited
		return false
	}
	for _, id := range slices.Sorted(maps.Keys(s.Jobs)) {
		if visit(id) {
			return cycle
		}
	}
	return nil
}
