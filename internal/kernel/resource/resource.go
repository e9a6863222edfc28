// Package resource turns YAML files into checked objects: what somebody wants,
// as opposed to what happened (package event).
//
// A Kind is declared once by the subject that owns it: its apiVersion and kind,
// how its spec is decoded, what defaults it gets, what makes it valid and which
// other objects it refers to. Load reads a directory's files at one commit and
// returns either a whole, valid Set or every finding at once, each with file,
// line, column and field. Nothing is half-applied. A spec belongs to its
// author: Flyball never writes into it.
package resource

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// APIVersion is the version of Flyball's own kinds.
const APIVersion = "flyball.dev/v1"

// Metadata names an object.
type Metadata struct {
	Name        string            `json:"name"`                  // unique within the kind: lower case letters, digits and hyphens
	DisplayName string            `json:"displayName,omitempty"` // for people
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Object is one decoded document.
type Object struct {
	APIVersion string
	Kind       string
	Metadata   Metadata
	Spec       any    // pointer to the kind's spec type
	File       string // where it was written
	Line       int
	Text       string // the document as written

	kind *Kind
	node *yaml.Node
}

// Ref names an object.
type Ref struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Key is kind and name in the form used for subjects, such as service/checkout.
func (o *Object) Key() string { return Key(o.Kind, o.Metadata.Name) }

// Key is the subject under which an object is recorded.
func Key(kind, name string) string { return strings.ToLower(kind) + "/" + name }

// Kind declares one kind of object. Make one with Define.
type Kind struct {
	APIVersion string
	Name       string
	Summary    string // one line for the documentation

	newSpec  func() any
	defaults func(*Object)
	validate func(*Checker)
	foreign  bool   // another format: its documents are kept as written
	as       string // kind under which its objects are kept
}

// Options say how a kind is completed and checked; each may be nil.
type Options[S any] struct {
	Summary string
	// Defaults fills in what the author left out.
	Defaults func(meta Metadata, spec *S)
	// Validate reports what is wrong through the checker.
	Validate func(c *Checker, spec *S)
}

// Define declares a kind whose spec is an S, decoded by its json tags. Unknown
// fields are findings.
func Define[S any](name string, o Options[S]) *Kind {
	return &Kind{
		APIVersion: APIVersion, Name: name, as: name, Summary: o.Summary,
		newSpec: func() any { return new(S) },
		defaults: func(obj *Object) {
			if o.Defaults != nil {
				o.Defaults(obj.Metadata, obj.Spec.(*S))
			}
		},
		validate: func(c *Checker) {
			if o.Validate != nil {
				o.Validate(c, c.Object.Spec.(*S))
			}
		},
	}
}

// Foreign declares a kind of another format, such as openslo/v1 SLO, whose
// objects are kept under the kind given by as. Their documents are kept as
// written, with a Document as spec, and validate decodes them by their own rules.
func Foreign(apiVersion, name, as, summary string, validate func(*Checker)) *Kind {
	return &Kind{
		APIVersion: apiVersion, Name: name, Summary: summary, foreign: true, as: as,
		newSpec: func() any { return new(Document) }, defaults: func(*Object) {}, validate: validate,
	}
}

// Document is the spec of a foreign object: where its text begins in its file.
// The text itself is the object's.
type Document struct {
	Line int `json:"line"` // from 1
}

// Registry is the explicit list of kinds.
type Registry struct{ kinds map[Ref]*Kind }

// NewRegistry makes a registry; a kind declared twice panics, as a mistake in wiring.
func NewRegistry(kinds ...*Kind) *Registry {
	r := &Registry{kinds: map[Ref]*Kind{}}
	for _, k := range kinds {
		key := Ref{k.APIVersion, k.Name}
		if r.kinds[key] != nil {
			panic("resource: kind " + k.Name + " declared twice")
		}
		r.kinds[key] = k
	}
	return r
}

// Kinds lists the kinds by name.
func (r *Registry) Kinds() []*Kind {
	var out []*Kind
	for _, k := range r.kinds {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Checker gathers findings about one object while it is validated.
type Checker struct {
	Object   *Object
	Set      *Set
	findings []problem.Finding
}

// Errorf reports that a field is wrong. path is dotted with indexes, relative
// to spec, such as "steps[2].weight"; the finding points at its line.
func (c *Checker) Errorf(path, code, format string, args ...any) {
	c.add("error", path, code, fmt.Sprintf(format, args...))
}

// Warnf reports a likely mistake that does not stop anything.
func (c *Checker) Warnf(path, code, format string, args ...any) {
	c.add("warning", path, code, fmt.Sprintf(format, args...))
}

// Add reports findings made elsewhere, places included.
func (c *Checker) Add(findings ...problem.Finding) { c.findings = append(c.findings, findings...) }

// Refers checks that an object of the kind and name is in the set.
func (c *Checker) Refers(path, kind, name string) {
	if name == "" || c.Set.Find(kind, name) != nil {
		return
	}
	hint := ""
	if near := nearest(name, c.Set.names(kind)); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	c.Errorf(path, "missing-reference", "there is no %s named %q%s", kind, name, hint)
}

func (c *Checker) add(severity, path, code, message string) {
	line, column := c.Object.Line, 1
	field := "spec"
	if path != "" {
		field = "spec." + path
	}
	if strings.HasPrefix(path, "metadata") {
		field = path
	}
	if n := locate(c.Object.node, field); n != nil {
		line, column = n.Line, n.Column
	}
	c.findings = append(c.findings, problem.Finding{
		File: c.Object.File, Line: line, Column: column, Field: field,
		Severity: severity, Code: code, Message: message,
	})
}

// Set is a whole, checked collection of objects.
type Set struct {
	objects []*Object
	byKey   map[string]*Object
}

// All lists the objects, ordered by kind and name.
func (s *Set) All() []*Object { return s.objects }

// Find is the object of a kind and name, or nil.
func (s *Set) Find(kind, name string) *Object { return s.byKey[Key(kind, name)] }

func (s *Set) names(kind string) []string {
	var out []string
	for _, o := range s.objects {
		if o.Kind == kind {
			out = append(out, o.Metadata.Name)
		}
	}
	return out
}

// Specs lists the specs of one kind with their metadata, ordered by name.
func Specs[S any](s *Set, kind string) (out []S, meta []Metadata) {
	for _, o := range s.objects {
		if o.Kind != kind {
			continue
		}
		if spec, ok := o.Spec.(*S); ok {
			out, meta = append(out, *spec), append(meta, o.Metadata)
		}
	}
	return out, meta
}

// Applied is the payload of resource.applied: an object as its author wrote it
// and as Flyball understood it.
type Applied struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   Metadata        `json:"metadata"`
	Spec       json.RawMessage `json:"spec"`
	Commit     string          `json:"commit"` // commit of the repository it was read from, or empty for a work tree
	File       string          `json:"file"`
	Line       int             `json:"line"`
	Text       string          `json:"text"`
}

// The facts about resources.
const (
	EventApplied = "resource.applied" // data is Applied
	EventDeleted = "resource.deleted" // data is Ref with the commit
)
