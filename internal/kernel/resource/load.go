package resource

import (
	"bytes"
	"errors"
	"io"
	"path"
	"regexp"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Bounds on what one directory of resources may hold.
const (
	MaxFile    = 1 << 20 // bytes of one file
	MaxNodes   = 50_000  // YAML nodes of one document, aliases expanded
	MaxObjects = 20_000
)

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// foreignName is looser: other formats have rules of their own.
var foreignName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,254}$`)

// Load decodes, completes and checks every .yaml and .yml file given by path,
// as one set. With any finding of severity error the set is nil: all of it is
// refused. Warnings come with a set.
func Load(r *Registry, files map[string][]byte) (*Set, []problem.Finding) {
	set := &Set{byKey: map[string]*Object{}}
	var findings []problem.Finding
	paths := make([]string, 0, len(files))
	for p := range files {
		if ext := path.Ext(p); ext == ".yaml" || ext == ".yml" {
			paths = append(paths, p)
		}
	}
	sort.Strings(paths)
	for _, p := range paths {
		objects, found := decodeFile(r, p, files[p])
		findings = append(findings, found...)
		for _, o := range objects {
			findings = append(findings, set.insert(o)...)
		}
	}
	sort.Slice(set.objects, func(i, j int) bool { return set.objects[i].Key() < set.objects[j].Key() })
	for _, o := range set.objects {
		c := &Checker{Object: o, Set: set}
		o.kind.validate(c)
		findings = append(findings, c.findings...)
	}
	sort.SliceStable(findings, func(i, j int) bool { return before(findings[i], findings[j]) })
	for _, f := range findings {
		if f.Severity == "error" {
			return nil, findings
		}
	}
	return set, findings
}

func before(a, b problem.Finding) bool {
	if a.File != b.File {
		return a.File < b.File
	}
	if a.Line != b.Line {
		return a.Line < b.Line
	}
	return a.Column < b.Column
}

// Refuse turns findings with an error among them into one error, nil otherwise.
func Refuse(op string, findings []problem.Finding) error {
	n := 0
	for _, f := range findings {
		if f.Severity == "error" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	e := problem.New(problem.Invalid, op, "%d %s found, nothing was applied", n, plural(n, "mistake"))
	e.Findings = findings
	return e.WithNext("correct the lines named and try again")
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func (s *Set) insert(o *Object) []problem.Finding {
	if earlier := s.byKey[o.Key()]; earlier != nil {
		return []problem.Finding{{
			File: o.File, Line: o.Line, Column: 1, Field: "metadata.name", Severity: "error", Code: "duplicate-name",
			Message: o.Kind + " " + o.Metadata.Name + " is already declared in " + earlier.File + "; names are unique within a kind",
		}}
	}
	s.byKey[o.Key()] = o
	s.objects = append(s.objects, o)
	if len(s.objects) == MaxObjects+1 {
		return []problem.Finding{{File: o.File, Line: o.Line, Column: 1, Severity: "error", Code: "too-many", Message: "more than 20,000 objects in one directory"}}
	}
	return nil
}

func decodeFile(r *Registry, file string, text []byte) (objects []*Object, findings []problem.Finding) {
	fail := func(line, col int, code, message string) ([]*Object, []problem.Finding) {
		return objects, append(findings, problem.Finding{File: file, Line: line, Column: col, Severity: "error", Code: code, Message: message})
	}
	if len(text) > MaxFile {
		return fail(1, 1, "too-large", "the file is larger than 1 MiB")
	}
	dec, lines := yaml.NewDecoder(bytes.NewReader(text)), strings.SplitAfter(string(text), "\n")
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return objects, findings
		}
		if err != nil {
			line, message := yamlError(err)
			return fail(line, 1, "syntax", message)
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
			continue
		}
		o, found := decodeDocument(r, file, doc.Content[0])
		findings = append(findings, found...)
		if o != nil {
			var line int
			o.Text, line = documentText(lines, o.Line)
			if d, ok := o.Spec.(*Document); ok {
				d.Line = line
			}
			objects = append(objects, o)
		}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func yamlError(err error) (line int, message string) {
	m := yamlLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if m == nil {
		return 1, "not valid YAML: " + err.Error()
	}
	for _, d := range m[1] {
		line = line*10 + int(d-'0')
	}
	return max(line, 1), "not valid YAML: " + m[2]
}

// documentText is the part of a file between the separators around a line, and
// the line it begins in.
func documentText(lines []string, line int) (string, int) {
	start, end := min(line-1, len(lines)), len(lines)
	for i := start; i < len(lines); i++ {
		if strings.TrimRight(lines[i], " \r\n") == "---" {
			end = i
			break
		}
	}
	for start > 0 && strings.TrimRight(lines[start-1], " \r\n") != "---" {
		start--
	}
	return strings.Join(lines[start:end], ""), start + 1
}

type header struct {
	APIVersion string
	Kind       string
	Metadata   Metadata
}

func decodeDocument(r *Registry, file string, root *yaml.Node) (*Object, []problem.Finding) {
	d := &decoder{file: file}
	if n := countNodes(root, MaxNodes); n > MaxNodes {
		d.fail(root, "", "too-large", "the document has more than %d nodes once its aliases are expanded", MaxNodes)
		return nil, d.findings
	}
	if root.Kind != yaml.MappingNode {
		d.fail(root, "", "type", "a resource is a mapping with apiVersion, kind, metadata and spec")
		return nil, d.findings
	}
	var h header
	var spec *yaml.Node
	version := "" // of a format that has no apiVersion, such as Sloth's prometheus/v1
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		switch k.Value {
		case "apiVersion":
			d.into(v, "apiVersion", &h.APIVersion)
		case "version":
			version = v.Value
		case "kind":
			d.into(v, "kind", &h.Kind)
		case "spec":
			spec = v
		}
	}
	if h.APIVersion == "" && h.Kind == "" {
		h.APIVersion = version
	}
	kind := r.kinds[Ref{h.APIVersion, h.Kind}]
	if kind == nil {
		d.unknownKind(r, root, h)
		return nil, d.findings
	}
	d.headerFields(root, &h, kind.foreign)
	o := &Object{APIVersion: h.APIVersion, Kind: kind.as, Metadata: h.Metadata, File: file, Line: root.Line, kind: kind, node: root}
	o.Spec = kind.newSpec()
	if kind.foreign {
		if len(d.findings) > 0 {
			return nil, d.findings
		}
		return o, nil
	}
	if spec == nil {
		spec = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: root.Line, Column: root.Column}
	}
	d.into(spec, "spec", o.Spec)
	if len(d.findings) > 0 {
		return nil, d.findings
	}
	kind.defaults(o)
	return o, nil
}

func (d *decoder) unknownKind(r *Registry, root *yaml.Node, h header) {
	if h.APIVersion == "" || h.Kind == "" {
		d.fail(root, "", "missing-kind", "apiVersion and kind are required, such as apiVersion: %s and kind: Service", APIVersion)
		return
	}
	var names []string
	for _, k := range r.Kinds() {
		names = append(names, k.APIVersion+" "+k.Name)
	}
	hint := ""
	if near := nearest(h.APIVersion+" "+h.Kind, names); near != "" {
		hint = "; did you mean " + near + "?"
	}
	d.fail(root, "kind", "unknown-kind", "unknown kind %s %s%s", h.APIVersion, h.Kind, hint)
}

func (d *decoder) headerFields(root *yaml.Node, h *header, foreign bool) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		switch k.Value {
		case "apiVersion", "kind", "spec":
		case "metadata":
			if foreign {
				// Of another format's metadata only the name is ours to read.
				if name := locate(root, "metadata.name"); name != nil {
					h.Metadata.Name = name.Value
				}
				continue
			}
			d.into(v, "metadata", &h.Metadata)
		case "service":
			if foreign && h.Kind == "" { // what has no kind is named after its service and the first objective
				h.Metadata.Name = v.Value
				if first := locate(root, "slos[0].name"); first != nil && first.Kind == yaml.ScalarNode {
					h.Metadata.Name += ":" + first.Value
				}
			}
		default:
			if !foreign {
				d.fail(k, k.Value, "unknown-field", "unknown field %q; a resource has apiVersion, kind, metadata and spec", k.Value)
			}
		}
	}
	if !namePattern.MatchString(h.Metadata.Name) && !(foreign && foreignName.MatchString(h.Metadata.Name)) {
		at := locate(root, "metadata.name")
		if at == nil {
			at = root
		}
		d.fail(at, "metadata.name", "name", "%q is not a name: up to 63 lower case letters, digits, dots and hyphens, beginning and ending with a letter or digit", h.Metadata.Name)
	}
}
