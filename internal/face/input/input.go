package input

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// MaxPage is the most items a list may be asked for at once.
const MaxPage = 1000

// Values decodes named strings (a query, a form, flags) into in, a pointer
// from op.NewInput. A list takes repeated or comma-separated values. Every
// unknown name and unreadable value is a finding of the one problem returned.
func Values(op operation.Operation, in any, values map[string][]string) error {
	var d decoding
	fields := byName(op)
	for _, name := range sorted(values) {
		f, ok := fields[name]
		if !ok {
			d.unknown(name, fields)
			continue
		}
		if err := Set(in, f, values[name]); err != nil {
			d.wrong(name, "%s", err)
		}
	}
	d.limit(op, in)
	return d.problem(op)
}

// JSON decodes a JSON object into in, a pointer from op.NewInput. An empty
// body is an empty object. Unknown fields, at any depth, are refused.
func JSON(op operation.Operation, in any, body []byte) error {
	var d decoding
	members := map[string]json.RawMessage{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &members); err != nil || members == nil {
			return problem.New(problem.Invalid, op.Name(), "the body must be one JSON object%s", because(err)).
				WithNext("flyball %s %s --help says what it takes", op.Noun, op.Verb)
		}
	}
	fields := byName(op)
	for _, name := range sorted(members) {
		f, ok := fields[name]
		if !ok {
			d.unknown(name, fields)
			continue
		}
		if err := setJSON(in, f, members[name]); err != nil {
			d.wrong(name, "%s", err)
		}
	}
	d.limit(op, in)
	return d.problem(op)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

func setJSON(in any, f operation.Field, raw json.RawMessage) error {
	var text string
	if f.Type == durationType && json.Unmarshal(raw, &text) == nil {
		return Set(in, f, []string{text})
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(reflect.ValueOf(in).Elem().FieldByIndex(f.Index).Addr().Interface()); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return fmt.Errorf("must be %s, not a JSON %s", Kind(typ.Type), typ.Value)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// Set stores strings in one field of in, a pointer to its operation's input.
func Set(in any, f operation.Field, values []string) error {
	v := reflect.ValueOf(in).Elem().FieldByIndex(f.Index)
	if v.Kind() == reflect.Slice && !isText(v.Type()) {
		list := reflect.MakeSlice(v.Type(), 0, len(values))
		for _, one := range values {
			for part := range strings.SplitSeq(one, ",") {
				item := reflect.New(v.Type().Elem()).Elem()
				if err := scalar(item, part); err != nil {
					return err
				}
				list = reflect.Append(list, item)
			}
		}
		v.Set(list)
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("takes one value, not %d", len(values))
	}
	return scalar(v, values[0])
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func scalar(v reflect.Value, s string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return scalar(v.Elem(), s)
	}
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return errors.New("is not text: it must be UTF-8 without NUL")
	}
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration; write it like 90s, 15m or 2h", s)
		}
		v.SetInt(int64(d))
		return nil
	case v.Type() == timeType:
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return fmt.Errorf("%q is not a time; write it like 2026-11-21T09:30:00Z", s)
		}
		v.Set(reflect.ValueOf(t))
		return nil
	case isText(v.Type()):
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
	}
	return number(v, s)
}

func number(v reflect.Value, s string) (err error) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(s); err == nil {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		if n, err = strconv.ParseInt(s, 10, v.Type().Bits()); err == nil {
			v.SetInt(n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var n uint64
		if n, err = strconv.ParseUint(s, 10, v.Type().Bits()); err == nil {
			v.SetUint(n)
		}
	case reflect.Float32, reflect.Float64:
		var x float64
		if x, err = strconv.ParseFloat(s, v.Type().Bits()); err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
			err = strconv.ErrRange
		}
		if err == nil {
			v.SetFloat(x)
		}
	default:
		return fmt.Errorf("can only be sent in a JSON body")
	}
	if err != nil {
		return fmt.Errorf("%q is not %s", s, Kind(v.Type()))
	}
	return nil
}

// Settable reports whether Set can fill a field of the type from strings.
func Settable(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && !isText(t) {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan, reflect.Array, reflect.Slice:
		return t == timeType || isText(t)
	}
	return true
}

// Kind is what a value of the type is called, with its article.
func Kind(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration"
	case t == timeType:
		return "a time"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return Kind(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	}
	return "a text"
}

// Object is the JSON object of a filled input without what is empty, in the
// form JSON reads. Fields for which skip is true are left out.
func Object(op operation.Operation, in any, skip func(operation.Field) bool) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	v := reflect.ValueOf(in).Elem()
	for _, f := range operation.Fields(op.Input) {
		fv := v.FieldByIndex(f.Index)
		if fv.IsZero() || skip != nil && skip(f) {
			continue
		}
		var value any = fv.Interface()
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, problem.New(problem.Invalid, op.Name(), "%s: %w", f.Name, err)
		}
		out[f.Name] = raw
	}
	return out, nil
}

// Query is a filled input as the query Values reads, without what is empty.
// Fields for which skip is true are left out.
func Query(op operation.Operation, in any, skip func(operation.Field) bool) (url.Values, error) {
	members, err := Object(op, in, skip)
	if err != nil {
		return nil, err
	}
	out := url.Values{}
	for name, raw := range members {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			list = []json.RawMessage{raw}
		}
		for _, item := range list {
			out.Add(name, Text(item))
		}
	}
	return out, nil
}

// Text is a JSON scalar without its quotes.
func Text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func byName(op operation.Operation) map[string]operation.Field {
	out := map[string]operation.Field{}
	for _, f := range operation.Fields(op.Input) {
		out[f.Name] = f
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func because(err error) string {
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &typ):
		return ", not a JSON " + typ.Value
	}
	return ": " + strings.TrimPrefix(err.Error(), "json: ")
}
