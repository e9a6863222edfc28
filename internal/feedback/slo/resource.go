package slo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// The kinds of OpenSLO v1, and the kinds under which they are kept. Its Service
// is kept apart from ours.
var openSLOKinds = []struct{ name, as string }{
	{"SLO", "SLO"}, {"SLI", "SLI"}, {"Service", "OpenSLOService"}, {"DataSource", "DataSource"},
	{"AlertPolicy", "AlertPolicy"}, {"AlertCondition", "AlertCondition"}, {"AlertNotificationTarget", "AlertNotificationTarget"},
}

// Kinds declares the kinds of OpenSLO.
func Kinds() []*resource.Kind {
	var out []*resource.Kind
	for _, k := range openSLOKinds {
		out = append(out, resource.Foreign("openslo/v1", k.name, k.as, "OpenSLO v1 "+k.name, check))
	}
	return out
}

// SourceType is the metric source that means the proxy's own counts.
const SourceType = "flyball"

// check decodes all OpenSLO documents of a set together, since they refer to
// one another, and reports through the first of them.
func check(c *resource.Checker) {
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
	for _, o := range defs.Objectives {
		_, proxied, err := o.proxied()
		if proxied && err != nil {
			c.Errorf("", "flyball-source", "objective %s: %s", o.Name, err)
		}
		if proxied && len(o.GroupBy) > 0 {
			c.Errorf("", "group-by-proxy", "objective %s: the proxy counts a service's requests without labels, so they have no groups; remove %s", o.Name, annotationGroupBy)
		}
	}
}

// placed is a document as a file of its own in which every line keeps its
// number.
func placed(file, text string, line int) File {
	return File{Name: file, Data: []byte(strings.Repeat("\n", max(0, line-1)) + text)}
}

// written is the objectives of the OpenSLO documents that are applied.
func written(ctx context.Context, r projection.Reader) ([]*Objective, error) {
	var files []File
	for _, k := range openSLOKinds {
		specs, entries, err := catalog.List[resource.Document](ctx, r, k.as)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			files = append(files, placed(e.File, e.Text, specs[i].Line))
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	var out []*Objective
	for _, o := range Decode(files...).Objectives {
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
