package slo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// The kinds of OpenSLO v1, and the kinds under which they are kept. Its Service
// is kept apart from ours.
var openSLOKinds = []struct{ name, as string }{
	{"SLO", "SLO"}, {"SLI", "SLI"}, {"Service", "OpenSLOService"}, {"DataSource", "DataSource"},
	{"AlertPolicy", "AlertPolicy"}, {"AlertCondition", "AlertCondition"}, {"AlertNotificationTarget", "AlertNotificationTarget"},
}

// Kinds declares the kinds of OpenSLO, Sloth and Pyrra. queries checks the
// language of an objective's sources.
func Kinds(queries func(*Objective) []problem.Finding) []*resource.Kind {
	var out []*resource.Kind
	check := func(c *resource.Checker) { check(c, queries) }
	for _, k := range openSLOKinds {
		out = append(out, resource.Foreign("openslo/v1", k.name, k.as, "OpenSLO v1 "+k.name, check))
	}
	for _, k := range importedKinds {
		out = append(out, resource.Foreign(k.version, k.name, k.as, "objectives of "+k.as, check))
	}
	return out
}

// importedKinds are the kinds of other tools that are read as objectives. A
// Sloth file without a Kubernetes header has no kind, and its service as name.
var importedKinds = []struct{ version, name, as string }{
	{"sloth.slok.dev/v1", "PrometheusServiceLevel", "PrometheusServiceLevel"},
	{"prometheus/v1", "", "Sloth"},
	{"pyrra.dev/v1alpha1", "ServiceLevelObjective", "ServiceLevelObjective"},
}

// keptAs are the kinds under which all of these are kept.
func keptAs() []string {
	var out []string
	for _, k := range openSLOKinds {
		out = append(out, k.as)
	}
	for _, k := range importedKinds {
		out = append(out, k.as)
	}
	return out
}

// SourceType is the metric source that means the proxy's own counts.
const SourceType = "flyball"

// check decodes all OpenSLO documents of a set together, since they refer to
// one another, and reports through the first of them.
func check(c *resource.Checker, queries func(*Objective) []problem.Finding) {
	var files []File
	for _, o := range c.Set.All() {
		d, ok := o.Spec.(*resource.Document)
		if !ok {
			continue
		}
		if len(files) == 0 && o != c.Object {
			return
		}
		files = append(files, placed(o.File, o.Text, d.Line))
	}
	defs := Decode(files...)
	c.Add(defs.Findings...)
	ambiguous(c, defs.Objectives)
	for _, o := range defs.Objectives {
		c.Add(queries(o)...)
		_, proxied, err := o.proxied()
		if proxied && err != nil {
			c.Errorf("", "flyball-source", "objective %s: %s", o.Name, err)
		}
		if proxied && len(o.GroupBy) > 0 {
			c.Errorf("", "group-by-proxy", "objective %s: the proxy counts a service's requests without labels, so they have no groups; remove %s", o.Name, annotationGroupBy)
		}
	}
}

// ambiguous refuses objectives whose keys, SERVICE.ENVIRONMENT.NAME, could be
// another's: names may hold dots, and what is recorded of one would be the
// other's.
func ambiguous(c *resource.Checker, objectives []*Objective) {
	environments := []string{}
	services, names := resource.Specs[catalog.ServiceSpec](c.Set, catalog.KindService)
	for _, o := range c.Set.All() {
		if o.Kind == catalog.KindEnvironment {
			environments = append(environments, o.Metadata.Name)
		}
	}
	var all []*Objective
	for i, s := range services {
		for _, e := range environments {
			all = append(all, Shorthand(catalog.Service{Name: names[i].Name, ServiceSpec: s}, e)...)
		}
	}
	for _, o := range objectives {
		in := environments
		if o.Environment != "" {
			in = []string{o.Environment}
		}
		for _, e := range in {
			at := *o
			at.Environment = e
			all = append(all, &at)
		}
	}
	first := map[string]*Objective{}
	for _, o := range all {
		other := first[o.Key()]
		if other != nil && other.ID() != o.ID() { // of the same ID, an SLO stands in for a shorthand
			c.Add(problem.Finding{File: o.File, Line: max(o.Line, 1), Column: 1, Severity: "error", Code: "ambiguous-name",
				Message: fmt.Sprintf("%s and %s have one key, %s: give one of them a name without that dot", other.ID(), o.ID(), o.Key())})
			continue
		}
		first[o.Key()] = o
	}
}

// placed is a document of a file, in which it begins at a line.
func placed(file, text string, line int) File {
	return File{Name: file, Data: []byte(text), Before: max(0, line-1)}
}

// applied is what the documents of some kinds that are applied define.
func applied(ctx context.Context, r projection.Reader, kinds ...string) (*Definitions, error) {
	var files []File
	for _, kind := range kinds {
		specs, entries, err := catalog.List[resource.Document](ctx, r, kind)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			files = append(files, placed(e.File, e.Text, specs[i].Line))
		}
	}
	if len(files) == 0 {
		return &Definitions{}, nil
	}
	return Decode(files...), nil
}

// DataSources are the sources of metrics that are applied, in order of name.
func DataSources(ctx context.Context, r projection.Reader) ([]Definition, error) {
	defs, err := applied(ctx, r, "DataSource")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(defs.DataSources, func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	return defs.DataSources, nil
}

// written is the objectives of the documents that are applied.
func written(ctx context.Context, r projection.Reader) ([]*Objective, error) {
	defs, err := applied(ctx, r, keptAs()...)
	if err != nil {
		return nil, err
	}
	var out []*Objective
	for _, o := range defs.Objectives {
		counted, proxied, err := o.proxied()
		switch {
		case err != nil:
		case proxied:
			out = append(out, counted)
		case o.IndicatorID() != "":
			out = append(out, o)
		}
	}
	return out, nil
}

// proxied is the objective with the proxy's counts as its indicator, when its
// ratio has sources of type flyball:
//
//	ratioMetric:
//	  total: {metricSource: {type: flyball, spec: {query: requests}}}
//	  good:  {metricSource: {type: flyball, spec: {query: good}}}              # or: faster than 300ms
//	  bad:   {metricSource: {type: flyball, spec: {query: errors}}}            # or: slower than 300ms
func (o *Objective) proxied() (counted *Objective, ok bool, err error) {
	i := o.Indicator
	if i.Kind != Ratio || i.Total == nil || i.Total.Type != SourceType {
		return nil, false, nil
	}
	c := *o
	query := ""
	switch {
	case i.Good != nil:
		query = i.Good.Query
	case i.Bad != nil:
		query = i.Bad.Query
	}
	c.Indicator = Indicator{Kind: Availability, Name: i.Name}
	switch query = strings.TrimSpace(query); query {
	case "good", "errors":
		return &c, true, nil
	}
	threshold, fast := strings.CutPrefix(query, "faster than ")
	if !fast {
		threshold, fast = strings.CutPrefix(query, "slower than ")
	}
	d, err := time.ParseDuration(strings.TrimSpace(threshold))
	if !fast || err != nil || d <= 0 {
		return nil, true, fmt.Errorf("%q is no query of a source of type flyball; write good, errors, faster than 300ms or slower than 300ms", query)
	}
	limit, err := ParseDecimal(fmt.Sprintf("%.9f", d.Seconds()))
	c.Indicator = Indicator{Kind: Latency, Name: i.Name, Op: "lte", Threshold: limit}
	return &c, true, err
}
