package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// object is a JSON object in the order in which it was written.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// with adds a member, unless its value is empty.
func (o object) with(name string, value any) object {
	if v := reflect.ValueOf(value); !v.IsValid() || v.IsZero() {
		return o
	}
	return append(o, member{name, value})
}

// schemas makes JSON Schemas (draft 2020-12, as OpenAPI 3.1 uses it) of Go
// types as encoding/json writes them. Named structs become components.
type schemas struct {
	components map[string]any
	names      map[reflect.Type]string
}

func newSchemas() *schemas {
	return &schemas{components: map[string]any{}, names: map[reflect.Type]string{}}
}

var (
	durationType  = reflect.TypeFor[time.Duration]()
	timeType      = reflect.TypeFor[time.Time]()
	marshalerType = reflect.TypeFor[json.Marshaler]()
	textType      = reflect.TypeFor[encoding.TextMarshaler]()
)

func implements(t, iface reflect.Type) bool {
	return t.Implements(iface) || reflect.PointerTo(t).Implements(iface)
}

// of is the schema of a type.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t == timeType:
		return object{{"type", "string"}, {"format", "date-time"}}
	case t == durationType:
		return object{{"type", "integer"}, {"description", "nanoseconds"}}
	case t == rawType, implements(t, marshalerType):
		return object{}
	case implements(t, textType):
		return object{{"type", "string"}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Float32, reflect.Float64:
		return object{{"type", "number"}}
	case reflect.String:
		return object{{"type", "string"}}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{{"type", "string"}, {"contentEncoding", "base64"}}
		}
		return object{{"type", "array"}, {"items", s.of(t.Elem())}}
	case reflect.Map:
		return object{{"type", "object"}, {"additionalProperties", s.of(t.Elem())}}
	case reflect.Struct:
		return s.structure(t)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return object{{"type", "integer"}}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{{"type", "integer"}, {"minimum", 0}}
	}
	return object{}
}

// structure refers to a named struct's component; unnamed and generic structs
// stand where they are used.
func (s *schemas) structure(t reflect.Type) object {
	if t.Name() == "" || strings.Contains(t.Name(), "[") {
		return s.properties(t, true)
	}
	name, known := s.names[t]
	if !known {
		name = s.name(t)
		s.names[t] = name
		s.components[name] = nil // taken, for a type that contains itself
		s.components[name] = s.properties(t, false)
	}
	return object{{"$ref", "#/components/schemas/" + name}}
}

// name is package and type, such as rollout.Rollout; with more of the path
// where two packages have the same last element.
func (s *schemas) name(t reflect.Type) string {
	dir, name := t.PkgPath(), path.Base(t.PkgPath())+"."+t.Name()
	for {
		if _, taken := s.components[name]; !taken {
			return name
		}
		if dir = path.Dir(dir); dir == "." || dir == "/" {
			return name + "_"
		}
		name = path.Base(dir) + "." + name
	}
}

// properties is the schema of a struct's fields. The top of an answer never
// holds null for a list (see Encode); lists further down may.
func (s *schemas) properties(t reflect.Type, top bool) object {
	var properties object
	var required []string
	for _, f := range jsonFields(t) {
		schema := s.of(f.Type)
		optional := f.options["omitempty"] || f.options["omitzero"]
		switch f.Type.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			if !optional && f.Type != rawType && (!top || f.Type.Kind() != reflect.Slice) {
				schema = object{{"anyOf", []any{schema, object{{"type", "null"}}}}}
			}
		}
		if f.options["string"] {
			schema = object{{"type", "string"}}
		}
		if e := f.Tag.Get("enum"); e != "" {
			schema = schema.with("enum", strings.Split(e, ","))
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			schema = slices.DeleteFunc(schema, func(m member) bool { return m.name == "description" })
			schema = schema.with("description", doc)
		}
		properties = append(properties, member{f.name, schema})
		if !optional {
			required = append(required, f.name)
		}
	}
	return object{{"type", "object"}}.with("properties", properties).with("required", required)
}

type jsonField struct {
	reflect.StructField
	name    string
	options map[string]bool
}

// jsonFields are a struct's fields as encoding/json sees them: embedded
// structs without a name are flattened, and the outer of two equal names wins.
func jsonFields(t reflect.Type) []jsonField {
	var own, inherited []jsonField
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-":
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			inherited = append(inherited, jsonFields(inner)...)
		case f.IsExported():
			if name == "" {
				name = f.Name
			}
			options := map[string]bool{}
			for o := range strings.SplitSeq(rest, ",") {
				options[o] = true
			}
			own = append(own, jsonField{f, name, options})
		}
	}
	for _, f := range inherited {
		if !slices.ContainsFunc(own, func(o jsonField) bool { return o.name == f.name }) {
			own = append(own, f)
		}
	}
	return own
}

// field is the schema of an operation's input field as input.Values and
// input.JSON read it.
func (s *schemas) field(f operation.Field) object {
	schema := s.of(f.Type)
	if f.Type == durationType {
		schema = object{{"type", "string"}, {"examples", []string{"90s", "2h"}}}
	}
	if len(f.Enum) > 0 {
		schema = schema.with("enum", f.Enum)
	}
	if f.Name == "limit" {
		schema = schema.with("minimum", new(int)).with("maximum", 1000)
	}
	return schema
}
