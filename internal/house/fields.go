package house

import (
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Specs are the types whose fields people write in files, and the page that
// has each of them.
var Specs = []struct{ Dir, Type, Page string }{
	{"internal/catalog", "ServiceSpec", "resources"},
	{"internal/catalog", "Objectives", "resources"},
	{"internal/catalog", "EnvironmentSpec", "resources"},
	{"internal/catalog", "Freeze", "resources"},
	{"internal/catalog", "Rollout", "resources"},
	{"internal/catalog", "TeamSpec", "resources"},
	{"internal/catalog", "Webhook", "resources"},
	{"internal/feedback/policy", "Spec", "resources"},
	{"internal/feedback/policy", "Level", "resources"},
	{"internal/feedback/policy", "Exemption", "resources"},
	{"internal/kernel/resource", "Metadata", "resources"},
	{"internal/flow/pipeline", "Spec", "pipeline"},
	{"internal/flow/pipeline", "Concurrency", "pipeline"},
	{"internal/flow/pipeline", "Job", "pipeline"},
	{"internal/flow/pipeline", "Step", "pipeline"},
	{"internal/feedback/status", "PageSpec", "statuspage"},
	{"internal/feedback/status", "Component", "statuspage"},
	{"internal/feedback/status", "Thresholds", "statuspage"},
	{"internal/feedback/status", "Target", "statuspage"},
	{"internal/feedback/status", "S3", "statuspage"},
	{"internal/feedback/status", "Subscribe", "statuspage"},
}

// CheckFields reports fields of files that their page does not mention.
func CheckFields(t *Tree, root fs.FS) ([]Finding, error) {
	var out []Finding
	for _, spec := range Specs {
		page, err := fs.ReadFile(root, "docs/"+spec.Page+".md")
		if err != nil {
			return nil, err
		}
		fields := fieldsOf(t, spec.Dir, spec.Type)
		if len(fields) == 0 {
			out = append(out, Finding{spec.Dir, "there is no type " + spec.Type + " with fields"})
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			word := regexp.MustCompile(`(^|[^A-Za-z-])` + regexp.QuoteMeta(name) + `($|[^A-Za-z-])`)
			if !word.Match(page) {
				out = append(out, Finding{fields[name], fmt.Sprintf("docs/%s.md does not mention the field %s", spec.Page, name)})
			}
		}
	}
	return out, nil
}

// fieldsOf lists the json names of a struct's fields.
func fieldsOf(t *Tree, dir, typ string) map[string]string {
	out := map[string]string{}
	for _, f := range t.code() {
		if f.Dir != dir {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			s, ok := n.(*ast.TypeSpec)
			if !ok || s.Name.Name != typ {
				return true
			}
			if st, ok := s.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					if field.Tag == nil {
						continue
					}
					tag, _ := strconv.Unquote(field.Tag.Value)
					name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
					if name != "" && name != "-" {
						out[name] = t.at(field.Pos())
					}
				}
			}
			return false
		})
	}
	return out
}
