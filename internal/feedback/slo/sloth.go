package slo

import "slices"

// slothDocument recognises Sloth's own format: version: prometheus/v1.
func (d *decoder) slothDocument(doc *document, version value) []*document {
	if version.text() != "prometheus/v1" {
		version.errorf("unknown-version", "%s is not a version that can be read; write prometheus/v1 (Sloth), or apiVersion: openslo/v1", version.shape())
		return nil
	}
	doc.format, doc.kind, doc.spec = formatSloth, "prometheus/v1", doc.object
	doc.name = doc.get("service").text()
	return []*document{doc}
}

// slothObjectives imports Sloth's objectives: percentages over 30 days, whose
// two alerts are the default page and ticket policies.
func (r *resolver) slothObjectives(doc *document) {
	before := doc.d.errors()
	service := doc.spec.need("the name of the service", "service").text()
	labels := doc.spec.get("labels").flatten()
	doc.spec.known = append(doc.spec.known, "sloPlugins", "slo_plugins")
	list := doc.spec.get("slos")
	items := list.items()
	if len(items) == 0 {
		doc.spec.errorf("no-objectives", "no slos are written; add slos: [{name: …, objective: 99.9}]")
	}
	doc.spec.done()
	shared := doc.d.errors() > before
	for _, item := range items {
		at := doc.d.errors()
		o := &Objective{Service: service, Method: Occurrences, Window: Days(30), Weight: One, Labels: map[string]string{}}
		for k, v := range labels {
			o.Labels[k] = v
		}
		r.slothObjective(item, o)
		warnOfDeadFactors(item, o)
		if shared {
			at = -1
		}
		r.keep(o, item, at)
	}
}

func (r *resolver) slothObjective(item value, o *Objective) {
	f := item.object()
	defer f.done()
	o.Name = f.need("a name that is unique in the service", "name").text()
	o.Description = f.get("description").text()
	for k, v := range f.get("labels").flatten() {
		o.Labels[k] = v
	}
	if v := f.need("the target in per cent, such as 99.9", "objective"); !v.isNull() {
		o.Target, _ = v.percentTarget()
	}
	f.get("plugins")
	o.Indicator = slothIndicator(f.need("events with error_query and total_query", "sli"))
	o.AlertPolicies = slothPolicies(f.get("alerting"))
}

func slothIndicator(v value) Indicator {
	o := v.object()
	defer o.done()
	query := func(f *object, names ...string) *Source {
		q := f.need("the PromQL, with [{{.window}}] as its range", names...)
		return (&Source{Type: "prometheus", Query: q.text()}).at(q)
	}
	if events := o.get("events"); !events.isNull() {
		f := events.object()
		defer f.done()
		return Indicator{Kind: Ratio, Counter: true, Bad: query(f, "error_query", "errorQuery"), Total: query(f, "total_query", "totalQuery")}
	}
	if raw := o.get("raw"); !raw.isNull() {
		f := raw.object()
		defer f.done()
		return Indicator{Kind: Raw, Failures: true, Value: query(f, "error_ratio_query", "errorRatioQuery")}
	}
	if plugin := o.get("plugin"); !plugin.isNull() {
		plugin.errorf("sloth-plugin", "Sloth's plugins are code that is not run here; write events with the error_query and total_query that the plugin makes")
	} else if !v.isNull() {
		v.errorf("no-indicator", "an sli needs events with error_query and total_query, or raw")
	}
	return Indicator{}
}

// slothPolicies are the default policies without those that are disabled.
func slothPolicies(v value) []AlertPolicy {
	o := v.object()
	defer o.done()
	o.get("name")
	o.known = append(o.known, "labels", "annotations")
	off := map[string]bool{}
	for severity, names := range map[string][]string{"page": {"page_alert", "pageAlert"}, "ticket": {"ticket_alert", "ticketAlert"}} {
		a := o.get(names...).object()
		off[severity] = a.get("disable").flag(false)
		a.known = append(a.known, "labels", "annotations")
		a.done()
	}
	return slices.DeleteFunc(DefaultPolicies(Occurrences), func(p AlertPolicy) bool { return off[p.Severity] })
}
