package sheet

import (
	"encoding"
	"encoding/csv"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// Write writes an operation's output: the items of a list a line each, anything
// else as one line. Fields that hold further fields are left to JSON.
func Write(w io.Writer, output any) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	v := reflect.Indirect(reflect.ValueOf(output))
	if v.IsValid() && v.Kind() == reflect.Struct && v.FieldByName("Items").IsValid() {
		v = v.FieldByName("Items")
	}
	rows := []reflect.Value{v}
	item := v.Type()
	if v.Kind() == reflect.Slice {
		item, rows = v.Type().Elem(), nil
		for i := range v.Len() {
			rows = append(rows, v.Index(i))
		}
	}
	if item.Kind() == reflect.Pointer {
		item = item.Elem()
	}
	columns := columnsOf(item)
	if len(columns) == 0 {
		return fmt.Errorf("a %s has no columns", item)
	}
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	if err := out.Write(names); err != nil {
		return err
	}
	for _, row := range rows {
		var cells []string
		for _, c := range columns {
			cells = append(cells, cell(reflect.Indirect(row).FieldByIndex(c.Index)))
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

var (
	timeType = reflect.TypeFor[time.Time]()
	textType = reflect.TypeFor[encoding.TextMarshaler]()
)

// columnsOf are the fields of a struct that are one value.
func columnsOf(t reflect.Type) []operation.Field {
	var out []operation.Field
	for _, f := range operation.Fields(t) {
		of := f.Type
		if of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		switch {
		case of == timeType, of.Implements(textType):
		case of.Kind() == reflect.Struct, of.Kind() == reflect.Map, of.Kind() == reflect.Slice, of.Kind() == reflect.Interface, of.Kind() == reflect.Pointer, of.Kind() == reflect.Array:
			continue
		}
		out = append(out, f)
	}
	return out
}

// cell is a value as text that no spreadsheet takes for a formula.
func cell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return ""
		}
		return x.UTC().Format(time.RFC3339)
	case encoding.TextMarshaler:
		text, _ := x.MarshalText()
		return Safe(string(text))
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, v.Type().Bits())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return Safe(strings.Join(parts, "; "))
	}
	return Safe(fmt.Sprint(v.Interface()))
}

// Safe is text that no spreadsheet takes for a formula.
func Safe(text string) string {
	if strings.IndexAny(text, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
