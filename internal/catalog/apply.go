package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// Applier turns files into applied resources, whole or not at all: what is not
// valid is refused as a whole, and up to event.MaxDrafts changes are one.
type Applier struct {
	Log      event.Log
	Reader   projection.Reader
	Sync     func(ctx context.Context) error
	Registry *resource.Registry
}

// stream is where all resources are applied, so that one append changes them
// all at once.
const stream = "resources"

// Difference is one resource that applying would change.
type Difference struct {
	Change string `json:"change" doc:"create, update or delete"`
	Kind   string `json:"kind" doc:"kind of the resource"`
	Name   string `json:"name" doc:"name of the resource"`
	File   string `json:"file,omitempty" doc:"file that declares it"`
	Text   string `json:"text,omitempty" doc:"lines that differ, - before and + after"`

	object *resource.Object
}

// Report says what applying changed, or would change.
type Report struct {
	Commit      string            `json:"commit,omitempty" doc:"commit the files are of; empty for a work tree"`
	Resources   int               `json:"resources" doc:"number of resources in the directory"`
	Differences []Difference      `json:"differences" doc:"what changed, or would"`
	Applied     bool              `json:"applied" doc:"the differences were applied, not only shown"`
	Warnings    []problem.Finding `json:"warnings,omitempty" doc:"likely mistakes that stop nothing"`
}

// Tell is the report in lines.
func (r Report) Tell() string {
	if len(r.Differences) == 0 {
		return counted(r.Resources) + ", nothing to change"
	}
	var b strings.Builder
	for _, d := range r.Differences {
		fmt.Fprintf(&b, "%s %s/%s\n", d.Change, strings.ToLower(d.Kind), d.Name)
		b.WriteString(d.Text)
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(&b, w)
	}
	outcome := "to change"
	if r.Applied {
		outcome = "changed"
	}
	fmt.Fprintf(&b, "%s, %d %s", counted(r.Resources), len(r.Differences), outcome)
	return b.String()
}

// counted is a number of resources in words.
func counted(n int) string {
	if n == 1 {
		return "1 resource"
	}
	return fmt.Sprintf("%d resources", n)
}

// Check decodes and checks a directory's files as one set. Every mistake is
// reported at once.
func (a *Applier) Check(files map[string][]byte) (*resource.Set, []problem.Finding, error) {
	set, findings := resource.Load(a.Registry, files)
	return set, findings, resource.Refuse("resource.validate", findings)
}

// Diff says what applying the files would change. Resources that were applied
// from the same directory and are no longer in it would be deleted.
func (a *Applier) Diff(ctx context.Context, dir, commit string, files map[string][]byte) (Report, error) {
	set, findings, err := a.Check(files)
	if err != nil {
		return Report{}, err
	}
	out := Report{Commit: commit, Resources: len(set.All()), Differences: []Difference{}, Warnings: findings}
	seen := map[string]bool{}
	for _, o := range set.All() {
		seen[o.Key()] = true
		old, ok, err := projection.Get[Entry](ctx, a.Reader, ProjectionName, o.Key())
		if err != nil {
			return out, err
		}
		spec, err := json.Marshal(o.Spec)
		if err != nil {
			return out, err
		}
		d := Difference{Change: "create", Kind: o.Kind, Name: o.Metadata.Name, File: o.File, object: o}
		if ok && !old.Deleted {
			if bytes.Equal(old.Spec, spec) && old.Text == o.Text {
				continue
			}
			d.Change = "update"
		}
		d.Text = lines(old.Text, o.Text)
		out.Differences = append(out.Differences, d)
	}
	gone, err := a.gone(ctx, dir, seen)
	out.Differences = append(out.Differences, gone...)
	return out, err
}

// gone lists the applied resources of a directory that are not in it any more.
func (a *Applier) gone(ctx context.Context, dir string, seen map[string]bool) ([]Difference, error) {
	var out []Difference
	f := projection.Filter{Index: "all", Value: "yes", Limit: 1000}
	for {
		entries, next, err := projection.List[Entry](ctx, a.Reader, ProjectionName, f)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !seen[resource.Key(e.Kind, e.Metadata.Name)] && strings.HasPrefix(e.File, path.Clean(dir)+"/") {
				out = append(out, Difference{Change: "delete", Kind: e.Kind, Name: e.Metadata.Name, File: e.File, Text: lines(e.Text, "")})
			}
		}
		if next == "" {
			return out, nil
		}
		f.After = next
	}
}

// Applied is an object as it is recorded.
func Applied(o *resource.Object, commit string) (resource.Applied, error) {
	spec, err := json.Marshal(o.Spec)
	return resource.Applied{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: spec, Commit: commit, File: o.File, Line: o.Line, Text: o.Text}, err
}

// Apply records the differences in one append: all of them or none.
func (a *Applier) Apply(ctx context.Context, actor, dir, commit string, files map[string][]byte) (Report, error) {
	version, err := a.Log.Version(ctx, stream)
	if err != nil {
		return Report{}, err
	}
	if err := a.Sync(ctx); err != nil {
		return Report{}, err
	}
	report, err := a.Diff(ctx, dir, commit, files)
	if err != nil || len(report.Differences) == 0 {
		return report, err
	}
	var drafts []event.Draft
	for _, d := range report.Differences {
		draft := event.Draft{Type: resource.EventDeleted, Subject: resource.Key(d.Kind, d.Name), Actor: actor, Data: resource.Ref{Kind: d.Kind, Name: d.Name}}
		if o := d.object; o != nil {
			applied, err := Applied(o, commit)
			if err != nil {
				return report, err
			}
			draft.Type, draft.Data = resource.EventApplied, applied
		}
		drafts = append(drafts, draft)
	}
	// More than one batch takes are applied in parts. Where that ends in between,
	// the next time finds the rest.
	for part := range slices.Chunk(drafts, event.MaxDrafts) {
		if _, err := a.Log.Append(ctx, event.Batch{Stream: stream, Expect: version, Drafts: part}); err != nil {
			return report, err
		}
		version += int64(len(part))
	}
	report.Applied = true
	return report, a.Sync(ctx)
}

// lines is a small difference of two texts: lines that are only in one.
func lines(before, after string) string {
	old, fresh := strings.Split(strings.TrimRight(before, "\n"), "\n"), strings.Split(strings.TrimRight(after, "\n"), "\n")
	common := longest(old, fresh)
	var b strings.Builder
	i, j := 0, 0
	for _, c := range append(common, [2]int{len(old), len(fresh)}) {
		for ; i < c[0]; i++ {
			if before != "" {
				b.WriteString("  - " + old[i] + "\n")
			}
		}
		for ; j < c[1]; j++ {
			if after != "" {
				b.WriteString("  + " + fresh[j] + "\n")
			}
		}
		i, j = c[0]+1, c[1]+1
	}
	return b.String()
}

// longest is the longest common subsequence of two texts, as pairs of line
// numbers. Texts beyond a thousand lines are treated as wholly different.
func longest(a, b []string) [][2]int {
	if len(a) > 1000 || len(b) > 1000 {
		return nil
	}
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case table[i+1][j] >= table[i][j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// ApplyInput carries the files of a directory.
type ApplyInput struct {
	Dir    string            `json:"dir" required:"true" doc:"directory the files are of; resources applied from it before and missing now are deleted"`
	Commit string            `json:"commit" doc:"commit the files are of; empty for a work tree"`
	Files  map[string]string `json:"files" required:"true" doc:"text of each YAML file by its path"`
}

// KindInput names a kind.
type KindInput struct {
	Kind string `json:"kind" doc:"of this kind only, such as Service"`
}

// Listed is one applied resource in a list.
type Listed struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Commit string `json:"commit,omitempty"`
	File   string `json:"file"`
}

// Operations are what users can do with resources.
func (a *Applier) Operations() []operation.Operation {
	return []operation.Operation{
		operation.Define(operation.Spec[ApplyInput, Report]{
			Noun: "resource", Verb: "diff", Summary: "Show what applying a directory of resources would change", Role: operation.Developer, Write: true,
			Handle: func(ctx context.Context, _ operation.Caller, in ApplyInput) (Report, error) {
				return a.Diff(ctx, in.Dir, in.Commit, bytesOf(in.Files))
			},
		}),
		operation.Define(operation.Spec[ApplyInput, Report]{
			Noun: "resource", Verb: "apply", Summary: "Apply a directory of resources, whole or not at all", Role: operation.Admin, Write: true,
			Handle: func(ctx context.Context, c operation.Caller, in ApplyInput) (Report, error) {
				return a.Apply(ctx, c.Name, in.Dir, in.Commit, bytesOf(in.Files))
			},
		}),
		operation.Define(operation.Spec[KindInput, operation.Page[Listed]]{
			Noun: "resource", Verb: "list", Summary: "List what is declared", Role: operation.Viewer, Handle: a.list,
		}),
	}
}

func bytesOf(files map[string]string) map[string][]byte {
	out := make(map[string][]byte, len(files))
	for p, text := range files {
		out[p] = []byte(text)
	}
	return out
}

func (a *Applier) list(ctx context.Context, _ operation.Caller, in KindInput) (operation.Page[Listed], error) {
	f := projection.Filter{Index: "all", Value: "yes", Limit: 1000}
	if in.Kind != "" {
		f.Index, f.Value = "kind", strings.ToLower(in.Kind)
	}
	entries, _, err := projection.List[Entry](ctx, operation.Reader(ctx, a.Reader), ProjectionName, f)
	out := operation.Page[Listed]{Items: []Listed{}}
	for _, e := range entries {
		out.Items = append(out.Items, Listed{Kind: e.Kind, Name: e.Metadata.Name, Commit: e.Commit, File: e.File})
	}
	sort.SliceStable(out.Items, func(i, j int) bool { return out.Items[i].Kind < out.Items[j].Kind })
	return out, err
}
