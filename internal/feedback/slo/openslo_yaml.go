package slo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Bounds on what a decoder will read. Aliases can make a small file unfold
// into a huge one, so nodes are counted as they are visited, unfolded, and a
// file may have so many per byte.
const (
	maxFileSize = 8 << 20
	maxDepth    = 40
	maxFindings = 1000
)

// decoder reads one file and gathers what is wrong with it.
type decoder struct {
	file     string
	before   int // lines of the file before what is read
	findings []problem.Finding
	visits   int // left
}

func (d *decoder) report(severity string, n *yaml.Node, path, code, format string, args ...any) {
	if len(d.findings) >= maxFindings {
		return
	}
	f := problem.Finding{File: d.file, Line: 1, Column: 1, Field: path, Severity: severity, Code: code, Message: fmt.Sprintf(format, args...)}
	if n != nil && n.Line > 0 {
		f.Line, f.Column = d.line(n), n.Column
	}
	d.findings = append(d.findings, f)
}

// line is the line of the file that a node is in.
func (d *decoder) line(n *yaml.Node) int { return d.before + n.Line }

// value is a node with its place; a zero value is an absent field.
type value struct {
	d     *decoder
	n     *yaml.Node
	path  string
	depth int
}

func (v value) errorf(code, format string, args ...any) {
	v.d.report("error", v.n, v.path, code, format, args...)
}

func (v value) warnf(code, format string, args ...any) {
	v.d.report("warning", v.n, v.path, code, format, args...)
}

// child is a node below v, its alias resolved, within the bounds.
func (v value) child(n *yaml.Node, path string) (value, bool) {
	c := value{d: v.d, n: n, path: path, depth: v.depth + 1}
	v.d.visits--
	for hops := 0; n.Kind == yaml.AliasNode && n.Alias != nil && hops < maxDepth; hops++ {
		n = n.Alias
	}
	if v.d.visits == 0 || c.depth == maxDepth {
		c.errorf("too-complex", "this unfolds into more than can be read; write it out without nested aliases")
	}
	if v.d.visits <= 0 || c.depth >= maxDepth || n.Kind == yaml.AliasNode {
		return value{d: v.d}, false
	}
	c.n = n
	return c, true
}

func (v value) exists() bool { return v.n != nil }

// isNull reports whether the field is absent or written as null.
func (v value) isNull() bool { return v.n == nil || v.n.Kind == yaml.ScalarNode && v.n.Tag == "!!null" }

func (v value) isScalar() bool { return v.n != nil && v.n.Kind == yaml.ScalarNode && !v.isNull() }

func (v value) isMapping() bool { return v.n != nil && v.n.Kind == yaml.MappingNode }

// text is a scalar as written; other nodes are reported.
func (v value) text() string {
	if v.isNull() {
		return ""
	}
	if v.n.Kind != yaml.ScalarNode {
		v.errorf("wrong-type", "expected text, found %s", v.shape())
		return ""
	}
	return v.n.Value
}

// number is a scalar as an exact decimal.
func (v value) number() (Decimal, bool) {
	if !v.isScalar() {
		v.errorf("wrong-type", "expected a number, found %s", v.shape())
		return 0, false
	}
	d, err := ParseDecimal(v.n.Value)
	if err != nil {
		v.errorf("not-a-number", "%s; write a decimal number such as 0.999", err)
		return 0, false
	}
	return d, true
}

// flag is a boolean, or otherwise when absent.
func (v value) flag(otherwise bool) bool {
	if v.isNull() {
		return otherwise
	}
	b, err := strconv.ParseBool(strings.ToLower(v.n.Value))
	if v.n.Kind != yaml.ScalarNode || err != nil {
		v.errorf("wrong-type", "expected true or false, found %s", v.shape())
		return otherwise
	}
	return b
}

func (v value) shape() string {
	switch {
	case v.n == nil:
		return "nothing"
	case v.n.Kind == yaml.MappingNode:
		return "a mapping"
	case v.n.Kind == yaml.SequenceNode:
		return "a list"
	}
	return strconv.Quote(clip(v.n.Value, 40))
}

// clip shortens text of others before it goes into a message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// items is the elements of a list; a null has none, and anything else is
// reported.
func (v value) items() []value {
	if v.isNull() {
		return nil
	}
	if v.n.Kind != yaml.SequenceNode {
		v.errorf("wrong-type", "expected a list, found %s; put a dash before each item", v.shape())
		return nil
	}
	var out []value
	for i, n := range v.n.Content {
		c, ok := v.child(n, fmt.Sprintf("%s[%d]", v.path, i))
		if !ok {
			break
		}
		out = append(out, c)
	}
	return out
}

// object is a mapping whose fields are asked for one by one; done reports
// those nobody asked for.
type object struct {
	value
	keys   []string
	fields map[string]value
	names  map[string]*yaml.Node
	known  []string
}

// object reads a mapping; anything else is reported and reads as empty.
func (v value) object() *object {
	o := &object{value: v, fields: map[string]value{}, names: map[string]*yaml.Node{}}
	if v.isNull() {
		return o
	}
	if v.n.Kind != yaml.MappingNode {
		v.errorf("wrong-type", "expected a mapping, found %s", v.shape())
		return o
	}
	o.load(v, false)
	return o
}

// load takes over a mapping's fields, then those of the mappings it merges in,
// which do not override.
func (o *object) load(v value, merged bool) {
	var merges []value
	for i := 0; i+1 < len(v.n.Content); i += 2 {
		key, n := v.n.Content[i], v.n.Content[i+1]
		path := strings.TrimPrefix(o.path+"."+clip(key.Value, 60), ".")
		c, ok := v.child(n, path)
		if !ok {
			return
		}
		if key.Tag == "!!merge" {
			merges = append(merges, o.merged(c)...)
			continue
		}
		if _, twice := o.fields[key.Value]; twice {
			if !merged {
				o.d.report("error", key, path, "duplicate-field", "%q is written twice; keep one", clip(key.Value, 60))
			}
			continue
		}
		o.keys, o.fields[key.Value], o.names[key.Value] = append(o.keys, key.Value), c, key
	}
	for _, m := range merges {
		o.load(m, true)
	}
}

func (o *object) merged(c value) []value {
	switch c.n.Kind {
	case yaml.MappingNode:
		return []value{c}
	case yaml.SequenceNode:
		return slices.DeleteFunc(c.items(), func(v value) bool { return v.n.Kind != yaml.MappingNode })
	}
	return nil
}

// get is the field by the first of its names that is written.
func (o *object) get(names ...string) value {
	o.known = append(o.known, names...)
	for _, name := range names {
		if v, ok := o.fields[name]; ok {
			return v
		}
	}
	return value{d: o.d}
}

// need is get, reporting a missing field.
func (o *object) need(hint string, names ...string) value {
	v := o.get(names...)
	if v.isNull() {
		o.errorf("missing-field", "%s is missing; write %s", names[0], hint)
	}
	return v
}

// done warns of fields that nobody asked for.
func (o *object) done() {
	for _, key := range o.keys {
		if slices.Contains(o.known, key) {
			continue
		}
		path := strings.TrimPrefix(o.path+"."+clip(key, 60), ".")
		if near := nearest(key, o.known); near != "" {
			o.d.report("warning", o.names[key], path, "unknown-field", "there is no field %q here and it has no effect; did you mean %s?", clip(key, 60), near)
			continue
		}
		o.d.report("warning", o.names[key], path, "unknown-field", "there is no field %q here and it has no effect; remove it", clip(key, 60))
	}
}

// nearest is the known name within two edits of a word, if any.
func nearest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := edits(strings.ToLower(clip(word, 60)), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// flatten is a mapping of scalars as text, nested keys joined by dots.
func (v value) flatten() map[string]string {
	out := map[string]string{}
	v.flattenInto(out, "")
	return out
}

func (v value) flattenInto(out map[string]string, prefix string) {
	switch {
	case v.isNull():
	case v.n.Kind == yaml.ScalarNode:
		out[strings.TrimSuffix(prefix, ".")] = v.n.Value
	case v.n.Kind == yaml.SequenceNode:
		for i, c := range v.items() {
			c.flattenInto(out, fmt.Sprintf("%s%d.", prefix, i))
		}
	case v.n.Kind == yaml.MappingNode:
		o := v.object()
		for _, key := range o.keys {
			o.fields[key].flattenInto(out, prefix+key+".")
		}
	}
}
