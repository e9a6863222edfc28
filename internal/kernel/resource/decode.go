package resource

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Decode fills the value out points at from a YAML node, by its json tags, and
// reports each thing that does not fit: unknown and repeated fields, wrong
// types. It is what decodes specs; formats with their own rules may use it for
// the parts that are regular.
func Decode(node *yaml.Node, file, field string, out any) []problem.Finding {
	d := &decoder{file: file}
	d.into(node, field, out)
	return d.findings
}

// Unmarshaler is implemented by types with more than one form, such as a
// target written 99.9 or "99.9%". The error's text completes "field: …".
type Unmarshaler interface {
	UnmarshalNode(node *yaml.Node) error
}

type decoder struct {
	file     string
	findings []problem.Finding
}

func (d *decoder) fail(n *yaml.Node, field, code, format string, args ...any) {
	d.findings = append(d.findings, problem.Finding{
		File: d.file, Line: n.Line, Column: n.Column, Field: field,
		Severity: "error", Code: code, Message: fmt.Sprintf(format, args...),
	})
}

func (d *decoder) into(n *yaml.Node, field string, out any) {
	d.value(n, field, reflect.ValueOf(out).Elem())
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *decoder) value(n *yaml.Node, field string, v reflect.Value) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if v.Kind() == reflect.Pointer {
		if n.Tag == "!!null" {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, field, v.Elem())
		return
	}
	if u, ok := v.Addr().Interface().(Unmarshaler); ok {
		if err := u.UnmarshalNode(n); err != nil {
			d.fail(n, field, "value", "%s", err)
		}
		return
	}
	if v.Type() == durationType {
		d.duration(n, field, v)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			d.wrongType(n, field, "text")
		} else if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			d.fail(n, field, "value", "%s", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, field, v)
	case reflect.Map:
		d.mapping(n, field, v)
	case reflect.Slice:
		d.sequence(n, field, v)
	case reflect.Interface:
		var x any
		if err := n.Decode(&x); err != nil {
			d.fail(n, field, "value", "%s", err)
			return
		}
		v.Set(reflect.ValueOf(&x).Elem())
	default:
		d.scalar(n, field, v)
	}
}

func (d *decoder) wrongType(n *yaml.Node, field, want string) {
	d.fail(n, field, "type", "expected %s, got %s", want, describe(n))
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	}
	if len(n.Value) > 40 {
		return fmt.Sprintf("%q…", n.Value[:40])
	}
	return strconv.Quote(n.Value)
}

func (d *decoder) duration(n *yaml.Node, field string, v reflect.Value) {
	t, err := ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.wrongType(n, field, "a duration such as 30s, 5m, 1h or 28d")
		return
	}
	v.SetInt(int64(t))
}

// ParseDuration reads Go's durations and whole days: 90s, 1h30m, 28d.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}

func (d *decoder) structure(n *yaml.Node, field string, v reflect.Value) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, field, "a mapping")
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		at := join(field, k.Value)
		if k.Value == "<<" {
			d.fail(k, at, "merge-key", "merge keys are not supported; write the fields out")
			continue
		}
		index, ok := fields[k.Value]
		switch {
		case !ok:
			d.unknownField(k, at, fields)
		case seen[k.Value]:
			d.fail(k, at, "repeated-field", "field %q is written twice", k.Value)
		default:
			d.value(n.Content[i+1], at, v.FieldByIndex(index))
		}
		seen[k.Value] = true
	}
}

func (d *decoder) unknownField(k *yaml.Node, at string, fields map[string][]int) {
	names := make([]string, 0, len(fields))
	for f := range fields {
		names = append(names, f)
	}
	hint := ""
	if near := nearest(k.Value, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	d.fail(k, at, "unknown-field", "unknown field %q%s", k.Value, hint)
}

func (d *decoder) mapping(n *yaml.Node, field string, v reflect.Value) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, field, "a mapping")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		key := reflect.ValueOf(k.Value).Convert(v.Type().Key())
		if v.MapIndex(key).IsValid() {
			d.fail(k, join(field, k.Value), "repeated-field", "field %q is written twice", k.Value)
			continue
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(n.Content[i+1], join(field, k.Value), elem)
		v.SetMapIndex(key, elem)
	}
}

func (d *decoder) sequence(n *yaml.Node, field string, v reflect.Value) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, field, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		d.value(c, fmt.Sprintf("%s[%d]", field, i), v.Index(i))
	}
}

func (d *decoder) scalar(n *yaml.Node, field string, v reflect.Value) {
	want := map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false"}[v.Kind()]
	if want == "" {
		want = "a number"
		if v.CanInt() || v.CanUint() {
			want = "a whole number"
		}
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.wrongType(n, field, want)
		return
	}
	if v.Kind() == reflect.String {
		v.SetString(n.Value)
		return
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		d.wrongType(n, field, want)
	}
}

// fieldsOf maps the json names of a struct's fields to their places, embedded
// structs included.
func fieldsOf(t reflect.Type) map[string][]int {
	out := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "-" && name != "" {
			out[name] = f.Index
		}
	}
	return out
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// locate finds the node of a dotted path, or the deepest one that exists.
func locate(n *yaml.Node, path string) *yaml.Node {
	if n == nil || path == "" {
		return n
	}
	head, rest, _ := strings.Cut(path, ".")
	name, index, indexed := strings.Cut(head, "[")
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != name {
			continue
		}
		found := n.Content[i+1]
		at, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if indexed && err == nil && found.Kind == yaml.SequenceNode && at < len(found.Content) {
			found = found.Content[at]
		}
		if deeper := locate(found, rest); deeper != nil {
			return deeper
		}
		return found
	}
	return nil
}

// countNodes counts a tree's nodes with aliases expanded, up to a limit.
func countNodes(n *yaml.Node, limit int) int {
	if n.Kind == yaml.AliasNode {
		return countNodes(n.Alias, limit)
	}
	total := 1
	for _, c := range n.Content {
		if total > limit {
			return total
		}
		total += countNodes(c, limit-total)
	}
	return total
}

// nearest is the candidate within two edits of a word (a third of longer
// words), or empty.
func nearest(word string, candidates []string) string {
	best, bound := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if n := distance(strings.ToLower(word), strings.ToLower(c)); n < bound || n == bound && c < best {
			best, bound = c, n
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal, row[j] = row[j], min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
