package slo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// File is the text of one YAML file; it may hold several documents.
type File struct {
	Name   string
	Data   []byte
	Before int // lines of the file before Data
}

// Definitions is what a set of files defines.
type Definitions struct {
	Objectives []*Objective // those without errors, in order of files
	Declared   int          // objectives written, with or without errors
	Services   []Definition
	// DataSources, by name, give the type of the sources that refer to them.
	DataSources         []Definition
	NotificationTargets []Definition
	Findings            []problem.Finding // in order of file, line and column
}

// Find is the objective of a name or ID; an empty name finds the only one.
func (d *Definitions) Find(name string) (*Objective, error) {
	var names []string
	for _, o := range d.Objectives {
		if name != "" && (o.Name == name || o.ID() == name) || name == "" && len(d.Objectives) == 1 {
			return o, nil
		}
		names = append(names, o.ID())
	}
	if len(names) == 0 {
		return nil, problem.New(problem.NotFound, "slo.find", "there is no objective in these files").WithNext("write a document of kind SLO")
	}
	if name == "" {
		return nil, problem.New(problem.Invalid, "slo.find", "there are %d objectives in these files", len(names)).
			WithNext("name one of %s", clip(strings.Join(names, ", "), 300))
	}
	return nil, problem.New(problem.NotFound, "slo.find", "there is no objective %q in these files", clip(name, 60)).
		WithNext("name one of %s", clip(strings.Join(names, ", "), 300))
}

// Definition is a named resource that objectives refer to.
type Definition struct {
	Name        string
	DisplayName string
	Description string
	Type        string // of a DataSource; target of a notification target
	// Connection is the connectionDetails of a DataSource, flattened to text.
	Connection map[string]string
}

// Err is an invalid-input problem with the findings, or nil without errors.
func (d *Definitions) Err() error {
	for _, f := range d.Findings {
		if f.Severity == "error" {
			return (&problem.Error{Kind: problem.Invalid, Op: "slo.decode", Message: "the objectives are not valid", Findings: d.Findings}).
				WithNext("correct the files and run flyball slo validate")
		}
	}
	return nil
}

// Decode reads objectives from files: OpenSLO v1 and v1alpha, Sloth
// (prometheus/v1 and PrometheusServiceLevel) and Pyrra
// (ServiceLevelObjective). References are resolved across all files. It is
// lenient where the specifications' own examples are, and strict where a
// number would come out wrong; an objective with errors is left out.
func Decode(files ...File) *Definitions {
	r := &resolver{byKind: map[string]map[string]*document{}, slis: map[string]*Indicator{},
		conditions: map[string]*conditionDef{}, policies: map[string][]AlertPolicy{}, sources: map[string]Definition{}}
	parsed := make([][]*document, len(files))
	r.decoders = make([]*decoder, len(files))
	atOnce(len(files), func(i int) {
		f := files[i]
		r.decoders[i] = &decoder{file: f.Name, before: f.Before, visits: 20_000 + 2*len(f.Data)}
		parsed[i] = r.decoders[i].documents(f.Data)
	})
	docs := slices.Concat(parsed...)
	for _, doc := range docs {
		r.register(doc)
	}
	// Definitions before those who refer to them.
	for _, kind := range []string{"Service", "DataSource", "AlertNotificationTarget", "AlertCondition", "SLI", "AlertPolicy"} {
		for _, doc := range docs {
			if doc.format == formatOpenSLO && doc.kind == kind {
				r.define(doc)
			}
		}
	}
	for _, doc := range docs {
		r.objectives(doc)
	}
	return r.finish()
}

// few is how many things are not worth more than one goroutine.
const few = 64

// atOnce does something for each of n numbers, on all processors when there are
// many.
func atOnce(n int, do func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(i)
		}
	}
	if n < few {
		work()
		return
	}
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(work)
	}
	all.Wait()
}

// The formats of documents.
const (
	formatOpenSLO = "openslo"
	formatSloth   = "sloth"
	formatPyrra   = "pyrra"
)

// document is one resource of a file.
type document struct {
	*object
	format  string
	version string // v1 or v1alpha, of OpenSLO
	kind    string
	name    string
	meta    *object
	spec    *object
}

// resolver holds what documents may refer to.
type resolver struct {
	decoders   []*decoder
	byKind     map[string]map[string]*document
	slis       map[string]*Indicator
	conditions map[string]*conditionDef
	policies   map[string][]AlertPolicy
	sources    map[string]Definition
	out        Definitions
	ids        map[string]*Objective
}

// documents parses a file into resources.
func (d *decoder) documents(data []byte) []*document {
	if len(data) > maxFileSize {
		d.report("error", nil, "", "too-large", "the file is larger than %d MiB; split it", maxFileSize>>20)
		return nil
	}
	var out []*document
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := dec.Decode(&root)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			d.syntax(err)
			return out
		}
		if len(root.Content) == 0 {
			continue
		}
		if v, ok := (value{d: d}).child(root.Content[0], ""); ok {
			out = append(out, d.resources(v)...)
		}
	}
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line ([0-9]+): )?(.*)$`)

func (d *decoder) syntax(err error) {
	parts := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	n := &yaml.Node{Column: 1}
	if parts != nil {
		n.Line, _ = strconv.Atoi(parts[1])
		err = errors.New(parts[2])
	}
	d.report("error", n, "", "yaml-syntax", "this is not YAML: %s", clip(err.Error(), 200))
}

// resources are the resources in a document: one, a list of them, or a
// Kubernetes List.
func (d *decoder) resources(v value) []*document {
	if v.n.Kind == yaml.SequenceNode {
		var out []*document
		for _, item := range v.items() {
			out = append(out, d.resources(item)...)
		}
		return out
	}
	if v.isNull() {
		return nil
	}
	doc := &document{object: v.object()}
	if !v.isMapping() {
		return nil
	}
	version, apiVersion := doc.get("version"), doc.get("apiVersion")
	if version.isScalar() && apiVersion.isNull() {
		return d.slothDocument(doc, version)
	}
	if apiVersion.isNull() {
		doc.errorf("no-api-version", "apiVersion is missing; write apiVersion: openslo/v1")
		return nil
	}
	kind := doc.need("the kind of this document, such as SLO", "kind")
	if kind.text() == "List" {
		var out []*document
		for _, item := range doc.get("items").items() {
			out = append(out, d.resources(item)...)
		}
		return out
	}
	doc.kind = kind.text()
	if kind.isNull() || !doc.recognise(apiVersion, kind) {
		return nil
	}
	doc.meta, doc.spec = doc.get("metadata").object(), doc.need("the spec of this "+doc.kind, "spec").object()
	doc.name = doc.meta.need("a name of lower-case letters, digits and dashes", "name").text()
	doc.get("status")
	doc.done()
	return []*document{doc}
}

// recognise sets the format by apiVersion and kind.
func (doc *document) recognise(apiVersion, kind value) bool {
	known := []string{"SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"}
	switch v := apiVersion.text(); v {
	case "openslo/v1", "openslo.com/v1":
		doc.format, doc.version = formatOpenSLO, "v1"
	case "openslo/v1alpha", "openslo.com/v1alpha":
		doc.format, doc.version, known = formatOpenSLO, "v1alpha", []string{"SLO", "Service"}
	case "sloth.slok.dev/v1":
		doc.format, known = formatSloth, []string{"PrometheusServiceLevel"}
	case "pyrra.dev/v1alpha1":
		doc.format, known = formatPyrra, []string{"ServiceLevelObjective"}
	default:
		apiVersion.errorf("unknown-version", "%s is not a version that can be read; write openslo/v1 (or openslo/v1alpha, sloth.slok.dev/v1, pyrra.dev/v1alpha1)", apiVersion.shape())
		return false
	}
	if slices.Contains(known, doc.kind) {
		return true
	}
	hint := "write " + strings.Join(known, ", ")
	if near := nearest(doc.kind, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	kind.errorf("unknown-kind", "%s is no kind of %s; %s", kind.shape(), apiVersion.text(), hint)
	return false
}

// register reserves a document's name within its kind.
func (r *resolver) register(doc *document) {
	key := doc.format + "/" + doc.kind
	if r.byKind[key] == nil {
		r.byKind[key] = map[string]*document{}
	}
	if first, twice := r.byKind[key][doc.name]; twice && doc.name != "" && doc.format == formatOpenSLO {
		doc.meta.get("name").errorf("duplicate-name", "there is another %s %q at %s:%d; give one of them another name",
			doc.kind, doc.name, first.d.file, first.d.line(first.n))
		return
	}
	r.byKind[key][doc.name] = doc
}

// has reports whether a kind of OpenSLO defines a name.
func (r *resolver) has(kind, name string) bool {
	_, ok := r.byKind[formatOpenSLO+"/"+kind][name]
	return ok
}

// define decodes a document that others refer to.
func (r *resolver) define(doc *document) {
	doc.metadata()
	def := Definition{Name: doc.name, DisplayName: doc.meta.get("displayName").text(), Description: doc.spec.get("description").text()}
	switch doc.kind {
	case "Service":
		r.out.Services = append(r.out.Services, def)
	case "DataSource":
		def.Type = doc.spec.need("the type of the source, such as Prometheus", "type").text()
		def.Connection = doc.spec.get("connectionDetails").flatten()
		r.sources[doc.name] = def
		r.out.DataSources = append(r.out.DataSources, def)
	case "AlertNotificationTarget":
		def.Type = doc.spec.need("where notifications go, such as email or slack", "target").text()
		r.out.NotificationTargets = append(r.out.NotificationTargets, def)
	case "AlertCondition":
		r.conditions[doc.name] = doc.spec.condition(doc.name)
	case "SLI":
		r.slis[doc.name] = r.indicator(doc.spec, doc.name)
	case "AlertPolicy":
		r.policies[doc.name] = r.policy(doc.spec, doc.name)
	}
	doc.spec.done()
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._|/\\]*[A-Za-z0-9])?$`)

// metadata checks what all OpenSLO documents have.
func (doc *document) metadata() {
	name := doc.meta.get("name")
	if name.isScalar() && (len(doc.name) > 255 || !nameForm.MatchString(doc.name)) {
		name.errorf("bad-name", "%s is not a name; write up to 255 lower-case letters, digits, dashes and dots", name.shape())
	}
	doc.meta.get("displayName", "labels", "annotations")
	doc.meta.known = append(doc.meta.known, "labels", "annotations", "displayName", "namespace")
	doc.meta.done()
}

// objectives decodes the documents that promise something.
func (r *resolver) objectives(doc *document) {
	switch {
	case doc.format == formatSloth:
		r.slothObjectives(doc)
	case doc.format == formatPyrra:
		r.pyrraObjective(doc)
	case doc.kind == "SLO":
		r.sloObjectives(doc)
	}
}

// keep adds a decoded objective, unless its document or it has errors.
func (r *resolver) keep(o *Objective, at value, errorsBefore int) {
	r.out.Declared++
	d := at.d
	if d.errors() == errorsBefore {
		for _, f := range o.Check() {
			d.report(f.Severity, at.n, strings.TrimPrefix(at.path+"."+f.Field, "."), f.Code, "%s", f.Message)
		}
	}
	if r.ids == nil {
		r.ids = map[string]*Objective{}
	}
	if first, twice := r.ids[o.ID()]; twice {
		at.errorf("duplicate-name", "there is another objective %q at %s:%d; give one of them another name", o.ID(), first.File, first.Line)
	}
	if o.File, o.Line = d.file, d.line(at.n); d.errors() > errorsBefore {
		return
	}
	r.ids[o.ID()] = o
	r.out.Objectives = append(r.out.Objectives, o)
}

func (d *decoder) errors() int {
	n := 0
	for _, f := range d.findings {
		if f.Severity == "error" {
			n++
		}
	}
	return n
}

func (r *resolver) finish() *Definitions {
	for _, d := range r.decoders {
		slices.SortStableFunc(d.findings, func(a, b problem.Finding) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
		})
		d.findings = slices.Compact(d.findings) // a shared definition is read once for each who refers to it
		r.out.Findings = append(r.out.Findings, d.findings...)
	}
	if r.out.Declared == 0 && len(r.out.Findings) == 0 {
		for _, d := range r.decoders {
			r.out.Findings = append(r.out.Findings, problem.Finding{File: d.file, Line: 1, Column: 1, Severity: "warning", Code: "no-objectives",
				Message: fmt.Sprintf("no objective is defined in %d file(s); write a document of kind SLO", len(r.decoders))})
			break
		}
	}
	return &r.out
}
