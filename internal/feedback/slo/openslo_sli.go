package slo

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// indicator reads the spec of an SLI.
func (r *resolver) indicator(spec *object, name string) *Indicator {
	spec.get("description")
	ratio, threshold := spec.get("ratioMetric"), spec.get("thresholdMetric")
	switch {
	case !ratio.isNull() && !threshold.isNull():
		threshold.errorf("two-indicators", "both ratioMetric and thresholdMetric are given; remove one")
	case !ratio.isNull():
		o := ratio.object()
		ind := r.ratio(o, name)
		o.done()
		return ind
	case !threshold.isNull():
		return &Indicator{Kind: Threshold, Name: name, Value: r.metric(threshold)}
	case len(spec.fields) == 0 && spec.isNull():
	default:
		spec.errorf("no-indicator", "an SLI needs a metric; write ratioMetric with good and total, or thresholdMetric")
	}
	return &Indicator{Name: name}
}

// ratio reads a ratioMetric: good or bad, and total; or raw.
func (r *resolver) ratio(o *object, name string) *Indicator {
	ind := &Indicator{Kind: Ratio, Name: name, Counter: o.get("counter", "incremental").flag(false)}
	o.known = append(o.known, "incremental")
	good, bad, total, raw := o.get("good"), o.get("bad"), o.get("total"), o.get("raw")
	kind := o.get("rawType")
	if !raw.isNull() {
		ind.Kind, ind.Value = Raw, r.metric(raw)
		if !good.isNull() || !bad.isNull() || !total.isNull() {
			raw.errorf("two-indicators", "raw cannot be used together with good, bad or total; remove it")
		}
		switch strings.ToLower(kind.text()) {
		case "success":
		case "failure":
			ind.Failures = true
		case "":
			o.errorf("no-raw-type", "raw needs to know what it is a ratio of; write rawType: success (good/total) or failure (bad/total)")
		default:
			kind.errorf("no-raw-type", "%s is no rawType; write success (good/total) or failure (bad/total)", kind.shape())
		}
		return ind
	}
	switch {
	case !good.isNull() && !bad.isNull():
		bad.errorf("good-and-bad", "both good and bad are given, and they may disagree; remove one")
	case good.isNull() && bad.isNull():
		o.errorf("no-good", "a ratio needs good or bad beside total; write the query that counts good events")
	}
	if total.isNull() {
		o.errorf("no-total", "a ratio needs total; write the query that counts all events")
	}
	ind.Good, ind.Bad, ind.Total = r.optionalMetric(good), r.optionalMetric(bad), r.optionalMetric(total)
	if ind.Total != nil && ind.Total.Query != "" {
		for _, other := range []*Source{ind.Good, ind.Bad} {
			if other != nil && other.Query == ind.Total.Query && other.Query != "Any" {
				o.warnf("same-query", "total has the same query as the other count: the ratio is constant")
			}
		}
	}
	return ind
}

func (r *resolver) optionalMetric(v value) *Source {
	if v.isNull() {
		return nil
	}
	return r.metric(v)
}

// metric reads a source: v1's metricSource, or v1alpha's source and query.
func (r *resolver) metric(v value) *Source {
	o := v.object()
	defer o.done()
	s, written := &Source{}, value{}
	if m := o.get("metricSource"); !m.isNull() {
		f := m.object()
		defer f.done()
		written = f.get("spec")
		ref, kind := f.get("metricSourceRef"), f.get("type")
		s.Ref, s.Type, s.Spec = ref.text(), strings.ToLower(kind.text()), f.get("spec").flatten()
		r.sourceRef(m, ref, kind, s)
	} else {
		query := o.get("query")
		s.Type, s.Query = strings.ToLower(o.get("source").text()), query.text()
		s.at(query)
		s.Spec = map[string]string{"queryType": o.get("queryType").text()}
		if s.Query == "" {
			v.errorf("no-query", "a metric needs its source; write metricSource: {type: Prometheus, spec: {query: …}}")
		}
		return s
	}
	for _, key := range []string{"query", "promql", "metric", "expr"} {
		if q := s.Spec[key]; q != "" {
			s.Query = q
			return s.at(written.object().fields[key])
		}
	}
	if s.Type == "prometheus" {
		v.errorf("no-query", "a Prometheus metric needs a query; write spec: {query: sum(…)}")
	}
	return s
}

// The sources that a server has without a DataSource: its own metrics store,
// and the one it was started with.
const (
	OwnStore   = "built-in"
	OwnDefault = "default"
)

// sourceRef takes the type from the DataSource that a metric refers to. The
// specification's examples refer to undefined ones, which does no harm as long
// as the type is written.
func (r *resolver) sourceRef(m, ref, kind value, s *Source) {
	if ref.isNull() {
		if kind.isNull() {
			m.errorf("no-source-type", "a metric source needs a type or a metricSourceRef; write type: Prometheus")
		}
		return
	}
	def, ok := r.sources[s.Ref]
	switch {
	case ok && kind.isNull():
		s.Type = strings.ToLower(def.Type)
	case ok && !strings.EqualFold(def.Type, s.Type):
		kind.errorf("source-type-differs", "DataSource %q is of type %s; remove type, or write the same", s.Ref, def.Type)
	case !ok && (s.Ref == OwnStore || s.Ref == OwnDefault):
		s.Type = cmp.Or(s.Type, "prometheus")
	case !ok && kind.isNull():
		ref.errorf("dangling-reference", "there is no DataSource %q in these files; %s", clip(s.Ref, 60), didYouMean(s.Ref, keysOf(r.sources)))
	case !ok:
		ref.warnf("dangling-reference", "there is no DataSource %q in these files; %s", clip(s.Ref, 60), didYouMean(s.Ref, keysOf(r.sources)))
	}
}

// didYouMean proposes what a reference could have meant.
func didYouMean(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return "define it, or pass the file that does"
	}
	return "these have " + clip(strings.Join(known, ", "), 120)
}

func keysOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
