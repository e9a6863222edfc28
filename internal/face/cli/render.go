package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/face/sheet"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Show prints an operation's answer, JSON as the API sent it, in the format
// asked for. An output that answers no gives ErrNotMet.
func (s *Session) Show(op operation.Operation, raw []byte) error {
	text, out, err := s.rendered(op, raw)
	if err != nil {
		return err
	}
	if _, err := s.Out.Write(text); err != nil {
		return err
	}
	if s.Format == "table" || s.Format == "csv" {
		s.more(out)
	}
	return answered(out)
}

// answered is nil, or what an output that answers no means for the exit code.
func answered(out any) error {
	if b, ok := out.(operation.Blocker); ok && b.Blocked() {
		return ErrBlocked
	}
	if t, ok := out.(operation.Threshold); ok && !t.Met() {
		return ErrNotMet
	}
	return nil
}

// rendered is the answer as text, and decoded.
func (s *Session) rendered(op operation.Operation, raw []byte) ([]byte, any, error) {
	to := reflect.New(op.Output)
	if err := json.Unmarshal(raw, to.Interface()); err != nil && (s.Format == "table" || s.Format == "csv") {
		return nil, nil, problem.New(problem.Internal, op.Name(), "the answer is not what this version of flyball expects: %w", err).
			WithNext("use the version of the server, or -o json, which shows any answer")
	}
	out := to.Elem().Interface()
	var b bytes.Buffer
	switch s.Format {
	case "json":
		if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
			return nil, nil, err
		}
		b.WriteByte('\n')
	case "yaml":
		text, err := asYAML(raw)
		if err != nil {
			return nil, nil, err
		}
		b.Write(text)
	case "csv":
		if err := sheet.Write(&b, out); err != nil {
			return nil, nil, usage("use -o json, which shows any answer", "this answer is no table: %v", err)
		}
	default:
		view{&b, s.Colour}.output(out)
	}
	return b.Bytes(), out, nil
}

// asYAML rewrites JSON as YAML in block style; numbers stay as written.
func asYAML(raw []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	var plain func(n *yaml.Node)
	plain = func(n *yaml.Node) {
		if n.Style = 0; n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
			n.Style = yaml.LiteralStyle
		}
		for _, c := range n.Content {
			plain(c)
		}
	}
	plain(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// more says on stderr that a list goes on.
func (s *Session) more(out any) {
	if v := reflect.ValueOf(out); v.Kind() == reflect.Struct {
		if next := v.FieldByName("Next"); next.Kind() == reflect.String && next.String() != "" {
			fmt.Fprintf(s.Err, "There is more: add --after %s\n", quote(next.String()))
		}
	}
}

func quote(s string) string {
	if s = clean(s); strings.ContainsAny(s, " '\"$`\\|&;<>()*?[]{}!#~") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// view writes outputs for people.
type view struct {
	w      io.Writer
	colour bool
}

// output shows anything: as it says itself (Teller, Table), else a list as a
// table of its items, else names and values.
func (p view) output(out any) {
	teller, tells := out.(operation.Teller)
	table, tabular := out.(operation.Table)
	if tells {
		fmt.Fprintln(p.w, strings.TrimRight(clean(teller.Tell()), "\n"))
	}
	if tells && tabular && len(table.Rows()) > 0 {
		fmt.Fprintln(p.w)
	}
	if tabular && (!tells || len(table.Rows()) > 0) {
		p.table(table.Header(), table.Rows())
	}
	if tells || tabular {
		return
	}
	v := reflect.Indirect(reflect.ValueOf(out))
	switch {
	case !v.IsValid():
	case v.Kind() == reflect.Slice:
		p.list(v)
	case v.Kind() == reflect.Struct && v.FieldByName("Items").Kind() == reflect.Slice:
		p.list(v.FieldByName("Items"))
	case v.Kind() == reflect.Struct:
		p.fields(v, "")
	case v.Kind() == reflect.Map:
		p.pairs(v, "")
	default:
		fmt.Fprintln(p.w, p.cell(v))
	}
}

// list shows items as one table, or one after the other when they tell.
func (p view) list(items reflect.Value) {
	if items.Len() == 0 {
		fmt.Fprintln(p.w, "(none)")
		return
	}
	var rows [][]string
	for i := range items.Len() {
		item := items.Index(i).Interface()
		switch it := item.(type) {
		case operation.Table:
			rows = append(rows, it.Rows()...)
		case operation.Teller:
			if i > 0 {
				fmt.Fprintln(p.w)
			}
			p.output(item)
		default:
			rows = append(rows, p.row(reflect.Indirect(items.Index(i))))
		}
	}
	if len(rows) > 0 {
		p.table(header(items), rows)
	}
}

func header(items reflect.Value) []string {
	if t, ok := items.Index(0).Interface().(operation.Table); ok {
		return t.Header()
	}
	elem := items.Type().Elem()
	if elem.Kind() == reflect.Pointer {
		elem = elem.Elem()
	}
	if elem.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for _, f := range columns(elem) {
		names = append(names, strings.ToUpper(title(f.Name)))
	}
	return names
}

func (p view) row(item reflect.Value) []string {
	if item.Kind() != reflect.Struct {
		return []string{p.cell(item)}
	}
	var cells []string
	for _, f := range columns(item.Type()) {
		cells = append(cells, p.cell(item.FieldByIndex(f.Index)))
	}
	return cells
}

// columns are the fields of a struct that fit in a cell.
func columns(t reflect.Type) []operation.Field {
	var out []operation.Field
	for _, f := range shown(t) {
		if fits(f.Type) {
			out = append(out, f)
		}
	}
	return out
}

// shown are the fields that are not tagged table:"-", which leaves them to
// -o json.
func shown(t reflect.Type) []operation.Field {
	return slices.DeleteFunc(operation.Fields(t), func(f operation.Field) bool { return t.FieldByIndex(f.Index).Tag.Get("table") == "-" })
}

func title(name string) string { return strings.ReplaceAll(name, "_", " ") }

// fields shows a struct's fields: names and values aligned, what is nested
// below them with its name.
func (p view) fields(v reflect.Value, indent string) {
	var rows [][]string
	var below []operation.Field
	for _, f := range shown(v.Type()) {
		fv := v.FieldByIndex(f.Index)
		switch {
		case fits(f.Type):
			if !fv.IsZero() || f.Type.Kind() == reflect.Bool || isNumber(f.Type) {
				rows = append(rows, []string{indent + title(f.Name), p.cell(fv)})
			}
		case !empty(fv):
			below = append(below, f)
		}
	}
	p.table(nil, rows)
	for _, f := range below {
		fmt.Fprintf(p.w, "%s%s\n", indent, title(f.Name))
		p.nested(reflect.Indirect(v.FieldByIndex(f.Index)), indent+"  ")
	}
}

func (p view) nested(v reflect.Value, indent string) {
	switch v.Kind() {
	case reflect.Struct:
		p.fields(v, indent)
	case reflect.Map:
		p.pairs(v, indent)
	case reflect.Slice:
		var b bytes.Buffer
		view{&b, p.colour}.list(v)
		for line := range strings.Lines(b.String()) {
			fmt.Fprint(p.w, indent+line)
		}
	default:
		fmt.Fprintf(p.w, "%s%s\n", indent, p.cell(v))
	}
}

// pairs shows a map in order of its keys.
func (p view) pairs(v reflect.Value, indent string) {
	var rows [][]string
	for _, key := range sortedKeys(v) {
		rows = append(rows, []string{indent + p.cell(key), p.cell(v.MapIndex(key))})
	}
	p.table(nil, rows)
}
