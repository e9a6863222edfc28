package slo

import (
	"regexp"
	"time"
)

// pyrraObjective imports a Pyrra ServiceLevelObjective, with its four
// burn-rate alerts, which scale with the window.
func (r *resolver) pyrraObjective(doc *document) {
	before := doc.d.errors()
	labels := doc.meta.get("labels").flatten()
	o := &Objective{Name: doc.name, Method: Occurrences, Weight: One, Labels: labels, Window: Days(28)}
	doc.meta.get("annotations", "namespace")
	doc.meta.known = append(doc.meta.known, "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
	doc.meta.done()
	for _, label := range []string{"pyrra.dev/service", "app.kubernetes.io/name", "service", "app"} {
		if o.Service == "" {
			o.Service = labels[label]
		}
	}
	if o.Service == "" {
		o.Service = doc.name
	}
	o.Description = doc.spec.get("description").text()
	if v := doc.spec.need(`the target in per cent, such as "99.9"`, "target"); !v.isNull() {
		o.Target, _ = v.percentTarget()
	}
	if v := doc.spec.need("the window, such as 4w", "window"); !v.isNull() {
		if d, ok := v.prometheusDuration(); ok {
			o.Window = Window{Rolling: d}
		}
	}
	pyrraIndicator(doc.spec.need("one of ratio, latency, latencyNative and bool_gauge", "indicator"), o)
	doc.spec.get("partial_response_strategy")
	alerting := doc.spec.get("alerting").object()
	on := alerting.get("burnrates").flag(true) && !alerting.get("disabled").flag(false)
	if name := alerting.get("name").text(); on {
		o.AlertPolicies = pyrraPolicies(name, o.Window.Rolling)
	}
	alerting.known = append(alerting.known, "absent", "absentName", "performance_over_accuracy")
	alerting.done()
	doc.spec.known = append(doc.spec.known, "performance_over_accuracy")
	doc.spec.done()
	o.GroupAlerts = len(o.GroupBy) > 0 && len(o.AlertPolicies) > 0 // as Pyrra's rules do
	warnOfDeadFactors(doc.value, o)
	r.keep(o, doc.value, before)
}

var bucketBound = regexp.MustCompile(`\ble\s*=~?\s*["']([0-9.eE+-]+)["']`)

func pyrraIndicator(v value, o *Objective) {
	f := v.object()
	defer f.done()
	query := func(p *object, name string) *Source {
		m := p.need("the metric: {metric: http_requests_total{…}}", name).object()
		defer m.done()
		q := m.need("a metric selector", "metric")
		return (&Source{Type: "prometheus", Query: q.text(), Whole: true}).at(q)
	}
	count := 0
	for _, kind := range []string{"ratio", "latency", "latencyNative", "bool_gauge"} {
		part := f.get(kind)
		if part.isNull() {
			continue
		}
		if count++; count > 1 {
			part.errorf("two-indicators", "several indicators are given; keep one")
		}
		p := part.object()
		for _, label := range p.get("grouping").items() {
			o.GroupBy = append(o.GroupBy, label.text())
		}
		switch kind {
		case "ratio":
			o.Indicator = Indicator{Kind: Ratio, Counter: true, Bad: query(p, "errors"), Total: query(p, "total")}
		case "latency":
			o.Indicator = Indicator{Kind: Ratio, Counter: true, Good: query(p, "success"), Total: query(p, "total")}
			if le := bucketBound.FindStringSubmatch(o.Indicator.Good.Query); le != nil {
				o.Indicator.Threshold, _ = ParseDecimal(le[1])
			} else if o.Indicator.Good.Query != "" {
				part.errorf("no-bucket", `the success metric selects no bucket; add le="0.3" to it`)
			}
		case "latencyNative":
			o.Indicator = Indicator{Kind: Latency, Op: LessOrEqual, Counter: true, Value: query(p, "total")}
			if d, ok := p.need("the longest good latency, such as 300ms", "latency").prometheusDuration(); ok {
				o.Indicator.Threshold = Decimal(d)
			}
		case "bool_gauge":
			q := p.need("a metric selector", "metric")
			o.Indicator = Indicator{Kind: Threshold, Op: GreaterOrEqual, Threshold: One,
				Value: (&Source{Type: "prometheus", Query: q.text(), Whole: true}).at(q)}
		}
		p.done()
	}
	if count == 0 && !v.isNull() {
		v.errorf("no-indicator", "an indicator needs one of ratio, latency, latencyNative and bool_gauge")
	}
}

// pyrraPolicies are Pyrra's four alerts: at 28 days 1h/5m over 14, 6h/30m over
// 7 page (critical), 1d/2h over 2 and 4d/6h over 1 are tickets (warning); other
// windows in proportion, to the minute.
func pyrraPolicies(name string, window time.Duration) []AlertPolicy {
	if name == "" {
		name = "ErrorBudgetBurn"
	}
	part := func(d time.Duration) time.Duration { return max(d.Round(time.Minute), time.Minute) }
	policy := func(severity string, after time.Duration, factor int64, long, short time.Duration) AlertPolicy {
		c := BurnCondition{Factor: Decimal(factor) * One, Long: part(long), Short: part(short)}
		return AlertPolicy{Name: name + "-" + FormatDuration(c.Long), Severity: severity, After: part(after), Breaching: true, Resolved: true,
			Conditions: []BurnCondition{c}}
	}
	return []AlertPolicy{
		policy("page", window/(28*24*30), 14, window/(28*24), window/(28*24*12)),
		policy("page", window/(28*24*4), 7, window/(28*4), window/(28*24*2)),
		policy("ticket", window/(28*24), 2, window/28, window/(28*12)),
		policy("ticket", window/(28*8), 1, window/7, window/(28*4)),
	}
}
