package house

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// CheckImports reports every import that the plan of the house refuses.
func CheckImports(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		for _, i := range f.Imports {
			if why := refused(f, i.Path); why != "" {
				out = append(out, Finding{fmt.Sprintf("%s:%d", f.Path, i.Line), "may not import " + i.Path + ": " + why})
			}
		}
	}
	return out
}

// refused says why a file may not import a package, or nothing.
func refused(f *File, imported string) string {
	to, ours := strings.CutPrefix(imported, Module+"/")
	if !ours {
		return refusedOutside(f, imported)
	}
	if f.Dir == to {
		return ""
	}
	for _, e := range Exceptions {
		if e.From == f.Dir && e.To == to {
			return ""
		}
	}
	if f.proves() && testPart(f.Dir, to) {
		return ""
	}
	return refusedInside(f.Dir, to)
}

// testPart reports whether tests of a package may stand on another one though
// its code may not: adapters, because tests use real parts, conformance
// suites, and the faces' one for whoever declares operations.
func testPart(from, to string) bool {
	return within(to, "internal/adapter") || strings.HasSuffix(to, "test") ||
		within(from, "internal/agent") && within(to, "internal/agent")
}

// refusedInside applies the arrows between rooms and the order within one.
func refusedInside(from, to string) string {
	a, b := roomOf(from), roomOf(to)
	switch {
	case a == nil:
		return "the folder " + from + " is in no room; give it one in internal/house/rules.go"
	case b == nil:
		return "the folder " + to + " is in no room; give it one in internal/house/rules.go"
	case a.Path != b.Path:
		if slices.Contains(a.May, b.Path) {
			return ""
		}
		return fmt.Sprintf("the arrow from %s to %s does not exist (%s)", a.Path, b.Path, a.Why)
	}
	x, y := part(*a, from), part(*a, to)
	if x == y {
		// Below one part: a suite knows its port, the port not its suite.
		if within(from, to) {
			return ""
		}
		return "what lies below is not known above"
	}
	i, j := place(*a, x), place(*a, y)
	switch {
	case len(a.Order) == 0, i == j && i >= 0:
		return fmt.Sprintf("no package of %s knows another (%s)", a.Path, a.Why)
	case i < 0 || j < 0:
		return fmt.Sprintf("%s or %s has no place in the order of %s; give it one in internal/house/rules.go", x, y, a.Path)
	case j > i:
		return fmt.Sprintf("in %s, %s comes before %s (%s)", a.Path, x, y, a.Why2)
	}
	return ""
}

// roomOf is the room a folder belongs to, or nil.
func roomOf(dir string) *Room {
	var best *Room
	for i, r := range Rooms {
		if within(dir, r.Path) && (best == nil || len(r.Path) > len(best.Path)) {
			best = &Rooms[i]
		}
	}
	return best
}

// place is where a part stands in its room's order, -1 for nowhere. A star in
// the order is every part that is not named.
func place(r Room, part string) int {
	if i := slices.Index(r.Order, part); i >= 0 {
		return i
	}
	return slices.Index(r.Order, "*")
}

// part is the element of a room's order that a folder belongs to: the first
// name below the room, or "." for the room's own package.
func part(r Room, dir string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(dir, r.Path), "/")
	if rest == "" {
		return "."
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// refusedOutside applies the guards on packages that are not ours.
func refusedOutside(f *File, imported string) string {
	if f.proves() {
		return ""
	}
	for _, g := range Guards {
		if imported != g.Import && !strings.HasPrefix(imported, strings.TrimSuffix(g.Import, "/")+"/") {
			continue
		}
		if !slices.ContainsFunc(g.Only, func(dir string) bool { return within(f.Dir, dir) }) {
			return g.Why
		}
		return ""
	}
	if standard(imported) {
		return ""
	}
	for _, r := range PureRooms {
		if within(f.Dir, r) {
			return r + " stands on the standard library alone"
		}
	}
	return ""
}

// standard reports whether a package is of the standard library: its first
// element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(path.Clean(imported), "/")
	return !strings.Contains(first, ".")
}
