package slo

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// ExportOpenSLO writes objectives as OpenSLO v1 documents that Decode reads
// back to the same model: a document for each objective, and one for all parts
// of a composite. What OpenSLO has no field for stands in annotations.
func ExportOpenSLO(objectives []*Objective) ([]byte, error) {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	for _, group := range composites(objectives) {
		doc, err := openSLODocument(group)
		if err != nil {
			return nil, err
		}
		if err := enc.Encode(doc); err != nil {
			return nil, err
		}
	}
	return []byte(b.String()), enc.Close()
}

// composites puts the parts of a composite together.
func composites(objectives []*Objective) [][]*Objective {
	var out [][]*Objective
	at := map[string]int{}
	for _, o := range objectives {
		key := o.Service + "\x00" + o.Environment + "\x00" + o.Composite
		if i, ok := at[key]; ok && o.Composite != "" {
			out[i] = append(out[i], o)
			continue
		}
		at[key] = len(out)
		out = append(out, []*Objective{o})
	}
	return out
}

// fields is a YAML mapping in the order in which it is written.
type fields []field

type field struct {
	name  string
	value any
}

// MarshalYAML writes the fields in order, without those that are nil.
func (f fields) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, m := range f {
		if m.value == nil {
			continue
		}
		var key, value yaml.Node
		if err := key.Encode(m.name); err != nil {
			return nil, err
		}
		if err := value.Encode(m.value); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &key, &value)
	}
	return n, nil
}

func openSLODocument(group []*Objective) (fields, error) {
	first := group[0]
	name := first.Name
	if first.Composite != "" {
		name = first.Composite
	}
	window, err := openSLOWindow(first.Window)
	if err != nil {
		return nil, err
	}
	spec := fields{{"description", text(first.Description)}, {"service", first.Service}}
	if first.Composite == "" {
		indicator, err := openSLOIndicator(first.Indicator)
		if err != nil {
			return nil, err
		}
		spec = append(spec, field{"indicator", indicator})
	}
	var items []fields
	for _, o := range group {
		item, err := openSLOTarget(o)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	policies, minBad := openSLOPolicies(first)
	spec = append(spec, field{"timeWindow", []fields{window}}, field{"budgetingMethod", string(first.Method)}, field{"objectives", items}, policies)
	return fields{
		{"apiVersion", "openslo/v1"}, {"kind", "SLO"},
		{"metadata", fields{{"name", name}, {"displayName", text(openSLODisplayName(group))}, {"labels", labelsOf(first)}, {"annotations", openSLOAnnotations(first, minBad)}}},
		{"spec", spec},
	}, nil
}

// text is a text, or nothing.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func labelsOf(o *Objective) any {
	if len(o.Labels) == 0 {
		return nil
	}
	return o.Labels
}

// openSLODisplayName is an SLO's own display name. Of a composite, it is that
// of a part that is named by its number in spite of one, as such a part took it
// from the SLO.
func openSLODisplayName(group []*Objective) string {
	first := group[0]
	if first.Composite == "" || len(group) == 1 {
		return first.DisplayName
	}
	for i, o := range group {
		if o.Name == fmt.Sprintf("%s-%d", o.Composite, i+1) {
			return o.DisplayName
		}
	}
	return ""
}

func openSLOAnnotations(o *Objective, minBad *int64) any {
	a := map[string]string{}
	if o.Environment != "" {
		a[annotationEnvironment] = o.Environment
	}
	if o.Traffic > 0 {
		a[annotationTraffic] = strconv.FormatInt(o.Traffic, 10)
	}
	if len(o.GroupBy) > 0 {
		a[annotationGroupBy] = strings.Join(o.GroupBy, ",")
		if o.GroupAlerts {
			a[annotationGroupAlerts] = "true"
		}
	}
	if minBad != nil {
		a[annotationMinBad] = strconv.FormatInt(*minBad, 10)
	}
	if len(a) == 0 {
		return nil
	}
	return a
}

func openSLOWindow(w Window) (fields, error) {
	if c := w.Calendar; c != nil {
		letter := map[Unit]string{Minute: "m", Hour: "h", Day: "d", Week: "w", Month: "M", Quarter: "Q", Year: "Y"}[c.Unit]
		return fields{{"duration", strconv.Itoa(c.Count) + letter},
			{"calendar", fields{{"startTime", c.Start.Format("2006-01-02 15:04:05")}, {"timeZone", c.Start.Location().String()}}}, {"isRolling", false}}, nil
	}
	if w.Rolling%time.Minute != 0 {
		return nil, problem.New(problem.Invalid, "slo.export", "OpenSLO has no window of %s", w).WithNext("use whole minutes")
	}
	return fields{{"duration", FormatDuration(w.Rolling)}, {"isRolling", true}}, nil
}

func openSLOIndicator(i Indicator) (fields, error) {
	var metric field
	switch i.Kind {
	case Availability, Latency:
		if i.Value != nil {
			return nil, problem.New(problem.Invalid, "slo.export", "OpenSLO has no indicator over a native histogram").WithNext("write it as a ratio of good and total")
		}
		good := "good"
		if i.Kind == Latency {
			good = "faster than " + (time.Duration(i.Threshold)).String() // billionths of a second are nanoseconds
		}
		own := func(query string) fields {
			return fields{{"metricSource", fields{{"type", SourceType}, {"spec", fields{{"query", query}}}}}}
		}
		metric = field{"ratioMetric", fields{{"good", own(good)}, {"total", own("requests")}}}
	case Ratio:
		metric = field{"ratioMetric", fields{{"counter", i.Counter}, {"good", openSLOSource(i.Good)}, {"bad", openSLOSource(i.Bad)}, {"total", openSLOSource(i.Total)}}}
	case Raw:
		kind := "success"
		if i.Failures {
			kind = "failure"
		}
		metric = field{"ratioMetric", fields{{"counter", i.Counter}, {"rawType", kind}, {"raw", openSLOSource(i.Value)}}}
	default:
		metric = field{"thresholdMetric", openSLOSource(i.Value)}
	}
	if i.Name == "" {
		return fields{{"spec", fields{metric}}}, nil
	}
	return fields{{"metadata", fields{{"name", i.Name}}}, {"spec", fields{metric}}}, nil
}

func openSLOSource(s *Source) any {
	if s == nil {
		return nil
	}
	spec := map[string]string{}
	for k, v := range s.Spec {
		if v != "" {
			spec[k] = v
		}
	}
	if s.Query != "" && spec["query"] == "" && spec["promql"] == "" && spec["metric"] == "" && spec["expr"] == "" {
		spec["query"] = s.Query
	}
	return fields{{"metricSource", fields{{"metricSourceRef", text(s.Ref)}, {"type", text(s.Type)}, {"spec", spec}}}}
}

func openSLOTarget(o *Objective) (fields, error) {
	item := fields{{"displayName", text(o.DisplayName)}, {"target", number(o.Target)}}
	if o.Indicator.Kind == Threshold {
		item = append(item, field{"op", string(o.Indicator.Op)}, field{"value", number(o.Indicator.Threshold)})
	}
	if o.sliced() {
		item = append(item, field{"timeSliceWindow", shortSpan(o.SliceWindow)})
	}
	if o.Method == Timeslices {
		item = append(item, field{"timeSliceTarget", number(o.SliceTarget)})
	}
	if o.Composite == "" {
		return item, nil
	}
	indicator, err := openSLOIndicator(o.Indicator)
	return append(item, field{"compositeWeight", number(o.Weight)}, field{"indicator", indicator}), err
}

// number writes a decimal as a number, exactly.
func number(d Decimal) *yaml.Node {
	tag := "!!float"
	if d%One == 0 {
		tag = "!!int"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: d.String()}
}

// shortSpan is a length of time as a number of minutes, or as a shorthand where
// it is whole.
func shortSpan(d time.Duration) any {
	if d%time.Minute == 0 {
		return FormatDuration(d)
	}
	return number(Decimal(d / 60)) // a billionth of a minute is 60 ns
}

// openSLOPolicies writes alert policies with one condition each, under the same
// name, which is how they are read; nothing where they are the default ones.
// The floor of evidence is an annotation of all of them.
func openSLOPolicies(o *Objective) (field, *int64) {
	standard := DefaultPolicies(o.Method)
	var minBad *int64
	floor := int64(0)
	if len(o.AlertPolicies) > 0 {
		floor = o.AlertPolicies[0].MinBad
	}
	plain := clonePolicies(o.AlertPolicies)
	for i := range plain {
		if i < len(standard) {
			plain[i].MinBad = standard[i].MinBad
		}
	}
	if reflect.DeepEqual(plain, standard) {
		if floor != standard[0].MinBad {
			minBad = &floor
		}
		return field{"alertPolicies", nil}, minBad
	}
	list := []fields{}
	for _, p := range o.AlertPolicies {
		for i := range p.Conditions {
			list = append(list, openSLOPolicy(p, p.Conditions[i]))
		}
	}
	if floor > 0 {
		minBad = &floor
	}
	return field{"alertPolicies", list}, minBad
}

func openSLOPolicy(p AlertPolicy, c BurnCondition) fields {
	op := "gt"
	if c.Inclusive {
		op = "gte"
	}
	condition := fields{{"kind", "burnrate"}, {"op", op}, {"threshold", number(c.Factor)}, {"lookbackWindow", shortSpan(c.Long)}}
	if c.Short > 0 {
		condition = append(condition, field{"shortWindow", shortSpan(c.Short)})
	}
	condition = append(condition, field{"alertAfter", shortSpan(p.After)})
	targets := []fields{}
	for i, t := range p.Targets {
		if i < len(p.Notify) && p.Notify[i] != t {
			targets = append(targets, fields{{"kind", "AlertNotificationTarget"}, {"metadata", fields{{"name", t}}}, {"spec", fields{{"target", p.Notify[i]}}}})
			continue
		}
		targets = append(targets, fields{{"targetRef", t}})
	}
	return fields{{"kind", "AlertPolicy"}, {"metadata", fields{{"name", p.Name}}}, {"spec", fields{
		{"alertWhenBreaching", p.Breaching}, {"alertWhenResolved", p.Resolved}, {"alertWhenNoData", p.NoData},
		{"conditions", []fields{{{"kind", "AlertCondition"}, {"metadata", fields{{"name", "burn"}}},
			{"spec", fields{{"severity", p.Severity}, {"condition", condition}}}}}},
		{"notificationTargets", targets},
	}}}
}
