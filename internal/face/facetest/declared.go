package facetest

import (
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/face/cli"
	"github.com/flyball-dev/flyball/internal/face/input"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

var (
	word  = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

	// reserved are the faces' own names.
	reserved = []string{"at", "watch", "output", "server", "token", "help", "no_color", "version"}
)

// declared checks one declaration.
func declared(t testing.TB, op operation.Operation) {
	t.Helper()
	is := func(ok bool, format string, args ...any) {
		t.Helper()
		if !ok {
			t.Errorf(format, args...)
		}
	}
	is(word.MatchString(op.Noun) && word.MatchString(op.Verb), "noun %q and verb %q must be lower-case words", op.Noun, op.Verb)
	is(op.Summary != "" && strings.ToUpper(op.Summary[:1]) == op.Summary[:1] && !strings.HasSuffix(op.Summary, "."), "summary %q must be one line that begins with a capital and ends without a full stop", op.Summary)
	is(op.Role > operation.Nobody, "it names no role")
	is(!op.Write || op.Role >= operation.Developer, "a write needs at least a developer, not a %s", op.Role)
	is(!op.Body() || !op.Stream && !op.Local, "a write or a question cannot be a stream or local")
	is(!op.Write || !op.Ask, "a question changes nothing, so it is no write")
	is(!op.Stream || op.Output.Implements(reflect.TypeFor[io.ReadCloser]()), "a stream's output must be an io.ReadCloser, not %v", op.Output)
	is(op.Verb != "show" || op.Noun != "" && !op.Write, "show must be a read")
	is(op.Verb != "list" || op.Collection() && !op.Write, "list must be a read without arguments")
	if op.Input.Kind() != reflect.Struct {
		t.Errorf("the input must be a struct, not %v", op.Input)
		return
	}
	fields := operation.Fields(op.Input)
	for _, f := range reflect.VisibleFields(op.Input) {
		is(!f.IsExported() || f.Anonymous || slices.ContainsFunc(fields, func(g operation.Field) bool { return slices.Equal(g.Index, f.Index) }),
			"input field %s has no json name, so no face can fill it", f.Name)
		is(!f.Anonymous || f.Type.Kind() == reflect.Struct, "input embeds %v, which must be a struct", f.Type)
	}
	for _, f := range fields {
		is(snake.MatchString(f.Name), "input field %q must be in snake_case", f.Name)
		is(f.Doc != "", "input field %s is not documented", f.Name)
		is(!slices.Contains(reserved, f.Name), "input field %s has the name of a global flag", f.Name)
		is(op.Body() || input.Settable(f.Type), "input field %s of a read cannot be written in a query", f.Name)
	}
	for i, a := range op.Args() {
		is(a.Arg == i+1, "arguments must be numbered from 1 without gaps; %s is %d", a.Name, a.Arg)
		is(i == 0 || !a.Required || op.Args()[i-1].Required, "argument %s is required but follows one that is not", a.Name)
		is(a.Required || i > 0 || a.InQuery, "the first argument is part of the path, so %s must be required", a.Name)
		is(input.Settable(a.Type) && (a.Type.Kind() != reflect.Slice || i > 0 && i == len(op.Args())-1), "argument %s cannot be a %v", a.Name, a.Type)
	}
	paged(t, op, fields)
}

// paged checks the convention for lists.
func paged(t testing.TB, op operation.Operation, fields []operation.Field) {
	t.Helper()
	has := func(name string, kind reflect.Kind) bool {
		return slices.ContainsFunc(fields, func(f operation.Field) bool { return f.Name == name && f.Type.Kind() == kind })
	}
	limit, after := has("limit", reflect.Int), has("after", reflect.String)
	if limit != after {
		t.Error("a list has both limit (an int) and after (a string), or neither")
	}
	if !limit || !after || op.Output.Kind() != reflect.Struct {
		return
	}
	items, ok := op.Output.FieldByName("Items")
	next, also := op.Output.FieldByName("Next")
	if !ok || !also || !strings.HasPrefix(items.Tag.Get("json"), "items") || !strings.HasPrefix(next.Tag.Get("json"), "next") {
		t.Errorf("a list gives items and next (operation.Page), not %v", op.Output)
	}
}

// candidates are texts tried in turn until a field takes one.
var candidates = []string{"a b/ü&?=%+#", "true", "7", "0.5", "90s", "2026-01-02T03:04:05Z", "50%", "viewer", "10/s", "x"}

// sample fills every field of an input that can be written as text.
func sample(t testing.TB, op operation.Operation) any {
	t.Helper()
	in := op.NewInput()
	for _, f := range operation.Fields(op.Input) {
		texts := candidates
		if len(f.Enum) > 0 {
			texts = f.Enum
		}
		filled := false
		for _, text := range texts {
			v := reflect.ValueOf(in).Elem().FieldByIndex(f.Index)
			if input.Settable(f.Type) && input.Set(in, f, []string{text}) == nil && !v.IsZero() {
				filled = true
				break
			}
			v.SetZero()
		}
		if !filled && !input.Settable(f.Type) {
			some(reflect.ValueOf(in).Elem().FieldByIndex(f.Index), 0)
		} else if !filled {
			t.Fatalf("no sample value fits the field %s of type %v: add one to facetest.candidates", f.Name, f.Type)
		}
	}
	if err := op.Check(in); err != nil {
		t.Fatalf("the sample input is refused: %v", err)
	}
	return in
}

// some fills what only JSON can hold with something that is not empty.
func some(v reflect.Value, depth int) {
	if depth > 3 || v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		some(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				some(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(`"x"`)) // JSON, in case it is raw
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		some(v.Index(0), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		some(key, depth+1)
		some(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		if _, marshals := v.Interface().(interface{ MarshalText() ([]byte, error) }); !marshals {
			v.SetString("x")
		}
	}
}

// commandLine writes an input as arguments and flags.
func commandLine(t testing.TB, op operation.Operation, in any) []string {
	t.Helper()
	values, err := input.Query(op, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	line := []string{op.Noun, op.Verb}
	var args []string
	for _, f := range operation.Fields(op.Input) {
		if f.Arg == 0 && input.Settable(f.Type) && values.Has(f.Name) {
			for _, v := range values[f.Name] {
				line = append(line, "--"+cli.FlagName(f.Name)+"="+v)
			}
		}
	}
	for _, a := range op.Args() {
		args = append(args, values[a.Name]...)
	}
	return append(append(line, "--"), args...)
}

// written is the part of an input that a command line can hold, as JSON.
func written(t testing.TB, op operation.Operation, in any) string {
	t.Helper()
	part := op.NewInput()
	from, to := reflect.ValueOf(in).Elem(), reflect.ValueOf(part).Elem()
	for _, f := range operation.Fields(op.Input) {
		if input.Settable(f.Type) {
			to.FieldByIndex(f.Index).Set(from.FieldByIndex(f.Index))
		}
	}
	return asJSON(t, part)
}
