package house

import (
	"fmt"
	"go/doc"
	"path"
	"sort"
	"strings"
)

// The part of ARCHITECTURE.md between these lines is written from the rules.
const (
	begin = "<!-- written by go run ./internal/house/architecture; do not edit -->"
	end   = "<!-- end of what is written -->"
)

// Rewrite replaces the written part of a page by what the rules say now.
func Rewrite(page string, t *Tree) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("the page has no part between %q and %q", begin, end)
	}
	return before + begin + "\n\n" + Describe(t) + "\n" + end + after, nil
}

// Describe is the rules as Markdown: rooms with their packages, exceptions and
// guards, each with its reason.
func Describe(t *Tree) string {
	var b strings.Builder
	b.WriteString("### Rooms\n\nA package imports packages of the rooms its own room may know, and of its own room those before it.\n")
	for _, r := range Rooms {
		describeRoom(&b, t, r)
	}
	b.WriteString("\n### Exceptions\n\n| Who | Whom | Why |\n| --- | --- | --- |\n")
	for _, e := range Exceptions {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", e.From, e.To, e.Why)
	}
	b.WriteString("\nTests and conformance suites may also stand on adapters, suites and packages from elsewhere: they use real parts.\n")
	b.WriteString("\n### Packages from elsewhere\n\n| Package | Only in | Why |\n| --- | --- | --- |\n")
	for _, g := range Guards {
		only := strings.Join(g.Only, ", ")
		if only == "" {
			only = "tests"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", g.Import, only, g.Why)
	}
	fmt.Fprintf(&b, "\n%s import nothing else from elsewhere but the standard library.\n", strings.Join(PureRooms, ", "))
	fmt.Fprintf(&b, "\n### Shape\n\nNo `init`. No package named %s. No wall clock outside %s. Every package has a comment of two\nsentences or more. A file has at most %d lines, an interface declares at most %d methods, and the kernel has fewer than %d\nlines of code.\n",
		strings.Join(NoNames, ", "), ClockRoom, FileLines, InterfaceMethods, KernelLines)
	return b.String()
}

func describeRoom(b *strings.Builder, t *Tree, r Room) {
	dirs := roomPackages(t, r)
	fmt.Fprintf(b, "\n**%s** – %s.\n", r.Path, r.What)
	if len(r.May) == 0 {
		fmt.Fprintf(b, "Knows no other room: %s.\n", r.Why)
	} else {
		var may []string
		for _, m := range r.May {
			may = append(may, strings.TrimPrefix(m, "internal/"))
		}
		fmt.Fprintf(b, "Knows %s: %s.\n", strings.Join(may, ", "), r.Why)
	}
	if len(r.Order) > 0 {
		var names []string
		for _, o := range r.Order {
			switch o {
			case ".":
				o = path.Base(r.Path)
			case "*":
				o = "the others"
			}
			names = append(names, o)
		}
		fmt.Fprintf(b, "Order: %s; %s.\n", strings.Join(names, " < "), r.Why2)
	}
	if len(dirs) > 0 {
		b.WriteString("\n")
	}
	for _, dir := range dirs {
		fmt.Fprintf(b, "- [%s](%s): %s\n", strings.TrimPrefix(dir, "internal/"), dir, synopsis(t, dir))
	}
}

// roomPackages lists a room's packages: in its order, then by name.
func roomPackages(t *Tree, r Room) []string {
	var out []string
	for _, dir := range t.packages() {
		if room := roomOf(dir); room != nil && room.Path == r.Path {
			out = append(out, dir)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return place(r, part(r, out[i])) < place(r, part(r, out[j])) })
	return out
}

// synopsis is the first sentence of a package's comment, without its name.
func synopsis(t *Tree, dir string) string {
	for _, f := range t.code() {
		if f.Dir != dir || f.AST.Doc == nil {
			continue
		}
		text := new(doc.Package).Synopsis(f.AST.Doc.Text())
		text = strings.TrimPrefix(text, "Package "+f.AST.Name.Name+" ")
		return strings.TrimPrefix(text, "Command "+path.Base(dir)+" ")
	}
	return "(no comment)"
}
