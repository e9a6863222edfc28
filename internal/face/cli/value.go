package cli

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	rawType      = reflect.TypeFor[json.RawMessage]()
	textType     = reflect.TypeFor[encoding.TextMarshaler]()
	stringerType = reflect.TypeFor[fmt.Stringer]()
)

// fits reports whether values of a type have room in a cell.
func fits(t reflect.Type) bool {
	switch {
	case t == timeType, t == rawType, t.Implements(textType), t.Implements(stringerType):
		return true
	case t.Kind() == reflect.Pointer:
		return fits(t.Elem())
	case t.Kind() == reflect.Slice:
		k := t.Elem().Kind()
		return fits(t.Elem()) && k != reflect.Slice
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Interface, reflect.Array, reflect.Func, reflect.Chan:
		return false
	}
	return true
}

func isNumber(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 }

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	}
	return v.IsZero()
}

// cell is a value in one line.
func (p view) cell(v reflect.Value) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return "–"
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return Time(x)
	case time.Duration:
		return Duration(x)
	case json.RawMessage:
		return short(string(x))
	case []byte:
		return short(fmt.Sprintf("%x", x))
	case fmt.Stringer:
		return line(x.String())
	case encoding.TextMarshaler:
		text, _ := x.MarshalText()
		return line(string(text))
	}
	switch v.Kind() {
	case reflect.Bool:
		return map[bool]string{true: "yes", false: "no"}[v.Bool()]
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', 6, 64)
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = p.cell(v.Index(i))
		}
		return strings.Join(parts, ", ")
	case reflect.Struct, reflect.Map:
		raw, _ := json.Marshal(v.Interface())
		return short(string(raw))
	}
	return line(fmt.Sprint(v.Interface()))
}

// Time is an instant in the local zone; an instant that never was is a dash.
func Time(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// Duration is a duration as people say it, in at most two units.
func Duration(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "−", -d
	}
	two := func(a time.Duration, an string, b time.Duration, bn string) string {
		if rest := d % a / b; rest > 0 {
			return fmt.Sprintf("%s%d %s %d %s", sign, d/a, an, rest, bn)
		}
		return fmt.Sprintf("%s%d %s", sign, d/a, an)
	}
	switch {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return fmt.Sprintf("%s%d µs", sign, d/time.Microsecond)
	case d < time.Second:
		return fmt.Sprintf("%s%d ms", sign, d/time.Millisecond)
	case d < time.Minute:
		return sign + strconv.FormatFloat(float64(d/(100*time.Millisecond))/10, 'f', -1, 64) + " s"
	case d < time.Hour:
		return two(time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return two(time.Hour, "h", time.Minute, "min")
	}
	return two(24*time.Hour, "d", time.Hour, "h")
}

// line makes text fit in one line.
func line(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

func short(s string) string {
	s = line(s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:79]) + "…"
	}
	return s
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return keys
}
