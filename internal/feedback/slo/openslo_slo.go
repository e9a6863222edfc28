package slo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Annotations of an SLO that say what OpenSLO has no field for.
const (
	annotationEnvironment = "flyball.dev/environment"
	annotationTraffic     = "flyball.dev/events-per-day" // for the budget of a young service
	annotationMinBad      = "flyball.dev/min-bad-events" // floor of evidence of its alerts
	annotationGroupBy     = "flyball.dev/group-by"       // labels, separated by commas
	annotationAgreement   = "flyball.dev/sla"            // looser target, promised to customers
	annotationMaxGroups   = "flyball.dev/max-groups"     // before further groups share one
	annotationGroupAlerts = "flyball.dev/group-alerts"   // whether each group alerts by itself
)

// sloObjectives decodes one SLO: an objective for each of its targets.
func (r *resolver) sloObjectives(doc *document) {
	before := doc.d.errors()
	doc.metadata()
	base := r.sloBase(doc)
	inline := r.sloIndicator(doc.spec)
	policies, defaults := r.sloPolicies(doc.spec, base.Method)
	r.floor(doc, policies)
	base.AlertPolicies = policies

	list := doc.spec.get("objectives")
	items := list.items()
	if len(items) == 0 && (list.isNull() || len(list.n.Content) == 0) {
		at := list
		if !at.exists() {
			at = doc.spec.value
		}
		at.errorf("no-objectives", "an SLO without objectives promises nothing; add objectives: [{target: 0.999}]")
	}
	composite := false
	for _, item := range items {
		composite = composite || item.isMapping() && item.object().get("compositeWeight", "indicator", "indicatorRef").exists()
	}
	doc.spec.done()
	shared := doc.d.errors() > before
	for i, item := range items {
		at := doc.d.errors()
		o := base
		r.target(doc, item, &o, inline, composite)
		if o.Agreement > 0 && o.Agreement >= o.Target && o.Target > 0 {
			item.errorf("agreement-range", "the SLA of %s (%s) is not looser than this objective of %s; write a smaller one", o.Agreement.Percent(), annotationAgreement, o.Target.Percent())
		}
		o.Name = objectiveName(doc.name, o.DisplayName, base.DisplayName, i, len(items))
		if composite && len(items) > 1 {
			o.Composite = doc.name
		}
		if defaults {
			warnOfDeadFactors(item, &o)
		} else {
			refuseDeadFactors(item, &o)
		}
		if shared {
			at = -1 // what all objectives share is wrong
		}
		r.keep(&o, item, at)
	}
}

// sloBase is what all objectives of an SLO share, but for the indicator.
func (r *resolver) sloBase(doc *document) Objective {
	base := Objective{Method: doc.method(), Window: doc.timeWindow()}
	base.Description = doc.spec.get("description").text()
	base.DisplayName = doc.meta.get("displayName").text()
	base.Labels = doc.meta.get("labels").flatten()
	service := doc.spec.need("the name of the service", "service")
	base.Service = service.text()
	if len(r.byKind[formatOpenSLO+"/Service"]) > 0 && base.Service != "" && !r.has("Service", base.Service) {
		service.warnf("dangling-service", "no Service %q is defined in these files, though others are; %s", base.Service,
			didYouMean(base.Service, keysOf(r.byKind[formatOpenSLO+"/Service"])))
	}
	r.annotations(doc, &base)
	return base
}

// objectiveName is the SLO's name, with the objective's own when there are several.
func objectiveName(slo, display, sloDisplay string, i, n int) string {
	if n == 1 {
		return slo
	}
	if s := slug(display); s != "" && display != sloDisplay {
		return slo + "-" + s
	}
	return slo + "-" + strconv.Itoa(i+1)
}

func slug(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimSuffix(clip(b.String(), 60), "-")
}

func (r *resolver) annotations(doc *document, o *Objective) {
	if !doc.meta.get("annotations").isMapping() {
		return
	}
	a := doc.meta.get("annotations").object()
	o.Environment = a.get(annotationEnvironment).text()
	if t := a.get(annotationTraffic); !t.isNull() {
		n, err := strconv.ParseInt(t.text(), 10, 64)
		if err != nil || n <= 0 || n > 1e15 {
			t.errorf("bad-traffic", "%s is not a number of events per day", t.shape())
		}
		o.Traffic = n
	}
	if g := a.get(annotationGroupBy); !g.isNull() {
		for _, label := range strings.Split(g.text(), ",") {
			o.GroupBy = append(o.GroupBy, strings.TrimSpace(label))
		}
	}
	if s := a.get(annotationAgreement); !s.isNull() {
		o.Agreement, _ = s.target()
	}
	if m := a.get(annotationMaxGroups); !m.isNull() {
		n, err := strconv.Atoi(m.text())
		if err != nil || n < 1 || n > maxGroupsAllowed {
			m.errorf("bad-max-groups", "%s is not a number of groups from 1 to %d", m.shape(), maxGroupsAllowed)
		}
		o.MaxGroups = n
	}
	if g := a.get(annotationGroupAlerts); !g.isNull() {
		if o.GroupAlerts = g.flag(false); o.GroupAlerts && len(o.GroupBy) == 0 {
			g.errorf("no-groups", "there are no groups to alert on; add %s", annotationGroupBy)
		}
	}
}

// floor applies the annotated floor of evidence to every policy.
func (r *resolver) floor(doc *document, policies []AlertPolicy) {
	if !doc.meta.get("annotations").isMapping() {
		return
	}
	v := doc.meta.get("annotations").object().get(annotationMinBad)
	if v.isNull() {
		return
	}
	n, err := strconv.ParseInt(v.text(), 10, 64)
	if err != nil || n < 0 {
		v.errorf("bad-floor", "%s is not a number of bad events; write 3", v.shape())
		return
	}
	for i := range policies {
		policies[i].MinBad = n
	}
}

func (doc *document) method() Method {
	v := doc.spec.get("budgetingMethod")
	if v.isNull() {
		return Occurrences
	}
	for _, m := range []Method{Occurrences, Timeslices, RatioTimeslices} {
		if strings.EqualFold(v.text(), string(m)) {
			return m
		}
	}
	v.errorf("unknown-method", "%s is no budgeting method; write Occurrences, Timeslices or RatioTimeslices", v.shape())
	return Occurrences
}

// timeWindow reads the one window of an SLO, in v1's and v1alpha's form.
func (doc *document) timeWindow() Window {
	v := doc.spec.get("timeWindow", "timeWindows")
	var items []value
	switch {
	case v.isMapping():
		v.warnf("window-not-a-list", "timeWindow is a list of one; put a dash before it")
		items = []value{v}
	case v.exists():
		items = v.items()
	}
	if v.isNull() || len(items) == 0 {
		at := v
		if !at.exists() {
			at = doc.spec.value
		}
		at.warnf("window-default", "no timeWindow: a rolling window of 30d is assumed; write timeWindow: [{duration: 30d, isRolling: true}]")
		return Days(30)
	}
	if len(items) > 1 {
		items[1].errorf("many-windows", "an SLO has one window; make an SLO of its own for each")
	}
	w, ok := items[0].window()
	if !ok {
		return Days(30) // reported; lets the rest be checked
	}
	return w
}

// sloIndicator is the indicator of all objectives of an SLO, inline or by name.
func (r *resolver) sloIndicator(spec *object) *Indicator {
	inline, ref := spec.get("indicator"), spec.get("indicatorRef")
	switch {
	case !inline.isNull() && !ref.isNull():
		ref.errorf("two-indicators", "both indicator and indicatorRef are given; remove one")
	case inline.isScalar():
		inline.warnf("indicator-by-name", "indicator holds a name; write indicatorRef: %s", clip(inline.text(), 60))
		return r.indicatorRef(inline)
	case !inline.isNull():
		return r.inlineIndicator(inline)
	case !ref.isNull():
		return r.indicatorRef(ref)
	}
	return nil
}

func (r *resolver) indicatorRef(v value) *Indicator {
	name := v.text()
	if ind := r.slis[name]; ind != nil {
		return ind
	}
	if !r.has("SLI", name) {
		v.errorf("dangling-reference", "there is no SLI %q in these files; %s", clip(name, 60), didYouMean(name, keysOf(r.slis)))
	}
	return &Indicator{Name: name}
}

// inlineIndicator reads {metadata, spec}, or the spec alone as older files have it.
func (r *resolver) inlineIndicator(v value) *Indicator {
	o := v.object()
	spec, name := o, ""
	if s := o.get("spec"); !s.isNull() {
		name = o.get("metadata").object().get("name").text()
		o.get("kind", "apiVersion")
		o.known = append(o.known, "metadata", "apiVersion", "kind")
		o.done()
		spec = s.object()
	}
	ind := r.indicator(spec, name)
	spec.done()
	return ind
}

// target reads one objective of an SLO into o.
func (r *resolver) target(doc *document, item value, o *Objective, inline *Indicator, composite bool) {
	f := item.object()
	defer f.done()
	if name := f.get("displayName", "name").text(); name != "" {
		o.DisplayName = name
	}
	f.known = append(f.known, "name", "description")
	o.Target = f.objectiveTarget()
	if own := r.objectiveIndicator(f); own != nil {
		if inline != nil {
			item.errorf("two-indicators", "both the SLO and its objective have an indicator; keep it in one place")
		}
		inline = own
	}
	if inline == nil {
		item.errorf("no-indicator", "nothing says what is measured; add indicator or indicatorRef to the SLO's spec")
		inline = &Indicator{}
	}
	o.Indicator = *inline
	f.threshold(o)
	f.timeSlices(o, doc.version)
	o.Weight = One
	if w := f.get("compositeWeight"); !w.isNull() {
		if n, ok := w.number(); ok && n > 0 {
			o.Weight = n
		} else if ok {
			w.errorf("bad-weight", "a weight must be more than zero; leave the objective out instead")
		}
	}
}

// objectiveIndicator is an objective's own indicator: of a composite, or
// v1alpha's ratioMetrics.
func (r *resolver) objectiveIndicator(f *object) *Indicator {
	if v := f.get("ratioMetrics"); !v.isNull() {
		o := v.object()
		ind := r.ratio(o, "")
		o.done()
		return ind
	}
	return r.sloIndicator(f)
}

func (f *object) objectiveTarget() Decimal {
	share, percent := f.get("target"), f.get("targetPercent")
	var t Decimal
	switch {
	case !share.isNull() && !percent.isNull():
		percent.errorf("two-targets", "both target and targetPercent are given; remove one")
	case !share.isNull():
		t, _ = share.target()
	case !percent.isNull():
		t, _ = percent.percentTarget()
	default:
		f.errorf("no-target", "an objective needs a target; write target: 0.999")
	}
	return t
}

// threshold reads op and value, which only a threshold metric needs; the
// specification's own examples give an op to ratios too, without effect.
func (f *object) threshold(o *Objective) {
	op, limit := f.get("op"), f.get("value")
	if !op.isNull() {
		switch v := Op(strings.ToLower(op.text())); v {
		case Less, LessOrEqual, Greater, GreaterOrEqual:
			o.Indicator.Op = v
		default:
			op.errorf("unknown-op", "%s is no comparison; write lte, lt, gte or gt", op.shape())
		}
	}
	if o.Indicator.Kind != Threshold {
		o.Indicator.Op = ""
		return
	}
	if op.isNull() {
		f.errorf("no-op", "a threshold metric needs op; write op: lte when small values are good")
	}
	if limit.isNull() {
		f.errorf("no-value", "a threshold metric needs the value to compare with; write value: 0.3")
		return
	}
	o.Indicator.Threshold, _ = limit.number()
}

// timeSlices reads the width and target of slices where the method has them.
func (f *object) timeSlices(o *Objective, version string) {
	goal, width := f.get("timeSliceTarget"), f.get("timeSliceWindow")
	if !o.sliced() {
		if !goal.isNull() {
			goal.warnf("unused-slices", "timeSliceTarget has no effect with Occurrences; remove it or write budgetingMethod: Timeslices")
		}
		return
	}
	switch {
	case !width.isNull():
		o.SliceWindow, _ = width.span()
	case version == "v1alpha":
		f.warnf("slice-default", "slices of 1m are assumed; v1alpha cannot say otherwise, write openslo/v1 to set timeSliceWindow")
		o.SliceWindow = time.Minute
	default:
		f.errorf("slice-window", "%s needs the width of a slice; write timeSliceWindow: 1m", o.Method)
	}
	if o.Method == RatioTimeslices {
		return
	}
	if goal.isNull() {
		f.errorf("slice-target", "Timeslices needs the ratio that makes a slice good; write timeSliceTarget: 0.95")
		return
	}
	t, ok := goal.number()
	if ok && (t <= 0 || t > One) {
		goal.errorf("slice-target", "a slice target of %s is not above 0 and at most 1; write 0.95 for 95 %%", t)
	}
	o.SliceTarget = t
}

// warnOfDeadFactors tells of default conditions that cannot fire at a low target.
func warnOfDeadFactors(at value, o *Objective) {
	for _, r := range o.Rules() {
		if o.Target > 0 && o.Target < One && !CanFire(r.Condition.Factor, o.Target) {
			at.warnf("factor-never-fires", "%s", deadFactor(r, o.Target))
		}
	}
}

func refuseDeadFactors(at value, o *Objective) {
	for _, r := range o.Rules() {
		if o.Target > 0 && o.Target < One && r.Condition.Factor > 0 && !CanFire(r.Condition.Factor, o.Target) {
			at.errorf("factor-never-fires", "%s", deadFactor(r, o.Target))
		}
	}
}

func deadFactor(r Rule, target Decimal) string {
	return fmt.Sprintf("alert %s: %s can never fire at a target of %s, where a total outage burns at %s; write a factor below that",
		r.Policy.Name, r.Condition, target.Percent(), roundDown(LargestFactor(target)))
}

// roundDown is d to three decimals.
func roundDown(d Decimal) Decimal { return d - d%(One/1000) }
